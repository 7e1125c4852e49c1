"""Parquet files with the bytes and the label of an image in each row."""

import json
import operator
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gcd_longtail.images.sources.base import Listing, Source
from seminar_common.errors import UserError, choices
from seminar_common.files import read_json
from seminar_common.images import BadImage

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_CONDITION = re.compile(r"^\s*(\w+)\s*(>=|<=|==|!=|>|<)\s*(\S+)\s*$")


class ParquetSource(Source):
    """Rows with the columns ``image`` (bytes, or a struct with ``bytes``) and ``label``.

    ``split`` and ``group`` are read where they are. A row group is read when one of its images is wanted, and
    the last one is kept, so reading in order takes little memory.
    """

    def __init__(self, path: Path, where: str = ""):
        """Open a file, or all ``*.parquet`` of a folder.

        Args:
            path: the file or folder. Class names are taken from ``classes.json`` (a list) beside it, if there.
            where: a condition on a column of numbers that the training rows must fulfil.

        Raises:
            UserError: unreadable files, missing columns, or a condition that makes no sense.
        """
        self.path = path
        self._files = [_open(file) for file in _parquet_files(path)]
        table = _columns(self._files, path, where)
        self._places = _places(self._files)[table["kept"]]
        self.listing = Listing(table["keys"], table["labels"], table["splits"], table["groups"])
        self._cached: tuple[tuple[int, int], Any] | None = None
        self._lock = Lock()

    def read(self, index: int) -> bytes:
        """Return the bytes in the ``image`` column."""
        file, group, row = (int(i) for i in self._places[index])
        with self._lock:  # threads read out of the same row group
            if self._cached is None or self._cached[0] != (file, group):
                column = self._files[file].read_row_group(group, columns=["image"]).column("image")
                self._cached = ((file, group), column.combine_chunks())
            value = self._cached[1][row].as_py()
        data = value.get("bytes") if isinstance(value, dict) else value
        if not data:
            raise BadImage("no bytes in the row")
        return data


def _parquet_files(path: Path) -> list[Path]:
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not path.exists() or not files:
        raise UserError(f"{path}: no Parquet file there; check --images")
    return files


def _open(file: Path) -> pq.ParquetFile:
    try:
        parquet = pq.ParquetFile(file, memory_map=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{file}: not a readable Parquet file ({str(error).splitlines()[0]})") from error
    missing = {"image", "label"} - set(parquet.schema_arrow.names)
    if missing:
        raise UserError(
            f"{file}: has no column {sorted(missing)[0]!r} (it has {', '.join(parquet.schema_arrow.names)}); "
            "expected image (bytes) and label"
        )
    return parquet


def _places(files: Sequence[pq.ParquetFile]) -> np.ndarray:
    """Return file, row group and row within it of every row, int64 [N, 3]."""
    parts = []
    for number, file in enumerate(files):
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            part = np.zeros((rows, 3), np.int64)
            part[:, 0], part[:, 1], part[:, 2] = number, group, np.arange(rows)
            parts.append(part)
    return np.concatenate(parts)


def _columns(files: Sequence[pq.ParquetFile], path: Path, where: str) -> dict[str, Any]:
    """Return keys, labels, splits and groups of the rows that are kept, and their numbers."""
    wanted = {"label", "split", "group", *([_condition(where)[0]] if where else [])}
    tables = [f.read(columns=[n for n in f.schema_arrow.names if n in wanted]) for f in files]
    table = pa.concat_tables(tables, promote_options="default")
    splits = _splits(table, path)
    train = np.array([split == "train" for split in splits])
    kept = np.flatnonzero(~train | _fulfils(table, where, path)) if where else np.arange(len(table))
    labels = _label_names(table.column("label"), path)
    groups = table.column("group").to_pylist() if "group" in table.column_names else [""] * len(table)
    names = [f"{path.name}:{row}" for row in range(len(table))]
    columns = {"keys": names, "labels": labels, "splits": splits, "groups": [str(g or "") for g in groups]}
    return {"kept": kept, **{name: [column[i] for i in kept] for name, column in columns.items()}}


def _splits(table: pa.Table, path: Path) -> list[str]:
    if "split" not in table.column_names:
        return ["train"] * len(table)
    names = {"train": "train", "test": "test", "val": "test", "validation": "test"}
    values = table.column("split").to_pylist()
    unknown = set(values) - names.keys()
    if unknown:
        raise UserError(f"{path}: column split holds {min(map(str, unknown))!r}; expected {choices(names)}")
    return [names[value] for value in values]


def _condition(where: str) -> tuple[str, str, float]:
    match = _CONDITION.match(where)
    try:
        assert match is not None
        return match[1], match[2], float(match[3])
    except (AssertionError, ValueError):
        raise UserError(f"--where {where!r}: expected COLUMN>=NUMBER (or <=, ==, !=, >, <)") from None


def _fulfils(table: pa.Table, where: str, path: Path) -> np.ndarray:
    name, sign, value = _condition(where)
    if name not in table.column_names:
        raise UserError(f"--where {where!r}: {path} has no column {name!r}")
    column = table.column(name)
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise UserError(f"--where {where!r}: column {name!r} holds {column.type}, not numbers")
    return _OPERATORS[sign](column.to_numpy(), value)


def _label_names(column: pa.ChunkedArray, path: Path) -> list[str]:
    values = column.to_pylist()
    if not pa.types.is_integer(column.type):
        return ["" if value is None else str(value) for value in values]
    names = _class_names(path)
    if names is None:
        return ["" if value is None else str(value) for value in values]
    largest = max((value for value in values if value is not None), default=0)
    if largest >= len(names):
        raise UserError(
            f"{path}: label {largest}, but classes.json beside it names only {len(names)} classes"
        )
    return ["" if value is None or value < 0 else names[value] for value in values]


def _class_names(path: Path) -> list[str] | None:
    file = (path if path.is_dir() else path.parent) / "classes.json"
    if not file.exists():
        return None
    names = read_json(file)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{file}: expected a list of class names, found {json.dumps(names)[:40]}")
    return names
