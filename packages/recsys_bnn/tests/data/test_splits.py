import numpy as np
import pyarrow as pa
import pytest

from recsys_bnn.data import chunks, splits
from recsys_bnn.data.splits import Consecutive, Random, day_sizes, fraction_sizes
from seminar_common.errors import UserError


@pytest.mark.parametrize(
    ("rows", "val", "test", "sizes"),
    [
        (10_000, 0.1, 0.2, (7000, 1000, 2000)),
        (45_840_617, 0.1, 0.2, (32_088_432, 4_584_062, 9_168_123)),
        (10, 0.0, 0.3, (7, 0, 3)),
        (10, 0.0, 0.0, (10, 0, 0)),
        (3, 0.4, 0.3, (1, 1, 1)),
    ],
)
def test_shares_are_exact(rows, val, test, sizes):
    assert tuple(fraction_sizes(rows, val, test).values()) == sizes
    assert sum(sizes) == rows


def test_days_without_rows_do_not_count():
    assert day_sizes({"a": 5, "b": 0, "c": 3, "d": 2, "e": 0}) == {"train": 5, "val": 3, "test": 2}
    with pytest.raises(UserError, match="at least 3 days with rows, and the log has 2 .a, c."):
        day_sizes({"a": 5, "b": 0, "c": 3})


@pytest.fixture
def staging(tmp_path, monkeypatch):
    """100 staged rows, numbered, in batches of 16."""
    monkeypatch.setattr(chunks, "STAGED_ROWS", 16)
    path = tmp_path / "staging.arrow"
    chunks.stage(path, [pa.RecordBatch.from_pydict({"row": list(range(100))})])
    return path


def rows(split, name):
    return [row for piece in split.chunks(name) for row in piece.read().column("row").to_pylist()]


SIZES = {"train": 70, "val": 10, "test": 20}


def test_consecutive_splits_follow_the_log(staging):
    split = Consecutive(staging, SIZES)
    assert rows(split, "train") == list(range(70))
    assert rows(split, "val") == list(range(70, 80))
    assert rows(split, "test") == list(range(80, 100))


def test_random_splits_share_out_every_row_once_by_their_seed(staging):
    found = {name: rows(Random(staging, SIZES, 0), name) for name in SIZES}
    assert {name: len(found[name]) for name in SIZES} == SIZES
    assert sorted(sum(found.values(), [])) == list(range(100))
    assert all(found[name] == sorted(found[name]) for name in SIZES)
    assert rows(Random(staging, SIZES, 0), "test") == found["test"]
    assert rows(Random(staging, SIZES, 1), "test") != found["test"]


def test_every_row_is_as_likely_to_be_a_test_row(staging):
    # also across batches: the number of test rows in a batch must vary as in drawing without replacement
    draws = [rows(Random(staging, SIZES, seed), "test") for seed in range(300)]
    counts = np.bincount(np.concatenate(draws), minlength=100)
    assert abs(counts - 60).max() < 5 * np.sqrt(300 * 0.2 * 0.8)
    first = [sum(row < 16 for row in draw) for draw in draws]
    expected = 16 * 0.2 * 0.8 * 84 / 99  # variance of the hypergeometric distribution
    assert np.var(first) == pytest.approx(expected, rel=0.35)


def test_more_rows_than_can_be_drawn_are_refused(tmp_path):
    with pytest.raises(UserError, match="--split random: 1,000,000,000 rows are too many"):
        Random(tmp_path, {"train": splits.RANDOM_ROWS - 2, "val": 1, "test": 1}, 0)
