// The question before dead letters are replayed or discarded: how many they are, and why.
import { h } from "/dom.js";
import { count } from "/words.js";

export const deadLetters = number => number === 1 ? "1 dead letter" : `${count(number)} dead letters`;

/**
 * Asks before anything is done; the reason stands in the record.
 * @param what says which dead letters they are, for a person.
 * @param send called with the reason once it is confirmed.
 */
export function ask(verb, number, what, send) {
  const isDiscard = verb === "discard", from = document.activeElement;
  const dialog = h("dialog", { class: "card", "aria-labelledby": "ask" },
    h("form", { method: "dialog", class: "grid", onsubmit: () => send(dialog.querySelector("#reason").value) },
      h("h2", { id: "ask" }, isDiscard ? `Discard ${deadLetters(number)} for good?` : `Publish ${deadLetters(number)} again?`),
      h("p", {}, what, isDiscard ? ". What is discarded is not replayed any more."
        : ". Dead letters that failed the same way three times are left alone."),
      h("label", { for: "reason" }, isDiscard ? "Why (for the record)" : "Why (for the record; may be left out)"),
      h("input", { id: "reason", type: "text", maxlength: "200", autocomplete: "off", required: isDiscard }),
      h("p", { class: "row" }, h("button", { id: "yes", class: isDiscard ? "danger full" : "primary" },
        `${isDiscard ? "Discard" : "Replay"} ${count(number)}`),
        h("button", { id: "no", type: "button", onclick: () => dialog.close() }, "Cancel"))));
  dialog.addEventListener("close", () => { dialog.remove(); if (from?.isConnected) from.focus({ preventScroll: true }); });
  document.body.append(dialog);
  dialog.showModal();
}
