import numpy as np
import pytest

from recsys_bnn.data.criteo_log import write_log
from recsys_bnn.data.dataset import SPLITS, open_dataset
from recsys_bnn.data.generator import SyntheticConfig
from recsys_bnn.prepare import prepare
from recsys_bnn.settings.prepare import PrepareConfig
from seminar_common.errors import UserError

ROWS = 3000


def test_rows_are_those_of_the_text_log_with_their_probabilities(tmp_path):
    probabilities = write_log(tmp_path / "log.txt", SyntheticConfig(ROWS, seed=3))
    prepare(PrepareConfig(format="criteo-kaggle", input=(tmp_path / "log.txt",), out=tmp_path / "text"))
    prepare(PrepareConfig(format="synthetic", rows=ROWS, seed=3, out=tmp_path / "direct"))
    text, direct = open_dataset(tmp_path / "text"), open_dataset(tmp_path / "direct")
    for a, b in zip(*(data.rows(*SPLITS).columns() for data in (text, direct)), strict=True):
        np.testing.assert_array_equal(a, b)  # NaN, a missing integer, counts as equal
    assert direct.name == "synthetic"
    stored = direct.rows("train", "val", "test").probabilities()
    assert stored is not None
    assert (stored == probabilities).all()


def test_seven_days_can_split_the_log(tmp_path):
    prepare(PrepareConfig(format="synthetic", rows=701, out=tmp_path / "out", split="day"))
    described = open_dataset(tmp_path / "out").description
    assert [period["rows"] for period in described["periods"]] == [101, 100, 100, 100, 100, 100, 100]
    assert described["rows"] == {"train": 501, "val": 100, "test": 100}


def test_another_seed_is_another_data_set(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        prepare(PrepareConfig(format="synthetic", rows=700, seed=seed, out=tmp_path / name))
    prints = [open_dataset(tmp_path / name).fingerprint for name in "abc"]
    assert prints[0] == prints[1] != prints[2]
    assert open_dataset(tmp_path / "c").description["settings"]["generator"]["seed"] == 1


def test_the_log_with_a_heavy_tail_is_another_data_set_by_its_name_too(tmp_path):
    prepare(PrepareConfig(format="synthetic", rows=700, tail="heavy", out=tmp_path / "heavy"))
    prepare(PrepareConfig(format="synthetic", rows=700, out=tmp_path / "light"))
    heavy, light = (open_dataset(tmp_path / name) for name in ("heavy", "light"))
    assert (heavy.name, light.name) == ("synthetic-heavy-tail", "synthetic")
    assert heavy.fingerprint != light.fingerprint


def test_only_generated_rows_have_a_tail_to_choose(tmp_path):
    with pytest.raises(UserError, match="--tail heavy: is for synthetic only"):
        PrepareConfig(format="avazu", input=(tmp_path / "train.gz",), tail="heavy", out=tmp_path / "out")
