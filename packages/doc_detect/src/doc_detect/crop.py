"""Cut out what was found, with its caption, in the pixels of the original: the command ``crop``."""

import csv
import dataclasses
import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from doc_detect.pages import BadPage, Page, ReadOptions, read_page
from doc_detect.pages.cutting import XYXY, cut, pad
from doc_detect.pages.iiif import region_address
from doc_detect.pages.names import inside
from doc_detect.predictions import Box, PredictedPage, Predictions, file_state, open_predictions
from doc_detect.settings.job import CropSettings
from seminar_common import failures, files
from seminar_common.errors import UserError
from seminar_common.failures import Failure
from seminar_common.identity import code_digest
from seminar_common.images import PIXEL_CODE
from seminar_common.journal import Journal, open_journal
from seminar_common.progress import progress, say
from seminar_common.work import Failed, executor, results_as_completed

MANIFEST = "manifest.csv"
_NEAR = 0.04
"""A caption is next to an object if the gap between them is at most this share of the page's longer side ..."""
_ALIGNED = 0.5
"""... and they share this much of the shorter one's extent across the gap."""

UNFINISHED = ".unfinished"
"""What the folder of a run is called, after its own name, until all is cut."""
_JOURNAL = "crops.jsonl"
BATCH = 4
"""Pages that a cluster's worker takes at once: some 0.4 s of work on scans of usual size."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Crop:
    """A file, and where on which page it is from."""

    file: str
    """The crop, relative to the manifest."""
    page: PredictedPage
    source: Path
    """The page's file."""
    box: Box
    """What was cut out, without padding."""
    caption: Box | None
    """The caption next to it."""
    caption_file: str
    """The caption's own crop, where it has one."""
    shown: tuple[int, int, int, int]
    """What the crop shows, with padding and a joined caption: xyxy in the page's pixels."""

    def row(self) -> Row:
        """Return the manifest's row: boxes are xyxy in the page's pixels."""
        page, caption = self.page, self.caption
        return {
            "file": self.file,
            "page": page.name,
            "source": str(self.source),
            "page_number": page.number,
            "page_width": page.width,
            "page_height": page.height,
            "label": self.box.label,
            "score": self.box.score,
            **_ends("", self.box.xyxy),
            **_ends("crop_", self.shown),
            "caption_score": caption and caption.score,
            **_ends("caption_", caption.xyxy if caption else (None,) * 4),
            "caption_file": self.caption_file,
            "address": region_address(page.facts, self.shown, (page.width, page.height)),
        }


def _ends(prefix: str, xyxy: Sequence[float | None]) -> dict[str, float | None]:
    return {f"{prefix}{name}": value for name, value in zip(("x1", "y1", "x2", "y2"), xyxy, strict=True)}


def main(settings: CropSettings) -> None:
    """Cut out what ``settings`` ask for; the function behind ``doc-detect crop``."""
    rows = crop(settings)
    failed = failures.read(settings.out / failures.FILE)
    if failed:
        say(f"{len(failed):,} pages could not be read: see {settings.out / failures.FILE}")
    say(f"{len(rows):,} crops in {settings.out}, listed in {settings.out / MANIFEST}")


def crop(settings: CropSettings) -> list[Row]:
    """Write the crops and ``manifest.csv`` into ``settings.out``; return the manifest's rows, in order of the pages.

    A page that can't be read, or that no worker survives, becomes a row of ``failures.csv``. Until all pages are cut
    the crops are in a folder beside it, which a later call with the same settings goes on with.

    Raises:
        UserError: the folder holds something, a class is unknown, or nothing was found; or a run with other settings
            was left unfinished.
    """
    predictions = open_predictions(settings.predictions, settings.images, settings.boxes)
    predictions.check_labels(settings.label, "--label")
    files.refuse_existing(settings.out)
    pages = [page for page in predictions if chosen(page, settings)]
    if not pages:
        raise UserError(
            f"{settings.predictions}: no {' or '.join(settings.label)} with a score of {settings.min_score} or more; "
            "lower --min-score"
        )
    out = settings.out.with_name(settings.out.name + UNFINISHED)
    if not (out / _JOURNAL).is_file():
        files.refuse_existing(out, "remove it first")
    way_out = "remove what that unfinished run left, or choose another --out"
    with open_journal(out / _JOURNAL, _identity(settings, pages), way_out) as journal:
        done = _done(journal, pages, predictions)
        if done:
            say(f"{len(done):,} pages were cut before and are kept")
        failed = _cut(pages, done, journal, _Cutter(settings, predictions, out.absolute()))
    rows = [row for page in sorted(done) for row in done[page]]
    _write_manifest(out / MANIFEST, rows)
    with failures.writing(out / failures.FILE) as add_failure:
        for page, reason in sorted(failed.items(), key=lambda item: item[0].image_id):
            add_failure(Failure(page.file, reason, page.number))
    files.remove(out / _JOURNAL)
    out.rename(settings.out)
    return rows


def _identity(settings: CropSettings, pages: Sequence[PredictedPage]) -> dict[str, Any]:
    """Return what the crops depend on: the settings, the predictions and the code."""
    digest = hashlib.blake2b(digest_size=16)
    for page in pages:
        digest.update(repr((page.image_id, page.name, page.boxes)).encode())
    same_everywhere = {"out", "work", "images", "predictions"}
    identity = {
        name: value for name, value in dataclasses.asdict(settings).items() if name not in same_everywhere
    }
    code = code_digest(__name__, "doc_detect.pages", *PIXEL_CODE)
    return identity | {"predictions": digest.hexdigest(), "code": code}


def _done(journal: Journal, pages: Sequence[PredictedPage], predictions: Predictions) -> dict[int, list[Row]]:
    """Return the rows of each page that was cut from the file as it is now, by the page's number."""
    now = {page.image_id: list(file_state(predictions.ref(page).path)) for page in pages}
    cut_before = [record for _, record in journal.records()]
    return {number: rows for number, state, rows in cut_before if state == now[number]}


def _cut(
    pages: Sequence[PredictedPage], done: dict[int, list[Row]], journal: Journal, cutter: "_Cutter"
) -> Mapping[PredictedPage, str]:
    """Cut the pages that are not done yet; add their rows to ``done`` and to the journal.

    Returns:
        Why each page that could not be cut could not.
    """
    left = [page for page in pages if page.image_id not in done]
    failed = {}
    with progress("cutting", len(left)) as advance, executor(cutter.settings.work) as workers:
        for page, crops in results_as_completed(workers, cutter, left, batch=BATCH):
            if isinstance(crops, Failed):
                failed[page] = crops.reason
            else:
                done[page.image_id] = [crop.row() for crop in crops]
                state = file_state(cutter.predictions.ref(page).path)
                journal.append([page.image_id, state, done[page.image_id]])
            advance()
    return failed


def chosen(page: PredictedPage, settings: CropSettings) -> list[Box]:
    """Return the boxes of a page that are to be cut out."""
    return [box for box in page.boxes if box.label in settings.label and box.score >= settings.min_score]


@dataclass(frozen=True)
class _Cutter:
    """What a worker does with a page."""

    settings: CropSettings
    predictions: Predictions
    out: Path

    def __call__(self, page: PredictedPage) -> list[Crop] | Failed:
        """Return the page's crops, or why it can't be read."""
        options = ReadOptions(self.settings.pdf_pixels, max_megapixels=1024)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # decoders warn of every odd tag
                decoded = read_page(self.predictions.ref(page), None, options)
        except BadPage as error:
            return Failed(str(error))
        boxes = chosen(page, self.settings)
        captions = self._captions(page, boxes)
        return [
            self._cut(page, decoded, number, box, captions[number - 1]) for number, box in enumerate(boxes, 1)
        ]

    def _captions(self, page: PredictedPage, boxes: Sequence[Box]) -> list[Box | None]:
        if self.settings.caption == "none":
            return [None] * len(boxes)
        least = self.settings.caption_score
        found = [box for box in page.boxes if box.label == "caption" and box.score >= least]
        return attach_captions(boxes, found, max(page.width, page.height))

    def _cut(self, page: PredictedPage, decoded: Page, number: int, box: Box, caption: Box | None) -> Crop:
        how, region = self.settings.caption, box.xyxy
        name, caption_name = self._name(page, f"{box.label}-{number:02d}"), ""
        if caption is not None and how == "joined":
            region = union(region, caption.xyxy)
        elif caption is not None:
            caption_name = self._name(page, f"{box.label}-{number:02d}-caption")
            self._save(decoded, page, pad(caption.xyxy, self.settings.padding, page), caption_name)
        shown = pad(region, self.settings.padding, page)
        self._save(decoded, page, shown, name)
        return Crop(name, page, self.predictions.ref(page).path, box, caption, caption_name, shown)

    def _name(self, page: PredictedPage, what: str) -> str:
        """Return a name that says the page, with its suffix: ``1.jpg`` and ``1.png`` may both be there."""
        number = "" if page.number is None else f"--p{page.number:04d}"
        return f"{inside(page.file)}{number}--{what}.{self.settings.format}"

    def _save(self, decoded: Page, page: PredictedPage, region: tuple[int, int, int, int], name: str) -> None:
        from PIL import Image

        kind = "jpeg" if self.settings.format == "jpg" else "png"
        image = Image.fromarray(cut(decoded.pixels, page, region))
        with files.atomic_path(self.out / name) as temporary:
            image.save(
                temporary, kind, quality=95, compress_level=3
            )  # each format takes the one that it knows


def attach_captions(boxes: Sequence[Box], captions: Sequence[Box], page_side: float) -> list[Box | None]:
    """Return each box's caption: each caption goes to the nearest box that it is next to, the nearest first.

    Args:
        boxes: The objects.
        captions: The captions on the same page.
        page_side: The page's longer side.
    """
    pairs = [
        (gap, i, j)
        for i, box in enumerate(boxes)
        for j, caption in enumerate(captions)
        if (gap := distance(box.xyxy, caption.xyxy)) is not None and gap <= _NEAR * page_side
    ]
    attached: list[Box | None] = [None] * len(boxes)
    taken: set[int] = set()
    for _, i, j in sorted(pairs):
        if attached[i] is None and j not in taken:
            attached[i] = captions[j]
            taken.add(j)
    return attached


def distance(a: XYXY, b: XYXY) -> float | None:
    """Return the gap between two boxes, above, below or beside each other; None if they don't face each other."""
    gaps = []
    for along, across in ((1, 0), (0, 1)):  # below or above, then beside
        shared = min(a[across + 2], b[across + 2]) - max(a[across], b[across])
        shorter = min(a[across + 2] - a[across], b[across + 2] - b[across])
        if shared >= _ALIGNED * shorter:
            gaps.append(max(0.0, max(a[along], b[along]) - min(a[along + 2], b[along + 2])))
    return min(gaps, default=None)


def union(a: XYXY, b: XYXY) -> XYXY:
    """Return the smallest box round both."""
    return (min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]))


def _write_manifest(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.DictWriter(file, rows[0] if rows else ["file"])
        writer.writeheader()
        writer.writerows(rows)
