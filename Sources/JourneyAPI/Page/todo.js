// What people do about actions: the list of those that wait for them, an action's life, and the buttons that report an outcome.
import { field, question, textInput } from "/ask.js";
import { heads, table } from "/clients.js";
import { h } from "/dom.js";
import { Pages, call, session } from "/server.js";
import { View } from "/view.js";
import { chip, count, empty, line, title, toast, when, who, words } from "/words.js";

const UNRUN = ["proposed", "held", "published"];
const OPEN = [...UNRUN, "delivered", "opened"];
/** Whether it is on the list of people, and nobody has run it yet. */
const isListed = action => action.state === "delivered" && action.channel === "human";
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
      button("snooze", "Snooze", () => question("Snooze until when?", field("answer", "The day on which it is to be done",
        h("input", { id: "answer", type: "date", required: true, min: inDays(1), max: inDays(89), value: inDays(1) })), "Snooze",
        value => report(view, action, "outcome", { outcome: "snoozed", until: new Date(value("answer") + "T08:00").toISOString() }, "snoozed"))),
      button("irrelevant", "Not relevant", () => report(view, action, "outcome", { outcome: "rejected", detail: "not relevant" }, "not relevant")),
    ] : null,
    session.caller?.operator && (UNRUN.includes(action.state) || isListed(action)) ? button("revoke", "Revoke", () => question("Take this action back?",
      field("answer", "Why (for the record and the worker)", textInput("answer", true)), "Revoke",
      value => report(view, action, "revoke", { reason: value("answer") }, "revoked"))) : null);
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
    // What is snoozed stands below what is to be done.
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
