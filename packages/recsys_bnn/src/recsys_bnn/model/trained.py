"""Click probabilities of a model, and models from run folders."""

import numpy as np
import torch

from recsys_bnn.data.dataset import Dataset, Rows
from recsys_bnn.data.stored_runs import require_vocabulary, stored_settings
from recsys_bnn.model.dlrm import DLRM
from recsys_bnn.model.layers import rows_to_keep
from recsys_bnn.settings.training import TrainSettings
from seminar_common.checkpoints import load_weights
from seminar_common.errors import UserError
from seminar_common.runs import Run
from seminar_common.training import final_weights

PRODUCTS_BYTES = 1 << 29
"""Most bytes that the products of all pairs of vectors take where no training needs more rows at once."""


class OverflowingError(UserError):
    """A model that gives no probability for some rows."""


def kept_rows(dataset: Dataset, min_count: int, share: float = 1.0) -> tuple[int, ...]:
    """Return each field's table rows when values seen fewer than ``min_count`` times are left out.

    Ids are ordered by training count after the out-of-vocabulary and missing rows, so a higher frequency
    threshold is a shorter table. With a ``share`` below 1 the threshold rises until at most so many of the rows
    are left, or those of :func:`rows_to_keep`; the out-of-vocabulary and missing rows always stay.
    """
    if not min_count and share >= 1:
        return dataset.cardinalities
    counts = [np.asarray(dataset.counts(field))[2:] for field in range(len(dataset.cardinalities))]
    kept = [each[each >= min_count] for each in counts]
    if share < 1:
        every = np.sort(np.concatenate(kept))[::-1]
        budget = max(0, rows_to_keep(len(every) + 2 * len(kept), len(kept), share) - 2 * len(kept))
        threshold = every[budget] + 1 if budget < len(every) else 0
        kept = [each[each >= threshold] for each in kept]
    return tuple(2 + len(each) for each in kept)


def load_model(run: Run, dataset: Dataset) -> DLRM:
    """Return the trained model of ``run``, ready to predict rows of ``dataset``.

    Raises:
        UserError: the training has not ended, ``dataset`` has another vocabulary, or the weights don't fit the
            settings.
    """
    settings = stored_settings(run)  # first, as it refuses a run of another topic
    weights, path = final_weights(run)
    require_vocabulary(run, dataset)
    rows, integers = run.config()["table_rows"], len(dataset.integer_names)
    model = DLRM(settings.model, integers, rows, dataset.cardinalities, dataset.list_widths)
    load_weights(model, weights, path)
    return model.eval()


def build_model(settings: TrainSettings, dataset: Dataset) -> DLRM:
    """Return a DLRM with uninitialised weights, of the sizes that ``settings`` and ``dataset`` ask for."""
    cardinalities = kept_rows(dataset, settings.optimization.min_count, settings.optimization.kept_share)
    integers, widths = len(dataset.integer_names), dataset.list_widths
    return DLRM(settings.model, integers, cardinalities, dataset.cardinalities, widths)


def rows_at_once(rows: Rows, most: int) -> int:
    """Return how many of ``rows`` to compute at once: ``most``, or fewer where there are many fields.

    Then the products of all pairs of vectors would take more than :data:`PRODUCTS_BYTES`.
    """
    return max(1, min(most, PRODUCTS_BYTES // (4 * (rows.fields + 1) ** 2)))


@torch.inference_mode()
def predict(model: torch.nn.Module, rows: Rows, device: torch.device, batch_size: int = 8192) -> np.ndarray:
    """Return the click probability of each row, float64 of shape [len(rows)].

    Args:
        model: Maps integers [B, I] and categoricals [B, F] to logits [B]; its training mode is restored.
        rows: Rows in the order of the answer.
        device: Where the model is.
        batch_size: Most rows of one forward pass.

    Raises:
        OverflowingError: the model overflows on some rows, as one that has nearly diverged may do.
    """
    training = model.training
    model.eval()
    parts = [
        torch.sigmoid(model(b.integers.to(device), b.categoricals.to(device)).double()).cpu()
        for b in rows.batches(rows_at_once(rows, batch_size))
    ]
    model.train(training)
    probabilities = torch.cat([torch.empty(0, dtype=torch.float64), *parts]).numpy()
    bad = int(np.isnan(probabilities).sum())
    if bad:
        raise OverflowingError(
            f"the model gives no probability for {bad:,} of {len(probabilities):,} rows, since its values overflow; "
            "train it again with a lower --learning-rate"
        )
    return probabilities
