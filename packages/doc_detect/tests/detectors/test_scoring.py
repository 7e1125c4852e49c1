from pathlib import Path

import numpy as np
import pytest

from doc_detect.detectors.detections import Detections
from doc_detect.detectors.onnx import prepare
from doc_detect.detectors.scoring import FILE, Scoring, read_scoring, scoring_of, widened, write_scoring
from seminar_common.errors import UserError

LABELS = ("graphic", "drop_capital", "table")


def found(scores: list[float], labels: list[int]) -> Detections:
    boxes = np.arange(4 * len(scores), dtype=np.float32).reshape(-1, 4)
    return Detections(boxes, np.array(scores, np.float32), np.array(labels, np.int64))


def test_each_class_has_its_own_line_and_what_falls_below_the_floor_goes() -> None:
    scoring = Scoring({"graphic": (2.0, 1.0), "drop_capital": (1.0, -3.0)}, floor=0.1)
    given = found([0.7, 0.6, 0.3, 0.05], [1, 0, 2, 2])
    answer = scoring.apply(given, LABELS)
    line = 2 * np.log(0.6 / 0.4) + 1
    # The initial, best before, falls to 0.104 and comes last; the table keeps its raw score; 0.05 is below the floor.
    assert answer.labels.tolist() == [0, 2, 1]
    expected = [1 / (1 + np.exp(-line)), 0.3, 1 / (1 + np.exp(3 - np.log(0.7 / 0.3)))]
    np.testing.assert_allclose(answer.scores, expected, rtol=1e-5)
    np.testing.assert_array_equal(answer.boxes, given.boxes[[1, 2, 0]])


def test_the_raw_score_of_a_probability_is_its_inverse() -> None:
    scoring = Scoring({"graphic": (1.7, -0.4)})
    raw = scoring.raw_score("graphic", 0.5)
    assert scoring.apply(found([raw], [0]), LABELS).scores.tolist() == pytest.approx([0.5])
    assert scoring.raw_score("table", 0.3) == pytest.approx(0.3)


def test_certain_scores_stay_finite() -> None:
    scores = Scoring({"graphic": (3.0, 0.0)}).apply(found([1.0, 0.0], [0, 0]), LABELS).scores
    assert np.isfinite(scores).all() and scores[0] > 0.999 > scores[1]


def test_a_scoring_survives_its_file_and_a_damaged_one_is_one_line(tmp_path: Path) -> None:
    scoring = Scoring({"graphic": (1.5, -0.25)}, 0.05, {"drop_capital": 0.0035})
    write_scoring(scoring, tmp_path)
    assert read_scoring(tmp_path) == scoring
    assert scoring.facts()["thresholds"] == {"graphic": round(scoring.raw_score("graphic", 0.5), 4)}
    assert scoring_of({}) == Scoring() == read_scoring(tmp_path / "nowhere")
    (tmp_path / FILE).write_text('{"calibration": {"graphic": [-1, 0]}}')
    with pytest.raises(UserError, match="damaged"):
        read_scoring(tmp_path)


def test_drawn_boxes_are_wider_by_a_length_and_stay_on_the_page() -> None:
    boxes = np.array([[10, 20, 30, 40], [0, 1, 99, 50.0]])
    drawn = widened(boxes, np.array([1, 0]), np.array([0.02, 0.1]), 40.0, (100, 200))
    np.testing.assert_allclose(drawn, [[6, 16, 34, 44], [0, 0.2, 99.8, 50.8]])


def test_a_page_smaller_than_the_input_is_not_enlarged() -> None:
    pixels = np.full((90, 60, 3), 200, np.uint8)
    image, seen = prepare(pixels, 512, 32)
    assert seen == (60, 90) and image.shape == (1, 3, 96, 64)
    image, seen = prepare(np.full((900, 600, 3), 200, np.uint8), 512, 32)
    assert seen == (341, 512)
