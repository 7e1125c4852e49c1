"""The demo: handwritten digits with a long tail, five digits unknown, and their number unknown, too."""

from pathlib import Path

import numpy as np

from gcd_longtail.backbones.backbones import caveat
from gcd_longtail.discovery.run import load_found
from gcd_longtail.evaluate import evaluate
from gcd_longtail.features import features
from gcd_longtail.figures.gallery import About, Shown, write_gallery
from gcd_longtail.images.sources import open_source
from gcd_longtail.protocol.data import Data, load
from gcd_longtail.protocol.split_file import read_source
from gcd_longtail.settings.commands import (
    EvaluateSettings,
    FeatureConfig,
    FeaturesSettings,
    SourceConfig,
    SplitSettings,
    TrainSettings,
)
from gcd_longtail.split import split
from gcd_longtail.train import check_same, train
from seminar_common.demos import DemoPage, DemoSettings, run_demos
from seminar_common.progress import say
from seminar_common.results import Results, merge
from seminar_common.runs import command_line

METHODS = ("kmeans", "ward", "shift-merge-mix")
PIXELS = FeatureConfig(backbone="pixels", size=8)


def main(settings: DemoSettings) -> None:
    """Run this topic's demo alone; the function behind ``gcd-longtail demo``."""
    run_demos({"gcd_longtail": demo}, settings)


def demo(folder: Path, data: Path | None) -> DemoPage:
    """Make digits long-tailed, discover the unknown ones with an estimated K, and fill ``folder``.

    Args:
        folder: Folder to make.
        data: Folder with real data: its Caltech-101 takes the place of the digits; None takes the digits.
    """
    split(_split_settings(folder, data))
    chosen = PIXELS if data is None else FeatureConfig()
    features(FeaturesSettings(folder / "data", chosen, cache=folder / "features"))
    parts = []
    for method in METHODS:
        run = folder / "runs" / method
        train(TrainSettings(folder / "data", method, run, k="estimated"))
        parts.append(evaluate(EvaluateSettings(run)))
    loaded, best = load(folder / "data"), folder / "runs" / METHODS[-1]
    write_run_gallery(folder / "gallery.html", best, loaded)
    say(f"what {METHODS[-1]} found: open {folder / 'gallery.html'}")
    story = Results("", notes=(f"{_number_found(best)} There are {len(loaded.split.classes)}.",))
    title = f"Discovery of unknown classes in {loaded.split.name}"
    links = [(f"Gallery of what {METHODS[-1]} found", "gallery.html")]
    return DemoPage(title, merge([story, *parts], command_line()), links=links)


def _number_found(run: Path) -> str:
    _, found = load_found(run)
    assert found.k_interval is not None
    low, high = found.k_interval
    return (
        f"From {found.known} known classes, the number of all classes was estimated at {found.discovery.k}; "
        f"{f'{low} or more' if high is None else f'{low} to {high}'} were plausible."
    )


def _split_settings(folder: Path, data: Path | None) -> SplitSettings:
    if data is None:
        source = SourceConfig(Path("digits"), "digits")
        return SplitSettings(folder / "data", source, imbalance_ratio=10)
    source = SourceConfig(data / "images" / "caltech101" / "caltech101.parquet")
    return SplitSettings(folder / "data", source)


def write_run_gallery(out: Path, run: Path, data: Data) -> None:
    """Write the gallery of a run on a split: what its training images look like, class by class.

    Raises:
        UserError: ``data`` is not what the run was trained on.
    """
    opened, found = load_found(run)
    check_same(opened, data)
    labelled, unlabelled = data.where("L"), data.where("U")
    order = np.concatenate([labelled, unlabelled])
    source = open_source(read_source(data.folder))
    shown = Shown(
        source,
        np.array([source.numbers[data.split.keys[i]] for i in order]),
        data.problem.features,
        np.concatenate([data.problem.labels, found.discovery.assignments]),
        np.arange(len(order)) < len(labelled),
    )
    summary = _number_found(run)
    about = About(f"Categories in {data.split.name}", (summary,), (caveat(data.config.backbone),))
    write_gallery(out, shown, found.discovery.predictor, found.names, found.known, about)
