"""Detectors from run folders."""

import dataclasses

from doc_detect.detectors.base import Detector, build_detector
from doc_detect.settings.training import TrainSettings
from seminar_common import runs
from seminar_common.checkpoints import load_weights
from seminar_common.runs import Run
from seminar_common.training import final_weights


def stored_settings(run: Run) -> TrainSettings:
    """Return the settings that a run was trained with.

    Raises:
        UserError: the run is of another command, topic or version.
    """
    return runs.stored_settings(run, TrainSettings, "doc-detect", "train")


def load_detector(run: Run) -> Detector:
    """Return the trained detector of ``run``, ready to predict.

    Raises:
        UserError: the training has not ended, or the weights don't fit the settings.
    """
    tensors, path = final_weights(run)
    detector = build_detector(dataclasses.replace(stored_settings(run).model, weights="none"))
    load_weights(detector, tensors, path)
    return detector.eval()
