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
      legend(spec.parts, box, this.hidden, () => this.redraw(), (index) => this.emphasise(index)),
      this.bars, this.says,
    );
    this.redraw();
  }

  redraw() {
    const shown = this.spec.bars.map((arm) => {
      const parts = arm.parts.filter((part) => !this.hidden.has(this.spec.parts.indexOf(part.name)));
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
      const index = this.spec.parts.indexOf(part.name);
      const size = (part.seconds / full) * width;
      const bar = shape("rect", { class: "part", x: left, width: size, height: 26, "data-phase": index, fill: colour(index) });
      bar.append(shape("title", {}, `${part.name}: ${part.read}`));
      bar.addEventListener("pointerenter", () => { this.says.textContent = `${arm.label}, ${part.name}: ${part.read}`; });
      picture.append(bar);
      if (size > 7 * part.name.length + 12) picture.append(shape("text", { class: "name", x: left + 7, y: 17 }, part.name));
      left += size;
    }
    const label = element("div", { class: "bar-label" }, element("span", {}, ...breakable(arm.label)), element("span", {}, `${formatTime(arm.total)} per ${this.spec.per}`));
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
