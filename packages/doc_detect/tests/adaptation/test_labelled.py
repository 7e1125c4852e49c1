"""A few pages with boxes: first the margin is learned from them, then the weights."""

import pytest

pytest.importorskip("torch")

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from doc_detect.adapt import FACTS, adapt
from doc_detect.adaptation.labelled import on_ink, open_labelled
from doc_detect.adaptation.target import TargetPage
from doc_detect.classes import class_index
from doc_detect.coco import IGNORED, CocoPage, CocoSet, read_coco, write_coco
from doc_detect.detectors.onnx import OnnxDetector
from doc_detect.detectors.scoring import read_scoring, widened
from doc_detect.detectors.trained import load_detector
from doc_detect.settings.adaptation import AdaptSettings, SelfTrainingConfig, smoke
from doc_detect.settings.training import OptimizationConfig
from seminar_common.errors import UserError
from seminar_common.runs import Run
from seminar_common.work import WorkConfig

LABELS = ("graphic", "drop_capital")
WIDER = 0.03


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, write_toy_pages: Callable[..., Path]) -> Path:
    return write_toy_pages(tmp_path_factory.mktemp("toy") / "data", train=28, val=6, height=192)


@pytest.fixture(scope="module")
def source(toy_source: Path) -> Run:
    return Run(toy_source)


def boxed(data: Path, count: int, wider: float = 0.0) -> Path:
    """Return the first toy pages as scans on which a person drew boxes, wider by a share of the page's height."""
    pages = []
    for page in read_coco(data / "train.json").pages[:count]:
        shares = np.full(99, wider)
        boxes = widened(page.boxes, page.labels, shares, page.height, (page.width, page.height))
        pages.append(dataclasses.replace(page, boxes=boxes))
    path = data / f"boxed-{count}-{wider}.json"
    write_coco(path, pages, {"name": "boxed"}, LABELS)
    return path


def settings(source: Run, data: Path, out: Path, **changes) -> AdaptSettings:
    slow = {"learning_rate": 1e-4, "backbone_learning_rate": 1e-4}
    chosen = dataclasses.replace(
        smoke(),
        run=source.folder,
        target=(data / "images",),
        out=out,
        pages=10,
        optimization=OptimizationConfig(steps=3, batch_size=2, sizes=(128,), ema_decay=0.5, **slow),
        self_training=SelfTrainingConfig(sure=0.2, doubt=0.1, fewest=1),
        page_timeout=0.0,
        work=WorkConfig(workers=1),
    )
    return dataclasses.replace(chosen, **changes)


def facts_of(run: Run) -> dict:
    return json.loads((run.folder / FACTS).read_text())


def test_from_five_pages_the_margin_is_learned_and_nothing_else(
    source: Run, data: Path, tmp_path: Path, without_reports
) -> None:
    plain, wider = (
        adapt(settings(source, data, tmp_path / f"{share}", labelled=boxed(data, 8, share)))
        for share in (0.0, WIDER)
    )
    ours, theirs = read_scoring(wider.folder).margin, read_scoring(plain.folder).margin
    assert set(ours) == set(LABELS)
    assert max(ours.values()) > max(theirs.values()) + 0.5 * WIDER
    assert OnnxDetector(wider.folder / "adapted.onnx").scoring.margin == ours == facts_of(wider)["margin"]
    assert facts_of(wider)["labelled_pages"] == 8 and not facts_of(wider)["trained_on_labelled"]
    for one, other in zip(*(load_detector(run).parameters() for run in (plain, wider)), strict=True):
        assert torch.equal(one, other)


def test_from_25_pages_the_weights_are_learned_too(
    source: Run, data: Path, tmp_path: Path, without_files
) -> None:
    chosen = settings(source, data, tmp_path / "run", labelled=boxed(data, 26, WIDER), labelled_share=1.0)
    run = adapt(chosen)
    facts = facts_of(run)
    assert facts["trained_on_labelled"] and facts["labelled_pages"] == 26
    alone = dataclasses.replace(
        chosen, out=tmp_path / "alone", self_training=SelfTrainingConfig(sure=0.99, doubt=0.98)
    )
    taught = adapt(alone)  # nothing is sure, but there are labels
    assert [r["loss"] for r in taught.logged() if "loss" in r] == [
        r["loss"] for r in run.logged() if "loss" in r
    ]
    assert facts_of(taught)["steps"] == 3


def test_boxes_of_things_that_the_detector_never_finds_leave_the_margin_as_it_is(
    source: Run, data: Path, tmp_path: Path, without_files, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = [
        dataclasses.replace(page, boxes=np.array([[0.0, 0, 2, 2]]), labels=np.array([class_index("graphic")]))
        for page in read_coco(data / "train.json").pages[:26]
    ]
    write_coco(data / "odd.json", pages, {"name": "odd"}, LABELS)
    run = adapt(settings(source, data, tmp_path / "run", labelled=data / "odd.json"))
    assert facts_of(run)["margin"] == {} and facts_of(run)["trained_on_labelled"]
    assert "no margin could be fitted" in capsys.readouterr().err


def test_a_run_is_not_resumed_with_other_boxes(source: Run, data: Path, tmp_path: Path) -> None:
    file = boxed(data, 7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("doc_detect.adapt.judge", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            adapt(settings(source, data, tmp_path / "run", labelled=file))
    file.write_text(boxed(data, 9).read_text())
    with pytest.raises(UserError, match="another labelled pages .* bring back the pages"):
        adapt(dataclasses.replace(smoke(), resume=tmp_path / "run"))


def test_boxes_are_taken_back_to_the_ink_in_the_pages_own_pixels(tmp_path: Path) -> None:
    """The file was written for pages of half the size, and a margin of the scan is not looked at."""
    cv2.imwrite(str(tmp_path / "a.png"), np.full((200, 100, 3), 200, np.uint8))
    drawn = np.array([[20.0, 30, 60, 90], [10.0, 10, 14, 12], [60, 60, 90, 90]])
    labels = np.array([class_index("graphic"), class_index("drop_capital"), IGNORED])
    truth = CocoPage("a.png", 150, 200, drawn, labels)
    page = TargetPage("a.png", tmp_path / "a.png", 300, 400, (0.0, 0.0, 200.0, 400.0))
    pages = CocoSet(tmp_path / "a.json", (truth,), frozenset({"graphic", "drop_capital"}))
    (made,) = on_ink(pages, [page], ("stamp", *LABELS), {"graphic": 0.01, "drop_capital": 0.01})
    expected = [[44, 64, 116, 176], [22, 21, 26, 23], [120, 120, 180, 180]]  # at most a quarter of a side
    np.testing.assert_allclose(made.truth.boxes, expected)
    assert made.unlabelled == ("stamp",)
    pixels, marks = made.marks(("stamp", *LABELS))
    assert pixels.shape == (200, 100, 3) and marks.labels.tolist() == [1, 2]
    np.testing.assert_allclose(marks.boxes[0], np.array(expected[0]) / 2)
    np.testing.assert_allclose(marks.unknown, [[60, 60, 90, 90]])


def test_too_few_or_unfit_pages_are_refused(source: Run, data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="4 pages with one of graphic, drop_capital; 5 or more are needed"):
        adapt(settings(source, data, tmp_path / "run", labelled=boxed(data, 4)))
    with pytest.raises(UserError, match="is ink that `synth --ink` drew"):
        open_labelled(data / "train.json", (), LABELS)
    with pytest.raises(UserError, match="--map: goes with --labelled"):
        dataclasses.replace(smoke(), map=("a=graphic",))
    target = (data / "boxed-8-0.0.json",)
    with pytest.raises(
        UserError, match="0 pages that can be read and are not among the labelled ones; 5 or more"
    ):
        adapt(settings(source, data, tmp_path / "run", target=target, labelled=boxed(data, 8)))
    assert not (tmp_path / "run").exists()
