// Where the clients are, how they move, and who needs attention.
import { LEVELS, compact, dayBars, flowArcs, riskStack, s } from "/charts.js";
import { STAGES, clientHeads, clientRow, heads, table } from "/clients.js";
import { h } from "/dom.js";
import { Pages, call } from "/server.js";
import { View } from "/view.js";
import { count, date, empty, level, title, who, words } from "/words.js";

class MapView extends View {
  heading = "Map";
  days = 30;
  lit = null;

  async load() {
    const asked = this.parameters.get("stage"), stage = STAGES.includes(asked) ? asked : null;
    if (stage) this.clients = Pages.of(this.clients, `journey/clients?stage=${encodeURIComponent(stage)}`, { size: 25 });
    const [map, stats, worst] = await Promise.all([call("journey/stages?days=" + this.days), call("journey/stats?days=" + this.days),
      call("journey/high-risk?limit=6"), stage ? this.clients.load() : null]);
    return { map, stats, worst, stage };
  }

  draw({ map, stats, worst, stage }) {
    const total = map.stages.reduce((sum, part) => sum + part.clients, 0);
    const at = kind => map.stages.reduce((sum, part) => sum + part.riskLevels[kind], 0),
      stuck = map.stages.reduce((sum, part) => sum + part.stuck, 0);
    const moved = map.flows.reduce((sum, flow) => sum + flow.clients, 0), risky = at("HIGH") + at("CRITICAL");
    const describe = flow => `${title(flow.from)} to ${title(flow.to)}: ${flow.clients}`;
    const period = days => h("button", { id: "days-" + days, type: "button", "aria-pressed": String(this.days === days),
      onclick: () => { this.days = days; this.refresh(); } }, `${days} days`);
    return [
      this.head(this.asOf(map, stats, worst, stage ? this.clients : null),
        h("div", { class: "row", role: "group", "aria-label": "Period of the moves" }, [30, 90].map(period))),
      h("div", { class: "grid tiles", key: "tiles" },
        [["Clients", total], ["High or critical risk", risky], ["Stuck for 30 days", stuck], [`Moves in ${this.days} days`, moved]]
          .map(([name, value]) => h("div", { class: "card tile" }, h("span", { class: "soft small" }, name), h("b", {}, compact(value))))),
      h("section", { class: "card", key: "stages", "aria-label": "Stages and moves" },
        total ? [flowArcs(STAGES, map.flows, "forward", describe), h("div", { class: "map", key: "map" },
          map.stages.map(part => this.column(part, stage))),
          flowArcs(STAGES, map.flows, "back", describe)]
          : empty("No client has a journey yet", "It begins with the first event."),
        h("div", { class: "legend", key: "legend" }, LEVELS.map(name => h("span", {}, s("svg", { viewBox: "0 0 10 10",
          "aria-hidden": "true" },
          s("rect", { width: 10, height: 10, rx: 3, class: "f-" + name })), title(name.toLowerCase()) + " risk")),
        map.flows.length ? h("details", { id: "moves" }, h("summary", {}, "Moves as a list"), h("ul", {},
          map.flows.map(flow => h("li", {}, describe(flow))))) : null)),
      stage ? this.list(stage) : null,
      h("div", { class: "grid two", key: "below" },
        h("section", { class: "card" }, h("h2", {}, "Needs attention"), worst.items.length
          ? [h("ul", { class: "plain" }, worst.items.map(client => h("li", { key: client.clientId },
            h("a", { href: "#/client/" + client.clientId }, h("span", { class: "name", title: who(client) }, who(client)), h("span", { class: "soft small" }, title(client.stage)),
              level(client.riskLevel))))),
          worst.nextCursor ? h("p", { class: "soft small" },
            `${worst.items.length} of ${count(Math.max(risky, worst.items.length))} are shown: `,
            h("a", { href: "#/risk" }, "all on the risk board")) : null]
          : empty("Nobody is at high risk", "Clients with three risks or more show here.")),
        h("section", { class: "card" }, h("h2", {}, `Events a day, ${this.days} days`),
          stats.days.length ? dayBars(stats.days, "events", date) : empty("No events", ""))),
    ];
  }

  /** Shows the moves from and to a stage before the others. */
  light(stage) {
    this.lit = stage;
    for (const group of this.querySelectorAll(".flows g")) {
      group.setAttribute("class", stage ? (group.dataset.from === stage || group.dataset.to === stage ? "on" : "off") : "");
    }
  }
  drawn() { if (this.lit) this.light(this.lit); }

  column(part, chosen) {
    const isChosen = part.stage === chosen, bad = part.riskLevels.HIGH + part.riskLevels.CRITICAL;
    const on = () => this.light(part.stage), off = () => this.light(null);
    return h("button", { id: "stage-" + part.stage, class: "stage", type: "button", "aria-pressed": String(isChosen), onmouseenter: on,
      onmouseleave: off,
      onfocus: on, onblur: off, onclick: () => { location.hash = isChosen ? "#/map" : "#/map?stage=" + part.stage; } },
    h("span", { class: "label" }, title(part.stage)), h("span", { class: "count" }, compact(part.clients)), riskStack(part.riskLevels),
    h("span", { class: "note" }, bad ? `${bad} at risk` : part.clients ? "none at risk" : "empty", h("br"),
      part.averageDays != null ? `ø ${Math.round(part.averageDays)} days` : " ", part.stuck ? h("span", { class: "stuck" },
        ` · ${part.stuck} stuck`) : ""));
  }

  list(stage) {
    const { items } = this.clients;
    return h("section", { class: "card", id: "stage-list" }, h("h2", {}, "In " + words(stage)),
      items.length ? table(heads(clientHeads), items.map(clientRow), "Clients in " + words(stage)) : empty("Nobody is here", ""),
        this.rest(this.clients, "stage"));
  }
}

customElements.define("journey-map", MapView);
