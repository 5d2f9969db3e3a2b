// What members of an organisation see: the map, a client, the risk board, upsell.
import { View, call, chip, date, empty, h, level, more, title, toast, when, words } from "/app.js";
import { LEVELS, compact, dayBars, flowArcs, gauge, journeyChart, riskStack, s, scoreChart } from "/charts.js";

const STAGES = ["lead", "qualified_lead", "onboarding", "active_project", "awaiting_feedback", "billing", "retention", "upsell_candidate", "churn_risk"];
const BAD = new Set(["invoice_overdue", "payment_failed", "cancel_requested", "milestone_delayed", "usage_low"]);
const isBad = event => BAD.has(event.eventType) || event.metadata?.sentiment === "negative";
const who = client => client.name ?? client.email ?? "Unnamed client";
const link = client => h("a", { href: "#/client/" + client.clientId }, who(client));

function rows(columns, items, draw, caption) {
  const body = h("tbody", {}, items.map(draw));
  return { body, table: h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, h("table", {}, h("caption", { class: "hidden" }, caption),
    h("thead", {}, h("tr", {}, columns)), body)) };
}
const heads = names => names.map(([name, className]) => h("th", { scope: "col", class: className }, name));

const clientRow = client => h("tr", {},
  h("td", {}, h("div", { class: "name" }, link(client)), h("div", { class: "soft small" }, client.email ?? "")),
  h("td", {}, level(client.riskLevel)), h("td", { class: "number" }, client.score ?? "–"), h("td", {}, title(client.stage)),
  h("td", {}, h("div", { class: "row" }, client.risks.map(risk => chip(risk, "plain")))), h("td", { class: "soft" }, when(client.lastEventAt, true)));
const clientHeads = [["Client"], ["Risk"], ["Score", "number"], ["Stage"], ["Why"], ["Last event"]];

class MapView extends View {
  heading = "Map";
  days = 30;

  async load() {
    const asked = this.parameters.get("stage"), stage = STAGES.includes(asked) ? asked : null;
    const [map, stats, worst, clients] = await Promise.all([call("journey/stages?days=" + this.days), call("journey/stats?days=" + this.days),
      call("journey/high-risk?limit=6"), stage ? call(`journey/clients?limit=25&stage=${encodeURIComponent(stage)}`) : null]);
    return { map, stats, worst, clients, stage };
  }

  draw({ map, stats, worst, clients, stage }) {
    const total = map.stages.reduce((sum, part) => sum + part.clients, 0);
    const at = kind => map.stages.reduce((sum, part) => sum + part.riskLevels[kind], 0), stuck = map.stages.reduce((sum, part) => sum + part.stuck, 0);
    const moved = map.flows.reduce((sum, flow) => sum + flow.clients, 0);
    const describe = flow => `${title(flow.from)} to ${title(flow.to)}: ${flow.clients}`;
    return [
      h("div", { class: "title" }, h("h1", {}, "Map"), h("div", { class: "end", role: "group", "aria-label": "Period of the moves" },
        [30, 90].map(days => h("button", { id: "days-" + days, type: "button", "aria-pressed": String(this.days === days),
          onclick: () => { this.days = days; this.refresh(); } }, `${days} days`)))),
      h("div", { class: "grid tiles" }, [["Clients", total], ["High or critical risk", at("HIGH") + at("CRITICAL")], ["Stuck for 30 days", stuck], [`Moves in ${this.days} days`, moved]]
        .map(([name, value]) => h("div", { class: "card tile" }, h("span", { class: "soft small" }, name), h("b", {}, compact(value))))),
      h("section", { class: "card", "aria-label": "Stages and moves" },
        total ? [flowArcs(STAGES, map.flows, "forward", describe), h("div", { class: "map" }, map.stages.map(part => this.lane(part, stage))), flowArcs(STAGES, map.flows, "back", describe)]
          : empty("No client has a journey yet", "It begins with the first event."),
        h("div", { class: "legend" }, LEVELS.map(name => h("span", {}, s("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" }, s("rect", { width: 10, height: 10, rx: 3, class: "f-" + name })), title(name.toLowerCase()) + " risk")),
          map.flows.length ? h("details", { id: "moves" }, h("summary", {}, "Moves as a list"), h("ul", {}, map.flows.map(flow => h("li", {}, describe(flow))))) : null)),
      stage ? this.list(stage, clients) : null,
      h("div", { class: "grid two" },
        h("section", { class: "card" }, h("h2", {}, "Needs attention"), worst.items.length
          ? h("ul", { class: "plain" }, worst.items.map(client => h("li", {}, h("a", { href: "#/client/" + client.clientId }, h("span", { class: "name" }, who(client)),
            h("span", { class: "soft small" }, title(client.stage)), level(client.riskLevel)))))
          : empty("Nobody is at high risk", "Clients with three risks or more show here.")),
        h("section", { class: "card" }, h("h2", {}, `Events a day, ${this.days} days`), stats.days.length ? dayBars(stats.days, "events", date) : empty("No events", ""))),
    ];
  }

  lane(part, chosen) {
    const isChosen = part.stage === chosen, bad = part.riskLevels.HIGH + part.riskLevels.CRITICAL;
    const touch = name => { for (const group of this.querySelectorAll(".flows g")) {
      const isMine = group.dataset.from === part.stage || group.dataset.to === part.stage;
      group.setAttribute("class", name ? (isMine ? "on" : "off") : "");
    } };
    return h("button", { id: "stage-" + part.stage, class: "stage", type: "button", "aria-pressed": String(isChosen), onmouseenter: () => touch(true), onmouseleave: () => touch(false),
      onfocus: () => touch(true), onblur: () => touch(false), onclick: () => { location.hash = isChosen ? "#/map" : "#/map?stage=" + part.stage; } },
      h("span", { class: "label" }, title(part.stage)), h("span", { class: "count" }, compact(part.clients)), riskStack(part.riskLevels),
      h("span", { class: "note" }, bad ? `${bad} at risk` : part.clients ? "none at risk" : "empty", h("br"),
        part.averageDays != null ? `ø ${Math.round(part.averageDays)} days` : " ", part.stuck ? h("span", { class: "stuck" }, ` · ${part.stuck} stuck`) : ""));
  }

  list(stage, page) {
    const { body, table } = rows(heads(clientHeads), page.items, clientRow, "Clients in " + words(stage));
    return h("section", { class: "card", id: "stage-list" }, h("h2", {}, "In " + words(stage)), page.items.length ? table : empty("Nobody is here", ""),
      more(page, `journey/clients?limit=25&stage=${encodeURIComponent(stage)}`, clientRow, body));
  }
}

class ClientView extends View {
  heading = "Client";
  get id_() { return this.parameters.get("id"); }

  load() { return call("journey/client/" + encodeURIComponent(this.id_), { scope: false }); }
  concerns(change) { return !change.clientIds.length || change.clientIds.includes(this.id_); }

  draw(client) {
    document.title = who(client) + " · Client journeys";
    const next = client.nextAction;
    return [
      h("section", { class: "card hero" }, gauge(client.score, client.riskLevel),
        h("div", {}, h("h1", {}, who(client)), h("p", { class: "soft" }, [client.email, client.phone, client.organization].filter(Boolean).join(" · ")),
          h("p", { class: "row" }, level(client.riskLevel), chip(client.stage), client.stageSince ? h("span", { class: "soft small" }, "since ", when(client.stageSince)) : null)),
        h("dl", { class: "small" }, h("dt", {}, "Last event"), h("dd", {}, when(client.lastEventAt, true)), h("dt", {}, "Next change"), h("dd", {}, when(client.nextChangeAt, true)),
          h("dt", {}, "Rules"), h("dd", {}, client.ruleVersion ?? "–"))),
      h("div", { class: "grid two" },
        h("section", { class: "card action" }, h("h2", {}, "Next best action"), next ? this.action(next, client) : empty("Nothing to do", "No stage or risk asks for an action.")),
        h("section", { class: "card" }, h("h2", {}, `Open risks (${client.risks.length})`), client.risks.length
          ? h("ul", { class: "plain risks" }, client.risks.map(risk => h("li", {}, h("h3", {}, title(risk.risk)), h("p", {}, risk.evidence), risk.since ? h("p", { class: "soft small" }, "since ", when(risk.since)) : null)))
          : empty("No open risk", "All six are looked for at every event."))),
      h("section", { class: "card" }, h("h2", {}, "Journey"), client.events.items.length
        ? h("div", { class: "scroll wide", tabindex: "0", role: "region", "aria-label": "Journey through the stages" }, journeyChart(client.events.items, STAGES, title, date, isBad))
        : empty("No event yet", "")),
      h("div", { class: "grid two" },
        h("section", { class: "card" }, h("h2", {}, "Score over time"), client.scores.length ? scoreChart(client.scores, date) : empty("Not scored yet", "")),
        h("section", { class: "card" }, h("h2", {}, "What makes the score"), h("table", {}, h("caption", { class: "hidden" }, "Contributions to the score"),
          h("tbody", {}, client.contributions.map(part => h("tr", {}, h("td", {}, this.source(part.source)), h("td", { class: "number" }, (part.points > 0 ? "+" : "") + part.points))),
            h("tr", {}, h("td", {}, h("b", {}, "Score")), h("td", { class: "number" }, h("b", {}, client.score ?? "–"))))))),
      h("div", { class: "grid two" }, this.events(client), this.actions(client)),
    ];
  }

  source(text) {
    const [kind, name] = text.split(":");
    return { ai_score: "AI score", base: "Base", minimum: "Not below the minimum", stage: "Stage: " + words(name), risk: "Risk: " + words(name) }[kind] ?? title(text);
  }

  action(next, client) {
    const others = client.candidates.slice(1);
    return [h("p", { class: "row" }, h("span", { class: "what" }, title(next.action)), chip(next.priority, next.priority), chip(next.channel, "plain")), h("p", {}, next.reason),
      h("p", { class: "soft small" }, "Because of ", this.source(next.trigger ?? "").toLowerCase(), next.verdict === "cooling_down" ? [", asked for already; not again before ", when(next.until)] : "",
        next.publishedAt ? [", sent to its worker ", when(next.publishedAt, true)] : ""),
      h("details", { id: "considered" }, h("summary", {}, others.length ? `What else was considered (${others.length})` : "Nothing else was considered"),
        h("ul", {}, others.map(other => h("li", {}, h("b", {}, title(other.action)), ` (${words(other.channel)}): ${other.reason}. `, h("span", { class: "soft" }, words(other.verdict), other.by ? " by " + words(other.by) : "")))))];
  }

  events(client) {
    const draw = event => h("li", { id: "event-" + event.id, class: isBad(event) ? "bad" : event.setsStage ? "" : "mute" }, when(event.occurredAt),
      h("div", {}, h("b", {}, title(event.eventType)), " ", event.setsStage ? chip(event.stage, "plain") : null, h("div", { class: "soft small" }, event.source ?? "entered by hand"),
        Object.keys(event.metadata).length ? h("details", { id: "data-" + event.id }, h("summary", {}, "Data"), h("pre", { tabindex: "0" }, JSON.stringify(event.metadata, null, 2))) : null));
    const list = h("ol", { class: "events" }, client.events.items.map(draw));
    return h("section", { class: "card" }, h("h2", {}, "Events"), list, more(client.events, `journey/client/${client.clientId}/events`, draw, list));
  }

  actions(client) {
    return h("section", { class: "card" }, h("h2", {}, "Actions"), client.actions.length ? h("ul", { class: "plain" }, client.actions.map(action => h("li", { class: "pick" },
      h("span", {}, h("b", {}, title(action.action)), h("div", { class: "soft small" }, action.reason)), chip(action.state, "plain"), h("span", { class: "soft small" }, when(action.decidedAt, true)))))
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

class ListView extends View {
  sort = null;
  async load() { return call(this.path); }

  draw(page) {
    const keys = [client => who(client).toLowerCase(), client => -LEVELS.indexOf(client.riskLevel), client => client.score, client => STAGES.indexOf(client.stage), client => -client.risks.length, client => client.lastEventAt ?? ""];
    const items = [...page.items];
    if (this.sort) items.sort((a, b) => { const [x, y] = [keys[this.sort.column](a), keys[this.sort.column](b)]; return (x < y ? -1 : x > y ? 1 : 0) * this.sort.sign; });
    const columns = clientHeads.map(([name, className], column) => h("th", { scope: "col", class: className, "aria-sort": this.sort?.column === column ? (this.sort.sign > 0 ? "ascending" : "descending") : null },
      h("button", { id: "sort-" + column, type: "button", onclick: () => { this.sort = { column, sign: this.sort?.column === column ? -this.sort.sign : 1 }; this.refresh(); } },
        name, this.sort?.column === column ? (this.sort.sign > 0 ? " ↑" : " ↓") : "")));
    const { body, table } = rows(columns, items, clientRow, this.heading);
    return [h("div", { class: "title" }, h("h1", {}, this.heading), h("span", { class: "soft" }, this.note)),
      h("section", { class: "card" }, items.length ? table : empty(...this.nothing), more(page, this.path, clientRow, body))];
  }
}

class BoardView extends ListView {
  heading = "Risk board";
  note = "Critical first, then the lowest score";
  path = "journey/high-risk?limit=100";
  nothing = ["Nobody is at high risk", "Clients with three open risks or more show here."];
}

class UpsellView extends ListView {
  heading = "Upsell";
  note = "The best score first";
  path = "journey/upsell?limit=100";
  nothing = ["No candidate right now", "Clients who use the product a lot, or ask for more, show here."];
}

customElements.define("journey-map", MapView);
customElements.define("journey-client", ClientView);
customElements.define("journey-board", BoardView);
customElements.define("journey-upsell", UpsellView);
