"""Fields of lists in a model: several ids of one field in a row, whose rows of the table are averaged.

The mean counts a repeated item as often as it stands there, as ``torch.nn.functional.embedding_bag`` does with mode
``mean``. Only items are looked up, not the columns behind the last item of a short list.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Items(NamedTuple):
    """The ids of some rows without those that stand for no item, one after the other."""

    ids: Tensor
    """int [n]."""
    fields: Tensor
    """The field of each, int [n]."""
    places: Tensor
    """Which of the rows' B x F means each belongs to, int [n]."""
    counts: Tensor
    """Items of each mean, int [B * F]."""

    def means(self, values: Tensor) -> Tensor:
        """Return the mean of the items' values [n, ...] for each row and field, [B * F, ...]."""
        sums = values.new_zeros(len(self.counts), *values.shape[1:]).index_add(0, self.places, values)
        return sums / self.counts.view(-1, *[1] * (values.dim() - 1))


class ListColumns(nn.Module):
    """Which columns of a row's ids belong to which field.

    Args:
        fields: Number of fields, F.
        widths: Columns of each of the last fields, which hold lists; C columns in all.
    """

    fields: Tensor
    first: Tensor

    def __init__(self, fields: int, widths: Sequence[int]):
        super().__init__()
        self.widths, self.count = tuple(widths), fields
        every = [1] * (fields - len(widths)) + list(widths)
        numbers = [(field, column == 0) for field, width in enumerate(every) for column in range(width)]
        self.register_buffer("fields", torch.tensor([field for field, _ in numbers]), persistent=False)
        self.register_buffer("first", torch.tensor([first for _, first in numbers]), persistent=False)

    def items(self, ids: Tensor) -> Items:
        """Return the items among ids [B, C]: those that are not negative, and the first one of each field."""
        at = ((ids >= 0) | self.first).flatten().nonzero().squeeze(1)
        rows = at // ids.shape[1]
        fields = self.fields[at - rows * ids.shape[1]]
        places = rows * self.count + fields
        return Items(ids.flatten()[at], fields, places, places.bincount(minlength=len(ids) * self.count))
