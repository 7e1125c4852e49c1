"""A packed model in use: raw rows in, click probabilities out, without PyTorch.

For example::

model = recsys_bnn.load("model.safetensors")
model.predict({"I1": 3, "C1": "68fd1e64", ...})  # one row, or many as a table or a list of such mappings
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from recsys_bnn.runtime.encoder import Encoder
from recsys_bnn.runtime.engines import choose
from recsys_bnn.runtime.packed_file import PackedFile, read_packed
from recsys_bnn.runtime.values import LIST
from seminar_common.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

    from recsys_bnn.data.formats.table_schema import TableSchema
    from recsys_bnn.data.raw_rows import RowEncoder

Raw = Any
"""Raw rows: a mapping of names to values (one row) or to columns, a list of mappings, a data frame, or an Arrow table."""
MissingColumns = Literal["fail", "fill"]


class PackedModel:
    """A packed model, ready to score. Its calls may come from several threads at once.

    Args:
        file: The mapped file.
        path: Where it stands, for messages.
        threads: Threads of a call.
        engine: What runs it; see :data:`recsys_bnn.runtime.engines.ENGINES`.

    Raises:
        UserError: there is no such engine, or it can't run here.
    """

    def __init__(self, file: PackedFile, path: Path, threads: int = 1, engine: str = "auto"):
        self.file, self.path, self.spec = file, path, file.spec
        self.engine = choose(file.spec, threads, engine)
        self.card: Mapping[str, Any] = file.manifest
        self.digest = file.digest

    @property
    def name(self) -> str:
        """Name of the model in every table, such as ``binary-a4``."""
        return self.card.get("name", "model")

    @property
    def format(self) -> str:
        """Layout of the log that it was trained on, as `prepare` calls it."""
        return self._facts["format"]

    @property
    def integer_names(self) -> tuple[str, ...]:
        """Names of the integer features."""
        return self._encoder.integer_names

    @property
    def categorical_names(self) -> tuple[str, ...]:
        """Names of the categorical fields."""
        return self._encoder.categorical_names

    @property
    def list_names(self) -> tuple[str, ...]:
        """Names of the categorical fields that hold lists, the last ones."""
        kinds = zip(self.categorical_names, self._encoder.kinds, strict=True)
        return tuple(name for name, kind in kinds if kind == LIST)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of all features."""
        return self._encoder.names

    @property
    def encoder(self) -> "RowEncoder":
        """What encodes columns of Arrow."""
        return self._encoder.rows

    @cached_property
    def schema(self) -> "TableSchema | None":
        """The schema of a model that was trained on the format `table`, else None."""
        from recsys_bnn.data.formats.table_schema import parse_schema

        text = self._facts.get("table_schema")
        return None if text is None else parse_schema(text, self.path)

    @property
    def _facts(self) -> Mapping[str, Any]:
        if "encoding" not in self.card:
            raise UserError(
                f"{self.path}: holds no vocabulary, so it reads encoded rows only (predict_encoded)"
            )
        return self.card["encoding"]

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self._facts, self.file.encoding)

    def predict(self, raw: Raw, *, missing_columns: MissingColumns = "fail") -> np.ndarray:
        """Return the click probability of each raw row, float64 [N].

        Args:
            raw: Rows; columns that the model does not read are passed over. A value that training never saw counts
                as unknown; None, NaN and an empty text as missing. Numbers may stand as text. A list is a list of
                values, or a text as in the log.
            missing_columns: ``fail`` refuses rows without a feature of the model, ``fill`` takes its values as
                missing.

        Raises:
            UserError: a column is not there, or a value is not what its feature takes.
        """
        return self.predict_encoded(*self.encode(raw, missing_columns=missing_columns))

    def predict_encoded(self, integers: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Return the click probability of rows of numbers and ids, float64 [N].

        Args:
            integers: Normalised integers, float32 [N, I]; NaN for a missing one.
            ids: Ids within each field, int32 [N, C]: one for each field, or as many as an item of ``list_widths`` says for
                a field of lists, -1 behind its last item.
        """
        return sigmoid(self.engine.logits(integers, ids))

    def encode(self, raw: Raw, *, missing_columns: MissingColumns = "fail") -> tuple[np.ndarray, np.ndarray]:
        """Return raw rows as integers, float32 [N, I], and ids, int32 [N, C]; arguments as in :meth:`predict`."""
        fill = missing_columns == "fill"
        if isinstance(raw, Mapping):
            return self._of_mapping(raw, fill)
        if isinstance(raw, Sequence) and not isinstance(raw, str | bytes):
            return self._of_rows(raw, fill)
        return self._of_table(_arrow_table(raw), fill)

    def _of_mapping(self, raw: Mapping[str, Any], fill: bool) -> tuple[np.ndarray, np.ndarray]:
        """Encode one row of values, or columns."""
        first = next((name for name in self.features if name in raw), "")
        if _is_column(raw.get(first)) and not self._is_list(first, raw[first]):
            return self._of_columns(raw, fill)
        return self._of_rows([raw], fill)

    def _is_list(self, name: str, value: Any) -> bool:
        """Say whether what can be a column is one list of a feature that holds lists."""
        return name in self.list_names and not any(map(_is_column, value))

    def _of_rows(self, rows: Sequence[Mapping[str, Any]], fill: bool) -> tuple[np.ndarray, np.ndarray]:
        names = self.features
        if len(rows) == 1 and not fill:
            try:
                return self._encoder.encode_row([rows[0][name] for name in names])
            except KeyError:
                self._require(rows[0], fill)
                raise
        if fill:
            columns = [[row.get(name) for row in rows] for name in names]
        else:
            try:
                columns = [[row[name] for row in rows] for name in names]
            except KeyError:
                for row in rows:
                    self._require(row, fill)
                raise
        return self._encoder.encode(columns, len(rows))

    def _of_columns(self, raw: Mapping[str, Any], fill: bool) -> tuple[np.ndarray, np.ndarray]:
        self._require(raw, fill)
        columns = {name: _listed(raw[name]) for name in self.features if name in raw}
        lengths = {name: len(column) for name, column in columns.items()}
        count = next(iter(lengths.values()))
        for name, length in lengths.items():
            if length != count:
                raise UserError(f"{name}: {length} values, but {next(iter(lengths))} has {count}")
        missing = [None] * count
        return self._encoder.encode([columns.get(name, missing) for name in self.features], count)

    def _of_table(self, table: "pa.Table", fill: bool) -> tuple[np.ndarray, np.ndarray]:
        import pyarrow as pa

        self._require(dict.fromkeys(table.column_names), fill)
        columns = [
            table.column(name).combine_chunks() if name in table.column_names else pa.nulls(len(table))
            for name in self.features
        ]
        return self._encoder.encode_arrow(columns, len(table))

    def _require(self, present: Mapping[str, Any], fill: bool) -> None:
        absent = [] if fill else [name for name in self.features if name not in present]
        if absent:
            more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
            raise UserError(
                f"column {', '.join(absent[:5])}{more} that the model reads is not there; add it, or take it as "
                'missing with missing_columns="fill"'
            )


def load(path: str | Path, threads: int = 1, engine: str = "auto", *, verify: bool = True) -> PackedModel:
    """Return the packed model in a file, which is mapped.

    Args:
        path: What `recsys-bnn pack` wrote.
        threads: Threads of a call.
        engine: What runs it: ``auto``, or a name in :data:`recsys_bnn.runtime.engines.ENGINES`.
        verify: Compare all bytes with their digests, about two seconds for a gigabyte.

    Raises:
        UserError: the file is missing, no packed model, altered or newer, or the engine can't run here.
    """
    path = Path(path)
    return PackedModel(read_packed(path, verify=verify), path, threads, engine)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return probabilities, float64, of logits; those below -700 count as -700, as the exponential ends there."""
    return 1 / (1 + np.exp(-np.maximum(logits, -700.0, dtype=np.float64)))


def _is_column(value: Any) -> bool:
    return not isinstance(value, str | bytes) and hasattr(value, "__len__")


def _listed(column: Any) -> list[Any]:
    """Return a column as a list of Python's values."""
    if isinstance(column, list):
        return column
    if not _is_column(column):
        raise UserError(
            f"{str(column)[:40]!r}: a single value beside columns; give each column as many values"
        )
    for name in ("to_pylist", "tolist"):
        if hasattr(column, name):
            return getattr(column, name)()
    return list(column)


def _arrow_table(raw: Any) -> "pa.Table":
    """Return a data frame of pandas or polars, or what else speaks Arrow, as a table."""
    import pyarrow as pa

    if isinstance(raw, pa.Table):
        return raw
    if isinstance(raw, pa.RecordBatch):
        return pa.Table.from_batches([raw])
    if type(raw).__module__.startswith("pandas"):
        return pa.Table.from_pandas(raw, preserve_index=False)
    if hasattr(raw, "__arrow_c_stream__"):
        return pa.table(raw)
    raise UserError(
        f"can't read rows from a {type(raw).__name__}; give a mapping, a list of mappings, a data frame or an Arrow table"
    )
