"""Boxes as people draw them: the margin goes into the file, and evaluate, crop and the API of predictions use it."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from doc_detect.crop import MANIFEST, crop
from doc_detect.predict import predict
from doc_detect.predictions import open_predictions
from doc_detect.settings.job import CropSettings, PredictSettings
from seminar_common.errors import UserError
from seminar_common.work import WorkConfig

GRAPHIC = (100, 200, 500, 700)
MARGIN = 0.01
SIZE = (800, 1200)


@pytest.fixture
def found(tmp_path: Path, paint, write_detector) -> Path:
    """Predictions of a detector that knows a margin, on a page with a picture and one where it is at the edge."""
    write_detector(tmp_path / "drawn.onnx", margin={"graphic": MARGIN})
    (tmp_path / "scans").mkdir()
    for name, box in (("a.png", GRAPHIC), ("edge.png", (0, 0, 400, 300))):
        Image.fromarray(paint(*SIZE, graphic=box)).save(tmp_path / "scans" / name)
    given = PredictSettings((tmp_path / "scans",), tmp_path / "found", tmp_path / "drawn.onnx")
    predict(dataclasses.replace(given, page_timeout=0.0, work=WorkConfig(1)))
    return tmp_path / "found"


def test_predictions_are_ink_and_as_drawn_wider_by_the_margin_of_what_was_seen(found: Path) -> None:
    for ink, drawn in zip(open_predictions(found), open_predictions(found, boxes="drawn"), strict=True):
        ((inner,), (outer,)) = [[box.xyxy for box in page.boxes] for page in (ink, drawn)]
        reach = MARGIN * ink.window_side
        expected = np.clip(np.array(inner) + reach * np.array([-1, -1, 1, 1]), 0, [*SIZE, *SIZE])
        np.testing.assert_allclose(outer, expected, atol=0.06)
        assert 0 < ink.window_side <= max(SIZE)


def test_crop_cuts_out_what_people_would_draw(found: Path, tmp_path: Path) -> None:
    rows = {}
    for boxes in ("ink", "drawn"):
        crop(CropSettings(found, tmp_path / boxes, padding=0.0, boxes=boxes, work=WorkConfig(1)))
        with (tmp_path / boxes / MANIFEST).open(encoding="utf-8") as file:
            rows[boxes] = next(csv.DictReader(file))
    (page, _) = open_predictions(found)
    gap = float(rows["ink"]["x1"]) - float(rows["drawn"]["x1"])
    assert gap == pytest.approx(MARGIN * page.window_side, abs=0.11)


def test_a_detector_without_a_margin_says_what_to_do(tmp_path: Path, tiny_model: Path, paint) -> None:
    Image.fromarray(paint(*SIZE, graphic=GRAPHIC)).save(tmp_path / "a.png")
    given = PredictSettings((tmp_path / "a.png",), tmp_path / "found", tiny_model)
    predict(dataclasses.replace(given, page_timeout=0.0, work=WorkConfig(1)))
    with pytest.raises(UserError, match="export --margin-data"):
        open_predictions(tmp_path / "found", boxes="drawn")
    with pytest.raises(UserError, match="export --margin-data"):
        crop(CropSettings(tmp_path / "found", tmp_path / "cut", boxes="drawn"))
    assert not (tmp_path / "cut").exists()


def test_export_fits_a_margin_and_evaluate_measures_both(tmp_path: Path, paint, tiny_model: Path) -> None:
    pytest.importorskip("torch")
    from doc_detect.classes import class_index
    from doc_detect.coco import CocoPage, write_coco
    from doc_detect.detectors.onnx import OnnxDetector
    from doc_detect.detectors.scoring import Scoring
    from doc_detect.evaluate import evaluate
    from doc_detect.export import export
    from doc_detect.figures.calibration import FLOOR
    from doc_detect.settings.training import EvaluateSettings, ExportSettings

    pages = []
    for number in range(4):
        ink = (100 + 20 * number, 200, 500, 700)
        name = f"{number}.png"
        Image.fromarray(paint(*SIZE, graphic=ink)).save(tmp_path / name)
        drawn = np.array([ink], float) + np.array([-12, -12, 12, 12.0])
        labels = np.array([class_index("graphic")])
        pages.append(CocoPage(name, *SIZE, drawn, labels, None, {"book": str(number)}))
    write_coco(tmp_path / "drawn.json", pages)
    out = tmp_path / "with-margin.onnx"
    export(ExportSettings(out, model=tiny_model, margin_data=tmp_path / "drawn.json", margin_pages=3))
    export(ExportSettings(tmp_path / "quick.onnx", model=out, score_threshold=0.15))
    quick = OnnxDetector(tmp_path / "quick.onnx")
    assert (quick.facts.score_threshold, OnnxDetector(tiny_model).facts.score_threshold) == (0.15, 0.05)
    # The file's own margin goes: it was fitted with scores that meant something else.
    settings = ExportSettings(tmp_path / "meant.onnx", model=out, calibration_data=tmp_path / "drawn.json")
    export(settings)
    assert OnnxDetector(settings.out).scoring == Scoring(
        {}, FLOOR, {}
    )  # four finds are too few to calibrate on
    share = quick.scoring.margin["graphic"]
    assert share == pytest.approx(12 / 1000, rel=0.35)  # of the window, which is smaller than the page
    settings = EvaluateSettings(tmp_path / "drawn.json", model=out, out=tmp_path / "measured", resamples=100)
    results = evaluate(settings)
    ap = {row.facts["boxes"]: row.value for row in results.rows if row.metric == "ap" and row.label}
    assert ap["drawn"] > ap["ink"] + 0.1
    again = dataclasses.replace(settings, model=tiny_model, out=tmp_path / "ink")
    assert {row.facts.get("boxes") for row in evaluate(again).rows} == {None}


def test_evaluate_without_a_run_must_know_where_to_write(tmp_path: Path) -> None:
    from doc_detect.settings.training import EvaluateSettings, ExportSettings

    with pytest.raises(UserError, match="--out is missing"):
        EvaluateSettings(tmp_path / "a.json", model=tmp_path / "a.onnx")
    with pytest.raises(UserError, match="--run or --margin-data"):
        ExportSettings(tmp_path / "a.onnx")
