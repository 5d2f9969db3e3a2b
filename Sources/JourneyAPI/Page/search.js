// Finding a client by name or e-mail.
import { h } from "/dom.js";
import { call, session } from "/server.js";
import { level, who } from "/words.js";

const find = document.querySelector("#q"), found = document.querySelector("#found");
let asked = 0, marked = -1;

function mark(index) {
  const items = [...found.children];
  marked = items.length ? (index + items.length) % items.length : -1;
  items.forEach((item, place) => item.setAttribute("aria-selected", place === marked));
  marked >= 0 ? find.setAttribute("aria-activedescendant", items[marked].id) : find.removeAttribute("aria-activedescendant");
}
function close() {
  found.hidden = true;
  find.setAttribute("aria-expanded", "false");
  find.removeAttribute("aria-activedescendant");
}
function open(client) { forget(); find.blur(); location.hash = "#/client/" + client; }

/** Nothing is left of what was looked for. */
export function forget() { asked++; find.value = ""; close(); found.replaceChildren(); }

find.addEventListener("input", async () => {
  const run = ++asked, text = find.value.trim();
  if (!text || !session.caller) return close();
  await new Promise(done => setTimeout(done, 180));
  if (run !== asked) return;
  const page = await call("journey/clients?limit=8&q=" + encodeURIComponent(text)).catch(() => null);
  if (run !== asked || !page) return;
  const draw = (client, index) => h("li", { id: "found-" + index, role: "option", data: { id: client.clientId },
    onmousedown: event => { event.preventDefault(); open(client.clientId); } },
  h("div", { class: "two-lines" }, h("div", { class: "name" }, who(client)), h("div", { class: "soft small line" },
    client.email ?? client.clientId)), level(client.riskLevel));
  found.replaceChildren(...(page.items.length ? page.items.map(draw) : [h("li", { class: "soft", role: "option", "aria-disabled": "true" },
    "Nobody by that name")]));
  found.hidden = false;
  find.setAttribute("aria-expanded", "true");
  mark(0);
});
find.addEventListener("keydown", event => {
  if (event.key === "ArrowDown") { event.preventDefault(); mark(marked + 1); }
  if (event.key === "ArrowUp") { event.preventDefault(); mark(marked - 1); }
  if (event.key === "Escape") { event.stopPropagation(); close(); find.blur(); }
});
find.addEventListener("blur", close);
document.querySelector("#find").addEventListener("submit", event => {
  event.preventDefault();
  const id = found.children[marked]?.dataset.id;
  if (!found.hidden && id) open(id);
});
