(() => {
"use strict";

// Every number drawn here was computed when the page was made; this script scales, draws and shows them.

const root = document.documentElement;
const SVG = "http://www.w3.org/2000/svg";
const COLOURS = 9;
const DASHES = ["", "7 4", "2 4", "9 3 2 3"];

let errors = 0;
root.dataset.errors = "0";
addEventListener("error", () => { root.dataset.errors = String(++errors); });

/* ---- elements ---------------------------------------------------------------------------------------------- */

function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

function shape(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "fill" || key === "stroke") node.style.setProperty(key, value);
    else if (value !== null) node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

/** The label, with a line's end allowed where it would be read well. */
const breakable = (label) => label.split(/(?<=[,:@])/).flatMap((piece) => [piece, element("wbr")]);

const colour = (index) => `var(--c${index % COLOURS})`;
const dash = (index) => DASHES[Math.floor(index / COLOURS) % DASHES.length];

/* ---- numbers ----------------------------------------------------------------------------------------------- */

function formatNumber(value, digits = 4) {
  if (value === 0) return "0";
  const rounded = Number(value.toPrecision(digits));
  const exponent = Math.floor(Math.log10(Math.abs(rounded)));
  if (exponent < -4 || exponent >= 7) return value.toExponential(digits - 1).replace("e+", "e");
  return value.toFixed(Math.max(0, digits - 1 - exponent));
}

const UNITS = [[3600, "h"], [60, "min"], [1, "s"], [1e-3, "ms"], [1e-6, "µs"], [1e-9, "ns"]];

function timeUnit(seconds) {
  if (seconds >= 7200) return UNITS[0];
  if (seconds >= 300) return UNITS[1];
  return UNITS.slice(2).find(([scale]) => seconds >= scale) ?? UNITS[5];
}

function formatTime(seconds) {
  const [scale, unit] = timeUnit(seconds);
  return `${formatNumber(seconds / scale, 3)} ${unit}`;
}

const plain = (value) => {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-4 || size >= 1e6) return value.toExponential(3).replace(/\.?0+e/, "e").replace("e+", "e");
  return String(Number(value.toPrecision(10)));
};

function linearTicks(low, high, most, integer) {
  const rough = (high - low) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.75);
  if (integer) step = Math.max(1, Math.round(step));
  const ticks = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + 1e-9 * step; at++) ticks.push(at * step);
  return ticks;
}

function logTicks(low, high, most) {
  const decades = Math.log10(high / low);
  if (decades < 0.7) return linearTicks(low, high, most).filter((value) => value > 0);
  const factors = decades < 2 ? [1, 2, 5] : decades < 3.5 ? [1, 3] : [1];
  const stride = factors.length > 1 ? 1 : Math.max(1, Math.ceil(decades / most));
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += stride) {
    for (const factor of factors) {
      const value = factor * 10 ** power;
      if (value >= low * 0.999 && value <= high * 1.001) ticks.push(value);
    }
  }
  return ticks;
}

/* ---- marks ------------------------------------------------------------------------------------------------- */

const MARKS = [
  (r) => `M${-r},0a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0z`,
  (r) => `M${-r},${-r}h${2 * r}v${2 * r}h${-2 * r}z`,
  (r) => `M0,${-1.25 * r}L${1.15 * r},${0.85 * r}H${-1.15 * r}z`,
  (r) => `M0,${-1.35 * r}L${1.35 * r},0L0,${1.35 * r}L${-1.35 * r},0z`,
  (r) => `M0,${1.25 * r}L${1.15 * r},${-0.85 * r}H${-1.15 * r}z`,
];

function mark(index, x, y, radius = 4) {
  return shape("path", {
    class: "mark", d: MARKS[index % MARKS.length](radius), transform: `translate(${x},${y})`, fill: colour(index),
  });
}

function cross(index, x, y) {
  return shape("path", { class: "cross", d: "M-5,-5L5,5M5,-5L-5,5", transform: `translate(${x},${y})`, stroke: colour(index) });
}

function swatch(index, width = 26) {
  const line = shape("line", { x1: 0, x2: width, y1: 6, y2: 6, "stroke-width": 2.2, "stroke-dasharray": dash(index), stroke: colour(index) });
  return shape("svg", { width, height: 12, "aria-hidden": "true" }, line, mark(index, width / 2, 6, 3.6));
}

/* ---- controls ---------------------------------------------------------------------------------------------- */

let groups = 0;

/** A choice of one among few: radio buttons that arrow keys move through, or a list where there are many. */
function choose(title, options, current, changed) {
  if (options.length > 4) {
    const list = element("select", { "aria-label": title });
    for (const { key, label } of options) list.append(element("option", { value: key }, label));
    list.value = current;
    list.addEventListener("change", () => changed(list.value));
    return list;
  }
  const name = `choice-${groups++}`;
  const set = element("fieldset", { class: "seg" }, element("legend", {}, title));
  for (const { key, label } of options) {
    const input = element("input", { type: "radio", name, value: key });
    input.checked = key === current;
    input.addEventListener("change", () => changed(key));
    set.append(element("label", {}, input, element("span", {}, label)));
  }
  return set;
}

/** Buttons that take parts in and out; a part in focus or under the pointer stands out. */
function legend(labels, swatchOf, hidden, changed, pointed) {
  const list = element("ul", { class: "legend", "aria-label": "Legend: press to show or hide" });
  labels.forEach((label, index) => {
    const key = element("button", { type: "button", class: "key", "aria-pressed": "true" }, swatchOf(index), element("span", {}, ...breakable(label)));
    key.addEventListener("click", () => {
      if (!hidden.delete(index)) hidden.add(index);
      key.setAttribute("aria-pressed", String(!hidden.has(index)));
      changed();
    });
    for (const [event, value] of [["pointerenter", index], ["focus", index], ["pointerleave", null], ["blur", null]]) {
      key.addEventListener(event, () => pointed(value));
    }
    list.append(element("li", {}, key));
  });
  return list;
}

/* ---- curves ------------------------------------------------------------------------------------------------ */

class LineChart {
  constructor(host, spec) {
    this.host = host;
    this.spec = spec;
    this.axis = spec.axes[0];
    this.measure = spec.measures[0];
    this.hidden = new Set();
    this.pointed = null;
    this.at = null;
    this.scale = null;
    const controls = element("div", { class: "controls" });
    if (spec.measures.length > 1) {
      controls.append(choose("Measure", spec.measures, this.measure.key, (key) => {
        this.measure = spec.measures.find((one) => one.key === key);
        this.scale = null;
        this.redraw();
      }));
    }
    if (spec.axes.length > 1) {
      controls.append(choose("Horizontal axis", spec.axes.map(({ key, label }) => ({ key, label: `by ${key === "time" ? "time" : label}` })), this.axis.key, (key) => {
        this.axis = spec.axes.find((one) => one.key === key);
        this.at = null;
        this.redraw();
      }));
    }
    this.scales = element("span");
    controls.append(this.scales);
    this.plot = element("div", { class: "plot", tabindex: "0", role: "group", "aria-roledescription": "interactive chart" });
    this.live = element("p", { class: "sr", "aria-live": "polite" });
    this.keys = legend(
      spec.series.map((one) => this.named(one)), swatch, this.hidden,
      () => this.redraw(), (index) => { this.pointed = index; this.emphasise(); },
    );
    host.prepend(controls, this.keys, this.plot, this.live);
    this.plot.addEventListener("pointermove", (event) => this.point(event));
    this.plot.addEventListener("pointerdown", (event) => this.point(event));
    this.plot.addEventListener("pointerleave", () => this.read(null));
    this.plot.addEventListener("blur", () => this.read(null));
    this.plot.addEventListener("keydown", (event) => this.key(event));
    this.redraw();
  }

  named(one) {
    const failed = one.ended.map(({ label }) => label).join(", ");
    return failed ? `${one.label} (${failed})` : one.label;
  }

  view(holder) {
    const found = holder.views[this.measure.key];
    return found ? { ...found, x: found.x[this.axis.key] } : null;
  }

  /** The lines of the arms that are shown: one for the seeds that ended well, one for each that did not. */
  lines() {
    const found = [];
    this.spec.series.forEach((one, index) => {
      if (this.hidden.has(index)) return;
      const view = this.view(one);
      if (view) found.push({ index, label: one.label, runs: one.runs, ended: false, ...view });
      for (const end of one.ended) {
        const rest = this.view(end);
        if (rest) found.push({ index, label: `${one.label}, ${end.label}`, runs: 1, ended: true, ...rest });
      }
    });
    return found;
  }

  /** Least and largest value to show, and the least above zero: a run that diverged does not stretch them. */
  range(lines) {
    const sound = lines.filter((line) => !line.ended);
    const values = (sound.length ? sound : lines).flatMap((line) => [...(line.low ?? line.mean), ...(line.high ?? line.mean)]);
    const above = values.filter((value) => value > 0);
    return [Math.min(...values), Math.max(...values), Math.min(...above)];
  }

  redraw() {
    const lines = this.lines();
    this.drawn = { lines };
    this.plot.replaceChildren();
    this.readout = null;
    const [low, high, above] = this.range(lines);
    // A logarithmic scale where the values span a factor of five, unless the reader says otherwise.
    const can = Number.isFinite(above) && high > 0;
    const log = can && (this.scale ? this.scale === "log" : low > 0 && high / low >= 5);
    this.offerScales(can, log);
    const width = Math.max(280, Math.round(this.host.clientWidth || 640));
    const height = Math.round(Math.min(430, Math.max(270, width * 0.5)));
    const picture = shape("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true", focusable: "false" });
    this.plot.append(picture);
    this.plot.setAttribute("aria-label", this.describe(lines, log));
    if (!lines.length) {
      picture.append(shape("text", { x: width / 2, y: height / 2, "text-anchor": "middle" }, "Nothing is selected: press an entry of the legend."));
      this.host.dataset.drawn = "0";
      return;
    }
    const time = this.measure.time ? timeUnit(high) : null;
    const vertical = this.vertical(lines, log ? above : low, high, log, time, height);
    const left = 14 + 7 * Math.max(...vertical.labels.map((label) => label.length));
    const horizontal = this.horizontal(lines, left, width - 14);
    this.frame(picture, vertical, horizontal, left, width, height, time);
    this.curves(picture, lines, vertical, horizontal, left, width, height);
    Object.assign(this.drawn, { picture, vertical, horizontal, left, width, height, log });
    this.host.dataset.drawn = String(picture.querySelectorAll(".curve").length);
    this.host.dataset.view = [this.measure.key, this.axis.key, log ? "log" : "linear"].join(" ");
    this.emphasise();
  }

  offerScales(can, log) {
    const focused = this.scales.contains(document.activeElement);
    const offered = [{ key: "linear", label: "linear" }, ...(can ? [{ key: "log", label: "log" }] : [])];
    this.scales.replaceChildren(choose("Vertical scale", offered, log ? "log" : "linear", (key) => { this.scale = key; this.redraw(); }));
    if (focused) this.scales.querySelector("input:checked")?.focus();
  }

  describe(lines, log) {
    const ends = lines.map((line) => `${line.label} ends at ${this.shown(line.mean.at(-1))}`);
    return `${this.measure.label} by ${this.axis.label}, ${log ? "logarithmic" : "linear"} scale. ${ends.join("; ")}. `
      + "Arrow keys read the values.";
  }

  shown(value) {
    return this.measure.time ? formatTime(value) : formatNumber(value);
  }

  vertical(lines, low, high, log, time, height) {
    const bottom = height - 42, top = 26;
    let [from, to] = log ? [Math.log10(low), Math.log10(high)] : [low, high];
    const margin = to > from ? 0.05 * (to - from) : Math.abs(to) * 0.1 || 1;
    [from, to] = [from - margin, to + margin];
    const place = (value) => bottom - (((log ? Math.log10(value) : value) - from) / (to - from)) * (bottom - top);
    const most = Math.floor((bottom - top) / 42);
    const unit = time ? time[0] : 1;
    const [start, end] = log ? [10 ** from / unit, 10 ** to / unit] : [from / unit, to / unit];
    const ticks = log ? logTicks(start, end, most) : linearTicks(start, end, most);
    return { place, top, bottom, log, ticks: ticks.map((value) => value * unit), labels: ticks.map(plain) };
  }

  horizontal(lines, left, right) {
    const values = lines.flatMap((line) => line.x);
    let from = this.axis.zero ? 0 : Math.min(...values), to = Math.max(...values);
    if (to <= from) [from, to] = [from - 0.5, to + 0.5];
    const unit = this.axis.time ? timeUnit(to) : [1, ""];
    const ticks = linearTicks(from / unit[0], to / unit[0], Math.max(2, Math.floor((right - left) / 90)), this.axis.integer);
    return {
      place: (value) => left + ((value - from) / (to - from)) * (right - left),
      value: (x) => from + ((x - left) / (right - left)) * (to - from),
      ticks: ticks.map((value) => value * unit[0]), labels: ticks.map(plain), unit: unit[1],
    };
  }

  frame(picture, vertical, horizontal, left, width, height, time) {
    const right = width - 14;
    vertical.ticks.forEach((value, at) => {
      const y = vertical.place(value);
      picture.append(
        shape("line", { class: "grid", x1: left, x2: right, y1: y, y2: y }),
        shape("text", { x: left - 8, y: y + 4, "text-anchor": "end" }, vertical.labels[at]),
      );
    });
    horizontal.ticks.forEach((value, at) => {
      const x = horizontal.place(value);
      picture.append(
        shape("line", { class: "axis", x1: x, x2: x, y1: vertical.bottom, y2: vertical.bottom + 5 }),
        shape("text", { x, y: vertical.bottom + 19, "text-anchor": "middle" }, horizontal.labels[at]),
      );
    });
    const unit = (name) => (name ? ` (${name})` : "");
    picture.append(
      shape("line", { class: "axis", x1: left, x2: right, y1: vertical.bottom, y2: vertical.bottom }),
      shape("text", { class: "title", x: 0, y: 12 }, `${this.measure.label}${unit(time && time[1])}`),
      shape("text", { class: "title", x: right, y: height - 5, "text-anchor": "end" }, `${this.axis.label}${unit(horizontal.unit)}`),
    );
  }

  curves(picture, lines, vertical, horizontal, left, width) {
    const name = `clip-${groups++}`;
    const area = { x: left, y: vertical.top - 4, width: width - left - 8, height: vertical.bottom - vertical.top + 4 };
    picture.append(shape("clipPath", { id: name }, shape("rect", area)));
    for (const line of lines) {
      const usable = line.x.map((_, at) => at).filter((at) => !vertical.log || line.mean[at] > 0);
      const points = usable.map((at) => [horizontal.place(line.x[at]), vertical.place(line.mean[at])]);
      const group = shape("g", { class: line.ended ? "series ended" : "series", "data-series": line.index });
      const clipped = shape("g", { "clip-path": `url(#${name})` });
      if (line.low && points.length > 1) {
        const floor = (value) => vertical.place(vertical.log ? Math.max(value, Number.MIN_VALUE) : value);
        const edge = (side) => usable.map((at) => `${horizontal.place(line.x[at])},${Math.min(1e4, floor(line[side][at]))}`);
        clipped.append(shape("path", { class: "band", d: `M${[...edge("high"), ...edge("low").reverse()].join("L")}z`, fill: colour(line.index) }));
      }
      clipped.append(shape("path", {
        class: "curve", d: points.length ? `M${points.map((pair) => pair.join(",")).join("L")}` : "M0,0",
        "stroke-dasharray": dash(line.index), stroke: colour(line.index),
      }));
      group.append(clipped);
      if (line.ended && points.length) {
        const [x, y] = points.at(-1);
        group.append(cross(line.index, x, Math.max(vertical.top, Math.min(vertical.bottom, y))));
      } else if (!line.ended) {
        // Of many points a few are marked, those of each arm elsewhere, so that shapes tell lines apart as well.
        const stride = points.length <= 25 ? 1 : Math.ceil(points.length / 8);
        points.forEach(([x, y], at) => {
          if ((at + line.index) % stride === 0 || at === points.length - 1) group.append(mark(line.index, x, y, 3.4));
        });
      }
      picture.append(group);
    }
  }

  emphasise() {
    for (const group of this.plot.querySelectorAll(".series")) {
      group.classList.toggle("faded", this.pointed !== null && group.dataset.series !== String(this.pointed));
    }
  }

  /** All values of the horizontal axis at which a line that is shown has a point. */
  stops() {
    return [...new Set(this.drawn.lines.flatMap((line) => line.x))].sort((one, other) => one - other);
  }

  point(event) {
    const { horizontal, width, picture } = this.drawn;
    if (!horizontal) return;
    const box = picture.getBoundingClientRect();
    const value = horizontal.value(((event.clientX - box.left) / box.width) * width);
    this.read(nearest(this.stops(), value));
  }

  key(event) {
    const stops = this.stops();
    const at = this.at === null ? -1 : stops.indexOf(this.at);
    const next = {
      ArrowRight: Math.min(stops.length - 1, at + 1), ArrowLeft: at < 0 ? stops.length - 1 : Math.max(0, at - 1),
      Home: 0, End: stops.length - 1,
    }[event.key];
    if (event.key === "Escape") this.read(null);
    else if (next !== undefined && stops.length) {
      event.preventDefault();
      this.live.textContent = this.read(stops[next]);
    }
  }

  /** Show what every line is at this place of the horizontal axis; returns it as a sentence. */
  read(value) {
    const { picture, vertical, horizontal, width } = this.drawn;
    this.at = value;
    picture?.querySelector(".cursor-group")?.remove();
    this.readout?.remove();
    this.readout = null;
    if (value === null || !horizontal) return "";
    const x = horizontal.place(value);
    const group = shape("g", { class: "cursor-group" }, shape("line", { class: "cursor", x1: x, x2: x, y1: vertical.top, y2: vertical.bottom }));
    const heading = this.axis.time ? `after ${formatTime(value)}` : `${this.axis.label} ${plain(value)}`;
    const rows = [];
    for (const line of this.drawn.lines) {
      // A line says nothing of what lies before its first and after its last point.
      const reach = line.x.length > 1 ? (line.x.at(-1) - line.x[0]) / (line.x.length - 1) / 2 : 0;
      if (value < line.x[0] - reach || value > line.x.at(-1) + reach) continue;
      const at = line.x.indexOf(nearest(line.x, value));
      const y = vertical.place(line.mean[at]);
      if (y >= vertical.top - 4 && y <= vertical.bottom + 4) group.append(mark(line.index, horizontal.place(line.x[at]), y, 5));
      const spread = line.low ? `${this.shown(line.low[at])} to ${this.shown(line.high[at])}` : "";
      rows.push({ line, value: line.mean[at], shown: this.shown(line.mean[at]), spread });
    }
    rows.sort((one, other) => other.value - one.value);
    picture.append(group);
    const table = element("table");
    for (const row of rows) {
      table.append(element("tr", {}, element("td", {}, swatch(row.line.index, 14)), element("td", {}, ...breakable(row.line.label)), element("td", {}, row.shown), element("td", {}, row.spread)));
    }
    this.readout = element("div", { class: "readout", "aria-hidden": "true" }, element("b", {}, heading), table);
    const share = `${(100 * x) / width}%`;
    if (x > width / 2) this.readout.style.right = `calc(100% - ${share} + 14px)`;
    else this.readout.style.left = `calc(${share} + 14px)`;
    this.plot.append(this.readout);
    return `${heading}: ${rows.map((row) => `${row.line.label} ${row.shown}${row.spread ? ` (${row.spread})` : ""}`).join("; ")}`;
  }
}

function nearest(sorted, value) {
  return sorted.reduce((best, one) => (Math.abs(one - value) < Math.abs(best - value) ? one : best), sorted[0]);
}

/* ---- cost of an update ------------------------------------------------------------------------------------- */

class BarChart {
  constructor(host, spec) {
    this.host = host;
    this.spec = spec;
    this.mode = "time";
    this.hidden = new Set();
    const modes = [{ key: "time", label: "time" }, { key: "share", label: "share" }];
    const box = (index) => shape("svg", { width: 12, height: 12, "aria-hidden": "true" }, shape("rect", { width: 12, height: 12, rx: 2, fill: colour(index) }));
    this.bars = element("div", { class: "bars" });
    this.says = element("p", { class: "says", "aria-live": "polite" });
    host.prepend(
      element("div", { class: "controls" }, choose("Show", modes, this.mode, (key) => { this.mode = key; this.redraw(); })),
      legend(spec.phases, box, this.hidden, () => this.redraw(), (index) => this.emphasise(index)),
      this.bars, this.says,
    );
    this.redraw();
  }

  redraw() {
    const shown = this.spec.arms.map((arm) => {
      const parts = arm.parts.filter((part) => !this.hidden.has(this.spec.phases.indexOf(part.phase)));
      return { label: arm.label, parts, total: parts.reduce((sum, part) => sum + part.seconds, 0) };
    });
    const longest = Math.max(...shown.map((arm) => arm.total), 1e-12);
    const width = Math.max(280, Math.round(this.host.clientWidth || 640));
    this.bars.replaceChildren(...shown.map((arm) => this.row(arm, this.mode === "time" ? longest : arm.total || 1, width)));
    this.bars.append(this.ruler(this.mode === "time" ? longest : 1, width));
    this.host.dataset.drawn = String(this.bars.querySelectorAll(".part").length);
    this.host.dataset.view = this.mode;
  }

  row(arm, full, width) {
    const picture = shape("svg", { viewBox: `0 0 ${width} 26`, "aria-hidden": "true" });
    let left = 0;
    for (const part of arm.parts) {
      const index = this.spec.phases.indexOf(part.phase);
      const size = (part.seconds / full) * width;
      const bar = shape("rect", { class: "part", x: left, width: size, height: 26, "data-phase": index, fill: colour(index) });
      bar.append(shape("title", {}, `${part.phase}: ${part.read}`));
      bar.addEventListener("pointerenter", () => { this.says.textContent = `${arm.label}, ${part.phase}: ${part.read}`; });
      picture.append(bar);
      if (size > 7 * part.phase.length + 12) picture.append(shape("text", { class: "name", x: left + 7, y: 17 }, part.phase));
      left += size;
    }
    const label = element("div", { class: "bar-label" }, element("span", {}, ...breakable(arm.label)), element("span", {}, `${formatTime(arm.total)} per update`));
    return element("div", { class: "bar" }, label, picture);
  }

  ruler(full, width) {
    const picture = shape("svg", { viewBox: `0 0 ${width} 24`, "aria-hidden": "true" });
    const [unit, name] = this.mode === "time" ? timeUnit(full) : [0.01, "%"];
    picture.append(shape("line", { class: "axis", x1: 0, x2: width, y1: 0.5, y2: 0.5 }));
    const ticks = linearTicks(0, full / unit, Math.max(2, Math.floor(width / 110)));
    for (const value of ticks) {
      const x = ((value * unit) / full) * width;
      const anchor = x < 5 ? "start" : x > width - 20 ? "end" : "middle";
      picture.append(shape("line", { class: "axis", x1: x, x2: x, y1: 0, y2: 5 }), shape("text", { x, y: 18, "text-anchor": anchor }, `${plain(value)} ${name}`));
    }
    return element("div", { class: "bar" }, picture);
  }

  emphasise(index) {
    for (const part of this.bars.querySelectorAll(".part")) {
      part.classList.toggle("faded", index !== null && part.dataset.phase !== String(index));
    }
  }
}

/* ---- the page ---------------------------------------------------------------------------------------------- */

function followTheme() {
  const list = document.getElementById("theme");
  const apply = (theme) => {
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
  };
  // A page opened from a file may be refused storage.
  const stored = (work) => { try { return work(localStorage); } catch { return null; } };
  const known = stored((storage) => storage.getItem("ngbench-theme"));
  list.value = ["light", "dark"].includes(known) ? known : "auto";
  apply(list.value);
  list.addEventListener("change", () => {
    apply(list.value);
    stored((storage) => storage.setItem("ngbench-theme", list.value));
  });
}

/** Paper shows everything: what is folded on the screen opens for the time of printing. */
function unfoldForPrint() {
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const one of opened) one.open = true;
  });
  addEventListener("afterprint", () => { for (const one of opened) one.open = false; });
}

function followWidth(charts) {
  const widths = new Map();
  const observer = new ResizeObserver((entries) => requestAnimationFrame(() => {
    for (const { target } of entries) {
      const width = Math.round(target.clientWidth);
      if (!width || widths.get(target) === width || matchMedia("print").matches) continue;
      widths.set(target, width);
      charts.get(target).redraw();
    }
  }));
  for (const host of charts.keys()) {
    widths.set(host, Math.round(host.clientWidth));
    observer.observe(host);
  }
}

followTheme();
unfoldForPrint();
const specs = JSON.parse(document.getElementById("report-data").textContent);
const charts = new Map();
for (const host of document.querySelectorAll("[data-chart]")) {
  const spec = specs[host.id];
  charts.set(host, host.dataset.chart === "bars" ? new BarChart(host, spec) : new LineChart(host, spec));
}
followWidth(charts);
root.dataset.report = "drawn";
})();
