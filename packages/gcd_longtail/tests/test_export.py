import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gcd_longtail.discover import discover
from gcd_longtail.export import export
from gcd_longtail.reviewing.decisions import head, run_identity
from gcd_longtail.reviewing.exporting import distinct, file_names, safe_name
from gcd_longtail.settings.commands import DiscoverSettings, ExportSettings, FeatureConfig
from seminar_common import failures
from seminar_common.errors import UserError


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, make_images) -> Path:
    """A discovery in four colours, of which a has labels; b's and c's images lie in two folders with the same names."""
    folder = tmp_path_factory.mktemp("export")
    make_images(folder / "images", {"a": 6, "b": 5, "c": 4, "d": 3})
    for name in "bc":  # the first two of each have the same names, in different case, as the others
        for i in range(2):
            (folder / "images" / "more" / name).mkdir(parents=True, exist_ok=True)
            (folder / "images" / name / f"{i:03d}.png").rename(
                folder / "images" / "more" / name / f"{i + 2:03d}.PNG"
            )
    (folder / "labels.csv").write_text("path,label\n" + "".join(f"a/{i:03d}.png,a:\n" for i in range(2)))
    given = {"method": "ss-kmeans", "k": 4, "features": FeatureConfig("pixels", 8)}
    discover(DiscoverSettings(folder / "images", folder / "labels.csv", folder / "found", **given))
    return folder / "found"


def class_of(run: Path, key: str) -> str:
    with (run / "assignments.csv").open(newline="") as stream:
        return next(row["name"] for row in csv.DictReader(stream) if row["image"] == key)


@pytest.fixture(scope="module")
def decided(found: Path) -> Path:
    """Decisions: b is named with a slash, one image of a does not belong to it, d is rejected."""
    config = json.loads((found / "config.json").read_text())
    lines: list[dict[str, Any]] = [
        {"action": "name", "cluster": class_of(found, "b/002.png"), "name": "b/1", "shown": ["b/002.png"]},
        {"action": "not", "cluster": "a:", "images": ["a/005.png"]},
        {"action": "reject", "cluster": class_of(found, "d/000.png")},
    ]
    numbered = [{"id": str(i), "time": "", **line} for i, line in enumerate(lines)]
    file = found.parent / "decisions.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in (head(run_identity(config), 18), *numbered)))
    return file


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.[pP]*"))


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_images_lie_in_folders_of_their_classes(found: Path, decided: Path, tmp_path: Path) -> None:
    other = class_of(found, "c/002.png")
    export(ExportSettings(found, tmp_path / "out", decisions=decided))
    assert tree(tmp_path / "out") == sorted(
        [
            *(f"a_/{i:03d}.png" for i in range(5)),
            *("b_1/004.png", "b_1/b_002.png", "b_1/b_003.png", "b_1/more_b_002.PNG", "b_1/more_b_003.PNG"),
            *(f"{other}/{name}" for name in ("c_002.png", "c_003.png", "more_c_002.PNG", "more_c_003.PNG")),
        ]
    )
    copy = tmp_path / "out" / "b_1" / "more_b_002.PNG"
    assert copy.read_bytes() == (found.parent / "images" / "more" / "b" / "002.PNG").read_bytes()
    assert rows(tmp_path / "out" / "classes.csv")[:2] == [
        {"folder": "a_", "class": "a:", "named": "yes", "proposed_name": "", "images": "5"},
        {"folder": "b_1", "class": "b/1", "named": "yes", "proposed_name": "", "images": "5"},
    ]


def test_links_are_relative_and_lead_to_the_images(
    found: Path, decided: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(ExportSettings(found, found.parent / "links", "links", decisions=decided, named=True, unsure=True))
    links = found.parent / "links"
    assert tree(links / "_unlabeled") == ["005.png"] and len(tree(links)) == 11
    assert all(path.is_symlink() and path.is_file() for path in links.rglob("*.[pP]*"))
    assert (links / "b_1" / "more_b_002.PNG").readlink() == Path("../../images/more/b/002.PNG")
    monkeypatch.setattr(Path, "symlink_to", lambda *_: (_ for _ in ()).throw(OSError("not allowed")))
    with pytest.raises(
        UserError, match="links can't be made here .not allowed.; copy the images with --to folders"
    ):
        export(ExportSettings(found, tmp_path / "out", "links"))
    assert not (tmp_path / "out").exists()


def test_a_table_has_every_image_with_its_status(found: Path, decided: Path, tmp_path: Path) -> None:
    export(ExportSettings(found, tmp_path / "out", "csv", decisions=decided))
    table = {row["image"]: row for row in rows(tmp_path / "out" / "images.csv")}
    assert len(table) == 18
    assert {table[key]["status"] for key in ("a/000.png", "a/001.png", "b/002.png")} == {"labelled"}
    assert (table["b/003.png"]["status"], table["b/003.png"]["class"]) == ("found", "b/1")
    assert (table["a/005.png"]["status"], table["a/005.png"]["class"]) == ("unsure", "")
    assert {table[f"d/00{i}.png"]["status"] for i in range(3)} == {"rejected"}


def test_coco_has_a_box_of_the_whole_image(found: Path, decided: Path, tmp_path: Path) -> None:
    export(ExportSettings(found, tmp_path / "out", "coco", decisions=decided))
    document = json.loads((tmp_path / "out" / "coco.json").read_text())
    names = {one["id"]: one["name"] for one in document["categories"]}
    files = {one["id"]: one["file_name"] for one in document["images"]}
    classes = {files[one["image_id"]]: names[one["category_id"]] for one in document["annotations"]}
    assert len(classes) == len(files) == 14 and classes["more/b/002.PNG"] == "b/1"
    assert document["annotations"][0]["bbox"] == [0, 0, 16, 16]


def test_fiftyone_finds_the_images_where_they_lie(found: Path, decided: Path, tmp_path: Path) -> None:
    export(ExportSettings(found, tmp_path / "out", "fiftyone", decisions=decided, unsure=True))
    labels, paths = (
        json.loads((tmp_path / "out" / f"{name}.json").read_text()) for name in ("labels", "data")
    )
    assert labels["labels"].keys() == paths.keys() and len(paths) == 15
    assert all(Path(path).is_absolute() and Path(path).is_file() for path in paths.values())
    named = {Path(paths[key]).name: number for key, number in labels["labels"].items()}
    assert labels["classes"][named["004.png"]] in ("a:", "b/1") and named["005.png"] is None


def test_sizes_are_those_of_the_upright_image(found: Path, tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[274] = 6
    file = found.parent / "images" / "a" / "000.png"
    before = file.read_bytes()
    try:
        Image.new("RGB", (20, 10)).save(file, "JPEG", exif=turned)
        export(ExportSettings(found, tmp_path / "out", "coco"))
    finally:
        file.write_bytes(before)
    images = json.loads((tmp_path / "out" / "coco.json").read_text())["images"]
    assert next((one["width"], one["height"]) for one in images if one["file_name"] == "a/000.png") == (
        10,
        20,
    )


@pytest.mark.parametrize("form", ["folders", "coco"])
def test_a_name_that_is_no_utf8_is_exported(tmp_path: Path, make_images, form: Any) -> None:
    images = tmp_path / "images"
    make_images(images, {"a": 4, "b": 3})
    (images / "b" / "000.png").rename(images / "b" / os.fsdecode(b"k\xe4se.png"))
    (tmp_path / "labels.csv").write_text("path,label\na/000.png,a\n")
    given = {"method": "ss-kmeans", "k": 2, "features": FeatureConfig("pixels", 8)}
    discover(DiscoverSettings(images, tmp_path / "labels.csv", tmp_path / "found", **given))
    export(ExportSettings(tmp_path / "found", tmp_path / "out", form))
    assert not (tmp_path / "out" / failures.FILE).exists()


def test_proposed_names_are_marked_and_never_replace_a_persons(
    found: Path, decided: Path, tmp_path: Path
) -> None:
    b, c = class_of(found, "b/002.png"), class_of(found, "c/002.png")
    (tmp_path / "names.csv").write_text(f"cluster,name\n{b},bee\n{c},sea: blue\n")
    given = {"decisions": decided, "names": tmp_path / "names.csv"}
    export(ExportSettings(found, tmp_path / "out", **given))
    folders = {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()}
    assert folders == {"a_", "b_1", f"{c} (proposed sea_ blue)"}
    export(ExportSettings(found, tmp_path / "coco", "coco", **given))
    last = json.loads((tmp_path / "coco" / "coco.json").read_text())["categories"][-1]
    assert (last["name"], last["named"], last["proposed_name"]) == (c, False, "sea: blue")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class,name\nx,y\n", "needs the columns cluster and name, has class, name"),
        ("cluster,name\nnovel-77,x\n", "line 2: the run has no class 'novel-77'"),
        ("cluster,name\na:,x\na:,y\n", "line 3: a: stands above already"),
        ("cluster,name\na:, \n", "line 2: a: gets no name"),
    ],
)
def test_proposals_that_can_not_be_used_are_refused(
    found: Path, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "names.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        export(ExportSettings(found, tmp_path / "out", names=tmp_path / "names.csv"))
    assert not (tmp_path / "out").exists()


def test_images_that_are_gone_are_listed(found: Path, tmp_path: Path) -> None:
    file = found.parent / "images" / "c" / "003.png"
    kept = file.read_bytes()
    file.unlink()
    try:
        for form in ("folders", "coco", "fiftyone"):
            export(ExportSettings(found, tmp_path / form, form))
            assert [one.file for one in failures.read(tmp_path / form / failures.FILE)] == ["c/003.png"]
    finally:
        file.write_bytes(kept)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no image of the run can be used .first: "):
        export(ExportSettings(found, tmp_path / "none", images=tmp_path / "empty"))
    with pytest.raises(UserError, match="no such folder; say with --images where the run's images are"):
        export(ExportSettings(found, tmp_path / "none", images=tmp_path / "absent"))
    assert not (tmp_path / "none").exists()


def test_an_output_that_exists_is_refused_before_the_run_is_read(found: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("kept")
    with pytest.raises(UserError, match="exists already and is not overwritten"):
        export(ExportSettings(tmp_path / "no-run", tmp_path / "out"))


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("plain name", "plain name"),
        ("a/b\\c:d", "a_b_c_d"),
        ("..", "_"),
        ("", "_"),
        (".hidden", "_.hidden"),
        ("_unlabeled", "__unlabeled"),
        ("CON", "CON_"),
        ("lpt1.x", "lpt1.x_"),
        ("ends. ", "ends"),
        ("tab\there", "tab_here"),
        ("e\u0301", "\u00e9"),
    ],
)
def test_class_names_become_names_of_folders(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_long_names_are_cut_and_equal_ones_numbered() -> None:
    assert len(safe_name("\u00e9" * 300).encode()) == 120
    assert distinct(["x", "X", "x", "x-2", "y.png", "Y.png"]) == [
        "x",
        "X-2",
        "x-3",
        "x-2-2",
        "y.png",
        "Y-2.png",
    ]
    assert file_names(["a/1.png", "b/1.PNG", "b/2.png", "b_2.png"]) == [
        "a_1.png",
        "b_1.PNG",
        "2.png",
        "b_2.png",
    ]
