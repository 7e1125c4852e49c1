"""A weight for each frequent value and each integer, beside the interactions: the wide part of a wide and deep model.

Sources: Cheng et al., "Wide & Deep Learning for Recommender Systems", DLRS 2016, Sec. 3.1 and 3.3; Guo et al.,
"DeepFM", IJCAI 2017, Eq. 2 (the weights of the features themselves).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recsys_bnn.model.layers import capped
from recsys_bnn.model.lists import ListColumns

LEAST_ROWS = 16_384
"""So many values may have a weight of their own, however short the tables are."""
SHARE = 0.02
"""Share of the values that may in long tables: at 8 bits each, a hundredth of the bytes of 16 one-bit values a row."""
FIRST_ORDER_BITS = 8
"""Bits of a stored weight."""
_CODES = 2 ** (FIRST_ORDER_BITS - 1) - 1


class FirstOrder(nn.Module):
    """Adds up one weight for each categorical value and a slope for each integer input.

    Sixteen thousand values have a weight of their own, or a fiftieth of all where that is more: the most frequent
    ones, as many in each field that has so many. Others add nothing. The penalty of its optimizer keeps the weights of
    rare values small, so it takes values that are read too seldom for a row of the tables, too. The weights are kept in 8 bits with a scale a
    field, so they are rounded once the training has ended: see :meth:`round_to_codes`.

    Args:
        values: Ids of each of the F fields, those too rare for a table row among them.
        integer_inputs: Numbers beside them, I, or 2 I with missing flags.
        list_widths: Ids in a row of each of the last fields, which hold lists; the mean of their weights is added.
    """

    rows: Tensor
    offsets: Tensor
    values: Tensor

    def __init__(self, values: Sequence[int], integer_inputs: int, list_widths: Sequence[int] = ()):
        super().__init__()
        counts = capped(values, max(SHARE, LEAST_ROWS / sum(values)))
        rows = torch.tensor(counts)
        self.register_buffer("values", torch.tensor(list(values)), persistent=False)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("offsets", rows.cumsum(0) - rows, persistent=False)
        self.lists = ListColumns(len(counts), list_widths) if list_widths else None
        self.weight = nn.Parameter(torch.zeros(sum(counts)))
        self.integer_weight = nn.Parameter(torch.zeros(integer_inputs)) if integer_inputs else None

    def forward(self, integers: Tensor, ids: Tensor) -> Tensor:
        """Return what the features add to the logit, [B].

        Args:
            integers: Integer inputs without missing values, with the flags if there are any, float [B, I or 2 I].
            ids: Ids within each field, int [B, F], or with lists [B, C] with -1 behind the last item of each.
        """
        if self.lists is None:
            added = self._weights(ids, self.rows, self.offsets).sum(1)
        else:
            items = self.lists.items(ids)
            weights = self._weights(items.ids, self.rows[items.fields], self.offsets[items.fields])
            added = items.means(weights).view(len(ids), -1).sum(1)
        return added if self.integer_weight is None else added + integers @ self.integer_weight

    def _weights(self, ids: Tensor, rows: Tensor, offsets: Tensor) -> Tensor:
        has_weight = (ids >= 0) & (ids < rows)
        return self.weight[torch.where(has_weight, ids, 0) + offsets] * has_weight

    def reset_parameters(self) -> None:
        """Begin with weights of zero, so that the first step's gradient is that of the interactions alone."""
        for weight in self.parameters():
            nn.init.zeros_(weight)

    def scales(self) -> Tensor:
        """Return the scale of each field's codes, [F]: its largest weight is code 127."""
        parts = self.weight.detach().split(self.rows.tolist())
        return torch.stack([part.abs().max() / _CODES for part in parts])

    @torch.no_grad()
    def codes(self) -> Tensor:
        """Return each weight as a whole number of its field's scale, int8 [sum of rows]."""
        scales = self.scales().repeat_interleave(self.rows)
        return torch.where(scales > 0, self.weight / scales, 0.0).round().to(torch.int8)

    @torch.no_grad()
    def round_to_codes(self) -> None:
        """Make each weight what its 8-bit code says."""
        self.weight.copy_(self.codes() * self.scales().repeat_interleave(self.rows))
