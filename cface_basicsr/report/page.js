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
