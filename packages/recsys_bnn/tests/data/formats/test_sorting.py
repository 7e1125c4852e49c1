"""Rows are sorted by time in bounded memory, and rows of one time keep their order."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_bnn.data.dataset import open_dataset
from recsys_bnn.data.formats import sorting
from recsys_bnn.data.formats.sorting import sorted_by_time
from recsys_bnn.prepare import prepare
from recsys_bnn.settings.prepare import PrepareConfig


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.integers(0, 5), max_size=9), max_size=8), st.integers(1, 12), st.integers(1, 5))
def test_rows_come_in_order_whatever_the_sizes(
    tmp_path_factory, parts, run_rows: int, merged_rows: int
) -> None:
    times = [time for part in parts for time in part]
    numbers = iter(range(len(times)))
    schema = pa.schema([("number", pa.int64()), ("time", pa.float64())])
    batches = [
        pa.RecordBatch.from_arrays(
            [pa.array([next(numbers) for _ in part]), pa.array(part, pa.float64())], schema=schema
        )
        for part in parts
    ]
    scratch = tmp_path_factory.mktemp("scratch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "RUN_ROWS", run_rows)
        patch.setattr(sorting, "MERGED_ROWS", merged_rows)
        found = [batch for batch in sorted_by_time(batches, 1, scratch)]
    order = [number for batch in found for number in batch.column(0).to_pylist()]
    assert order == np.argsort(times, kind="stable").tolist()
    assert all(batch.num_rows for batch in found)
    assert not list(scratch.iterdir())


@pytest.mark.parametrize("rows", [40, 1 << 21])
def test_a_table_is_sorted_where_its_schema_says_so(tmp_path: Path, monkeypatch, rows: int) -> None:
    monkeypatch.setattr(sorting, "RUN_ROWS", rows)
    monkeypatch.setattr(sorting, "MERGED_ROWS", 7)
    schema = 'label = "y"\ntime = "at"\nintegers = ["n"]\ncategoricals = ["u"]\n'
    drawn = np.random.default_rng(0).permutation(300)
    lines = {"sorted": np.sort(drawn), "drawn": drawn}
    data = {}
    for name, numbers in lines.items():
        text = "\n".join(["y,at,n,u", *(f"{n % 2},{n // 3},{n},u{n % 7}" for n in numbers)])
        (tmp_path / f"{name}.csv").write_text(text)
        (tmp_path / f"{name}.toml").write_text(schema + "sort = true\n" * (name == "drawn"))
        config = PrepareConfig(
            "table", input=(tmp_path / f"{name}.csv",), schema=tmp_path / f"{name}.toml", out=tmp_path / name
        )
        data[name] = open_dataset(prepare(config)).rows("train", "val", "test").columns()
    times = np.sort(drawn) // 3
    for a, b in zip(data["sorted"], data["drawn"], strict=True):
        assert len(a) == len(b)
    np.testing.assert_array_equal(times[np.argsort(data["drawn"].integers[:, 0], kind="stable")], times)
    assert not list(tmp_path.glob(".*"))
