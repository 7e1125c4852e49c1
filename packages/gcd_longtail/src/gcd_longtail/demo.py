"""The demo: handwritten digits with a long tail, five digits unknown; what is found, and what naming it changes."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gcd_longtail.discover import discover
from gcd_longtail.discovery.run import load_found
from gcd_longtail.evaluate import evaluate
from gcd_longtail.features import features
from gcd_longtail.figures.demo_pictures import group_strips, naming_picture
from gcd_longtail.images.sources import open_source
from gcd_longtail.protocol.data import Data, load
from gcd_longtail.protocol.split_file import read_source
from gcd_longtail.reviewing.continuing import read_assignments, read_before
from gcd_longtail.reviewing.decisions import FILE, head, run_identity
from gcd_longtail.reviewing.simulated import View, decide
from gcd_longtail.settings.commands import (
    DiscoverSettings,
    EvaluateSettings,
    FeatureConfig,
    FeaturesSettings,
    SourceConfig,
    SplitSettings,
    TrainSettings,
)
from gcd_longtail.split import split
from gcd_longtail.train import train
from seminar_common import bootstrap, files
from seminar_common.demo_page import Bar, Bars, Panel, Story
from seminar_common.demos import DemoSettings, run_demos
from seminar_common.display import metric_named
from seminar_common.progress import say
from seminar_common.results import Results, Row, merge
from seminar_common.runs import command_line

METHODS = ("kmeans", "ward", "shift-merge-mix")
"""Compared; the last one is looked at."""
PIXELS = FeatureConfig(backbone="pixels", size=8)
DECISIONS = 20
"""Answers that a simulated person gives about what was found."""
_RESAMPLES = 1000


def main(settings: DemoSettings) -> None:
    """Run this topic's demo alone; the function behind ``gcd-longtail demo``."""
    run_demos({"gcd_longtail": demo}, settings)


def demo(folder: Path, data: Path | None) -> Story:
    """Make digits long-tailed, discover the unknown ones with an estimated K, name them, and fill ``folder``.

    Args:
        folder: Folder to make.
        data: Folder with real data: its Caltech-101 takes the place of the digits; None takes the digits.
    """
    chosen = PIXELS if data is None else FeatureConfig()
    split(_split_settings(folder, data))
    features(FeaturesSettings(folder / "data", chosen, cache=folder / "features"))
    loaded, parts = load(folder / "data"), []
    for method in METHODS:
        run = folder / "runs" / method
        train(TrainSettings(folder / "data", method, run, k="estimated"))
        parts.append(evaluate(EvaluateSettings(run)))
    pile = Pile.write(loaded, folder)
    found, named = folder / "found", folder / "named"
    say(f"finding the categories of {len(pile.truth)} images, some of which are labelled")
    discover(
        DiscoverSettings(pile.images, pile.labels, found, METHODS[-1], features=chosen, cache=pile.cache)
    )
    answers = answer(found, pile.truth)
    say(f"learning from {len(answers)} answers of a simulated person")
    discover(DiscoverSettings(out=named, decisions=found / FILE, cache=pile.cache))
    naming = Naming.of(found, named, pile, answers)
    story = Results("", notes=(_number_found(found, loaded),))
    rows = Results("", tuple(naming.rows(loaded.split.name, METHODS[-1])))
    return _story(
        merge([story, *parts, rows], command_line()), naming, pile, folder, _split_name(loaded, data)
    )


def _split_settings(folder: Path, data: Path | None) -> SplitSettings:
    if data is None:
        source = SourceConfig(Path("digits"), "digits")
        return SplitSettings(folder / "data", source, imbalance_ratio=10)
    source = SourceConfig(data / "images" / "caltech101" / "caltech101.parquet")
    return SplitSettings(folder / "data", source)


def _split_name(data: Data, real: Path | None) -> str:
    return "handwritten digits" if real is None else f"images of {data.split.name}"


def _number_found(run: Path, data: Data) -> str:
    _, found = load_found(run)
    assert found.k_interval is not None
    low, high = found.k_interval
    return (
        f"From {found.known} known classes, the number of all classes was estimated at {found.discovery.k}; "
        f"{f'{low} or more' if high is None else f'{low} to {high}'} were plausible. "
        f"There are {len(data.split.classes)}."
    )


# --------------------------------------------------------------------------------------- a folder, as people have it


@dataclass(frozen=True)
class Pile:
    """The training images of a split as a folder, with labels of some: what ``discover`` takes."""

    images: Path
    labels: Path
    cache: Path
    truth: Mapping[str, str]
    """Class of each image, by its name in the folder."""
    labelled: frozenset[str]

    @classmethod
    def write(cls, data: Data, folder: Path) -> "Pile":
        """Write the images and the table of labels below ``folder``."""
        source, images = open_source(read_source(data.folder)), folder / "images"
        images.mkdir()
        truth, labelled = {}, []
        for role in ("L", "U"):
            for i in data.where(role).tolist():
                key = data.split.keys[i]
                name = f"{len(truth):05d}.png"
                source.decode(source.read(source.numbers[key])).save(images / name)
                truth[name] = data.split.classes[data.split.labels[i]].name
                labelled += [name] if role == "L" else []
        table = "".join(f"{name},{truth[name]}\n" for name in labelled)
        files.write_text(folder / "labels.csv", "path,label\n" + table)
        return cls(images, folder / "labels.csv", folder / "features", truth, frozenset(labelled))


def answer(run: Path, truth: Mapping[str, str], count: int = DECISIONS) -> list[dict[str, Any]]:
    """Write the file of decisions that a person would leave who knows each image once it is shown; return its lines."""
    config, before, _ = read_before(run)
    doubt = {
        row["image"]: 1 - float(row["confidence"] or 1)
        for row in read_assignments(run)
        if row["labelled"] != "yes"
    }
    lines = decide(View(before, doubt), truth, count)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    document = [
        head(run_identity(config), len(before.classes)),
        *({"time": now, **line} for line in lines),
    ]
    files.write_text(run / FILE, "".join(json.dumps(line) + "\n" for line in document))
    return lines


# --------------------------------------------------------------------------------------------- what naming changed


@dataclass(frozen=True)
class Naming:
    """The classes of images that nobody had labelled, before and after decisions."""

    truth: np.ndarray
    """True class of each image, str [N]."""
    before: np.ndarray
    """Name of its class before, str [N]; ``novel-1`` and the like where it has no name."""
    after: np.ndarray
    """Name of its class after."""
    seen: np.ndarray
    """Whether a person looked at it, bool [N]."""
    decisions: int
    names: Mapping[str, str]
    """The names that were given to groups, by what these were called before."""

    @classmethod
    def of(cls, found: Path, named: Path, pile: Pile, answers: Sequence[Mapping[str, Any]]) -> "Naming":
        """Read two runs of ``discover``, of which the second learned from ``answers`` about the first.

        Images that had a label at first are left out.
        """
        looked_at = {key for line in answers for key in (*line.get("shown", ()), *line.get("images", ()))}
        tables = [{row["image"]: row["name"] for row in read_assignments(run)} for run in (found, named)]
        keys = [key for key in pile.truth if key not in pile.labelled]
        truth, before, after = (np.array([table[key] for key in keys]) for table in (pile.truth, *tables))
        seen = np.array([key in looked_at for key in keys])
        names = {line["cluster"]: line["name"] for line in answers if line["action"] == "name"}
        return cls(truth, before, after, seen, len(answers), names)

    @property
    def right(self) -> tuple[np.ndarray, np.ndarray]:
        """Whether the class of each image has the name of its true class, before and after, bool [N]."""
        return self.before == self.truth, self.after == self.truth

    def rows(self, dataset: str, method: str) -> list[Row]:
        """Return the accuracy of names before and after, the mean over classes, with its interval."""
        before, after = (self._by_resample(right) for right in self.right)
        where, n = (dataset, "transductive"), len(self.truth)
        rows = []
        for decisions, values in ((0, before), (self.decisions, after)):
            low, high = bootstrap.percentile_interval(values[1:])
            facts: dict[str, Any] = {"decisions": decisions}
            rows.append(
                Row(f"{method}, decisions", *where, "named_macro_all", values[0], low, high, n=n, facts=facts)
            )
        return rows

    def _by_resample(self, right: np.ndarray) -> np.ndarray:
        """Return the mean of the classes' accuracies, first on the images, then on resamples of them, [1 + R]."""
        weights = bootstrap.cluster_weights(range(len(right)), _RESAMPLES, 0, "naming")
        _, classes = np.unique(self.truth, return_inverse=True)
        onehot = np.eye(classes.max() + 1)[classes]
        with np.errstate(invalid="ignore"):
            return np.nanmean((weights * right) @ onehot / (weights @ onehot), axis=1)


# --------------------------------------------------------------------------------------------------- the story

COMMANDS = (
    (
        "Find the categories in your images; a table (path,label) names the class of some:",
        "gcd-longtail discover --images photos/ --labels some.csv --out found",
    ),
    ("Name, merge and split in the browser what was found:", "gcd-longtail review --found found"),
    (
        "Learn from your answers:",
        "gcd-longtail discover --continue found/decisions.jsonl --out found-again",
    ),
)


def _story(results: Results, naming: Naming, pile: Pile, folder: Path, what: str) -> Story:
    before, after = (
        results.one(metric="named_macro_all", decisions=count) for count in (0, naming.decisions)
    )
    classes = len(set(pile.truth.values()))
    unseen, right = int((~naming.seen).sum()), int((naming.right[1] & ~naming.seen).sum())
    answer = (
        f"After {naming.decisions} answers about the groups that were found, {_figure(after)} of {len(naming.truth):,} "
        f"unlabelled {what} have the right name, before {_figure(before)} (mean over {classes} categories)."
    )
    rows = [read_assignments(folder / run) for run in ("found", "named")]
    notes = (
        f"The answers are those of a simulated person, who was shown {int(naming.seen.sum())} images. Of the {unseen:,} "
        f"that nobody looked at, {right:,} have the right name.",
        *results.notes[:1],
    )
    return Story(
        "Category discovery",
        "What is in this pile of images, when half of the categories have no name yet?",
        f"From {100 * before.value:.0f}% to {100 * after.value:.0f}% named right by {naming.decisions} answers",
        answer,
        naming_picture(rows[0], pile.images, naming.names),
        results,
        (_naming_bars(before, after, naming.decisions), _method_bars(results)),
        (
            Panel(
                "The groups as they were found",
                group_strips(rows[0], pile.images, pile.truth),
                "The largest ones, from the middle of each to its edge. Groups called novel are of categories without any label.",
                small=True,
            ),
            Panel(
                f"The largest groups after {naming.decisions} answers",
                group_strips(rows[1], pile.images, pile.truth),
                "Answers name groups, and say of single images what they are; the method learns from both.",
                small=True,
            ),
        ),
        notes,
        COMMANDS,
        (
            ("The groups, to name them yourself", "found/gallery.html"),
            ("The groups after the answers", "named/gallery.html"),
        ),
    )


def _naming_bars(before: Row, after: Row, decisions: int) -> Bars:
    bars = [
        Bar("before", before.value, _figure(before), before.ci_low, before.ci_high),
        Bar(
            f"after {decisions} answers", after.value, _figure(after), after.ci_low, after.ci_high, ours=True
        ),
    ]
    return Bars("Images with the right name, mean over categories", bars, end=1.0)


def _method_bars(results: Results) -> Bars:
    """Return how well methods group the images before anybody names a group."""
    rows = [row for row in results.rows if row.metric == "macro_all" and row.split == "transductive"]
    bars = [
        Bar(row.model, row.value, _figure(row), row.ci_low, row.ci_high, ours=row.model == METHODS[-1])
        for row in rows
    ]
    note = "Each group counts for the category that fits best, none twice. The number of categories is estimated."
    return Bars("Images in the right group, mean over categories", bars, note, end=1.0)


def _figure(row: Row) -> str:
    metric = metric_named(row.metric)
    return f"{metric.text(row.value)} {metric.interval(row)}".strip()
