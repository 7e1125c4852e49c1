"""Detectors from run folders."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from doc_detect.detectors.base import Detector, build_detector
from doc_detect.settings.adaptation import AdaptSettings
from doc_detect.settings.pretraining import PretrainSettings
from doc_detect.settings.training import ModelConfig, TrainSettings
from seminar_common import runs
from seminar_common.checkpoints import load_weights
from seminar_common.errors import UserError
from seminar_common.runs import Run
from seminar_common.settings import from_dict
from seminar_common.training import final_weights

DETECTOR = "detector"
"""Entry of the ``config.json`` of `adapt` and `pretrain`: the settings of the detector, which it has from its source."""


@dataclass(frozen=True)
class Trained:
    """What a run trained."""

    name: str
    """The model's name in result tables."""
    seed: int
    model: ModelConfig
    data: Path | None
    """Labelled pages that it was trained on; None if it had none."""
    steps: int


def stored_settings(run: Run) -> TrainSettings:
    """Return the settings that a run of `train` was trained with.

    Raises:
        UserError: the run is of another command, topic or version.
    """
    return runs.stored_settings(run, TrainSettings, "doc-detect", "train")


def trained_as(run: Run) -> Trained:
    """Return what a run of `train`, `adapt` or `pretrain` trained.

    Raises:
        UserError: the run is of another command, topic or version.
    """
    config = runs.stored_config(run, "doc-detect", "train", "adapt", "pretrain")
    if config["command"] == "train":
        stored = stored_settings(run)
        return Trained(stored.name, stored.seed, stored.model, stored.data, stored.optimization.steps)
    model = from_dict(ModelConfig, config[DETECTOR], run.folder / runs.MARKER)
    if config["command"] == "pretrain":
        first = runs.stored_settings(run, PretrainSettings, "doc-detect", "pretrain")
        return Trained(first.name, first.seed, model, None, first.fitting.steps)
    adapted = runs.stored_settings(run, AdaptSettings, "doc-detect", "adapt")
    return Trained(adapted.name, adapted.seed, model, None, adapted.optimization.steps)


def refuse_kept(detector: Detector, given: Path | None) -> None:
    """Raise a UserError if ``detector`` keeps classes: what changes its backbone would change how they are found.

    Args:
        detector: The one to change.
        given: What the user named.
    """
    if detector.config.kept:
        raise UserError(
            f"{given}: keeps {' '.join(detector.config.kept)} on a backbone that is not to change; "
            "give a detector that keeps no class, or go on with `train --init`"
        )


def load_detector(run: Run) -> Detector:
    """Return the trained detector of ``run``, ready to predict.

    Raises:
        UserError: the training has not ended, or the weights don't fit the settings.
    """
    tensors, path = final_weights(run)
    detector = build_detector(dataclasses.replace(trained_as(run).model, weights="none"))
    load_weights(detector, tensors, path)
    return detector.eval()
