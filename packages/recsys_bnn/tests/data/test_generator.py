import hashlib
import io

import numpy as np
import pytest

from recsys_bnn.data.criteo_log import write_lines
from recsys_bnn.data.formats.criteo import parse_line
from recsys_bnn.data.generator import (
    CHUNK_ROWS,
    SyntheticConfig,
    SyntheticLog,
    Tail,
    cardinalities,
    log_config,
)
from seminar_common import metrics
from seminar_common.errors import UserError


@pytest.fixture(scope="module")
def chunk():
    return next(SyntheticLog(SyntheticConfig(CHUNK_ROWS)).chunks())


def test_the_planted_probabilities_are_calibrated_and_hard_as_stated(chunk) -> None:
    # The best possible AUC is that of the true probabilities; it is fixed at about 0.82.
    assert chunk.probabilities.mean() == pytest.approx(0.256, abs=0.01)
    assert chunk.labels.mean() == pytest.approx(chunk.probabilities.mean(), abs=0.01)
    assert metrics.roc_auc(chunk.labels, chunk.probabilities) == pytest.approx(0.825, abs=0.01)


def test_the_frozen_generator_still_makes_the_same_rows() -> None:
    # Figures in docs rest on these rows: a change of the generator or its defaults makes them void. The last chunk
    # of a log of a million rows; probabilities may differ in their last bits between processors.
    (*_, last) = SyntheticLog(SyntheticConfig(1_000_000)).chunks(start=15)
    digest = hashlib.blake2b(digest_size=8)
    for array in (last.labels, last.integers, last.categoricals):
        digest.update(np.ascontiguousarray(array).tobytes())
    assert digest.hexdigest() == "b42e9850b71a7a32"
    assert last.probabilities.mean() == pytest.approx(0.2561187, abs=1e-6)


def test_the_frozen_log_with_a_heavy_tail_still_has_the_same_rows_and_difficulty() -> None:
    log = SyntheticLog(log_config(1_000_000, tail="heavy"))
    (*_, last) = log.chunks(start=15)
    digest = hashlib.blake2b(digest_size=8)
    for array in (last.labels, last.integers, last.categoricals):
        digest.update(np.ascontiguousarray(array).tobytes())
    assert digest.hexdigest() == "7c342f326c174705"
    assert last.probabilities.mean() == pytest.approx(0.2579680, abs=1e-6)
    assert log.ceilings()["best"] == pytest.approx(0.825, abs=0.005)


@pytest.mark.parametrize(("tail", "least", "most"), [("light", 0.0, 0.45), ("heavy", 0.75, 1.0)])
def test_rare_values_say_more_in_a_heavy_tail(tail: Tail, least: float, most: float) -> None:
    """Share of the main effects' variance from values beyond the two thousand most frequent ones of each field."""
    log = SyntheticLog(log_config(2_000_000, tail=tail))
    draw = log._draw(np.random.default_rng(0), np.linspace(0, 7, 20_000))
    whole = log._parts(draw)[0]
    frequent = log._parts(draw._replace(ranks=np.where(draw.ranks < 2000, draw.ranks, -1)))[0]
    assert least < 1 - np.corrcoef(whole, frequent)[0, 1] ** 2 < most


def test_the_frozen_difficulty_leaves_room_between_models() -> None:
    ceilings = SyntheticLog(SyntheticConfig(5_000_000)).ceilings()
    assert ceilings["best"] == pytest.approx(0.825, abs=0.005)
    assert ceilings["best"] - ceilings["no interactions"] > 0.02
    assert ceilings["best"] - ceilings["integers alone"] > 0.1


def test_values_are_within_their_cardinalities_and_heavy_tailed(chunk) -> None:
    for field, cardinality in enumerate(cardinalities(CHUNK_ROWS)):
        _, counts = np.unique(chunk.categoricals[:, field], return_counts=True)
        assert len(counts) <= cardinality + 1  # and the missing value
        assert counts.max() > 5 * counts.mean() or cardinality < 50


def test_missing_values_are_as_frequent_as_in_criteo(chunk) -> None:
    missing = (chunk.integers < 0).mean(0)
    assert missing[1] == 0 and missing[11] == pytest.approx(0.77, abs=0.01)
    assert 0 < (chunk.categoricals == 0).mean() < 0.05


def test_chunks_can_be_made_alone_and_repeat() -> None:
    config = SyntheticConfig(CHUNK_ROWS + 10, seed=4)
    whole = list(SyntheticLog(config).chunks())
    assert [len(c.labels) for c in whole] == [CHUNK_ROWS, 10]
    (alone,) = SyntheticLog(config).chunks(start=1)
    for name in ("labels", "integers", "categoricals", "probabilities"):
        assert np.array_equal(getattr(alone, name), getattr(whole[1], name))


def test_seeds_change_the_rows_but_not_the_teacher() -> None:
    one, other = (SyntheticLog(SyntheticConfig(1000, seed=seed)) for seed in (0, 1))
    assert not np.array_equal(next(one.chunks()).labels, next(other.chunks()).labels)
    assert np.array_equal(one._effects, other._effects)


def test_cardinalities_grow_with_the_log_up_to_criteos() -> None:
    small, large, full = (cardinalities(rows) for rows in (10_000, 1_000_000, 45_840_617))
    assert (small <= large).all() and (large <= full).all()
    assert full[2] == 10_131_227
    assert small[8] == full[8] == 3


def test_lines_have_criteos_form(chunk) -> None:
    file = io.BytesIO()
    write_lines(file, chunk)
    lines = file.getvalue().splitlines()
    assert len(lines) == len(chunk.labels)
    for number in (0, 1, len(lines) - 1):
        row = parse_line(lines[number])
        assert row.label == chunk.labels[number]
        assert [-1 if v is None else v for v in row.integers] == chunk.integers[number].tolist()
        assert [v or 0 for v in row.categoricals] == chunk.categoricals[number].tolist()


def test_no_rows_are_refused() -> None:
    with pytest.raises(UserError, match="--rows 0"):
        SyntheticConfig(0)
