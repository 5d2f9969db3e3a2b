// Elements, and how what shows becomes what is to show: in place, so that a redraw takes nothing from whoever is reading, choosing or
// writing.

const handlers = new WeakMap(), keys = new WeakMap();

function listen(node, type, handler) {
  const own = handlers.get(node) ?? {};
  if (!Object.hasOwn(own, type)) node.addEventListener(type, event => handlers.get(node)[type](event));
  own[type] = handler;
  handlers.set(node, own);
}

/**
 * An element: `h("button", { class: "primary", onclick: go, "aria-pressed": true }, "Go")`. Text is text, never HTML.
 *
 * A `key` (or an `id`) says which element of the next redraw is this one. Handlers shall find other elements by what shows, and not keep
 * them:
 * of a redraw's elements only those stay that were not there before.
 */
export function h(name, properties = {}, ...children) {
  const node = document.createElement(name);
  for (const [property, value] of Object.entries(properties ?? {})) {
    if (value == null || value === false) continue;
    if (property === "key") keys.set(node, String(value));
    else if (property.startsWith("on")) listen(node, property.slice(2), value);
    else if (property === "data") Object.assign(node.dataset, value);
    else if (property in node && !property.includes("-") && typeof value !== "string") node[property] = value;
    else node.setAttribute(property, value === true ? "" : value);
  }
  node.append(...children.flat(3).filter(child => child != null && child !== false));
  return node;
}

const name = node => node.nodeType === Node.ELEMENT_NODE ? keys.get(node) || node.id || null : null;
const isAlike = (a, b) => a.nodeName === b.nodeName && a.namespaceURI === b.namespaceURI && name(a) === name(b);

/** Makes the children of an element those that are wanted. Of elements that are there already, what differs is changed. */
function patch(parent, wanted) {
  const named = new Map(), loose = [];
  for (const node of parent.childNodes) name(node) ? named.set(name(node), node) : loose.push(node);
  const nodes = wanted.map(fresh => {
    let old;
    if (name(fresh)) {
      old = named.get(name(fresh));
      if (!old || !isAlike(old, fresh)) return fresh;
      named.delete(name(fresh));
    } else {
      const place = loose.findIndex(node => isAlike(node, fresh));
      if (place < 0) return fresh;
      [old] = loose.splice(0, place + 1).slice(-1);
    }
    update(old, fresh);
    return old;
  });
  const kept = new Set(nodes);
  for (const node of [...parent.childNodes]) if (!kept.has(node)) node.remove();
  let next = parent.firstChild;
  for (const node of nodes) {
    // What moved down is passed over and comes in its turn, so that one element that moved does not move all others.
    if (node !== next && next && node === next.nextSibling) next = node;
    if (node === next) next = next.nextSibling; else parent.insertBefore(node, next);
  }
}

function update(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const [type, handler] of Object.entries(handlers.get(fresh) ?? {})) listen(old, type, handler);
  // What somebody has written stays.
  if (old.nodeName === "TEXTAREA") {
    if (old.value === old.defaultValue && old.value !== fresh.value) old.value = old.defaultValue = fresh.defaultValue;
    return;
  }
  if (old.type === "checkbox") old.checked = fresh.checked;
  const value = fresh.value;
  patch(old, [...fresh.childNodes]);
  if (old.nodeName === "SELECT") old.value = value;
}

const FOCUSABLE = "a[href], button:not(:disabled), input:not(:disabled), select, textarea, summary, [tabindex]";

/** What somebody is looking at: where the focus is, else the first row, else the first part, that is not above the window. */
function lookedAt(root, focus) {
  if (scrollY < 1) return null;
  const bar = document.querySelector(".bar").offsetHeight;
  const inSight = node => {
    const { top, height } = node.getBoundingClientRect();
    return height > 0 && top >= bar && top < innerHeight ? { node, top } : null;
  };
  // What is beside the list stands still, whatever the list does.
  const nodes = [...(focus && !focus.closest(".beside") ? [focus] : []), ...root.querySelectorAll("tr, li"),
    ...root.querySelectorAll("section")];
  for (const node of nodes) if (!node.closest(".beside") && inSight(node)) return inSight(node);
  return null;
}

/**
 * Shows what is wanted in place of what shows. The focus stays, or goes to what is next to it; what is being looked at stays where it is.
 */
export function redraw(root, wanted) {
  const focus = root.contains(document.activeElement) ? document.activeElement : null;
  const order = focus ? [...root.querySelectorAll(FOCUSABLE)] : [], seen = lookedAt(root, focus);
  patch(root, wanted.flat(3).filter(Boolean));
  if (focus && document.activeElement !== focus) {
    const place = order.indexOf(focus), near = [...order.slice(place), ...order.slice(0, place).reverse()];
    near.find(node => node.isConnected && !node.disabled)?.focus({ preventScroll: true });
  }
  if (seen?.node.isConnected) {
    const shift = seen.node.getBoundingClientRect().top - seen.top;
    if (Math.abs(shift) >= 1) scrollBy({ top: shift, behavior: "instant" });
  }
}
