"""A simulated person, who answers what a page of found classes asks, and two ways to spend as many labels without it.

The person knows the true category of an image once it is shown, and nothing of the others. Every line of the file of
decisions counts as one decision.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gcd_longtail.reviewing.learning import Before
from seminar_common.seeds import numpy_generator

SHOWN = 3
"""Images of a class that the person looks at."""


@dataclass(frozen=True)
class View:
    """What the page of a run could show: its classes, how central an image is in its own, and how doubtful."""

    before: Before
    doubt: Mapping[str, float]
    """How doubtful the class of each unlabelled image is, at least 0."""

    def members(self) -> dict[str, list[str]]:
        """Return the unlabelled images of each class, the most central first; classes without any are left out."""
        found: dict[str, list[str]] = {}
        for key in sorted(self.doubt, key=lambda key: -self.before.central[key]):
            found.setdefault(self.before.classes[key], []).append(key)
        return found


def decide(view: View, truth: Mapping[str, str], count: int, start: int = 0) -> list[dict[str, Any]]:
    """Return the lines of ``count`` decisions about a run, or fewer if nothing is left to decide.

    The person goes through the classes without a name, the largest first, and those of a size by their doubt. Of each
    the three most central images are shown. If most of them are of one category, the class gets its name, and each
    other image its own. If all differ, the class has none: each image of a category that nobody has named yet gets its
    name, or if all are named the most central one. Then the person goes through the named classes, the one with most
    doubt first. Of each the three most doubtful images are shown: those that belong elsewhere are moved there.

    Args:
        view: what is shown.
        truth: category of each image; only those of images shown are looked at.
        count: of decisions.
        start: number of the first line, which is its ``id``.
    """
    lines = itertools.islice(_answers(view, truth), count)
    return [{"id": str(number), **line} for number, line in enumerate(lines, start)]


def _answers(view: View, truth: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    members = view.members()
    known = set(view.before.known)
    doubt = {name: sum(view.doubt[key] for key in keys) for name, keys in members.items()}
    unnamed = [name for name in members if name not in known]
    for cluster in sorted(unnamed, key=lambda name: (-len(members[name]), -doubt[name], name)):
        shown = members[cluster][:SHOWN]
        category, votes = Counter(truth[key] for key in shown).most_common(1)[0]
        if 2 * votes > len(shown):
            yield {"action": "name", "cluster": cluster, "name": category, "shown": shown}
            known.add(category)
            odd = [key for key in shown if truth[key] != category]
        else:
            odd = [key for key in shown if truth[key] not in known] or shown[:1]
        for key in odd:
            yield {"action": "is", "images": [key], "name": truth[key]}
            known.add(truth[key])
    named = [name for name in members if name in view.before.known and name not in view.before.settled]
    for cluster in sorted(named, key=lambda name: (-doubt[name], name)):
        shown = sorted(members[cluster], key=lambda key: -view.doubt[key])[:SHOWN]
        if all(truth[key] == cluster for key in shown):
            yield {"action": "keep", "cluster": cluster, "shown": shown}
        for key in shown:
            if truth[key] != cluster:
                yield {"action": "is", "images": [key], "name": truth[key]}


def random_images(keys: Sequence[str], count: int, seed: int, draw: int) -> list[str]:
    """Return ``count`` of ``keys`` drawn at random; with more of them the first ones stay the same."""
    order = numpy_generator(seed, "random labels", draw).permutation(len(keys))
    return [keys[i] for i in order[:count].tolist()]


def doubtful_images(view: View, count: int) -> list[str]:
    """Return the ``count`` images whose class is most doubtful (uncertainty sampling, Lewis & Gale 1994)."""
    return sorted(view.doubt, key=lambda key: (-view.doubt[key], key))[:count]


def margin_doubt(scores: np.ndarray) -> np.ndarray:
    """Return how doubtful predictions are, float64 [N] in (0, 1], from scores [N, k]: exp(-margin / its mean).

    The margin is the difference of the two best scores, so it means something for scores of any kind and scale.
    """
    best = np.partition(scores.astype(np.float64), -2, axis=1)[:, -2:]
    margin = best[:, 1] - best[:, 0]
    return np.exp(-margin / max(float(margin.mean()), 1e-12))
