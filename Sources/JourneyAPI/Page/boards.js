// The lists that somebody works through: clients at risk, candidates for more.
import { LEVELS } from "/charts.js";
import { STAGES, clientHeads, clientRow, table } from "/clients.js";
import { h } from "/dom.js";
import { Pages } from "/server.js";
import { View } from "/view.js";
import { count, empty, who } from "/words.js";

const ORDERS = [client => who(client).toLocaleLowerCase(), client => LEVELS.indexOf(client.riskLevel), client => client.score ?? -Infinity,
  client => STAGES.indexOf(client.stage), client => client.risks.length, client => Date.parse(client.lastEventAt) || 0];
/** Where the first click puts first what is asked for most: the highest risk, most reasons, the latest. */
const FIRST = [1, -1, 1, 1, -1, -1];
/** So many rows are loaded to be sorted. Of longer lists the part that is loaded is sorted, and the page says so. */
const SORTED = 2000;

class ListView extends View {
  sort = null;

  async load() {
    this.pages = Pages.of(this.pages, this.path, { moves: true });
    await this.pages.load();
    if (this.sort) await this.pages.more(SORTED);
    return {};
  }

  sorted() {
    if (!this.sort) return this.pages.items;
    const order = ORDERS[this.sort.column];
    const compare = (x, y) => typeof x === "string" ? x.localeCompare(y) : x < y ? -1 : x > y ? 1 : 0;
    return [...this.pages.items].sort((a, b) => compare(order(a), order(b)) * this.sort.sign);
  }

  draw() {
    const { items, isComplete } = this.pages, column = clientHeads[this.sort?.column]?.[0];
    const note = this.sort ? [`Sorted by ${column.toLowerCase()}`, isComplete ? "" : `: only the first ${count(items.length)} of more`,
      " · ", h("button", { id: "unsort", type: "button", class: "quiet", onclick: () => { this.sort = null; this.redraw(); } }, "as it was")]
      : [this.note];
    return [this.head([note, isComplete && items.length ? ` · ${count(items.length)} in all` : "",
      " ", this.asOf(this.pages)]),
      h("section", { class: "card", key: "list" },
        items.length ? table(this.columns(), this.sorted().map(clientRow), this.heading) : empty(...this.nothing),
        this.rest(this.pages, "list"))];
  }

  columns() {
    return clientHeads.map(([name, kind], column) => {
      const sign = this.sort?.column === column ? this.sort.sign : 0;
      const click = () => { this.sort = { column, sign: sign ? -sign : FIRST[column] }; this.refresh(); };
      return h("th", { scope: "col", class: kind, "aria-sort": sign ? (sign > 0 ? "ascending" : "descending") : null },
        h("button", { id: "sort-" + column, type: "button", onclick: click }, name, sign ? (sign > 0 ? " ↑" : " ↓") : ""));
    });
  }
}

class BoardView extends ListView {
  heading = "Risk board";
  note = "Critical first, then the lowest score";
  path = "journey/high-risk";
  nothing = ["Nobody is at high risk", "Clients with three open risks or more show here."];
}

class UpsellView extends ListView {
  heading = "Upsell";
  note = "The best score first";
  path = "journey/upsell";
  nothing = ["No candidate right now", "Clients who use the product a lot, or ask for more, show here."];
}

customElements.define("journey-board", BoardView);
customElements.define("journey-upsell", UpsellView);
