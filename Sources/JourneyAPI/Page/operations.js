// What operators see and do: how the stream runs, and the dead letters.
import { View, call, chip, empty, h, more, title, toast, when, words } from "/app.js";
import { compact } from "/charts.js";

/** What turns one JSON value into another, as a JSON patch (RFC 6902). Lists are replaced as a whole. */
export function patch(before, after, path = "") {
  const isObject = value => value && typeof value === "object" && !Array.isArray(value);
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  if (!isObject(before) || !isObject(after)) return [{ op: "replace", path, value: after }];
  const step = name => path + "/" + name.replaceAll("~", "~0").replaceAll("/", "~1");
  return [
    ...Object.keys(before).filter(name => !(name in after)).map(name => ({ op: "remove", path: step(name) })),
    ...Object.keys(after).flatMap(name => name in before ? patch(before[name], after[name], step(name)) : [{ op: "add", path: step(name), value: after[name] }]),
  ];
}

const shorten = text => text.length > 140 ? text.slice(0, 139) + "…" : text;

class OperationsView extends View {
  heading = "Operations";
  chosen = new Set();
  state = "new";
  code = null;
  replay = null;

  get listPath() { return `operations/dead-letters?limit=50&state=${this.state}` + (this.code ? "&code=" + encodeURIComponent(this.code) : ""); }

  async load() {
    const open = this.parameters.get("letter");
    const [overview, letters, letter] = await Promise.all([call("operations/overview", { scope: false }), call(this.listPath),
      open ? call("operations/dead-letters/" + encodeURIComponent(open), { scope: false }) : null]);
    return { overview, letters, letter };
  }

  connectedCallback() { this.timer = setInterval(() => { if (!document.hidden && this.concerns()) this.refresh(); }, 5000); }
  /** What somebody is writing is not drawn over. */
  concerns() { return !document.querySelector("dialog[open]") && ![...this.querySelectorAll("textarea")].some(area => area.value !== area.defaultValue || area === document.activeElement); }
  disconnectedCallback() { clearInterval(this.timer); }

  draw({ overview, letters, letter }) {
    const running = overview.replays.find(replay => replay.running) ?? (this.replay && overview.replays.find(replay => replay.id === this.replay));
    return [
      h("div", { class: "title" }, h("h1", {}, "Operations"), chip(overview.consuming ? "consuming" : "not consuming", overview.consuming ? "ok" : "CRITICAL"),
        overview.archiving ? null : chip("dead letters are not archived (deadLetters.archive)", "MEDIUM")),
      h("div", { class: "grid tiles" }, [["Events a second", overview.perSecond.stored], ["Actions a second", overview.perSecond.published], ["Waiting in the queue", overview.queues.waiting],
        ["Open dead letters", overview.deadLetters.states.new], ["Stored since start", overview.counts.stored], ["Duplicates dropped", overview.counts.duplicates]]
        .map(([name, value]) => h("div", { class: "card tile" }, h("span", { class: "soft small" }, name), h("b", {}, compact(value))))),
      running ? this.progress(running) : null,
      h("div", { class: letter ? "grid two" : "grid" }, this.list(overview, letters), letter ? this.detail(letter) : null),
    ];
  }

  progress(replay) {
    const done = replay.confirmed + replay.failed;
    return h("section", { class: "card", id: "replay", "aria-live": "polite" }, h("h2", {}, `Replay ${replay.id}`),
      h("progress", { max: String(Math.max(1, replay.letters)), value: String(replay.letters ? done : 1), "aria-label": "Replayed letters" }),
      h("p", {}, `${replay.confirmed} of ${replay.letters} confirmed by the broker`, replay.failed ? `, ${replay.failed} not taken` : "", replay.held ? `, ${replay.held} left alone (failed the same way three times, or too large)` : "",
        replay.running ? "" : replay.failure ? `. ${title(replay.failure)}` : ". Done."));
  }

  list(overview, page) {
    const reasons = h("div", { class: "row", role: "group", "aria-label": "Reasons" }, [[null, overview.deadLetters.states.new], ...overview.deadLetters.codes.map(group => [group.name, group.count])]
      .map(([code, count]) => h("button", { id: "code-" + (code ?? "all"), type: "button", "aria-pressed": String(this.code === code), onclick: () => { this.code = code; this.chosen.clear(); this.refresh(); } }, `${code ? words(code) : "All"} (${count})`)));
    const states = h("select", { id: "state", "aria-label": "State", onchange: event => { this.state = event.target.value; this.code = null; this.chosen.clear(); this.refresh(); } },
      ["new", "replaying", "replayed", "discarded"].map(state => h("option", { value: state, selected: state === this.state }, `${title(state)} (${overview.deadLetters.states[state]})`)));
    const isOpen = this.state === "new";
    const draw = letter => h("tr", {},
      h("td", {}, isOpen ? h("input", { id: "pick-" + letter.id, type: "checkbox", "aria-label": "Choose " + letter.code, checked: this.chosen.has(letter.id), onchange: event => { event.target.checked ? this.chosen.add(letter.id) : this.chosen.delete(letter.id); this.count(); } }) : null),
      h("td", {}, h("a", { href: "#/operations?letter=" + letter.id }, words(letter.code)), h("div", { class: "soft small" }, shorten(letter.reason.split("\n")[0]))),
      h("td", {}, letter.source ?? "–", h("div", { class: "soft small" }, letter.type ?? "")), h("td", { class: "soft" }, when(letter.failedAt, true)), h("td", { class: "number" }, letter.sameFailures));
    const body = h("tbody", {}, page.items.map(draw));
    return h("section", { class: "card" }, h("div", { class: "title" }, h("h2", {}, "Dead letters"), h("div", { class: "end" }, states)), reasons,
      isOpen && page.items.length ? h("p", { class: "row" }, h("button", { id: "replay-them", type: "button", class: "primary", onclick: () => this.ask("replay") }, this.label("Replay")),
        h("button", { id: "discard-them", type: "button", class: "danger", onclick: () => this.ask("discard") }, this.label("Discard"))) : null,
      page.items.length ? h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Dead letters" }, h("table", {}, h("caption", { class: "hidden" }, "Dead letters"),
        h("thead", {}, h("tr", {}, h("td", {}), ["Why", "From", "When"].map(name => h("th", { scope: "col" }, name)), h("th", { scope: "col", class: "number" }, "Times"))), body))
        : empty(isOpen ? "No dead letters" : "None here", isOpen ? "Every message could be used." : ""), more(page, this.listPath, draw, body));
  }

  label(verb) { return this.chosen.size ? `${verb} ${this.chosen.size} chosen` : this.code ? `${verb} all: ${words(this.code)}` : `${verb} all`; }
  count() { for (const verb of ["Replay", "Discard"]) { const button = this.querySelector(`#${verb.toLowerCase()}-them`); if (button) button.textContent = this.label(verb); } }
  which() { return this.chosen.size ? { ids: [...this.chosen] } : this.code ? { code: this.code } : { all: true }; }

  /** Asks before anything is done, and why: that stands in the record. */
  ask(verb, order = this.which(), more = {}) {
    const reason = h("input", { id: "reason", type: "text", maxlength: "200", required: verb === "discard" });
    const dialog = h("dialog", { class: "card", "aria-labelledby": "ask" }, h("form", { method: "dialog", class: "grid", onsubmit: () => this.send(verb, { ...order, ...more, ...(reason.value ? { reason: reason.value } : {}) }) },
      h("h2", { id: "ask" }, verb === "replay" ? "Publish these letters again?" : "Set these letters aside for good?"), h("label", { for: "reason" }, verb === "discard" ? "Why (for the record)" : "Why (for the record; may be left out)"), reason,
      h("p", { class: "row" }, h("button", { id: "yes", class: "primary" }, verb === "replay" ? "Replay" : "Discard"), h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"))));
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  }

  async send(verb, order) {
    try {
      const answer = await call("operations/dead-letters/" + verb, { method: "POST", body: order });
      this.chosen.clear();
      if (verb === "discard") toast(`${answer.discarded} discarded.`); else { this.replay = answer.id; toast(`Replay ${answer.id} has begun: ${answer.letters} letters.`); await this.follow(answer.id); }
    } catch (error) { toast(title(error.message) + "."); }
    this.refresh();
  }

  async follow(id) {
    await this.refresh();
    for (let replay; this.isConnected; await new Promise(done => setTimeout(done, 500))) {
      replay = await call("operations/replays/" + id, { scope: false });
      this.querySelector("#replay")?.replaceWith(this.progress(replay));
      if (!replay.running) return;
    }
  }

  detail(letter) {
    let parsed = null;
    try { parsed = JSON.parse(letter.bodyText); } catch { /* Shown as it is. */ }
    const area = h("textarea", { id: "body", class: "mono", rows: "14", spellcheck: "false", "aria-label": "Body" });
    area.defaultValue = parsed ? JSON.stringify(parsed, null, 2) : letter.bodyText ?? "(no text)";
    area.readOnly = !parsed || letter.state !== "new";
    const send = () => {
      if (area.readOnly) return this.ask("replay", { ids: [letter.id] }, { force: true });
      let edited;
      try { edited = JSON.parse(area.value); } catch (error) { return toast("The body is not JSON: " + error.message); }
      const edit = patch(parsed, edited);
      this.ask("replay", { ids: [letter.id] }, { force: true, ...(edit.length ? { edit } : {}) });
    };
    return h("section", { class: "card", id: "letter" }, h("div", { class: "title" }, h("h2", {}, title(letter.code)), chip(letter.state, "plain"), h("div", { class: "end" }, h("a", { href: "#/operations" }, "Close"))),
      letter.reason.split("\n").map(line => h("p", {}, line)),
      h("dl", { class: "small" }, [["Field", letter.field], ["Value", letter.value], ["Source", letter.source], ["Type", letter.type], ["Published to", `${letter.exchange || "(default)"} · ${letter.routingKey}`], ["Message", letter.messageId], ["Headers not kept", (letter.redactedHeaders ?? []).join(", ")]]
        .filter(([, value]) => value).map(([name, value]) => [h("dt", {}, name), h("dd", { class: "mono" }, value)]), h("dt", {}, "Failed"), h("dd", {}, when(letter.failedAt), `, ${letter.sameFailures} times this way`)),
      h("h3", {}, "By the mapping as it is now"), h("ul", {}, letter.mapping.map(part => h("li", {}, part.outcome === "event" ? `becomes ${words(part.type)}` : part.outcome === "ignored" ? `is ignored: ${part.reason}` : `is refused: ${part.field ? part.field + ": " : ""}${part.message}`))),
      h("h3", {}, area.readOnly ? "Body" : "Body (edit it, then replay)"),
      letter.truncated ? h("p", { class: "small" }, `This is the beginning of ${letter.bodySize} bytes. `, letter.bodySha256 ? "More is not kept, so it cannot be replayed." : "All of it: journey dlq show --raw") : null, area,
      letter.state === "new" ? h("p", { class: "row" }, h("button", { id: "replay-one", type: "button", class: "primary", onclick: send }, "Replay"), h("button", { type: "button", class: "danger", onclick: () => this.ask("discard", { ids: [letter.id] }) }, "Discard")) : null,
      letter.history.length ? [h("h3", {}, "History"), h("ul", {}, letter.history.map(entry => h("li", { class: "small" }, when(entry.at), ` ${words(entry.action)} by ${entry.actor}`, entry.why ? `: ${entry.why}` : "", entry.result ? ` (${entry.result})` : "")))] : null);
  }
}

customElements.define("journey-operations", OperationsView);
