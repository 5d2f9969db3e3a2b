// The frame: who is signed in, which view shows, and what changes meanwhile. Views are custom elements of the other files.
import { h } from "/dom.js";
import { forget } from "/search.js";
import { call, session } from "/server.js";
import { title } from "/words.js";

const routes = { map: "journey-map", client: "journey-client", risk: "journey-board", upsell: "journey-upsell", todo: "journey-todo",
  operations: "journey-operations" };
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
  for (const link of document.querySelectorAll(".rail a")) {
    link.getAttribute("href") === "#/" + known ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  }
  // Operations are of all organisations, whatever is chosen for the other views.
  document.querySelector("#organization").hidden = session.caller.organizations.length < 2 || known === "operations";
  const key = known + "/" + (id ?? "");
  if (!customElements.get(routes[known])) return fetchView(key);
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

/** Operations are for few people: their file comes when it is asked for. */
async function fetchView(key) {
  current = { key, view: { concerns: () => false, refresh: () => {} } };
  try {
    await import("/operations.js");
    if (current?.key !== key) return;
    current = { key: null };
    route();
  } catch {
    if (current?.key !== key) return;
    main.replaceChildren(h("section", { class: "card fault", role: "alert" }, h("h1", {}, "This cannot be shown right now"),
      h("p", {}, "A part of the page could not be loaded."), h("p", { class: "row" },
        h("button", { type: "button", onclick: () => location.reload() }, "Load the page again"))));
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
      if (response.status === 401) return session.ended();
      if (!response.ok) throw new Error(response.status);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        text += value;
        for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
          const part = text.slice(0, end);
          // What changed before is not shown.
          if (part.includes("event: ready")) { again(null); state("on"); pause = 1000; }
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
    if (!document.hidden) current?.view.refresh();
  }, delay));
}
document.addEventListener("visibilitychange", () => { if (!document.hidden && current) current.view.refresh(); });
addEventListener("online", () => { if (session.caller) watch(); });
addEventListener("offline", () => state("off"));
// A browser keeps pages that were left, with their connections, of which it has few.
addEventListener("pagehide", () => watching?.abort());
addEventListener("pageshow", event => { if (event.persisted && session.caller) { watch(); current?.view.refresh(); } });

addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || !session.caller || document.querySelector("dialog[open]")) return;
  if (/INPUT|TEXTAREA|SELECT/.test(document.activeElement?.tagName)) return;
  if (event.key === "/") { event.preventDefault(); document.querySelector("#q").focus(); }
  const target = { 1: "map", 2: "risk", 3: "upsell", 4: session.caller.operator ? "operations" : null, 5: "todo" }[event.key];
  if (target) location.hash = "#/" + target;
});

// Signing in --------------------------------------------------------------------------------------------------------------------------

/** What only somebody who is signed in has a use for. */
const menus = [".rail", ".find", "#organization", "#live", "#out"].map(part => document.querySelector(part));

function leave(why) {
  Object.assign(session, { token: "", organization: "", caller: null });
  current = null;
  watching?.abort();
  state("off");
  forget();
  for (const part of menus) part.hidden = true;
  for (const dialog of document.querySelectorAll("dialog")) dialog.remove();
  document.querySelector("#toast").replaceChildren();
  document.title = "Client journeys";
  main.replaceChildren(h("form", { class: "card sign",
    onsubmit: event => { event.preventDefault(); session.token = main.querySelector("#token").value.trim(); enter(); } },
    h("h1", {}, "Sign in"), why ? h("p", { role: "alert" }, why) : null, h("label", { for: "token" }, "Access token"),
    h("input", { id: "token", type: "password", autocomplete: "off", required: true, "aria-describedby": "token-note" }),
    h("p", { id: "token-note", class: "soft small" }, "The one that your organisation's application gives you. It stays in this tab."),
    h("p", { class: "row" }, h("button", { class: "primary" }, "Sign in"))));
}
session.ended = () => leave("Your sign-in has ended.");

async function enter() {
  if (!session.token) return leave();
  try {
    session.caller = await call("journey/me", { scope: false });
  } catch (error) {
    if (session.token) leave(title(error.message) + ".");
    return;
  }
  for (const part of menus) part.hidden = false;
  document.querySelector("#operations-link").hidden = !session.caller.operator;
  const choice = document.querySelector("#organization"), organizations = session.caller.organizations;
  // What was chosen before a reload, unless it was another user's choice.
  if (organizations.length < 2 || !organizations.some(org => org.id === session.organization)) session.organization = "";
  choice.replaceChildren(h("option", { value: "" }, "All organisations"),
    ...organizations.map(org => h("option", { value: org.id }, org.name || org.id)));
  choice.value = session.organization;
  choice.classList.toggle("on", Boolean(session.organization));
  current = null;
  route();
  watch();
}

document.querySelector("#organization").addEventListener("change", event => {
  session.organization = event.target.value;
  event.target.classList.toggle("on", Boolean(session.organization));
  forget();
  current?.view.refresh();
});
document.querySelector("#out").addEventListener("click", () => leave("You are signed out."));
document.querySelector("#theme").addEventListener("click", () => {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", document.documentElement.dataset.theme = theme);
});
document.documentElement.dataset.theme = localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark"
  : "light");

/** A token in the address's fragment, which never reaches a server, is taken and not left there. */
function take() {
  const given = /^#token=([\w.-]+)$/.exec(location.hash);
  if (!given) return false;
  // Another user's choice does not hold for this one; a reload comes without a token.
  Object.assign(session, { token: given[1], organization: "" });
  history.replaceState(null, "", location.pathname + "#/map");
  return true;
}
addEventListener("hashchange", () => take() ? enter() : route());

Promise.all(["/map.js", "/client.js", "/boards.js", "/todo.js"].map(file => import(file))).then(() => {
  take();
  enter();
});
