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
for (const table of document.querySelectorAll(".scroll > table")) makeSortable(table);
root.dataset.report = "drawn";
