import pytest

pytest.importorskip("torch")

import numpy as np
import torch

from seminar_common.seeds import derive, numpy_generator, torch_generator


def test_a_stream_depends_on_seed_and_path_alone() -> None:
    assert derive(1, "order", 3) == derive(1, "order", 3)
    streams = {
        derive(seed, name, step) for seed in range(5) for name in ("order", "dropout") for step in range(50)
    }
    assert len(streams) == 500


def test_a_path_is_not_the_same_as_its_joined_text() -> None:
    # Joining the parts as text would make these two one stream.
    assert derive(0, "a", 12) != derive(0, "a1", 2)
    assert derive(0, "1") != derive(0, 1)


def test_numbers_and_names_of_numpy_name_the_stream_of_their_value() -> None:
    assert derive(0, 3) == derive(np.int64(0), np.int64(3)) == derive(0, np.uint8(3))
    assert derive(0, "a") == derive(0, np.str_("a"))


def test_seeds_are_63_bit_so_that_torch_and_numpy_take_them() -> None:
    assert all(0 <= derive(seed) < 2**63 for seed in range(1000))


def test_generators_repeat() -> None:
    assert np.array_equal(numpy_generator(7, "x").random(5), numpy_generator(7, "x").random(5))
    assert torch.equal(
        torch.rand(5, generator=torch_generator(7, "x")), torch.rand(5, generator=torch_generator(7, "x"))
    )


def test_drawing_does_not_touch_the_global_generator() -> None:
    before = torch.get_rng_state()
    torch.rand(3, generator=torch_generator(0))
    assert torch.equal(before, torch.get_rng_state())
