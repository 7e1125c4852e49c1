"""``train``: one method on one split."""

import dataclasses
import time
from pathlib import Path

from gcd_longtail.config import TrainSettings
from gcd_longtail.discovery_run import Found, class_names, has_ended, save, sort_novel
from gcd_longtail.estimate_k import estimate
from gcd_longtail.features import Data, load
from gcd_longtail.methods import make_method
from gcd_longtail.problem import Method, Problem, check_k
from seminar_common import runs
from seminar_common.device import launch
from seminar_common.errors import UserError
from seminar_common.progress import say
from seminar_common.runs import Run
from seminar_common.settings import from_dict, to_dict


def train(settings: TrainSettings) -> Run:
    """Fit a method; write the run folder.

    Raises:
        UserError: an unknown method, data without features, K below the known classes, or a folder that exists.
    """
    if settings.resume is not None:
        return _resume(settings.resume)
    if settings.data is None:
        raise UserError("train needs --data DIR (or --resume RUN)")
    method, data = make_method(settings.method), load(settings.data)
    if isinstance(settings.k, int):
        check_k(settings.k, data.split.known)
    folder = settings.out or runs.default_folder("gcd_longtail", "train", settings.method, settings.seed)
    runs.refuse_existing(folder)
    fabric = launch(settings.device)
    import torch

    config = {**to_dict(settings), "data_fingerprint": data.split.hash}
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
    save(run, Found(discovery, names, problem.known, data.config, data.cache, interval))
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


def _resume(folder: Path) -> Run:
    """End a run that was killed: methods take minutes, so it is fitted again from its own settings."""
    run = runs.open_run(folder)
    if has_ended(run):
        say(f"{folder}: has ended already")
        return run
    stored = run.config()
    fingerprint = stored.pop("data_fingerprint", None)
    settings = from_dict(TrainSettings, stored, folder / runs.MARKER)
    assert settings.data is not None
    data = load(settings.data)
    check_same(data, fingerprint, folder)
    run.cut_log(0)
    _fit(make_method(settings.method), settings, data, str(launch(settings.device).device), run)
    return run


def check_same(data: Data, fingerprint: str | None, run: Path) -> None:
    """Raise a UserError unless ``data`` is the split that the run in the folder ``run`` was made of."""
    if data.split.hash != fingerprint:
        raise UserError(
            f"{data.folder}: another split than {run} was trained on; give its own --data, or train again"
        )
