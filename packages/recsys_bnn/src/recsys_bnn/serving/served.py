"""A packed model as the server uses it: columns of JSON values in, probabilities out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from recsys_bnn.data.chunks import array, cells
from recsys_bnn.data.id_table import OUT_OF_VOCABULARY
from recsys_bnn.data.lists import encode_fields, rows_with, width_of
from recsys_bnn.runtime import values
from recsys_bnn.runtime.packed import PackedModel, load
from recsys_bnn.serving.direct import DirectReader, direct_reader
from recsys_bnn.serving.requests import BadRequest, Bodies, Columns, Feature, Values
from seminar_common.errors import UserError


@dataclass(frozen=True)
class Asked:
    """The rows of a request, as the model reads them."""

    integers: np.ndarray
    """float32 [N, I]; NaN for a missing one."""
    ids: np.ndarray
    """int32 [N, C]; -1 behind the last item of a list."""
    unknown: dict[str, int]
    """By field, the values that the vocabulary lacks; fields without any are left out."""
    top: int
    """How many rows to return, at most N."""


def best(probabilities: np.ndarray, top: int) -> np.ndarray:
    """Return the places of the ``top`` highest probabilities, int64, best first; of equal ones the earlier first."""
    falling = -probabilities
    last = np.partition(falling, top - 1)[top - 1]
    kept = np.flatnonzero(~(falling > last))  # in their order; NaN is above nothing
    return kept[np.argsort(falling[kept], kind="stable")[:top]]


class Served:
    """A packed model with what reads its requests.

    Args:
        model: The model.
        max_rows: Most rows of a request.

    Raises:
        UserError: the model reads encoded rows only.
    """

    def __init__(self, model: PackedModel, max_rows: int):
        self._model = model
        self.card: dict[str, Any] = dict(model.card)
        self.name, self.digest, self.engine = model.name, model.digest, model.engine.name
        self.summary = f"{self.name}, digest {self.digest[:12]}, engine {self.engine}"
        encoder = self._encoder = model.encoder
        encoder.make_tables()
        decimals = encoder.normalisation.signed
        wholes = len(encoder.integer_names) - decimals
        features = [
            *map(Feature, encoder.integer_names, ["whole"] * wholes + ["decimal"] * decimals),
            *map(Feature, encoder.categorical_names, encoder.kinds),
        ]
        self.bodies = Bodies(features, max_rows)
        readers = _readers(self.card["encoding"])
        self._readers = {f.name: readers[f.kind] for f in features if f.kind in readers}
        for name, separator in zip(
            model.list_names, self.card["encoding"].get("separators", ()), strict=True
        ):
            self._readers[name] = _list_reader(readers[values.TEXT], self.card["encoding"], separator)
        self._direct: DirectReader | None = direct_reader(
            encoder, features, self.card["encoding"], model.file.encoding, max_rows
        )

    def asked_scores(self, body: bytes) -> Asked:
        """Return the rows of a body of /score.

        Raises:
            BadRequest: the body is no JSON, or not of the form that is asked for; or a value is not what its feature
                takes.
        """
        found = self._read(body, ranks=False)
        if found is None:
            columns, rows = self.bodies.score(body)
            found = self.encoded(columns, {}, rows)
        return found

    def asked_ranks(self, body: bytes) -> Asked:
        """Return the candidates of a body of /rank.

        Raises:
            BadRequest: as for :meth:`asked_scores`.
        """
        found = self._read(body, ranks=True)
        if found is None:
            asked = self.bodies.rank(body)
            found = replace(self.encoded(asked.candidates, asked.context, asked.rows), top=asked.top)
        return found

    def _read(self, body: bytes, *, ranks: bool) -> Asked | None:
        """Return what a body of the usual form holds."""
        found = None if self._direct is None else self._direct.read(body, ranks=ranks)
        if found is None:
            return None
        rows = len(found.ids)
        return Asked(found.integers, found.ids, found.unknown, min(found.top or rows, rows))

    def score(self, asked: Asked) -> np.ndarray:
        """Return the probabilities of rows, float64 [N]."""
        return self._model.predict_encoded(asked.integers, asked.ids)

    def encoded(self, columns: Columns, context: Columns, rows: int) -> Asked:
        """Return rows of JSON values as the model reads them.

        Args:
            columns: Features with a value for each row.
            context: The other features, with one value that all rows share.
            rows: Number of rows.

        Raises:
            BadRequest: a value is not what its feature takes.
        """
        integers, ids, unknown = self._of_context(context, rows)
        encoder = self._encoder
        for index, name in enumerate(encoder.integer_names):
            if name in columns:
                integers[:, index] = encoder.normalisation.encode(index, self._column(name, columns[name]))
        at = 0
        for field, name in zip(encoder.fields, encoder.categorical_names, strict=True):
            end = at + width_of(field)
            if name in columns:
                found = encode_fields([field], [self._column(name, columns[name])], rows)
                ids[:, at:end] = found.T
                if missed := rows - int(
                    np.count_nonzero(found.all(axis=0))
                ):  # the id of an unknown value is 0
                    unknown[name] = missed
            at = end
        return Asked(integers, ids, unknown, rows)

    def _of_context(self, context: Columns, rows: int) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
        """Return integers [rows, I] and ids [rows, C] with the features of the context, and its unknown values.

        The context is encoded as one row, by what is quick for one.
        """
        encoder = self._encoder
        if not context:
            shape = (rows, len(encoder.integer_names)), (rows, sum(map(width_of, encoder.fields)))
            return np.empty(shape[0], np.float32), np.empty(shape[1], np.int32), {}
        try:
            row = {name: values[0] for name, values in context.items()}
            integers, ids = self._model.encode(row, missing_columns="fill")
        except UserError as error:
            raise BadRequest(f"context.{error}") from error
        found = rows_with(OUT_OF_VOCABULARY, ids, encoder.list_widths).tolist()
        unknown = {name: 1 for name, there in zip(encoder.categorical_names, found, strict=True) if there}
        return np.repeat(integers, rows, axis=0), np.repeat(ids, rows, axis=0), unknown

    def _column(self, name: str, given: Values) -> pa.Array:
        """Return the values of a feature as the encoder takes them: numbers, keys or texts."""
        reader = self._readers[name]
        found = reader.fast(given)
        if found is not None:
            return found
        read = []
        for place, value in enumerate(given):
            try:
                read.append(reader.plain(value))
            except ValueError as error:
                raise BadRequest(f"{name}[{place}]: {str(value)[:40]!r}, expected {error}") from error
        return pa.array(read, reader.type)


def served(path: Path, engine: str, max_rows: int) -> Served:
    """Load a packed model and try it on one row of missing values.

    Raises:
        UserError: the file is broken, newer than this version, or gives no probability.
    """
    model = Served(load(path, engine=engine), max_rows)
    missing = {feature.name: (None,) for feature in model.bodies.features}
    if not np.isfinite(model.score(model.encoded(missing, {}, 1))).all():
        raise UserError(f"{path}: gives no probability for a row of missing values; pack the run again")
    return model


def same_features(old: Served, new: Served) -> None:
    """Raise a UserError unless a new model takes the requests that an old one takes."""
    if old.bodies.features != new.bodies.features:
        raise UserError(
            f"{new.summary}: reads other features than {old.summary}; start a server of its own for it"
        )


# --------------------------------------------------------------------------------------------- from values to keys


@dataclass(frozen=True)
class Reader:
    """Reads the values of one kind of feature."""

    fast: Callable[[Values], pa.Array | None]
    """Takes a column whole, and gives up (None) on the least irregularity."""
    plain: Callable[[Any], Any]
    """Reads one value, and is the specification; raises ValueError(what was expected)."""
    type: pa.DataType


def _readers(facts: Mapping[str, Any]) -> dict[str, Reader]:
    """Return what reads each kind, by the facts of a model's encoding."""
    missing = frozenset(facts["missing_texts"])
    text = values.text(missing, whole_decimals=facts["whole_decimals"])
    endings = ".0" if facts["whole_decimals"] else ()
    return {
        "whole": Reader(_whole_numbers, values.whole(()), pa.int64()),
        "decimal": Reader(_numbers, values.decimal(()), pa.float64()),
        values.HEX: Reader(_hex_keys, values.hex_key, pa.uint32()),
        values.INTEGER: Reader(_integer_keys, values.integer_key, pa.uint32()),
        values.TEXT: Reader(partial(_texts, missing=missing | {""}, endings=endings), text, pa.string()),
    }


def _list_reader(item: Reader, facts: Mapping[str, Any], separator: str) -> Reader:
    """Return what reads a field of lists, or of texts that spell them."""
    plain = values.items(item.plain, separator, frozenset(facts["missing_texts"]))
    return Reader(_no_list, plain, pa.list_(pa.string()))


def _no_list(column: Values) -> pa.Array | None:
    return None


def _numbers(column: Values) -> pa.Array:
    numbers = np.array(column, np.float64)  # None becomes NaN, which JSON can't hold
    missing = np.isnan(numbers)
    valid = np.packbits(~missing, bitorder="little") if missing.any() else None
    return array(np.where(missing, 0, numbers), valid)


def _whole_numbers(column: Values) -> pa.Array | None:
    found = _numbers(column)
    numbers = cells(found)[0]
    if np.any((numbers != np.rint(numbers)) | (np.abs(numbers) >= 2.0**63)):
        return None
    return found.cast(pa.int64(), safe=False)  # beyond 2^53 the last digits are gone, which no logarithm sees


def _hex_keys(column: Values) -> pa.Array | None:
    known, valid = column, None
    try:
        text = " ".join(known)
    except TypeError:
        known, valid = _filled(column, "00000000")
        if not all(isinstance(value, str) for value in known):
            return None
        text = " ".join(known)
    blanks = np.frombuffer(text.encode() + b" ", np.uint8) == ord(" ")
    if len(blanks) != 9 * len(known) or not blanks[8::9].all() or np.count_nonzero(blanks) != len(known):
        return None
    try:
        keys = bytes.fromhex(text)
    except ValueError:
        return None
    return array(np.frombuffer(keys, ">u4").astype(np.uint32), valid)


def _integer_keys(column: Values) -> pa.Array | None:
    known, valid = _filled(column, 0)
    if set(map(type, known)) != {int}:
        return None
    numbers = np.array(known)
    if numbers.dtype != np.int64 or numbers.min() < -(2**31) or numbers.max() >= 2**31:
        return None
    return array(numbers.astype(np.int32).view(np.uint32), valid)


def _texts(column: Values, missing: frozenset[str], endings: str | tuple[str, ...]) -> pa.Array | None:
    if not missing.isdisjoint(column):
        return None
    try:
        texts = pa.array(column, pa.string())
    except (pa.ArrowException, TypeError):
        return None
    return None if endings and any(text and text.endswith(endings) for text in column) else texts


def _filled(column: Values, filling: Any) -> tuple[Values, np.ndarray | None]:
    """Return values without None, and a bitmap of those that are none of these; None if there were none."""
    if None not in column:
        return column, None
    valid = np.packbits([value is not None for value in column], bitorder="little")
    return [filling if value is None else value for value in column], valid
