"""Models to beat: hashed logistic regression."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression

from recsys_bnn.data.dataset import Dataset, Rows
from recsys_bnn.data.lists import by_field

_HASH_BITS = 18
_STRENGTHS = (0.01, 0.03, 0.1, 0.3)
_USUAL = 0.1
"""The strength where there are no validation rows to choose on."""


def logistic_regression(dataset: Dataset, split: str = "test", seed: int = 0) -> np.ndarray:
    """Fit a hashed logistic regression and return its click probability for each row of ``split``.

    Every categorical value and every integer, rounded to steps of half a standard deviation, is one hashed
    binary feature (Weinberger et al. 2009). The L2 strength is the best of four by log loss on the
    validation rows, after which the model is fitted to training and validation rows together.

    Args:
        dataset: Prepared rows, few enough to hold in memory.
        split: Rows to predict.
        seed: Seed of the solver.
    """

    def features(*splits: str) -> csr_array:
        return hashed_features(dataset.rows(*splits), dataset.list_widths)

    train, val = features("train"), features("val")
    labels, val_labels = dataset.rows("train").labels(), dataset.rows("val").labels()

    def fit(strength: float, features: csr_array, targets: np.ndarray) -> LogisticRegression:
        return LogisticRegression(C=strength, max_iter=300, random_state=seed).fit(features, targets)

    def val_loss(strength: float) -> float:
        return float(
            -fit(strength, train, labels)
            .predict_log_proba(val)[np.arange(len(val_labels)), val_labels]
            .mean()
        )

    best = min(_STRENGTHS, key=val_loss) if len(val_labels) else _USUAL
    model = fit(best, features("train", "val"), dataset.rows("train", "val").labels())
    return model.predict_proba(features(split))[:, 1] if len(dataset.rows(split)) else np.empty(0)


def hashed_features(rows: Rows, widths: Sequence[int] = ()) -> csr_array:
    """Return one binary feature per field and row, hashed to 2^18 columns: a sparse [len(rows), 2^18].

    Each of the n items of a list is a feature of 1 / n.

    Args:
        rows: Rows of a data set.
        widths: Ids in a row of each of the last fields, which hold lists.
    """
    _, integers, categoricals = rows.columns()
    # A missing integer counts as the mean, as in the models without missing flags that this one stands beside.
    steps = np.floor(2 * np.nan_to_num(integers)).astype(np.int64)
    values = np.concatenate([steps, categoricals], axis=1)
    lists = by_field(categoricals, widths)[-len(widths) :] if widths else []
    single = values.shape[1] - sum(widths)
    fields = np.concatenate([np.arange(single), np.repeat(np.arange(single, single + len(widths)), widths)])
    fields = fields.astype(np.uint64)
    keys = values.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + fields * np.uint64(0xBF58476D1CE4E5B9)
    columns = ((keys ^ (keys >> np.uint64(31))) * np.uint64(0x94D049BB133111EB)) >> np.uint64(64 - _HASH_BITS)
    starts = np.arange(len(values) + 1) * values.shape[1]
    data = np.ones(values.shape, np.float32)
    if lists:
        data[:, single:] = np.concatenate([(ids >= 0) / (ids >= 0).sum(1, keepdims=True) for ids in lists], 1)
    return csr_array(
        (data.ravel(), columns.astype(np.int32).ravel(), starts), shape=(len(values), 1 << _HASH_BITS)
    )
