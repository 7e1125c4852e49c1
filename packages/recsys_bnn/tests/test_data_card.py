import pytest

from recsys_bnn.data_card import data_card
from recsys_bnn.dataset import open_dataset
from recsys_bnn.prepare import prepare
from recsys_bnn.prepare_config import PrepareConfig
from seminar_common.results import read_results, write_results


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("card") / "data"
    prepare(PrepareConfig(format="synthetic", rows=2000, out=out, hash_buckets=50, val_fraction=0))
    return open_dataset(out)


def test_the_card_tells_rows_rates_and_cardinalities(data):
    card = data_card(data)
    assert card.one(metric="rows", split="train").value == 1600
    test = card.one(metric="click_rate", split="test")
    assert test.value == pytest.approx(data.rows("test").labels().mean())
    assert test.n == 400
    assert card.one(metric="cardinality", label="C9").value == data.cardinalities[8]
    assert card.one(metric="out_of_vocabulary_rate", label="C6", split="test").n == 400
    assert 0 < card.one(metric="collision_rate", label="C1").value <= 1
    days = [row for row in card.rows if row.subset]
    assert [row.subset for row in days] == [f"day_{i}" for i in range(7)]
    assert sum(row.n or 0 for row in days) == 2000


def test_a_split_without_rows_has_no_rates(data):
    assert [row.metric for row in data_card(data).rows if row.split == "val"] == ["rows"]


def test_the_card_is_a_results_table(data, tmp_path):
    write_results(tmp_path / "results.json", data_card(data))
    assert read_results(tmp_path) == data_card(data)
