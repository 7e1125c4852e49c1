// Pictures of images: from the page, from the server, or from the files themselves.
const inPage = new Set(data.thumbnails ?? []);

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function fileLink(image) {
  if (data.served) return `${data.served}image/${image}`;
  if (data.folder === undefined) return null;
  try {
    return `${data.folder}/${data.keys[image].split("/").map(encodeURIComponent).join("/")}`;
  } catch {
    return null; // a name that is not UTF-8 has no address
  }
}

function thumbnail(image) {
  if (data.served) return `${data.served}thumbnail/${image}`;
  if (inPage.has(image)) {
    const text = $(`t${image}`).textContent.trim();
    return text ? `data:image/webp;base64,${text}` : null;
  }
  return fileLink(image);
}

// An image that keeps its shape: wide and tall ones take more cells of the grid than square ones.
function picture(image) {
  const element = make("img", { alt: data.keys[image], draggable: false, decoding: "async" });
  const address = thumbnail(image);
  const name = () => element.replaceWith(make("span", { className: "no-picture", textContent: data.keys[image].split("/").pop() }));
  element.onload = () => {
    const ratio = element.naturalWidth / element.naturalHeight;
    const shape = ratio > 4 ? "very-wide" : ratio > 2.5 ? "wide" : ratio < 0.25 ? "very-tall" : ratio < 0.4 ? "tall" : "";
    if (shape) element.closest(".tile")?.classList.add(shape);
    if (element.naturalWidth <= 48 && element.naturalHeight <= 48) element.classList.add("tiny");
  };
  element.onerror = name;
  if (address) element.src = address;
  else queueMicrotask(name);
  return element;
}

const sure = (image) => Math.round(100 - data.doubt[image] / 10);

function tile(image) {
  const notes = [data.keys[image]];
  if (labelled[image]) notes.push("labelled");
  else if (now.decided.has(image)) notes.push(`you said: ${label(now.decided.get(image))}`);
  else if (data.calibrated) notes.push(`${sure(image)}% sure`);
  const pick = make("button", { className: "pick", title: notes.join("\n") }, picture(image));
  pick.setAttribute("aria-label", `Choose ${data.keys[image]}`);
  const zoom = make("button", { className: "zoom", title: "Look at it (Z)", textContent: "⤢", tabIndex: -1 });
  zoom.setAttribute("aria-label", `Look at ${data.keys[image]}`);
  const element = make("div", { className: "tile" }, pick, zoom);
  element.dataset.image = image;
  if (labelled[image]) element.classList.add("labelled");
  else if (now.decided.has(image)) element.classList.add("decided");
  showChosen(element);
  return element;
}

function mini(image) {
  return make("span", { className: "mini", title: data.keys[image] }, picture(image));
}

const tiles = (list) => make("div", { className: "tiles" }, ...list.map(tile));
