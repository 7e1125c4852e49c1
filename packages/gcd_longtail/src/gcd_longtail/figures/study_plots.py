"""Plots of a study: frequency groups, accuracy against class size, where images went, and a map of one split."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gcd_longtail.discovery.spaces import fit_space
from gcd_longtail.figures import run_plots
from gcd_longtail.figures.metrics import Scored
from gcd_longtail.protocol.data import Data
from gcd_longtail.settings.methods import WHITENED
from seminar_common import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Runs = Mapping[str, Sequence[Mapping[str, Scored]]]
"""Method -> for each split of the data set, the scored images by ``transductive`` and ``test``."""

LEADING = ("kmeans", "ss-kmeans", "simgcd", "simgcd-ss-kmeans", "bacon", "ward", "simgcd-ward")


def of_dataset(every: Runs, splits: Sequence[Data], k: str) -> list[tuple[str, "Figure"]]:
    """Return captions and plots of a data set for one choice of K; with the true K all, else the first."""
    some = {name: runs for name, runs in every.items() if name in LEADING} or dict(every)
    transductive = {name: [run["transductive"] for run in runs] for name, runs in some.items()}
    found = [
        (
            f"Macro accuracy by frequency of the class, {k} K, unlabelled images, mean over {len(splits)} splits.",
            run_plots.by_frequency(transductive),
        )
    ]
    if k != "true":
        return found
    best = max(
        transductive,
        key=lambda name: float(np.mean([np.nanmean(r.class_accuracy) for r in transductive[name]])),
    )
    first = {name: runs[0] for name, runs in transductive.items()}
    return [
        *found,
        (
            f"Accuracy of each class against its training images: {best}, split {splits[0].folder.name}. Lines: means "
            "of the many, medium and few.",
            run_plots.accuracy_by_size(first[best], splits[0].split),
        ),
        (
            f"Where the unlabelled images of known and of novel classes went, split {splits[0].folder.name}.",
            run_plots.destinations(first),
        ),
        (
            f"Unlabelled images of split {splits[0].folder.name} on a map (t-SNE of the whitened features).",
            class_map(splits[0]),
        ),
    ]


def class_map(data: Data, most: int = 1500, seed: int = 0) -> "Figure":
    """Draw unlabelled images in two dimensions: known classes, and novel ones by frequency.

    Args:
        data: a split.
        most: images drawn, at random, if there are more.
        seed: of the choice and of t-SNE (van der Maaten & Hinton 2008).
    """
    from sklearn.manifold import TSNE

    rows = fit_space(data.problem, WHITENED).transform(data.problem.unlabelled)
    generator = np.random.default_rng(seed)
    chosen = np.sort(generator.permutation(len(rows))[:most])
    labels = data.unlabelled_labels[chosen]
    place = TSNE(
        init="pca", perplexity=min(30, (len(chosen) - 1) / 4), random_state=seed, max_iter=500
    ).fit_transform(rows[chosen])
    frequencies = np.array(data.split.frequencies)[labels]
    novel = labels >= data.split.known
    parts = {
        "known classes": ~novel,
        **{f"novel, {f}": novel & (frequencies == f) for f in ("many", "medium", "few")},
    }
    colours = (plots.FAINT, plots.COLOURS[0], plots.COLOURS[2], plots.COLOURS[1])
    with plots.house_style():
        figure = plots.new_figure("Map of unlabelled images by their true class", plots.WIDE)
        axes = figure.add_subplot(aspect="equal")
        for (name, mask), colour in zip(parts.items(), colours, strict=True):
            axes.plot(
                *place[mask].T, "o", color=colour, markersize=2.6, markeredgewidth=0, alpha=0.75, label=name
            )
        axes.set_axis_off()
        plots.legend_above(figure, axes)
        return figure
