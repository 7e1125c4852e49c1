"""The settings of a training, once its data are known."""

from recsys_bnn.data.dataset import SPLITS, Dataset
from recsys_bnn.settings.log_length import follow_length
from recsys_bnn.settings.training import TrainSettings


def complete_settings(settings: TrainSettings, dataset: Dataset) -> TrainSettings:
    """Return ``settings`` with everything that they leave to the data; complete ones stay as they are."""
    return follow_length(settings, {split: len(dataset.rows(split)) for split in SPLITS})
