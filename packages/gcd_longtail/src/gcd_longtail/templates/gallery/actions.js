// What a person says. One gesture may write several lines; they share their time, and are undone together.
const canAnswer = Boolean(data.run);

const state = {
  view: "groups", // groups, unsure, labels, map
  open: null, // the group of which all images are shown
  page: 0, // of that group, or of unsure images
  order: "centre", // of that group's images
  sample: "spread",
  salt: 0,
  list: [], // groups that are shown, as they were when the list was made
  here: null, // the group that keys are about
  unfolded: new Set(), // settled groups that are shown in full
  chosen: new Set(), // images
  last: null, // image chosen last
};

let lastTime = 0;

function decide(...lines) {
  if (!canAnswer || !lines.length) return;
  lastTime = Math.max(Date.now(), lastTime + 1);
  const time = new Date(lastTime).toISOString();
  const id = () => [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  store.append(lines.map((line) => ({ id: id(), time, ...line })));
}

const keys = (list) => [...list].map((image) => data.keys[image]);

// The images of a group that are in view: they become its examples. One that is chosen is in question.
function shownOf(group) {
  const list = state.open === group.cluster ? pageOfGroup(group).slice(0, data.perClass) : stripsOf(group).flatMap(([, strip]) => strip);
  return keys(list.filter((image) => !state.chosen.has(image)));
}

function nameGroup(group, name) {
  name = name.trim();
  if (!name || (name === group.name && settledOf(group))) return;
  const other = [...now.groups.values()].find((one) => one.cluster !== group.cluster && one.name === name && !one.rejected);
  decide({ action: "name", cluster: group.cluster, name, shown: shownOf(group) });
  tell(other ? `${group.name} went into ${name}` : `${group.name} is ${name}`);
}

function keepGroup(group) {
  decide({ action: "keep", cluster: group.cluster, shown: shownOf(group) });
  tell(`${group.name} is right as it is`);
}

function rejectGroup(group) {
  decide({ action: "reject", cluster: group.cluster });
  tell(`${group.name} is no category`);
}

// The one with a person's name stays, else the larger one.
function mergeGroups(group, other) {
  const [into, from] = [group, other].sort((a, b) => b.named - a.named || b.images.length - a.images.length);
  const shown = [...shownOf(group), ...keys(miniOf(other))];
  decide({ action: "merge", clusters: [into.cluster, from.cluster], into: into.cluster, shown });
  state.here = into.cluster;
  if (state.open === from.cluster) state.open = into.cluster;
  tell(`${from.name} went into ${into.name}`);
}

const miniOf = (group) => group.images.slice(0, 3);

function byGroup(chosen) {
  const found = new Map();
  for (const image of chosen) {
    const home = now.home[image];
    found.set(home, [...(found.get(home) ?? []), image]);
  }
  return found;
}

function notThis(chosen) {
  const lines = [...byGroup(chosen)].filter(([home]) => home !== UNSURE)
    .map(([cluster, list]) => ({ action: "not", cluster, images: keys(list) }));
  decide(...lines);
  tell(`${images(chosen.length)} taken out: among the unsure ones now`);
}

function areOf(chosen, name) {
  name = name.trim();
  if (!name) return;
  decide({ action: "is", images: keys(chosen), name });
  tell(`${images(chosen.length)}: ${name}`);
}

// Images of one group become a group; images of several become a class of that name.
function splitOff(chosen, name) {
  const homes = [...byGroup(chosen).keys()];
  const base = homes.length === 1 && homes[0] !== UNSURE ? homes[0] : "group";
  const fresh = name.trim() || freeName(base);
  for (const cluster of [...homes, fresh]) state.unfolded.add(cluster); // both may still want a name
  if (homes.length === 1 && homes[0] !== UNSURE) decide({ action: "split", cluster: homes[0], images: keys(chosen), new: fresh });
  else decide({ action: "is", images: keys(chosen), name: fresh });
  tell(`${images(chosen.length)} are the group ${label(fresh)}`);
}

function freeName(base) {
  const taken = (name) => now.groups.has(name) || nameIndex.has(name) || [...now.groups.values()].some((one) => one.name === name);
  for (let i = 0; ; i++) {
    const name = `${base}${i < 25 ? String.fromCharCode(98 + i) : `-${i}`}`; // novel-3b, novel-3c, …
    if (!taken(name)) return name;
  }
}

// ------------------------------------------------------------------------------------------------ undo

const gone = () => {
  const found = new Set();
  for (let i = store.lines.length - 1; i >= 0; i--) {
    const line = store.lines[i];
    if (line.action === "undo" && !found.has(line.id)) found.add(line.of);
  }
  return found;
};

// The lines of the last gesture that stands.
function toUndo() {
  const last = standing(store.lines).at(-1);
  return last ? standing(store.lines).filter((line) => line.time === last.time) : [];
}

// The lines of the last undo, if nothing was decided since.
function toRedo() {
  const away = gone(), decisions = new Set(store.lines.filter((line) => line.action !== "undo").map((line) => line.id));
  for (let i = store.lines.length - 1; i >= 0; i--) {
    const line = store.lines[i];
    if (line.action !== "undo") return [];
    if (decisions.has(line.of) && !away.has(line.id)) {
      return store.lines.filter((one) => one.action === "undo" && one.time === line.time && !away.has(one.id));
    }
  }
  return [];
}

function takeBack(lines, word) {
  if (!lines.length) return;
  const what = describe(lines);
  decide(...lines.map((line) => ({ action: "undo", of: line.id })));
  tell(`${word}: ${what}`, false);
}

const undo = () => takeBack(toUndo(), "Undone");
const redo = () => takeBack(toRedo(), "Done again");

function describe(lines) {
  const line = lines[0];
  switch (line.action) {
    case "name": return `${line.cluster} is ${line.name}`;
    case "merge": return `${line.clusters.join(" and ")} are one`;
    case "split": return `${images(line.images.length)} of ${line.cluster} are ${line.new}`;
    case "reject": return `${line.cluster} is no category`;
    case "not": return `${images(lines.reduce((sum, one) => sum + one.images.length, 0))} not of ${lines.map((one) => one.cluster).join(", ")}`;
    case "is": return `${images(line.images.length)} of ${line.name}`;
    case "keep": return `${line.cluster} is right`;
    default: {
      const of = lines.map((one) => store.lines.find((other) => other.id === one.of)).filter(Boolean);
      return of.length ? describe(of) : "";
    }
  }
}

// ------------------------------------------------------------------------------------------------ chosen images

function showChosen(element) {
  const on = state.chosen.has(Number(element.dataset.image));
  element.classList.toggle("chosen", on);
  element.querySelector(".pick").setAttribute("aria-pressed", on);
}

function choose(list, on) {
  for (const image of list) if (on) state.chosen.add(image); else state.chosen.delete(image);
  for (const element of document.querySelectorAll(".tile")) showChosen(element);
  $("chosen").hidden = !state.chosen.size || $("viewer").open;
  const homes = [...byGroup(state.chosen).keys()].map((home) => (home === UNSURE ? "unsure" : label(home)));
  const where = homes.length === 1 ? ` in ${homes[0]}` : homes.length ? ` in ${homes.length} groups` : "";
  $("chosen-count").textContent = `${images(state.chosen.size)}${where}`;
  document.body.classList.toggle("choosing", !$("chosen").hidden);
  if (state.view === "map" && !state.open) drawMap();
}

async function act(what, list = [...state.chosen]) {
  if (!list.length) return;
  if (what === "look") return look(list[0], list);
  if (what === "clear") return choose(list, false);
  if (!canAnswer) return;
  let done = () => notThis(list);
  if (what === "is") {
    const name = await question(`${images(list.length)} ${list.length === 1 ? "is" : "are"} of the class`);
    if (!name?.trim()) return;
    done = () => areOf(list, name);
  } else if (what === "split") {
    const name = await question("Name of the new group, if you know it");
    if (name === null) return;
    done = () => splitOff(list, name);
  }
  state.chosen.clear();
  done();
  choose([], false);
}

function question(text, value = "") {
  const dialog = $("question"), field = $("question-name");
  $("question-text").textContent = text;
  field.value = value;
  dialog.returnValue = "";
  dialog.showModal();
  field.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes" ? field.value : null), { once: true });
  });
}

// ------------------------------------------------------------------------------------------------ words

let quiet = 0;

function tell(text, undoable = true) {
  const toast = $("toast");
  toast.replaceChildren(text);
  if (undoable) toast.append(make("button", { textContent: "Undo", onclick: undo }));
  toast.hidden = false;
  clearTimeout(quiet);
  quiet = setTimeout(() => { toast.hidden = true; }, 6000);
}

function saveFile() {
  const blob = new Blob([store.text()], { type: "application/x-ndjson" });
  const link = make("a", { href: URL.createObjectURL(blob), download: "decisions.jsonl" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

async function loadFile(file) {
  try {
    const count = store.load(await file.text());
    tell(count ? `${digits(count)} decision${count === 1 ? "" : "s"} read` : "Nothing new in it", false);
  } catch (error) {
    tell(`${file.name}: ${error.message}; give a file that was saved on this page`, false);
  }
}
