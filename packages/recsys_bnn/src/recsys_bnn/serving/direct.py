"""Bodies of requests straight to numbers and ids, by C (``src/bodies.c``): no Python object for each value.

It takes what clients send as a rule: texts without a backslash and beyond ASCII, numbers of at most 15 digits or with a
fraction. It gives up on all else, and on all that is wrong; :mod:`recsys_bnn.serving.requests` then reads the body, and
says what is wrong.
"""

import ctypes
import functools
from collections.abc import Mapping, Sequence
from ctypes import c_int32, c_int64, c_void_p
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recsys_bnn.compiled.build import Program, Unavailable, build, load
from recsys_bnn.data.id_table import FIRST_VALUE, FREE, slot_count
from recsys_bnn.data.raw_rows import RowEncoder
from recsys_bnn.runtime.values import HEX, INTEGER, TEXT
from recsys_bnn.serving.requests import Feature

_PROGRAM = Program(Path(__file__).parent / "src", "bodies.c")
_KINDS = {"whole": 0, "decimal": 1, HEX: 2, INTEGER: 3, TEXT: 4}
_TILE = 64
_CANDIDATES = 2  # of `enum place`


class _Feature(ctypes.Structure):
    _fields_ = (
        ("name", c_void_p),
        ("length", c_int64),
        ("kind", c_int32),
        ("column", c_int32),
        ("slots", c_void_p),
        ("size", c_int64),
        ("letters", c_void_p),
        ("ends", c_void_p),
    )


class _Reader(ctypes.Structure):
    _fields_ = (
        ("features", c_void_p),
        ("names", c_void_p),
        ("missing", c_void_p),
        *((name, c_int64) for name in ("count", "name_slots", "missing_count", "numbers", "categories")),
        ("whole_decimals", c_int32),
        ("unused", c_int32),
    )


class _Found(ctypes.Structure):
    _fields_ = (
        *(
            (name, c_void_p)
            for name in (
                "context_numbers",
                "context_ids",
                "numbers",
                "ids",
                "keys",
                "unknown",
                "places",
                "seen",
                "order",
            )
        ),
        ("room", c_int64),
        ("top", c_int64),
    )


@dataclass(frozen=True)
class Direct:
    """What a body holds, as the model reads it."""

    integers: np.ndarray
    """float32 [N, I]; NaN for a missing one."""
    ids: np.ndarray
    """int32 [N, F]."""
    unknown: dict[str, int]
    """By field, the values that the vocabulary lacks; fields without any are left out."""
    top: int
    """How many to return; 0 where a body does not say it."""


class DirectReader:
    """Reads bodies for one model. Its calls may come from several threads at once.

    Args:
        library: What :func:`library` returned.
        encoder: What encodes the model's rows.
        features: The model's features, numbers before categories.
        facts: What the manifest says of the encoding.
        arrays: Arrays of the encoding section, as :class:`recsys_bnn.runtime.encoder.Encoder` takes them.
        max_rows: Most rows of a request.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        encoder: RowEncoder,
        features: Sequence[Feature],
        facts: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray],
        max_rows: int,
    ):
        self._library, self._max_rows = library, max_rows
        self._kept: list[Any] = []
        self._fields = encoder.categorical_names
        self._numbers, self._count = len(encoder.integer_names), len(features)
        normalisation = encoder.normalisation
        self._mean, self._std = np.array(normalisation.mean), np.array(normalisation.std)
        self._signed = np.arange(self._numbers) >= self._numbers - normalisation.signed
        names = [feature.name.encode() for feature in features]
        missing = [text.encode() for text in facts["missing_texts"]]
        every = (_Feature * len(features))(*map(self._feature, names, features))
        for index, feature in enumerate(every):
            feature.column = index if index < self._numbers else index - self._numbers
        self._add_vocabularies(every[self._numbers :], encoder, facts["fields"], arrays)
        _, slots, size = self._texts(names, 0)
        self._reader = _Reader(
            features=self._address(every),
            names=slots,
            missing=self._address((_Feature * len(missing))(*map(self._feature, missing))),
            count=len(features),
            name_slots=size,
            missing_count=len(missing),
            numbers=self._numbers,
            categories=len(self._fields),
            whole_decimals=facts["whole_decimals"],
        )

    def _feature(self, name: bytes, feature: Feature | None = None) -> _Feature:
        kind = 0 if feature is None else _KINDS[feature.kind]
        return _Feature(name=self._address(ctypes.create_string_buffer(name)), length=len(name), kind=kind)

    def _add_vocabularies(
        self,
        features: Sequence[_Feature],
        encoder: RowEncoder,
        facts: Sequence[Mapping[str, int]],
        arrays: Mapping[str, np.ndarray],
    ) -> None:
        letters = self._array(arrays["letters"])
        ends = self._array(np.cumsum(arrays["lengths"], dtype=np.int64), before=0)
        first = 0
        for feature, field, described in zip(features, encoder.fields, facts, strict=True):
            if "buckets" in described:
                feature.size = described["buckets"]
            elif feature.kind == _KINDS[TEXT]:
                feature.letters, feature.ends = letters, ends + 8 * first
                feature.slots, feature.size = self._slots(
                    letters, feature.ends, described["texts"], FIRST_VALUE
                )
                first += described["texts"]
            else:
                slots: Any = field.slots  # ty: ignore[missing-attribute]
                feature.slots, feature.size = self._array(slots), len(slots)

    def _texts(self, texts: Sequence[bytes], first: int) -> tuple[int, int, int]:
        """Return where the slots of texts are."""
        letters = self._array(np.frombuffer(b"".join(texts) or b"\0", np.uint8))
        ends = self._array(np.cumsum(list(map(len, texts)), dtype=np.int64), before=0)
        return letters, *self._slots(letters, ends, len(texts), first)

    def _slots(self, letters: int, ends: int, count: int, first: int) -> tuple[int, int]:
        size = slot_count(count)
        made = np.full((size, 2), FREE, np.int32)
        self._library.sb_texts(letters, ends, count, first, made.ctypes.data, size)
        return self._array(made), size

    def _array(self, array: np.ndarray, before: int | None = None) -> int:
        """Return the address of an array, with one number before it if that is given."""
        made = array if before is None else np.concatenate([[before], array]).astype(array.dtype)
        made = np.ascontiguousarray(made)
        self._kept.append(made)
        return made.ctypes.data

    def _address(self, structure: Any) -> int:
        self._kept.append(structure)
        return ctypes.addressof(structure)

    def read(self, body: bytes, *, ranks: bool) -> Direct | None:
        """Return what a body of /rank, or of /score, holds; None where it is not of the usual form."""
        room = max(1, min(self._max_rows, len(body) // 2))
        numbers, fields = self._numbers, len(self._fields)
        shared, each = np.empty(numbers), np.empty((numbers, room))
        shared_ids, ids = np.empty(fields, np.int32), np.empty((room, fields), np.int32)
        keys, unknown = np.empty(max(room, _TILE * fields), np.int64), np.zeros(fields, np.int64)
        places, seen = np.zeros(self._count, np.uint8), np.zeros(self._count, np.int64)
        order = np.empty(self._count, np.int32)
        arrays = (shared, shared_ids, each, ids, keys, unknown, places, seen, order)
        found = _Found(*(array.ctypes.data for array in arrays), room, 0)
        rows = self._library.sb_read(
            ctypes.addressof(self._reader), body, len(body), ctypes.addressof(found), ranks
        )
        if rows < 0:
            return None
        missed = {self._fields[field]: int(unknown[field]) for field in np.flatnonzero(unknown).tolist()}
        integers = self._integers(shared, each[:, :rows], places[:numbers] == _CANDIDATES)
        return Direct(integers, ids[:rows], missed, found.top)

    def _integers(self, shared: np.ndarray, each: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Return the normalised numbers of rows, float32 [N, I].

        Args:
            shared: Numbers of the context, float64 [I].
            each: Numbers of the rows, float64 [I, N].
            own: Which of these count, bool [I].
        """
        made = np.empty((each.shape[1], len(shared)), np.float32)
        for columns, found in ((np.flatnonzero(~own), shared[:, None]), (np.flatnonzero(own), each)):
            if len(columns):
                made[:, columns] = self._normalised(found[columns].T, columns)
        return made

    def _normalised(self, found: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return numbers of some columns, float64 [N, columns], as :class:`recsys_bnn.data.encoding.Normalisation` does."""
        signed = self._signed[columns]
        logs = np.log1p(np.where(signed, np.abs(found), np.maximum(found, 0)))
        logs = np.where(signed, np.copysign(logs, found), logs)
        return ((logs - self._mean[columns]) / self._std[columns]).astype(np.float32)


def direct_reader(
    encoder: RowEncoder,
    features: Sequence[Feature],
    facts: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    max_rows: int,
) -> DirectReader | None:
    """Return a reader; None where there is no C compiler, or a feature is of a kind that it doesn't read."""
    hashed_text = any(
        kind == TEXT and "buckets" in field
        for kind, field in zip(encoder.kinds, facts["fields"], strict=True)
    )
    known = all(feature.kind in _KINDS for feature in features)
    found = library() if known and not hashed_text else None
    return None if found is None else DirectReader(found, encoder, features, facts, arrays, max_rows)


@functools.cache
def library() -> ctypes.CDLL | None:
    """Return the compiled reader; None where it can't be compiled."""
    try:
        loaded = load(build(_PROGRAM))
    except Unavailable:
        return None
    pointer = c_void_p
    loaded.sb_texts.restype, loaded.sb_texts.argtypes = (
        None,
        (pointer, pointer, c_int64, c_int32, pointer, c_int64),
    )
    loaded.sb_read.restype, loaded.sb_read.argtypes = (
        c_int64,
        (pointer, pointer, c_int64, pointer, ctypes.c_int),
    )
    return loaded
