"""Detectors from run folders."""

import dataclasses

from doc_detect.detectors.base import Detector, build_detector
from doc_detect.settings.training import TrainSettings
from seminar_common.checkpoints import load_tensors, load_weights
from seminar_common.errors import UserError
from seminar_common.runs import Run
from seminar_common.settings import from_dict

WEIGHTS = "model.safetensors"


def stored_settings(run: Run) -> TrainSettings:
    """Return the settings that a run was trained with.

    Raises:
        UserError: the run is of another command.
    """
    config, source = run.config(), run.folder / "config.json"
    if config.get("command") != "train" or "settings" not in config:
        raise UserError(f"{source}: not the settings of a `doc-detect train` run; give such a run's folder")
    settings = dict(config["settings"])
    if isinstance(settings.get("model"), dict):  # a run from before there was `trim` saw whole pages
        settings["model"] = {"trim": False, **settings["model"]}
    return from_dict(TrainSettings, settings, source)


def load_detector(run: Run) -> Detector:
    """Return the trained detector of ``run``, ready to predict.

    Raises:
        UserError: the training has not ended, or the weights don't fit the settings.
    """
    path = run.checkpoints / WEIGHTS
    if not path.exists():
        raise UserError(
            f"{run.folder}: its training has not ended; go on with `train --resume {run.folder}` first"
        )
    tensors, _ = load_tensors(path)
    detector = build_detector(dataclasses.replace(stored_settings(run).model, weights="none"))
    load_weights(detector, tensors, path)
    return detector.eval()
