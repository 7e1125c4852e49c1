import numpy as np

from gcd_longtail.discovery.problem import Problem
from gcd_longtail.discovery.spaces import fit_space
from gcd_longtail.settings.methods import SpaceConfig


def test_a_space_is_of_its_own_problem_even_if_two_share_their_unlabelled_images() -> None:
    generator = np.random.default_rng(0)
    unlabelled, near = (generator.normal(size=(n, 6)).astype(np.float32) for n in (60, 20))
    labels, config = np.repeat([0, 1], 10), SpaceConfig(dimensions=4)
    for labelled in (near, near + 10):
        space = fit_space(Problem(labelled, labels, unlabelled, 2), config)
        expected = np.concatenate([labelled, unlabelled]).mean(0)
        np.testing.assert_allclose(space.mean, expected, atol=1e-5)
