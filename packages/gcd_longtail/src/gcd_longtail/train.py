"""``train``: one method on one split."""

import dataclasses
import time
from pathlib import Path

from gcd_longtail.discovery.methods import make_method
from gcd_longtail.discovery.number_of_classes import estimate
from gcd_longtail.discovery.problem import Method, Problem, check_k
from gcd_longtail.discovery.run import Found, class_names, envelope, has_ended, read_config, save, sort_novel
from gcd_longtail.protocol.data import Data, features_command, load
from gcd_longtail.settings.commands import FeatureConfig, TrainSettings
from seminar_common import runs
from seminar_common.device import launch
from seminar_common.errors import UserError
from seminar_common.identity import require_same
from seminar_common.progress import say
from seminar_common.runs import Run
from seminar_common.settings import from_dict


def train(settings: TrainSettings) -> Run:
    """Fit a method; write the run folder.

    Raises:
        UserError: an unknown method, data without features, K below the known classes, or a folder that exists.
    """
    if settings.resume is not None:
        return _resume(settings, settings.resume)
    if settings.data is None:
        raise UserError("train needs --data DIR (or --resume RUN)")
    method, data = make_method(settings.method), load(settings.data)
    if isinstance(settings.k, int):
        check_k(settings.k, data.split.known)
    folder = settings.out or runs.default_folder("gcd_longtail", "train", settings.method, settings.seed)
    runs.refuse_existing(folder)
    fabric = launch(settings.device)
    import torch

    config = envelope("train", data.split.name, data.identity, data.config, settings)
    facts = runs.environment(torch.get_num_threads(), data={data.split.name: data.split.hash})
    run = runs.create(folder, config, facts)
    _fit(method, settings, data, str(fabric.device), run)
    return run


def _fit(method: Method, settings: TrainSettings, data: Data, device: str, run: Run) -> None:
    problem = dataclasses.replace(data.problem, device=device)
    started = time.perf_counter()
    k, interval = choose_k(settings.k, problem, len(data.split.classes), settings.seed)
    say(f"{settings.method}: {problem.known} known classes, {k} in all")
    discovery = sort_novel(method.fit(problem, k, settings.seed), problem.known)
    run.log({"step": 1, "k": k, "k_interval": interval, "seconds": round(time.perf_counter() - started, 3)})
    names = class_names([one.name for one in data.split.classes[: data.split.known]], k)
    save(run, Found(discovery, names, problem.known, data.config, interval))
    say(f"wrote {run.folder}; measure it with `gcd-longtail evaluate --run {run.folder}`")


def choose_k(asked: int | str, problem: Problem, true: int, seed: int) -> tuple[int, tuple[int, int] | None]:
    """Return the number of classes to look for and, if it is an estimate, its interval.

    Raises:
        UserError: a number below the known classes.
    """
    if isinstance(asked, int):
        check_k(asked, problem.known)
        return asked, None
    if asked == "true":
        return true, None
    guess = estimate(problem, seed=seed)
    if guess.doubt:
        say(f"the number of classes is doubtful: {guess.doubt}")
    return guess.k, (guess.low, guess.high)


def _resume(asked: TrainSettings, folder: Path) -> Run:
    """End a run that was killed: methods take minutes, so it is fitted again from its own settings."""
    if asked != TrainSettings(resume=folder, data=asked.data):
        raise UserError(
            "--resume goes on with the settings of the run; leave out the other options but --data"
        )
    run = runs.open_run(folder)
    settings, data = reopen(run, asked.data)
    if has_ended(run):
        say(f"{folder}: has ended already")
        return run
    run.cut_log(0)
    _fit(make_method(settings.method), settings, data, str(launch(settings.device).device), run)
    return run


def reopen(run: Run, moved: Path | None = None) -> tuple[TrainSettings, Data]:
    """Return the settings of a run of ``train`` and the data that it was trained on.

    Args:
        run: the run.
        moved: folder of the data, where it is not where the settings say.

    Raises:
        UserError: the data is gone, or is not what the run was trained on.
    """
    stored = read_config(run, "train")
    settings = from_dict(TrainSettings, stored["settings"], run.folder / runs.MARKER)
    folder = moved or settings.data
    assert folder is not None
    if moved is None and not folder.exists():
        raise UserError(f"{run.folder}: its data is not in {folder} any more; give its place with --data")
    data = load(folder)
    check_same(run, data)
    return settings, data


def check_same(run: Run, data: Data) -> None:
    """Raise a UserError unless ``data`` has the split and the features that ``run`` was trained on."""
    config, source = read_config(run, "train"), run.folder / runs.MARKER
    stored, features = config["identity"], from_dict(FeatureConfig, config["features"], source)
    require_same(stored, {"split": data.split.hash}, source, "give its own split with --data, or train again")
    command = features_command(data.folder, features)
    require_same(stored, data.identity, source, f"take its own features again with {command}, or train again")
