import pytest

pytest.importorskip("torch")

import dataclasses
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import onnx
import torch
from torchvision.ops import box_iou

from doc_detect.classes import class_index
from doc_detect.coco import read_coco
from doc_detect.detectors.detections import Detections
from doc_detect.detectors.onnx import OnnxDetector, to_page
from doc_detect.detectors.tensors import to_tensor
from doc_detect.detectors.torch import open_torch
from doc_detect.detectors.trained import load_detector
from doc_detect.evaluate import evaluate
from doc_detect.export import export
from doc_detect.figures.findings import find_on_pages, measured_labels
from doc_detect.figures.measured import Measured
from doc_detect.pages import Page
from doc_detect.predict import predict
from doc_detect.predictions import open_predictions
from doc_detect.settings.job import PredictSettings
from doc_detect.settings.training import EvaluateSettings, ExportSettings, StudySettings
from doc_detect.study import study
from doc_detect.training.pages import read_labelled
from seminar_common.errors import UserError
from seminar_common.results import Row, read_results
from seminar_common.runs import Run
from seminar_common.work import WorkConfig

LABELS = ("graphic", "drop_capital")


@pytest.fixture(scope="module")
def data(toy_pages: Path) -> Path:
    return toy_pages


@pytest.fixture(scope="module")
def scans(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pages, taken for finished scans."""
    folder = shutil.copytree(data, tmp_path_factory.mktemp("toy") / "scans")
    for name in ("train.json", "val.json"):
        document = json.loads((folder / name).read_text())
        document["info"]["ink"] = False
        (folder / name).write_text(json.dumps(document))
    return folder


@pytest.fixture(scope="module")
def run(toy_source: Path) -> Run:
    return Run(toy_source)


@pytest.fixture(scope="module")
def model(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    parity = export(ExportSettings(run=run.folder, out=path))
    assert parity is not None and parity.pages == 6 and abs(parity.ap - parity.ap_onnx) < 0.01
    return path


def test_every_figure_is_there_with_its_interval_and_agrees_with_the_log(
    run: Run, data: Path, tmp_path: Path
) -> None:
    results = evaluate(EvaluateSettings(run=run.folder, data=data, out=tmp_path, resamples=100))
    assert read_results(tmp_path).rows == results.rows
    assert {path.name for path in tmp_path.iterdir()} == {
        "results.json",
        "report.html",
        "environment.json",
        "pictures",
    }
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
    pages, engines = read_coco(data / "val.json"), (open_torch(run.folder), OnnxDetector(model))
    moved = []
    for page in pages.pages[:3]:
        seen = read_labelled(pages, page, 128)[0]
        ours, theirs = (engine.detect(seen) for engine in engines)
        count = min(3, len(ours.boxes), len(theirs.boxes))
        assert count
        np.testing.assert_allclose(ours.scores[:count], theirs.scores[:count], atol=0.01)
        assert (ours.labels[:count] == theirs.labels[:count]).all()
        fits = box_iou(*(torch.from_numpy(found.boxes[:count]) for found in (ours, theirs))).diagonal()
        assert fits.min() > 0.85
        moved += np.abs(ours.boxes[:count] - theirs.boxes[:count]).max(axis=1).tolist()
    # A box is a mean of its neighbours, and half-precision weights may move one neighbour across the limit.
    assert sorted(moved)[-2] <= 1.5, "at most one box is off by more"


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_a_higher_score_leaves_detections_out_and_moves_none(
    engine: str, run: Run, data: Path, model: Path, tmp_path: Path
) -> None:
    """Boxes are means of their neighbours, so a threshold must not choose which neighbours have a vote."""
    pages, scans = read_coco(data / "val.json"), tmp_path / "scans"
    scans.mkdir()
    for page in pages.pages:
        pixels = read_labelled(pages, page, 192)[0].pixels
        cv2.imwrite(str(scans / page.file_name), pixels[..., ::-1])
    source = {"run": run.folder} if engine == "torch" else {"model": model}

    def boxes(name: str, min_score: float) -> dict[str, tuple]:
        given = PredictSettings((scans,), tmp_path / name, min_score=min_score, page_timeout=0.0, **source)
        predict(dataclasses.replace(given, work=WorkConfig(1)))
        return {page.name: page.boxes for page in open_predictions(tmp_path / name)}

    every = boxes("every", 0.0)
    scores = sorted(box.score for found in every.values() for box in found)
    least = scores[len(scores) // 2]
    assert scores[0] < least and len(scores) > 10
    assert boxes("sure", least) == {
        name: tuple(box for box in found if box.score >= least) for name, found in every.items()
    }


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


def test_a_file_that_answers_otherwise_than_pytorch_is_not_kept(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_boxes(self: OnnxDetector, page: Page) -> Detections:
        return Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int))

    monkeypatch.setattr(OnnxDetector, "detect", without_boxes)
    with pytest.raises(UserError, match=r"model.onnx: not written, since its AP differs"):
        export(ExportSettings(run=run.folder, out=tmp_path / "model.onnx"))
    assert not list(tmp_path.iterdir())


def test_export_does_not_overwrite(run: Run, model: Path) -> None:
    with pytest.raises(UserError, match="exists already"):
        export(ExportSettings(run=run.folder, out=model))


def test_a_study_measures_what_ships_beside_the_run_and_does_not_look_twice(
    run: Run, scans: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = StudySettings(
        test=(scans / "val.json", scans / "train.json"),
        out=tmp_path / "s",
        run=run.folder,
        model=model,
        resamples=100,
    )
    results = study(chosen)
    for engine in ("onnxruntime", "torchvision"):
        for split, n in (("val", 6), ("train", 28), ("all", 34)):
            assert results.one(engine=engine, split=split, metric="ap", label=None, subset="all").n == n
    with monkeypatch.context() as patch:
        patch.setattr(OnnxDetector, "detect", None)
        patch.setattr("seminar_common.publish.html_page", lambda *args: "")
        assert study(chosen).rows == results.rows
    with pytest.raises(UserError, match="exists already"):
        study(dataclasses.replace(chosen, out=run.folder))


@pytest.mark.parametrize("what", ["code", "weights_file", "configuration"])
def test_a_study_looks_anew_with_another_detector_and_says_why(
    what: str,
    scans: Path,
    model: Path,
    tmp_path: Path,
    without_reports,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    chosen = StudySettings(test=(scans / "val.json",), out=tmp_path / "s", model=model, resamples=100)
    study(chosen)
    facts, looked = OnnxDetector.identity, []
    monkeypatch.setattr(OnnxDetector, "identity", lambda self: {**facts(self), what: "of another version"})
    real = OnnxDetector.detect

    def counted(self: OnnxDetector, page: Page) -> Detections:
        looked.append(page)
        return real(self, page)

    monkeypatch.setattr(OnnxDetector, "detect", counted)
    study(chosen)
    assert len(looked) == 6
    if what == "code":
        assert "was computed from another code" in capsys.readouterr().err
    study(chosen)
    assert len(looked) == 6, "what was found anew is kept"


def test_a_study_looks_anew_at_other_pictures_of_the_same_names(
    scans: Path, model: Path, tmp_path: Path, without_reports, capsys: pytest.CaptureFixture
) -> None:
    shutil.copytree(scans, tmp_path / "data")
    chosen = StudySettings(
        test=(tmp_path / "data" / "val.json",), out=tmp_path / "s", model=model, resamples=100
    )
    study(chosen)
    (stored,) = (tmp_path / "s" / "found").iterdir()
    before = stored.read_bytes()
    picture = tmp_path / "data" / "images" / "val-000.png"
    cv2.imwrite(str(picture), 255 - cv2.imread(str(picture)))
    study(chosen)
    assert (
        "was computed from another set of pictures" in capsys.readouterr().err
        and stored.read_bytes() != before
    )


def test_a_study_finds_the_pictures_in_the_target_folder(
    run: Run, scans: Path, model: Path, tmp_path: Path, without_reports
) -> None:
    (tmp_path / "val.json").write_bytes((scans / "val.json").read_bytes())
    chosen = StudySettings(test=(tmp_path / "val.json",), out=tmp_path / "s", model=model, resamples=100)
    with pytest.raises(UserError, match="val-000.png is neither in"):
        study(chosen)
    study(dataclasses.replace(chosen, target=scans / "images"))


def test_a_study_refuses_ink_whose_boxes_are_not_those_of_the_scan(
    data: Path, model: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="is ink that"):
        study(StudySettings(test=(data / "val.json",), out=tmp_path / "s", model=model))
    assert not (tmp_path / "s").exists()


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

    name, labels, size = "everything", ("graphic",), 64

    def __init__(self, trim: bool):
        self.trim = trim

    def identity(self) -> dict[str, str]:
        """Return nothing: it has neither weights nor settings."""
        return {}

    def detect(self, page: Page) -> Detections:
        """Return it."""
        height, width = page.pixels.shape[:2]
        assert max(height, width) <= 64
        box = np.array([[0, 0, width, height]], np.float32)
        return to_page(Detections(box, np.array([0.5]), np.array([0])), (width, height), page)


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


def test_only_classes_that_are_known_labelled_and_there_are_measured(data: Path) -> None:
    pages = read_coco(data / "val.json")
    assert measured_labels(pages.pages, pages, ("drop_capital", "graphic", "table")) == [
        "drop_capital",
        "graphic",
    ]
    fewer = dataclasses.replace(pages, labelled=frozenset({"graphic"}))
    assert measured_labels(pages.pages, fewer, ("drop_capital", "graphic")) == ["graphic"]
    assert class_index("graphic") == 0 and to_tensor(np.zeros((2, 3, 3), np.uint8)).shape == (3, 2, 3)
