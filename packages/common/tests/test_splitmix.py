import numpy as np
import pytest

from seminar_common.splitmix import splitmix64


def test_outputs_are_those_of_vignas_program() -> None:
    # The five first outputs of splitmix64.c (https://prng.di.unimi.it/splitmix64.c) from the state 1234567.
    published = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert [int(splitmix64(np.array([1234567]), index)[0]) for index in range(1, 6)] == published


def _reference(state: int, index: int) -> int:
    """Vigna's program in whole numbers of any size."""
    z = (state + index * 0x9E3779B97F4A7C15) % 2**64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
    return z ^ (z >> 31)


@pytest.mark.parametrize("index", [1, 2, 1007])
def test_any_shape_and_the_ends_of_the_range(index: int) -> None:
    seeds = np.array([[0, 1, 2**63], [2**64 - 1, 5, 2**32]], np.uint64)
    expected = [[_reference(int(seed), index) for seed in row] for row in seeds]
    found = splitmix64(seeds, index)
    assert found.dtype == np.uint64 and found.tolist() == expected


def test_scalars_and_negative_numbers() -> None:
    assert int(splitmix64(np.uint64(7))) == _reference(7, 1)
    assert splitmix64(np.array([-1], np.int64)).tolist() == [_reference(2**64 - 1, 1)]
