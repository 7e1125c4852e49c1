import pytest

pytest.importorskip("torch")
import numpy as np

from doc_detect.classes import CLASSES
from doc_detect.coco import CocoPage
from doc_detect.figures.detection_report import missed, telling_pages

GRAPHIC, STAMP = CLASSES.index("graphic"), CLASSES.index("stamp")
BOX = (10.0, 10.0, 60.0, 60.0)


def page(*objects, scores=None) -> CocoPage:
    boxes = np.array([box for box, _ in objects], float).reshape(-1, 4)
    labels = np.array([label for _, label in objects], int)
    return CocoPage("page.jpg", 100, 100, boxes, labels, scores=None if scores is None else np.array(scores))


def test_an_object_is_missed_without_a_sure_find_of_its_class_that_fits() -> None:
    truth = page((BOX, GRAPHIC), ((70.0, 70.0, 90.0, 90.0), STAMP))
    assert missed(truth, page((BOX, GRAPHIC), scores=[0.9])) == ["stamp"]
    assert missed(truth, page((BOX, GRAPHIC), scores=[0.4])) == ["graphic", "stamp"]  # not sure
    assert missed(truth, page((BOX, STAMP), scores=[0.9])) == ["graphic", "stamp"]  # another class
    assert missed(page(), page((BOX, STAMP), scores=[0.9])) == []


def test_pages_with_most_missed_are_among_those_shown() -> None:
    truth = [page((BOX, GRAPHIC)) for _ in range(40)]
    found = [page((BOX, GRAPHIC), scores=[0.9]) for _ in range(40)]
    found[17] = found[18] = page(scores=np.zeros(0))
    shown = telling_pages(truth, found, 6)
    assert len(shown) == 6 and shown == sorted(shown) and {17, 18} <= set(shown)
    assert telling_pages([page()], [page(scores=np.zeros(0))]) == []
