"""A packed model in one C call for a batch."""

import ctypes
import weakref
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys_bnn.runtime.native import kernels, probe, tables
from recsys_bnn.runtime.native.structures import CLASSES, Arrays, FirstOrder, Layer, Model, round_up
from recsys_bnn.runtime.numpy_engine import integer_inputs, quantized
from recsys_bnn.runtime.spec import FirstOrder as FirstOrderSpec
from recsys_bnn.runtime.spec import LayerSpec, ModelSpec, check_rows

_BLOCK_BYTES = 160_000
"""Inputs of the top MLP that run through all layers together; they and the weights stay in a second-level cache."""
_BLOCK_ROWS = (12, 48)
_BRIEF_ROWS = 8
_OTHER_FORM = -1


@dataclass(frozen=True)
class Choice:
    """What runs a part of a model, and what else was measured."""

    part: str
    rows: str
    """Rows of a batch for which it was chosen."""
    kernel: str
    nanoseconds: dict[str, float]
    """Time of each kernel that could run it."""


class NativeEngine:
    """Runs any spec by the C engine.

    Args:
        spec: The model. Its tables are read where they stand, so that a mapped file stays mapped.
        threads: Threads that share the rows of a batch.
        march: Level of instructions, such as ``x86-64-v3``; None for all that this processor has.

    Raises:
        EngineUnavailable: it can't be compiled or loaded here.
    """

    name = "native"

    def __init__(self, spec: ModelSpec, threads: int = 1, march: str | None = None):
        self.spec = spec
        self._library = probe.library(march)
        self._choices: list[Choice] = []
        self._arrays = Arrays()
        self._model = self._build(threads)
        self._address = ctypes.addressof(self._model)
        self._direct, calls = self._library.direct, self._library.calls
        self._run, self._call, self._brief_call = calls.rb_run, calls.rb_call, self._library.brief.rb_call
        self._library.calls.rb_open(self._address)
        weakref.finalize(self, _close, self._library.calls.rb_close, self._model, self._arrays)

    def logits(self, integers: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Return the logits, float32 [B].

        Args:
            integers: Normalised integers, float32 [B, I]; NaN for a missing one.
            ids: Ids within each field, int32 [B, F].
        """
        out = np.empty(len(ids), np.float32)
        status = _OTHER_FORM
        if self._direct:
            call = self._brief_call if len(ids) <= _BRIEF_ROWS else self._call
            status = call(self._address, id(integers), id(ids), id(out))
        if status == _OTHER_FORM:
            return self._checked(integers, ids)
        if status:
            raise MemoryError("no memory for a batch")
        return out

    def _checked(self, integers: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Return the logits of rows in any form that NumPy can bring into the one that the engine reads."""
        integers, ids = check_rows(self.spec, integers, ids)
        out = np.empty(len(ids), np.float32)
        if self._run(self._address, integers.ctypes.data, ids.ctypes.data, out.ctypes.data, len(ids)):
            raise MemoryError("no memory for a batch")
        return out

    def traced(self, integers: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return what :meth:`recsys_bnn.runtime.numpy_engine.NumpyEngine.traced` does.

        The layers run one after the other, by the kernels of large batches. A row's floats are those that it has in
        :meth:`logits`, as they do not depend on its batch.
        """
        integers, ids = check_rows(self.spec, integers, ids)
        seen: list[np.ndarray] = []
        x, dense = integer_inputs(integers, self.spec.missing_flags), None
        if self.spec.bottom is not None:
            x = dense = self._mlp(self._model.bottom, self.spec.bottom, x, seen)
        self._mlp(self._model.top, self.spec.top, self._products(ids, dense), seen)
        return self.logits(integers, ids), seen

    def _mlp(
        self, address: int, layers: Sequence[LayerSpec], x: np.ndarray, seen: list[np.ndarray]
    ) -> np.ndarray:
        """Return the outputs [B, N] of layers whose structures begin at ``address``."""
        many = len(CLASSES) - 1
        for index, layer in enumerate(layers):
            seen.append(quantized(layer.inputs, x))
            given = np.pad(x, ((0, 1), (0, 48)))  # the engine reads beyond a row
            out = np.empty((len(x), round_up(layer.outputs, 32)), np.float32)
            at = address + index * ctypes.sizeof(Layer)
            took = self._library.calls.rb_layer(
                at, many, given.ctypes.data, given.shape[1], len(x), 1, out.ctypes.data
            )
            if took < 0:
                raise MemoryError("no memory for a batch")
            x = np.ascontiguousarray(out[:, : layer.outputs])
        return x

    def _products(self, ids: np.ndarray, dense: np.ndarray | None) -> np.ndarray:
        """Return the inputs of the top MLP, [B, D + products]."""
        model, parts = self._model, []
        name = kernels.INTERACTIONS[model.methods[len(CLASSES) - 1]]
        for start in range(0, len(ids), model.block):
            some = slice(start, start + model.block)
            given = None if dense is None else np.ascontiguousarray(dense[some])
            parts.append(self._interact(model, name, ids[some], given)[0])
        return np.concatenate(parts)

    def call_times(
        self, integers: np.ndarray, ids: np.ndarray, batch: int, seconds: float, most: int = 100_000
    ) -> np.ndarray:
        """Return the nanoseconds of one call after another, measured inside C, int64 [calls].

        Args:
            integers: As for :meth:`logits`; batches are taken from these rows in turn.
            ids: As for :meth:`logits`.
            batch: Rows of a call.
            seconds: How long to go on.
            most: Calls at most.

        Raises:
            ValueError: there are fewer rows than a batch has.
        """
        integers, ids = check_rows(self.spec, integers, ids)
        if len(ids) < batch:
            raise ValueError(f"{len(ids)} rows are less than a batch of {batch}")
        out, took = np.empty(batch, np.float32), np.empty(most, np.int64)
        count = self._library.calls.rb_time(
            self._address,
            integers.ctypes.data,
            ids.ctypes.data,
            out.ctypes.data,
            len(ids),
            batch,
            int(seconds * 1e9),
            most,
            took.ctypes.data,
        )
        if count < 0:
            raise MemoryError("no memory for a batch")
        return took[:count]

    def choices(self) -> list[Choice]:
        """Return which kernel runs each part."""
        return list(self._choices)

    # ------------------------------------------------------------------------------------------------- structures

    def _build(self, threads: int) -> Model:
        spec, arrays = self.spec, self._arrays
        bottom, top = self._layers("bottom", spec.bottom or ()), self._layers("top", spec.top)
        made = Model(
            integers=spec.integers,
            flags=spec.missing_flags,
            block=_block_rows(spec),
            bottoms=len(bottom),
            tops=len(top),
            threads=threads,
            bottom=ctypes.addressof(bottom),
            top=ctypes.addressof(top),
            table=tables.structure(spec.table, spec.bottom is not None, arrays),
        )
        if spec.first_order is not None:
            made.has_first_order = True
            made.first = _first_order(spec.first_order, tables.column_fields(spec.table), arrays)
        made.methods[:] = [self._interaction(made)] * len(CLASSES)
        return made

    def _layers(self, mlp: str, specs: Sequence[LayerSpec]) -> ctypes.Array[Layer]:
        made = [self._layer(f"{mlp}.{index}", spec) for index, spec in enumerate(specs)]
        layers = (Layer * len(made))(*made)
        self._arrays.keep(layers)
        return layers

    def _layer(self, name: str, spec: LayerSpec) -> Layer:
        layer, times = kernels.prepare(spec), probe.choose(self._library, spec)
        best = {rows: min(took, key=took.__getitem__) for rows, took in times.items()}
        part = f"{name}: {layer.describe()}"
        self._choices += [Choice(part, rows, best[rows], times[rows]) for rows in CLASSES]
        ways = {kernel: kernels.way(layer, kernel, self._arrays) for kernel in set(best.values())}
        return kernels.structure(layer, [ways[best[rows]] for rows in CLASSES], self._arrays)

    def _interaction(self, model: Model) -> int:
        """Return the number of the fastest way to look up and multiply rows, the same for all batches."""
        names = self._library.interactions(tables.interactions(self.spec.table))
        times = {name: self._interaction_time(model, name) for name in names}
        best = min(times, key=times.__getitem__)
        table = self.spec.table
        part = f"interaction: {self.spec.vectors} vectors of {table.dim}, {table.cold.bits}-bit"
        self._choices.append(Choice(part, "all", best, times))
        return kernels.INTERACTIONS.index(best)

    def _interaction_time(self, model: Model, name: str, rows: int = 12, trials: int = 5) -> float:
        ids = np.zeros((rows, self.spec.columns), np.int32)
        return min(self._interact(model, name, ids)[1] for _ in range(trials))

    def _interact(
        self, model: Model, name: str, ids: np.ndarray, dense: np.ndarray | None = None
    ) -> tuple[np.ndarray, int]:
        """Return the inputs of the top MLP, [B, D + products], and the nanoseconds."""
        vectors, dim = self.spec.vectors, self.spec.table.dim if self.spec.bottom else 0
        out = np.empty((len(ids), dim + vectors * (vectors - 1) // 2), np.float32)
        dense = np.zeros((len(ids), dim), np.float32) if dense is None else dense
        method = kernels.INTERACTIONS.index(name)
        took = self._library.calls.rb_interact(
            ctypes.addressof(model), dense.ctypes.data, ids.ctypes.data, len(ids), 1, method, out.ctypes.data
        )
        if took < 0:
            raise MemoryError("no memory for a batch")
        return out, took


def _close(close: object, model: Model, arrays: Arrays) -> None:
    """End the threads of a model that nobody uses any more; the arguments are kept until then."""
    close(ctypes.addressof(model))  # ty: ignore[not-callable]
    del arrays


def _block_rows(spec: ModelSpec) -> int:
    inputs = spec.table.dim + spec.vectors * (spec.vectors - 1) // 2
    widest = max(layer.values for layer in spec.layers()) if spec.layers() else inputs
    rows = _BLOCK_BYTES // (4 * max(inputs, widest, 1)) // 12 * 12
    return max(_BLOCK_ROWS[0], min(_BLOCK_ROWS[1], rows))


def _first_order(part: FirstOrderSpec, columns: np.ndarray, arrays: Arrays) -> FirstOrder:
    fields = max(len(columns), 1)
    return FirstOrder(
        bias=part.bias,
        offset=arrays.padded((np.cumsum(part.rows) - part.rows)[columns], fields, np.int64),
        rows=arrays.padded(np.minimum(part.rows, 2**31 - 1)[columns], fields, np.uint32),
        codes=arrays.padded(part.codes, len(part.codes) + 1, np.int8),
        scale=arrays.padded(part.scale[columns], fields, np.float32),
        integer_weights=arrays.padded(
            part.integer_weights, round_up(len(part.integer_weights) + 1, 16), np.float32
        ),
    )
