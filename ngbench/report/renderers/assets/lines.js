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
