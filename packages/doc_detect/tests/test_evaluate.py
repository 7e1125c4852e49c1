import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from torchvision.ops import box_iou

from doc_detect.classes import class_index
from doc_detect.coco import CocoPage, read_coco
from doc_detect.config import (
    EvaluateSettings,
    ExportSettings,
    ModelConfig,
    OptimizationConfig,
    StudySettings,
    smoke,
)
from doc_detect.data import read_labelled, to_tensor
from doc_detect.evaluate import (
    Measured,
    OnnxFinder,
    TorchFinder,
    book_weights,
    evaluate,
    find_on_pages,
    measured_labels,
    subset_of,
)
from doc_detect.export import export
from doc_detect.study import study
from doc_detect.train import train
from doc_detect.trained import load_detector, stored_settings
from seminar_common.errors import UserError
from seminar_common.results import Row, read_results
from seminar_common.runs import Run

LABELS = ("graphic", "drop_capital")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, write_toy_pages: Callable[..., Path]) -> Path:
    return write_toy_pages(tmp_path_factory.mktemp("toy") / "data", train=12, val=6, height=192)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A detector that has learned the toy pages a little: its scores are no longer all alike."""
    model = ModelConfig(size=128, head_convs=1, labels=LABELS)
    optimization = OptimizationConfig(steps=24, batch_size=2, sizes=(128,), ema_decay=0.5, warmup=0.1)
    out = tmp_path_factory.mktemp("runs") / "run"
    chosen = dataclasses.replace(
        smoke(),
        data=data,
        out=out,
        model=model,
        optimization=optimization,
        validate_every=24,
        validation_pages=6,
    )
    return train(chosen)


@pytest.fixture(scope="module")
def model(run: Run) -> Path:
    path = run.folder.parent / "model.onnx"
    parity = export(ExportSettings(run=run.folder, out=path))
    assert parity is not None and parity.pages == 6 and abs(parity.ap - parity.ap_onnx) < 0.01
    return path


def test_every_figure_is_there_with_its_interval(run: Run, data: Path, tmp_path: Path) -> None:
    results = evaluate(EvaluateSettings(run=run.folder, data=data, out=tmp_path, resamples=100))
    assert read_results(tmp_path).rows == results.rows
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "report.html"}
    for label in LABELS:
        for metric in ("ap", "ap50", "ap75", "page_ap", "page_f1", "crop_iou"):
            row = results.one(label=label, metric=metric, subset="all")
            assert row.ci_low is not None and row.ci_high is not None
            assert 0 <= row.ci_low <= row.ci_high <= 1 and 0 <= row.value <= 1
            assert (row.model, row.dataset, row.split) == ("source-only", "synthetic", "val")
            assert row.n == 6 and row.seeds == (0,)
        assert results.one(label=label, metric="ap_unfiltered", subset="all").value >= 0
    mean = np.mean([results.one(label=label, metric="ap50", subset="all").value for label in LABELS])
    assert results.one(label=None, metric="ap50", subset="all").value == pytest.approx(mean)
    assert results.one(label=None, metric="ap", subset="manuscript").n == 2
    assert results.one(label=None, metric="ap", subset="printed").n == 4
    assert {curve.split for curve in results.curves} == {"train", "val"}
    report = (tmp_path / "report.html").read_text()
    assert report.count("data:image/jpeg") == 6 and "val-000.png: found" in report


def test_the_log_and_the_evaluation_agree(run: Run, data: Path, tmp_path: Path) -> None:
    results = evaluate(EvaluateSettings(run=run.folder, data=data, out=tmp_path, resamples=100))
    logged = run.logged()[-1]
    assert logged["val_ap"] == pytest.approx(
        results.one(label=None, metric="ap", subset="all").value, abs=1e-6
    )
    assert logged["val_ap50_graphic"] == pytest.approx(
        results.one(label="graphic", metric="ap50", subset="all").value, abs=1e-6
    )


def test_perfect_detections_score_one(data: Path) -> None:
    pages = read_coco(data / "val.json")
    found = [dataclasses.replace(page, scores=np.full(len(page.boxes), 0.9)) for page in pages.pages]
    rows = Measured(pages.pages, found, Row("m", "d", "val", "ap", 0.0), 100, 0).rows(LABELS)
    assert {row.value for row in rows} == {1.0}


def test_onnx_sees_what_torch_sees(run: Run, data: Path, model: Path) -> None:
    pages, detector = read_coco(data / "val.json"), load_detector(run)
    moved = []
    for page in pages.pages[:3]:
        pixels = read_labelled(pages, page, 128)[0].pixels
        ours = TorchFinder(detector, torch.device("cpu")).find(pixels)
        theirs = OnnxFinder(model).find(pixels)
        count = min(3, len(ours[0]), len(theirs[0]))
        assert count
        np.testing.assert_allclose(ours[1][:count], theirs[1][:count], atol=0.01)
        assert (ours[2][:count] == theirs[2][:count]).all()
        fits = box_iou(*(torch.from_numpy(boxes[:count]) for boxes in (ours[0], theirs[0]))).diagonal()
        assert fits.min() > 0.85
        moved += np.abs(ours[0][:count] - theirs[0][:count]).max(axis=1).tolist()
    # A box is a mean of its neighbours, and half-precision weights may move one neighbour across the limit.
    assert sorted(moved)[-2] <= 1.5, "at most one box is off by more"


def test_a_run_from_before_margins_were_cut_off_sees_whole_pages(run: Run, tmp_path: Path) -> None:
    assert stored_settings(run).model.trim
    config = json.loads((run.folder / "config.json").read_text())
    del config["settings"]["model"]["trim"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert not stored_settings(Run(tmp_path)).model.trim


@pytest.mark.parametrize("shape", [(128, 96), (64, 128), (128, 32)])
def test_the_graph_takes_any_size_and_equals_the_network(
    run: Run, model: Path, shape: tuple[int, int]
) -> None:
    import onnxruntime

    detector = load_detector(run)
    image = torch.rand(1, 3, *shape, generator=torch.Generator().manual_seed(0))
    boxes, scores = onnxruntime.InferenceSession(str(model)).run(None, {"image": image.numpy()})
    with torch.no_grad():
        expected_boxes, expected_scores = detector.dense(image)
    assert boxes.shape == expected_boxes[0].shape and scores.shape == (len(boxes), len(LABELS))
    order = np.argsort(-boxes[:, 0]), np.argsort(-expected_boxes[0, :, 0].numpy())
    np.testing.assert_allclose(np.sort(scores.max(1)), expected_scores[0].amax(1).sort().values, atol=0.01)
    np.testing.assert_allclose(boxes[order[0], 0], expected_boxes[0].numpy()[order[1], 0], atol=1.0)


def test_the_file_tells_how_to_use_it_and_where_it_comes_from(model: Path) -> None:
    file = onnx.load(model)
    facts = json.loads(next(entry.value for entry in file.metadata_props if entry.key == "doc_detect"))
    assert facts["labels"] == list(LABELS) and facts["size"] == 128 and facts["pad_multiple"] == 32
    assert {"score_threshold", "nms_iou", "max_detections", "training_pages", "cpu_seconds"} <= set(facts)
    assert "/" not in json.dumps(facts)  # no path of the machine that made it
    assert not [node for node in file.graph.node if node.op_type == "Pad"]
    half = sum(weight.data_type == onnx.TensorProto.FLOAT16 for weight in file.graph.initializer)
    assert half > 60 and model.stat().st_size < 8e6


def test_export_does_not_overwrite(run: Run, model: Path) -> None:
    with pytest.raises(UserError, match="exists already"):
        export(ExportSettings(run=run.folder, out=model))


def test_a_study_measures_what_ships_beside_the_run_and_does_not_look_twice(
    run: Run, data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = StudySettings(
        test=(data / "val.json", data / "train.json"),
        out=tmp_path / "s",
        run=run.folder,
        model=model,
        resamples=100,
    )
    results = study(chosen)
    for engine in ("onnxruntime", "torchvision"):
        for split, n in (("val", 6), ("train", 12), ("all", 18)):
            assert results.one(engine=engine, split=split, metric="ap", label=None, subset="all").n == n
    monkeypatch.setattr(OnnxFinder, "find", None)
    again = study(chosen)
    assert again.rows == results.rows
    with pytest.raises(UserError, match="exists already"):
        study(dataclasses.replace(chosen, out=run.folder))


def test_a_study_finds_the_pictures_in_the_target_folder(
    run: Run, data: Path, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "val.json").write_bytes((data / "val.json").read_bytes())
    chosen = StudySettings(test=(tmp_path / "val.json",), out=tmp_path / "s", model=model, resamples=100)
    with pytest.raises(UserError, match="val-000.png is neither in"):
        study(chosen)
    study(dataclasses.replace(chosen, target=data / "images"))


def test_a_missing_picture_and_a_broken_one_are_named(data: Path, run: Run, tmp_path: Path) -> None:
    document = json.loads((data / "val.json").read_text())
    document["info"]["ink"] = False
    (tmp_path / "val.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match="val-000.png"):
        evaluate(EvaluateSettings(run=run.folder, data=tmp_path / "val.json", out=tmp_path / "o"))
    (tmp_path / "val-000.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="val-000.png: .*lists it"):
        evaluate(EvaluateSettings(run=run.folder, data=tmp_path / "val.json", out=tmp_path / "o"))
    assert not (tmp_path / "o").exists()


class Everything:
    """Finds one object that fills what it is shown."""

    size = 64

    def __init__(self, trim: bool):
        self.trim = trim

    def find(self, pixels: np.ndarray):
        """Return it."""
        assert max(pixels.shape) <= 64
        box = np.array([[0, 0, pixels.shape[1], pixels.shape[0]]], float)
        return box, np.array([0.5]), np.array([0])


def test_boxes_are_scaled_from_reduced_pixels_to_the_page(data: Path) -> None:
    pages = dataclasses.replace(read_coco(data / "val.json"), facts={"ink": False})
    for truth, found in find_on_pages(Everything(trim=False), pages, 2):
        np.testing.assert_allclose(found.boxes, [[0, 0, truth.width, truth.height]])


def test_boxes_on_a_trimmed_page_lie_where_its_content_is(data: Path, tmp_path: Path) -> None:
    film = np.full((400, 300), 255, np.uint8)
    film[220:340, 30:130] = np.random.default_rng(0).integers(0, 2, (24, 20)).repeat(5, 0).repeat(5, 1) * 255
    cv2.imwrite(str(tmp_path / "film.png"), film)
    pages = read_coco(data / "val.json")
    page = dataclasses.replace(pages.pages[0], file_name="film.png", width=300, height=400)
    pages = dataclasses.replace(
        pages, path=tmp_path / "val.json", pages=(page,), facts={"ink": False}, images=None
    )
    ((_, found),) = find_on_pages(Everything(trim=True), pages)
    np.testing.assert_allclose(found.boxes, [[30, 220, 130, 340]], atol=25)


def page(**facts: str) -> CocoPage:
    return CocoPage("a.jpg", 9, 9, np.zeros((0, 4)), np.zeros(0, np.int64), None, facts)


@pytest.mark.parametrize(
    "facts,subset",
    [
        ({"century": "MSS-15e-Siecle"}, "manuscript"),
        ({"century": "imprime-16e-siecle"}, "printed"),
        ({"kind": "manuscript"}, "manuscript"),
        ({"kind": "catalogue"}, None),
        ({"subset": "microfilm"}, "microfilm"),
        ({}, None),
    ],
)
def test_subsets(facts: dict[str, str], subset: str | None) -> None:
    assert subset_of(page(**facts)) == subset


def test_books_are_drawn_whole() -> None:
    pages = [page(book="a"), page(book="b"), page(book="a"), page(book="c")]
    weights = book_weights(pages, 200, 0)
    assert weights.shape == (201, 4) and (weights[0] == 1).all()
    assert (weights[:, 0] == weights[:, 2]).all() and (weights[1:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert len(np.unique(weights[:, 0])) > 2


def test_only_classes_that_are_known_labelled_and_there_are_measured(data: Path) -> None:
    pages = read_coco(data / "val.json")
    assert measured_labels(pages.pages, pages, ("drop_capital", "graphic", "table")) == [
        "drop_capital",
        "graphic",
    ]
    fewer = dataclasses.replace(pages, labelled=frozenset({"graphic"}))
    assert measured_labels(pages.pages, fewer, ("drop_capital", "graphic")) == ["graphic"]
    assert class_index("graphic") == 0 and to_tensor(np.zeros((2, 3, 3), np.uint8)).shape == (3, 2, 3)
