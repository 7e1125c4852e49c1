import pickle
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import datasets
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from gcd_longtail import Discovery, Problem
from gcd_longtail.discovery.methods.ward import ConstrainedWard
from gcd_longtail.settings.methods import SpaceConfig, WardConfig
from seminar_common.progress import say

FAILED_CHECKS = {
    "check_classifiers_classes": "it fits the labels -1 and 1; here -1 means unlabelled, as in LabelSpreading",
}
"""The checks of scikit-learn that can't hold, and why."""


@parametrize_with_checks([Discovery()], expected_failed_checks=lambda estimator: FAILED_CHECKS)
def test_it_is_an_estimator_as_scikit_learn_has_them(
    estimator: Discovery, check: Callable[[Discovery], None]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)


pandas = pytest.importorskip("pandas")


def blobs(classes: int = 8, size: int = 30, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features [N, 16] and classes of well separated groups, each smaller than the one before."""
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(42).normal(0, 4, (classes, 16))
    truth = np.concatenate([np.full(max(6, size - 3 * c), c) for c in range(classes)])
    return (centres[truth] + generator.normal(0, 0.5, (len(truth), 16))), truth


def hidden(truth: np.ndarray, known: int) -> np.ndarray:
    """Return the classes with -1 for every second row and for all classes from ``known`` on."""
    return np.where((truth < known) & (np.arange(len(truth)) % 2 == 0), truth, -1)


def test_known_classes_keep_their_labels_and_new_ones_get_the_next_integers_by_size() -> None:
    X, truth = blobs()
    y = hidden(truth, 5)
    model = Discovery(k=8).fit(X, y)
    assert model.classes_.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert model.known_classes_.tolist() == [0, 1, 2, 3, 4]
    assert (model.labels_ == truth).all()  # new ones run from the largest to the smallest
    fresh, classes = blobs(seed=1)
    assert (model.predict(fresh) == classes).all()
    assert (model.fit_predict(X, y) == truth).all()
    assert (model.unlabelled_ == np.flatnonzero(y == -1)).all()
    assert model.k_ == 8 and model.k_interval_ is None and model.k_doubt_ == ""
    assert model.score(fresh, classes) == 1


@pytest.mark.parametrize(
    ("names", "mark", "new"),
    [
        ([10, 20, 30, 40, 50], -1, [51, 52, 53]),
        ([-9, -8, -7, -6, -5], -1, [0, 1, 2]),  # -1 would mean unlabelled
        ([1.0, 2.0, 3.0, 4.0, 5.0], np.nan, [6.0, 7.0, 8.0]),
        (["ant", "bee", "cat", "dog", "emu"], -1, ["novel-1", "novel-2", "novel-3"]),
        (["ant", "bee", "cat", "dog", "novel-2"], -1, ["novel-1", "novel-3", "novel-4"]),
        (["ant", "bee", 3, "cat", (1, 2)], None, ["novel-1", "novel-2", "novel-3"]),
        ([True, "bee", None.__class__, 4, 5.5], None, ["novel-1", "novel-2", "novel-3"]),
    ],
)
def test_labels_of_any_type_get_new_ones_of_their_kind(names: list[Any], mark: Any, new: list[Any]) -> None:
    X, truth = blobs()
    y = np.empty(len(truth), object)
    y[:] = [mark if c < 0 else names[c] for c in hidden(truth, 5)]
    model = Discovery(k=8, calibrate=False).fit(X, y)
    assert set(model.known_classes_) == set(names) and model.classes_[5:].tolist() == new
    fresh, classes = blobs(seed=1)
    assert model.predict(fresh).tolist() == [[*names, *new][c] for c in classes]


@pytest.mark.parametrize("dtype", ["int8", "int64", "float32", "<U3"])
def test_arrays_of_one_type_keep_it_if_the_new_labels_fit(dtype: str) -> None:
    X, truth = blobs()
    y = hidden(truth, 5).astype(dtype)
    model = Discovery(k=8, calibrate=False).fit(X, y)
    assert model.classes_.dtype == {"int8": "int64", "<U3": "<U7"}.get(dtype, dtype)
    assert (model.labels_[y != np.array(-1).astype(dtype)] == y[y != np.array(-1).astype(dtype)]).all()


@pytest.mark.parametrize("dtype", ["str", "category", "object", "Int64", "Float64"])
def test_columns_of_pandas_with_missing_labels(dtype: str) -> None:
    X, truth = blobs()
    numeric = dtype in ("Int64", "Float64")
    labels: list[Any] = [None if c < 0 else int(c) if numeric else f"class {c}" for c in hidden(truth, 5)]
    frame = pandas.DataFrame(X, columns=[f"f{i}" for i in range(X.shape[1])])
    y = pandas.Series(labels, dtype=dtype)
    model = Discovery(k=8).fit(frame, y)
    expected = ["novel-1", "novel-2", "novel-3"] if not numeric else [5, 6, 7]
    assert model.classes_[5:].tolist() == expected
    assert model.feature_names_in_.tolist() == frame.columns.tolist() and model.n_features_in_ == 16
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[frame.columns[::-1]])


@pytest.mark.parametrize(
    ("y", "labelled"),
    [
        (["a", None, float("nan"), -1, "-1"], [True, False, False, False, True]),
        (np.array(["a", "-1", "nan", "b"]), [True, False, False, True]),
        ([1, 2, -1, 0], [True, True, False, True]),
        (np.array([1.0, np.nan, -1.0]), [True, False, False]),
        ([True, None, False], [True, False, True]),
        (
            np.array([pandas.NA, "a", pandas.NaT, np.float32("nan")], dtype=object),
            [False, True, False, False],
        ),
    ],
)
def test_what_counts_as_unlabelled(y: Any, labelled: list[bool]) -> None:
    rows = np.random.default_rng(0).normal(size=(len(y), 4))
    model = Discovery(k=3, calibrate=False).fit(rows, y)
    assert model.unlabelled_.tolist() == np.flatnonzero(~np.array(labelled)).tolist()


def test_probabilities_add_up_follow_the_prediction_and_tell_new_classes() -> None:
    X, truth = blobs()
    y = hidden(truth, 5)
    model = Discovery(k=8).fit(X, y)
    fresh, classes = blobs(seed=1)
    given = model.predict_proba(fresh)
    assert given.shape == (len(fresh), 8) and np.allclose(given.sum(1), 1)
    assert (model.classes_[given.argmax(1)] == model.predict(fresh)).all()
    score = model.novel_score(fresh)
    assert score[classes >= 5].min() > score[classes < 5].max()
    assert np.allclose(model.novel_score_, model.novel_score(X[model.unlabelled_]))
    assert model.temperature_ > 0


def test_without_calibration_nothing_is_fitted_twice_and_no_probability_is_offered() -> None:
    fits = []

    class Counting(ConstrainedWard):
        def fit(self, problem: Problem, k: int, seed: int) -> Any:
            fits.append(k)
            return super().fit(problem, k, seed)

    X, truth = blobs()
    y = hidden(truth, 5)
    model = Discovery(Counting(), k=8, calibrate=False).fit(X, y)
    assert fits == [8]
    assert not hasattr(model, "predict_proba") and not hasattr(model, "novel_score_")
    model.set_params(calibrate=True).fit(X, y)
    assert fits == [8, 8, 8] and hasattr(model, "novel_score_")
    model.set_params(calibrate=False).fit(X, y)
    assert not hasattr(model, "novel_score_") and not hasattr(model, "temperature_")


def test_probabilities_of_a_method_that_has_its_own_are_taken() -> None:
    class Predictor:
        k = 3

        def predict(self, features: np.ndarray) -> np.ndarray:
            return np.zeros(len(features), np.int64)

        def reordered(self, order: np.ndarray) -> "Predictor":
            return self

        def probabilities(self, features: np.ndarray) -> np.ndarray:
            return np.tile(np.array([0.5, 0.2, 0.3], np.float32), (len(features), 1))

    class Method:
        def fit(self, problem: Problem, k: int, seed: int) -> Any:
            from gcd_longtail.discovery.problem import Discovered

            return Discovered(np.zeros(len(problem.unlabelled), np.int64), Predictor())  # type: ignore

    model = Discovery(Method(), k=3).fit(np.eye(6), [0, 1, -1, -1, -1, -1])
    assert model.novel_score(np.eye(6)).tolist() == pytest.approx([0.3] * 6)
    assert not hasattr(model, "temperature_")


def test_the_number_of_classes_is_estimated_with_its_interval_and_its_doubt() -> None:
    X, truth = blobs(12)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = Discovery(dimensions=10, calibrate=False).fit(X, hidden(truth, 8))
    low, high = model.k_interval_
    assert 8 <= low <= model.k_ <= high
    doubts = [str(one.message) for one in caught if "doubtful" in str(one.message)]
    assert [model.k_doubt_] == [one.partition(": ")[2] for one in doubts] or (
        not doubts and not model.k_doubt_
    )


@pytest.mark.parametrize("verbose", [False, True])
def test_it_says_how_far_it_is_only_if_asked(
    verbose: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Telling(ConstrainedWard):
        def fit(self, problem: Problem, k: int, seed: int) -> Any:
            say("at work")
            return super().fit(problem, k, seed)

    X, truth = blobs()
    Discovery(Telling(), k=8, calibrate=False, verbose=verbose).fit(X, hidden(truth, 5))
    assert capsys.readouterr().err == ("at work\n" if verbose else "")


def test_rows_that_are_all_labelled_leave_a_classifier_of_the_known_classes() -> None:
    X, truth = blobs(3)
    model = Discovery().fit(X, truth)
    assert model.k_ == 3 and not len(model.unlabelled_) and (model.predict(X) == truth).all()
    assert model.novel_score_.shape == (0,)


@pytest.mark.parametrize(
    ("arguments", "y", "message"),
    [
        ({"k": 2}, [0, 1, 2, -1, -1, -1], "K = 2 is fewer than the 3 known classes"),
        ({}, [0, 1, 2, -1, -1, -1], "3 known classes are too few to estimate k: 4 or more"),
        ({"k": "many"}, [0, 1, 2, -1, -1, -1], "k='many': must be a number of classes or 'estimated'"),
        ({"k": 3}, [-1] * 6, "no row is labelled"),
        ({"k": 3}, None, "requires y to be passed, but the target y is None"),
        ({"k": 3}, [0, 1], "inconsistent numbers of samples"),
        ({"k": 3}, [0.5, 1.25, 2, -1, -1, -1], "Unknown label type: continuous"),
        ({"k": 3, "method": "magic"}, [0, 1, 2, -1, -1, -1], "method magic: no such method"),
        ({"k": 3, "method": "kmeans", "dimensions": 4}, [0, 1, 2, -1, -1, -1], "has no such setting"),
        ({"k": 3, "dimensions": 0}, [0, 1, 2, -1, -1, -1], "must be 1 to 256"),
    ],
)
def test_what_cannot_be_done_is_a_value_error(arguments: dict[str, Any], y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Discovery(**arguments).fit(np.random.default_rng(0).normal(size=(6, 4)), y)


def test_it_can_be_cloned_set_pickled_and_put_into_a_pipeline() -> None:
    X, truth = blobs()
    y = hidden(truth, 5)
    model = Discovery(ConstrainedWard(WardConfig(gamma=0.5)), k=8, dimensions=12)
    other = clone(model).set_params(k=9)
    assert other.get_params()["method"] == model.method and other.k == 9 and model.k == 8
    line = make_pipeline(StandardScaler(), PCA(10), Discovery(k=8))
    fitted = line.fit(X, y)
    assert (fitted.predict(X) == truth).mean() > 0.95
    assert (line.fit_predict(X, y) == fitted[-1].labels_).all()
    again = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(again.predict_proba(X), fitted.predict_proba(X))
    with pytest.raises(NotFittedError):
        Discovery().predict(X)


def test_dimensions_change_the_space_of_a_method_and_of_the_estimate() -> None:
    X, truth = blobs()
    model = Discovery(k=8, dimensions=3, calibrate=False).fit(X, hidden(truth, 5))
    assert model.predictor_.embed(X.astype(np.float32)).shape == (len(X), 3)
    own = ConstrainedWard(WardConfig(space=SpaceConfig(dimensions=7)))
    assert Discovery(own, k=8, calibrate=False).fit(X, hidden(truth, 5)).predictor_.embed(X[:1]).shape == (
        1,
        7,
    )
    assert own.config.space.dimensions == 7


def test_a_seed_gives_the_same_result_and_a_generator_draws_one() -> None:
    X, truth = blobs()
    y = hidden(truth, 5)
    first, second = (Discovery("kmeans", k=8, random_state=3).fit(X, y) for _ in range(2))
    assert np.array_equal(first.predict_proba(X), second.predict_proba(X))
    drawn = Discovery("kmeans", k=8, random_state=np.random.RandomState(0)).fit(X, y)
    assert (drawn.labels_[y >= 0] == y[y >= 0]).all()


def readme_block(first: str) -> str:
    """Return the Python of the package's README that begins with ``first`` or holds it."""
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (block,) = [one for one in re.findall(r"^```python\n(.*?)^```", text, flags=re.S | re.M) if first in one]
    return block


def test_the_example_of_the_readme_does_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, classes = load_digits(return_X_y=True)
    monkeypatch.setattr(
        datasets, "load_digits", lambda **_: (rows[:900], classes[:900])
    )  # it takes less time
    given: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(readme_block("import Discovery\nfrom sklearn"), given)
    model, digits, y = given["model"], given["digits"], given["y"]
    assert model.classes_.tolist() == list(range(10))
    hidden_rows = (y == -1) & (digits < 6)
    assert (model.labels_[hidden_rows] == digits[hidden_rows]).mean() > 0.9
    assert (model.labels_[digits >= 6] >= 6).mean() > 0.7  # .95 of all rows
    assert model.novel_score_[digits[y == -1] >= 6].mean() > 0.7


def test_the_method_of_the_documentation_works_in_the_estimator_too() -> None:
    page = Path(__file__).parents[4] / "docs" / "how-to" / "add_a_discovery_method.md"
    if not page.is_file():
        pytest.skip("the documentation comes with the repository alone")
    (code,) = re.findall(
        r'^```python title="one_novel_class.py"\n(.*?)^```', page.read_text("utf-8"), re.S | re.M
    )
    given: dict[str, Any] = {}
    exec(code, given)
    X, truth = blobs(4)
    model = Discovery(given["OneNovelClass"](), k=4).fit(X, hidden(truth, 3))
    assert set(model.predict(X).tolist()) <= {0, 1, 2, 3}
