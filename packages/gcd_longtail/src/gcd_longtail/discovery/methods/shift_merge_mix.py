"""Shift-merge-mix: discovery for long tails, with everything that can be learned from the known classes learned there.

1. Shift. Each image moves halfway towards its five nearest neighbours, once; constrained Ward clustering grows a tree
   of the shifted images (:mod:`gcd_longtail.discovery.clustering.ward`). All later steps see the images unshifted.
2. Merge. The tree is cut into more clusters than wanted, and clusters merge that a logistic regression says are of one
   class (:mod:`gcd_longtail.discovery.clustering.learned_merge`). It is learned where known classes were hidden
   (:mod:`gcd_longtail.discovery.holdouts`), and left out where it does not help there. Ward splits a class of many images
   into several clusters, for its cost grows with the sizes; and what is wasted on these is missing in the tail.
3. Mix. A mixture whose small clusters have wide predictive densities is fitted with the clusters' sizes and decides
   without them (:mod:`gcd_longtail.discovery.clustering.mixture`).
4. A SimGCD head (:mod:`gcd_longtail.discovery.methods.simgcd`) starts at these clusters. It is better at known classes,
   the mixture at small novel ones, so the decision is argmax_j log p_mixture(j | x) + w log p_head(j | x). On the
   holdouts, w is the weight with the best mean macro accuracy; so every data set has its own, and nobody sets it.
5. On the holdouts, too, logistic regressions learn from the log odds of sum, mixture and head whether a prediction is
   right and whether an image is of no known class, so that a confidence and a novel score are probabilities.

The combination is this project's own; its parts name their sources. Time grows with the square of the images up to
the number of nodes of a tree, and in proportion to them beyond it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from gcd_longtail.discovery.clustering.learned_merge import (
    Clusters,
    Example,
    SameClass,
    learn,
    majority,
    merge_down,
)
from gcd_longtail.discovery.clustering.leaves import leaves_of, some_of_each
from gcd_longtail.discovery.clustering.mixture import Mixture, fit_mixture
from gcd_longtail.discovery.clustering.neighbours import nearest_neighbours, shifted
from gcd_longtail.discovery.clustering.ward import Merges, constrained_ward
from gcd_longtail.discovery.holdouts import Holdout, holdouts
from gcd_longtail.discovery.matching import match
from gcd_longtail.discovery.methods.simgcd import train_from
from gcd_longtail.discovery.predictors import FusedPredictor, LinearPredictor
from gcd_longtail.discovery.problem import Discovered, Problem, check_k
from gcd_longtail.discovery.spaces import Space, fit_space
from gcd_longtail.settings.methods import ShiftMergeMixConfig

BLOCK = 8192


@dataclass(frozen=True)
class ShiftMergeMix:
    """Our method for long tails."""

    config: ShiftMergeMixConfig = ShiftMergeMixConfig()

    def fit(self, problem: Problem, k: int, seed: int) -> Discovered:
        """Discover ``k`` classes; see :meth:`gcd_longtail.discovery.problem.Method.fit`."""
        check_k(k, problem.known)
        held = [*holdouts(problem, self.config.holdouts, seed)]
        looks = [Look.at(one.problem, self.config, seed) for one in held]
        same, starts = learn_merge(looks, held, self.config)
        predictors = [
            _predictor(look, start, one.classes, seed)
            for look, one, start in zip(looks, held, starts, strict=True)
        ]
        look = Look.at(problem, self.config, seed)
        found = _predictor(look, look.clusters(k, same), k, seed)
        predictor = _calibrated(found, look, predictors, looks, held)
        return Discovered(predictor.predict(problem.unlabelled), predictor)


@dataclass(frozen=True)
class Look:
    """A problem with its tree and its neighbours: everything from which clusters are cut."""

    problem: Problem
    config: ShiftMergeMixConfig
    space: Space
    labelled: np.ndarray
    """Unit vectors, float32 [L, P]."""
    unlabelled: np.ndarray
    """float32 [U, P]."""
    merges: Merges
    leaves: np.ndarray
    """Row of the tree that stands for each unlabelled image, int64 [U]."""
    rows: np.ndarray
    """Some labelled images, then the rows of the tree, float32 [R, P]: among them neighbours were looked for."""
    classes: np.ndarray
    """Class of each of ``rows``, int64 [R]; -1 for the rows of the tree."""
    weights: np.ndarray
    """Images that each of ``rows`` stands for, [R]."""
    neighbours: np.ndarray
    """int64 [R, links]."""

    @classmethod
    def at(cls, problem: Problem, config: ShiftMergeMixConfig, seed: int) -> "Look":
        """Grow the tree of a problem."""
        space = fit_space(problem, config.ward.space)
        labelled, unlabelled = space.transform(problem.labelled), space.transform(problem.unlabelled)
        nodes, leaves, counts = leaves_of(unlabelled, seed, problem.device)
        chosen = some_of_each(problem.labels, seed)
        rows = np.concatenate([labelled[chosen], nodes])
        classes = np.concatenate([problem.labels[chosen], np.full(len(nodes), -1)])
        near = nearest_neighbours(rows, config.neighbours, classes)
        moved = shifted(rows, near, config.shift)
        merges = constrained_ward(
            moved[len(chosen) :],
            moved[: len(chosen)],
            problem.labels[chosen],
            gamma=config.ward.gamma,
            counts=counts,
            known_counts=np.bincount(problem.labels, minlength=problem.known),
            one_by_one=1000,
        )
        weights = np.concatenate([np.ones(len(chosen)), counts])
        links = nearest_neighbours(rows, config.links)
        return cls(
            problem, config, space, labelled, unlabelled, merges, leaves, rows, classes, weights, links
        )

    def mix(self, start: np.ndarray, k: int) -> tuple[Mixture, np.ndarray]:
        """Return the mixture that starts at clusters, int64 [U], and what it makes of them with the sizes' weight."""
        return fit_mixture(self.labelled, self.problem.labels, self.unlabelled, start, k)

    def over_cut(self, k: int, times: float) -> tuple[Clusters, np.ndarray]:
        """Return more clusters than ``k``, ``times`` as many novel ones, and that of each unlabelled image, int64 [U]."""
        known = self.problem.known
        many = min(round(known + times * (k - known)), self.merges.nodes)
        mixture, clusters = self.mix(self.merges.cut(many)[self.leaves], many)
        own = np.where(self.classes >= 0, self.classes, 0)
        own[self.classes < 0] = mixture.assign(self.rows[self.classes < 0])
        links = np.zeros((many, many))
        for column in self.neighbours.T:
            np.add.at(links, (own, own[column]), self.weights)
        every = np.concatenate([self.labelled, self.unlabelled])
        numbers = np.concatenate([self.problem.labels, clusters])
        return Clusters.of(every, numbers, links, many, known), clusters

    def clusters(self, k: int, same: SameClass | None) -> np.ndarray:
        """Return the cluster of each unlabelled image, int64 [U]: cut and merged down to ``k``."""
        if same is None or k == self.problem.known:
            return self.merges.cut(min(k, self.merges.nodes))[self.leaves]
        many, clusters = self.over_cut(k, self.config.over_cut)
        return merge_down(many, same, k)[0][clusters]


def learn_merge(
    looks: Sequence[Look], held: Sequence[Holdout], config: ShiftMergeMixConfig
) -> tuple[SameClass | None, list[np.ndarray]]:
    """Learn which clusters are of one class where known classes are hidden, and whether to merge by it.

    Each holdout is clustered by what the others teach, and by the tree alone. Where the tree alone has the better mean
    macro accuracy, nothing is merged. Few known classes teach nothing.

    Returns:
        The model of all holdouts, or None not to merge; and the clusters of each holdout, int64 [U].
    """
    examples = [_example(look, one, config) for look, one in zip(looks, held, strict=True)]
    plain, taught, gains = [], [], []
    for number, (look, one) in enumerate(zip(looks, held, strict=True)):
        others = examples[:number] + examples[number + 1 :]  # else it would be merged by its own answers
        plain.append(look.clusters(one.classes, None))
        taught.append(look.clusters(one.classes, learn(others) if others else None))
        alone, merged = (
            _macro(look.mix(start, one.classes)[0].log_densities(look.unlabelled), one)
            for start in (plain[-1], taught[-1])
        )
        gains.append(merged - alone)
    if not gains or np.mean(gains) <= 0:
        return None, plain
    return learn(examples), taught


def _example(look: Look, one: Holdout, config: ShiftMergeMixConfig) -> Example:
    """Return a holdout's tree, cut into too many clusters, with the class of most images of each."""
    clusters, numbers = look.over_cut(one.classes, config.learn_over_cut)
    labels = look.problem.labels
    every = np.concatenate([labels, numbers]), np.concatenate([labels, one.truth])
    return Example(clusters, *majority(*every, len(clusters.sizes), look.problem.known))


def _predictor(look: Look, clusters: np.ndarray, k: int, seed: int) -> FusedPredictor:
    """Return mixture and head of clusters, int64 [U], with a weight of 1 and no calibration."""
    mixture, _ = look.mix(clusters, k)
    assigned = mixture.assign(look.unlabelled)
    config = look.config
    head = train_from(look.problem, assigned, k, seed, config.head, config.ward.space, start=clusters)
    cosine = head.discovery().predictor
    assert isinstance(cosine, LinearPredictor)
    space = look.space.nearest(np.zeros((1, look.labelled.shape[1])))
    return FusedPredictor(
        space, mixture, cosine, look.problem.known, head_temperature=config.head.student_temperature
    )


# ------------------------------------------------------------------------------- what the holdouts say of the sum


def _calibrated(
    found: FusedPredictor,
    look: Look,
    predictors: Sequence[FusedPredictor],
    looks: Sequence[Look],
    held: Sequence[Holdout],
) -> FusedPredictor:
    """Return ``found`` with the weight, temperature and odds that fit the holdouts; as it is without them.

    Args:
        found: the predictor of the problem.
        look: what it was made from.
        predictors: one of each holdout.
        looks: what they were made from.
        held: the holdouts.
    """
    if not held:
        return found
    parts = [p.parts(one.problem.unlabelled) for p, one in zip(predictors, held, strict=True)]
    weight = max(
        look.config.weights,
        key=lambda w: np.mean([_macro(m + w * h, one) for (m, h), one in zip(parts, held, strict=True)]),
    )
    scores = [m + np.float32(weight) * h for m, h in parts]
    weighed = [_seen(replace(p, weight=weight), look) for p, look in zip(predictors, looks, strict=True)]
    right = [clusters == of_class for clusters, of_class in map(_matched, scores, held)]
    novel = [one.truth >= one.problem.known for one in held]
    rows = [one.problem.unlabelled for one in held]
    return replace(
        _seen(replace(found, weight=weight), look),
        temperature=_temperature(scores, held),
        confidence_weights=_fit_logistic(
            [p.confidence_signs(x) for p, x in zip(weighed, rows, strict=True)], right
        ),
        novel_weights=_fit_logistic([p.novel_signs(x) for p, x in zip(weighed, rows, strict=True)], novel),
    )


def _seen(predictor: FusedPredictor, look: Look) -> FusedPredictor:
    """Return the predictor with the signs of its clusters, as the unlabelled images of ``look`` show them."""
    images = look.problem.unlabelled
    blocks = [predictor.image_signs(images[i : i + BLOCK]) for i in range(0, len(images), BLOCK)]
    signs, chosen = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    k, known = predictor.k, look.problem.known
    sizes = np.bincount(chosen, minlength=k)
    means = np.zeros((k, 2))
    np.add.at(means, chosen, signs[:, :2])  # without the head's
    means /= np.maximum(sizes, 1)[:, None]
    nodes = look.classes < 0
    own = look.classes.copy()
    tree = own[nodes]
    tree[look.leaves] = chosen  # one image of a small cluster stands for it
    own[nodes] = tree
    shares, weights = (own[look.neighbours] == own[:, None]).mean(1)[nodes], look.weights[nodes]
    together = np.bincount(own[nodes], weights=weights * shares, minlength=k)
    share = together / np.maximum(np.bincount(own[nodes], weights=weights, minlength=k), 1)
    links = look.neighbours.shape[1]
    odds = np.log((links * share + 0.5) / (links * (1 - share) + 0.5))
    novel, relative = np.arange(k) >= known, np.log((sizes + 1) * k / len(images))
    clusters = np.column_stack([novel, relative, odds, means]).astype(np.float32)
    return replace(predictor, clusters=clusters)


def _fit_logistic(signs: Sequence[np.ndarray], so: Sequence[np.ndarray]) -> np.ndarray:
    """Return constant and weights of a logistic regression of what is so on its signs, float32."""
    rows, target = np.concatenate(signs).astype(np.float64), np.concatenate(so)
    if target.all() or not target.any():  # nothing tells one from the other
        share = (target.sum() + 0.5) / (len(target) + 1)
        return np.array([np.log(share / (1 - share)), *[0] * rows.shape[1]], np.float32)
    model = LogisticRegression(max_iter=1000).fit(rows, target)
    return np.concatenate([model.intercept_, model.coef_[0]]).astype(np.float32)


def _matched(scores: np.ndarray, one: Holdout) -> tuple[np.ndarray, np.ndarray]:
    """Return the cluster of each image and the cluster of its class under the best one-to-one assignment."""
    clusters = scores.argmax(1)
    counts = np.zeros((scores.shape[1], one.classes), np.int64)
    np.add.at(counts, (clusters, one.truth), 1)
    return clusters, match(counts)[one.truth]


def _macro(scores: np.ndarray, one: Holdout) -> float:
    """Return the accuracy over the images of each class, averaged over the classes."""
    clusters, right = _matched(scores, one)
    hits = np.bincount(one.truth, weights=clusters == right, minlength=one.classes)
    totals = np.bincount(one.truth, minlength=one.classes)
    return float((hits[totals > 0] / totals[totals > 0]).mean())


def _temperature(scores: Sequence[np.ndarray], held: Sequence[Holdout]) -> float:
    """Return the temperature under which the clusters of the images' own classes are likeliest."""
    pairs = [(one, _matched(one, hold)[1]) for one, hold in zip(scores, held, strict=True)]

    def surprise(log_temperature: float) -> float:
        logs = [log_softmax(one / np.exp(log_temperature), axis=1) for one, _ in pairs]
        return -float(
            np.mean(
                [log[np.arange(len(log)), right].mean() for log, (_, right) in zip(logs, pairs, strict=True)]
            )
        )

    return float(np.exp(minimize_scalar(surprise, bounds=(-2, 4), method="bounded").x))
