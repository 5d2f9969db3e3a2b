// Questions before anything is done: a dialog with a form.
import { h } from "/dom.js";
import { count } from "/words.js";

export const deadLetters = number => number === 1 ? "1 dead letter" : `${count(number)} dead letters`;

/** An input with its label. */
export const field = (id, label, input) => [h("label", { for: id }, label), input];
export const textInput = (id, required) => h("input", { id, type: "text", maxlength: "200", autocomplete: "off", required });

/**
 * Asks, and gives the focus back afterwards.
 * @param content what stands between the heading and the buttons.
 * @param verb on the button that confirms.
 * @param send called once it is confirmed, with a function from the id of an input to its value.
 */
export function question(head, content, verb, send, style = "primary") {
  const from = document.activeElement;
  const dialog = h("dialog", { class: "card", "aria-labelledby": "ask" },
    h("form", { method: "dialog", class: "grid", onsubmit: () => send(id => dialog.querySelector("#" + id).value.trim()) },
      h("h2", { id: "ask" }, head), content, h("p", { class: "row" }, h("button", { id: "yes", class: style }, verb),
        h("button", { id: "no", type: "button", onclick: () => dialog.close() }, "Cancel"))));
  dialog.addEventListener("close", () => { dialog.remove(); if (from?.isConnected) from.focus({ preventScroll: true }); });
  document.body.append(dialog);
  dialog.showModal();
}

/**
 * Asks before dead letters are replayed or discarded: how many they are, and why; the reason stands in the record.
 * @param what says which dead letters they are, for a person.
 * @param send called with the reason once it is confirmed.
 */
export function ask(verb, number, what, send) {
  const isDiscard = verb === "discard";
  question(isDiscard ? `Discard ${deadLetters(number)} for good?` : `Publish ${deadLetters(number)} again?`, [
    h("p", {}, what, isDiscard ? ". What is discarded is not replayed any more."
      : ". Dead letters that failed the same way three times are left alone."),
    field("reason", isDiscard ? "Why (for the record)" : "Why (for the record; may be left out)", textInput("reason", isDiscard)),
  ], `${isDiscard ? "Discard" : "Replay"} ${count(number)}`, value => send(value("reason")), isDiscard ? "danger full" : "primary");
}
