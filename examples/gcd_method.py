# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # Another way to discover categories
#
# Some images have labels of known classes. The others are of those or of classes that nobody named, a few huge and many
# tiny. This page makes such a pile of handwritten digits, writes a discovery method in ten lines, and compares it with two
# of the package by the same figures.
#
# Run it as it is (`python examples/gcd_method.py`, seconds), or cell by cell: VS Code knows the `# %%` marks, and
# `jupytext --to notebook` makes a notebook of it. Then change what is marked with **TRY**.

# %%
import os
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import AgglomerativeClustering
from sklearn.datasets import load_digits

from gcd_longtail import Discovered, Problem, check_k, make_method, nearest_centroid
from gcd_longtail.figures.metrics import figures, score

OUT = Path(os.environ.get("EXAMPLES_OUT") or tempfile.mkdtemp(prefix="digits-"))

# %% [markdown]
# ## A pile with a long tail
#
# The digits 0 to 4 are known, half of their images are labelled. 5 to 9 are novel. The largest class has ten times as many
# images as the smallest. **TRY** `TAIL = 30`.

# %%
TAIL, KNOWN, CLASSES = 10, 5, 10
pixels, digits = load_digits(return_X_y=True)
g = np.random.default_rng(0)
sizes = np.round(170 * TAIL ** (-g.permutation(CLASSES) / (CLASSES - 1))).astype(int)
chosen = np.concatenate([g.permutation(np.flatnonzero(digits == digit))[:n] for digit, n in enumerate(sizes)])
features, truth = pixels[chosen].astype(np.float32) / 16, digits[chosen]
labelled = (truth < KNOWN) & (g.random(len(truth)) < 0.5)
problem = Problem(features[labelled], truth[labelled], features[~labelled], KNOWN)
hidden = truth[~labelled]
third = np.argsort(np.argsort(-sizes)) * 3 // CLASSES
frequencies = [("many", "medium", "few")[min(rank, 2)] for rank in third]
print(
    f"{labelled.sum()} labelled images of {KNOWN} digits, {len(hidden)} others of {CLASSES}; sizes {sizes.tolist()}"
)

# %% [markdown]
# ## The method
#
# It gets labelled and unlabelled features and the number of classes, and never a hidden label. It returns a cluster for each
# unlabelled image, in which known classes keep their numbers, and a predictor for new images.


# %%
class AverageLinkage:
    """Agglomeration by mean distance; the largest clusters that hold no labelled image are the novel classes."""

    def fit(self, problem: Problem, k: int, seed: int) -> Discovered:
        """Return ``k`` classes."""
        check_k(k, problem.known)
        everything = np.vstack([problem.labelled, problem.unlabelled])
        # TRY linkage="ward", "complete" or "single", and more clusters than k, to be merged afterwards.
        tree = AgglomerativeClustering(3 * k, linkage="average").fit_predict(everything)
        means = [problem.labelled[problem.labels == label].mean(0) for label in range(problem.known)]
        unnamed = set(tree.tolist()) - set(tree[: len(problem.labels)].tolist())
        rest = sorted((np.flatnonzero(tree == cluster) for cluster in unnamed), key=len, reverse=True)
        g = np.random.default_rng(seed)
        while len(rest) < k - problem.known:  # too few clusters without a label: begin the others anywhere
            rest.append(g.integers(len(everything), size=1))
        means += [everything[rows].mean(0) for rows in rest[: k - problem.known]]
        predictor = nearest_centroid(np.stack(means))
        return Discovered(predictor.predict(problem.unlabelled), predictor)


# %% [markdown]
# ## The figures
#
# Clusters have no names, so each class gets the cluster that suits it best, one to one. *Macro* counts a tiny class as
# much as a huge one. These are the labels' only use.

# %%
methods = {"average linkage": AverageLinkage(), "k-means": make_method("kmeans"), "Ward": make_method("ward")}
shown = ("macro_all", "macro_known", "macro_novel")
table = {}
for name, method in methods.items():
    found = method.fit(problem, CLASSES, seed=0)
    table[name] = figures(score(hidden, found.assignments, KNOWN, frequencies, CLASSES))
    print(
        f"{name:16}",
        *(f"{metric.removeprefix('macro_')} {100 * table[name][metric]:5.1f}" for metric in shown),
    )

# %% [markdown]
# ## The picture
#
# One split of so few images decides nothing: `gcd-longtail study` repeats it over paired splits, with intervals. To add a
# method to the package, put the class into a file of `discovery/methods/` and a line into its table.

# %%
figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
for place, (name, found) in enumerate(table.items()):
    axes.bar(np.arange(3) + 0.27 * place, [100 * found[metric] for metric in shown], 0.25, label=name)
axes.set(xticks=np.arange(3) + 0.27, ylabel="macro accuracy (%)", ylim=(0, 100))
axes.set_xticklabels(["all", "known digits", "novel digits"])
axes.legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.18))
figure.savefig(OUT / "methods.png", dpi=120)
print(f"open {OUT / 'methods.png'}")
