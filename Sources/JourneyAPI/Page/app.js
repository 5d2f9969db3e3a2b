// The frame: who is signed in, which view shows, what the server says. Views are custom elements of the other files.

/** An element: `h("button", { class: "primary", onclick: go, "aria-pressed": true }, "Go")`. Text is text, never HTML. */
export function h(name, properties = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties ?? {})) {
    if (value == null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "data") Object.assign(node.dataset, value);
    else if (key in node && !key.includes("-") && typeof value !== "string") node[key] = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(3).filter(child => child != null && child !== false));
  return node;
}

export const words = text => text == null ? "" : String(text).replaceAll("_", " ");
export const title = text => words(text).replace(/^./, first => first.toUpperCase());
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const span = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
/** Whether a time can be shown; what cannot is shown as it came, and the rest of the view is there all the same. */
const isTime = time => Number.isFinite(+new Date(time));
/** A time in the viewer's zone, with the distance from now. */
export function when(time, short = false) {
  if (!time) return h("span", { class: "soft" }, "–");
  if (!isTime(time)) return h("span", { class: "soft" }, String(time));
  return h("time", { datetime: time, title: moment.format(new Date(time)) }, short ? ago(time) : moment.format(new Date(time)));
}
export function ago(time) {
  if (!isTime(time)) return String(time);
  const seconds = (new Date(time) - Date.now()) / 1000;
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) if (Math.abs(seconds) >= size) return span.format(Math.round(seconds / size), unit);
  return "just now";
}
export const date = time => {
  const moment = String(time).length === 10 ? time + "T12:00" : time;
  return isTime(moment) ? day.format(new Date(moment)) : String(time);
};
export const chip = (text, kind = "") => h("span", { class: "chip " + kind }, words(text));
export const level = value => value ? chip(value, value) : chip("not scored", "plain");

export function toast(text) {
  const note = h("p", {}, text);
  document.querySelector("#toast").append(note);
  setTimeout(() => note.remove(), 6000);
}

// The server --------------------------------------------------------------------------------------------------------------------------

export class Refusal extends Error {
  constructor(status, problem) {
    super(problem?.errors?.length ? problem.errors.map(error => `${error.field}: ${error.message}`).join("; ") : problem?.detail ?? `the server answered ${status}`);
    this.status = status;
  }
}

export const session = {
  // For this tab alone, and gone with it.
  get token() { return sessionStorage.getItem("token"); },
  set token(value) { value ? sessionStorage.setItem("token", value) : sessionStorage.removeItem("token"); },
  organization: "",
  caller: null,
};

/** A request to the API; its answer as an object. */
export async function call(path, { method = "GET", body, scope = true } = {}) {
  const url = new URL("/api/" + path, location.origin);
  if (scope && session.organization && method === "GET") url.searchParams.set("organization", session.organization);
  let response;
  try {
    response = await fetch(url, { method, headers: { Authorization: "Bearer " + session.token, ...(body ? { "Content-Type": "application/json" } : {}) },
      body: body ? JSON.stringify(body) : undefined, cache: "no-cache" });
  } catch {
    throw new Refusal(0, { detail: navigator.onLine ? "the server cannot be reached" : "this device is offline" });
  }
  if (response.status === 401) leave("Your sign-in has ended.");
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new Refusal(response.status, answer);
  return answer;
}

// Views -------------------------------------------------------------------------------------------------------------------------------

/** A view: loads, draws, and draws again when something changes. What is there stays until what is new can take its place. */
export class View extends HTMLElement {
  #run = 0;
  heading = "";
  parameters = new URLSearchParams();

  async show(parameters) {
    this.parameters = parameters;
    this.replaceChildren(h("div", { class: "title" }, h("h1", {}, this.heading)), this.skeleton());
    await this.refresh();
  }

  async refresh() {
    const run = ++this.#run;
    try {
      const data = await this.load();
      if (run !== this.#run || !this.isConnected) return;
      const open = [...this.querySelectorAll("details[open][id]")].map(part => part.id), focus = document.activeElement?.id, top = scrollY;
      this.replaceChildren(...this.draw(data).flat(3).filter(Boolean));
      for (const id of open) this.querySelector("#" + CSS.escape(id))?.setAttribute("open", "");
      if (focus) this.querySelector("#" + CSS.escape(focus))?.focus({ preventScroll: true });
      scrollTo({ top, behavior: "instant" });
      this.dataset.state = "ready";
    } catch (error) {
      if (run !== this.#run) return;
      if (!(error instanceof Refusal)) console.error(error);
      if (this.dataset.state === "ready" && error.status !== 404) return toast("What you see may be old: " + error.message + ".");
      this.dataset.state = "error";
      this.replaceChildren(h("div", { class: "title" }, h("h1", {}, this.heading)),
        h("section", { class: "card fault", role: "alert" }, h("h2", {}, error.status === 404 ? "Nothing here" : "This cannot be shown right now"),
          h("p", {}, error.status === 404 ? "It does not exist, or it is not yours to see." : title(error.message) + "."),
          h("p", { class: "row" }, h("button", { type: "button", onclick: () => this.show(this.parameters) }, "Try again"))));
    }
  }

  /** Whether a change concerns what shows; null changes concern everything. */
  concerns(change) { return true; }
  skeleton() { return h("div", { class: "grid", "aria-label": "Loading", role: "status" }, ...[1, 2].map(() => h("div", { class: "wait card" }, h("p", { class: "empty" }, " ")))); }
}

/** A list of pages: what is there, and a button for more. */
export function more(page, path, draw, into) {
  if (!page.nextCursor) return null;
  let cursor = page.nextCursor;
  const button = h("button", { type: "button", onclick: async () => {
    button.disabled = true;
    try {
      const next = await call(path + (path.includes("?") ? "&" : "?") + "cursor=" + cursor);
      into.append(...next.items.map(draw));
      cursor = next.nextCursor;
      if (!cursor) button.remove();
    } catch (error) { toast(error.message); }
    button.disabled = false;
  } }, "Show more");
  return h("p", { class: "row" }, button);
}

export const empty = (head, text) => h("div", { class: "empty" }, h("b", {}, head), text);

const routes = { map: "journey-map", client: "journey-client", risk: "journey-board", upsell: "journey-upsell", operations: "journey-operations" };
const main = document.querySelector("#main");
let current = null;

/** What an address means, whoever wrote it; what cannot be decoded means itself. */
function decoded(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

function route() {
  if (!session.caller) return;
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, id] = path.split("/");
  const parameters = new URLSearchParams(query);
  if (id) parameters.set("id", decoded(id));
  const known = Object.hasOwn(routes, name) && (name !== "operations" || session.caller.operator) ? name : "map";
  for (const link of document.querySelectorAll(".rail a")) link.getAttribute("href") === "#/" + known ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  const key = known + "/" + (id ?? "");
  if (current?.key !== key) {
    const isFirst = current == null;
    current = { key, view: document.createElement(routes[known]) };
    main.replaceChildren(current.view);
    document.title = current.view.heading + " · Client journeys";
    if (!isFirst) { main.focus({ preventScroll: true }); scrollTo(0, 0); }
    current.view.show(parameters);
  } else {
    current.view.parameters = parameters;
    current.view.refresh();
  }
}

// Live --------------------------------------------------------------------------------------------------------------------------------

const live = document.querySelector("#live");
let watching = null;

function state(name) {
  live.dataset.state = name;
  live.textContent = name === "on" ? "live" : "offline";
}

/** By fetch and not by EventSource, which cannot carry a token but in its address. */
async function watch() {
  watching?.abort();
  const stop = watching = new AbortController();
  let pause = 1000;
  while (!stop.signal.aborted && session.token) {
    try {
      const response = await fetch("/api/journey/live", { headers: { Authorization: "Bearer " + session.token }, signal: stop.signal });
      if (response.status === 401) return leave("Your sign-in has ended.");
      if (!response.ok) throw new Error(response.status);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        text += value;
        for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
          const part = text.slice(0, end);
          if (part.includes("event: ready")) { if (pause > 1000) again(null); state("on"); pause = 1000; }
          if (part.includes("event: change")) again(JSON.parse(part.slice(part.indexOf("data: ") + 6)));
        }
      }
    } catch { if (stop.signal.aborted) return; }
    state("off");
    await new Promise(done => setTimeout(done, pause));
    pause = Math.min(15_000, pause * 2);
  }
}

let timers = [];
/** Soon, and once more when the counts behind the map have had their time. */
function again(change) {
  if (!current || (change && !current.view.concerns(change))) return;
  if (timers.length) return;
  timers = [600, 3000].map((delay, index, all) => setTimeout(() => {
    if (index === all.length - 1) timers = [];
    if (!document.hidden) current.view.refresh();
  }, delay));
}
document.addEventListener("visibilitychange", () => { if (!document.hidden && current) current.view.refresh(); });
addEventListener("online", () => watch());
addEventListener("offline", () => state("off"));

// Search ------------------------------------------------------------------------------------------------------------------------------

const find = document.querySelector("#q"), found = document.querySelector("#found");
let asked = 0, marked = -1;

function mark(index) {
  const items = [...found.children];
  marked = items.length ? (index + items.length) % items.length : -1;
  items.forEach((item, place) => item.setAttribute("aria-selected", place === marked));
  find.setAttribute("aria-activedescendant", marked >= 0 ? items[marked].id : "");
}
function close() { found.hidden = true; find.setAttribute("aria-expanded", "false"); }
function open(client) { close(); find.value = ""; find.blur(); location.hash = "#/client/" + client; }

find.addEventListener("input", async () => {
  const run = ++asked, text = find.value.trim();
  if (!text || !session.caller) return close();
  await new Promise(done => setTimeout(done, 180));
  if (run !== asked) return;
  const page = await call("journey/clients?limit=8&q=" + encodeURIComponent(text)).catch(() => null);
  if (run !== asked || !page) return;
  found.replaceChildren(...(page.items.length ? page.items.map((client, index) => h("li", { id: "found-" + index, role: "option", data: { id: client.clientId },
    onmousedown: event => { event.preventDefault(); open(client.clientId); } }, h("span", { class: "name" }, client.name ?? client.email ?? client.clientId),
    level(client.riskLevel))) : [h("li", { class: "soft", role: "option", "aria-disabled": "true" }, "Nobody by that name")]));
  found.hidden = false;
  find.setAttribute("aria-expanded", "true");
  mark(0);
});
find.addEventListener("keydown", event => {
  if (event.key === "ArrowDown") { event.preventDefault(); mark(marked + 1); }
  if (event.key === "ArrowUp") { event.preventDefault(); mark(marked - 1); }
  if (event.key === "Escape") { close(); find.blur(); }
});
find.addEventListener("blur", close);
document.querySelector("#find").addEventListener("submit", event => {
  event.preventDefault();
  const id = found.children[marked]?.dataset.id;
  if (!found.hidden && id) open(id);
});
addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || /INPUT|TEXTAREA|SELECT/.test(document.activeElement?.tagName)) return;
  if (event.key === "/") { event.preventDefault(); find.focus(); }
  const target = { 1: "map", 2: "risk", 3: "upsell", 4: "operations" }[event.key];
  if (target && session.caller) location.hash = "#/" + target;
});

// Signing in --------------------------------------------------------------------------------------------------------------------------

function leave(why) {
  session.token = null;
  session.caller = null;
  current = null;
  watching?.abort();
  state("off");
  document.querySelector(".rail").hidden = true;
  for (const id of ["out", "organization"]) document.getElementById(id).hidden = true;
  const field = h("input", { id: "token", type: "password", autocomplete: "off", required: true, "aria-describedby": "token-note" });
  main.replaceChildren(h("form", { class: "card sign", onsubmit: event => { event.preventDefault(); session.token = field.value.trim(); enter(); } },
    h("h1", {}, "Sign in"), why ? h("p", { role: "alert" }, why) : null, h("label", { for: "token" }, "Access token"), field,
    h("p", { id: "token-note", class: "soft small" }, "The one that your organisation's application gives you. It stays in this tab."),
    h("p", { class: "row" }, h("button", { class: "primary" }, "Sign in"))));
}

async function enter() {
  if (!session.token) return leave();
  try {
    session.caller = await call("journey/me", { scope: false });
  } catch (error) {
    if (session.token) leave(title(error.message) + ".");
    return;
  }
  document.querySelector(".rail").hidden = false;
  document.querySelector("#out").hidden = false;
  document.querySelector("#operations-link").hidden = !session.caller.operator;
  const choice = document.querySelector("#organization"), organizations = session.caller.organizations;
  choice.replaceChildren(h("option", { value: "" }, "All organisations"), ...organizations.map(org => h("option", { value: org.id }, org.name || org.id)));
  choice.hidden = organizations.length < 2;
  current = null;
  route();
  watch();
}

document.querySelector("#organization").addEventListener("change", event => { session.organization = event.target.value; current?.view.refresh(); });
document.querySelector("#out").addEventListener("click", () => leave("You are signed out."));
document.querySelector("#theme").addEventListener("click", () => {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", document.documentElement.dataset.theme = theme);
});
document.documentElement.dataset.theme = localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

/** A token in the address's fragment, which never reaches a server, is taken and not left there. */
function take() {
  const given = /^#token=([\w.-]+)$/.exec(location.hash);
  if (!given) return false;
  session.token = given[1];
  history.replaceState(null, "", location.pathname + "#/map");
  return true;
}
addEventListener("hashchange", () => take() ? enter() : route());

// Not awaited at the top: these modules import this one.
Promise.all([import("/views.js"), import("/operations.js")]).then(() => {
  take();
  enter();
});
