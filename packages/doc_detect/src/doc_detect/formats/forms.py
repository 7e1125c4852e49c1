"""Reading any of the forms, and writing one."""

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from doc_detect.classes import Names
from doc_detect.coco import CocoSet, Reading, read_coco
from doc_detect.formats.alto import ALTO
from doc_detect.formats.annotations import WEB_ANNOTATION
from doc_detect.formats.coco import COCO, as_coco
from doc_detect.formats.iiif import IIIF
from doc_detect.formats.label_studio import LABEL_STUDIO
from doc_detect.formats.page_xml import PAGE_XML
from doc_detect.formats.predictions import PREDICTIONS
from doc_detect.formats.regions import Form, Layout, LayoutSet, Region, Source, Writing, files_below
from doc_detect.formats.voc import VOC
from doc_detect.formats.yolo import YOLO
from seminar_common import files
from seminar_common.errors import UserError, choices
from seminar_common.progress import say

FORMS: Mapping[str, Form] = {
    form.name: form
    for form in (PREDICTIONS, YOLO, IIIF, WEB_ANNOTATION, COCO, LABEL_STUDIO, PAGE_XML, ALTO, VOC)
}
"""Every form by its name. The first that knows a file's content reads it."""


LARGEST_SIDE = 1_000_000
"""Pixels; what says that it is larger is no page."""


@dataclasses.dataclass(frozen=True)
class _Found:
    """A page and the file that it is in."""

    page: Layout
    file: Path
    names: Names | None = None
    """What was counted in the file, where it counts only if the page is used."""


def read_any(path: Path, reading: Reading | None = None) -> LayoutSet:
    """Read a file or folder of any form; what it is shows by its content.

    Boxes are cut at the edge of their page. What can't be used is left out: a file of a folder, a page whose image
    is there twice, a region without area.

    Args:
        path: The file or folder.
        reading: Takes up what is left out, and its caller reports it; reported here if there is none.

    Raises:
        UserError: it is of no known form, is broken, or holds no page.
    """
    own = reading or Reading()
    source = Source(path)
    form = form_of(source)
    if own.boxes == "drawn" and form is not PREDICTIONS:
        raise UserError(f"{path}: --boxes drawn is for a folder of predictions; leave it out")
    if form is not None and form.read is not None:
        found = form.read(source, own)
        pages: Sequence[_Found] = [_Found(page, path) for page in found.pages]
    elif path.is_dir():
        found, pages = _read_tree(path, own)
    else:
        files.check_file(path)
        raise UserError(f"{path}: of no known form; give {_titles()}")
    usable = [_usable(one, own) for one in pages if _is_usable(one, own)]
    used = tuple(_once_each(usable, path, own))
    for names in {id(one.names): one.names for one in used if one.names is not None}.values():
        own.names.add(names)
    kept = tuple(one.page for one in used)
    if reading is None:
        own.report(path)
    return dataclasses.replace(found, pages=kept, facts=_plain(found.facts, path, own))


def read_pages(path: Path, reading: Reading) -> CocoSet:
    """Read labelled pages of any form to train or to measure on; the caller reports ``reading``.

    Raises:
        UserError: as of :func:`read_any` or :func:`doc_detect.coco.read_coco`.
    """
    source = Source(path)
    if form_of(source) is COCO:
        return read_coco(path, reading, source.json)
    return as_coco(read_any(path, reading), path)


def of_split(pages: CocoSet, *splits: str) -> CocoSet:
    """Return the first of ``splits`` of a set whose form divides it, as YOLO does; the set if it is not divided."""
    there = [page.facts.get("split") for page in pages.pages]
    split = next((split for split in splits if split in there), None)
    if pages.content is None or split is None:  # a COCO file is a split of its own
        return pages
    kept = tuple(page for page, of in zip(pages.pages, there, strict=True) if of == split)
    facts = {**pages.facts, "split": split}
    return dataclasses.replace(pages, pages=kept, facts=facts, content=f"{pages.content}-{split}")


def form_of(source: Source) -> Form | None:
    """Return the form of a file or folder, None if it is none that can be read."""
    return next((form for form in FORMS.values() if form.reads is not None and form.reads(source)), None)


def _titles() -> str:
    return choices(form.title for form in FORMS.values() if form.read is not None)


def _read_tree(folder: Path, reading: Reading) -> tuple[LayoutSet, list[_Found]]:
    """Read the XML files below a folder; those that hold no page, such as METS, are passed over and counted."""
    pages: list[_Found] = []
    sets: list[LayoutSet] = []
    passed: list[str] = []
    for file in files_below(folder, (".xml",)):
        source = Source(file, folder)
        try:
            form = form_of(source)
            if form is None or form.read is None:
                passed.append(file.name)
                continue
            one = dataclasses.replace(reading, names=reading.names.part())
            found = form.read(source, one)
        except UserError as error:
            reading.fail(file, str(error).removeprefix(str(file)).lstrip(":, "))
            continue
        sets.append(found)
        pages += [_Found(_placed(page, source), file, one.names) for page in found.pages]
    if passed:
        say(f"{folder}: {len(passed):,} XML files that hold no page were passed over ({_some(passed)})")
    if not sets:
        first = f"; {reading.failures[0].file}: {reading.failures[0].reason}" if reading.failures else ""
        raise UserError(f"{folder}: holds nothing of a known form: {_titles()}{first}")
    return _merged(sets, folder), pages


def _merged(sets: Sequence[LayoutSet], folder: Path) -> LayoutSet:
    declared = {one.labelled for one in sets if one.labelled is not None}
    if len(declared) > 1:
        one, other = sorted(sorted(labels) for labels in declared)[:2]
        raise UserError(
            f"{folder}: in some files {', '.join(one)} were looked for, in others {', '.join(other)}; "
            "convert them apart, in folders of their own"
        )
    facts = {name: value for one in reversed(sets) for name, value in one.facts.items()}
    return LayoutSet((), next(iter(declared), None), facts, folder)


def _placed(page: Layout, source: Source) -> Layout:
    """Return a page whose name leads from the given folder to its image, where the image is found."""
    file, sign, number = page.name.partition("#page=")
    image, base = source.find_image(file), source.base
    if image is None or base is None or not image.absolute().is_relative_to(base.absolute()):
        return page
    name = image.absolute().relative_to(base.absolute()).as_posix()
    return dataclasses.replace(page, name=name + sign + number)


def _once_each(pages: Sequence[_Found], given: Path, reading: Reading) -> Iterable[_Found]:
    """Yield the page of each image that has the most regions: a workspace of OCR-D has a file for each of its steps.

    Plain names in several folders are told apart by their folder.
    """
    times = Counter(one.page.name for one in pages)
    kept: dict[str, _Found] = {}
    for one in pages:
        name, folder = one.page.name, one.file.parent
        if times[name] > 1 and "/" not in name and given in folder.parents:
            name = (folder.relative_to(given) / name).as_posix()
        one = dataclasses.replace(one, page=dataclasses.replace(one.page, name=name))
        other = kept.setdefault(name, one)
        if other is one:
            continue
        if len(one.page.regions) > len(other.page.regions):
            kept[name], one, other = one, other, one
        reading.fail(
            one.file, f"its image {name} is there again, with as many regions or more, in {other.file}"
        )
    return kept.values()


def _is_usable(one: _Found, reading: Reading) -> bool:
    page = one.page
    if page.name and all(1 <= side <= LARGEST_SIDE for side in (page.width, page.height)):
        return True
    reading.fail(
        one.file, f"{page.name or 'a page without a name'}: its size {page.width} x {page.height} is none"
    )
    return False


def _usable(one: _Found, reading: Reading) -> _Found:
    """Return a page whose boxes lie on it and have an area, with scores and facts that can be written."""
    page, kept = one.page, []
    for region in page.regions:
        x1, y1, x2, y2 = region.xyxy
        box = (max(0.0, x1), max(0.0, y1), min(float(page.width), x2), min(float(page.height), y2))
        what = None
        if not (box[0] < box[2] and box[1] < box[3]):
            what = "has no area" if x2 <= x1 or y2 <= y1 else "lies outside the page"
        elif region.score is not None and not math.isfinite(region.score):
            what = f"has the score {region.score}"
        if what is None:
            kept.append(Region(region.label, box, region.score))
        else:
            place = ", ".join(f"{value:.6g}" for value in region.xyxy)
            reading.fail(one.file, f"{page.name}: a {region.label} at {place} {what}")
    facts = _plain(page.facts, one.file, reading)
    return dataclasses.replace(one, page=dataclasses.replace(page, regions=tuple(kept), facts=facts))


def _plain(facts: Mapping[str, Any], file: Path, reading: Reading) -> Mapping[str, Any]:
    """Return the facts that JSON can hold: it has no NaN and no infinite number."""
    kept = {}
    for name, value in facts.items():
        try:
            json.dumps(value, allow_nan=False)
        except ValueError:
            reading.fail(file, f"{name} is {value}, which JSON can't hold")
        else:
            kept[name] = value
    return kept


def _some(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def write_any(layouts: LayoutSet, form: str, out: Path, writing: Writing | None = None) -> None:
    """Write pages in a form, as a file or a folder.

    Args:
        layouts: The pages.
        form: A form's name.
        out: What to make.
        writing: How, and where pages go that the form can't hold.

    Raises:
        UserError: ``out`` exists already, or there is no such form to write.
    """
    write = FORMS[form].write if form in FORMS else None
    if write is None:
        raise UserError(f"{form}: can't be written; choose {choices(writable())}")
    files.refuse_existing(out)
    write(layouts, out, writing or Writing())


def writable() -> list[str]:
    """Return the names of the forms that can be written."""
    return [form.name for form in FORMS.values() if form.write is not None]
