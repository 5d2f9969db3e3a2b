// What all views have in common.
import { h, redraw } from "/dom.js";
import { Refusal, older, session } from "/server.js";
import { clock, count, title, toast } from "/words.js";

/**
 * A view: loads, draws, and draws again when something changes. What is there stays until what is new can take its place, and is changed
 * in place.
 */
export class View extends HTMLElement {
  #run = 0;
  #data;
  heading = "";
  parameters = new URLSearchParams();

  async show(parameters) {
    this.parameters = parameters;
    this.replaceChildren(h("div", { class: "title", key: "title" }, h("h1", {}, this.heading)), this.skeleton());
    await this.refresh();
  }

  /** Asks the server, and draws what it says. */
  async refresh() {
    const run = ++this.#run;
    try {
      const data = await this.load();
      if (run !== this.#run || !this.isConnected) return;
      this.#data = data;
      this.redraw();
      this.dataset.state = "ready";
    } catch (error) {
      if (run !== this.#run || !this.isConnected) return;
      if (!(error instanceof Refusal)) console.error(error);
      if (this.dataset.state === "ready" && error.status !== 404) return toast("What you see may be old: " + error.message + ".");
      this.dataset.state = "error";
      this.replaceChildren(h("div", { class: "title", key: "title" }, h("h1", {}, this.heading)),
        h("section", { class: "card fault", role: "alert" }, h("h2", {},
          error.status === 404 ? "Nothing here" : "This cannot be shown right now"),
          h("p", {}, error.status === 404 ? "It does not exist, or it is not yours to see." : title(error.message) + "."),
          h("p", { class: "row" }, h("button", { type: "button", onclick: () => this.show(this.parameters) }, "Try again"))));
    }
  }

  /** Draws what the server said last, as the view stands now. */
  redraw() {
    if (this.#data === undefined || !this.isConnected) return;
    redraw(this, this.draw(this.#data));
    this.drawn?.(this.#data);
  }

  /** Whether a change concerns what shows; null changes concern everything. */
  concerns(change) { return true; }

  skeleton() {
    return h("div", { class: "grid", "aria-label": "Loading", role: "status" },
      [1, 2].map(() => h("div", { class: "wait card" }, h("p", { class: "empty" }, " "))));
  }

  /** The view's head, which also says where only a part of what is the caller's shows. */
  head(note, ...end) {
    const only = session.caller?.organizations.find(organization => organization.id === session.organization);
    return h("div", { class: "title", key: "title" }, h("h1", {}, this.heading), note ? h("span", { class: "soft" }, note) : null,
      only ? h("span", { id: "only", class: "chip" }, `${only.name || only.id} only`) : null, end.length ? h("div", { class: "end" }, end)
        : null);
  }

  /** Up to when what shows is right, where that is so long ago that it should be known. */
  asOf(...answers) {
    const old = answers.reduce((old, answer) => older(old, answer?.old), null);
    return old ? h("time", { id: "as-of", class: "chip plain", datetime: old,
      title: "Risks that time alone has brought or ended since then may not show yet" }, "as of " + clock(old)) : null;
  }

  /** Loads more of a list, and draws it. */
  async extend(pages, most) {
    try { await pages.more(most); } catch (error) { toast(title(error.message) + "."); }
    this.redraw();
  }

  /** How much of a list shows, and buttons for more. */
  rest(pages, name, total = null) {
    const shown = pages.items.length, all = total && total > shown ? ` of ${total}` : "";
    if (pages.isComplete) return null;
    return h("p", { class: "row", key: "rest-" + name }, h("button", { id: "more-" + name, type: "button",
      onclick: () => this.extend(pages) }, "Show more"),
      h("button", { id: "all-" + name, type: "button", class: "quiet", onclick: () => this.extend(pages, Infinity) }, "Show all"),
      h("span", { class: "soft small", role: "status" }, total ? `${count(shown)}${all} are shown`
        : `${count(shown)} are shown; there are more`));
  }
}
