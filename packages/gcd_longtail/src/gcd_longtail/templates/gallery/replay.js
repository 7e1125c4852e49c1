// What decisions come to: the same as gcd_longtail/reviewing/decisions.py, and tested on the same cases.
// Classes are called by their names in the run. UNSURE is the class of an image that does not belong to its class.
const UNSURE = "";

// The decisions that nobody took back; an undo is about an earlier one, so the last stands for sure.
function standing(lines) {
  const gone = new Set();
  for (let i = lines.length - 1; i >= 0; i--) if (lines[i].action === "undo" && !gone.has(lines[i].id)) gone.add(lines[i].of);
  return lines.filter((line) => line.action !== "undo" && line.action !== "run" && !gone.has(line.id));
}

class Replay {
  // names: classes of the run; assignments: Map of image -> class; known: classes whose names are a person's.
  constructor(names, assignments, known) {
    this.order = new Set(names); // the classes that are there
    this.own = new Set(known);
    this.images = new Map(assignments);
    this.into = new Map();
    this.names = new Map([...known].map((name) => [name, name]));
    this.settled = new Set();
    this.rejected = new Set();
    this.labels = new Map();
    this.forbidden = new Map(); // image -> Set of classes
  }

  // The class that this one is part of now; null if it is not there.
  root(cluster) {
    while (this.into.has(cluster)) cluster = this.into.get(cluster);
    return this.order.has(cluster) ? cluster : null;
  }

  nameOf(cluster) {
    return this.names.get(cluster) ?? cluster;
  }

  // The class that a person or the run calls so; what is called so now goes first.
  called(name) {
    for (const cluster of this.order) if (!this.rejected.has(cluster) && this.nameOf(cluster) === name) return cluster;
    return this.root(name);
  }

  home(key) {
    const cluster = this.images.get(key);
    return cluster === UNSURE || cluster === undefined ? UNSURE : this.root(cluster) ?? UNSURE;
  }

  // Take a rejection back. A name that another class has got meanwhile stays with that one.
  revive(cluster) {
    if (!this.rejected.has(cluster)) return;
    const other = this.called(this.nameOf(cluster));
    if (other !== null && other !== cluster) {
      this.names.delete(cluster);
      if (this.own.has(cluster)) this.names.set(cluster, cluster);
    }
    this.rejected.delete(cluster);
  }

  settle(cluster, shown) {
    this.revive(cluster);
    this.settled.add(cluster);
    for (const key of shown ?? []) if (this.home(key) === cluster) this.labels.set(key, cluster);
  }

  join(clusters, into) {
    for (const one of [into, ...clusters]) this.revive(one);
    const names = [into, ...clusters].filter((one) => this.names.has(one)).map((one) => this.names.get(one));
    for (const one of clusters) {
      if (one === into) continue;
      this.into.set(one, into);
      this.names.delete(one);
      this.settled.delete(one);
      this.order.delete(one);
    }
    if (names.length) this.names.set(into, names[0]);
  }

  put(images, cluster) {
    for (const key of images) {
      this.images.set(key, cluster);
      this.labels.set(key, cluster);
      const forbidden = this.forbidden.get(key);
      if (forbidden) for (const one of [...forbidden]) if (this.root(one) === cluster) forbidden.delete(one);
    }
  }

  made(name) {
    let cluster = this.called(name);
    if (cluster === null) {
      this.order.add(name);
      cluster = name;
    }
    this.revive(cluster);
    return cluster;
  }

  do(line) {
    const cluster = line.cluster ?? line.into, name = (line.name ?? line.new ?? "").trim();
    const at = line.action === "is" ? null : this.root(cluster);
    switch (line.action) {
      case "name": {
        if (at === null) return;
        this.revive(at);
        let other = this.called(name);
        if (other === null || other === at) {
          this.names.set(at, name);
          other = at;
        } else {
          this.names.delete(at); // the other keeps its own name
          this.join([at], other);
        }
        this.settle(other, line.shown);
        return;
      }
      case "merge": {
        const there = [cluster, ...line.clusters].map((each) => this.root(each)).filter((each) => each !== null);
        const different = [...new Set(there)];
        if (different.length < 2) return;
        const into = at ?? there[0];
        this.join(different, into);
        this.settle(into, line.shown);
        return;
      }
      case "split": {
        const made = this.made(name);
        this.put(line.images, made);
        this.settled.add(made);
        const old = this.root(cluster);
        if (old !== null) this.settled.add(old);
        return;
      }
      case "reject":
        if (at === null) return;
        this.rejected.add(at);
        this.settled.add(at);
        for (const [key, each] of [...this.labels]) if (this.root(each) === at) this.labels.delete(key);
        return;
      case "not":
        if (at === null) return;
        for (const key of line.images) {
          if (!this.forbidden.has(key)) this.forbidden.set(key, new Set());
          this.forbidden.get(key).add(at);
          if (this.home(key) === at) {
            this.images.set(key, UNSURE);
            this.labels.delete(key);
          }
        }
        return;
      case "is": {
        const before = this.called(name), made = this.made(name);
        if (before === null) this.names.set(made, name);
        this.put(line.images, made);
        return;
      }
      case "keep":
        if (at !== null) this.settle(at, line.shown);
    }
  }

  result() {
    const roots = new Map(); // a class is looked up once, not once an image
    const root = (cluster) => {
      if (!roots.has(cluster)) roots.set(cluster, this.root(cluster));
      return roots.get(cluster);
    };
    const classes = [...this.order].map((cluster) => ({
      cluster, name: this.nameOf(cluster), named: this.names.has(cluster),
      settled: this.settled.has(cluster), rejected: this.rejected.has(cluster),
    }));
    const images = new Map(), labels = new Map(), forbidden = [];
    for (const [key, cluster] of this.images) images.set(key, cluster === UNSURE ? UNSURE : root(cluster) ?? UNSURE);
    for (const [key, cluster] of this.labels) if (root(cluster) !== null) labels.set(key, root(cluster));
    for (const [key, clusters] of this.forbidden) for (const one of clusters) if (root(one) !== null) forbidden.push([key, root(one)]);
    return { classes, images, labels, forbidden };
  }
}

function replay(lines, names, assignments, known) {
  const state = new Replay(names, assignments, known);
  for (const line of standing(lines)) state.do(line);
  return state.result();
}
