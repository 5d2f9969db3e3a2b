// What people do about actions: the list of those that wait for them, an action's life, and the buttons that report an outcome.
import { heads, table } from "/clients.js";
import { h } from "/dom.js";
import { Pages, call, session } from "/server.js";
import { View } from "/view.js";
import { chip, count, empty, line, title, toast, when, who, words } from "/words.js";

const OPEN = ["proposed", "held", "published", "delivered", "opened"];
const isOpen = action => OPEN.includes(action.state);
const isSnoozed = action => Date.parse(action.snoozedUntil) > Date.now();
/** What the server makes of a report shows a moment later: until then, what was reported. */
const reported = new Map();
const mark = action => [action.state, action.changedAt, action.snoozedUntil].join();

async function report(view, action, path, body, said) {
  try {
    await call(`journey/actions/${action.id}/${path}`, { method: "POST", body });
    reported.set(action.id, { said, mark: mark(action) });
  } catch (error) { toast(title(error.message) + "."); }
  view.redraw();
  setTimeout(() => view.refresh(), 700);
}

/**
 * Asks before something is reported.
 * @param field the input that has to be filled in.
 */
function ask(head, text, verb, field, send) {
  const from = document.activeElement;
  const dialog = h("dialog", { class: "card", "aria-labelledby": "ask" },
    h("form", { method: "dialog", class: "grid", onsubmit: () => send(dialog.querySelector("input").value) },
      h("h2", { id: "ask" }, head), h("label", { for: "answer" }, text), h("input", { id: "answer", autocomplete: "off", required: true, ...field }),
      h("p", { class: "row" }, h("button", { id: "yes", class: "primary" }, verb),
        h("button", { id: "no", type: "button", onclick: () => dialog.close() }, "Cancel"))));
  dialog.addEventListener("close", () => { dialog.remove(); if (from?.isConnected) from.focus({ preventScroll: true }); });
  document.body.append(dialog);
  dialog.showModal();
}

/** A day as an input has it, so many days from now. */
function inDays(days) {
  const day = new Date(Date.now() + days * 86_400_000);
  return [day.getFullYear(), day.getMonth() + 1, day.getDate()].map(part => String(part).padStart(2, "0")).join("-");
}

/** How an action stands, and what the caller can report of it. */
export function actionState(view, action) {
  const sent = reported.get(action.id);
  if (sent?.mark === mark(action)) return h("span", { class: "row", role: "status" }, chip(sent.said, "ok"));
  const what = `${words(action.action)} for ${action.clientName ?? "this client"}`;
  const button = (name, text, go) => h("button", { id: `${name}-${action.id}`, type: "button", "aria-label": `${text}: ${what}`, onclick: go }, text);
  const state = isOpen(action) && isSnoozed(action) ? h("span", { class: "soft small" }, "snoozed until ", when(action.snoozedUntil))
    : chip(action.state, "plain");
  return h("span", { class: "row" }, state,
    isOpen(action) && action.channel === "human" ? [
      button("done", "Done", () => report(view, action, "outcome", { outcome: "accepted" }, "done")),
      button("snooze", "Snooze", () => ask("Snooze until when?", "The day on which it is to be done", "Snooze",
        { type: "date", min: inDays(1), max: inDays(89), value: inDays(1) },
        day => report(view, action, "outcome", { outcome: "snoozed", until: new Date(day + "T08:00").toISOString() }, "snoozed"))),
      button("irrelevant", "Not relevant", () => report(view, action, "outcome", { outcome: "rejected", detail: "not relevant" }, "not relevant")),
    ] : null,
    session.caller?.operator && ["proposed", "published"].includes(action.state) || action.state === "delivered" && action.channel === "human" ? button("revoke", "Revoke", () => ask("Take this action back?",
      "Why (for the record and the worker)", "Revoke", { type: "text", maxlength: "200" },
      reason => report(view, action, "revoke", { reason }, "revoked"))) : null);
}

/** What has happened to an action, oldest first. */
export function actionLife(action) {
  return h("details", { id: "life-" + action.id }, h("summary", {}, "Its life"), h("ol", { class: "plain" }, action.history.map(entry =>
    h("li", { class: "row small" }, when(entry.at), h("b", {}, words(entry.state ?? entry.outcome)),
      entry.outcome && entry.state && entry.outcome !== entry.state ? h("span", {}, `(${words(entry.outcome)})`) : null,
      h("span", { class: "soft" }, [entry.by === "journey" ? null : "by " + entry.by, entry.detail].filter(Boolean).join(": "))))));
}

const HEADS = [["What", "wide"], ["Client"], ["Why", "wide"], ["Since"], ["Its state", "wide"]];

class TodoView extends View {
  heading = "To do";

  async load() {
    this.pages = Pages.of(this.pages, "journey/actions?channel=human&open=true", { id: action => action.id });
    await this.pages.load();
    return {};
  }

  draw() {
    const { items, isComplete } = this.pages;
    // What is put off stands below what is to be done.
    const rows = [...items].sort((a, b) => isSnoozed(a) - isSnoozed(b)).map(action => h("tr", { key: action.id },
      h("td", {}, h("div", { class: "name" }, title(action.action)), chip(action.priority, action.priority)),
      h("td", {}, h("a", { href: "#/client/" + action.clientId }, who({ name: action.clientName, clientId: action.clientId }))),
      h("td", {}, line(action.reason)), h("td", { class: "soft" }, when(action.decidedAt, true)), h("td", {}, actionState(this, action))));
    return [this.head(["Actions that wait for a person", isComplete && items.length ? ` · ${count(items.length)} in all` : "", " ",
      this.asOf(this.pages)]),
    h("section", { class: "card", key: "list" },
      items.length ? table(heads(HEADS), rows, this.heading, "clients actions") : empty("Nothing to do", "Actions for people show here."),
      this.rest(this.pages, "list"))];
  }
}

customElements.define("journey-todo", TodoView);
