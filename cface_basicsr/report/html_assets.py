"""Style and script of the HTML report; they stand in the page itself, so that it needs nothing from elsewhere."""

CSS = '''
:root { --face: 128px; --ink: #1c1f24; --soft: #5b6470; --line: #d9dde3; --tint: #f5f7fa; --accent: #9b1c1c; }
* { box-sizing: border-box; }
html { color-scheme: light; }
body { margin: 0 auto; max-width: 1320px; padding: 1.5rem clamp(0.9rem, 3vw, 2.5rem) 4rem; background: #fff;
  color: var(--ink); font: 16px/1.55 "Segoe UI", system-ui, -apple-system, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: clamp(1.5rem, 4vw, 2.1rem); line-height: 1.2; margin: 0.5rem 0 0.3rem; }
h2 { font-size: 1.35rem; margin: 2.6rem 0 0.6rem; padding-top: 0.6rem; border-top: 2px solid var(--ink); }
h3 { font-size: 1.05rem; margin: 1.6rem 0 0.4rem; }
p, li { max-width: 54rem; }
ul.reading { padding-left: 1.1rem; } ul.reading li { margin: 0.35rem 0; }
a { color: #0b5394; }
nav { font-size: 0.92rem; } nav a { margin-right: 1rem; white-space: nowrap; }
.lead, .note, figcaption { color: var(--soft); }
.note { font-size: 0.88rem; margin: 0.25rem 0; }
.failed { color: var(--accent); font-weight: 600; }
.alarm { border-left: 4px solid var(--accent); background: #fdf3f2; padding: 0.5rem 1rem; max-width: 46rem; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; margin: 0.5rem 0;
  max-width: max-content; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.32rem 0.7rem; text-align: right; white-space: nowrap; }
thead th { background: var(--tint); font-weight: 600; vertical-align: bottom; border-bottom: 1px solid var(--line); }
thead tr.groups th { text-align: center; border-left: 1px solid var(--line); }
tbody tr + tr > * { border-top: 1px solid #edf0f3; }
tbody tr:hover > * { background: #f0f5fb; }
tbody th { text-align: left; font-weight: 500; position: sticky; left: 0; background: #fff; }
thead tr:last-child th:first-child { position: sticky; left: 0; text-align: left; }
td b { font-weight: 700; }
td.width { text-align: left; }
td.why { white-space: normal; min-width: 12rem; text-align: left; color: var(--accent); }
.published { color: var(--soft); font-style: italic; background: #fbfaf5; }
body.hide-published .published { display: none; }
th button { all: unset; cursor: pointer; white-space: normal; max-width: 8rem; }
th button:focus-visible { outline: 2px solid #0b5394; outline-offset: 2px; }
th button::after { content: "\\A0\\2195"; color: #9aa3ad; font-size: 0.85em; }
th[aria-sort=ascending] button::after { content: "\\A0\\25B2"; color: var(--ink); }
th[aria-sort=descending] button::after { content: "\\A0\\25BC"; color: var(--ink); }
table.checks td, table.checks th, table.facts td, table.facts th { text-align: left; white-space: normal;
  vertical-align: top; overflow-wrap: anywhere; }
table.checks tbody th, table.facts tbody th { position: static; min-width: 8rem; }
table.checks td:nth-child(2), table.checks thead th { white-space: nowrap; }
.holds { color: #1a6b2f; font-weight: 600; } .broken { color: var(--accent); font-weight: 700; }
.unknown { color: #8a5a00; font-weight: 600; }
code { font: 0.86em/1.4 ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
pre { background: var(--tint); padding: 0.8rem; overflow-x: auto; border-radius: 6px; }
.controls { display: flex; flex-wrap: wrap; gap: 0.5rem 1.5rem; align-items: center; font-size: 0.92rem; }
.faces { display: flex; flex-wrap: wrap; gap: 0.6rem 0.5rem; margin: 0.4rem 0 1.2rem; }
.faces figure { margin: 0; width: var(--face); } .faces figcaption { font-size: 0.78rem; line-height: 1.25; }
.faces img { width: var(--face); height: auto; display: block; image-rendering: pixelated; cursor: zoom-in; }
.wide { overflow-x: auto; margin: 0.5rem 0; } .wide img { display: block; max-width: none; }
img.figure { max-width: 100%; height: auto; cursor: zoom-in; }
dialog { border: 0; padding: 0.7rem; max-width: 96vw; max-height: 96vh; background: #fff; }
dialog::backdrop { background: rgb(20 24 30 / 0.75); }
dialog img { display: block; min-width: min(512px, 88vw); max-width: 92vw; max-height: 84vh; object-fit: contain;
  image-rendering: pixelated; }
dialog p { margin: 0.4rem 0 0; font-size: 0.9rem; }
@media (max-width: 600px) { body { font-size: 15px; } th, td { padding: 0.3rem 0.5rem; }
  th button { max-width: 7.5rem; }
  tbody th { max-width: 8.5rem; white-space: normal; } }
@media print { .controls, nav, dialog { display: none; } .scroll { overflow: visible; border: 0; } }
'''

SCRIPT = '''
"use strict";
// Sort a table by a column: numbers by value, cells without one always last; a second click turns the order round.
function sortBy(header) {
  const table = header.closest("table"), body = table.tBodies[0], column = header.cellIndex;
  const down = header.getAttribute("aria-sort") === "descending" ? false
    : header.getAttribute("aria-sort") === "ascending" ? true : column > 0;
  for (const other of header.parentElement.children) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  const value = row => row.cells[column].dataset.value;
  const rows = Array.from(body.rows);
  rows.sort((a, b) => {
    const x = value(a), y = value(b);
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
    const order = column > 0 && !isNaN(x) && !isNaN(y) ? Number(x) - Number(y) : x.localeCompare(y);
    return down ? -order : order;
  });
  body.append(...rows);
}
for (const button of document.querySelectorAll("th button"))
  button.addEventListener("click", () => sortBy(button.closest("th")));
const dialog = document.querySelector("dialog");
for (const image of document.querySelectorAll(".faces img, img.figure"))
  image.addEventListener("click", () => {
    dialog.querySelector("img").src = image.src;
    dialog.querySelector("p").textContent = image.alt;
    dialog.showModal();
  });
dialog.addEventListener("click", () => dialog.close());
const size = document.querySelector("#size");
if (size) size.addEventListener("input", () => document.documentElement.style.setProperty("--face", size.value + "px"));
const published = document.querySelector("#published");
if (published) published.addEventListener("change",
  () => {
    document.body.classList.toggle("hide-published", !published.checked);
    for (const group of document.querySelectorAll("th[data-ours]"))
      group.colSpan = published.checked ? group.dataset.all : group.dataset.ours;
  });
'''
