import math

import numpy as np
import pytest

from recsys_bnn.serving.quality import Quality


def exact_auc(probabilities: np.ndarray, clicks: np.ndarray) -> float:
    ours, others = probabilities[clicks == 1][:, None], probabilities[clicks == 0]
    return float(np.mean((ours > others) + (ours == others) / 2))


@pytest.mark.parametrize("seed", range(3))
def test_figures_of_parts_are_those_of_all_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(-1, 2, 2000)
    clicks = (rng.random(2000) < 1 / (1 + np.exp(-logits))).astype(np.uint8)
    probabilities = 1 / (1 + np.exp(-np.round(logits, 1)))  # with ties
    quality = Quality()
    for part in range(0, 2000, 300):
        quality.add(probabilities[part : part + 300], clicks[part : part + 300])
    assert quality.rows == 2000
    assert quality.roc_auc == pytest.approx(exact_auc(probabilities, clicks), abs=2e-5)
    loss = -np.mean(np.where(clicks, np.log(probabilities), np.log(1 - probabilities)))
    assert quality.log_loss == pytest.approx(loss, rel=1e-9)


def test_one_class_has_no_auc_and_no_rows_have_no_loss() -> None:
    quality = Quality()
    assert math.isnan(quality.roc_auc) and math.isnan(quality.log_loss)
    quality.add(np.array([0.2, 0.8]), np.array([1, 1]))
    assert math.isnan(quality.roc_auc) and quality.log_loss > 0


def test_certain_scores_have_a_finite_loss() -> None:
    quality = Quality()
    quality.add(np.array([0.0, 1.0, 1.0]), np.array([0, 1, 0]))
    assert quality.roc_auc == pytest.approx(0.75)
    assert math.isfinite(quality.log_loss)
