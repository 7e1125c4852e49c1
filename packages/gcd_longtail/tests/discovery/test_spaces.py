import numpy as np
import pytest

from gcd_longtail.discovery import spaces
from gcd_longtail.discovery.methods import METHODS, make_method
from gcd_longtail.discovery.number_of_classes import estimate
from gcd_longtail.discovery.predictors import unit_rows
from gcd_longtail.discovery.problem import Problem
from gcd_longtail.discovery.spaces import fit_space
from gcd_longtail.settings.methods import SpaceConfig
from seminar_common.errors import UserError


def test_a_space_is_of_its_own_problem_even_if_two_share_their_unlabelled_images() -> None:
    generator = np.random.default_rng(0)
    unlabelled, near = (generator.normal(size=(n, 6)).astype(np.float32) for n in (60, 20))
    labels, config = np.repeat([0, 1], 10), SpaceConfig(dimensions=4)
    for labelled in (near, near + 10):
        space = fit_space(Problem(labelled, labels, unlabelled, 2), config)
        expected = unit_rows(np.concatenate([labelled, unlabelled])).mean(0)
        np.testing.assert_allclose(space.mean, expected, atol=1e-5)


def test_the_length_of_a_feature_does_not_count() -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(60, 6)).astype(np.float32)
    lengths = generator.uniform(0.1, 10, size=(60, 1)).astype(np.float32)
    labels = np.repeat([0, 1], 10)
    plain, scaled = (
        fit_space(Problem(x[:20], labels, x[20:], 2), SpaceConfig(power=0.5, dimensions=4, shrinkage=0.3))
        for x in (rows, rows * lengths)
    )
    cosines = [x @ x.T for x in (plain.transform(rows), scaled.transform(rows * lengths))]
    np.testing.assert_allclose(*cosines, atol=1e-3)


def test_exact_copies_say_nothing_of_the_spread_within_classes() -> None:
    generator = np.random.default_rng(0)
    classes = generator.normal(size=(3, 6)).astype(np.float32)
    problem = Problem(
        np.repeat(classes, 4, 0),
        np.repeat(np.arange(3), 4),
        generator.normal(size=(40, 6)).astype(np.float32),
        3,
    )
    space = fit_space(problem, SpaceConfig(dimensions=4, shrinkage=0.3))
    assert np.isfinite(space.transform(problem.unlabelled)).all()
    np.testing.assert_allclose(
        space.projection, fit_space(problem, SpaceConfig(dimensions=4)).projection, atol=1e-6
    )


@pytest.mark.parametrize("method", sorted(METHODS))
def test_too_many_features_for_the_memory_are_refused_by_every_method(
    monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(spaces, "available_bytes", lambda: 3 * 8 * 8**2 - 1)
    rows = np.random.default_rng(0).random((20, 8), np.float32)
    wide = Problem(rows[:8], np.arange(8) % 4, rows[8:], 4)
    with pytest.raises(UserError, match="8 features an image need .* a smaller --size"):
        make_method(method).fit(wide, 6, 0)


def test_too_many_features_are_not_counted_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spaces, "available_bytes", lambda: 0)
    rows = np.random.default_rng(0).random((20, 8), np.float32)
    with pytest.raises(UserError, match="need .* of memory"):
        estimate(Problem(rows[:8], np.arange(8) % 4, rows[8:], 4))
