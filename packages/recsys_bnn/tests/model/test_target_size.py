from dataclasses import replace

import pytest

pytest.importorskip("torch")

import torch

from recsys_bnn.model.dlrm import DLRM
from recsys_bnn.model.target_size import candidates, choose_bits
from recsys_bnn.settings.training import ModelConfig, TrainSettings
from seminar_common.cost import size_mb
from seminar_common.errors import UserError

SIZES = ModelConfig(bottom_mlp=(128,), top_mlp=(128, 64), missing_flags=True, first_order=True)
LONG = [1_000_000] * 10


def megabytes(config: ModelConfig) -> float:
    with torch.device("meta"):
        return size_mb(DLRM(config, 13, LONG).tensor_sizes())


@pytest.mark.parametrize("factor", [3, 12, 25, 30])
def test_the_first_candidate_that_is_small_enough_is_taken(factor: int) -> None:
    small_enough = [
        config
        for config in (replace(SIZES, **each) for each in candidates())
        if megabytes(SIZES) / megabytes(config) >= factor
    ]
    assert choose_bits(SIZES, 13, LONG, factor).config == small_enough[0]


def test_thirty_times_smaller_has_tables_of_one_bit_whose_products_are_popcounts() -> None:
    config = choose_bits(SIZES, 13, LONG, 30).config
    assert (config.embedding_bits, config.hot_bits, config.bottom_mlp_bits) == (1, 0, 8)


def test_the_factor_is_that_of_the_stored_numbers() -> None:
    rows = [300, 4000]
    chosen = choose_bits(SIZES, 13, rows, 6)
    sizes = [size_mb(DLRM(config, 13, rows).tensor_sizes()) for config in (SIZES, chosen.config)]
    assert chosen.factor == pytest.approx(sizes[0] / sizes[1])


def test_short_tables_get_the_smallest_model() -> None:
    chosen = choose_bits(SIZES, 13, [20, 30], 30)
    assert chosen.factor < 30 and chosen.config.mlp_bits == 1


@pytest.mark.parametrize("text", ["thirty", "0.5x", "nan", "infx", "-30x"])
def test_a_size_that_is_no_factor_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--target-size .*expected how many times smaller, such as 30x"):
        TrainSettings(target_size=text)


def test_bits_beside_a_target_are_refused() -> None:
    with pytest.raises(UserError, match="--target-size chooses the bits"):
        TrainSettings(target_size="30x", model=ModelConfig(embedding_bits=4))
