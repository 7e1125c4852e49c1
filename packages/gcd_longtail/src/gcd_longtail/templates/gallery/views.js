// The views: groups as cards, all images of one group, unsure images, doubtful labels.
const PAGE = 120; // images on a page of one group
const PILE = 40; // single images on a page
const cards = new Map(); // cluster -> its card
const filling = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    filling.unobserve(target);
    target.fill();
  }
}, { rootMargin: "600px" });

const lowerKeys = [];
const words = () => $("search").value.trim().toLowerCase();

function filesFound(group, text) {
  if (!text) return [];
  if (!lowerKeys.length) for (const key of data.keys) lowerKeys.push(key.toLowerCase());
  return group.images.filter((image) => lowerKeys[image].includes(text));
}

const fits = {
  todo: (group) => group.discovered && !settledOf(group),
  known: (group) => !group.discovered,
  settled: settledOf,
  all: () => true,
};

// Make the list of groups anew. A decision alone does not: what was settled stays where it is, in one line.
function makeList() {
  const text = words(), scope = text ? "all" : $("scope").value, by = $("sort").value;
  const found = [...now.groups.values()].filter((group) => group.images.length && fits[scope](group)
    && (!text || `${group.name}\n${group.cluster}`.toLowerCase().includes(text) || filesFound(group, text).length));
  const place = new Map(data.byLikeness.map((index, i) => [data.names[index], i]));
  const ranks = {
    size: (group) => -group.images.length,
    doubt: (group) => -doubtOf(group),
    alike: (group) => place.get(group.cluster) ?? place.get(data.names[group.origins[0]]) ?? Infinity,
  };
  const rank = new Map(found.map((group) => [group, ranks[by](group)]));
  found.sort((a, b) => rank.get(a) - rank.get(b));
  state.list = found.map((group) => group.cluster);
  state.unfolded.clear();
  state.here = state.list[0] ?? null;
}

// After a decision: groups that are gone leave the list, new ones stand behind the one that they came from.
function updateList() {
  state.list = state.list.filter((cluster) => now.groups.get(cluster)?.images.length);
  for (const group of now.groups.values()) {
    if (nameIndex.has(group.cluster) || state.list.includes(group.cluster) || !group.images.length) continue;
    const parent = state.list.indexOf(data.names[group.origins[0]]);
    if (parent >= 0 || $("scope").value !== "known") state.list.splice(parent < 0 ? state.list.length : parent + 1, 0, group.cluster);
  }
  for (const group of now.groups.values()) { // an undo brings a group back that was merged away
    if (!state.list.includes(group.cluster) && nameIndex.has(group.cluster) && group.images.length && !words() && fits[$("scope").value](group)) state.list.push(group.cluster);
  }
}

function render() {
  const view = $("view");
  $("group-controls").hidden = state.view !== "groups" || state.open !== null;
  if (state.open !== null && !now.groups.has(state.open)) state.open = null;
  for (const button of document.querySelectorAll("[data-view]")) button.setAttribute("aria-pressed", button.dataset.view === state.view);
  if (state.open !== null) view.replaceChildren(wholeGroup(now.groups.get(state.open)));
  else if (state.view === "groups") renderGroups(view);
  else if (state.view === "unsure") view.replaceChildren(pile(unsureImages(), answerUnsure, "No image is in doubt."));
  else if (state.view === "labels") view.replaceChildren(pile(doubtfulLabels(), answerLabel, "No label is in doubt."));
  else view.replaceChildren(mapView());
  view.dataset.shows = state.open === null ? state.view : "group";
  if (state.view === "map" && state.open === null) drawMap();
}

// ------------------------------------------------------------------------------------------------ cards

function renderGroups(view) {
  const list = state.list.map((cluster) => cardOf(now.groups.get(cluster)));
  for (const cluster of [...cards.keys()]) if (!now.groups.has(cluster)) cards.delete(cluster);
  let box = view.firstElementChild;
  if (box?.className !== "cards") {
    box = make("div", { className: "cards" });
    view.replaceChildren(box);
  }
  list.forEach((card, i) => { if (box.children[i] !== card) box.insertBefore(card, box.children[i] ?? null); });
  while (box.children.length > list.length) box.lastChild.remove();
  const done = state.list.every((cluster) => settledOf(now.groups.get(cluster)));
  if (!list.length || (done && $("scope").value === "todo" && !words())) box.append(make("p", { className: "nothing", textContent: nothing() }));
  showHere();
}

function nothing() {
  if (words()) return "No group and no file has this in its name.";
  if ($("scope").value !== "todo") return "There is no such group.";
  const next = data.served ? "Your decisions are stored in the run." : "Save your decisions to a file.";
  return `Every discovered group is settled. ${next} Then let \`gcd-longtail discover --continue\` learn from them.`;
}

const sign = (group) => [
  group.name, group.settled, group.rejected, group.images.length, group.mix, state.sample, state.salt, words(),
  state.unfolded.has(group.cluster), alikeOf(group).map(label), group.images.filter((image) => now.decided.has(image)).length,
].join("\t");

function cardOf(group) {
  const signature = sign(group), old = cards.get(group.cluster);
  if (old?.signature === signature) return old;
  const slim = settledOf(group) && $("scope").value === "todo" && !words() && !state.unfolded.has(group.cluster);
  const card = slim ? slimCard(group) : fullCard(group);
  card.signature = signature;
  card.dataset.cluster = group.cluster;
  card.addEventListener("pointerdown", () => setHere(group.cluster));
  card.addEventListener("focusin", () => setHere(group.cluster));
  cards.set(group.cluster, card);
  return card;
}

function verdict(group) {
  if (group.rejected) return "no category";
  if (group.named) return group.name;
  return "one category, without a name";
}

function slimCard(group) {
  const open = make("button", { textContent: "Look again", onclick: () => { state.unfolded.add(group.cluster); render(); } });
  const was = group.cluster === group.name && group.named ? "" : `${group.cluster}: `;
  const minis = make("span", { className: "minis" }, ...miniOf(group).map(mini));
  return make("article", { className: "card slim" }, make("span", { className: "tick", textContent: group.rejected ? "✕" : "✓" }),
    make("span", { className: "said" }, was, make("b", { textContent: verdict(group) })), make("span", { className: "facts", textContent: images(group.images.length) }), minis, make("span", { className: "grow" }), open);
}

function fullCard(group) {
  const body = make("div", { className: "strips" }), foot = make("footer");
  body.fill = () => { // pictures are made as the card comes into view
    foot.replaceWith(alikeRow(group));
    body.style.minHeight = "";
    const found = filesFound(group, words());
    const strips = found.length && !group.name.toLowerCase().includes(words()) ? [["Found", found.slice(0, 2 * data.perClass)]] : stripsOf(group);
    body.replaceChildren(...strips.map(([title, list]) => make("section", {}, make("h4", { textContent: title }), tiles(list))));
  };
  body.style.minHeight = "130px";
  filling.observe(body);
  return make("article", { className: `card${settledOf(group) ? " settled" : ""}` }, head(group), body, foot);
}

function head(group) {
  const whole = state.open === group.cluster;
  const all = make("button", { textContent: whole ? "Back to the groups" : `All ${digits(group.images.length)}`, title: "All images of the group, and back (O)", onclick: () => openGroup(whole ? null : group.cluster) });
  const facts = make("span", { className: "facts" }, images(group.images.length), ...doubtText(group));
  const title = make("div", { className: "title" }, titleOf(group), facts);
  if (!canAnswer) return make("header", {}, title, all);
  const field = make("input", { className: "name", placeholder: group.named ? "Another name" : "What is it?", autocomplete: "off" });
  field.setAttribute("list", "names");
  field.setAttribute("aria-label", `Name of ${group.name}`);
  const naming = make("form", { className: "naming" }, field, make("button", { className: "main", textContent: "Name it", title: "Name the group (N, then Enter)" }));
  naming.onsubmit = (event) => {
    event.preventDefault();
    if (!field.value.trim()) return field.focus();
    settle(group, () => nameGroup(group, field.value));
  };
  const keep = make("button", { textContent: group.settled && !group.rejected ? "Kept" : "Keep", disabled: group.settled && !group.rejected, title: "It is one category, right as it is (Y)", onclick: () => settle(group, () => keepGroup(group)) });
  const reject = make("button", { textContent: "No category", disabled: group.rejected, title: "A mixture, or nothing: leave its images out (R)", onclick: () => settle(group, () => rejectGroup(group)) });
  return make("header", {}, title, make("div", { className: "row acts" }, naming, keep, reject, all));
}

function titleOf(group) {
  const kind = group.rejected ? "no category" : settledOf(group) ? "settled" : group.discovered ? "discovered" : "known class";
  const was = group.cluster !== group.name ? ` (${group.cluster} in the run)` : "";
  return make("h3", { title: `${group.name}${was}` }, group.name, make("span", { className: `kind ${kind.split(" ")[0]}`, textContent: kind }));
}

function doubtText(group) {
  const given = group.images.filter((image) => labelled[image]).length;
  const parts = [];
  if (given) parts.push(` · ${digits(given)} labelled`);
  const pure = purity(group), percent = (value) => Math.round(100 * value);
  if (pure) parts.push(make("span", { className: "purity", title: "Estimated from the confidence of its images, with a 95% interval" }, ` · about ${percent(pure.p)}% right`, make("small", { textContent: ` (${percent(pure.low)} to ${percent(pure.high)})` })));
  return parts;
}

function alikeRow(group) {
  const others = alikeOf(group).map((cluster) => now.groups.get(cluster));
  if (!others.length) return "";
  const chips = others.map((other, i) => {
    const show = make("button", { className: "chip", title: `Look at ${other.name}`, onclick: () => goTo(other.cluster) },
      make("span", { className: "minis" }, ...miniOf(other).map(mini)), make("span", { className: "chip-name", textContent: other.name }));
    const merge = make("button", { textContent: "Merge", title: `${group.name} and ${other.name} are one category (${i + 1})`, onclick: () => settle(group, () => mergeGroups(group, other)) });
    return make("span", { className: "alike" }, show, canAnswer ? merge : "");
  });
  return make("footer", {}, make("span", { className: "facts", textContent: "Most alike" }), ...chips);
}

// Do what settles a group, and go on with the next one.
function settle(group, answer) {
  const next = state.list.slice(state.list.indexOf(group.cluster) + 1).find((cluster) => !settledOf(now.groups.get(cluster)));
  state.unfolded.delete(group.cluster);
  answer();
  if (state.open !== null) return;
  if (next && now.groups.has(next) && $("scope").value === "todo") setHere(next, true);
}

function setHere(cluster, scroll = false) {
  if (cluster === null || cluster === undefined) return;
  state.here = cluster;
  showHere();
  const card = cards.get(cluster);
  if (!scroll || !card?.isConnected) return;
  const box = card.getBoundingClientRect(), top = $("bar").offsetHeight;
  if (box.top < top + 8 || box.bottom > window.innerHeight - 8) window.scrollTo({ top: window.scrollY + box.top - top - 12 });
}

function showHere() {
  for (const [cluster, card] of cards) card.classList.toggle("here", cluster === state.here);
}

// Show a group wherever it is.
function goTo(cluster) {
  state.view = "groups";
  state.open = null;
  if (!state.list.includes(cluster)) {
    $("search").value = "";
    $("scope").value = "all";
    makeList();
  }
  state.here = cluster;
  render();
  setHere(cluster, true);
}

// ------------------------------------------------------------------------------------------------ all images of a group

let scrolledTo = 0;

function openGroup(cluster) {
  if (cluster !== null) scrolledTo = window.scrollY;
  state.open = cluster;
  state.page = 0;
  if (cluster !== null) state.here = cluster;
  render();
  window.scrollTo(0, cluster === null ? scrolledTo : 0);
}

function pageOfGroup(group) {
  const list = [...group.images];
  if (state.order === "edge") list.reverse();
  if (state.order === "doubt") list.sort((a, b) => data.doubt[b] - data.doubt[a]);
  return list.slice(state.page * PAGE, (state.page + 1) * PAGE);
}

function wholeGroup(group) {
  const list = pageOfGroup(group);
  const order = make("select", { onchange: () => { state.order = order.value; state.page = 0; render(); } },
    ...[["centre", "Centre first"], ["edge", "Edge first"], ["doubt", "Most doubtful first"]].map(([value, textContent]) => make("option", { value, textContent, selected: value === state.order })));
  order.setAttribute("aria-label", "Order of the images");
  const all = make("button", { textContent: "Choose all here", onclick: () => choose(list, !list.every((image) => state.chosen.has(image))) });
  const tools = make("div", { className: "row tools" }, order, canAnswer ? all : "", make("span", { className: "grow" }), pager(group.images.length, PAGE));
  const card = make("article", { className: "card whole here" }, head(group), tools, tiles(list), alikeRow(group), pager(group.images.length, PAGE));
  card.dataset.cluster = group.cluster;
  return card;
}

function pager(count, size) {
  const last = Math.ceil(count / size) - 1;
  state.page = Math.max(0, Math.min(state.page, last));
  if (last < 1) return "";
  const turn = (by) => () => { state.page += by; render(); window.scrollTo(0, 0); };
  return make("span", { className: "row pager" }, make("button", { textContent: "←", ariaLabel: "Page before", disabled: state.page === 0, onclick: turn(-1) }),
    `${digits(state.page * size + 1)} to ${digits(Math.min(count, (state.page + 1) * size))} of ${digits(count)}`,
    make("button", { textContent: "→", ariaLabel: "Next page", disabled: state.page === last, onclick: turn(1) }));
}

// ------------------------------------------------------------------------------------------------ single images

const MOST_UNSURE = 400;
let pileNow = [];

// Images that were taken out of a group, then those in most doubt; who was answered stays until the view is left.
function unsureImages() {
  const doubtful = [];
  for (let image = 0; image < total; image++) if (!certain(image) && now.home[image] !== UNSURE && data.doubt[image] > 0 && !settledOf(now.groups.get(now.home[image]))) doubtful.push(image);
  doubtful.sort((a, b) => data.doubt[b] - data.doubt[a]);
  return [...now.unsure, ...doubtful.slice(0, Math.min(MOST_UNSURE, Math.ceil(total / 5)))];
}

function doubtfulLabels() {
  return data.suspicious.map(([image]) => image).filter((image) => !now.decided.has(image));
}

function pile(list, answers, nothingText) {
  pileNow = list;
  if (!list.length) return make("p", { className: "nothing", textContent: nothingText });
  const shown = () => list.slice(state.page * PILE, (state.page + 1) * PILE);
  const turning = pager(list.length, PILE), again = pager(list.length, PILE);
  return make("div", { className: "pile" }, make("div", { className: "row tools" }, make("p", { className: "facts", textContent: state.view === "unsure"
    ? "Images that lie between two groups, and those that you took out of one. Say where they belong." : "These labels may be wrong: the images look like another class." }), make("span", { className: "grow" }), turning),
  make("div", { className: "singles" }, ...shown().map((image) => single(image, answers(image)))), again);
}

function single(image, [text, ...candidates]) {
  const options = candidates.map(([cluster, word]) => {
    const group = now.groups.get(cluster);
    return make("button", { className: "answer", title: `It is ${label(cluster)}`, disabled: !canAnswer, onclick: () => areOf([image], label(cluster)) },
      make("span", { className: "minis" }, ...(group ? miniOf(group).slice(0, 2).map(mini) : [])), make("span", {}, make("b", { textContent: label(cluster) }), make("small", { textContent: word })));
  });
  if (canAnswer) {
    options.push(make("button", { textContent: "Another…", onclick: () => act("is", [image]) }));
    if (state.view === "unsure" && now.home[image] !== UNSURE) options.push(make("button", { textContent: "None of them", onclick: () => act("not", [image]) }));
  }
  return make("article", { className: "single" }, tile(image), make("div", {}, make("p", { textContent: text }), ...options));
}

function answerUnsure(image) {
  const home = now.home[image], barred = now.forbidden.get(image) ?? new Set();
  const second = data.second[image] < 0 ? null : rootOf(data.names[data.second[image]]);
  const own = home === UNSURE ? rootOf(data.names[classOf[image]]) : home;
  const near = own && now.groups.get(own) ? alikeOf(now.groups.get(own), 2) : [];
  const candidates = [...new Set([home === UNSURE ? null : home, second, ...near])].filter((cluster) => cluster && !barred.has(cluster) && now.groups.has(cluster) && !now.groups.get(cluster).rejected).slice(0, 3);
  const text = home === UNSURE ? "You took it out of its group. It is" : data.calibrated ? `${sure(image)}% sure. It is` : "It is";
  return [text, ...candidates.map((cluster) => [cluster, cluster === home ? "where it is now" : cluster === second ? "second nearest" : "alike"])];
}

function answerLabel(image) {
  const other = rootOf(data.names[data.suspicious.find(([one]) => one === image)[1]]), own = rootOf(data.names[classOf[image]]);
  return ["It is", ...[[own, "its label"], [other, "what it looks like"]].filter(([cluster], i) => cluster && (i === 0 || cluster !== own))];
}

// ------------------------------------------------------------------------------------------------ one image, large

let looking = { list: [], at: 0 };

function look(image, list) {
  const inView = list ?? [...document.querySelectorAll("#view .tile")].map((element) => Number(element.dataset.image));
  looking = { list: inView.includes(image) ? inView : [image], at: Math.max(0, inView.indexOf(image)) };
  $("viewer").showModal();
  $("chosen").hidden = true;
  showImage();
}

function showImage() {
  const image = looking.list[looking.at], home = now.home[image], element = $("view-image"), link = fileLink(image);
  element.src = thumbnail(image) ?? "data:,";
  element.alt = data.keys[image];
  if (link) { // the file is sharper, where it still is at its place
    const whole = new Image();
    whole.onload = () => { if (looking.list[looking.at] === image) element.src = whole.src; };
    whole.src = link;
  }
  $("view-name").textContent = data.keys[image];
  const group = now.groups.get(home), place = group ? `${digits(group.images.indexOf(image) + 1)} of ${digits(group.images.length)} from the centre` : "";
  const second = data.second[image] < 0 ? "" : `next best: ${label(rootOf(data.names[data.second[image]]) ?? data.names[data.second[image]])}`;
  const trust = labelled[image] ? "labelled" : now.decided.has(image) ? "you said so" : data.calibrated ? `${sure(image)}% sure` : "";
  $("view-facts").textContent = [home === UNSURE ? "taken out of its group" : `in ${label(home)}`, place, trust, second].filter(Boolean).join(" · ");
  $("view-link").parentElement.hidden = !link;
  if (link) $("view-link").href = link;
  $("view-choose").setAttribute("aria-pressed", state.chosen.has(image));
  $("view-not").disabled = home === UNSURE;
  $("previous").disabled = looking.at === 0;
  $("next").disabled = looking.at === looking.list.length - 1;
}

function turn(by) {
  looking.at = Math.max(0, Math.min(looking.list.length - 1, looking.at + by));
  showImage();
}
