"""A packed model as plain arrays, for every engine alike.

Every quantized number is ``scale * int`` with a small ``int = u * mul + add``; ``u`` is an unsigned code of few bits.
Scales, biases and batch norms are folded into what stands around the whole numbers, so that an engine has nothing
to know of training.

``runtime/numpy_engine.py`` runs a :class:`ModelSpec` step by step, and so defines what it means.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

GROUPS = 16
"""Groups of a field's ids by frequency, where each has a scale of its own."""
ScaleKind = Literal["none", "field", "group", "row"]


def pack_codes(codes: np.ndarray, bits: int) -> np.ndarray:
    """Return codes in [0, 2^bits) of shape [R, N] as bytes, uint8 [R, ceil(N * bits / 8)].

    The first code of a row stands in the lowest bits of its first byte. Unused bits at the end of a row are 0.

    Args:
        codes: Whole numbers of any integer dtype.
        bits: 1, 2, 4 or 8.
    """
    codes = codes.astype(np.uint8)
    if bits == 1:
        return np.packbits(codes, axis=1, bitorder="little")
    per_byte = 8 // bits
    padded = np.pad(codes, ((0, 0), (0, -codes.shape[1] % per_byte)))
    packed = np.zeros((len(codes), padded.shape[1] // per_byte), np.uint8)
    for place in range(per_byte):
        packed |= padded[:, place::per_byte] << np.uint8(bits * place)
    return packed


def unpack_codes(packed: np.ndarray, bits: int, count: int) -> np.ndarray:
    """Return the first ``count`` codes of each row of :func:`pack_codes`, uint8 [R, count]."""
    if bits == 1:
        return np.unpackbits(packed, axis=1, count=count, bitorder="little")
    per_byte = 8 // bits
    codes = np.empty((*packed.shape, per_byte), np.uint8)
    for place in range(per_byte):
        codes[..., place] = (packed >> np.uint8(bits * place)) & np.uint8(2**bits - 1)
    return codes.reshape(len(packed), -1)[:, :count]


@dataclass(frozen=True, eq=False)
class Codes:
    """R rows of N numbers in 1, 2, 4, 8 or 32 bits."""

    data: np.ndarray
    """Packed codes, uint8 [R, ceil(N * bits / 8)]; with 32 bits the numbers themselves, float32 [R, N]."""
    bits: int
    count: int
    """Numbers of a row, N."""
    mul: int = 1
    """The whole number of a code u is ``u * mul + add``."""
    add: int = 0

    def __len__(self) -> int:
        return len(self.data)

    def ints(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return the whole numbers of ``rows``, int32 [R, N].

        Raises:
            ValueError: these are floats.
        """
        if self.bits == 32:
            raise ValueError("floats have no codes")
        codes = unpack_codes(self.data[rows], self.bits, self.count)
        return codes.astype(np.int32) * np.int32(self.mul) + np.int32(self.add)

    def floats(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return the numbers of ``rows`` without their scales, float32 [R, N]."""
        return self.data[rows] if self.bits == 32 else self.ints(rows).astype(np.float32)

    @property
    def range(self) -> tuple[int, int]:
        """The least and the greatest whole number."""
        return self.add, (2**self.bits - 1) * self.mul + self.add


@dataclass(frozen=True, eq=False)
class FloatInput:
    """Inputs x [B, K] as they are, times a scale where quantized weights leave no place for it."""

    scale: np.ndarray | None = None
    """float32 [K], or None for 1."""


@dataclass(frozen=True, eq=False)
class CodeInput:
    """Inputs in 2, 4 or 8 bits: ``c = clamp(rint(x * scale + shift), low, high)`` in float32, ``int = c * mul + add``.

    ``rint`` rounds halves to even. The codes of 2 to 8 bits are signed where ``low`` is below 0.
    """

    bits: int
    scale: np.ndarray
    """float32 [K]."""
    shift: np.ndarray
    """float32 [K]."""
    low: int
    high: int
    mul: int = 1
    add: int = 0

    @property
    def range(self) -> tuple[int, int]:
        """The least and the greatest whole number."""
        return self.low * self.mul + self.add, self.high * self.mul + self.add


@dataclass(frozen=True, eq=False)
class SignInput:
    """T signs for each of K inputs: sign number t * K + k is +1 where ``x[k] >= threshold[t, k]``, else -1."""

    threshold: np.ndarray
    """float32 [T, K]; -inf for a sign that is always +1, +inf for one that never is."""


LayerInput = FloatInput | CodeInput | SignInput


@dataclass(frozen=True, eq=False)
class LayerSpec:
    """A linear layer from K inputs to N outputs, with the norms around it and its PReLU.

    ``y[n] = acc[n] * gain[n] + bias[n]``, then ``y`` where y >= 0 and ``slope * y`` elsewhere. ``acc`` is the sum of
    products of the inputs' and the weights' whole numbers, which is exact, or of floats where either side has 32 bits.
    """

    inputs: LayerInput
    weights: Codes
    """N rows of K weights, or of T * K where T signs tell an input."""
    gain: np.ndarray
    """float32 [N]."""
    bias: np.ndarray
    """float32 [N]."""
    slope: float | None = None
    """Of the PReLU; None for a layer without."""

    @property
    def outputs(self) -> int:
        """N."""
        return len(self.weights)

    @property
    def values(self) -> int:
        """K, the number of inputs before signs are taken."""
        signs = len(self.inputs.threshold) if isinstance(self.inputs, SignInput) else 1
        return self.weights.count // signs

    @property
    def exact(self) -> bool:
        """Whether both sides are whole numbers."""
        return self.weights.bits < 32 and not isinstance(self.inputs, FloatInput)

    def float_weights(self) -> np.ndarray:
        """Return the weights as floats, the scale of float inputs included, float32 [N, K]."""
        weights = self.weights.floats()
        scale = self.inputs.scale if isinstance(self.inputs, FloatInput) else None
        return weights if scale is None else weights * scale


@dataclass(frozen=True, eq=False)
class TableSpec:
    """The tables of all F fields as one, D values a row.

    An id at or above its field's cardinality, or below 0, reads as 0. With fewer rows than ids, id modulo rows is
    read. The last fields may hold lists: in such a field ids below 0 behind the first one are no items, and the mean of
    the items' rows, as floats, is the field's vector. The first ``hot_rows`` of a field stand in ``hot``, the others in ``cold``; both hold the fields one after
    the other. A cold row's values are ``scale * int + bias``, a hot row's ``hot_scale * int``.
    """

    cardinalities: np.ndarray
    """Ids of each field, int64 [F]."""
    rows: np.ndarray
    """Rows of each field, hot ones included, int64 [F]."""
    hot_rows: np.ndarray
    """Rows of each field that are hot, int64 [F]; 0 without hot rows."""
    cold: Codes
    hot: Codes | None
    scale_kind: ScaleKind
    """What shares a scale among the cold rows; ``none`` is a scale of 1."""
    scale: np.ndarray | None = None
    """float32 [F] for ``field``, float32 [F, GROUPS] for ``group``, float16 [cold rows] for ``row``."""
    group_starts: np.ndarray | None = None
    """First id of each group but the first, int64 [F, GROUPS - 1]: an id's group is the number of starts <= id."""
    row_bias: np.ndarray | None = None
    """float16 [cold rows], for ``row`` with 2 bits and more."""
    hot_scale: np.ndarray | None = None
    """float32 [F]; None for a scale of 1."""
    list_widths: np.ndarray | None = field(default=None, metadata={"since": 2})
    """Ids in a row of each of the last fields, which hold lists, int64 [L]; None without lists."""

    @property
    def fields(self) -> int:
        """F."""
        return len(self.rows)

    @property
    def widths(self) -> np.ndarray:
        """Ids in a row of each field, int64 [F]."""
        lists = np.empty(0, np.int64) if self.list_widths is None else self.list_widths
        return np.concatenate([np.ones(self.fields - len(lists), np.int64), lists])

    @property
    def columns(self) -> int:
        """Number of ids of a row, C: F without lists."""
        return int(self.widths.sum())

    @property
    def dim(self) -> int:
        """D."""
        return self.cold.count

    @property
    def cold_offsets(self) -> np.ndarray:
        """What to add to an id of each field for its row of ``cold``, int64 [F]; ids of hot rows are included."""
        cold_rows = self.rows - self.hot_rows
        return np.cumsum(cold_rows) - cold_rows - self.hot_rows

    @property
    def hot_offsets(self) -> np.ndarray:
        """What to add to an id of each field for its row of ``hot``, int64 [F]."""
        return np.cumsum(self.hot_rows) - self.hot_rows


@dataclass(frozen=True, eq=False)
class FirstOrder:
    """A wide part beside the interactions: it adds a number for each id and each integer to the logit.

    ``logit += bias + sum_f scale[f] * code[f][id] + sum_k integer_weights[k] * x[k]``. A list counts with the mean of its
    items' codes. The ids are those of the
    rows to score, before any hashing: there may be codes for more ids than the tables have rows. One that is not in 0 to
    ``rows[f] - 1`` adds nothing. x are the integers after a missing one became 0, with their flags if the model has
    flags.
    """

    bias: float
    rows: np.ndarray
    """Ids of each field that have a code, int64 [F]."""
    codes: np.ndarray
    """int8 [sum of rows], the fields one after the other."""
    scale: np.ndarray
    """float32 [F]."""
    integer_weights: np.ndarray
    """float32 [I], or [2 I] with flags."""


@dataclass(frozen=True, eq=False)
class ModelSpec:
    """A DLRM at inference.

    Missing (NaN) integers become 0; with ``missing_flags`` I flags (1 for missing) follow them. ``bottom`` turns them
    into the dense vector [D]. The V vectors are the dense one, if there are integers, and the row, or mean row, of each
    field.
    The input of ``top`` is the dense vector and the products of all pairs i > j of vectors, row by row. It gives the
    logit.
    """

    integers: int
    """I."""
    missing_flags: bool
    bottom: tuple[LayerSpec, ...] | None
    """None without integers."""
    table: TableSpec
    top: tuple[LayerSpec, ...]
    first_order: FirstOrder | None = None

    @property
    def fields(self) -> int:
        """F."""
        return self.table.fields

    @property
    def columns(self) -> int:
        """Number of ids of a row, C: F without lists."""
        return self.table.columns

    @property
    def vectors(self) -> int:
        """V."""
        return self.fields + (self.bottom is not None)

    def layers(self) -> Sequence[LayerSpec]:
        """Return the layers of both MLPs in the order in which they run."""
        return (*(self.bottom or ()), *self.top)


def check_rows(spec: ModelSpec, integers: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return integers [B, I] and ids [B, C] as the arrays that engines take: float32 and int32, in C order.

    Raises:
        ValueError: their shapes are not those of the model.
    """
    integers = np.ascontiguousarray(integers, np.float32)
    ids = np.ascontiguousarray(ids, np.int32)
    if ids.ndim != 2 or ids.shape[1] != spec.columns:
        raise ValueError(f"ids of shape {ids.shape}; the model reads [B, {spec.columns}]")
    if integers.shape != (len(ids), spec.integers):
        raise ValueError(f"integers of shape {integers.shape}; the model reads [{len(ids)}, {spec.integers}]")
    return integers, ids
