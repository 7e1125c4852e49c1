// Bring the page to life: progress, tabs, keys.
function refresh() {
  understand(store.lines);
  updateList();
  for (const image of [...state.chosen]) if (!data.keys[image]) state.chosen.delete(image);
  showProgress();
  render();
  if ($("viewer").open) showImage();
}

function showProgress() {
  const discovered = [...now.groups.values()].filter((group) => group.discovered && group.images.length);
  const done = discovered.filter(settledOf).length;
  $("progress").textContent = canAnswer ? `${digits(done)} of ${digits(discovered.length)} discovered groups settled` : `${digits(discovered.length)} discovered groups`;
  $("meter").style.width = `${discovered.length ? (100 * done) / discovered.length : 0}%`;
  $("undo").disabled = !toUndo().length;
  $("redo").disabled = !toRedo().length;
  const decisions = standing(store.lines).length;
  $("save").textContent = data.served ? `Saved in the run (${digits(decisions)})` : `Save decisions${decisions ? ` (${digits(decisions)})` : ""}`;
  const count = (view, value) => { document.querySelector(`[data-view=${view}] b`).textContent = value ? digits(value) : ""; };
  count("groups", [...now.groups.values()].filter((group) => group.images.length).length);
  count("unsure", unsureImages().length);
  count("labels", doubtfulLabels().length);
  const names = [...now.groups.values()].filter((group) => !group.rejected).map((group) => group.name).sort((a, b) => a.localeCompare(b));
  $("names").replaceChildren(...names.map((value) => make("option", { value })));
}

function setView(view) {
  state.view = view;
  state.open = null;
  state.page = 0;
  render();
  window.scrollTo(0, 0);
}

function setSample(sample, salt = state.salt) {
  state.sample = $("sample").value = sample;
  state.salt = salt;
  render();
}

// On a narrow screen the controls are shown on demand; on a wide one they always are.
function openControls(on) {
  $("bar").classList.toggle("open", on);
  $("choose").setAttribute("aria-expanded", on);
}

function step(by) {
  if (state.open !== null || state.view !== "groups") {
    const turning = document.querySelector(`.pager button:${by > 0 ? "last" : "first"}-child:not(:disabled)`);
    turning?.click();
    return;
  }
  const at = state.list.indexOf(state.here);
  setHere(state.list[Math.max(0, Math.min(state.list.length - 1, at + by))], true);
}

const imageAtHand = () => Number((document.activeElement.closest(".tile") ?? document.querySelector(".tile:hover"))?.dataset.image ?? [...state.chosen][0] ?? NaN);
const groupHere = () => (state.view === "groups" || state.open !== null ? now.groups.get(state.open ?? state.here) : undefined);
const onGroup = (answer) => () => { const group = groupHere(); if (group && canAnswer) settle(group, () => answer(group)); };
const merging = (place) => onGroup((group) => { const other = alikeOf(group)[place]; if (other) mergeGroups(group, now.groups.get(other)); });

const KEYS = {
  ArrowRight: () => step(1), ArrowLeft: () => step(-1), j: () => step(1), k: () => step(-1),
  n: () => document.querySelector(".card.here .name")?.focus(),
  1: merging(0), 2: merging(1), 3: merging(2),
  y: onGroup(keepGroup), r: onGroup(rejectGroup),
  o: () => openGroup(state.open === null ? groupHere()?.cluster ?? null : null),
  d: () => setSample(state.sample === "random" ? "spread" : "random"),
  D: () => setSample("random", state.salt + 1),
  x: () => act("not"), c: () => act("split"), i: () => act("is"),
  z: () => { const image = imageAtHand(); if (!Number.isNaN(image)) look(image); },
  u: undo, U: redo, s: saveFile,
  v: () => { const views = ["groups", "unsure", "labels", "map"]; setView(views[(views.indexOf(state.view) + 1) % 4]); },
  "/": () => { openControls(true); setView("groups"); $("search").focus(); },
  "?": () => $("help").showModal(),
  Escape: () => { if (state.chosen.size) choose([...state.chosen], false); else if (state.open !== null) openGroup(null); },
};

const VIEWER_KEYS = {
  ArrowRight: () => turn(1), ArrowLeft: () => turn(-1), z: () => $("viewer").close(),
  " ": () => $("view-choose").click(), x: () => $("view-not").click(), i: () => $("view-is").click(),
  u: undo, U: redo,
};

document.addEventListener("keydown", (event) => {
  const target = event.target, viewing = $("viewer").open;
  if ($("help").open || $("question").open) return;
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && !target.matches("input")) {
    (event.shiftKey ? redo : undo)();
    event.preventDefault();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (target.matches("input")) {
    if (event.key === "Escape") target.blur();
    return; // a text field takes every other key
  }
  if (target.matches("select") && !["/", "?"].includes(event.key)) return;
  const pick = event.key === "Enter" || event.key === " ";
  if (pick && target.matches("button, a, summary") && !(viewing && event.key === " ")) return; // its own
  const table = viewing ? VIEWER_KEYS : KEYS;
  const doIt = table[event.key] ?? table[event.key.toLowerCase()];
  if (!doIt) return;
  event.preventDefault();
  doIt();
});

$("view").addEventListener("click", (event) => {
  const element = event.target.closest(".tile");
  if (!element) return;
  const image = Number(element.dataset.image);
  if (event.target.closest(".zoom") || !canAnswer) return look(image);
  const on = !state.chosen.has(image);
  let list = [image];
  if (event.shiftKey && state.last !== null) { // all between two clicks
    const inView = [...document.querySelectorAll("#view .tile")].map((one) => Number(one.dataset.image));
    const [a, b] = [inView.indexOf(state.last), inView.indexOf(image)].sort((x, y) => x - y);
    if (a >= 0) list = inView.slice(a, b + 1);
  }
  state.last = image;
  choose(list, on);
});
$("view").addEventListener("dblclick", (event) => {
  const element = event.target.closest(".tile");
  if (element && canAnswer) look(Number(element.dataset.image));
});

for (const button of document.querySelectorAll("[data-view]")) button.addEventListener("click", () => setView(button.dataset.view));
for (const button of document.querySelectorAll("[data-do]")) button.addEventListener("click", () => act(button.dataset.do));
for (const id of ["scope", "sort"]) $(id).addEventListener("change", () => { makeList(); render(); $(id).blur(); });
$("sample").addEventListener("change", () => { setSample($("sample").value); $("sample").blur(); });
$("search").addEventListener("input", () => { makeList(); render(); });
$("undo").addEventListener("click", undo);
$("redo").addEventListener("click", redo);
$("save").addEventListener("click", saveFile);
$("load").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => { if ($("file").files[0]) loadFile($("file").files[0]); $("file").value = ""; });
$("ask-help").addEventListener("click", () => $("help").showModal());
$("choose").addEventListener("click", () => openControls($("choose").getAttribute("aria-expanded") !== "true"));
$("previous").addEventListener("click", () => turn(-1));
$("next").addEventListener("click", () => turn(1));
$("close").addEventListener("click", () => $("viewer").close());
$("viewer").addEventListener("close", () => choose([], false));
$("view-choose").addEventListener("click", () => { const image = looking.list[looking.at]; choose([image], !state.chosen.has(image)); showImage(); });
$("view-not").addEventListener("click", () => act("not", [looking.list[looking.at]]));
$("view-is").addEventListener("click", () => act("is", [looking.list[looking.at]]));
window.addEventListener("resize", () => drawMap());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawMap());

$("about").append(...data.summary.map((textContent) => make("p", { textContent })), ...data.notes.map((textContent) => make("p", { className: "notice", textContent })));
if (!data.served && inPage.size < total) {
  $("about").append(make("p", { className: "notice", textContent: `This page holds small pictures of ${digits(inPage.size)} of the ${digits(total)} images. The others are shown from their files, while these lie where they lay; \`gcd-longtail review\` shows them all.` }));
}
$("task").textContent = canAnswer
  ? "Say what each group shows: name it, or merge it with one that is alike. Click images that are something else. Everything can be undone."
  : "What was found, group by group. Click an image to see it large.";
$("kept-where").textContent = data.served ? "Decisions are stored in the run as you make them." : "This browser keeps your decisions; save them to a file to let `gcd-longtail discover --continue` learn from them.";
document.body.classList.toggle("looking-only", !canAnswer);
if (data.served) $("save").title = "Every decision is in the run's decisions.jsonl already; this saves a copy (S)";
if (!data.suspicious.length) document.querySelector("[data-view=labels]").hidden = true;

store.changed = refresh;
understand([]);
makeList();
store.start().then(() => {
  understand(store.lines);
  makeList();
  if (!state.list.length && !standing(store.lines).length) { // nothing was discovered: show what there is
    $("scope").value = "all";
    makeList();
  }
  showProgress();
  render();
});
