// page.js - sorting and filtering of the page that `report --format html` writes; built into the program. The page reads well without it.
"use strict";

function value(row, column) {
    const cell = row.cells[column];
    return "v" in cell.dataset ? (cell.dataset.v === "" ? NaN : Number(cell.dataset.v)) : cell.textContent;
}

// What was not measured goes last in both directions.
function compare(a, b, sign) {
    if (typeof a === "string") return sign * a.localeCompare(b, "en");
    if (isNaN(a) || isNaN(b)) return isNaN(a) - isNaN(b);
    return sign * (a - b);
}

function sort(head) {
    const body = head.closest("table").tBodies[0], column = head.cellIndex;
    const up = head.getAttribute("aria-sort") === "none" ? head.dataset.better !== "1" : head.getAttribute("aria-sort") === "descending";
    for (const other of head.parentNode.cells) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = Array.from(body.rows);
    rows.sort((a, b) => compare(value(a, column), value(b, column), up ? 1 : -1));
    body.append(...rows);
}

function filter(input) {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of document.getElementById(input.dataset.table).tBodies[0].rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((w) => text.includes(w));
    }
}

for (const head of document.querySelectorAll("thead th")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => sort(head));
}
for (const table of document.querySelectorAll("table")) {
    if (table.tBodies[0].rows.length < 5) continue;
    const label = document.createElement("label"), input = document.createElement("input");
    label.className = "filter";
    input.type = "search";
    input.placeholder = "filter rows";
    input.setAttribute("aria-label", "filter rows of " + table.caption.textContent);
    input.dataset.table = table.id;
    input.addEventListener("input", () => filter(input));
    label.append(input);
    table.parentNode.before(label);
}
