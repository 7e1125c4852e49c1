"""The tables of a trained model as codes, a piece at a time."""

import numpy as np
import torch
from torch import Tensor, nn

from recsys_bnn.model.layers import GROUPS, QuantEmbedding
from recsys_bnn.packing.codes import Stored, learned_scale, stored, unit
from recsys_bnn.runtime.spec import Codes, ScaleKind, TableSpec, pack_codes

_ROWS = 1 << 16  # rows of a piece


def table_spec(embedding: QuantEmbedding) -> TableSpec:
    """Return the tables of all fields.

    Raises:
        UserError: nothing is known of the codes of their quantizer.
    """
    hot_rows = embedding.hot_rows.numpy()
    cold = _Part(embedding, embedding.quantize, embedding.bits)
    for field, (first, rows) in enumerate(zip(hot_rows.tolist(), embedding.rows.tolist(), strict=True)):
        cold.add(field, first, rows)
    hot = _Part(embedding, embedding.quantize_hot, embedding.hot_bits or 32)
    for field, rows in enumerate(hot_rows.tolist()):
        hot.add(field, 0, rows)
    kind, scale = cold.scales()
    return TableSpec(
        embedding.cardinalities.numpy(),
        embedding.rows.numpy(),
        hot_rows,
        cold.codes(),
        hot.codes() if embedding.hot_count else None,
        kind,
        scale,
        embedding.group_starts.numpy() if kind == "group" else None,
        cold.row_bias(),
        hot.scales()[1] if embedding.hot_count else None,
        None if embedding.lists is None else np.array(embedding.lists.widths, np.int64),
    )


class _Part:
    """Rows of all fields that one quantizer is for."""

    def __init__(self, embedding: QuantEmbedding, quantizer: nn.Module, bits: int):
        self.embedding, self.quantizer, self.bits = embedding, quantizer, bits
        self.learned = learned_scale(quantizer)
        self.pieces: list[np.ndarray] = []
        self.notes: list[Stored] = []

    def add(self, field: int, first: int, end: int) -> None:
        """Take up the rows from ``first`` to ``end`` of a field."""
        offset = int(self.embedding.offsets[field])
        for start in range(first, end, _ROWS):
            ids = torch.arange(start, min(end, start + _ROWS))
            rows = self.embedding.weight.detach()[offset + start : offset + start + len(ids)]
            self.pieces.append(rows.numpy() if self.bits == 32 else self._stored(rows, field, ids))

    def _stored(self, rows: Tensor, field: int, ids: Tensor) -> np.ndarray:
        found = stored(self.quantizer, rows, self._scale_of(field, ids))
        packed = pack_codes(found.codes, self.bits)
        self.notes.append(Stored(packed[:0], found.mul, found.add, found.scale, found.bias))
        return packed

    def _scale_of(self, field: int, ids: Tensor) -> Tensor | None:
        """Return the learned scales of rows of one field, one or [R, 1]."""
        if self.learned is None or self.learned.ndim == 2:
            return None if self.learned is None else self.learned[field]
        groups = torch.searchsorted(self.embedding.group_starts[field], ids, right=True)
        return self.learned[groups + GROUPS * field].unsqueeze(1)

    def codes(self) -> Codes:
        """Return all rows that were taken up."""
        dim = self.embedding.dim
        if self.bits == 32:
            return Codes(np.concatenate([np.empty((0, dim), np.float32), *self.pieces]), 32, dim)
        empty = np.empty((0, -(-dim * self.bits // 8)), np.uint8)
        mul, add = (self.notes[0].mul, self.notes[0].add) if self.notes else (1, 0)
        return Codes(np.concatenate([empty, *self.pieces]), self.bits, dim, mul, add)

    def scales(self) -> tuple[ScaleKind, np.ndarray | None]:
        """Return what shares a scale, and the scales."""
        fields = len(self.embedding.rows)
        by_row = [note.scale for note in self.notes if note.scale is not None]
        if by_row:
            return "row", np.concatenate(by_row)
        if self.learned is not None:
            scale = (self.learned.double() * unit(self.quantizer)).float().numpy()
            return ("field", scale.ravel()) if scale.ndim == 2 else ("group", scale.reshape(fields, GROUPS))
        if unit(self.quantizer) == 1:
            return "none", None
        return "field", np.full(fields, unit(self.quantizer), np.float32)

    def row_bias(self) -> np.ndarray | None:
        """Return the bias of each row, or None without."""
        biases = [note.bias for note in self.notes if note.bias is not None]
        return np.concatenate(biases) if biases else None
