// How names, times and levels are said.
import { h } from "/dom.js";

export const words = text => text == null ? "" : String(text).replaceAll("_", " ");
export const title = text => words(text).replace(/^./, first => first.toUpperCase());
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const hour = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const span = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const whole = new Intl.NumberFormat("en");
export const count = number => whole.format(number);

/** Whether a time can be shown; what cannot is shown as it came, and the rest of the view is there all the same. */
const isTime = time => Number.isFinite(+new Date(time));
/** A time in the viewer's zone, with the distance from now. */
export function when(time, short = false) {
  if (!time) return h("span", { class: "soft" }, "–");
  if (!isTime(time)) return h("span", { class: "soft" }, String(time));
  const full = moment.format(new Date(time));
  return h("time", { datetime: time, title: full }, short ? ago(time) : full);
}
export function ago(time) {
  if (!isTime(time)) return String(time);
  const seconds = (new Date(time) - Date.now()) / 1000;
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(seconds) >= size) return span.format(Math.round(seconds / size), unit);
  }
  return "just now";
}
/** The time of day of a moment of today; of another day with the day. */
export function clock(time) {
  const then = new Date(time);
  return then.toDateString() === new Date().toDateString() ? hour.format(then) : moment.format(then);
}
export const date = time => {
  const moment = String(time).length === 10 ? time + "T12:00" : time;
  return isTime(moment) ? day.format(new Date(moment)) : String(time);
};
export const chip = (text, kind = "") => h("span", { class: "chip " + kind }, words(text));
export const level = value => value ? chip(value, value) : chip("not scored", "plain");
export const empty = (head, text) => h("div", { class: "empty" }, h("b", {}, head), text);
/** One line that is cut if it is too long; whole under the pointer. */
export const line = (text, kind = "") => h("div", { class: "line " + kind, title: text || null }, text ?? "");

/** What a client is called. A name in which nothing can be seen is none. */
export function who(client) {
  const name = [client.name, client.email].find(text => /[\p{L}\p{N}\p{P}\p{S}]/u.test(text ?? ""));
  return name ?? `(no name) ${client.clientId}`;
}

const GRAVE = new Set(["invoice_overdue", "invoice_written_off", "payment_failed", "payment_refunded", "charge_disputed",
  "cancel_requested",
  "subscription_cancelled", "subscription_paused", "subscription_expired", "subscription_past_due", "subscription_downgraded",
    "downgrade_requested", "customer_deleted", "deal_lost", "milestone_delayed",
  "usage_low", "ticket_escalated", "ticket_reopened", "email_bounced"]);
/** Whether an event is bad news: by its type, by what was said, or since it put the client at risk of leaving. */
export const isGrave = event => GRAVE.has(event.eventType) || event.metadata?.sentiment === "negative" || (event.setsStage
  && event.stage === "churn_risk");

export function toast(text) {
  const place = document.querySelector("#toast");
  if ([...place.children].some(note => note.textContent === text)) return;
  const note = h("p", {}, text);
  place.append(note);
  setTimeout(() => note.remove(), 6000);
}
