// What operators see and do: how the stream runs, and the dead letters.
import { ask, deadLetters } from "/ask.js";
import { compact } from "/charts.js";
import { heads, table } from "/clients.js";
import { h } from "/dom.js";
import { forgetDraft, goneDeadLetter, deadLetterPanel } from "/dead-letter.js";
import { holdsCard, loadHolds } from "/holds.js";
import { Pages, call } from "/server.js";
import { View } from "/view.js";
import { chip, count, empty, line, title, toast, when, words } from "/words.js";

const HEADS = [["Why", "wide"], ["From", ""], ["When", ""], ["Times", "number"]];

class OperationsView extends View {
  heading = "Operations";
  chosen = new Set();
  state = "new";
  code = null;
  /** The replay that shows, with its progress. */
  replay = null;
  /** The dead letter that was opened last, to see when another one is. */
  opened = null;

  get deadLetter() { return this.parameters.get("letter"); }
  overview() { return call("operations/overview" + (this.state === "new" ? "" : "?state=" + this.state), { scope: false }); }

  async load() {
    const path = `operations/dead-letters?state=${this.state}` + (this.code ? "&code=" + encodeURIComponent(this.code) : ""),
      open = this.deadLetter;
    const pages = this.pages = Pages.of(this.pages, path, { scope: false, size: 50, id: deadLetter => deadLetter.id });
    const [overview, , deadLetter, holds] = await Promise.all([this.overview(), pages.load(), open ? this.find(open) : null, loadHolds()]);
    const shown = new Set(pages.items.map(deadLetter => deadLetter.id));
    for (const id of this.chosen) if (!shown.has(id)) this.chosen.delete(id);
    return { overview, deadLetter, holds };
  }

  /** A dead letter that is gone does not take the view with it. */
  async find(id) {
    try {
      return await call("operations/dead-letters/" + encodeURIComponent(id), { scope: false });
    } catch (error) {
      if (error.status !== 404) throw error;
      return { id, isGone: true };
    }
  }

  connectedCallback() {
    this.timer = setInterval(() => { if (!document.hidden) this.refresh(); }, 5000);
    this.onKey = event => {
      if (event.key === "Escape" && this.deadLetter && !document.querySelector("dialog[open]")) location.hash = "#/operations";
    };
    addEventListener("keydown", this.onKey);
  }
  disconnectedCallback() { clearInterval(this.timer); removeEventListener("keydown", this.onKey); }
  /** It looks for news by itself. */
  concerns(change) { return change == null; }

  draw({ overview, deadLetter, holds }) {
    const latest = overview.replays.find(replay => replay.id === this.replay?.id) ?? overview.replays[0];
    const replay = overview.replays.find(replay => replay.running) ?? (this.replay || latest?.waiting ? latest ?? this.replay : null);
    return [
      this.frame(overview),
      h("div", { class: "grid tiles", key: "tiles" }, [["Events a second", overview.perSecond.stored],
        ["Actions a second", overview.perSecond.published],
        ["Waiting in the queue", overview.queues.waiting], ["Open dead letters", overview.deadLetters.states.new],
        ["Stored since start", overview.counts.stored], ["Duplicates dropped", overview.counts.duplicates]]
        .map(([name, value]) => h("div", { class: "card tile" }, h("span", { class: "soft small" }, name), h("b", {}, compact(value))))),
      holdsCard(holds, () => this.refresh()),
      replay ? this.progress(replay) : null,
      h("div", { class: deadLetter ? "grid two split" : "grid", key: "dead-letters" }, this.list(overview),
        deadLetter ? (deadLetter.isGone ? goneDeadLetter(deadLetter.id) : deadLetterPanel(deadLetter, (verb, more) => this.askOne(verb, deadLetter, more))) : null),
    ];
  }

  frame(overview) {
    return h("div", { class: "title", key: "title" }, h("h1", {}, "Operations"), h("span", { class: "soft" }, "All organisations"),
      overview.paused ? chip(`paused by ${overview.paused.by}: ${overview.paused.reason ?? ""}`, "MEDIUM")
        : chip(overview.consuming ? "consuming" : "not consuming", overview.consuming ? "ok" : "CRITICAL"),
      overview.archiving ? null : chip("dead letters are not archived (deadLetters.archive)", "MEDIUM"));
  }

  /** A dead letter that is opened comes into sight, and what opened it gets the focus back when it is closed. */
  drawn() {
    if (this.deadLetter === this.opened) return;
    const before = this.opened;
    this.opened = this.deadLetter;
    if (this.opened) {
      const head = this.querySelector("#dead-letter-head");
      head?.scrollIntoView({ block: "nearest", behavior: "instant" });
      head?.focus({ preventScroll: true });
    } else {
      const row = this.querySelector("#open-" + CSS.escape(before)) ?? this.querySelector(".scroll");
      row?.focus({ preventScroll: true });
      row?.scrollIntoView({ block: "nearest", behavior: "instant" });
    }
  }

  progress(replay) {
    const { letters: all, confirmed, failed, held, waiting, passed, failedAgain } = replay, done = confirmed + failed;
    const isSettled = !replay.running && waiting === 0, bad = failedAgain + failed;
    const outcome = !isSettled ? chip("under way", "plain") : bad ? chip(`${count(bad)} failed again`, "CRITICAL")
      : passed ? chip("all passed", "ok") : chip("nothing was replayed", "MEDIUM");
    const verdict = `passed ${count(passed)}, failed again ${count(failedAgain)}, waiting ${count(waiting)}`;
    return h("section", { class: "card", id: "replay" }, h("div", { class: "title" }, h("h2", {}, `Replay ${replay.id}`), outcome),
      h("progress", { max: String(Math.max(1, all)), value: String(all ? done - waiting : 1), "aria-label": "Replayed dead letters" }),
      h("p", { id: "verdict", role: "status" }, `${deadLetters(all)}: ${verdict}`, failed ? `, not taken by the broker ${count(failed)}` : "",
      held ? `, left alone ${count(held)} (failed the same way three times, or too large)` : "", "."),
      replay.failure ? h("p", {}, title(replay.failure) + ".") : null);
  }

  list(overview) {
    const { items } = this.pages, isOpen = this.state === "new", { codes, states } = overview.deadLetters;
    const reason = ([code, number]) => h("button", { id: "code-" + (code ?? "all"), type: "button", class: "line",
      title: code ? words(code) : null,
      "aria-pressed": String(this.code === code), onclick: () => this.narrow(this.state, code) },
        `${code ? words(code) : "All"} (${count(number)})`);
    const choice = h("select", { id: "state", "aria-label": "State", onchange: event => this.narrow(event.target.value, null) },
      Object.keys(states).map(state => h("option", { value: state, selected: state === this.state },
        `${title(state)} (${count(states[state])})`)));
    const number = this.number(overview);
    return h("section", { class: "card", key: "list" }, h("div", { class: "title" }, h("h2", {}, "Dead letters"),
      h("div", { class: "end" }, choice)),
      h("div", { class: "row", key: "reasons", role: "group", "aria-label": "Reasons" }, [[null, states[this.state]],
        ...codes.map(group => [group.name, group.count])].map(reason)),
      isOpen && items.length ? h("p", { class: "row", key: "do" },
        h("button", { id: "replay-them", type: "button", class: "primary", onclick: () => this.askAll("replay") },
          `Replay ${this.which(number)}`),
        h("button", { id: "discard-them", type: "button", class: "danger", onclick: () => this.askAll("discard") },
          `Discard ${this.which(number)}`),
        this.chosen.size ? h("button", { id: "choose-none", type: "button", class: "quiet",
          onclick: () => { this.chosen.clear(); this.redraw(); } }, "Choose none") : null) : null,
      items.length ? table([h("td", { class: "pick-one" }), ...heads(HEADS)], items.map(deadLetter => this.row(deadLetter, isOpen)),
        "Dead letters", "dead-letters")
        : empty(isOpen ? "No dead letters" : "None here", isOpen ? "Every message could be used." : ""),
      this.rest(this.pages, "dead letters", number));
  }

  row(deadLetter, isOpen) {
    const pick = event => { event.target.checked ? this.chosen.add(deadLetter.id) : this.chosen.delete(deadLetter.id); this.redraw(); };
    return h("tr", { key: deadLetter.id, "aria-current": deadLetter.id === this.deadLetter ? "true" : null },
      h("td", {}, isOpen ? h("input", { id: "pick-" + deadLetter.id, type: "checkbox", "aria-label": "Choose " + words(deadLetter.code),
        checked: this.chosen.has(deadLetter.id), onchange: pick }) : null),
      h("td", {}, h("a", { id: "open-" + deadLetter.id, href: "#/operations?letter=" + deadLetter.id }, words(deadLetter.code)),
        h("div", { class: "soft small clamp", title: deadLetter.reason }, deadLetter.reason.split("\n")[0])),
      h("td", {}, line(deadLetter.source ?? "–"), line(deadLetter.type, "soft small")), h("td", { class: "soft" }, when(deadLetter.failedAt, true)),
        h("td", { class: "number" }, deadLetter.sameFailures));
  }

  narrow(state, code) {
    Object.assign(this, { state, code });
    this.chosen.clear();
    this.refresh();
  }

  /** How many dead letters are meant where none is chosen. */
  number({ deadLetters: { codes, states } }) {
    return this.code ? codes.find(group => group.name === this.code)?.count ?? 0 : states[this.state];
  }
  which(number) {
    if (this.chosen.size) return `${count(this.chosen.size)} chosen`;
    return this.code ? `all ${count(number)}: ${words(this.code)}` : `all ${count(number)}`;
  }

  async askAll(verb) {
    const ids = [...this.chosen], code = this.code;
    if (ids.length > 1000) return toast("At most 1,000 dead letters can be chosen at a time.");
    try {
      // The number that is confirmed is that of this moment, and not that of the last redraw.
      const number = ids.length || this.number(await this.overview());
      if (!number) return this.refresh();
      const what = ids.length ? "The dead letters that you have chosen" : code ? `All open dead letters with the reason: ${words(code)}`
        : "All open dead letters of all organisations, whatever the reason";
      ask(verb, number, what, why => this.send(verb, ids.length ? { ids } : code ? { code } : { all: true }, why));
    } catch (error) { toast(title(error.message) + "."); }
  }

  askOne(verb, deadLetter, more) {
    ask(verb, 1, more.edit ? "The dead letter that is open, as you have changed it" : "The dead letter that is open",
      why => this.send(verb, { ids: [deadLetter.id], ...more }, why));
  }

  async send(verb, order, why) {
    try {
      const answer = await call("operations/dead-letters/" + verb, { method: "POST", body: { ...order, ...(why ? { reason: why } : {}) } });
      this.chosen.clear();
      for (const id of order.ids ?? []) forgetDraft(id);
      this.pages.stale();
      if (verb === "replay") {
        this.replay = answer;
        toast(`Replay ${answer.id} has begun: ${deadLetters(answer.letters)}.`);
        await this.follow(answer.id);
      } else {
        toast(`${deadLetters(answer.discarded)} discarded.`);
      }
    } catch (error) { toast(title(error.message) + "."); }
    this.pages.stale();
    await this.refresh();
  }

  /** Until it is known what became of each dead letter, or somebody goes elsewhere. */
  async follow(id) {
    for (let quiet = 500; this.isConnected && this.replay?.id === id; quiet = Math.min(5000, quiet * 1.3)) {
      await this.refresh();
      const replay = this.replay = await call("operations/replays/" + id, { scope: false });
      if (!replay.running && !replay.waiting) return;
      await new Promise(done => setTimeout(done, quiet));
    }
  }
}

customElements.define("journey-operations", OperationsView);
