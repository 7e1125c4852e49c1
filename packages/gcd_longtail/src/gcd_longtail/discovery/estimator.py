"""The methods of this package as one scikit-learn estimator.

::

    from gcd_longtail import Discovery

    model = Discovery("ward").fit(X, y)  # y: -1, None or NaN where the class is unknown
    model.labels_  # known classes by their own label, discovered ones by a new one
    model.predict(more)

It is a classifier whose classes outnumber those in ``y``: scikit-learn's own semi-supervised classifiers
(``LabelSpreading``, ``SelfTrainingClassifier``) mark unlabelled rows by -1, too, but never find a class that no label
names.
"""

import copy
import dataclasses
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from numbers import Integral, Number
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from gcd_longtail.discovery.calibration import fit_temperature, probabilities
from gcd_longtail.discovery.methods import make_method
from gcd_longtail.discovery.number_of_classes import FEWEST, estimate
from gcd_longtail.discovery.problem import Method, Problem, check_k
from gcd_longtail.discovery.run import class_names, sort_novel
from gcd_longtail.settings.methods import EstimateConfig, SpaceConfig
from seminar_common.errors import UserError
from seminar_common.progress import silent


def _has_probabilities(estimator: "Discovery") -> bool:
    return estimator.calibrate or hasattr(getattr(estimator, "predictor_", None), "probabilities")


class Discovery(ClassifierMixin, BaseEstimator):
    """Sort rows into known classes and classes that nobody has named, from labels of some of them.

    Labels are integers, floats, strings, booleans or any objects. A discovered class gets a label of its own: the next
    free integers after integers or whole floats, else ``novel-1``, ``novel-2``, ... from the largest to the smallest.
    Numbers have leading zeros if there are ten or more, and one that a label has already is left out.

    An entry of ``y`` is unlabelled if it is -1, None, NaN or pandas' NA. In an array of strings it is ``"-1"`` or
    ``"nan"``, for so NumPy writes these among strings; use dtype object for classes of that name. Where every row is
    labelled there is nothing to discover, and what is left is a classifier of the known classes.

    Args:
        method: name of a discovery method (``gcd-longtail train --method``), or an object with a method's ``fit``.
        k: number of classes in all, known and discovered; ``"estimated"`` needs four known classes or more.
        dimensions: principal components in which rows are compared and classes are counted; None: the method's own.
        calibrate: offer :meth:`predict_proba`. It costs a second fit with a fifth of the labels held out, unless the
            method has probabilities of its own.
        verbose: say how far long work is, on standard error.
        random_state: seed, generator or None, for methods that draw and for the estimate.
        device: torch device on which methods compute, such as ``cpu`` or ``cuda:0``.

    Attributes:
        classes_: all labels, [k_]: known ones sorted, then discovered ones. The columns of :meth:`predict_proba`.
        known_classes_: the known ones among them.
        labels_: label of every training row, [N]; a labelled row keeps its own.
        unlabelled_: numbers of the unlabelled training rows, int64 [U].
        novel_score_: probability that each unlabelled training row is of a discovered class, float64 [U]; not there
            without probabilities.
        k_: number of classes in all.
        k_interval_: plausible numbers of classes, nominally 90%, where ``k`` was estimated, else None.
        k_doubt_: why not to trust the estimate, or nothing; it comes as a warning, too.
        predictor_: assigns features to classes (:class:`gcd_longtail.discovery.predictors.Predictor`).
        temperature_: of the calibrated probabilities; not there where the method has its own.
        n_features_in_: columns of ``X``.
        feature_names_in_: their names, where ``X`` was a data frame.
    """

    def __init__(
        self,
        method: str | Method = "ward",
        k: int | Literal["estimated"] = "estimated",
        *,
        dimensions: int | None = None,
        calibrate: bool = True,
        verbose: bool = False,
        random_state: int | np.random.RandomState | None = 0,
        device: str = "cpu",
    ):
        self.method = method
        self.k = k
        self.dimensions = dimensions
        self.calibrate = calibrate
        self.verbose = verbose
        self.random_state = random_state
        self.device = device

    def fit(self, X: Any, y: Any) -> Self:
        """Discover classes.

        Args:
            X: features, [N, D]; computed in float32.
            y: labels, [N], with -1, None or NaN where the class is unknown.

        Raises:
            ValueError: no label at all, a ``k`` below the known classes, or one that can't be estimated; what
                scikit-learn refuses.
        """
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y is None"
            )
        X = validate_data(self, X, dtype=np.float32, ensure_min_samples=2)
        y = column_or_1d(_array(y) if isinstance(y, list | tuple) else y, warn=True)
        check_consistent_length(X, y)
        try:
            with nullcontext() if self.verbose else silent():
                return self._fit(X, y)
        except UserError as error:  # it is a command's way to speak; who calls Python expects a ValueError
            raise ValueError(str(error)) from error

    def fit_predict(self, X: Any, y: Any) -> np.ndarray:
        """Discover classes and return the label of every row, [N]."""
        return self.fit(X, y).labels_

    def predict(self, X: Any) -> np.ndarray:
        """Return the label of each row of ``X`` [N, D]: known or discovered, [N]."""
        X = self._checked(X)
        return self.classes_[self.predictor_.predict(X)]

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each of :attr:`classes_`, float64 [N, k_], for rows of ``X`` [N, D]."""
        return self._probabilities(self._checked(X))

    @available_if(_has_probabilities)
    def novel_score(self, X: Any) -> np.ndarray:
        """Return the probability that each row of ``X`` [N, D] is of a discovered class, float64 [N]."""
        return self._novel(self._checked(X))

    # ------------------------------------------------------------------------------------------------- inside

    def _fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        for name in ("temperature_", "novel_score_"):  # of an earlier fit
            vars(self).pop(name, None)
        method, config = self._method(), EstimateConfig()
        if self.dimensions is not None:
            config = _with_dimensions(config, self.dimensions)
        seed = self._seed()
        labelled = _labelled(y)
        if not labelled.any():
            raise ValueError("no row is labelled; discovery needs labels of some classes")
        known, numbers = _numbered(y[labelled])
        # Without unlabelled rows the labelled ones stand in for them: a method wants some to look at.
        rest = X[~labelled] if not labelled.all() else X
        problem = Problem(X[labelled], numbers, rest, len(known), device=self.device)
        k = self._choose_k(problem, config, seed, nothing_new=bool(labelled.all()))
        discovery = sort_novel(method.fit(problem, k, seed), problem.known)
        self.predictor_, self.k_ = discovery.predictor, discovery.k
        self.classes_ = _with_novel(known, discovery.k)
        self.known_classes_ = self.classes_[: len(known)]
        self.unlabelled_ = np.flatnonzero(~labelled)
        assignments = np.empty(len(y), np.int64)
        assignments[labelled] = numbers
        assignments[~labelled] = discovery.assignments[: len(self.unlabelled_)]
        self.labels_ = self.classes_[assignments]
        self._calibrate(method, problem, seed)
        if _has_probabilities(self):
            self.novel_score_ = self._novel(X[self.unlabelled_])
        return self

    def _method(self) -> Method:
        method = make_method(self.method, "method") if isinstance(self.method, str) else self.method
        if self.dimensions is None:
            return method
        changed = _with_dimensions(method, self.dimensions)
        if changed is method:
            raise ValueError(
                f"dimensions={self.dimensions}: the method {self.method!r} has no such setting; leave it out, or put a "
                "PCA before it in a pipeline"
            )
        return changed

    def _seed(self) -> int:
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _choose_k(self, problem: Problem, config: EstimateConfig, seed: int, nothing_new: bool) -> int:
        """Return the number of classes; set its interval and its doubt."""
        self.k_interval_, self.k_doubt_ = None, ""
        if isinstance(self.k, Integral) and not isinstance(self.k, bool):
            check_k(int(self.k), problem.known)
            return int(self.k)
        if self.k != "estimated":
            raise ValueError(f"k={self.k!r}: must be a number of classes or 'estimated'")
        if nothing_new:
            return problem.known
        if problem.known < FEWEST:
            raise ValueError(
                f"{problem.known} known classes are too few to estimate k: {FEWEST} or more are needed; give k a number"
            )
        guess = estimate(problem, config, seed)
        self.k_interval_, self.k_doubt_ = (guess.low, guess.high), guess.doubt
        if guess.doubt:
            warnings.warn(f"the number of classes is doubtful: {guess.doubt}", stacklevel=4)
        return guess.k

    def _calibrate(self, method: Method, problem: Problem, seed: int) -> None:
        if self.calibrate and not hasattr(self.predictor_, "probabilities"):
            self.temperature_ = fit_temperature(method, problem, self.predictor_, seed)

    def _probabilities(self, X: np.ndarray) -> np.ndarray:
        own = getattr(self.predictor_, "probabilities", None)
        if own is not None:
            return np.asarray(own(X), np.float64)
        return probabilities(self.predictor_, X, self.temperature_)

    def _novel(self, X: np.ndarray) -> np.ndarray:
        return self._probabilities(X)[:, len(self.known_classes_) :].sum(1)

    def _checked(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return validate_data(self, X, dtype=np.float32, reset=False)


# ------------------------------------------------------------------------------------------------- labels


def _array(y: Sequence[Any]) -> np.ndarray:
    """Return a plain sequence as an array that keeps strings and numbers beside each other as they are."""
    mixed = any(isinstance(one, str) for one in y) and not all(isinstance(one, str) for one in y)
    return np.array(y, dtype=object) if mixed else np.asarray(y)


def _labelled(y: np.ndarray) -> np.ndarray:
    """Return which entries of ``y`` are labels, bool [N]."""
    if y.dtype.kind in "US":
        return ~np.isin(y, np.array(["-1", "nan"], y.dtype))
    if y.dtype.kind == "f":
        return ~(np.isnan(y) | (y == -1))
    if y.dtype.kind in "iu":
        return y != -1
    return np.array([not _is_missing(one) for one in y], bool)


def _is_missing(label: Any) -> bool:
    if label is None or type(label).__name__ in ("NAType", "NaTType"):  # pandas' own, which equal nothing
        return True
    return _is_number(label) and bool(label != label or label == -1)


def _is_number(label: Any) -> bool:
    return isinstance(label, Number) and not isinstance(label, bool | np.bool_)


def _is_whole(label: Any) -> bool:
    return _is_number(label) and label == int(label)


def _numbered(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes, sorted where they can be, and the number of each label's class, int64.

    Raises:
        ValueError: labels that are no classes, such as fractions.
    """
    if labels.dtype.kind != "O":
        check_classification_targets(labels)
        classes, numbers = np.unique(labels, return_inverse=True)
        return classes, numbers.astype(np.int64)
    first: dict[Any, None] = dict.fromkeys(labels.tolist())
    try:
        ordered = sorted(first)
    except TypeError:
        ordered = list(first)  # of several kinds: in the order in which they come
    if all(map(_is_number, ordered)):
        check_classification_targets(np.array(ordered))
    classes = np.empty(len(ordered), object)
    classes[:] = ordered
    place = {label: number for number, label in enumerate(ordered)}
    return classes, np.array([place[one] for one in labels.tolist()], np.int64)


def _with_novel(known: np.ndarray, k: int) -> np.ndarray:
    """Return ``known`` followed by labels for the discovered classes, [k]."""
    count = k - len(known)
    whole = known.dtype.kind in "iuf" or (known.dtype.kind == "O" and all(map(_is_whole, known)))
    if whole:
        first = max(int(max(known)) + 1, 0)  # never -1, which means unlabelled
        if known.dtype.kind != "O":
            return np.concatenate([known, np.arange(first, first + count).astype(_wide(known.dtype))])
        names: list[Any] = list(range(first, first + count))
    else:
        names = list(class_names([str(one) for one in known], k)[len(known) :])
    if known.dtype.kind == "U":
        return np.concatenate([known, np.array(names, dtype=str)]) if names else known
    classes = np.empty(k, object)
    classes[: len(known)], classes[len(known) :] = known, names
    return classes


def _wide(dtype: np.dtype) -> np.dtype:
    """Return a type that holds the next integers after any of ``dtype``."""
    return np.dtype(np.int64) if dtype.kind in "iu" else dtype


# ------------------------------------------------------------------------------------------------- settings


def _with_dimensions(settings: Any, dimensions: int) -> Any:
    """Return a method or its settings with every space at ``dimensions`` components; itself where it has none."""
    if isinstance(settings, SpaceConfig):
        return dataclasses.replace(settings, dimensions=dimensions)
    if isinstance(settings, type) or not hasattr(settings, "__dict__"):
        return settings
    changed = {}
    for name, value in vars(settings).items():
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            other = _with_dimensions(value, dimensions)
            if other is not value:
                changed[name] = other
    if not changed:
        return settings
    if dataclasses.is_dataclass(settings):
        return dataclasses.replace(settings, **changed)
    other = copy.copy(settings)
    vars(other).update(changed)
    return other
