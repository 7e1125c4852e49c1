"use strict";
// data.labels: class names; data.colours: the number of each one's colour; data.start: {order, has: [label]} at first. data.pages: {n: name, s: [width, height], g: source, u: link to the original,
// d: [[label, score or null, x1, y1, x2, y2], ...]}. The thumbnail of page i is the text of the element t<i>.
const data = JSON.parse(document.getElementById("data").textContent);
const COLOURS = ["#d1344b", "#1976d2", "#2a8f45", "#b57700", "#8e44ad", "#00898f", "#d9620a", "#5661c9", "#c2185b",
  "#5f7d1c", "#7a5548", "#46627f", "#a0327d"];
const LABEL_HEIGHT = 34, GAP = 14;
const $ = (id) => document.getElementById(id);
const colour = (label) => COLOURS[data.colours[label] % COLOURS.length];
const state = { shown: [], here: 0, columns: 1, marks: new Set(), classes: data.labels.map((_, label) => (data.start.has.includes(label) ? "with" : "any")) };
const cards = new Map(); // position in state.shown -> element

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// ------------------------------------------------------------------------------------------------ which pages

const scored = data.pages.some((page) => page.d.some((box) => box[1] !== null));
const minScore = () => (scored ? Number($("score").value) : 0);
const counts = (box, least) => box[1] === null || box[1] >= least;
const boxesOf = (page, least = minScore()) => page.d.filter((box) => counts(box, least));

function fits(page, index, least, words) {
  if (words && !page.n.toLowerCase().includes(words)) return false;
  if ($("source").value && page.g !== $("source").value) return false;
  if ($("marked").getAttribute("aria-pressed") === "true" && !state.marks.has(index)) return false;
  const held = new Set(boxesOf(page, least).map((box) => box[0]));
  return state.classes.every((want, label) => want === "any" || (want === "with") === held.has(label));
}

// What pages are ordered by: boxes of the classes that are asked for, or of all.
function rank(page, by, least) {
  const wanted = state.classes.includes("with") ? (box) => state.classes[box[0]] === "with" : () => true;
  const boxes = boxesOf(page, least).filter(wanted);
  if (by === "finds") return boxes.length;
  if (by === "score") return Math.max(0, ...boxes.map((box) => box[1] ?? 1));
  const area = (box) => ((box[4] - box[2]) * (box[5] - box[3])) / (page.s[0] * page.s[1]);
  return Math.max(0, ...boxes.map(area));
}

function refresh() {
  const least = minScore(), words = $("search").value.trim().toLowerCase(), by = $("sort").value;
  const before = state.shown[state.here];
  state.shown = data.pages.map((_, i) => i).filter((i) => fits(data.pages[i], i, least, words));
  if (by !== "pages") {
    const ranks = new Map(state.shown.map((i) => [i, rank(data.pages[i], by, least)]));
    state.shown.sort((a, b) => ranks.get(b) - ranks.get(a) || a - b);
  }
  state.here = Math.max(0, state.shown.indexOf(before));
  const number = (value) => value.toLocaleString("en");
  $("count").textContent = state.shown.length === data.pages.length
    ? `${number(data.pages.length)} pages` : `${number(state.shown.length)} of ${number(data.pages.length)} pages`;
  $("score-value").textContent = least.toFixed(2);
  $("marks").textContent = state.marks.size;
  $("nothing").hidden = state.shown.length > 0;
  updateChips(least);
  layOut();
}

function updateChips(least) {
  const pages = data.labels.map(() => 0);
  for (const page of data.pages) for (const label of new Set(boxesOf(page, least).map((box) => box[0]))) pages[label]++;
  [...$("chips").children].forEach((chip, label) => {
    const want = state.classes[label];
    chip.dataset.state = want;
    chip.lastChild.textContent = pages[label].toLocaleString("en");
    chip.title = { any: "with or without it", with: "pages with it", without: "pages without it" }[want] + ` (${label + 1})`;
  });
}

// ------------------------------------------------------------------------------------------------ the grid

// Only the cards in view exist: thousands of pages scroll as well as ten.
function layOut() {
  const width = Number($("size").value), room = $("grid").clientWidth;
  state.columns = Math.max(1, Math.floor((room + GAP) / (width + GAP)));
  state.width = (room - GAP * (state.columns - 1)) / state.columns;
  state.height = state.width * 1.25 + LABEL_HEIGHT;
  $("grid").style.height = `${Math.ceil(state.shown.length / state.columns) * (state.height + GAP)}px`;
  for (const card of cards.values()) card.remove();
  cards.clear();
  draw();
}

function draw() {
  const top = window.scrollY - $("grid").offsetTop, step = state.height + GAP;
  const first = Math.max(0, Math.floor(top / step) - 1) * state.columns;
  const last = Math.min(state.shown.length, (Math.ceil((top + window.innerHeight) / step) + 1) * state.columns);
  for (const [position, card] of cards) {
    if (position < first || position >= last) {
      card.remove();
      cards.delete(position);
    }
  }
  for (let position = first; position < last; position++) {
    if (!cards.has(position)) {
      const card = makeCard(position);
      cards.set(position, card);
      $("grid").append(card);
    }
  }
  for (const [position, card] of cards) card.classList.toggle("here", position === state.here);
}

function makeCard(position) {
  const index = state.shown[position], page = data.pages[index];
  const name = make("span", { className: "name", title: page.n }, make("bdi", { textContent: page.n }));
  const dots = make("span", { className: "dots" });
  const found = boxesOf(page);
  data.labels.forEach((label, number) => {
    const count = found.filter((box) => box[0] === number).length;
    if (!count) return;
    const dot = make("span", { textContent: count, title: `${label}: ${count}` });
    dot.style.setProperty("--colour", colour(number));
    dots.append(dot);
  });
  const picture = make("div", { className: "picture" }, make("img", { src: thumbnail(index), alt: page.n }), svgOf(page, found));
  const card = make("article", { className: "card" }, picture, make("p", {}, name, dots));
  if (state.marks.has(index)) card.append(make("span", { className: "star", textContent: "✓" }));
  card.style.width = `${state.width}px`;
  card.style.height = `${state.height}px`;
  card.style.left = `${(position % state.columns) * (state.width + GAP)}px`;
  card.style.top = `${Math.floor(position / state.columns) * (state.height + GAP)}px`;
  card.addEventListener("click", () => { go(position); openViewer(); });
  return card;
}

const thumbnail = (index) => `data:image/webp;base64,${$(`t${index}`).textContent.trim()}`;

function svgOf(page, boxes, svg = document.createElementNS("http://www.w3.org/2000/svg", "svg")) {
  svg.setAttribute("viewBox", `0 0 ${page.s[0]} ${page.s[1]}`);
  svg.replaceChildren(...boxes.map(([label, score, x1, y1, x2, y2]) => {
    const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const [key, value] of Object.entries({ x: x1, y: y1, width: x2 - x1, height: y2 - y1 })) rect.setAttribute(key, value);
    rect.style.setProperty("--colour", colour(label));
    return rect;
  }));
  return svg;
}

function go(position) {
  if (!state.shown.length) return;
  state.here = Math.min(Math.max(position, 0), state.shown.length - 1);
  const top = $("grid").offsetTop + Math.floor(state.here / state.columns) * (state.height + GAP);
  const bar = document.querySelector("header").offsetHeight + GAP;
  if (top < window.scrollY + bar) window.scrollTo(0, top - bar);
  else if (top + state.height > window.scrollY + window.innerHeight) window.scrollTo(0, top + state.height + GAP - window.innerHeight);
  draw();
  if ($("viewer").open) showPage();
}

// ------------------------------------------------------------------------------------------------ one page

function openViewer() {
  if (!state.shown.length) return;
  $("viewer").showModal();
  showPage();
}

function showPage() {
  const index = state.shown[state.here], page = data.pages[index], image = $("view-image"), found = boxesOf(page);
  image.src = thumbnail(index);
  image.alt = page.n;
  if (page.u) { // the original is sharper, where it still is at its place
    const original = new Image();
    original.onload = () => { if (state.shown[state.here] === index) image.src = original.src; };
    original.src = page.u;
  }
  svgOf(page, found, $("view-boxes"));
  $("view-name").textContent = page.n;
  const place = `${(state.here + 1).toLocaleString("en")} of ${state.shown.length.toLocaleString("en")}`;
  $("view-facts").textContent = [place, `${page.s[0]} × ${page.s[1]} px`, page.g].filter(Boolean).join(" · ");
  $("view-list").replaceChildren(...found.map(([label, score], number) => {
    const item = make("li", {}, make("i"), data.labels[label]);
    if (score !== null) item.append(make("b", { textContent: score.toFixed(2) }));
    item.style.setProperty("--colour", colour(label));
    const rect = $("view-boxes").children[number];
    item.onmouseenter = () => rect.classList.add("lit");
    item.onmouseleave = () => rect.classList.remove("lit");
    return item;
  }));
  $("mark").setAttribute("aria-pressed", state.marks.has(index));
}

function toggleMark() {
  const index = state.shown[state.here];
  if (index === undefined) return;
  if (!state.marks.delete(index)) state.marks.add(index);
  refresh();
  if (!$("viewer").open) return;
  if (state.shown.length) showPage();
  else $("viewer").close();
}

function saveList() {
  const text = state.shown.map((index) => data.pages[index].n + "\n").join("");
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type: "text/plain" })), download: "pages.txt" });
  link.click();
  URL.revokeObjectURL(link.href);
}

// ------------------------------------------------------------------------------------------------ controls

function toggle(button) {
  const on = $(button).getAttribute("aria-pressed") !== "true";
  $(button).setAttribute("aria-pressed", on);
  document.body.classList.toggle("no-boxes", $("boxes").getAttribute("aria-pressed") !== "true");
  if (button === "marked") refresh();
}

// On a narrow screen the controls are shown on demand; on a wide one they always are.
function openControls(on) {
  document.querySelector("header").classList.toggle("open", on);
  $("choose").setAttribute("aria-expanded", on);
}

function turnClass(label) {
  if (label >= data.labels.length) return;
  state.classes[label] = { any: "with", with: "without", without: "any" }[state.classes[label]];
  refresh();
}

function stepScore(by) {
  $("score").value = Number($("score").value) + by;
  refresh();
  if ($("viewer").open && state.shown.length) showPage();
}

const KEYS = {
  ArrowLeft: () => go(state.here - 1),
  ArrowRight: () => go(state.here + 1),
  ArrowUp: () => go($("viewer").open ? state.here - 1 : state.here - state.columns),
  ArrowDown: () => go($("viewer").open ? state.here + 1 : state.here + state.columns),
  Home: () => go(0),
  End: () => go(state.shown.length - 1),
  Enter: () => ($("viewer").open ? $("viewer").close() : openViewer()),
  b: () => toggle("boxes"),
  x: toggleMark,
  m: () => toggle("marked"),
  s: saveList,
  "[": () => stepScore(-0.05),
  "]": () => stepScore(0.05),
  "/": () => { openControls(true); $("search").focus(); },
  "?": () => $("help").showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  const target = event.target, pressing = event.key === "Enter" && target.matches("button");
  if (target.matches("input, select") && event.key === "Escape") target.blur();
  // A text field takes every key; a slider or a list takes its own.
  if (pressing || target.matches("input[type=search]")) return;
  if (target.matches("input, select") && event.key !== "/" && event.key !== "?") return;
  const act = KEYS[event.key] ?? KEYS[event.key.toLowerCase()];
  if (act) act();
  else if (/^[1-9]$/.test(event.key)) turnClass(Number(event.key) - 1);
  else return;
  event.preventDefault();
});

data.labels.forEach((label, number) => {
  const chip = make("button", { className: "chip", onclick: () => turnClass(number) }, make("i"), label.replaceAll("_", " "), make("b"));
  chip.style.setProperty("--colour", colour(number));
  $("chips").append(chip);
});
const sources = [...new Set(data.pages.map((page) => page.g).filter(Boolean))];
if (sources.length > 1) {
  $("source").append(make("option", { value: "", textContent: "All sources" }), ...sources.map((name) => make("option", { value: name, textContent: name })));
  $("source").hidden = false;
}
$("score-label").hidden = !scored;
for (const id of ["search", "score"]) $(id).addEventListener("input", refresh);
for (const id of ["source", "sort"]) $(id).addEventListener("change", () => { refresh(); $(id).blur(); });
$("size").addEventListener("input", layOut);
for (const id of ["boxes", "marked"]) $(id).addEventListener("click", () => toggle(id));
$("choose").addEventListener("click", () => openControls($("choose").getAttribute("aria-expanded") !== "true"));
$("save").addEventListener("click", saveList);
$("ask").addEventListener("click", () => $("help").showModal());
$("previous").addEventListener("click", () => go(state.here - 1));
$("next").addEventListener("click", () => go(state.here + 1));
$("mark").addEventListener("click", toggleMark);
$("close").addEventListener("click", () => $("viewer").close());
window.addEventListener("scroll", draw, { passive: true });
window.addEventListener("resize", layOut);
$("sort").value = data.start.order;
if (matchMedia("(max-width: 760px)").matches) $("size").value = 160; // two pages side by side on a phone
refresh();
