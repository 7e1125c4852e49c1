// The map: classes as t-SNE laid them out, some of their images around them. A drag chooses images.
const PLACE = new Map(data.map.images.map((image, i) => [image, data.map.points[i]]));
const zoom = { scale: 1, x: 0, y: 0 };
let canvas = null, dragging = null;

// By the golden angle, so that neighbours in the list of classes differ.
const hue = (group) => (137.5 * (nameIndex.get(group.cluster) ?? group.origins[0] + 0.4)) % 360;

function mapView() {
  canvas = make("canvas", { id: "map", tabIndex: 0 });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "Map of groups and images; drag to choose images");
  const reset = make("button", { textContent: "Whole map", onclick: () => { Object.assign(zoom, { scale: 1, x: 0, y: 0 }); drawMap(); } });
  const step = (factor) => () => { zoomAt(0.5, 0.5, factor); };
  const tip = make("div", { id: "tip", hidden: true });
  canvas.addEventListener("pointerdown", startDrag);
  canvas.addEventListener("pointermove", moveDrag);
  canvas.addEventListener("pointerup", endDrag);
  canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomAt(event.offsetX / canvas.clientWidth, event.offsetY / canvas.clientHeight, event.deltaY < 0 ? 1.25 : 0.8);
  }, { passive: false });
  return make("div", { className: "map" },
    make("div", { className: "row tools" }, make("p", { className: "facts", textContent: "Groups that lie close are alike; far distances mean nothing. Click a name to see the group, drag over points to choose images." }), make("span", { className: "grow" }),
      make("button", { textContent: "+", ariaLabel: "Nearer", onclick: step(1.5) }), make("button", { textContent: "−", ariaLabel: "Farther", onclick: step(1 / 1.5) }), reset),
    make("div", { className: "canvas" }, canvas, tip));
}

function zoomAt(x, y, factor) {
  const scale = Math.max(1, Math.min(20, zoom.scale * factor)), at = [zoom.x + x / zoom.scale, zoom.y + y / zoom.scale];
  zoom.scale = scale;
  zoom.x = Math.max(0, Math.min(1 - 1 / scale, at[0] - x / scale));
  zoom.y = Math.max(0, Math.min(1 - 1 / scale, at[1] - y / scale));
  drawMap();
}

const onCanvas = ([x, y]) => [(x - zoom.x) * zoom.scale * canvas.clientWidth, (y - zoom.y) * zoom.scale * canvas.clientHeight];

// Groups with the place of the class of the run that most of their images come from.
const placesOf = () => [...now.groups.values()].filter((group) => group.images.length && group.origins.length && !group.rejected)
  .map((group) => ({ group, at: nameIndex.has(group.cluster) ? data.map.classes[nameIndex.get(group.cluster)] : middleOf(group) }));

function middleOf(group) {
  const points = group.images.map((image) => PLACE.get(image)).filter(Boolean);
  if (!points.length) return data.map.classes[group.origins[0]];
  return [0, 1].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length);
}

function drawMap() {
  if (!canvas?.isConnected) return;
  const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const pen = canvas.getContext("2d"), style = getComputedStyle(document.body), dark = matchMedia("(prefers-color-scheme: dark)").matches;
  pen.scale(ratio, ratio);
  const colours = new Map([...now.groups.values()].map((group) => [group.cluster, `hsl(${hue(group)} 65% ${dark ? 62 : 42}%)`]));
  for (const [image, point] of PLACE) {
    const home = now.home[image], [x, y] = onCanvas(point), chosen = state.chosen.has(image);
    if (x < -5 || y < -5 || x > width + 5 || y > height + 5) continue;
    pen.globalAlpha = chosen ? 1 : 0.55;
    pen.fillStyle = chosen ? style.getPropertyValue("--accent") : home === UNSURE ? style.getPropertyValue("--muted") : colours.get(home);
    pen.beginPath();
    pen.arc(x, y, chosen ? 5 : 2.5 + Math.min(2, zoom.scale / 4), 0, 7);
    pen.fill();
  }
  pen.globalAlpha = 1;
  pen.font = "600 12px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.lineWidth = 3.5;
  pen.lineJoin = "round";
  const taken = [];
  for (const { group, at } of placesOf().sort((a, b) => b.group.images.length - a.group.images.length)) {
    const [x, y] = onCanvas(at), half = pen.measureText(group.name).width / 2;
    const box = [x - half, y - 9, x + half, y + 9];
    if (taken.some((other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1])) continue;
    taken.push(box);
    pen.strokeStyle = style.getPropertyValue("--card");
    pen.fillStyle = style.getPropertyValue("--ink");
    pen.strokeText(group.name, x, y + 4);
    pen.fillText(group.name, x, y + 4);
  }
  canvas.names = taken;
  if (!dragging?.moved) return;
  const [x, y, w, h] = rectangle();
  pen.strokeStyle = style.getPropertyValue("--accent");
  pen.lineWidth = 1.5;
  pen.strokeRect(x, y, w, h);
}

const rectangle = () => [Math.min(dragging.x, dragging.toX), Math.min(dragging.y, dragging.toY), Math.abs(dragging.toX - dragging.x), Math.abs(dragging.toY - dragging.y)];

function startDrag(event) {
  canvas.setPointerCapture(event.pointerId);
  dragging = { x: event.offsetX, y: event.offsetY, toX: event.offsetX, toY: event.offsetY, moved: false };
}

function moveDrag(event) {
  if (!dragging) return hover(event);
  dragging.toX = event.offsetX;
  dragging.toY = event.offsetY;
  dragging.moved ||= Math.hypot(dragging.toX - dragging.x, dragging.toY - dragging.y) > 5;
  if (dragging.moved) drawMap();
}

function endDrag(event) {
  if (!dragging) return;
  if (dragging.moved) {
    const [x, y, w, h] = rectangle();
    const held = [...PLACE].filter(([, point]) => { const [px, py] = onCanvas(point); return px >= x && px <= x + w && py >= y && py <= y + h; }).map(([image]) => image);
    if (!event.shiftKey) state.chosen.clear();
    dragging = null;
    choose(held, true);
    return;
  }
  dragging = null;
  const named = nearestName(event.offsetX, event.offsetY);
  if (named) return openGroup(named.group.cluster);
  const image = nearestImage(event.offsetX, event.offsetY);
  if (image !== null) choose([image], !state.chosen.has(image));
  else choose([...state.chosen], false);
}

function nearestName(x, y) {
  const shown = canvas.names ?? [];
  const box = shown.find((one) => x >= one[0] && x <= one[2] && y >= one[1] && y <= one[3]);
  return box ? placesOf().find(({ at }) => { const [px, py] = onCanvas(at); return Math.abs(px - (box[0] + box[2]) / 2) < 1 && Math.abs(py - (box[1] + box[3]) / 2) < 1; }) : null;
}

function nearestImage(x, y) {
  let best = null, least = 9;
  for (const [image, point] of PLACE) {
    const [px, py] = onCanvas(point), away = Math.hypot(px - x, py - y);
    if (away < least) [best, least] = [image, away];
  }
  return best;
}

function hover(event) {
  const tip = $("tip"), image = nearestImage(event.offsetX, event.offsetY);
  tip.hidden = image === null;
  if (image === null) return;
  if (tip.image !== image) {
    tip.image = image;
    tip.replaceChildren(mini(image), make("span", { textContent: `${now.home[image] === UNSURE ? "unsure" : label(now.home[image])}\n${data.keys[image]}` }));
  }
  tip.style.left = `${Math.min(event.offsetX + 14, canvas.clientWidth - 230)}px`;
  tip.style.top = `${Math.min(event.offsetY + 14, canvas.clientHeight - 90)}px`;
}
