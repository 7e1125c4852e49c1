"""Fields of lists in a model: several ids of one field in a row, whose rows of the table are averaged.

The mean counts a repeated item as often as it stands there, as ``torch.nn.functional.embedding_bag`` does with mode
``mean``, and the gradient of the table has an entry for each item.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ListColumns(nn.Module):
    """Which columns of a row's ids belong to which field.

    Args:
        fields: Number of fields, F.
        widths: Columns of each of the last fields, which hold lists; C columns in all.
    """

    fields: Tensor
    firsts: Tensor

    def __init__(self, fields: int, widths: Sequence[int]):
        super().__init__()
        self.widths, self.single = tuple(widths), fields - len(widths)
        every = [1] * self.single + list(widths)
        numbers = [field for field, width in enumerate(every) for _ in range(width)]
        firsts = [sum(every[:field]) for field in numbers]
        self.register_buffer("fields", torch.tensor(numbers), persistent=False)
        self.register_buffer("firsts", torch.tensor(firsts), persistent=False)

    def filled(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return ids [B, C] in which the first item stands in place of none, and each id's share of its field's mean.

        The first id of a field always counts. Rows in place of no item would otherwise get a gradient, if one of zeros,
        and move with an optimizer that has momentum.
        """
        firsts = ids[:, self.firsts]
        there = (ids >= 0) | (torch.arange(ids.shape[1], device=ids.device) == self.firsts)
        counts = torch.zeros(len(ids), len(self.widths) + self.single, device=ids.device)
        counts.index_add_(1, self.fields, there.float())
        return torch.where(there, ids, firsts), there / counts[:, self.fields]

    def pooled(self, vectors: Tensor, shares: Tensor) -> Tensor:
        """Return the mean of each field's vectors, [B, F, D].

        Args:
            vectors: Rows of all ids, [B, C, D].
            shares: Each id's share of the mean, [B, C].
        """
        single = self.single
        means, start = [vectors[:, :single]], single
        for width in self.widths:
            part = slice(start, start + width)
            means.append(shares[:, None, part] @ vectors[:, part])
            start += width
        return torch.cat(means, dim=1)
