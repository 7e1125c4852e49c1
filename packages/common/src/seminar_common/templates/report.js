// Sorts a table of figures by a column, within each group of lines that compare. Without it the page is complete.
for (const table of document.querySelectorAll("table.figures")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const ascending = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      for (const body of table.tBodies) {
        const lines = [...body.rows].filter((line) => !line.classList.contains("group"));
        lines.sort((a, b) => compare(a.cells[column], b.cells[column]) * (ascending ? 1 : -1));
        body.append(...lines);
      }
    });
  });
}

function compare(a, b) {
  const [x, y] = [a, b].map((cell) => parseFloat(cell.dataset.value));
  if (!isNaN(x) && !isNaN(y)) return x - y;
  if (isNaN(x) !== isNaN(y)) return isNaN(x) ? 1 : -1;
  return a.textContent.localeCompare(b.textContent, undefined, { numeric: true });
}

// Says where there is more of a table than is seen, and opens what is folded for print.
const scrolls = document.querySelectorAll(".table .scroll, .plain.scroll");
const mark = () => scrolls.forEach((box) => box.classList.toggle("more-to-scroll", box.scrollWidth > box.clientWidth + 1));
addEventListener("resize", mark);
document.querySelectorAll("details").forEach((one) => one.addEventListener("toggle", mark));
mark();
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => (one.open = true)));
