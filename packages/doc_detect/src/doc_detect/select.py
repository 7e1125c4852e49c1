"""Choose pages worth labelling, and prepare them: the command ``select``."""

import csv
import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from doc_detect.adapt import open_source
from doc_detect.adaptation.labelled import COPY_OF, refs_of
from doc_detect.adaptation.target import Listed, Reader, TargetPage, decode_pages, list_pages
from doc_detect.detectors.fcos import FCOSDetector
from doc_detect.detectors.onnx import named_model
from doc_detect.detectors.scoring import Scoring, widened
from doc_detect.formats.forms import write_any
from doc_detect.formats.regions import Layout, LayoutSet, Region, Writing
from doc_detect.gallery import GalleryPage, thumbnail_side, write_gallery
from doc_detect.pages import BadPage, PageRef, ReadOptions, read_page
from doc_detect.pages.names import encodable, page_name
from doc_detect.predictions import FAILURES
from doc_detect.selection.books import books_of
from doc_detect.selection.looks import DOUBTFUL, Look, Looker, kept, read_look
from doc_detect.selection.ranking import Choice, random_choice, ranked
from doc_detect.settings.adaptation import AdaptSettings
from doc_detect.settings.selection import SelectSettings
from doc_detect.training.pages import open_training
from seminar_common import failures, files
from seminar_common.device import launch
from seminar_common.errors import UserError
from seminar_common.files import fingerprint
from seminar_common.identity import code_digest, digest, require_same
from seminar_common.journal import open_journal
from seminar_common.progress import progress, say
from seminar_common.runs import MARKER, open_run
from seminar_common.settings import to_dict
from seminar_common.training import WEIGHTS

WORK = "work"
"""In the folder until the choice is made: decoded pages, and what was seen of them."""
LOOKS = "looks.jsonl"
TABLE = "pages.csv"
COCO_FILE = "pre-annotations.json"
TASKS = "tasks.json"
GALLERY = "gallery.html"
PICTURES = "images"
"""Folder of copies, and of pages of PDFs as pictures."""
COLUMNS = ("rank", "file", "page", "book", "uncertainty", "why")
ANSWER = ("by", "budget", "seed", "min_score", "copy", "image_url")
"""Settings that decide what is written once the pages have been looked at."""


@dataclass(frozen=True)
class Chosen:
    """A page to label."""

    ref: PageRef
    page: TargetPage
    book: str
    look: Look
    choice: Choice
    image: Path
    """The file to show to who labels it."""
    size: tuple[int, int]
    """Width and height that boxes on it count."""


def main(settings: SelectSettings) -> None:
    """Choose, and say what to do next; the function behind ``doc-detect select``."""
    chosen = select(settings)
    out = settings.out
    if (out / FAILURES).exists():
        say(f"{len(failures.read(out / FAILURES)):,} could not be read: see {out / FAILURES}")
    books = len({each.book for each in chosen})
    say(f"{len(chosen):,} pages of {books:,} books in {out}; look at them in {out / GALLERY}")
    config = Path(TASKS).with_suffix(".config.xml")
    say(
        f"now label them: {out / COCO_FILE} is for COCO tools, {TASKS} with {config} for Label Studio; "
        f"keep what you export in {out}, where its names of pages lead to them"
    )
    target = [str(path) for path in settings.target]
    again = ["doc-detect", "adapt", "--target", *target, "--labelled", str(out / "EXPORT.json")]
    say(f"then: {shlex.join(again)}")


def select(settings: SelectSettings) -> list[Chosen]:
    """Fill ``settings.out`` with the pages of ``settings.target`` that are most worth labelling; return them.

    A folder whose choice was stopped is gone on with. What could not be read is in its ``failures.csv``.

    Raises:
        UserError: unusable pages or detector, more pages asked for than there are, or the folder holds something else.
    """
    _refuse_made(settings.out)
    fabric = launch(settings.device)
    source = open_source(AdaptSettings(run=settings.run, model=settings.model))
    detector = source.detector
    assert isinstance(detector, FCOSDetector)
    before = _labelled(settings)
    listed = list_pages(settings.target, settings.pages, settings.seed, [ref.path for ref in before])
    _require_enough(len(listed.refs), settings)
    facts = _facts(listed, detector, source.scoring, settings)
    _start(settings, facts)
    looker = Looker(detector, fabric.device, source.scoring)
    refs = {page_name(str(ref.path), ref.number): ref for ref in (*listed.refs, *before)}
    pages = _decode(tuple(refs.values()), listed, detector, settings)
    _require_enough(sum(refs[page.name] not in before for page in pages), settings)
    chosen = _choose(pages, refs, before, looker, facts, settings)
    _write(chosen, detector.labels, source.scoring, settings)
    return chosen


def _labelled(settings: SelectSettings) -> dict[PageRef, str | None]:
    """Return the pages that are labelled already, each with its book where the file says it."""
    if settings.labelled is None:
        return {}
    pages = open_training(settings.labelled, settings.map)
    books = [page.facts.get("book") for page in pages.pages]
    return {ref: None if book is None else str(book) for ref, book in zip(refs_of(pages), books, strict=True)}


def _refuse_made(out: Path) -> None:
    """Raise a UserError if the folder holds a choice that is made, or anything else."""
    if (out / GALLERY).exists() and not (out / WORK).exists():
        raise UserError(f"{out}: its pages have been chosen; choose another --out, or remove it first")
    if not (out / MARKER).exists():
        files.refuse_existing(out)


def _require_enough(count: int, settings: SelectSettings) -> None:
    if count < settings.budget:
        target = " ".join(map(str, settings.target))
        raise UserError(
            f"--budget {settings.budget}: --target {target} has {count} pages that can be read"
            f"{' and are not in --labelled' if settings.labelled else ''}; give a smaller one"
        )


def _facts(
    listed: Listed, detector: FCOSDetector, scoring: Scoring, settings: SelectSettings
) -> dict[str, Any]:
    """Return what the looks at pages depend on."""
    if settings.run is None:
        weights = named_model(settings.model or Path("default"))
    else:
        weights = open_run(settings.run).checkpoints / WEIGHTS
    return {
        "pages": listed.fingerprint,
        "weights": fingerprint(weights),
        "detector": digest({**to_dict(detector.config), "scoring": scoring.facts()}),
        "pdf_pixels": settings.pdf_pixels,
        **({} if settings.labelled is None else {"labelled": fingerprint(settings.labelled)}),
        "code": code_digest("doc_detect.selection", "doc_detect.detectors", "doc_detect.pages"),
    }


def _start(settings: SelectSettings, facts: dict[str, Any]) -> None:
    """Make the folder, or see that the one that is there is of the same pages and the same detector."""
    config = settings.out / MARKER
    answer = {name: getattr(settings, name) for name in ANSWER}
    if config.exists():
        stored = files.read_json(config)
        require_same(stored.get("looks"), facts, settings.out, "choose another --out, or remove it first")
    envelope = {"topic": "doc-detect", "command": "select", "looks": facts, "settings": answer}
    files.write_json(config, envelope)


def _decode(
    refs: Sequence[PageRef], listed: Listed, detector: FCOSDetector, settings: SelectSettings
) -> list[TargetPage]:
    table = settings.out / FAILURES
    if listed.failures:
        failures.add(table, listed.failures)
    options = ReadOptions(settings.pdf_pixels, settings.max_megapixels)
    reader = Reader(detector.config.size, detector.config.trim, options)
    folder = settings.out / WORK / "pages"
    return decode_pages(refs, folder, reader, settings.work, settings.page_timeout, table)


def _choose(
    pages: Sequence[TargetPage],
    refs_by_name: Mapping[str, PageRef],
    before: Mapping[PageRef, str | None],
    looker: Looker,
    facts: dict[str, Any],
    settings: SelectSettings,
) -> list[Chosen]:
    """Return the chosen pages, the best first, with their pictures where they need some.

    Args:
        pages: Those to choose from, and those that are labelled already.
        refs_by_name: Where each of them is.
        before: Those that are labelled already, with their books where they are known.
        looker: Looks at pages.
        facts: What looks depend on.
        settings: Of the choice.
    """
    refs = [refs_by_name[page.name] for page in pages]
    books = [before.get(ref) or book for ref, book in zip(refs, books_of(settings.target, refs), strict=True)]
    done = {number for number, ref in enumerate(refs) if ref in before}
    journal = settings.out / WORK / LOOKS
    if settings.by == "random":
        choices = random_choice(settings.budget, len(pages), settings.seed, done)
        looks = _look(pages, [choice.page for choice in choices], looker, journal, facts)
    else:
        looks = _look(pages, range(len(pages)), looker, journal, facts)
        doubts = np.array([looks[number].uncertainty for number in range(len(pages))])
        features = np.stack([looks[number].features for number in range(len(pages))])
        choices = ranked(settings.by, settings.budget, doubts, features, books, settings.seed, done)
    chosen = []
    files.remove(settings.out / PICTURES)  # of a choice that was stopped
    for rank, choice in enumerate(choices, 1):
        ref, page = refs[choice.page], pages[choice.page]
        image, size = _picture(ref, page, rank, settings)
        chosen.append(Chosen(ref, page, books[choice.page], looks[choice.page], choice, image, size))
    return chosen


def _look(
    pages: Sequence[TargetPage],
    numbers: Sequence[int],
    looker: Looker,
    path: Path,
    facts: dict[str, Any],
) -> dict[int, Look]:
    """Return what is seen of pages by their number; what a stopped choice has seen is not looked at again."""
    with (
        open_journal(path, facts) as journal,
        progress("looking at pages", len(numbers)) as advance,
    ):
        looks = {record["number"]: read_look(record) for _, record in journal.records()}
        left = [number for number in numbers if number not in looks]
        advance(len(numbers) - len(left))
        for number in left:
            looks[number] = looker(pages[number])
            journal.append({"number": number, **looks[number].record()})
            advance(1)
    return looks


def _picture(
    ref: PageRef, page: TargetPage, rank: int, settings: SelectSettings
) -> tuple[Path, tuple[int, int]]:
    """Return the file to show of a page and its width and height: its own, or a copy, which a page of a PDF always has.

    Raises:
        UserError: a page of a PDF or TIFF can't be read as large as it is.
    """
    if ref.number is None and not settings.copy:
        return ref.path.absolute(), (page.width, page.height)
    name = ref.path.name if ref.number is None else f"{ref.path.stem}-p{ref.number}.png"
    made = settings.out.absolute() / PICTURES / f"{rank:03d}-{name}"
    with files.atomic_path(made) as temporary:
        if ref.number is None:
            shutil.copyfile(ref.path, temporary)
            return made, (page.width, page.height)
        try:
            pixels = read_page(ref, None, ReadOptions(settings.pdf_pixels, settings.max_megapixels)).pixels
        except BadPage as error:
            raise UserError(f"{ref.path}, page {ref.number}: {error}; leave the file out") from error
        Image.fromarray(pixels).save(temporary, "png")
    return made, (pixels.shape[1], pixels.shape[0])


def _write(
    chosen: Sequence[Chosen], labels: tuple[str, ...], scoring: Scoring, settings: SelectSettings
) -> None:
    """Write everything that people work with; the folder of work goes last, after which the choice is made."""
    out = settings.out
    layouts = [_layout(each, labels, scoring, settings) for each in chosen]
    pages = LayoutSet(tuple(layouts), frozenset(labels), {"name": f"chosen by {settings.by}"})
    for form, name in (("coco", COCO_FILE), ("label-studio", TASKS)):
        files.remove(out / name)  # of a choice that was stopped as it wrote
        write_any(pages, form, out / name, Writing(image_url=settings.image_url, suggested=True))
    _write_table(chosen, labels, out)
    shown = [
        GalleryPage(
            layout.name,
            each.image,
            (layout.width, layout.height),
            [(region.label, region.score, region.xyxy) for region in layout.regions],
            each.book,
        )
        for each, layout in zip(chosen, layouts, strict=True)
    ]
    write_gallery(shown, out / GALLERY, f"Pages to label: {out.resolve().name}", thumbnail_side(len(shown)))
    files.remove(out / WORK)


def _layout(each: Chosen, labels: tuple[str, ...], scoring: Scoring, settings: SelectSettings) -> Layout:
    """Return a page with its finds, as people would draw them where the detector knows that."""
    page, found = each.page, kept(each.look.found, settings.min_score)
    shares = np.array([scoring.margin.get(label, 0.0) for label in labels])
    x1, y1, x2, y2 = page.window
    size = (page.width, page.height)
    wide = widened(found.boxes, found.labels, shares, max(x2 - x1, y2 - y1), size)
    # A PDF's page as a picture may be a pixel larger or smaller than it counts.
    boxes = (wide * (np.array(each.size * 2) / np.array(size * 2))).tolist()
    regions = [
        Region(labels[number], (box[0], box[1], box[2], box[3]), score)
        for box, score, number in zip(boxes, found.scores.tolist(), found.labels.tolist(), strict=True)
    ]
    facts, original = {"book": each.book}, each.ref.path.absolute()
    if each.ref.number is None and each.image != original:
        facts[COPY_OF] = _relative(original, settings.out)
    return Layout(_relative(each.image, settings.out), *each.size, tuple(regions), facts)


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder.absolute())).as_posix()


def _write_table(chosen: Sequence[Chosen], labels: tuple[str, ...], out: Path) -> None:
    with (
        files.atomic_path(out / TABLE) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for rank, each in enumerate(chosen, 1):
            name = encodable(_relative(each.ref.path.absolute(), out))
            doubt = round(each.look.uncertainty, 3)
            rows.writerow([rank, name, each.ref.number, encodable(each.book), doubt, _why(each, labels)])


def _why(each: Chosen, labels: tuple[str, ...]) -> str:
    """Say in a line what the detector doubts on a page, and how far it is from those before it."""
    found, parts = each.look.found, []
    doubtful = [
        f"{labels[number]} {score:.2f}"
        for score, number in zip(found.scores.tolist(), found.labels.tolist(), strict=True)
        if DOUBTFUL[0] <= score <= DOUBTFUL[1]
    ]
    if doubtful:
        more = f" and {len(doubtful) - 3} more" if len(doubtful) > 3 else ""
        parts.append(f"doubtful: {', '.join(doubtful[:3])}{more}")
    if each.look.unstable >= 0.5:
        parts.append(f"{each.look.unstable:.1f} finds change when the page is smaller")
    if each.choice.distance is not None:
        parts.append(f"{each.choice.distance:.2f} from the nearest page before it")
    return "; ".join(parts) or "nothing doubtful"
