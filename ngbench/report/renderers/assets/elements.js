// Every number drawn here was computed when the page was made; this script scales, draws and shows them.

const root = document.documentElement;
const SVG = "http://www.w3.org/2000/svg";
const COLOURS = 9;
const DASHES = ["", "7 4", "2 4", "9 3 2 3"];

let errors = 0;
root.dataset.errors = "0";
addEventListener("error", () => { root.dataset.errors = String(++errors); });

/* ---- elements -------------------------------------------------------------------------------------------- */

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

/* ---- numbers --------------------------------------------------------------------------------------------- */

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

/* ---- marks ----------------------------------------------------------------------------------------------- */

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

/* ---- controls -------------------------------------------------------------------------------------------- */

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
