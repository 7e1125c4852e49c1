from dataclasses import fields, replace
from typing import Any

import pytest

from recsys_bnn.settings.log_length import CROWDED, LONG, batch_size, follow_length
from recsys_bnn.settings.training import FOLLOW, PRESETS, OptimizationConfig
from seminar_common.errors import UserError


def rows(train: int, val: int = 0) -> dict[str, int]:
    return {"train": train, "val": val, "test": 10**9}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("length", [1, 1000, LONG])
def test_nothing_of_a_preset_stays_open_and_a_second_time_changes_nothing(preset: str, length: int) -> None:
    chosen = follow_length(PRESETS[preset](), rows(length), 100)
    values = [getattr(part, f.name) for part in (chosen.model, chosen.optimization) for f in fields(part)]
    # `auto` of the embeddings' schedule and scale follows the model's bits.
    assert FOLLOW not in values and values.count("auto") == 2
    assert follow_length(chosen, rows(3 * length), 100) == chosen


def test_what_is_given_stays_as_it_is() -> None:
    base = PRESETS["medium"]()
    given = replace(base.optimization, epochs=9, batch_size=7, min_count=0, order="time", fresh_tables="no")
    chosen = follow_length(replace(base, optimization=given), rows(10), 1).optimization
    for name in ("epochs", "batch_size", "min_count", "order", "fresh_tables"):
        assert getattr(chosen, name) == getattr(given, name)


def test_the_rate_of_the_tables_is_that_of_their_optimizer() -> None:
    base = PRESETS["small"]()
    adagrad = replace(base.optimization, embedding_optimizer="rowwise-adagrad")
    assert follow_length(base, rows(10), 1).optimization.embedding_learning_rate == 4e-3
    chosen = follow_length(replace(base, optimization=adagrad), rows(10), 1).optimization
    assert chosen.embedding_learning_rate == 0.1


def test_a_log_with_many_values_for_its_rows_learns_slowly_and_leaves_rare_ones_out() -> None:
    base = PRESETS["medium"]()
    few, many = (follow_length(base, rows(1000), int(1000 * CROWDED) + more).optimization for more in (0, 1))
    assert (few.min_count, many.min_count) == (0, 20)
    assert many.embedding_learning_rate < few.embedding_learning_rate


@pytest.mark.parametrize(("length", "epochs"), [(8000, 5), (80_000, 1), (299_999, 1)])
def test_a_crowded_log_is_read_in_about_as_many_steps_whatever_its_length(length: int, epochs: int) -> None:
    assert follow_length(PRESETS["small"](), rows(length), length).optimization.epochs == epochs


def test_the_length_is_that_of_the_rows_to_learn_from() -> None:
    base = PRESETS["small"]()
    train_alone = replace(base, optimization=replace(base.optimization, fit_on="train"))
    log = rows(LONG - 1, 1)
    assert follow_length(base, log, 1).optimization.order == "time"
    assert follow_length(train_alone, log, 1).optimization.order == "random"


@pytest.mark.parametrize(
    ("length", "size"), [(0, 128), (8000, 128), (80_000, 512), (131_072, 1024), (10**8, 1024)]
)
def test_a_pass_has_128_steps_within_the_limits_of_a_batch(length: int, size: int) -> None:
    assert batch_size(length, 128) == size


@pytest.mark.parametrize("wrong", [
    {"epochs": -2}, {"batch_size": 1}, {"learning_rate": 0.0}, {"embedding_learning_rate": -0.5},
    {"min_count": -2}, {"first_order_rate": 0.0}, {"first_order_l2": -1.0},
])  # fmt: skip
def test_numbers_without_a_meaning_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong)).replace("_", "-")):
        OptimizationConfig(**wrong)


def test_passes_are_chosen_on_short_logs_where_they_are_left_open() -> None:
    base = PRESETS["medium"]()
    given = replace(base, optimization=replace(base.optimization, epochs=3))
    sharded = replace(base, tables="torchrec")
    cases = [(base, 10_000, "yes"), (base, LONG, "no"), (given, 10_000, "no"), (sharded, 10_000, "no")]
    assert [follow_length(each, rows(length), 1).optimization.choose_passes for each, length, _ in cases] == [
        expected for *_, expected in cases
    ]
