// Clients in tables.
import { h } from "/dom.js";
import { chip, level, line, title, when, who } from "/words.js";

export const STAGES = ["lead", "qualified_lead", "onboarding", "active_project", "awaiting_feedback", "billing", "retention",
  "upsell_candidate", "churn_risk"];

/** Columns have widths of their own: one long name does not narrow the others. */
export const table = (columns, rows, caption, kind = "clients") => h("div", { class: "scroll", key: "table", tabindex: "0", role: "region",
  "aria-label": caption },
  h("table", { class: kind }, h("caption", { class: "hidden" }, caption), h("thead", {}, h("tr", {}, columns)), h("tbody", {}, rows)));
export const heads = names => names.map(([name, className]) => h("th", { scope: "col", class: className }, name));

export const clientHeads = [["Client", "wide"], ["Risk"], ["Score", "number"], ["Stage"], ["Why", "wide"], ["Last event"]];
export const clientRow = client => h("tr", { key: client.clientId },
  h("td", {}, h("div", { class: "name" }, h("a", { href: "#/client/" + client.clientId, title: who(client) }, who(client))),
    line(client.email, "soft small")),
  h("td", {}, level(client.riskLevel)), h("td", { class: "number" }, client.score ?? "–"), h("td", {}, title(client.stage)),
  h("td", {}, h("div", { class: "row" }, client.risks.map(risk => chip(risk, "plain")))), h("td", { class: "soft" },
    when(client.lastEventAt, true)));
