// The holds of actions: which are open, how one is added and released.
import { field, question, textInput } from "/ask.js";
import { h } from "/dom.js";
import { call } from "/server.js";
import { chip, count, empty, title, toast, when, words } from "/words.js";

const CHANNELS = ["email", "voice", "human"];
const ACTIONS = ["email_outreach", "schedule_meeting", "send_voice_message", "concierge_personal_intervention", "offer_credit_pack",
  "trigger_satisfaction_survey"];
const HOURS = [["", "until it is released"], ["1", "for an hour"], ["8", "for 8 hours"], ["24", "for a day"], ["168", "for a week"]];

export const loadHolds = async () => (await call("operations/holds", { scope: false })).items;

const what = hold => [hold.action ? title(hold.action) : "All actions", hold.channel ? `by ${hold.channel}` : "",
  hold.orgId ? `for clients of ${hold.orgId}` : ""].filter(Boolean).join(" ");

/** @param done called after something was changed. */
export function holdsCard(holds, done) {
  return h("section", { class: "card", id: "holds" }, h("div", { class: "title" }, h("h2", {}, "Held actions"),
    h("div", { class: "end" }, h("button", { id: "hold-add", type: "button", onclick: () => askAdd(done) }, "Hold actions"))),
    holds.length ? holds.map(hold => h("p", { class: "row", key: "hold-" + hold.id },
      chip(hold.state, hold.state === "open" ? "MEDIUM" : "plain"), h("b", {}, what(hold)),
      h("span", {}, `${count(hold.actions)} wait; held by ${hold.by}: ${hold.reason}`), h("span", { class: "soft" }, when(hold.at, true)),
      hold.until ? h("span", { class: "soft" }, "until ", when(hold.until)) : null,
      hold.state === "open" ? h("button", { id: "hold-release-" + hold.id, type: "button", onclick: () => askRelease(hold, done) }, "Release")
        : null)) : empty("Nothing is held", ""));
}

const select = (id, options) => h("select", { id }, options.map(([value, text]) => h("option", { value }, text)));

function askAdd(done) {
  question("Hold actions?", [
    h("p", {}, "Nothing that matches is published from then on, also what is decided already. Choose at least one."),
    field("hold-channel", "Channel", select("hold-channel", [["", "every channel"], ...CHANNELS.map(name => [name, name])])),
    field("hold-action", "Action", select("hold-action", [["", "every action"], ...ACTIONS.map(name => [name, words(name)])])),
    field("hold-orgId", "Organisation (its id; may be left out)", textInput("hold-orgId", false)),
    field("hold-hours", "How long", select("hold-hours", HOURS)), field("hold-reason", "Why (for the record)", textInput("hold-reason", true)),
  ], "Hold", async value => {
    const body = { reason: value("hold-reason") }, hours = Number(value("hold-hours"));
    for (const name of ["channel", "action", "orgId"]) if (value("hold-" + name)) body[name] = value("hold-" + name);
    if (hours) body.until = new Date(Date.now() + hours * 3600_000).toISOString();
    await change(() => call("operations/holds", { method: "POST", body }), answer => {
      const late = answer.instances.filter(instance => instance.answer === "late").map(instance => instance.id);
      if (answer.withoutLease) late.push(`${count(answer.withoutLease)} of an earlier version`);
      return answer.confirmed ? "Held: nothing of it is published any more." : `Recorded, but not confirmed by ${late.join(", ")}.`;
    }, done);
  });
}

function askRelease(hold, done) {
  question("Release the hold?", [
    h("p", {}, `${what(hold)}: ${count(hold.actions)} that wait are not published as they were decided. Their clients are decided again.`),
    field("hold-rate", "Clients a second", h("input", { id: "hold-rate", type: "number", min: "0.1", max: "1000", step: "any", value: "100" })),
  ], "Release", value => change(() => call(`operations/holds/${hold.id}/release`, { method: "POST", body: { rate: Number(value("hold-rate")) } }),
      () => "Released: the clients are decided again.", done));
}

async function change(send, say, done) {
  try { toast(say(await send())); } catch (error) { toast(title(error.message) + "."); }
  await done();
}
