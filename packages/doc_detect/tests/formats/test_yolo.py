"""YOLO data sets as LADaS, Roboflow, Ultralytics and Label Studio lay them out."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from doc_detect.classes import IGNORE
from doc_detect.coco import Reading, read_coco
from doc_detect.convert import main
from doc_detect.formats.forms import of_split, read_any, read_pages
from doc_detect.settings.job import ConvertSettings
from seminar_common.errors import UserError

NAMES = ["GraphicZone", "MainZone-P", "Advert block"]


def page(folder: Path, name: str, lines: str | None) -> None:
    """Write an image of 100 x 200 pixels, and its labels where it has a file of them."""
    image = folder / name
    image.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (100, 200)).save(image)
    if lines is not None:
        labels = folder / name.replace("images/", "labels/").replace(".png", ".txt")
        labels.parent.mkdir(parents=True, exist_ok=True)
        labels.write_text(lines)


def description(folder: Path, **entries: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "data.yaml"
    path.write_text(yaml.safe_dump({"names": NAMES, **entries}))
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "ladas"
    page(folder, "images/train/a.png", "0 0.5 0.5 0.2 0.1\n1 .1 .2 .3 .2 .2 .4\n")
    page(folder, "images/train/blank.png", None)
    page(folder, "images/val/b.png", "0 0.5 0.5 0.2 0.1 0.75\n")
    return folder


@pytest.mark.parametrize(
    "names", [NAMES, dict(enumerate(NAMES)), {str(i): name for i, name in enumerate(NAMES)}]
)
@pytest.mark.parametrize("given", ["file", "folder"])
def test_lines_become_boxes_and_folders_splits(given: str, names: object, data: Path) -> None:
    path = description(data, names=names, train="images/train", val="images/val")
    found = read_any(path if given == "file" else data)
    assert found.labelled == {"graphic", "main_text"}
    assert [(x.name, x.width, x.height, dict(x.facts)) for x in found.pages] == [
        ("images/train/a.png", 100, 200, {"split": "train"}),
        ("images/train/blank.png", 100, 200, {"split": "train"}),
        ("images/val/b.png", 100, 200, {"split": "val"}),
    ]
    first, blank, last = found.pages
    assert [region.label for region in first.regions] == ["graphic", "main_text"] and blank.regions == ()
    np.testing.assert_allclose(
        [region.xyxy for region in first.regions], [(40, 90, 60, 110), (10, 40, 30, 80)]
    )
    assert last.regions[0].score == 0.75 and first.regions[0].score is None


@pytest.mark.parametrize(
    "entries",
    [
        {"train": ["images/train"], "val": "images/val"},
        {"path": "/on/another/machine", "train": "images/train", "val": "images/val"},
        {"path": ".", "train": "../images/train", "val": "images\\val"},
        {"train": "train.txt", "val": "images/val"},
    ],
)
def test_places_may_be_lists_files_and_other_machines(entries: dict[str, object], data: Path) -> None:
    (data / "train.txt").write_text("./images/train/a.png\nimages/train/blank.png\n")
    found = read_any(description(data, **entries))
    assert [x.name for x in found.pages] == [
        "images/train/a.png",
        "images/train/blank.png",
        "images/val/b.png",
    ]


def test_a_folder_of_each_split_as_roboflow_has_it(tmp_path: Path) -> None:
    page(tmp_path / "set", "train/images/a.png", "0 .5 .5 .5 .5")
    page(tmp_path / "set", "valid/images/b.png", "0 .5 .5 .5 .5")
    found = read_any(description(tmp_path / "set", train="../train/images", val="../valid/images"))
    assert [(x.name, len(x.regions)) for x in found.pages] == [
        ("train/images/a.png", 1),
        ("valid/images/b.png", 1),
    ]


def test_a_set_of_collections_with_places_of_another_machine_as_ladas_has_it(tmp_path: Path) -> None:
    for collection in ("books", "reports"):
        page(tmp_path / "set", f"{collection}/train/images/{collection}.png", "0 .5 .5 .5 .5")
    path = description(
        tmp_path / "set", train="/home/somebody/../else/train/images", val="/home/somebody/valid/images"
    )
    assert [x.name for x in read_any(path).pages] == [
        "books/train/images/books.png",
        "reports/train/images/reports.png",
    ]


def test_images_may_be_links_to_where_they_are(data: Path, tmp_path: Path) -> None:
    (data / "images" / "val").rename(tmp_path / "scans")
    (data / "images" / "val").symlink_to(tmp_path / "scans")
    found = read_any(description(data, train="images/train", val="images"))
    assert [(x.name, len(x.regions)) for x in found.pages][-1] == ("images/val/b.png", 1)


def test_an_export_with_classes_txt_and_no_description(tmp_path: Path) -> None:
    page(tmp_path / "set", "images/a.png", "1 .5 .5 .5 .5")
    (tmp_path / "set" / "classes.txt").write_text("figure\ntable\n")
    found = read_any(tmp_path / "set")
    assert found.labelled == {"graphic", "table"} and found.pages[0].regions[0].label == "table"


def test_what_can_not_be_used_is_a_failure(data: Path) -> None:
    page(data, "images/train/a.png", "0 .5 .5 .5 .5\n7 .5 .5 .5 .5\n0 .5 .5\n0 x .5 .5 .5\n2 .5 .5 .1 .1\n")
    (data / "labels" / "train" / "gone.txt").write_text("0 .5 .5 .5 .5\n")
    reading = Reading()
    found = read_any(description(data, train="images/train"), reading)
    assert [[region.label for region in x.regions] for x in found.pages] == [["graphic", IGNORE], []]
    assert [failure.reason.split(":")[0] for failure in reading.failures] == [
        "line 2",
        "line 3",
        "line 4",
        "no image that can be read, and places in its labels are shares of its size",
    ]
    assert reading.names.ignored == {"Advert block": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: images", "has no 'names'"),
        ("names: []\ntrain: images", "has no 'names'"),
        ("names: [figure]", "neither train, val nor test"),
        ("names: [figure]\ntrain: nowhere", "neither the images nor the labels"),
        ("- a", "not a description of a YOLO data set"),
        ("names: [", "not YAML"),
    ],
)
def test_a_broken_description_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        read_any(tmp_path / "data.yaml")
    assert "\n" not in str(caught.value)


def test_what_is_written_trains_a_yolo(data: Path, tmp_path: Path) -> None:
    """Ultralytics finds labels by putting ``labels`` for the last ``images``; so this test does, too."""
    given = description(data, train="images/train", val="images/val")
    main(ConvertSettings(input=given, to="yolo", out=tmp_path / "out"))
    document = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())
    assert document == {"train": "train.txt", "val": "val.txt", "names": {0: "graphic", 1: "main_text"}}
    (line, blank) = (tmp_path / "out" / "train.txt").read_text().splitlines()
    assert (line, blank) == ("./images/train/a.png", "./images/train/blank.png")
    labels = tmp_path / "out" / "labels/train/a.txt"
    numbers = [[float(number) for number in row.split()] for row in labels.read_text().splitlines()]
    np.testing.assert_allclose(numbers, [[0, 0.5, 0.5, 0.2, 0.1], [1, 0.2, 0.3, 0.2, 0.2]])


def test_pages_whose_names_differ_in_their_suffix_have_labels_each(tmp_path: Path) -> None:
    main_file = tmp_path / "a.json"
    images = [
        {"id": i, "file_name": f"a.{end}", "width": 9, "height": 9} for i, end in enumerate(("jpg", "png"))
    ]
    main_file.write_text(
        json.dumps({"images": images, "annotations": [], "categories": [{"id": 1, "name": "figure"}]})
    )
    main(ConvertSettings(input=main_file, to="yolo", out=tmp_path / "out"))
    assert sorted(path.name for path in (tmp_path / "out" / "labels").iterdir()) == ["a.jpg.txt", "a.png.txt"]
    assert [x.name for x in read_any(tmp_path / "out").pages] == ["a.jpg", "a.png"]


def test_a_divided_set_gives_the_split_that_is_asked_for_and_finds_its_images(data: Path) -> None:
    pages = read_pages(description(data, train="images/train", val="images/val"), Reading())
    held_out = of_split(pages, "test", "val")
    assert [x.file_name for x in held_out.pages] == ["images/val/b.png"] and held_out.name == "ladas"
    assert held_out.image_path(held_out.pages[0]) == data / "images/val/b.png"
    assert held_out.fingerprint not in ("", pages.fingerprint)
    assert of_split(pages, "never") is pages


def test_a_set_becomes_coco_with_its_labelled_classes_alone(data: Path, tmp_path: Path) -> None:
    given = description(data, train="images/train", val="images/val")
    main(ConvertSettings(input=given, to="coco", out=data / "all.json"))
    found = read_coco(data / "all.json")
    assert found.labelled == {"graphic", "main_text"} and found.image_path(found.pages[0]).is_file()
