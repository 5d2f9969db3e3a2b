// Pictures: plain SVG out of data, each with words beside it for those who cannot see it.

const NS = "http://www.w3.org/2000/svg";

/** An SVG element. Styles are classes and attributes: the page's policy allows no inline style. */
export function s(name, attributes = {}, ...children) {
  const node = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) if (value != null) node.setAttribute(key, value);
  node.append(...children.filter(child => child != null));
  return node;
}

export const LEVELS = ["LOW", "MEDIUM", "HIGH", "CRITICAL"];

/** One bar, split by risk level. */
export function riskStack(levels) {
  const total = LEVELS.reduce((sum, level) => sum + levels[level], 0);
  const svg = s("svg", { class: "stack", viewBox: "0 0 100 7", preserveAspectRatio: "none", "aria-hidden": "true" });
  svg.append(s("rect", { width: 100, height: 7, class: "f-none" }));
  let x = 0;
  for (const level of LEVELS) {
    const width = total ? 100 * levels[level] / total : 0;
    if (width) svg.append(s("rect", { x, width, height: 7, class: "f-" + level }));
    x += width;
  }
  return svg;
}

/** Moves between neighbouring columns as arcs: forward above, back below; the width is the number. */
export function flowArcs(stages, flows, kind, describe) {
  const place = new Map(stages.map((stage, index) => [stage, index]));
  const chosen = flows.filter(flow => (place.get(flow.to) > place.get(flow.from)) === (kind === "forward")).slice(0, 16);
  const width = 1116, column = (width + 10) / 9, most = Math.max(1, ...flows.map(flow => flow.clients));
  const middle = index => index * column + (column - 10) / 2;
  const reach = Math.max(1, ...chosen.map(flow => Math.abs(place.get(flow.to) - place.get(flow.from))));
  const height = chosen.length ? 26 + 13 * reach + 8 : 12;
  const svg = s("svg", { class: "flows", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label":
    `${kind === "forward" ? "Moves forward" : "Moves back"}: ` + (chosen.map(describe).join("; ") || "none") });
  // Long arcs first, so that short ones lie on top.
  chosen.sort((a, b) => Math.abs(place.get(b.to) - place.get(b.from)) - Math.abs(place.get(a.to) - place.get(a.from)));
  const labels = [];
  for (const flow of chosen) {
    const from = place.get(flow.from), to = place.get(flow.to), span = Math.abs(to - from);
    const shift = Math.sign(to - from) * Math.min(18, column / 5);
    const x1 = middle(from) + shift, x2 = middle(to) - shift, rise = 20 + 13 * span;
    const base = kind === "forward" ? height : 0, top = kind === "forward" ? height - rise : rise;
    const group = s("g", {}, s("title", {}, describe(flow)),
      s("path", { d: `M${x1} ${base}C${x1} ${top} ${x2} ${top} ${x2} ${base}`, "stroke-width": (1.5 + 15 * flow.clients / most).toFixed(1),
        class: kind === "forward" ? "" : "back" }));
    group.dataset.from = flow.from;
    group.dataset.to = flow.to;
    svg.append(group);
    if (flow.clients >= most * .12 || span === 1) labels.push([(x1 + x2) / 2, (base + 3 * top) / 4, flow.clients]);
  }
  const taken = [];
  for (const [x, y, text] of labels.reverse()) {
    if (taken.some(other => Math.abs(other[0] - x) < 26 && Math.abs(other[1] - y) < 13)) continue;
    taken.push([x, y]);
    svg.append(s("text", { x, y: y + 4, "aria-hidden": "true" }, compact(text)));
  }
  return svg;
}

export const compact = number => number == null ? "–" : number < 10_000 ? String(number) :
  Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(number);

/** A score as an arc out of the most there can be in practice. */
export function gauge(score, level) {
  const radius = 42, length = Math.PI * radius * 1.5, share = Math.max(0, Math.min(1, (score ?? 0) / 140));
  const arc = (className, part) => s("circle", { cx: 50, cy: 50, r: radius, class: className, transform: "rotate(135 50 50)",
    "stroke-dasharray": `${length * part} 400` });
  return s("svg", { class: "gauge", viewBox: "0 0 100 100", role: "img", "aria-label": `Score ${score ?? "unknown"}` }, arc("track", 1),
    share > 0 ? arc("arc s-" + (level ?? "LOW"), share) : null,
    s("text", { x: 50, y: 57, "font-size": 26, "font-weight": 680 }, String(score == null ? "–" : Math.round(score * 10) / 10)),
    s("text", { x: 50, y: 82, "font-size": 11 }, "score"));
}

/** Score over time; dots coloured by risk level. */
export function scoreChart(points, date) {
  const width = 620, height = 170, left = 34, bottom = 22;
  const times = points.map(point => +new Date(point.generatedAt)), scores = points.map(point => point.score);
  const from = Math.min(...times), to = Math.max(...times), top = Math.max(100, ...scores);
  const x = time => left + (to === from ? .5 : (time - from) / (to - from)) * (width - left - 10);
  const y = score => 8 + (1 - score / top) * (height - bottom - 8);
  const svg = s("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label":
    `Score over time, ${points.length} points, from ${scores[0]} to ${scores.at(-1)}` });
  for (const value of [0, top / 2, top]) svg.append(s("line", { x1: left, x2: width - 10, y1: y(value), y2: y(value), class: "grid-line" }),
    s("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, String(Math.round(value))));
  const line = points.map((point, index) => index === 0 ? `M${x(times[0])} ${y(point.score)}` : `H${x(times[index])}V${y(point.score)}`).join("");
  svg.append(s("path", { d: `${line}V${y(0)}H${x(from)}Z`, class: "area" }), s("path", { d: line, class: "path" }));
  for (const [index, point] of points.entries()) svg.append(s("circle", { cx: x(times[index]), cy: y(point.score), r: 4, class: "f-" + point.riskLevel },
    s("title", {}, `${date(point.generatedAt)}: ${point.score}, ${point.riskLevel}`)));
  svg.append(s("text", { x: left, y: height - 4 }, date(points[0].generatedAt)));
  if (to !== from) svg.append(s("text", { x: width - 10, y: height - 4, "text-anchor": "end" }, date(points.at(-1).generatedAt)));
  return svg;
}

/** The way of a client through the stages: a row a stage, a dot an event, a square one that is bad news. */
export function journeyChart(events, stages, label, date, isBad) {
  const shown = [...events].reverse(), row = 27, left = 132, width = 900, height = stages.length * row + 24;
  const times = shown.map(event => +new Date(event.occurredAt)), from = Math.min(...times), to = Math.max(...times, from + 1);
  const x = time => left + 16 + (time - from) / (to - from) * (width - left - 34), y = stage => stages.indexOf(stage) * row + row / 2;
  const now = shown.at(-1)?.stage;
  const svg = s("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "The journey through the stages; each event is listed below" });
  for (const stage of stages) svg.append(
    s("rect", { x: left, y: y(stage) - row / 2 + 2, width: width - left, height: row - 4, rx: 7, class: "row" + (stage === now ? " now" : "") }),
    s("text", { x: left - 8, y: y(stage) + 4, "text-anchor": "end", "font-weight": stage === now ? 700 : 400 }, label(stage)));
  const steps = shown.map((event, index) => [x(times[index]), y(event.stage)]);
  svg.append(s("path", { class: "walk", d: steps.map(([px, py], index) => index === 0 ? `M${px} ${py}` : `H${px}V${py}`).join("") }));
  for (const [index, event] of shown.entries()) svg.append(
    s("a", { href: "#" + location.hash.slice(1), "data-event": event.id,
      "aria-label": `${date(event.occurredAt)}: ${isBad(event) ? "serious: " : ""}${event.eventType}` },
      s("title", {}, `${date(event.occurredAt)}: ${event.eventType.replaceAll("_", " ")}`),
      isBad(event) ? s("rect", { x: steps[index][0] - 6, y: steps[index][1] - 6, width: 12, height: 12, rx: 2, class: "dot bad" })
        : s("circle", { cx: steps[index][0], cy: steps[index][1], r: event.setsStage ? 6.5 : 5, class: "dot" + (event.setsStage ? "" : " mute") })));
  svg.append(s("text", { x: left + 4, y: height - 5 }, date(shown[0].occurredAt)),
    s("text", { x: width - 4, y: height - 5, "text-anchor": "end" }, date(shown.at(-1).occurredAt)));
  return svg;
}

/** Bars a day. */
export function dayBars(days, member, date) {
  const width = 420, height = 92, most = Math.max(1, ...days.map(day => day[member])), step = width / days.length;
  const svg = s("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `Events a day, at most ${most}; ${days.at(-1)?.[member] ?? 0} today` });
  for (const [index, day] of days.entries()) {
    const size = day[member] ? Math.max(2, (height - 22) * day[member] / most) : 1;
    svg.append(s("rect", { x: index * step + 1, y: height - 18 - size, width: Math.max(1, step - 2), height: size, rx: 2,
      class: day[member] ? "f-accent" : "f-none" }, s("title", {}, `${date(day.day)}: ${day[member]}`)));
  }
  svg.append(s("text", { x: 0, y: height - 3 }, date(days[0].day)), s("text", { x: width, y: height - 3, "text-anchor": "end" }, "today"));
  return svg;
}
