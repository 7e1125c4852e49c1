"""The `synth` command: draw pages in parallel, resumably and reproducibly, and write them as COCO.

Page ``i`` depends on the seed, on ``i`` and on the fonts and pictures that are there, never on the number of pages
or of workers. Every page leaves its picture, and a record in a journal; when all are there, the records become
``train.json`` and ``val.json``.
"""

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from doc_detect.classes import CLASSES, class_index
from doc_detect.settings.synth import SynthSettings
from doc_detect.synthesis.art.pictographs import find_pictographs
from doc_detect.synthesis.canvas import Canvas, scaled, side_by_side
from doc_detect.synthesis.degrade import Page, degrade
from doc_detect.synthesis.fonts import Face, FontBook, find_faces, held_out
from doc_detect.synthesis.layouts.kinds import KINDS, WORLDS, Kind
from doc_detect.synthesis.layouts.materials import Materials
from doc_detect.synthesis.views import write_contact_sheet
from seminar_common import files
from seminar_common.errors import UserError
from seminar_common.identity import code_digest, digest, require_same
from seminar_common.journal import Journal, open_journal
from seminar_common.progress import progress, say
from seminar_common.seeds import numpy_generator
from seminar_common.work import Failed, executor, results_as_completed

MARKER, JOURNAL = "synth.json", "pages.jsonl"
BATCH = 4
"""Pages that a cluster's worker draws at once: some 0.7 s of work."""
_PICTURES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp"}
_MIN_SIDE = 3.0  # px; a smaller object was cut off by the page's edge

Record = dict[str, Any]
"""What is known of a drawn page; see :func:`make_page`."""


@dataclass(frozen=True)
class Sources:
    """The fonts and pictures that pages are made of."""

    faces: tuple[Face, ...]
    pictures: tuple[Path, ...]

    def materials(self, split: str) -> Materials:
        """Return what pages of a split may use."""
        chosen = tuple(path for path in self.pictures if held_out(path.name) == (split == "val"))
        fonts = FontBook(self.faces, split)
        figures = find_pictographs(face.path for face in fonts.faces("pictographs"))
        kept = tuple(figure for figure in figures if held_out(figure.sign) == (split == "val"))
        return Materials(fonts, chosen or self.pictures, kept)

    def fingerprint(self) -> str:
        """Return a digest of the names and sizes of all fonts and pictures."""
        fonts = [(face.family, Path(face.path)) for face in self.faces]
        chosen = [*fonts, *(("", path) for path in self.pictures)]
        return digest({"files": [(family, path.name, path.stat().st_size) for family, path in chosen]})


def synth(settings: SynthSettings) -> None:
    """Make the pages that ``settings`` ask for; what a killed run left is kept and gone on with.

    Raises:
        UserError: the folder holds something else, or pages of other settings; or there are no fonts.
    """
    sources = find_sources(settings)
    _open_folder(settings, sources)
    with open_journal(settings.out / JOURNAL) as journal:
        records = _known_records(settings.out, journal)
        missing = [index for index in range(settings.pages) if index not in records]
        if not missing:
            say(f"{settings.out}: has its {settings.pages} pages already")
        records |= _draw_all(missing, settings, sources, journal)
    kept = [records[index] for index in range(settings.pages)]
    _write_coco(settings, kept)
    _write_views(settings.out, kept)
    files.remove(settings.out / JOURNAL)
    say(f"{settings.out}: {len(kept)} pages, {sum(len(r['objects']) for r in kept)} objects")


def find_sources(settings: SynthSettings) -> Sources:
    """Return the fonts and pictures that the settings name."""
    own_fonts, own_pictures = (folder and folder.absolute() for folder in (settings.fonts, settings.pictures))
    faces = find_faces(own_fonts, settings.system_fonts)
    if not faces:
        raise UserError("no usable font was found; give a folder with TTF or OTF files by --fonts")
    found = sorted(own_pictures.rglob("*")) if own_pictures else []
    pictures = tuple(path for path in found if path.suffix.lower() in _PICTURES)
    if settings.pictures and not pictures:
        raise UserError(f"{settings.pictures}: no pictures in it; expected PNG, JPEG, TIFF or WebP files")
    return Sources(faces, pictures)


def _open_folder(settings: SynthSettings, sources: Sources) -> None:
    """Make the folder, or check that what it holds was made with the same settings, materials and code."""
    identity = {
        "world": settings.world,
        "seed": settings.seed,
        "ink": settings.ink,
        "long_side": settings.long_side,
        "val_share": settings.val_share,
        "materials": sources.fingerprint(),
        "code": code_digest("doc_detect.synthesis"),
    }
    marker = settings.out / MARKER
    if not marker.exists():
        files.refuse_existing(settings.out)
        files.write_json(marker, identity)
    require_same(files.read_json(marker), identity, settings.out, "choose another --out, or remove it first")
    (settings.out / "images").mkdir(exist_ok=True)


def _known_records(folder: Path, journal: Journal) -> dict[int, Record]:
    """Return the records of the pages that are there, by page number."""
    records = {}
    for split in ("train", "val"):
        if (folder / f"{split}.json").exists():
            records |= _from_coco(files.read_json(folder / f"{split}.json"))
    records |= {record["page"]: record for _, record in journal.records()}
    return {page: r for page, r in records.items() if (folder / "images" / r["file_name"]).is_file()}


def _from_coco(coco: dict[str, Any]) -> dict[int, Record]:
    names = {category["id"]: category["name"] for category in coco["categories"]}
    records: dict[int, Record] = {image["id"]: {**image, "objects": []} for image in coco["images"]}
    for annotation in coco["annotations"]:
        x, y, w, h = annotation["bbox"]
        box = [x, y, round(x + w, 2), round(y + h, 2)]  # as it was before the subtraction
        records[annotation["image_id"]]["objects"].append([names[annotation["category_id"]], box])
    return {record["page"]: record for record in records.values()}


# --- drawing


def _draw_all(
    pages: list[int], settings: SynthSettings, sources: Sources, journal: Journal
) -> dict[int, Record]:
    """Draw pages and note each in the journal; return their records."""
    records = {}
    drawer = _Drawer(replace(settings, out=settings.out.absolute()), sources)
    with progress("drawing pages", len(pages)) as advance, executor(settings.work) as workers:
        for page, record in results_as_completed(workers, drawer, pages, batch=BATCH):
            if isinstance(record, Failed):
                raise UserError(f"page {page} can't be drawn: {record.reason}; the others are kept")
            journal.append(record)
            records[page] = record
            advance()
    return records


@dataclass(frozen=True)
class _Drawer:
    """What a worker does with the number of a page; it prepares the materials once."""

    settings: SynthSettings
    sources: Sources

    @cached_property
    def materials(self) -> dict[str, Materials]:
        cv2.setNumThreads(1)  # the workers are the parallelism
        return {split: self.sources.materials(split) for split in ("train", "val")}

    def __call__(self, page: int) -> Record:
        split = split_of(page, self.settings.val_share)
        image, record = make_page(page, self.settings, self.materials[split])
        record["file_name"] = f"{page:06d}.jpg"
        quality = [cv2.IMWRITE_JPEG_QUALITY, 92]
        _, data = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), quality)
        with files.atomic_path(self.settings.out / "images" / record["file_name"]) as temporary:
            temporary.write_bytes(data.tobytes())
        return record


def split_of(page: int, val_share: float) -> str:
    """Return ``"val"`` for every 1/share-th page, else ``"train"``."""
    return "val" if int((page + 1) * val_share + 1e-9) > int(page * val_share + 1e-9) else "train"


def make_page(page: int, settings: SynthSettings, materials: Materials) -> tuple[np.ndarray, Record]:
    """Draw page number ``page``; return its picture [H, W, 3] uint8 RGB and its record.

    The record has page, world, kind, split, width, height, gutter, parchment and objects (class, xyxy).
    """
    generator = numpy_generator(settings.seed, "page", settings.world, page)
    name = _draw_kind(settings.world, generator)
    kind = KINDS[name]
    canvas = _draw_canvas(kind, settings.long_side, materials, generator)
    labels = [label for label, _ in canvas.objects]
    boxes = np.array([box for _, box in canvas.objects], np.float32).reshape(-1, 4)
    image = canvas.ink
    if not settings.ink:
        degradation = replace(kind.degradation, long_side=settings.long_side)
        image, boxes = degrade(image, boxes, generator, degradation, Page(canvas.gutter, canvas.parchment))
    kept = np.flatnonzero((boxes[:, 2:] - boxes[:, :2]).min(axis=1) >= _MIN_SIDE) if len(boxes) else []
    record = {
        "page": page,
        "world": kind.world,
        "kind": name,
        "split": split_of(page, settings.val_share),
        "width": image.shape[1],
        "height": image.shape[0],
        "gutter": canvas.gutter,
        "parchment": canvas.parchment,
        "objects": [[labels[i], [round(float(v), 2) for v in boxes[i]]] for i in kept],
    }
    return image, record


def _draw_kind(world: str, generator: np.random.Generator) -> str:
    shares = WORLDS[world]
    return list(shares)[int(generator.choice(len(shares), p=list(shares.values())))]


def _draw_canvas(kind: Kind, long_side: int, materials: Materials, generator: np.random.Generator) -> Canvas:
    if generator.random() >= kind.spread_share or kind.spread is None:
        return kind.page(long_side, materials, generator)
    canvas = side_by_side(*kind.spread(round(long_side * 0.74), materials, generator))
    if canvas.width <= long_side:
        return canvas
    scale = long_side / canvas.width
    ink = cv2.resize(canvas.ink, (long_side, round(canvas.height * scale)), interpolation=cv2.INTER_AREA)
    objects = [(label, scaled(box, scale)) for label, box in canvas.objects]
    return replace(canvas, ink=ink, objects=objects)


# --- writing


def _write_coco(settings: SynthSettings, records: list[Record]) -> None:
    info = {"name": "synthetic", "world": settings.world, "seed": settings.seed, "ink": settings.ink}
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES, start=1)]
    for split in ("train", "val"):
        chosen = [record for record in records if record["split"] == split]
        images, annotations = [], []
        for record in chosen:
            image = {key: value for key, value in record.items() if key != "objects"}
            image_id = record["page"] + 1
            images.append({**image, "id": image_id})
            for name, (x0, y0, x1, y1) in record["objects"]:
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image_id,
                        "category_id": class_index(name) + 1,
                        "bbox": [x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)],
                        "area": round((x1 - x0) * (y1 - y0), 2),
                        "iscrowd": 0,
                    }
                )
        coco = {"info": {**info, "split": split}, "images": images}
        text = json.dumps({**coco, "annotations": annotations, "categories": categories})
        files.write_text(settings.out / f"{split}.json", text)


def _write_views(folder: Path, records: list[Record]) -> None:
    """Write what a person looks at: the contact sheet, and a gallery of at most 300 pages."""
    from doc_detect.gallery import GalleryPage, write_gallery

    write_contact_sheet(folder / "contact-sheet.jpg", folder / "images", records)
    chosen = [records[i] for i in np.unique(np.linspace(0, len(records) - 1, 300).astype(int))]
    shown = [
        GalleryPage(
            name=record["file_name"],
            image=folder / "images" / record["file_name"],
            size=(record["width"], record["height"]),
            detections=[(name, None, tuple(box)) for name, box in record["objects"]],
            source=f"{record['kind']}, {record['split']}",
        )
        for record in chosen
    ]
    title = f"Synthetic pages: {len(chosen)} of {len(records)}"
    write_gallery(shown, folder / "gallery.html", title)
