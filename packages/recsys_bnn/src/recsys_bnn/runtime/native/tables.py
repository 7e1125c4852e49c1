"""The tables of a model as the C engine reads them: where they are, they are left."""

import numpy as np

from recsys_bnn.runtime.native.structures import Arrays, Table, readable, round_up
from recsys_bnn.runtime.spec import GROUPS, Codes, TableSpec

_KINDS = {"none": 0, "field": 0, "group": 1, "row": 2}
_ID_MOST = 2**31 - 1
_WIDEST_BITS = 120
"""Values of a 1-bit row whose products fit an int8."""


def interactions(table: TableSpec) -> list[str]:
    """Return the ways to multiply the rows, apart from what this machine can.

    Those of whole numbers come alone where they apply: they agree to the bit, but not with those of floats.
    """
    parts = _parts(table)
    if any(part.bits == 32 for part in parts) or table.row_bias is not None or table.list_widths is not None:
        return ["f32 loops", "f32 AVX2"]
    names = ["int16 loops", "int16 AVX2"]
    if all((part.bits, part.mul, part.add) == (1, 2, -1) for part in parts):
        names += ["popcount loops", "1-bit AVX2"] if table.dim <= _WIDEST_BITS else ["popcount loops"]
    return names


def _parts(table: TableSpec) -> list[Codes]:
    """Return the parts that have rows, or the cold one."""
    found = [part for part in (table.cold, table.hot) if part is not None and len(part)]
    return found or [table.cold]


def structure(table: TableSpec, has_dense: bool, arrays: Arrays) -> Table:
    """Return ``table`` for the engine.

    Args:
        table: The tables.
        has_dense: Whether a dense vector stands before the rows.
        arrays: Keeps what the structure points to.
    """
    columns = column_fields(table)
    lanes = round_up(max(len(columns), 1), 32)
    made = Table(fields=len(columns), dim=table.dim, lanes=lanes, kind=_KINDS[table.scale_kind])
    lists = np.empty(0, np.int64) if table.list_widths is None else table.list_widths
    made.vectors, made.singles, made.lists = table.fields, table.fields - len(lists), len(lists)
    made.widths = arrays.padded(lists, max(len(lists), 1), np.int32)
    made.has_hot = bool(table.hot is not None and len(table.hot))
    made.hashed = bool((table.rows < table.cardinalities).any())
    made.fixed = made.kind == 0 and not made.has_hot
    made.plain = made.fixed and table.scale is None and table.row_bias is None and not len(lists)
    made.cardinality = arrays.padded(_ids(table.cardinalities)[columns], lanes, np.uint32)
    rows = np.minimum(table.rows, table.cardinalities)
    made.rows = arrays.padded(_ids(rows)[columns], lanes, np.uint32)
    made.hot_rows = arrays.padded(_ids(table.hot_rows)[columns], lanes, np.uint32)
    _fill_parts(made, table, columns, arrays)
    _fill_scales(made, table, columns, lanes, has_dense, arrays)
    return made


def column_fields(table: TableSpec) -> np.ndarray:
    """Return the field of each column of ids, int64 [C]: each column is looked up as a field of its own."""
    return np.repeat(np.arange(table.fields), table.widths)


def _ids(counts: np.ndarray) -> np.ndarray:
    return np.minimum(counts, _ID_MOST)


def _fill_parts(made: Table, table: TableSpec, columns: np.ndarray, arrays: Arrays) -> None:
    only = _parts(table)[0]
    cold = table.cold if len(table.cold) else only
    hot = table.hot if made.has_hot and table.hot is not None else cold
    for index, (part, offsets) in enumerate(((cold, table.cold_offsets), (hot, table.hot_offsets))):
        to = made.parts[index]
        to.bits, to.mul, to.add = part.bits, part.mul, part.add
        to.bytes = part.data.shape[1] * part.data.itemsize
        data = readable(part.data, _alignment(to.bytes))
        bases = arrays.address(data) + offsets[columns] * to.bytes
        to.base = arrays.padded(bases.astype(np.uint64), max(len(bases), 1), np.uint64)


def _alignment(row_bytes: int) -> int:
    """Return the greatest power of 2 that divides a row, at most a cache line: no row then lies in two without need."""
    return min(row_bytes & -row_bytes or 1, 64)


def _fill_scales(
    made: Table, table: TableSpec, columns: np.ndarray, lanes: int, has_dense: bool, arrays: Arrays
) -> None:
    scale = np.ones(table.fields, np.float32) if table.scale is None else table.scale
    if table.scale_kind != "row":
        scale = scale[columns]
    if table.scale_kind == "group":
        assert table.group_starts is not None
        made.scale = arrays.padded(scale.ravel(), lanes * GROUPS, np.float32)
        starts = np.minimum(table.group_starts, _ID_MOST)[columns]
        made.group_starts = arrays.padded(starts, GROUPS, np.int32, _ID_MOST)
    elif table.scale_kind == "row":
        made.row_scale = arrays.address(readable(scale, 2))
        made.cold_offset = arrays.padded(table.cold_offsets[columns], lanes, np.int64)
    else:
        made.scale = arrays.padded(scale, lanes, np.float32)
    if table.row_bias is not None:
        made.row_bias = arrays.address(readable(table.row_bias, 2))
    hot_scale = np.ones(table.fields, np.float32) if table.hot_scale is None else table.hot_scale
    made.hot_scale = arrays.padded(hot_scale[columns], lanes, np.float32)
    if made.fixed and made.parts[0].bits < 32 and not made.lists:
        made.pair_scale = _pair_scales(scale, has_dense, arrays)


def _pair_scales(scale: np.ndarray, has_dense: bool, arrays: Arrays) -> int:
    """Return where the products of two fields' scales stand, in the order of the products."""
    if has_dense:
        scale = np.concatenate([np.zeros(1, np.float32), scale])
    rows, columns = np.tril_indices(len(scale), -1)
    products = scale[rows] * scale[columns]
    return arrays.padded(products, len(products) + 48, np.float32)
