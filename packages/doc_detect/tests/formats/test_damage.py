"""Whatever stands in a file, reading ends in pages, failures or one line, never in a traceback or half a file."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from doc_detect.coco import Reading
from doc_detect.convert import main
from doc_detect.formats.forms import FORMS, read_any, write_any
from doc_detect.formats.regions import Layout, LayoutSet, Region, Writing
from doc_detect.settings.job import ConvertSettings
from seminar_common.errors import UserError

TEXTS = (
    "",
    " ",
    "x",
    "nan",
    "inf",
    "-5",
    "0",
    "1e999",
    "9" * 400,
    "1,2 3",
    "{",
    "ä\u0308",
    "../../../etc/passwd",
)
VALUES: tuple[Any, ...] = (None, -5, 0, 10**400, float("nan"), "", "x", [], [1, 2, 3, 4], {"a": 1})
PAGES = LayoutSet(
    (
        Layout("a.jpg", 100, 200, (Region("graphic", (1.0, 2.0, 30.0, 40.0), 0.5),), {"book": "b"}),
        Layout(
            "b.jpg",
            100,
            200,
            (Region("table", (1.0, 2.0, 30.0, 40.0)), Region("ignore", (5.0, 5.0, 9.0, 9.0))),
        ),
    ),
    frozenset({"graphic", "table"}),
    {"name": "set"},
)


def is_survived(given: Path, folder: Path, known: set[str]) -> None:
    """Convert a file to two forms, if nothing that was read before is the same: much of a file says nothing."""
    reading = Reading()
    try:
        read = repr((read_any(given, reading), reading.failures, reading.notes, vars(reading.names)))
    except UserError as error:
        read = f"refused: {error}"
    if read in known:
        return
    known.add(read)
    for form in ("coco", "yolo"):
        out = folder / (form if FORMS[form].folder else f"{form}.json")
        try:
            main(ConvertSettings(input=given, to=form, out=out))
        except UserError as error:
            assert "\n" not in str(error)
            assert not list(folder.glob("*"))
            return
        read_any(out)
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key, inner in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from leaves(inner, (*path, key))


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    document = copy.deepcopy(document)
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return document


@pytest.mark.parametrize("form", ["coco", "label-studio", "web-annotation"])
def test_any_value_of_a_json_file_may_be_another(form: str, tmp_path: Path) -> None:
    given = tmp_path / "given.json"
    write_any(PAGES, form, given, Writing("/data/local-files/?d="))
    document = json.loads(given.read_text())
    (tmp_path / "out").mkdir()
    known: set[str] = set()
    for path in leaves(document):
        for value in VALUES:
            given.write_text(json.dumps(changed(document, path, value)))
            is_survived(given, tmp_path / "out", known)


@pytest.mark.parametrize("form", ["page-xml", "alto", "voc"])
def test_any_text_of_an_xml_file_may_be_another(form: str, tmp_path: Path) -> None:
    write_any(PAGES, form, tmp_path / "given")
    file = tmp_path / "given" / "a.xml"
    root = ElementTree.parse(file).getroot()
    (tmp_path / "out").mkdir()
    known: set[str] = set()
    for element in root.iter():
        for name in (None, *element.attrib):
            kept = element.text if name is None else element.get(name)
            for text in TEXTS:
                if name is None:
                    element.text = text
                else:
                    element.set(name, text)
                ElementTree.ElementTree(root).write(file)
                is_survived(tmp_path / "given", tmp_path / "out", known)
            if name is None:
                element.text = kept
            else:
                element.set(name, kept or "")


@pytest.mark.parametrize("file", ["data.yaml", "doc_detect.json", "images.txt", "labels/a.txt"])
def test_any_line_of_a_yolo_set_may_be_another(file: str, tmp_path: Path) -> None:
    write_any(PAGES, "yolo", tmp_path / "given")
    path = tmp_path / "given" / file
    lines = path.read_text().splitlines()
    (tmp_path / "out").mkdir()
    known: set[str] = set()
    for number, line in enumerate(lines):
        for text in (*TEXTS, f"{line} 7", f"{line}: x", f"- {line}", line.replace("0", "nan")):
            path.write_text("\n".join([*lines[:number], text, *lines[number + 1 :]]))
            is_survived(tmp_path / "given", tmp_path / "out", known)


@pytest.mark.parametrize("name", ["a.json", "a.xml", "a.yaml", "a.txt"])
@pytest.mark.parametrize(
    "content", [b"", b"\0" * 9, b"\xff\xfe<", b"{", b"[", b"<", b"<a", b"\xff", b"[[", b"null", b"a: b"]
)
def test_any_bytes_are_refused_in_one_line(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError):
        read_any(tmp_path / name)


def test_entities_that_grow_without_end_are_refused(tmp_path: Path) -> None:
    """The "billion laughs": a small file that would be ten billion words in memory."""
    entities = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 11))
    (tmp_path / "page.xml").write_text(
        f'<!DOCTYPE x [<!ENTITY e0 "ha">{entities}]>'
        '<PcGts><Page imageFilename="a.jpg" imageWidth="10" imageHeight="10">&e10;</Page></PcGts>'
    )
    with pytest.raises(UserError, match=r"page\.xml, line 1: not XML"):
        main(ConvertSettings(input=tmp_path / "page.xml", to="coco", out=tmp_path / "out.json"))
    assert not (tmp_path / "out.json").exists()
