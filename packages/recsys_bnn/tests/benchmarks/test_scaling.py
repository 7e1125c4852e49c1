from itertools import islice
from pathlib import Path

import pytest

pytest.importorskip("torch")


from recsys_bnn.benchmarks.scaling import CARDINALITIES, DIM, measured, model_config, row_bytes, scaling
from recsys_bnn.model.dlrm import DLRM
from recsys_bnn.settings.bench import BenchSettings
from seminar_common.cost import size_mb
from seminar_common.errors import UserError


@pytest.mark.parametrize("bits", [32, 4, 1])
def test_a_row_takes_the_bytes_that_the_size_of_a_model_counts(bits: int) -> None:
    few, many = (DLRM(model_config(bits), 13, [rows] * 26) for rows in (10, 30))
    grown = size_mb(many.tensor_sizes()) - size_mb(few.tensor_sizes())
    assert grown * 1e6 / (20 * 26) == pytest.approx(row_bytes(bits))


def test_sizes_of_the_terabyte_are_computed_first(tmp_path: Path) -> None:
    rows = list(islice(scaling(BenchSettings(tmp_path, table_rows=22_000)), 9))
    computed = {row.model: row.value for row in rows if row.metric == "table_gb"}
    assert computed["32-bit"] == pytest.approx(sum(CARDINALITIES) * DIM * 4 / 1e9)
    assert computed["32-bit"] == 8 * computed["4-bit"] == 32 * computed["1-bit"]


@pytest.mark.slow  # two processes that import PyTorch
def test_memory_grows_with_table_rows_as_computed(tmp_path: Path) -> None:
    # 26 x 4000 rows more are 53 MB more, far above what a process's own memory varies.
    rows = measured(1, BenchSettings(tmp_path, table_rows=22_000))
    (grown,) = (row.value for row in rows if row.metric == "bytes_per_row")
    assert grown == pytest.approx(row_bytes(1, "rowwise-adagrad"), rel=0.5)


def test_tables_too_small_to_compare_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--table-rows 10"):
        next(scaling(BenchSettings(tmp_path, table_rows=10)))
