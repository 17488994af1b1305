"use strict";
// What the explorer draws with: elements, marks, axes, and the two views of one network.

const SHAPES = ["circle", "square", "triangle", "diamond", "cross", "wedge"];

function make(space, name, attributes, children) {
  const node = space ? document.createElementNS(space, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== false && value != null) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((c) => c != null));
  return node;
}
// Text becomes text nodes, never markup.
const html = (name, attributes = {}, ...children) => make("", name, attributes, children);
const svg = (name, attributes = {}, ...children) =>
  make("http://www.w3.org/2000/svg", name, attributes, children);

function outline(shape, r) {
  const s = r * 0.9, t = r * 1.25, w = r * 0.42;
  return {
    circle: `M${-r},0a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0Z`,
    square: `M${-s},${-s}H${s}V${s}H${-s}Z`,
    triangle: `M0,${-t}L${t},${r * 0.9}H${-t}Z`,
    diamond: `M0,${-t}L${t},0L0,${t}L${-t},0Z`,
    cross: `M${-w},${-t}H${w}V${-w}H${t}V${w}H${w}V${t}H${-w}V${w}H${-t}V${-w}H${-w}Z`,
    wedge: `M0,${t}L${t},${-r * 0.9}H${-t}Z`,
  }[shape];
}
const key = (shape, colour) => svg("svg", { class: "key", viewBox: "-8 -8 16 16", "aria-hidden": "true" },
  svg("path", { d: outline(shape, 5), fill: colour }));

function ticks(low, high, most) {
  const rough = (high - low) / most || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  const places = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, k) =>
    [(first + k) * step, ((first + k) * step).toFixed(places).replace(/^-(0\.?0*)$/, "$1")]);
}
function scale(values, from, to) {
  let low = Math.min(...values), high = Math.max(...values);
  if (!(high > low)) [low, high] = Number.isFinite(low) ? [low - 0.5, high + 0.5] : [0, 1];
  const pad = (high - low) * 0.05;
  [low, high] = [low - pad, high + pad];
  return Object.assign((v) => from + ((v - low) / (high - low)) * (to - from), { low, high });
}
function axesOf(x, y, box, xText, yText) {
  const [left, top, right, bottom] = box;
  const middle = { "text-anchor": "middle" };
  const tick = (line, at, text) => svg("g", { class: "tick" },
    svg("line", { class: "grid", ...line }), svg("text", at, text));
  const upright = ([v, text]) => tick({ x1: x(v), x2: x(v), y1: top, y2: bottom },
    { x: x(v), y: bottom + 15, ...middle }, text);
  const level = ([v, text]) => tick({ y1: y(v), y2: y(v), x1: left, x2: right },
    { x: left - 6, y: y(v) + 4, "text-anchor": "end" }, text);
  const turned = `translate(${left - 36},${(top + bottom) / 2}) rotate(-90)`;
  return svg("g", {},
    ...ticks(x.low, x.high, (right - left) / 60).map(upright),
    ...ticks(y.low, y.high, (bottom - top) / 45).map(level),
    svg("path", { class: "frame", d: `M${left},${top}V${bottom}H${right}` }),
    svg("text", { x: (left + right) / 2, y: bottom + 33, ...middle }, xText),
    svg("text", { transform: turned, ...middle }, yText));
}

// Of points {i, x, y}: the i of the nearest one within reach, else −1.
function nearest(points, at, reach) {
  let best = -1, least = reach ** 2;
  for (const p of points) {
    const d = (p.x - at.x) ** 2 + (p.y - at.y) ** 2;
    if (d <= least) [best, least] = [p.i, d];
  }
  return best;
}
// Neighbouring points of each group, in order.
function pairsOf(points, group, order) {
  const groups = new Map();
  for (const p of points) groups.set(group(p), [...(groups.get(group(p)) || []), p]);
  return [...groups.values()].flatMap((members) => {
    members.sort((a, b) => order(a) - order(b));
    return members.slice(1).map((p, k) => [members[k], p]).filter(([a, b]) => order(a) !== order(b));
  });
}

const short = (v, places = 3) => (Number.isFinite(v) ? v.toFixed(Math.abs(v) >= 100 ? 0 : places) : "–");
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
const legendOf = (...items) => html("div", { class: "legend" },
  ...items.map(([shape, colour, text]) => html("span", {}, key(shape, colour), text)));

// A network's t-SNE; `mode` is the column of the sample that colours it, `choose` changes it.
function projectionOf(data, network, mode, choose) {
  const found = data.projections[network];
  if (!found) {
    const words = "No projection was computed for this network: its weights are not stored here.";
    return [html("p", { class: "missing" }, words)];
  }
  const xy = new Int16Array(bytes(found.xy)), sample = data.samples[found.sample];
  const byPolarity = mode === "positive", codes = sample[mode];
  const look = byPolarity ? data.polarity : data.classes.map((c, k) => [String(k), c]);
  const [name, colour] = [(c) => (look[c] || [String(c)])[0], (c) => look[c % look.length][1]];
  const order = [...codes.keys()].sort((a, b) => sample.positive[a] - sample.positive[b]);
  const about = (k) => `${data.polarity[sample.positive[k]][0]}: true class ${sample.true_class[k]}, `
    + `candidate label ${sample.label[k]}`;
  const dot = (k) => svg("circle", {
    cx: (xy[2 * k] / 220).toFixed(1), cy: (-xy[2 * k + 1] / 220).toFixed(1), r: 2.4,
    fill: colour(codes[k]), "fill-opacity": 0.8,
  }, svg("title", {}, about(k)));
  const choice = (value, text) => html("label", {}, html("input", {
    type: "radio", name: "mode", value, checked: mode === value, onchange: () => choose(value),
  }), text);
  const there = [...new Set(codes)].sort((a, b) => (byPolarity ? b - a : a - b));
  return [
    html("div", { class: "choice", role: "radiogroup", "aria-label": "Colour by" },
      choice("positive", "polarity"), choice("true_class", "true class"), choice("label", "candidate label")),
    svg("svg", { class: "view", id: "projection", viewBox: "-155 -155 310 310", role: "img",
      "aria-label": "t-SNE projection" }, ...order.map(dot)),
    legendOf(...there.map((c) => ["circle", colour(c), name(c)])),
    html("p", { class: "note" },
      `t-SNE of ${codes.length} latents, half of them positive; its axes have no unit.`),
  ];
}

function diagramOf(data, network) {
  const found = data.diagrams[network];
  if (!found) {
    return [html("p", { class: "missing" }, "No persistence diagram was computed for this network.")];
  }
  const unpacked = (text) => [...new Uint16Array(bytes(text))].map((v) => v * found.step);
  const [h0, h1] = [unpacked(found.h0), unpacked(found.h1)];
  const end = Math.max(...h0, ...h1, 0) || 1, box = [48, 8, 302, 262];
  const to = (a, b) => Object.assign((v) => a + (v / end) * (b - a), { low: 0, high: end });
  const x = to(box[0] + 6, box[2] - 6), y = to(box[3] - 6, box[1] + 6);
  const [components, loops] = [["circle", "#0072B2"], ["triangle", "#D55E00"]];
  const bar = (name, [shape, colour], birth, death) => svg("path", {
    class: name, d: outline(shape, 3), fill: colour, "fill-opacity": 0.55,
    transform: `translate(${x(birth).toFixed(1)},${y(death).toFixed(1)})`,
  }, svg("title", {}, `${name.toUpperCase()}: born ${short(birth)}, dies ${short(death)}`));
  const births = h1.filter((_, k) => k % 2 === 0);
  const near = found.radius > 0 ? `, whose diagram is within ${2 * found.radius} of these latents'` : "";
  return [
    svg("svg", { class: "view", id: "diagram", viewBox: "0 0 310 305", role: "img",
      "aria-label": "persistence diagram" },
    axesOf(x, y, box, "birth", "death"),
    svg("line", { class: "frame", x1: x(0), y1: y(0), x2: x(end), y2: y(end) }),
    ...h0.map((death) => bar("h0", components, 0, death)),
    ...births.map((birth, k) => bar("h1", loops, birth, h1[2 * k + 1]))),
    legendOf([...components, `H0, ${h0.length} finite bars`], [...loops, `H1, ${births.length} bars`]),
    html("p", { class: "note" }, "Distances in units of the latents' root mean square length. H0 of "
      + `${found.points[0]} latents, whose last component never dies; H1 of ${found.points[1]}${near}.`),
  ];
}
