"""What any form writes, every form reads: names, sizes, boxes, scores, facts and the classes that were looked for."""

import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from doc_detect.classes import CLASSES, IGNORE
from doc_detect.convert import main
from doc_detect.formats.forms import FORMS, read_any, writable, write_any
from doc_detect.formats.regions import Layout, LayoutSet, Region, Writing, xml_text
from doc_detect.settings.job import ConvertSettings

FORMS_OF_BOXES = ("coco", "label-studio", "page-xml", "alto", "voc", "yolo", "iiif", "web-annotation")
WHOLE_PIXELS = {"page-xml", "iiif", "web-annotation"}
TEXT = st.characters(exclude_categories=["Cs"], exclude_characters="\0/")
PARTS = st.one_of(
    st.text(TEXT, min_size=1, max_size=12),
    st.sampled_from(
        ["a", "images", "labels", "ä", "a\u0308", "a%20b", "..", "vol 1", "a.xml", ".hidden", "x\\y"]
    ),
)
NAMES = st.builds(
    lambda parts, end: "/".join(parts) + end,
    st.lists(PARTS, min_size=1, max_size=3),
    st.sampled_from([".jpg", ".png", ".JPG", ".xml", "", ".tif#page=3", ".pdf#page=12"]),
).filter(lambda name: 0 < len(name.encode()) < 120)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=3,
)
KEYS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=8
).filter(lambda key: key not in ("id", "file_name", "width", "height"))


@st.composite
def regions(draw: st.DrawFn, width: int, height: int, labels: list[str]) -> Region:
    x1, y1 = draw(st.floats(0, width - 0.02)), draw(st.floats(0, height - 0.02))
    x2 = min(float(width), x1 + draw(st.one_of(st.floats(1e-3, 0.2), st.floats(0.2, width))))
    y2 = min(float(height), y1 + draw(st.one_of(st.floats(1e-3, 0.2), st.floats(0.2, height))))
    score = draw(st.none() | st.floats(0, 1))
    return Region(draw(st.sampled_from([*labels, IGNORE])), (x1, y1, x2, y2), score)


@st.composite
def layout_sets(draw: st.DrawFn) -> LayoutSet:
    labels = draw(st.lists(st.sampled_from(CLASSES), min_size=1, unique=True))
    pages = []
    for name in draw(st.lists(NAMES, min_size=1, max_size=4, unique_by=xml_text)):
        width, height = draw(st.integers(1, 30_000)), draw(st.integers(1, 30_000))
        found = draw(st.lists(regions(width, height, labels), max_size=4))
        facts = draw(st.dictionaries(KEYS, VALUES, max_size=2))
        pages.append(Layout(name, width, height, tuple(found), facts))
    return LayoutSet(tuple(pages), frozenset(labels), draw(st.dictionaries(KEYS, VALUES, max_size=1)))


def place(form: str, folder: Path) -> Path:
    return folder / (form if FORMS[form].folder else f"{form}.json")


def shown(text: Any, xml: bool) -> Any:
    return xml_text(text) if xml else text


def assert_kept(found: LayoutSet, given: LayoutSet, path: list[str]) -> None:
    xml = bool({"page-xml", "alto", "voc"} & set(path))
    assert found.labelled == given.labelled and dict(found.facts) == dict(given.facts)
    by_name = {page.name: page for page in found.pages}
    assert by_name.keys() == {shown(page.name, xml) for page in given.pages}
    for page in given.pages:
        read = by_name[shown(page.name, xml)]
        assert (read.width, read.height, dict(read.facts)) == (page.width, page.height, dict(page.facts))
        assert [region.label for region in read.regions] == [region.label for region in page.regions]
        for one, other in zip(read.regions, page.regions, strict=True):
            assert all(
                abs(a - b) <= (1.02 if WHOLE_PIXELS & set(path) else 0.021)
                for a, b in zip(one.xyxy, other.xyxy, strict=True)
            )
            assert (one.score is None) == (other.score is None)
            assert math.isclose(one.score or 0, other.score or 0, abs_tol=2e-4)


@pytest.mark.parametrize("second", FORMS_OF_BOXES)
@pytest.mark.parametrize("first", FORMS_OF_BOXES)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(layouts=layout_sets())
def test_what_is_written_in_any_form_is_read_and_written_in_any_other(
    layouts: LayoutSet, first: str, second: str
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "iiif" in (first, second):  # it shows images of one page
            assume(pages := tuple(page for page in layouts.pages if "#page=" not in page.name))
            layouts = replace(layouts, pages=pages)
        writing = Writing("/data/local-files/?d=", "https://example.org/found")
        write_any(layouts, first, place(first, folder), writing)
        (folder / "again").mkdir()
        out = place(second, folder / "again")
        base = writing.base_url if second in ("iiif", "web-annotation") else ""
        main(ConvertSettings(input=place(first, folder), to=second, out=out, min_score=0, base_url=base))
        left_out = {failure.file for failure in writing.failures}
        assert not left_out
        said = [path for path in (folder / "again").rglob("*failures.csv") if path.is_file()]
        assert not said  # a folder of pages may have that name
        assert_kept(read_any(out), layouts, [first, second])


def test_the_command_offers_every_form_that_can_be_written() -> None:
    assert set(get_args(get_type_hints(ConvertSettings)["to"])) == set(writable())
