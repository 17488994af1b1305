"use strict";
// The latent explorer. State is in one object; `draw` shows all of it, `mark` only what changes
// while the pointer moves. Text from the data enters the page through textContent alone.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const column = data.columns; // name → values, one a network
  const all = column.key.map((_, i) => i);
  const fields = new Map(data.fields.map((f) => [f.name, f]));
  const axes = new Map(data.axes.map((a) => [a.column, a]));
  const factors = data.factors.filter((f) => fields.has(f));
  const $ = (id) => document.getElementById(id);
  const state = {
    ...data.first, shape: "activation", join: "", fit: false, hidden: new Set(),
    from: 0, to: 100, sort: "last", descending: true, selected: new Set(), shown: -1, mode: "positive",
  };
  let visible = []; // networks that pass the filters
  let placed = []; // {i, x, y} of those that have both values, in pixels
  let hot = -1; // the network under the pointer or the keyboard

  // ---- Small tools ---------------------------------------------------------------------------

  const isPercent = (name) => axes.get(name).unit === "%";
  const value = (name, i) => (column[name][i] == null ? NaN : column[name][i] * (isPercent(name) ? 100 : 1));
  const axisLabel = (name) => `${axes.get(name).label}${axes.get(name).unit && ` (${axes.get(name).unit})`}`;
  const shownValue = (name, v) => (!Number.isFinite(v) ? "–" : isPercent(name) ? v.toFixed(2) : short(v));
  const entry = (field, i) => fields.get(field).values.find((v) => v.value === String(column[field][i]));
  const several = (field) => fields.has(field) && fields.get(field).values.length > 1;

  const shapeOf = (entry) => SHAPES[entry.place % SHAPES.length];

  // ---- The chart -----------------------------------------------------------------------------

  function passes(i) {
    const accuracy = value("last", i);
    return accuracy >= state.from - 1e-9 && accuracy <= state.to + 1e-9
      && data.fields.every((f) => !state.hidden.has(`${f.name}:${column[f.name][i]}`));
  }
  function pairs() {
    if (!state.join) return [];
    const groups = new Map();
    for (const p of placed) {
      const same = ["dataset", "seed", ...factors].filter((f) => f !== state.join);
      const group = JSON.stringify(same.map((f) => column[f][p.i]));
      groups.set(group, [...(groups.get(group) || []), p]);
    }
    const order = (p) => fields.get(state.join).values.indexOf(entry(state.join, p.i));
    return [...groups.values()].flatMap((group) => {
      group.sort((a, b) => order(a) - order(b));
      return group.slice(1).map((p, k) => [group[k], p]).filter(([a, b]) => order(a) !== order(b));
    });
  }
  function drawChart() {
    const width = Math.max(320, $("chart").clientWidth), height = Math.min(560, Math.max(340, width * 0.68));
    const box = [58, 8, width - 12, height - 42];
    const domain = state.fit && visible.length ? visible : all;
    const finite = (name) => domain.map((i) => value(name, i)).filter(Number.isFinite);
    const x = scale(finite(state.x), box[0], box[2]), y = scale(finite(state.y), box[3], box[1]);
    placed = visible.map((i) => ({ i, x: x(value(state.x, i)), y: y(value(state.y, i)) }))
      .filter((p) => Number.isFinite(p.x + p.y));
    const joined = pairs();
    const plot = $("plot");
    plot.setAttribute("viewBox", `0 0 ${width} ${height}`);
    plot.setAttribute("aria-label", `${axisLabel(state.y)} against ${axisLabel(state.x)}`);
    plot.replaceChildren(
      axesOf(x, y, box, axisLabel(state.x), axisLabel(state.y)),
      ...joined.map(([a, b]) => svg("line", { class: "pair", x1: a.x, y1: a.y, x2: b.x, y2: b.y, "data-a": a.i, "data-b": b.i })),
      ...placed.map((p) => svg("path", {
        class: "point", "data-i": p.i, d: outline(state.shape ? shapeOf(entry(state.shape, p.i)) : "circle", 5), fill: entry(state.colour, p.i).colour,
        transform: `translate(${p.x.toFixed(2)},${p.y.toFixed(2)})`,
      })),
      svg("circle", { class: "ring", id: "ring", r: 9.5, visibility: "hidden" }),
      svg("rect", { class: "brush", id: "brush", visibility: "hidden" }));
    return joined.length;
  }
  function legend() {
    const line = (field, shape, colour) => html("div", { class: "legend" }, html("b", {}, fields.get(field).label),
      ...fields.get(field).values.map((v) => {
        const number = visible.filter((i) => String(column[field][i]) === v.value).length;
        return html("span", {}, key(shape(v), colour(v)), v.label, html("span", { class: "of" }, `${number}`));
      }));
    const together = state.shape === state.colour;
    $("legend").replaceChildren(
      line(state.colour, together ? shapeOf : () => "circle", (v) => v.colour),
      ...(state.shape && !together ? [line(state.shape, shapeOf, () => "#5a626b")] : []));
  }

  // ---- The table -----------------------------------------------------------------------------

  function tableColumns() {
    const about = ["dataset", "seed", "origin"].filter(several);
    return ["configuration", ...about, ...new Set([state.x, state.y, "last", "test_accuracy"]), "structure", "family",
      ...(axes.has("margin") && ![state.x, state.y].includes("margin") ? ["margin"] : [])];
  }
  function drawTable() {
    const columns = tableColumns();
    if ($("head").dataset.columns !== columns.join()) {
      $("head").dataset.columns = columns.join();
      const title = (c) => (axes.has(c) ? axisLabel(c) : fields.has(c) ? fields.get(c).label : "Network");
      $("head").replaceChildren(html("tr", {}, ...columns.map((c) => html("th",
        { scope: "col", "data-column": c, class: axes.has(c) ? "number" : "" },
        html("button", { type: "button", onclick: () => sortBy(c) }, title(c))))));
    }
    for (const th of $("head").querySelectorAll("th")) {
      const sorted = th.dataset.column === state.sort;
      th.setAttribute("aria-sort", !sorted ? "none" : state.descending ? "descending" : "ascending");
    }
    const rows = visible.filter((i) => !state.selected.size || state.selected.has(i));
    const worth = (i) => (axes.has(state.sort) ? value(state.sort, i) : entryText(state.sort, i));
    const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b);
    rows.sort((a, b) => {
      const [u, v] = [worth(a), worth(b)];
      if (Number.isNaN(u) || Number.isNaN(v)) return Number.isNaN(u) - Number.isNaN(v);
      return (state.descending ? -1 : 1) * compare(u, v) || a - b;
    });
    const cell = (c, i) => {
      if (axes.has(c)) return html("td", { class: "number" }, shownValue(c, value(c, i)));
      if (c === "configuration") return html("td", {}, html("button", { type: "button" }, column[c][i]));
      const colour = ["structure", "family"].includes(c) && key("circle", entry(c, i).colour);
      return html("td", {}, colour || null, entryText(c, i));
    };
    $("body").replaceChildren(...rows.map((i) => html("tr", { "data-i": i }, ...columns.map((c) => cell(c, i)))));
  }
  const entryText = (field, i) => (fields.has(field) ? entry(field, i).label : String(column[field][i]));
  function sortBy(name) {
    state.descending = state.sort === name ? !state.descending : axes.has(name);
    state.sort = name;
    drawTable();
    mark();
    remember();
  }

  // ---- One network ---------------------------------------------------------------------------

  function drawDetail() {
    const i = state.shown;
    if (i < 0) return $("detail").replaceChildren(html("p", { class: "note" }, "Click a mark or a row to see that network."));
    const kind = (field) => html("span", {}, key("circle", entry(field, i).colour), ` ${entryText(field, i)}`);
    const list = (kind, facts) => html("dl", { class: kind },
      ...facts.flatMap(([name, text]) => [html("dt", {}, name), html("dd", {}, text)]));
    const percent = (c) => `${shownValue(c, value(c, i))} %`;
    const about = list("short", [...factors, "dataset", "seed"].map((f) => [fields.get(f).label, entryText(f, i)])
      .concat([["Epochs", `${column.epochs[i]}`]]));
    const found = list("long", [["Test accuracy", `${percent("last")} last, ${percent("test_accuracy")} best`],
      ["Structure", html("span", {}, kind("structure"), `, margin ${short(value("margin", i))}`)],
      ["Paper's", html("span", {}, kind("family"), column.stated[i] ? " (stated)" : " (our reading)")]]);
    const measured = data.axes.filter((a) => a.group !== "Accuracy" && a.column !== "margin").map((a) => {
      const theirs = column[`published_${a.column}`];
      return html("tr", {}, html("td", {}, a.label), html("td", { class: "number" }, short(value(a.column, i))),
        html("td", { class: "number" }, theirs ? short(theirs[i] ?? NaN) : ""));
    });
    $("detail").replaceChildren(
      html("div", { class: "about" }, html("h2", { id: "title" }, column.configuration[i]),
        about, found),
      html("section", {}, html("h3", {}, "Projection of its latents"),
        ...projectionOf(data, column.key[i], state.mode, recolour)),
      html("section", {}, html("h3", {}, "Persistence diagram"), ...diagramOf(data, column.key[i])),
      html("details", { class: "about" }, html("summary", {}, "All measures"), html("table", {}, html("thead", {}, html("tr", {},
        ...["Measure", "here", "published"].map((t) => html("th", { scope: "col" }, t)))), html("tbody", {}, ...measured))));
  }

  function recolour(mode) {
    state.mode = mode;
    drawDetail();
    remember();
    $("detail").querySelector(":checked").focus();
  }

  // ---- What is marked, chosen and shown --------------------------------------------------------

  function mark() {
    const chosen = (i) => state.selected.has(Number(i));
    $("plot").classList.toggle("picked", state.selected.size > 0);
    for (const node of $("plot").querySelectorAll(".point")) {
      node.classList.toggle("chosen", chosen(node.dataset.i));
      node.classList.toggle("hot", Number(node.dataset.i) === hot);
    }
    for (const node of $("plot").querySelectorAll(".pair"))
      node.classList.toggle("chosen", chosen(node.dataset.a) || chosen(node.dataset.b));
    for (const row of $("body").rows) {
      row.classList.toggle("hot", Number(row.dataset.i) === hot);
      row.classList.toggle("shown", Number(row.dataset.i) === state.shown);
    }
    const ring = $("ring"), at = placed.find((p) => p.i === state.shown), over = placed.find((p) => p.i === hot);
    ring.setAttribute("visibility", at ? "visible" : "hidden");
    if (at) { ring.setAttribute("cx", at.x); ring.setAttribute("cy", at.y); }
    $("tip").hidden = !over;
    if (!over) return;
    $("tip").textContent = [`${column.configuration[hot]}`, ...["dataset", "seed"].filter(several).map((f) => entryText(f, hot)),
      ...[state.x, state.y].map((c) => `${axes.get(c).label}: ${shownValue(c, value(c, hot))}${isPercent(c) ? " %" : ""}`)].join("\n");
    const wide = $("chart").clientWidth, zoom = wide / $("plot").viewBox.baseVal.width;
    $("tip").style.left = `${Math.max(0, Math.min(over.x * zoom + 12, wide - $("tip").offsetWidth))}px`;
    $("tip").style.top = `${Math.max(0, over.y * zoom - $("tip").offsetHeight - 12)}px`;
  }
  function tellStatus(joined) {
    const few = visible.length - placed.length;
    const parts = [`${visible.length} of ${all.length} networks shown, ${state.selected.size} selected`];
    if (few) parts.push(`${few} without a value on an axis`);
    if (state.join) parts.push(`${joined} lines join networks that differ in ${fields.get(state.join).label.toLowerCase()} only`);
    $("status").textContent = parts.join("; ");
    $("clear").hidden = !state.selected.size;
  }
  function draw() {
    visible = all.filter(passes);
    state.selected = new Set(visible.filter((i) => state.selected.has(i)));
    const joined = drawChart();
    legend();
    drawTable();
    tellStatus(joined);
    mark();
    remember();
  }
  function select(chosen) {
    state.selected = new Set(chosen);
    drawTable();
    tellStatus($("plot").querySelectorAll(".pair").length);
    mark();
  }
  function show(i) {
    state.shown = i;
    drawDetail();
    mark();
    const row = $("body").querySelector(`[data-i="${i}"]`), rows = $("rows");
    if (row && (row.offsetTop < rows.scrollTop + 40 || row.offsetTop > rows.scrollTop + rows.clientHeight - 30))
      rows.scrollTop = row.offsetTop - rows.clientHeight / 2;
    remember();
  }
  function heat(i) {
    if (i !== hot) { hot = i; mark(); }
  }

  // ---- The address keeps the state -------------------------------------------------------------

  const WORDS = ["x", "y", "colour", "shape", "join", "sort", "mode"];
  function remember() {
    const words = new URLSearchParams(WORDS.map((w) => [w, state[w]]));
    for (const flag of ["descending", "fit"]) if (state[flag]) words.set(flag, "1");
    for (const hidden of state.hidden) words.append("hide", hidden);
    words.set("accuracy", `${state.from}-${state.to}`);
    if (state.shown >= 0) words.set("network", column.key[state.shown]);
    try { history.replaceState(null, "", `#${words}`); } catch { /* some browsers refuse for files */ }
  }
  function recall() {
    const words = new URLSearchParams(location.hash.slice(1)), legal = (id, v) => [...$(id).options].some((o) => o.value === v);
    for (const id of ["x", "y", "colour", "shape", "join"]) if (words.has(id) && legal(id, words.get(id))) state[id] = words.get(id);
    if (words.has("sort") && (axes.has(words.get("sort")) || column[words.get("sort")])) state.sort = words.get("sort");
    if (["positive", "true_class", "label"].includes(words.get("mode"))) state.mode = words.get("mode");
    if (words.has("x")) for (const flag of ["descending", "fit"]) state[flag] = words.get(flag) === "1";
    const known = new Set(data.fields.flatMap((f) => f.values.map((v) => `${f.name}:${v.value}`)));
    state.hidden = new Set(words.getAll("hide").filter((h) => known.has(h)));
    const [, from, to] = /^([\d.]+)-([\d.]+)$/.exec(words.get("accuracy")) || [];
    const low = Number($("from").min), high = Number($("from").max);
    [state.from, state.to] = from ? [Math.max(low, Number(from)), Math.min(high, Number(to))] : [low, high];
    const best = [...all].sort((a, b) => column.last[b] - column.last[a])[0];
    state.shown = column.key.indexOf(words.get("network"));
    if (state.shown < 0) state.shown = best;
  }

  // ---- Controls --------------------------------------------------------------------------------

  function setUp() {
    const options = (id, items, none) => $(id).append(...(none ? [html("option", { value: "" }, none)] : []), ...items);
    for (const id of ["x", "y"]) options(id, [...new Set(data.axes.map((a) => a.group))].map((g) => html("optgroup", { label: g },
      ...data.axes.filter((a) => a.group === g).map((a) => html("option", { value: a.column }, a.label)))));
    const named = (names) => names.map((n) => html("option", { value: n }, fields.get(n).label));
    options("colour", named([...fields.keys()]));
    options("shape", named([...fields.keys()].filter((n) => fields.get(n).values.length <= SHAPES.length)), "none");
    options("join", named(factors), "no factor");
    if (!fields.has(state.shape)) state.shape = "";
    for (const id of ["x", "y", "colour", "shape", "join"]) $(id).addEventListener("change", () => { state[id] = $(id).value; draw(); });
    $("fit").addEventListener("change", () => { state.fit = $("fit").checked; draw(); });
    const known = column.last.filter((v) => v != null).map((v) => 100 * v);
    for (const id of ["from", "to"]) {
      $(id).min = Math.floor(Math.min(...known));
      $(id).max = Math.ceil(Math.max(...known));
      $(id).addEventListener("input", () => {
        state[id] = Number($(id).value);
        if (state.from > state.to) state[id === "from" ? "to" : "from"] = state[id];
        showControls();
        draw();
      });
    }
    $("groups").append(...data.fields.filter((f) => f.values.length > 1).map((f) => html("fieldset", {}, html("legend", {}, f.label),
      ...f.values.map((v) => html("label", {}, html("input", { type: "checkbox", "data-hide": `${f.name}:${v.value}`, onchange: (event) => {
        state.hidden[event.target.checked ? "delete" : "add"](event.target.dataset.hide);
        draw();
      } }), v.label, html("span", { class: "count" }, `${all.filter((i) => String(column[f.name][i]) === v.value).length}`))))));
    $("everything").addEventListener("click", () => {
      state.hidden.clear();
      [state.from, state.to] = [Number($("from").min), Number($("to").max)];
      showControls();
      draw();
    });
    if (matchMedia("(max-width: 640px)").matches) $("filters").open = false;
  }
  function showControls() {
    for (const id of ["x", "y", "colour", "shape", "join", "from", "to"]) $(id).value = state[id];
    $("fit").checked = state.fit;
    $("range").textContent = `${state.from} to ${state.to} %`;
    for (const box of $("groups").querySelectorAll("input")) box.checked = !state.hidden.has(box.dataset.hide);
  }

  // ---- Pointer and keyboard ----------------------------------------------------------------------

  function point(event) {
    const box = $("plot").getBoundingClientRect(), zoom = $("plot").viewBox.baseVal.width / box.width;
    return { x: (event.clientX - box.left) * zoom, y: (event.clientY - box.top) * zoom };
  }
  function nearest(at, reach) {
    let best = -1, least = reach ** 2;
    for (const p of placed) {
      const d = (p.x - at.x) ** 2 + (p.y - at.y) ** 2;
      if (d <= least) [best, least] = [p.i, d];
    }
    return best;
  }
  let start = null; // where the pointer went down
  function drag(event) {
    const at = point(event);
    if (!start) return heat(nearest(at, 12));
    const [x, y, width, height] = [Math.min(at.x, start.x), Math.min(at.y, start.y), Math.abs(at.x - start.x), Math.abs(at.y - start.y)];
    if (!start.moved && width + height < 6) return;
    start.moved = true;
    for (const [name, v] of Object.entries({ x, y, width, height, visibility: "visible" })) $("brush").setAttribute(name, v);
    const inside = placed.filter((p) => p.x >= x && p.x <= x + width && p.y >= y && p.y <= y + height).map((p) => p.i);
    hot = -1;
    select([...(event.shiftKey ? start.before : []), ...inside]);
  }
  function listen() {
    const plot = $("plot");
    plot.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      start = { ...point(event), before: [...state.selected] };
      plot.setPointerCapture(event.pointerId);
    });
    plot.addEventListener("pointermove", drag);
    plot.addEventListener("pointerleave", () => heat(-1));
    const end = (event) => {
      const found = start && !start.moved && event.type === "pointerup" ? nearest(point(event), 12) : -1;
      start = null;
      $("brush").setAttribute("visibility", "hidden");
      if (found >= 0) show(found);
    };
    plot.addEventListener("pointerup", end);
    plot.addEventListener("pointercancel", end);
    plot.addEventListener("keydown", (event) => {
      const way = { ArrowRight: ["x", 1], ArrowLeft: ["x", -1], ArrowUp: ["y", -1], ArrowDown: ["y", 1] }[event.key];
      if (way && placed.length) {
        const line = [...placed].sort((a, b) => a[way[0]] - b[way[0]] || a.i - b.i), now = line.findIndex((p) => p.i === hot);
        heat(line[now < 0 ? 0 : (now + way[1] + line.length) % line.length].i);
      } else if (event.key === "Enter" && hot >= 0) show(hot);
      else if (event.key === " " && hot >= 0) {
        const chosen = new Set(state.selected);
        if (!chosen.delete(hot)) chosen.add(hot);
        select(chosen);
      } else return;
      event.preventDefault();
    });
    plot.addEventListener("blur", () => heat(-1));
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") select([]); });
    $("clear").addEventListener("click", () => select([]));
    const row = (event) => Number(event.target.closest("tr")?.dataset.i ?? -1);
    $("body").addEventListener("click", (event) => show(row(event)));
    for (const kind of ["pointerover", "focusin"]) $("body").addEventListener(kind, (event) => heat(row(event)));
    for (const kind of ["pointerleave", "focusout"]) $("body").addEventListener(kind, () => heat(-1));
    addEventListener("hashchange", begin);
    let width = 0;
    new ResizeObserver(([{ contentRect }]) => {
      if (contentRect.width === width) return;
      width = contentRect.width;
      drawChart();
      mark();
    }).observe($("chart"));
  }
  function begin() {
    recall();
    showControls();
    draw();
    drawDetail();
    mark();
  }
  setUp();
  listen();
  begin();
})();
