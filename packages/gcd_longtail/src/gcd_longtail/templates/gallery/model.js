// What the page shows: facts of the run, and what the decisions made of them. Images are numbers, those of a class
// together and the most central first; classes are called by their names in the run.
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const total = data.keys.length;
const digits = (value) => value.toLocaleString("en");
const images = (value) => `${digits(value)} image${value === 1 ? "" : "s"}`;

const classOf = new Int32Array(total); // as the run has it
const depth = new Float32Array(total); // 0 at the centre of its class, 1 at its edge
const labelled = new Uint8Array(total); // before the run
const numberOf = new Map(data.keys.map((key, image) => [key, image]));
const nameIndex = new Map(data.names.map((name, index) => [name, index]));
const assignments = new Map();
{
  let image = 0;
  data.sizes.forEach((size, index) => {
    for (let i = 0; i < size; i++, image++) {
      classOf[image] = index;
      depth[image] = size > 1 ? i / (size - 1) : 0;
      assignments.set(data.keys[image], data.names[index]);
    }
  });
  for (const one of data.labelled) labelled[one] = 1;
}
const knownNames = data.names.slice(0, data.known);
const settledBefore = new Set(data.settled);

let now = null; // see understand()

// Replay the decisions. now.groups: of each class its name, state, images (the central ones first) and origins.
function understand(lines) {
  const result = replay(lines, data.names, assignments, knownNames);
  const groups = new Map(result.classes.map((one) => [one.cluster, {
    ...one, settled: one.settled || settledBefore.has(one.cluster), images: [], origins: [], mix: 0,
    discovered: !nameIndex.has(one.cluster) || nameIndex.get(one.cluster) >= data.known,
  }]));
  const unsure = [], home = new Array(total);
  for (let image = 0; image < total; image++) {
    const cluster = result.images.get(data.keys[image]);
    home[image] = cluster;
    if (cluster === UNSURE) unsure.push(image);
    else groups.get(cluster).images.push(image);
  }
  for (const group of groups.values()) {
    const origins = new Map();
    for (const image of group.images) {
      origins.set(classOf[image], (origins.get(classOf[image]) ?? 0) + 1);
      group.mix = (Math.imul(group.mix, 31) + image) | 0;
    }
    group.origins = [...origins].sort((a, b) => b[1] - a[1]).map(([index]) => index);
    if (group.origins.length > 1) group.images.sort((a, b) => depth[a] - depth[b] || a - b);
  }
  const decided = new Map([...result.labels].map(([key, cluster]) => [numberOf.get(key), cluster]));
  const forbidden = new Map();
  for (const [key, cluster] of result.forbidden) {
    const image = numberOf.get(key);
    forbidden.set(image, (forbidden.get(image) ?? new Set()).add(cluster));
  }
  now = { groups, unsure, home, decided, forbidden };
}

const settledOf = (group) => group.settled || group.rejected;
const label = (cluster) => now.groups.get(cluster)?.name ?? cluster;
const certain = (image) => labelled[image] === 1 || now.decided.has(image);

// Up to `most` groups that are alike, the most alike first.
function alikeOf(group, most = 3) {
  const found = new Set();
  for (const index of group.origins.slice(0, 3)) {
    for (const other of [index, ...data.alike[index]]) {
      const at = rootOf(data.names[other]);
      if (at && at !== group.cluster && !now.groups.get(at).rejected && now.groups.get(at).images.length) found.add(at);
    }
  }
  return [...found].slice(0, most);
}

// Where most images of a class of the run are now.
function rootOf(cluster) {
  if (now.groups.has(cluster)) return cluster;
  const index = nameIndex.get(cluster), first = data.sizes.slice(0, index).reduce((a, b) => a + b, 0);
  const homes = new Map();
  for (let image = first; image < first + data.sizes[index]; image++) homes.set(now.home[image], (homes.get(now.home[image]) ?? 0) + 1);
  return [...homes].filter(([home]) => home !== UNSURE).sort((a, b) => b[1] - a[1])[0]?.[0] ?? null;
}

// ------------------------------------------------------------------------------------------------ doubt

// Members of a group are right or wrong together: a group of n tells no more than n / (1 + (n - 1) / 10) images would.
const TOGETHER = 0.1;

// Which share of a group's images is right, with the bounds of Wilson's 95% interval; null where nobody knows.
function purity(group) {
  const members = group.images.filter((image) => !certain(image));
  if (!data.calibrated || !members.length) return null;
  const p = members.reduce((sum, image) => sum + 1 - data.doubt[image] / 1000, 0) / members.length;
  const n = members.length / (1 + (members.length - 1) * TOGETHER), z = 1.96;
  const middle = (p + (z * z) / (2 * n)) / (1 + (z * z) / n);
  const half = (z / (1 + (z * z) / n)) * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n));
  return { p, low: Math.max(0, middle - half), high: Math.min(1, middle + half) };
}

const doubtOf = (group) => {
  const members = group.images.filter((image) => !certain(image));
  return members.length ? members.reduce((sum, image) => sum + data.doubt[image], 0) / members.length : 0;
};

// ------------------------------------------------------------------------------------------------ which images stand for a group

// As centre_middle_edge in figures/gallery.py.
function centreMiddleEdge(list, most) {
  if (list.length <= most) {
    const third = Math.ceil(list.length / 3);
    return [0, 1, 2].map((i) => list.slice(i * third, (i + 1) * third));
  }
  const each = Math.max(1, Math.floor(most / 3)), middle = Math.floor((list.length - each) / 2);
  return [list.slice(0, each), list.slice(middle, middle + each), list.slice(-each)];
}

// As at_random in figures/gallery.py.
function atRandom(list, most, salt) {
  const mixed = (image) => {
    let x = (image + Math.imul(salt, 0x9e3779b9)) >>> 0;
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b) >>> 0;
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35) >>> 0;
    return (x ^ (x >>> 16)) >>> 0;
  };
  return list.map((image) => [mixed(image), image]).sort((a, b) => a[0] - b[0] || a[1] - b[1]).slice(0, most).map((pair) => pair[1]);
}

// Named rows of images. Images with labels say nothing new, so what was found comes first.
function stripsOf(group) {
  if (state.sample === "random") return [["At random", atRandom(group.images, data.perClass, state.salt)]];
  const found = group.images.filter((image) => !labelled[image]);
  const [centre, middle, edge] = centreMiddleEdge(found.length ? found : group.images, data.perClass);
  return [["Centre", centre], ["Middle", middle], ["Edge", edge]].filter(([, list]) => list.length);
}
