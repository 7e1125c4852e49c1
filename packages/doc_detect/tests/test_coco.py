import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doc_detect.classes import CLASSES, class_index
from doc_detect.coco import IGNORED, CocoPage, read_coco, write_coco
from seminar_common.errors import UserError


def document(boxes: list[list[float]], **changes: Any) -> dict[str, Any]:
    return {
        "images": [{"id": 7, "file_name": "Bühne.jpg", "width": 100, "height": 200, "book": "b1"}],
        "annotations": [
            {"id": i, "image_id": 7, "category_id": 3, "bbox": box} for i, box in enumerate(boxes, 1)
        ],
        "categories": [{"id": 3, "name": "graphic"}, {"id": 4, "name": "main_text"}],
        **changes,
    }


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_boxes_become_corners_and_names_become_ours(tmp_path: Path) -> None:
    coco = read_coco(write(tmp_path / "a.json", document([[10, 20, 30, 40]])))
    (page,) = coco.pages
    assert page.file_name == "Bühne.jpg" and (page.width, page.height) == (100, 200)
    np.testing.assert_array_equal(page.boxes, [[10, 20, 40, 60]])
    assert page.labels.tolist() == [class_index("graphic")] and page.scores is None
    assert page.facts == {"book": "b1"} and coco.labelled == {"graphic", "main_text"}
    assert coco.name == tmp_path.name


def test_names_of_other_sets_are_mapped_and_unknown_ones_are_ignored(tmp_path: Path) -> None:
    content = document([[1, 1, 5, 5]], categories=[{"id": 3, "name": "MainZone:column#1"}])
    content["categories"] += [{"id": 5, "name": "GraphicZone"}, {"id": 6, "name": "DamageZone"}]
    content["annotations"] += [{"id": 9, "image_id": 7, "category_id": 6, "bbox": [0, 0, 9, 9]}]
    coco = read_coco(write(tmp_path / "a.json", content))
    assert coco.pages[0].labels.tolist() == [class_index("main_text"), IGNORED]
    assert coco.labelled == {"main_text", "graphic"}


def test_crowds_are_ignored(tmp_path: Path) -> None:
    content = document([[1, 1, 5, 5]])
    content["annotations"][0]["iscrowd"] = 1
    assert read_coco(write(tmp_path / "a.json", content)).pages[0].labels.tolist() == [IGNORED]


def test_boxes_that_leave_the_page_are_cut_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "a.json", document([[-10, 20, 30, 40], [5, 5, 6, 6], [50, 100, 50.5, 100.5]]))
    np.testing.assert_array_equal(
        read_coco(path).pages[0].boxes, [[0, 20, 20, 60], [5, 5, 11, 11], [50, 100, 100, 200]]
    )
    said = capsys.readouterr().err
    assert "1 of 3 boxes leave their page" in said  # half a pixel is rounding, not worth a word
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ([1, 2, 0, 4], "has no area"),
        ([50, 50, -20, 10], "has no area"),
        ([150, 20, 10, 10], r"lies outside the page (Bühne.jpg, 100 x 200)"),
    ],
)
def test_a_box_that_is_nowhere_is_left_out_and_said(
    box: list[float], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (page,) = read_coco(write(tmp_path / "a.json", document([[1, 1, 5, 5], box, [2, 2, 5, 5]]))).pages
    np.testing.assert_array_equal(page.boxes, [[1, 1, 6, 6], [2, 2, 7, 7]])
    (said,) = capsys.readouterr().err.splitlines()
    assert "left out: 1; the first is in" in said and reason in said and "annotation 2" in said


ANNOTATION = {"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 1, 5, 5]}
BAD = {
    "a list": ([1], "not a COCO file"),
    "no images": ({"annotations": [], "categories": []}, "has no list 'images'"),
    "annotations is null": (document([], annotations=None), "has no list 'annotations'"),
    "an image without width": (
        document([], images=[{"id": 7, "file_name": "a.jpg", "height": 3}]),
        r"image 0 \(id 7\) has no 'width'",
    ),
    "an image that is a number": (document([], images=[3]), "image 0 is not an object"),
    "a width of zero": (
        document([], images=[{"id": 7, "file_name": "a.jpg", "width": 0, "height": 3}]),
        "image a.jpg: width 0 is no size",
    ),
    "an image id twice": (
        document([], images=[{"id": 7, "file_name": f"{n}.jpg", "width": 9, "height": 3} for n in "ab"]),
        "the image id 7 is there more than once",
    ),
    "a file name twice": (
        document([], images=[{"id": n, "file_name": "a.jpg", "width": 9, "height": 3} for n in (1, 2)]),
        "the image file_name id a.jpg is there more than once",
    ),
    "an annotation id twice": (
        document([], annotations=[ANNOTATION, ANNOTATION]),
        "the annotation id 1 is there more than once",
    ),
    "a category id twice": (
        document([], categories=[{"id": 3, "name": "graphic"}, {"id": 3, "name": "table"}]),
        "the category id 3 is there more than once",
    ),
    "an annotation without bbox": (
        document([], annotations=[{"id": 4, "image_id": 7, "category_id": 3}]),
        "annotation 4 has neither a 'bbox' nor a 'segmentation'",
    ),
    "an unknown image": (
        document([], annotations=[{**ANNOTATION, "image_id": 8}]),
        "annotation 1: there is no image with the id 8",
    ),
    "an unknown category": (
        document([], annotations=[{**ANNOTATION, "category_id": 8}]),
        "annotation 1: there is no category with the id 8",
    ),
    "three numbers": (document([[1, 2, 3]]), "is not four finite numbers"),
    "not a number": (document([[1, 2, 3, float("nan")]]), "is not four finite numbers"),
    "text": (document([[1, 2, 3, "4"]]), "is not four finite numbers"),
    "corners": (
        document([[60, 120, 90, 180], [10, 10, 50, 60], [40, 150, 95, 195]]),
        "looks like x1, y1, x2, y2",
    ),
    "no known name": (
        document([], categories=[{"id": 3, "name": "cat"}]),
        "the names cat: none is known; map them with --map NAME=CLASS",
    ),
}


@pytest.mark.parametrize("content,message", BAD.values(), ids=BAD)
def test_a_bad_file_is_refused_in_one_line(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read_coco(write(tmp_path / "a.json", content))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "\ufeff"])
def test_a_file_that_is_no_json_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="broken.json"):
        read_coco(path)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    pages = []
    for number in range(5):
        corners = np.sort(generator.uniform(0, 100, (number, 2, 2)), axis=1).reshape(-1, 4)
        corners[:, 2:] += 1
        labels = generator.integers(-1, len(CLASSES), number)
        scores = generator.random(number)
        pages.append(CocoPage(f"é/{number}.png", 120, 110, corners, labels, scores, {"book": number}))
    write_coco(tmp_path / "out.json", pages, {"name": "mine"})
    coco = read_coco(tmp_path / "out.json")
    assert coco.name == "mine"
    for ours, theirs in zip(pages, coco.pages, strict=True):
        assert ours.file_name == theirs.file_name and dict(ours.facts) == dict(theirs.facts)
        np.testing.assert_allclose(ours.boxes, theirs.boxes, atol=0.02)
        np.testing.assert_array_equal(ours.labels, theirs.labels)
        if len(ours.boxes):
            np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-5)


def test_pictures_are_found_beside_the_file_or_in_images(tmp_path: Path) -> None:
    coco = read_coco(write(tmp_path / "a.json", document([])))
    with pytest.raises(UserError, match="Bühne.jpg is neither in .*images nor beside it"):
        coco.image_path(coco.pages[0])
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "Bühne.jpg").touch()
    assert coco.image_path(coco.pages[0]) == tmp_path / "images" / "Bühne.jpg"
    (tmp_path / "Bühne.jpg").touch()
    assert coco.image_path(coco.pages[0]) == tmp_path / "Bühne.jpg"


def test_a_file_may_have_scores_on_some_of_its_objects(tmp_path: Path) -> None:
    content = document([[1, 1, 5, 5], [2, 2, 5, 5]])
    content["annotations"][0]["score"] = 0.5
    (page,) = read_coco(write(tmp_path / "a.json", content)).pages
    np.testing.assert_array_equal(page.scores, [0.5, np.nan])
    write_coco(tmp_path / "b.json", [page], labelled=["graphic"])
    written = json.loads((tmp_path / "b.json").read_text())
    assert [entry.get("score") for entry in written["annotations"]] == [0.5, None]
    assert [entry["name"] for entry in written["categories"]] == ["graphic", "ignore"]
