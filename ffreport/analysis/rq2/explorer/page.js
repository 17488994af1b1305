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
  const value = (name, i) => (column[name][i] ?? NaN) * (isPercent(name) ? 100 : 1);
  const withUnit = (text, name) => text + (axes.get(name).unit && ` (${axes.get(name).unit})`);
  const axisLabel = (name) => withUnit(axes.get(name).label, name);
  const shownValue = (name, i) => short(value(name, i), isPercent(name) ? 2 : 3);
  const entry = (field, i) => fields.get(field).values.find((v) => v.value === String(column[field][i]));
  const entryText = (field, i) => (fields.has(field) ? entry(field, i).label : String(column[field][i]));
  const having = (field, v, among) => among.filter((i) => String(column[field][i]) === v.value).length;
  const several = (field) => fields.has(field) && fields.get(field).values.length > 1;
  const shapeOf = (v) => SHAPES[v.place % SHAPES.length];

  // ---- The chart -----------------------------------------------------------------------------

  function passes(i) {
    const accuracy = value("last", i);
    return !(accuracy < state.from - 1e-9 || accuracy > state.to + 1e-9)
      && data.fields.every((f) => !state.hidden.has(`${f.name}:${column[f.name][i]}`));
  }
  function pairs() {
    if (!state.join) return [];
    const same = ["dataset", "seed", ...factors].filter((f) => f !== state.join);
    return pairsOf(placed, (p) => JSON.stringify(same.map((f) => column[f][p.i])),
      (p) => entry(state.join, p.i).place);
  }
  function drawChart() {
    const width = Math.max(320, $("chart").clientWidth);
    const height = Math.min(560, Math.max(340, width * 0.68));
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
      ...joined.map(([a, b]) => svg("line", {
        class: "pair", x1: a.x, y1: a.y, x2: b.x, y2: b.y, "data-a": a.i, "data-b": b.i,
      })),
      ...placed.map((p) => svg("path", {
        class: "point", "data-i": p.i, fill: entry(state.colour, p.i).colour,
        d: outline(state.shape ? shapeOf(entry(state.shape, p.i)) : SHAPES[0], 5),
        transform: `translate(${p.x.toFixed(2)},${p.y.toFixed(2)})`,
      })),
      svg("circle", { class: "ring", id: "ring", r: 9.5, visibility: "hidden" }),
      svg("rect", { class: "brush", id: "brush", visibility: "hidden" }));
    return joined.length;
  }
  function legend() {
    const line = (field, shape, colour) => html("div", { class: "legend" },
      html("b", {}, fields.get(field).label),
      ...fields.get(field).values.map((v) => html("span", {}, key(shape(v), colour(v)), v.label,
        html("span", { class: "of" }, `${having(field, v, visible)}`))));
    const together = state.shape === state.colour;
    $("legend").replaceChildren(
      line(state.colour, together ? shapeOf : () => SHAPES[0], (v) => v.colour),
      ...(state.shape && !together ? [line(state.shape, shapeOf, () => "#5a626b")] : []));
  }

  // ---- The table -----------------------------------------------------------------------------

  function tableColumns() {
    const about = ["dataset", "seed", "origin"].filter(several);
    return ["configuration", ...about, ...new Set([state.x, state.y, "last"]), "structure", "family",
      ...(axes.has("margin") && ![state.x, state.y].includes("margin") ? ["margin"] : [])];
  }
  function drawTable() {
    const columns = tableColumns();
    if ($("head").dataset.columns !== columns.join()) {
      $("head").dataset.columns = columns.join();
      const title = (c) => (axes.has(c) ? withUnit(axes.get(c).short, c) : fields.get(c)?.label ?? "Network");
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
    const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b, "en") : a - b);
    rows.sort((a, b) => {
      const [u, v] = [worth(a), worth(b)];
      if (Number.isNaN(u) || Number.isNaN(v)) return Number.isNaN(u) - Number.isNaN(v);
      return (state.descending ? -1 : 1) * compare(u, v) || a - b;
    });
    const cell = (c, i) => {
      if (axes.has(c)) return html("td", { class: "number" }, shownValue(c, i));
      if (c === "configuration") return html("td", {}, html("button", { type: "button" }, column[c][i]));
      const coloured = ["structure", "family"].includes(c);
      return html("td", {}, coloured ? key(SHAPES[0], entry(c, i).colour) : null, entryText(c, i));
    };
    const row = (i) => html("tr", { "data-i": i }, ...columns.map((c) => cell(c, i)));
    $("body").replaceChildren(...rows.map(row));
  }
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
    const kind = (field) => html("span", {}, key(SHAPES[0], entry(field, i).colour), entryText(field, i));
    const read = column.family[i] === "not in the paper" ? "" : " (read by us)";
    const said = column.stated[i] ? " (stated)" : read;
    const list = (name, facts) => html("dl", { class: name },
      ...facts.flatMap(([what, text]) => [html("dt", {}, what), html("dd", {}, text)]));
    const named = (field) => [fields.get(field).label, entryText(field, i)];
    const number = (v) => html("td", { class: "number" }, v);
    const measured = data.axes.filter((a) => a.group !== "Accuracy").map((a) => {
      const theirs = column[`published_${a.column}`];
      return html("tr", {}, html("td", {}, a.label), number(shownValue(a.column, i)),
        number(theirs ? short(theirs[i] ?? NaN) : ""));
    });
    const heading = (text, k) => html("th", { scope: "col", class: k > 0 && "number" }, text);
    $("detail").replaceChildren(
      html("div", { class: "about" }, html("h2", { id: "title" }, column.configuration[i]),
        list("short", factors.filter((f) => f !== "probability").map(named)),
        list("long", [named("probability"),
          ["Trained on", `${entryText("dataset", i)}, seed ${column.seed[i]}, ${column.epochs[i]} epochs`],
          ["Test accuracy", `${shownValue("last", i)} % last, ${shownValue("test_accuracy", i)} % best`],
          ["Measured as", html("span", {}, kind("structure"), `, margin ${shownValue("margin", i)}`)],
          ["The paper's", html("span", {}, kind("family"), said)],
        ])),
      html("section", {}, html("h3", {}, "Projection of its latents"),
        ...projectionOf(data, column.key[i], state.mode, recolour)),
      html("section", {}, html("h3", {}, "Persistence diagram"), ...diagramOf(data, column.key[i])),
      html("details", { class: "about" }, html("summary", {}, "All measures"), html("table", {},
        html("thead", {}, html("tr", {}, ...["Measure", "here", "published"].map(heading))),
        html("tbody", {}, ...measured))));
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
    const at = placed.find((p) => p.i === state.shown), over = placed.find((p) => p.i === hot);
    $("ring").setAttribute("visibility", at ? "visible" : "hidden");
    if (at) $("ring").setAttribute("transform", `translate(${at.x},${at.y})`);
    $("tip").hidden = !over;
    if (over) showTip(over);
  }
  function showTip(over) {
    const tip = $("tip"), wide = $("chart").clientWidth, zoom = wide / $("plot").viewBox.baseVal.width;
    const number = (c) => `${axes.get(c).label}: ${shownValue(c, hot)}${isPercent(c) ? " %" : ""}`;
    const where = ["dataset", "seed"].filter(several).map((f) => `${f} ${entryText(f, hot)}`);
    tip.textContent = [column.configuration[hot], ...where, number(state.x), number(state.y)].join("\n");
    tip.style.left = `${Math.max(0, Math.min(over.x * zoom + 12, wide - tip.offsetWidth))}px`;
    const above = over.y * zoom - tip.offsetHeight - 12;
    tip.style.top = `${above < 0 ? over.y * zoom + 14 : above}px`;
  }
  function tellStatus(joined) {
    const few = visible.length - placed.length;
    let text = `${visible.length} of ${all.length} networks shown, ${state.selected.size} selected`;
    if (few) text += `; ${few} without a value on an axis`;
    if (state.join) text += `; ${joined} lines join pairs that differ in ${state.join} only`;
    $("status").textContent = text;
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
    const place = row ? row.offsetTop - rows.scrollTop : 100;
    if (place < 40 || place > rows.clientHeight - 30) rows.scrollTop += place - rows.clientHeight / 2;
    remember();
  }
  function heat(i) {
    if (i !== hot) { hot = i; mark(); }
  }

  // ---- The address keeps the state -------------------------------------------------------------

  const CHOICES = ["x", "y", "colour", "shape", "join"];
  const WORDS = [...CHOICES, "sort", "mode"];
  function remember() {
    const words = new URLSearchParams(WORDS.map((w) => [w, state[w]]));
    for (const flag of ["descending", "fit"]) if (state[flag]) words.set(flag, "1");
    for (const hidden of state.hidden) words.append("hide", hidden);
    words.set("accuracy", `${state.from}-${state.to}`);
    if (state.shown >= 0) words.set("network", column.key[state.shown]);
    try { history.replaceState(null, "", `#${words}`); } catch { /* some browsers refuse for files */ }
  }
  function recall() {
    const words = new URLSearchParams(location.hash.slice(1));
    const legal = Object.fromEntries(CHOICES.map((id) => [id, [...$(id).options].map((o) => o.value)]));
    legal.sort = [...axes.keys(), ...fields.keys(), "configuration"];
    legal.mode = ["positive", "true_class", "label"];
    for (const w of WORDS) if (legal[w].includes(words.get(w))) state[w] = words.get(w);
    if (words.has("x")) for (const flag of ["descending", "fit"]) state[flag] = words.get(flag) === "1";
    const known = new Set(data.fields.flatMap((f) => f.values.map((v) => `${f.name}:${v.value}`)));
    state.hidden = new Set(words.getAll("hide").filter((h) => known.has(h)));
    const [, from, to] = /^([\d.]+)-([\d.]+)$/.exec(words.get("accuracy")) || [];
    const low = Number($("from").min), high = Number($("from").max);
    [state.from, state.to] = from ? [Math.max(low, from), Math.min(high, to)] : [low, high];
    const best = [...all].sort((a, b) => column.last[b] - column.last[a])[0];
    state.shown = column.key.indexOf(words.get("network"));
    if (state.shown < 0) state.shown = best;
  }

  // ---- Controls --------------------------------------------------------------------------------

  function setUp() {
    const option = (v, text) => html("option", { value: v }, text);
    const options = (g) => html("optgroup", { label: g },
      ...data.axes.filter((a) => a.group === g).map((a) => option(a.column, a.label)));
    for (const id of ["x", "y"]) $(id).append(...[...new Set(data.axes.map((a) => a.group))].map(options));
    const named = (names) => names.map((n) => option(n, fields.get(n).label));
    const few = [...fields.keys()].filter((n) => fields.get(n).values.length <= SHAPES.length);
    $("colour").append(...named([...fields.keys()]));
    $("shape").append(option("", "none"), ...named(few));
    $("join").append(option("", "no factor"), ...named(factors));
    const set = (id, v) => { state[id] = v; draw(); };
    for (const id of CHOICES) $(id).addEventListener("change", () => set(id, $(id).value));
    $("fit").addEventListener("change", () => set("fit", $("fit").checked));
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
    const box = (f, v) => html("label", {},
      html("input", { type: "checkbox", "data-hide": `${f.name}:${v.value}`, onchange: hide }),
      v.label, html("span", { class: "count" }, `${having(f.name, v, all)}`));
    const group = (f) => html("fieldset", {}, html("legend", {}, f.label), ...f.values.map((v) => box(f, v)));
    $("groups").append(...data.fields.filter((f) => several(f.name)).map(group));
    $("everything").addEventListener("click", () => {
      state.hidden.clear();
      [state.from, state.to] = [Number($("from").min), Number($("to").max)];
      showControls();
      draw();
    });
    if (matchMedia("(max-width: 640px)").matches) $("filters").open = false;
  }
  function hide(event) {
    state.hidden[event.target.checked ? "delete" : "add"](event.target.dataset.hide);
    draw();
  }
  function showControls() {
    for (const id of [...CHOICES, "from", "to"]) $(id).value = state[id];
    $("fit").checked = state.fit;
    $("range").textContent = `${state.from} to ${state.to} %`;
    for (const box of $("groups").querySelectorAll("input")) {
      box.checked = !state.hidden.has(box.dataset.hide);
    }
  }

  // ---- Pointer and keyboard ----------------------------------------------------------------------

  function point(event) {
    const box = $("plot").getBoundingClientRect(), zoom = $("plot").viewBox.baseVal.width / box.width;
    return { x: (event.clientX - box.left) * zoom, y: (event.clientY - box.top) * zoom };
  }
  let start = null; // where the pointer went down
  function drag(event) {
    const at = point(event);
    if (!start) return heat(nearest(placed, at, 12));
    const x = Math.min(at.x, start.x), width = Math.abs(at.x - start.x);
    const y = Math.min(at.y, start.y), height = Math.abs(at.y - start.y);
    if (!start.moved && width + height < 6) return;
    start.moved = true;
    const brush = { x, y, width, height, visibility: "visible" };
    for (const [name, v] of Object.entries(brush)) $("brush").setAttribute(name, v);
    const inside = (p) => p.x >= x && p.x <= x + width && p.y >= y && p.y <= y + height;
    hot = -1;
    select([...(event.shiftKey ? start.before : []), ...placed.filter(inside).map((p) => p.i)]);
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
      const clicked = start && !start.moved && event.type === "pointerup";
      const found = clicked ? nearest(placed, point(event), 12) : -1;
      start = null;
      $("brush").setAttribute("visibility", "hidden");
      if (found >= 0) show(found);
    };
    plot.addEventListener("pointerup", end);
    plot.addEventListener("pointercancel", end);
    const WAYS = { ArrowRight: ["x", 1], ArrowLeft: ["x", -1], ArrowUp: ["y", -1], ArrowDown: ["y", 1] };
    plot.addEventListener("keydown", (event) => {
      if (event.key in WAYS && placed.length) {
        const [axis, step] = WAYS[event.key];
        const line = [...placed].sort((a, b) => a[axis] - b[axis] || a.i - b.i);
        const now = line.findIndex((p) => p.i === hot);
        heat(line[now < 0 ? 0 : (now + step + line.length) % line.length].i);
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
    for (const kind of ["pointerover", "focusin", "pointerleave", "focusout"]) {
      const over = kind === "pointerover" || kind === "focusin";
      $("body").addEventListener(kind, (event) => heat(over ? row(event) : -1));
    }
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
