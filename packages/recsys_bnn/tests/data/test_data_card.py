import pytest

from recsys_bnn.data.data_card import data_sections
from recsys_bnn.data.dataset import open_dataset
from recsys_bnn.prepare import prepare
from recsys_bnn.settings.prepare import PrepareConfig


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("card") / "data"
    prepare(PrepareConfig(format="synthetic", rows=2000, out=out, hash_buckets=50, val_fraction=0))
    return open_dataset(out)


def test_the_card_tells_rows_and_click_rates(data):
    card = data_sections(data.description)[0].results
    assert card.one(metric="rows", model="train").value == 1600
    test = card.one(metric="click_rate", model="test")
    assert test.value == pytest.approx(data.rows("test").labels().mean())
    days = [row for row in card.rows if row.model.startswith("day") and row.metric == "rows"]
    assert [row.model for row in days] == [f"day {i}" for i in range(7)]
    assert sum(row.value for row in days) == 2000


def test_the_card_tells_cardinalities_and_unknown_values(data):
    card = data_sections(data.description)[1].results
    assert card.one(metric="cardinality", model="C9").value == data.cardinalities[8]
    unknown = (data.description["out_of_vocabulary_rate"]["C6"])["test"]
    assert card.one(metric="out_of_vocabulary_rate_test", model="C6").value == unknown
    assert 0 < card.one(metric="collision_rate", model="C1").value <= 1


def test_a_split_without_rows_has_no_rates(data):
    parts, fields = (section.results for section in data_sections(data.description))
    assert [row.metric for row in parts.rows if row.model == "val"] == ["rows"]
    assert not [row for row in fields.rows if row.metric.endswith("_val")]


def test_prepare_writes_the_card_beside_the_rows(data):
    page = (data.folder / "report.html").read_text(encoding="utf-8")
    assert "Rows of synthetic" in page and "day 6" in page and "Out of vocabulary, test" in page


def test_of_many_fields_those_with_most_ids_are_listed(data):
    names = [f"f{i}" for i in range(150)]
    described = {
        **data.description,
        "categorical_names": names,
        "cardinalities": [3 + i % 75 for i in range(150)],
        "out_of_vocabulary_rate": dict.fromkeys(names, {}),
        "hashed": {},
    }
    section = data_sections(described)[1]
    listed = [row.model for row in section.results.rows]
    assert len(listed) == 100
    assert "f74" in listed and "f0" not in listed
    assert "the 100 of 150 with most ids" in section.title
