import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_bnn.data.click_rates import Clicks


def watched(batches) -> Clicks:
    clicks = Clicks()
    columns = [pa.RecordBatch.from_pydict({"label": pa.array(labels, pa.uint8())}) for labels in batches]
    assert list(clicks.watch(columns)) == columns
    return clicks


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 1), max_size=20), max_size=6))
def test_clicks_before_any_row_are_counted(batches):
    clicks, labels = watched(batches), sum(batches, [])
    assert clicks.rows == len(labels)
    assert [clicks.before(row) for row in range(len(labels) + 1)] == [
        sum(labels[:row]) for row in range(len(labels) + 1)
    ]


def test_days_are_as_given_and_one_without_rows_has_no_rate():
    assert watched([[1, 1], [0, 1, 0]]).by_period({"mon": 3, "tue": 0, "wed": 2}) == [
        {"period": "mon", "rows": 3, "click_rate": 2 / 3},
        {"period": "tue", "rows": 0, "click_rate": None},
        {"period": "wed", "rows": 2, "click_rate": 0.5},
    ]
