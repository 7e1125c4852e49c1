"""The settings of a training, once its data are known."""

from dataclasses import replace

from recsys_bnn.data.dataset import SPLITS, Dataset
from recsys_bnn.model.target_size import choose_bits
from recsys_bnn.model.trained import kept_rows
from recsys_bnn.settings.log_length import follow_length
from recsys_bnn.settings.training import TrainSettings
from seminar_common.progress import say


def complete_settings(settings: TrainSettings, dataset: Dataset) -> TrainSettings:
    """Return ``settings`` with everything that they leave to the data; complete ones stay as they are."""
    rows = {split: len(dataset.rows(split)) for split in SPLITS}
    return _with_bits(follow_length(settings, rows, sum(dataset.cardinalities)), dataset)


def _with_bits(settings: TrainSettings, dataset: Dataset) -> TrainSettings:
    """Return ``settings`` with the bits that come to their target size, and say which."""
    factor = settings.size_factor
    if factor is None:
        return settings
    rows = kept_rows(dataset, settings.optimization.min_count, settings.optimization.kept_share)
    chosen = choose_bits(settings.model, len(dataset.integer_names), rows, factor, dataset.cardinalities)
    config = chosen.config
    hot = f", {config.hot_bits} bits in {config.hot_share:.0%} of the rows" if config.hot_bits else ""
    reached = (
        "" if chosen.factor >= factor else f"; {settings.target_size} is out of reach with tables this short"
    )
    say(
        f"--target-size {settings.target_size}: {config.name}{hot}, {chosen.factor:.1f}x smaller than float{reached}"
    )
    return replace(settings, model=config, target_size="")
