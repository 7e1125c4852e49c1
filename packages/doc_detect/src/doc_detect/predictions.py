"""The folder that ``predict`` makes, and reading it.

====================  =====================================================================================
``config.json``       settings, the detector, its labels, and the folder that names of pages are relative to
``journal.jsonl``     one line for each page as it is finished: what a stopped run goes on from
``coco_images.json``  COCO: categories, and the pages with their sizes
``coco_results.json`` COCO results: what was found, ``bbox`` as xywh in the page's own pixels, with its score
``pages.parquet``     one row for each page, with the best score and the count of each class
``failures.csv``      one row for each file or page that could not be read, with the reason
====================  =====================================================================================

The last four are made from the journal, line by line, so memory does not grow with the number of pages or boxes.
"""

import json
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from doc_detect.pages import PageRef
from doc_detect.pages.names import encodable, on_disk, page_name
from seminar_common import failures, files, journal
from seminar_common.errors import UserError
from seminar_common.failures import Failure
from seminar_common.identity import require_same

CONFIG, JOURNAL = "config.json", "journal.jsonl"
IMAGES, RESULTS, PAGES, FAILURES = "coco_images.json", "coco_results.json", "pages.parquet", failures.FILE
_ROWS_OF_A_GROUP = 5000
_CONFIG, _SETTINGS = {"labels": list, "root": str, "settings": dict}, {"model", "pdf_pixels"}
_READ, _FAILED = {"file", "page", "size", "state", "boxes"}, {"file", "page", "error"}
SURE = 0.5
"""Score from which a class counts as found in a summary."""

Key = tuple[str, int | None]
"""A page's file, relative to the root, and its number in it."""


@dataclass(frozen=True)
class Box:
    """One object on a page."""

    label: str
    score: float
    xyxy: tuple[float, float, float, float]
    """In the page's own pixels."""

    @property
    def xywh(self) -> list[float]:
        """The box as COCO has it."""
        x1, y1, x2, y2 = self.xyxy
        return [x1, y1, round(x2 - x1, 1), round(y2 - y1, 1)]

    def as_drawn(self, margin: Mapping[str, float], window_side: float, size: tuple[int, int]) -> "Box":
        """Return it wider by its class's margin, a share of ``window_side``, inside a page of ``size`` (w, h)."""
        reach, (x1, y1, x2, y2) = margin.get(self.label, 0.0) * window_side, self.xyxy
        low, high = (
            (max(0.0, x1 - reach), max(0.0, y1 - reach)),
            (min(size[0], x2 + reach), min(size[1], y2 + reach)),
        )
        return replace(self, xyxy=tenths((*low, *high)))


def tenths(xyxy: Iterable[float]) -> tuple[float, float, float, float]:
    """Return a box as it is written: in tenths of a pixel."""
    x1, y1, x2, y2 = (round(float(edge), 1) for edge in xyxy)
    return x1, y1, x2, y2


@dataclass(frozen=True)
class PredictedPage:
    """A page that was looked at."""

    image_id: int
    """From 1, in the order of the pages."""
    file: str
    """Path relative to the predictions' root, with ``/``."""
    number: int | None
    """Page in a PDF or multi-page TIFF, from 1."""
    width: int
    height: int
    boxes: tuple[Box, ...]
    """Highest score first."""
    window_side: float
    """Longest side of what the detector saw of the page, in the page's pixels: margins are shares of it."""
    facts: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Of a canvas: its id, label and manifest (:meth:`doc_detect.pages.iiif.Canvas.facts`)."""

    @property
    def name(self) -> str:
        """The file, and the page in it where it has several: ``book.pdf#page=12`` (RFC 8118)."""
        return page_name(self.file, self.number)


@dataclass(frozen=True)
class Summary:
    """What a folder of predictions holds."""

    pages: int
    failures: int
    found: Mapping[str, int]
    """Pages that hold each class with a score of at least :data:`SURE`."""


# --------------------------------------------------------------------------------------------------- writing


@dataclass
class Journal:
    """Pages that are finished, appended one by one."""

    folder: Path
    labels: tuple[str, ...]
    root: Path
    lines: journal.Journal
    done: Mapping[Key, tuple[int, int]] = field(default_factory=dict)
    """Size and time of change of each page's file when it was done."""

    def relative(self, path: Path) -> str:
        """Return ``path`` as it is named in the predictions."""
        return Path(os.path.relpath(path.absolute(), self.root)).as_posix()

    def is_done(self, ref: PageRef) -> bool:
        """Say whether the page is finished and its file has not changed since."""
        known = self.done.get(self._key(ref))
        return known is not None and known == file_state(ref.path)

    def was_done(self, ref: PageRef) -> bool:
        """Say whether the page was finished once, whatever became of its file."""
        return self._key(ref) in self.done

    def add_page(
        self,
        ref: PageRef,
        size: tuple[int, int],
        boxes: Iterable[tuple[Sequence[float], float, int]],
        min_score: float = 0.0,
        window_side: float | None = None,
    ) -> None:
        """Append a page with its ``size`` (width, height) and its boxes: xyxy, score, number of the label.

        ``window_side`` is the longest side of what was seen of the page, by default the whole page's. Boxes whose score, as it is written, is less than ``min_score`` are left out.
        """
        found = [[*tenths(xyxy), round(float(s), 4), int(n)] for xyxy, s, n in boxes]
        # Rounding to tenths may leave a sliver at the page's edge without area: nothing to crop or to convert.
        kept = [box for box in found if box[4] >= min_score and box[2] > box[0] and box[3] > box[1]]
        record = {"size": size, "state": file_state(ref.path), "boxes": kept}
        if window_side is not None:
            record["window_side"] = round(window_side, 1)
        self._append(ref, record)

    def add_failure(self, ref: PageRef, reason: str) -> None:
        """Append a page, or with no number a whole file, that can't be read."""
        self._append(ref, {"error": reason})

    def _append(self, ref: PageRef, record: dict[str, Any]) -> None:
        if ref.canvas is not None:
            record = {"of": self._key(ref), "facts": ref.canvas.facts(), **record}
        self.lines.append({"file": self.relative(ref.path), "page": ref.number, **record})

    def _key(self, ref: PageRef) -> Key:
        """Return what a page is known by: a canvas by its place in its manifest, wherever its image is."""
        if ref.canvas is not None:
            return self.relative(Path(ref.canvas.file)), ref.canvas.number
        return self.relative(ref.path), ref.number


def file_state(path: Path) -> tuple[int, int]:
    """Return size and time of change of a page's file, by which a changed one is told; -1 for one that is gone."""
    try:
        status = path.stat()
    except OSError:
        return (-1, -1)
    return (status.st_size, status.st_mtime_ns)


@contextmanager
def writing(
    folder: Path, config: Mapping[str, Any], labels: tuple[str, ...], root: Path
) -> Generator[Journal]:
    """Open the journal in ``folder`` to add pages, going on with what is there; :func:`write_tables` comes after.

    Where the block is left by an error or an interrupt, the journal stays and a later call goes on from it.

    Args:
        folder: Folder to make, or one that this function made.
        config: What decides the predictions; a folder made with another can't be continued.
        labels: The detector's classes in order.
        root: Folder that names are relative to, for a new folder.

    Raises:
        UserError: the folder holds something else, or predictions of another detector; or it is in use.
    """
    stored = _start(folder, config, labels, root)
    with journal.open_journal(folder / JOURNAL) as lines:
        done = {key: state for key, state in _latest(folder / JOURNAL).items() if state is not None}
        yield Journal(folder, labels, Path(stored["root"]), lines, done)


def _start(folder: Path, config: Mapping[str, Any], labels: tuple[str, ...], root: Path) -> dict[str, Any]:
    document = {"command": "predict", "labels": list(labels), "root": str(root), "settings": dict(config)}
    if not (folder / CONFIG).is_file():
        files.refuse_existing(folder)
        with files.atomic_path(folder / CONFIG) as temporary:
            temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        return document
    stored = _read_config(folder)
    require_same(stored["settings"], config, folder, "choose another --out, or remove it first")
    return stored


def _latest(path: Path) -> dict[Key, tuple[int, int] | None]:
    """Return the state of each page's file by its last line; None where that line is a failure."""
    latest: dict[Key, tuple[int, int] | None] = {}
    for _, record in _records(path):
        state = record.get("state")
        latest[_key(record)] = None if state is None else (state[0], state[1])
    return latest


def write_tables(folder: Path) -> Summary:
    """Make COCO files, ``pages.parquet`` and ``failures.csv`` from the journal; return what they hold."""
    labels = tuple(_read_config(folder)["labels"])
    with (
        files.atomic_path(folder / IMAGES) as images,
        files.atomic_path(folder / RESULTS) as results,
        files.atomic_path(folder / PAGES) as pages,
        failures.writing(folder / FAILURES) as add_failure,
        _Tables(labels, images, results, pages, add_failure) as tables,
    ):
        for item in read_journal(folder):
            tables.add(item)
    return tables.summary()


class _Tables:
    """Writes all four tables side by side, one page at a time."""

    def __init__(
        self,
        labels: tuple[str, ...],
        images: Path,
        results: Path,
        pages: Path,
        add_failure: Callable[[Failure], None],
    ):
        import pyarrow as pa

        self.labels = labels
        columns = [
            ("image_id", pa.int64()),
            ("name", pa.string()),
            ("file", pa.string()),
            ("page", pa.int32()),
        ]
        columns += [("width", pa.int32()), ("height", pa.int32())]
        columns += [(f"score_{label}", pa.float32()) for label in labels]
        columns += [(f"count_{label}", pa.int32()) for label in labels]
        self.schema = pa.schema(columns)
        self.paths, self.add_failure = (images, results, pages), add_failure
        self.rows: list[dict[str, Any]] = []
        self.pages = self.failed = 0
        self.found = dict.fromkeys(labels, 0)

    def __enter__(self) -> "_Tables":
        import pyarrow.parquet as pq

        images, results, pages = self.paths
        categories = [{"id": i, "name": label} for i, label in enumerate(self.labels, start=1)]
        self.images = _JsonList(
            images, f'{{"categories": {json.dumps(categories)},\n"annotations": [],\n"images": '
        )
        self.results = _JsonList(results, "")
        self.parquet = pq.ParquetWriter(pages, self.schema)
        return self

    def __exit__(self, *error: object) -> None:
        self._flush()
        self.parquet.close()
        self.images.close("}")
        self.results.close("")

    def add(self, item: PredictedPage | Failure) -> None:
        """Write one page or failure."""
        if isinstance(item, Failure):
            self.failed += 1
            self.add_failure(item)
            return
        self.pages += 1
        facts: dict[str, Any] = {"id": item.image_id, "file_name": item.name}
        facts |= {"width": item.width, "height": item.height, **item.facts}
        if item.number is not None:
            facts |= {"file": item.file, "page": item.number}
        self.images.add(facts)
        for box in item.boxes:
            self.results.add(
                {
                    "image_id": item.image_id,
                    "category_id": self.labels.index(box.label) + 1,
                    "bbox": box.xywh,
                    "score": box.score,
                }
            )
        self.rows.append(self._row(item))
        if len(self.rows) == _ROWS_OF_A_GROUP:
            self._flush()

    def _row(self, page: PredictedPage) -> dict[str, Any]:
        row: dict[str, Any] = {
            "image_id": page.image_id,
            "name": encodable(page.name),
            "file": encodable(page.file),
            "page": page.number,
            "width": page.width,
            "height": page.height,
        }
        for label in self.labels:
            scores = [box.score for box in page.boxes if box.label == label]
            row |= {f"score_{label}": max(scores, default=None), f"count_{label}": len(scores)}
            self.found[label] += max(scores, default=0) >= SURE
        return row

    def _flush(self) -> None:
        import pyarrow as pa

        if self.rows:
            self.parquet.write_table(pa.Table.from_pylist(self.rows, schema=self.schema))
            self.rows.clear()

    def summary(self) -> Summary:
        """Return what was written."""
        return Summary(self.pages, self.failed, self.found)


class _JsonList:
    """A JSON list written item by item, inside of what ``head`` opens."""

    def __init__(self, path: Path, head: str):
        self.file = path.open("w", encoding="utf-8")
        self.file.write(head + "[")
        self.separator = "\n"

    def add(self, item: Any) -> None:
        self.file.write(self.separator + json.dumps(item))
        self.separator = ",\n"

    def close(self, tail: str) -> None:
        self.file.write("\n]" + tail + "\n")
        self.file.close()


# --------------------------------------------------------------------------------------------------- reading


@dataclass(frozen=True)
class Predictions:
    """A folder of predictions that is complete."""

    folder: Path
    labels: tuple[str, ...]
    root: Path
    """Folder that the pages' files are relative to."""
    model: str
    """Name of the detector."""
    pdf_pixels: int
    """Longest side that pages of PDFs count as."""

    margin: Mapping[str, float] | None = None
    """Of each class, by how much its boxes are made wider, as a share of the page's ``window_side``; None for ink."""

    def __iter__(self) -> Iterator[PredictedPage]:
        """Yield every page, in order; memory stays flat."""
        pages = (item for item in read_journal(self.folder) if isinstance(item, PredictedPage))
        return pages if self.margin is None else (_as_drawn(page, self.margin) for page in pages)

    def ref(self, page: PredictedPage) -> PageRef:
        """Return where the page is."""
        return PageRef(on_disk(self.root / page.file), page.number)

    def check_labels(self, labels: Iterable[str], option: str) -> None:
        """Raise a UserError that names ``option`` if one of ``labels`` is none of the detector's."""
        for label in labels:
            if label not in self.labels:
                raise UserError(
                    f"{option} {label}: the detector knows {', '.join(self.labels)}; choose among them"
                )


def _as_drawn(page: PredictedPage, margin: Mapping[str, float]) -> PredictedPage:
    """Return the page with each box wider by its class's margin, inside the page."""
    size = (page.width, page.height)
    return replace(page, boxes=tuple(box.as_drawn(margin, page.window_side, size) for box in page.boxes))


def open_predictions(
    folder: Path, images: Path | None = None, boxes: Literal["ink", "drawn"] = "ink"
) -> Predictions:
    """Open what ``predict`` made.

    Args:
        folder: Its ``--out``.
        images: Where the pages are, if they moved.
        boxes: ``ink`` for the extent of the ink, ``drawn`` for boxes as people draw them.

    Raises:
        UserError: it is no such folder, ``predict`` has not ended, or its detector does not know what people draw.
    """
    config = _read_config(folder)
    if not (folder / PAGES).is_file():
        raise UserError(f"{folder}: `predict` was stopped; give it the same --out again and it goes on")
    root = Path(config["root"]) if images is None else images.absolute()
    if not root.is_dir():
        raise UserError(f"{root}: the pages are no longer there; say where they are with --images")
    settings = config["settings"]
    margin = settings.get("margin") if boxes == "drawn" else None
    if boxes == "drawn" and not margin:
        raise UserError(
            f"{folder}: its detector does not know by how much people's boxes stand off the ink; "
            "leave --boxes out, or give it a margin by `export --margin-data` and run `predict` again"
        )
    return Predictions(
        folder, tuple(config["labels"]), root, settings["model"], settings["pdf_pixels"], margin
    )


def _read_config(folder: Path) -> dict[str, Any]:
    config = files.read_json(folder / CONFIG) if (folder / CONFIG).is_file() else None
    if not isinstance(config, dict) or config.get("command") != "predict":
        raise UserError(f"{folder}: not a folder of predictions; give the --out of `doc-detect predict`")
    whole = all(isinstance(config.get(name), kind) for name, kind in _CONFIG.items())
    if not whole or not config["settings"].keys() >= _SETTINGS:
        raise UserError(
            f"{folder / CONFIG}: damaged, or of another version; run `predict` again with another --out"
        )
    return config


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield position and content of each line of a journal."""
    for position, record in journal.records(path):
        known = record.keys() if isinstance(record, dict) else set()
        if not (known >= _FAILED or known >= _READ):
            raise UserError(
                f"{path}, byte {position}: damaged, or of another version; run `predict` again with another --out"
            )
        yield position, record


def _key(record: Mapping[str, Any]) -> Key:
    """Return what the page of a record is known by."""
    file, number = record.get("of") or (record["file"], record["page"])
    return file, number


def read_journal(folder: Path) -> Iterator[PredictedPage | Failure]:
    """Yield the last state of every page and failure, ordered by file and page: the same however often it stopped.

    A failure of a whole file is dropped where pages of it were read later.
    """
    labels = _read_config(folder)["labels"]
    path = folder / JOURNAL
    last: dict[Key, int] = {}
    for position, record in _records(path):
        key = _key(record)
        last[key] = position
        if key[1] is not None:
            last.pop((key[0], None), None)
    image_id = 0
    ordered = sorted(last.items(), key=lambda item: (item[0][0], item[0][1] or 0))
    for record in journal.read_at(path, (position for _, position in ordered)):
        if "error" in record:
            yield Failure(record["file"], record["error"], record["page"])
            continue
        image_id += 1
        boxes = tuple(Box(labels[n], s, (x1, y1, x2, y2)) for x1, y1, x2, y2, s, n in record["boxes"])
        side = record.get("window_side", max(record["size"]))
        yield PredictedPage(
            image_id, record["file"], record["page"], *record["size"], boxes, side, record.get("facts", {})
        )
