/* ---- tables ---------------------------------------------------------------------------------------------- */

const SCALES = {
  ns: 1e-9, "µs": 1e-6, ms: 1e-3, s: 1, min: 60, h: 3600,
  KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18,
};

/** What a cell is ordered by: the number that it begins with, in one unit; null where it begins with none. */
function order(text) {
  if (text === "reference") return 1;
  const bare = text.replace(/±\s*\S+/g, " ").replaceAll(",", "").replaceAll("−", "-");
  if (!/^[^\p{L}\d.]*\d/u.test(bare)) return null;
  let sum = null;
  for (const [, digits, unit] of bare.matchAll(/(-?[\d.]+(?:e[+-]?\d+)?)\s*(\p{L}*)/gu)) {
    sum = (sum ?? 0) + Number(digits) * (SCALES[unit] ?? SCALES[unit.replace(/FLOPs?$/, "")] ?? 1);
    if (unit !== "h" && unit !== "min") break;
  }
  return sum;
}

/** Head cells become buttons that sort by their column: upwards, downwards, and back to the order of the records. */
function makeSortable(table) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  // A row without a name belongs to the one above it.
  if (rows.length < 2 || rows.some((row) => !row.cells[0].textContent.trim())) return;
  const heads = [...table.tHead.rows[0].cells];
  for (const [at, head] of heads.entries()) {
    if (!head.textContent.trim()) continue;
    const button = element("button", { type: "button", class: "sort" }, ...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const next = { ascending: "descending", descending: null }[head.getAttribute("aria-sort")];
      for (const other of heads) other.removeAttribute("aria-sort");
      if (next !== null) head.setAttribute("aria-sort", next ?? "ascending");
      body.append(...(next === null ? rows : sorted(rows, at, next === "descending" ? -1 : 1)));
    });
  }
}

function sorted(rows, at, sign) {
  const keyed = rows.map((row) => ({ row, text: row.cells[at].textContent.trim() }));
  for (const one of keyed) one.value = order(one.text);
  const numbers = keyed.some((one) => one.value !== null);
  const compare = (one, other) => {
    if (!numbers) return sign * one.text.localeCompare(other.text);
    if (one.value === null || other.value === null) return (one.value === null) - (other.value === null);
    return sign * (one.value - other.value);
  };
  return keyed.sort(compare).map((one) => one.row);
}
