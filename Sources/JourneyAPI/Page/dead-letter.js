// One dead letter: why, what the mapping makes of it now, its body to be edited.
import { h } from "/dom.js";
import { chip, title, toast, when, words } from "/words.js";

/** What turns one JSON value into another, as a JSON patch (RFC 6902). Lists are replaced as a whole. */
export function patch(before, after, path = "") {
  const isObject = value => value && typeof value === "object" && !Array.isArray(value);
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  if (!isObject(before) || !isObject(after)) return [{ op: "replace", path, value: after }];
  const step = name => path + "/" + name.replaceAll("~", "~0").replaceAll("/", "~1");
  return [
    ...Object.keys(before).filter(name => !(name in after)).map(name => ({ op: "remove", path: step(name) })),
    ...Object.keys(after).flatMap(name => name in before ? patch(before[name], after[name], step(name))
      : [{ op: "add", path: step(name), value: after[name] }]),
  ];
}

const says = part => part.outcome === "event" ? `becomes ${words(part.type)}` : part.outcome === "ignored" ? `is ignored: ${part.reason}`
  : `is refused: ${part.field ? part.field + ": " : ""}${part.message}`;

/** What somebody has made of a dead letter's body and not sent yet, by dead letter: it is there again when the dead letter is opened again. */
const drafts = new Map();

/** @param ask `(verb, order)`, for this dead letter. */
export function deadLetterPanel(deadLetter, ask) {
  let parsed = null;
  try { parsed = JSON.parse(deadLetter.bodyText); } catch { /* Shown as it is. */ }
  const isOpen = deadLetter.state === "new", isFixed = !parsed || !isOpen, original = parsed ? JSON.stringify(parsed, null, 2)
    : deadLetter.bodyText ?? "(no text)";
  const area = h("textarea", { id: "body", class: "mono", rows: "14", spellcheck: "false", "aria-label": "Body", readOnly: isFixed,
    oninput: event => drafts.set(deadLetter.id, event.target.value) });
  area.defaultValue = original;
  if (drafts.has(deadLetter.id) && !isFixed) area.value = drafts.get(deadLetter.id);
  const send = () => {
    if (isFixed) return ask("replay", { force: true });
    let edited;
    try { edited = JSON.parse(document.querySelector("#body").value); } catch (error) { return toast("The body is not JSON: " + error.message); }
    const edit = patch(parsed, edited);
    ask("replay", { force: true, ...(edit.length ? { edit } : {}) });
  };
  const facts = [["Field", deadLetter.field], ["Value", deadLetter.value], ["Source", deadLetter.source], ["Type", deadLetter.type],
    ["Published to", `${deadLetter.exchange || "(default)"} · ${deadLetter.routingKey}`], ["Message", deadLetter.messageId],
    ["Headers not kept", (deadLetter.redactedHeaders ?? []).join(", ")]];
  return panel(deadLetter.id + deadLetter.state, title(deadLetter.code), chip(deadLetter.state, "plain"),
    deadLetter.reason.split("\n").map(line => h("p", {}, line)),
    h("dl", { class: "small" }, facts.filter(([, value]) => value).map(([name, value]) => [h("dt", {}, name), h("dd", { class: "mono" },
      value)]),
      h("dt", {}, "Failed"), h("dd", {}, when(deadLetter.failedAt), `, ${deadLetter.sameFailures} times this way`)),
    h("h3", {}, "By the mapping as it is now"), h("ul", {}, deadLetter.mapping.map(part => h("li", {}, says(part)))),
    h("h3", {}, isFixed ? "Body" : "Body (edit it, then replay)"),
    deadLetter.truncated ? h("p", { class: "small" }, `This is the beginning of ${deadLetter.bodySize} bytes. `,
      deadLetter.bodySha256 ? "More is not kept, so it cannot be replayed." : "All of it: journey dlq show --raw") : null, area,
    isOpen ? h("p", { class: "row", key: "do" }, h("button", { id: "replay-one", type: "button", class: "primary", onclick: send },
      "Replay"),
      h("button", { id: "discard-one", type: "button", class: "danger", onclick: () => ask("discard", {}) }, "Discard")) : null,
    deadLetter.history.length ? [h("h3", {}, "History"), h("ul", {}, deadLetter.history.map(entry => h("li", { class: "small" }, when(entry.at),
      ` ${words(entry.action)} by ${entry.actor}`, entry.why ? `: ${entry.why}` : "", entry.result ? ` (${entry.result})` : "")))] : null);
}

export const goneDeadLetter = id => panel(id, "Nothing here", null, h("p", {}, "There is no such dead letter, or not any more."));

const panel = (id, head, state, ...parts) => h("section", { class: "card beside", id: "dead-letter", key: "dead-letter-" + id,
  "aria-labelledby": "dead-letter-head" },
  h("div", { class: "title" }, h("h2", { id: "dead-letter-head", tabindex: "-1" }, head), state,
    h("div", { class: "end" }, h("a", { id: "close-dead-letter", class: "button", href: "#/operations", title: "Escape" }, "Close"))), parts);

/** Forgets what was written: it is on its way. */
export const forgetDraft = id => drafts.delete(id);
