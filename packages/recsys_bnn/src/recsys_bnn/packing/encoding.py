"""What turned raw values into the numbers of a data set, as arrays of a packed file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys_bnn.data.dataset import Dataset
from recsys_bnn.data.formats.keys import HexKeys, IntegerKeys, ListKeys, TextKeys
from recsys_bnn.data.formats.table import NO_NUMBER, NO_TEXT
from recsys_bnn.data.formats.table_schema import parse_schema
from recsys_bnn.data.id_table import FIRST_VALUE
from recsys_bnn.data.vocabulary import FILE

_OF_GENRES = "|"
"""What stands between MovieLens's genres."""
_SPELLING = {HexKeys.kind: HexKeys(), IntegerKeys.kind: IntegerKeys()}


def encoding_section(
    dataset: Dataset, cardinalities: Sequence[int]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the facts and the arrays of the encoding section (:class:`recsys_bnn.runtime.encoder.Encoder`).

    Args:
        dataset: The data that the model learned from.
        cardinalities: Ids that the model has of each field. Values beyond them read as unknown, so they are left out.
    """
    described = dataset.description
    text = described.get("table_schema")
    schema = None if text is None else parse_schema(text, Path("schema"))
    listed = frozenset() if schema is None else frozenset(schema.missing)
    parts = [
        _field(dataset, name, kind, count)
        for name, kind, count in zip(
            dataset.categorical_names, described["kinds"], cardinalities, strict=True
        )
    ]
    facts = {
        "format": described.get("format", ""),
        "integer_names": dataset.integer_names,
        "categorical_names": dataset.categorical_names,
        "kinds": described["kinds"],
        "normalisation": described["normalisation"],
        "fields": [facts for facts, _ in parts],
        "missing_numbers": sorted(NO_NUMBER | listed if text is not None else {""}),
        "missing_texts": sorted(NO_TEXT | listed if text is not None else {""}),
        "whole_decimals": text is not None,
        "table_schema": text,
        "vocabulary": dataset.vocabulary,
    }
    if dataset.list_widths:
        separators = [_OF_GENRES] if schema is None else [*schema.lists.values()]
        facts |= {"list_widths": dataset.list_widths, "separators": separators}
    empty = {"keys": np.uint32, "letters": np.uint8, "lengths": np.int32}
    arrays = {
        name: np.concatenate([np.empty(0, dtype), *(found[name] for _, found in parts if name in found)])
        for name, dtype in empty.items()
    }
    return facts, arrays


def _field(
    dataset: Dataset, name: str, kind: str, cardinality: int
) -> tuple[dict[str, int], dict[str, np.ndarray]]:
    texts = _texts(dataset, name)
    if name in dataset.description["hashed"]:
        return {"buckets": len(texts)}, {}
    texts = texts.slice(0, max(cardinality - FIRST_VALUE, 0))
    if kind in (TextKeys.kind, ListKeys.kind):
        letters, lengths = _letters(texts)
        return {"texts": len(texts)}, {"letters": letters, "lengths": lengths}
    return {"keys": len(texts)}, {"keys": _SPELLING[kind].keys(texts)}


def _texts(dataset: Dataset, name: str) -> pa.Array:
    """Return the values of a field with an id of their own, in the order of the ids."""
    column = pq.read_table(dataset.folder / FILE, columns=["value"], filters=[("field", "==", name)])["value"]
    return column.combine_chunks().slice(FIRST_VALUE)


def _letters(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return the UTF-8 of all texts, uint8, and the bytes of each, int32."""
    encoded = [text.encode() for text in texts.to_pylist()]
    letters = np.frombuffer(b"".join(encoded), np.uint8)
    return letters, np.array([len(text) for text in encoded], np.int32)
