// One client: how things stand, why, what to do, and how it came to this.
import { gauge, journeyChart, scoreChart } from "/charts.js";
import { STAGES } from "/clients.js";
import { h } from "/dom.js";
import { Pages, call } from "/server.js";
import { actionLife, actionState } from "/todo.js";
import { View } from "/view.js";
import { chip, count, date, empty, isGrave, level, title, when, who, words } from "/words.js";

const source = text => {
  const [kind, name] = text.split(":");
  return { ai_score: "AI score", base: "Base", minimum: "Not below the minimum", stage: "Stage: " + words(name),
    risk: "Risk: " + words(name) }[kind] ?? title(text);
};

/** Candidates that are not the next action, each with what stands in its way. */
const considered = candidates => h("ul", {}, candidates.map(other => h("li", {},
  h("b", {}, title(other.action)), ` (${words(other.channel)}): ${other.reason}. `,
  h("span", { class: "soft" }, words(other.verdict), other.by ? " by " + words(other.by) : "",
    other.after ? ` after ${words(other.after)}` : "", other.rule ? ` (${words(other.rule)})` : "",
    other.risk ? ` with ${words(other.risk)}` : "", other.until ? [", again from ", when(other.until)] : ""))));

class ClientView extends View {
  heading = "Client";
  get client() { return this.parameters.get("id"); }

  async load() {
    const path = "journey/client/" + encodeURIComponent(this.client), client = await call(path, { scope: false });
    this.events = Pages.of(this.events, path + "/events", { scope: false, size: 200, id: event => event.id });
    await this.events.load(client.events);
    return client;
  }
  concerns(change) { return !change.clientIds.length || change.clientIds.includes(this.client); }

  draw(client) {
    document.title = who(client) + " · Client journeys";
    const next = client.nextAction;
    return [
      h("section", { class: "card hero", key: "hero" }, gauge(client.score, client.riskLevel),
        h("div", {}, h("h1", {}, who(client)), h("p", { class: "soft" },
          [client.email, client.phone, client.organization].filter(Boolean).join(" · ")),
          h("p", { class: "row" }, level(client.riskLevel), chip(client.stage),
            client.stageSince ? h("span", { class: "soft small" }, "since ", when(client.stageSince)) : null)),
        h("dl", { class: "small" }, h("dt", {}, "Last event"), h("dd", {}, when(client.lastEventAt, true)), h("dt", {}, "Next change"),
          h("dd", {}, when(client.nextChangeAt, true)),
          h("dt", {}, "Rules"), h("dd", {}, client.ruleVersion ?? "–"))),
      h("div", { class: "grid two", key: "now" },
        h("section", { class: "card action" }, h("h2", {}, "Next best action"),
          next ? this.action(next, client) : client.candidates.length
            ? [empty("Nothing for now", "Each action that a stage or a risk asks for waits or is passed over."), considered(client.candidates)]
            : empty("Nothing to do", "No stage or risk asks for an action.")),
        h("section", { class: "card" }, h("h2", {}, `Open risks (${client.risks.length})`), client.risks.length
          ? h("ul", { class: "plain risks" }, client.risks.map(risk => h("li", { key: risk.risk },
            h("h3", {}, title(risk.risk)), h("p", {}, risk.evidence),
            risk.since ? h("p", { class: "soft small" }, "since ", when(risk.since)) : null)))
          : empty("No open risk", "All six are looked for at every event."))),
      this.journey(client),
      h("div", { class: "grid two", key: "score" },
        h("section", { class: "card" }, h("h2", {}, client.scores.length < 100 ? "Score over time" : "Score over time, the latest 100"),
          client.scores.length ? scoreChart(client.scores, date) : empty("Not scored yet", "")),
        h("section", { class: "card" }, h("h2", {}, "What makes the score"), h("table", {},
          h("caption", { class: "hidden" }, "Contributions to the score"),
          h("tbody", {}, client.contributions.map(part => h("tr", {}, h("td", {}, source(part.source)),
            h("td", { class: "number" }, (part.points > 0 ? "+" : "") + part.points))),
            h("tr", {}, h("td", {}, h("b", {}, "Score")), h("td", { class: "number" }, h("b", {}, client.score ?? "–"))))))),
      h("div", { class: "grid two", key: "record" }, this.list(client), this.actions(client)),
    ];
  }

  /** Which part of the events shows. */
  part(client) {
    const { items, isComplete } = this.events, total = client.eventCount;
    if (isComplete) return items.length === 1 ? "The only event" : `All ${count(items.length)} events`;
    const span = `${date(items.at(-1).occurredAt)} to ${date(items[0].occurredAt)}`;
    const all = total == null || total <= items.length ? "; there are earlier ones"
      : ` of ${total > 1000 ? "more than 1,000" : count(total)} events`;
    return `The latest ${count(items.length)}${all} (${span})`;
  }

  journey(client) {
    const { items } = this.events;
    return h("section", { class: "card", key: "journey" }, h("h2", {}, "Journey"), items.length
      ? [h("p", { id: "part", class: "soft small", role: "status" }, this.part(client)),
        h("div", { class: "scroll wide", tabindex: "0", role: "region", "aria-label": "Journey through the stages" },
          journeyChart(items.filter(event => !event.voidedAt), STAGES, title, date, isGrave)),
        this.rest(this.events, "journey", client.eventCount)]
      : empty("No event yet", ""));
  }

  action(next, client) {
    const others = client.candidates.filter(other => other.action !== next.action || other.trigger !== next.trigger);
    return [h("p", { class: "row" }, h("span", { class: "what" }, title(next.action)), chip(next.priority, next.priority),
      chip(next.channel, "plain")), h("p", {}, next.reason),
      h("p", { class: "soft small" }, "Because of ", source(next.trigger ?? "").toLowerCase(),
        next.verdict === "cooling_down" ? [", asked for already; not again before ", when(next.until)] : "",
        next.verdict === "open" ? ", asked for already, and open" : "", next.verdict === "snoozed" ? [", snoozed until ", when(next.until)] : "",
        next.verdict === "quiet_hours" ? [", held for the client's quiet hours until ", when(next.until)] : "",
        next.publishedAt ? [", sent to its worker ", when(next.publishedAt, true)] : ""),
      h("details", { id: "considered" }, h("summary", {}, others.length ? `What else was considered (${others.length})`
        : "Nothing else was considered"),
        considered(others))];
  }

  list(client) {
    const draw = event => h("li", { id: "event-" + event.id, class: event.voidedAt ? "mute" : isGrave(event) ? "bad" : event.setsStage ? "" : "mute" },
      when(event.occurredAt),
      h("div", {}, isGrave(event) && !event.voidedAt ? h("span", { class: "hidden" }, "Serious: ") : null, h("b", {}, title(event.eventType)), " ",
        event.voidedAt ? chip("voided", "plain") : event.setsStage ? chip(event.stage, "plain") : null, h("div", { class: "soft small" }, event.source ?? "entered by hand"),
        Object.keys(event.metadata).length ? h("details", { id: "data-" + event.id }, h("summary", {}, "Data"),
          h("pre", { tabindex: "0" }, JSON.stringify(event.metadata, null, 2))) : null));
    return h("section", { class: "card" }, h("h2", {}, "Events"), h("ol", { class: "events" }, this.events.items.map(draw)),
      this.rest(this.events, "events", client.eventCount));
  }

  actions(client) {
    return h("section", { class: "card" }, h("h2", {}, client.actions.length < 20 ? "Actions" : "Actions, the latest 20"),
      client.actions.length
      ? h("ul", { class: "plain" }, client.actions.map(action => h("li", { key: action.id }, h("div", { class: "pick" },
        h("span", {}, h("b", {}, title(action.action)), h("div", { class: "soft small" }, action.reason)),
          actionState(this, { ...action, clientName: who(client) }), h("span", { class: "soft small" }, when(action.decidedAt, true))),
        actionLife(action))))
      : empty("No action yet", ""));
  }

  connectedCallback() {
    this.addEventListener("click", event => {
      const id = event.target.closest?.("[data-event]")?.dataset.event;
      if (!id) return;
      event.preventDefault();
      const item = this.querySelector("#event-" + CSS.escape(id));
      item?.scrollIntoView({ block: "center", behavior: "smooth" });
      item?.querySelector("details")?.setAttribute("open", "");
    });
  }
}

customElements.define("journey-client", ClientView);
