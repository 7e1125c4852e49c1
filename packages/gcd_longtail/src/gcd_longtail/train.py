"""``train``: one method on one split."""

import dataclasses
import time
from pathlib import Path

import numpy as np

from gcd_longtail.discovery.methods import make_method
from gcd_longtail.discovery.number_of_classes import estimate
from gcd_longtail.discovery.problem import Method, Problem, check_k
from gcd_longtail.discovery.run import TOPIC, Found, class_names, envelope, read_config, save, sort_novel
from gcd_longtail.discovery.spaces import check_memory
from gcd_longtail.discovery.strangers import Surroundings
from gcd_longtail.protocol.data import Data, features_command, load
from gcd_longtail.settings.commands import FeatureConfig, TrainSettings
from seminar_common import files, runs
from seminar_common.device import launch
from seminar_common.errors import UserError
from seminar_common.identity import require_same
from seminar_common.progress import say
from seminar_common.runs import Run
from seminar_common.settings import from_dict
from seminar_common.training import has_ended, open_or_resume, start_run


def train(settings: TrainSettings) -> Run:
    """Fit a method; write the run folder. A run that was killed is fitted again from its own settings.

    Raises:
        UserError: an unknown method, data without features or other than the resumed run's, K below the known
            classes or above the images, or a folder that exists or that another run is writing to.
    """
    resumed, settings = open_or_resume(settings, {"": TrainSettings}, _stored_settings, movable=("data",))
    if settings.data is None:
        raise UserError("train needs --data DIR (or --resume RUN)")
    method = make_method(settings.method)
    data = load(settings.data) if resumed is None else reopen(resumed, settings.data)[1]
    if isinstance(settings.k, int):
        check_room(settings.method, settings.k, data.split.known, len(data.problem.unlabelled))
    if resumed is not None and has_ended(resumed):
        return resumed
    check_memory(data.problem)  # before there is a run folder
    folder = settings.out or runs.default_folder("gcd_longtail", "train", settings.method, settings.seed)
    if resumed is None:
        runs.refuse_existing(folder)
    with files.locked(resumed.folder if resumed else folder):
        fabric = launch(settings.device)
        config = envelope("train", data.split.name, data.identity, data.config, settings)
        run = resumed or start_run(fabric, folder, config, data={data.split.name: data.split.hash})
        run.cut_log(0)
        _fit(method, settings, dataclasses.replace(data.problem, device=str(fabric.device)), data, run)
    return run


def _fit(method: Method, settings: TrainSettings, problem: Problem, data: Data, run: Run) -> None:
    started = time.perf_counter()
    k, interval = choose_k(settings.k, problem, len(data.split.classes), settings.seed)
    say(f"{settings.method}: {problem.known} known classes, {k} in all")
    discovery = sort_novel(method.fit(problem, k, settings.seed), problem.known)
    run.log({"step": 1, "k": k, "k_interval": interval, "seconds": round(time.perf_counter() - started, 3)})
    names = class_names([one.name for one in data.split.classes[: data.split.known]], k)
    classes = np.concatenate([problem.labels, discovery.assignments])
    surroundings = Surroundings.of(problem.features, classes)
    save(run, Found(discovery, names, problem.known, data.config, interval, surroundings))
    say(f"wrote {run.folder}; measure it with `gcd-longtail evaluate --run {run.folder}`")


def check_room(method: str, k: int, known: int, unlabelled: int) -> None:
    """Raise a UserError unless ``k`` classes have room for the known ones, and images to lie in.

    ``kmeans`` looks for all of them among the unlabelled images, other methods for the novel ones alone.
    """
    check_k(k, known)
    most = unlabelled if method == "kmeans" else known + unlabelled
    if k > most:
        raise UserError(
            f"--k {k}: more classes than images; {unlabelled:,} unlabelled images and {known} known classes make at "
            f"most {most:,} with {method}"
        )


def choose_k(
    asked: int | str, problem: Problem, true: int, seed: int
) -> tuple[int, tuple[int, int | None] | None]:
    """Return the number of classes to look for and, if it is an estimate, its interval."""
    if isinstance(asked, int):
        return asked, None
    if asked == "true":
        return true, None
    guess = estimate(problem, seed=seed)
    say(f"the number of classes is estimated at {guess.k}; {guess.interval} are plausible")
    if guess.doubt:
        say(f"do not rely on it: {guess.doubt}")
    return guess.k, (guess.low, guess.high)


def _stored_settings(run: Run) -> TrainSettings:
    return runs.stored_settings(run, TrainSettings, TOPIC, "train")


def reopen(run: Run, moved: Path | None = None) -> tuple[TrainSettings, Data]:
    """Return the settings of a run of ``train`` and the data that it was trained on.

    Args:
        run: the run.
        moved: folder of the data, where it is not where the settings say.

    Raises:
        UserError: the data is gone, or is not what the run was trained on.
    """
    settings = _stored_settings(run)
    folder = moved or settings.data
    assert folder is not None
    if not folder.exists():
        raise UserError(f"{run.folder}: its data is not in {folder} any more; give its place with --data")
    data = load(folder)
    check_same(run, data)
    return settings, data


def check_same(run: Run, data: Data) -> None:
    """Raise a UserError unless ``data`` has the split and the features that ``run`` was trained on."""
    config, source = read_config(run, "train"), run.folder / runs.MARKER
    stored, features = config["identity"], from_dict(FeatureConfig, config["features"], source)
    require_same(stored, {"split": data.split.hash}, source, "give its own split with --data, or train again")
    command = features_command(data.folder, features, stored.get("views", 0))
    require_same(stored, data.identity, source, f"take its own features again with {command}, or train again")
