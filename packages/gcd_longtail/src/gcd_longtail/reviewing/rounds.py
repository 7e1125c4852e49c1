"""The loop of deciding and learning, measured on a split whose labels answer for a person."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from gcd_longtail.discovery.problem import Discovered, Method, Problem
from gcd_longtail.discovery.run import class_names, sort_novel
from gcd_longtail.figures.gallery import centrality
from gcd_longtail.protocol.data import Data
from gcd_longtail.reviewing.decisions import decision
from gcd_longtail.reviewing.learning import Before, Lesson, learn
from gcd_longtail.reviewing.simulated import View, decide, doubtful_images, margin_doubt, random_images
from gcd_longtail.settings.methods import Compared

DECISIONS = "decisions"
"""What is asked of the person, if it is not labels of single images."""


@dataclass(frozen=True)
class Pile:
    """All training images of a split: labelled ones, then unlabelled ones."""

    data: Data
    keys: tuple[str, ...]
    truth: Mapping[str, str]
    """Name of the true class of each image."""
    device: str = "cpu"

    @classmethod
    def of(cls, data: Data, device: str = "cpu") -> "Pile":
        """Return the pile of a split."""
        numbers = np.concatenate([data.where("L"), data.where("U")])
        keys = tuple(data.split.keys[i] for i in numbers)
        names = [data.split.classes[data.split.labels[i]].name for i in numbers]
        return cls(data, keys, dict(zip(keys, names, strict=True)), device)

    @property
    def unlabelled(self) -> tuple[str, ...]:
        """The images without a label at first."""
        return self.keys[len(self.data.problem.labels) :]

    @cached_property
    def given(self) -> Lesson:
        """The labels of the split."""
        split, labels = self.data.split, self.data.problem.labels
        names = tuple(one.name for one in split.classes[: split.known])
        known = dict(zip(self.keys, labels.tolist(), strict=False))
        return Lesson(names, known, frozenset(), len(split.classes), frozenset())

    def problem(self, labels: np.ndarray, known: int) -> Problem:
        """Return the problem in which the images have ``labels``, int64 [N], -1 for none."""
        old, there = self.data.problem, labels >= 0
        views = None
        if old.labelled_views is not None and old.unlabelled_views is not None:
            views = np.concatenate([old.labelled_views, old.unlabelled_views], axis=1)
        parts = (None, None) if views is None else (views[:, there], views[:, ~there])
        features = old.features
        return Problem(features[there], labels[there], features[~there], known, *parts, device=self.device)


@dataclass(frozen=True)
class Fitted:
    """What a method found with the labels of a lesson."""

    pile: Pile
    lesson: Lesson
    labels: np.ndarray
    """Class of each labelled image, int64 [N]; -1 of the others."""
    discovery: Discovered

    @classmethod
    def of(cls, pile: Pile, lesson: Lesson, method: Method, k: int, seed: int) -> "Fitted":
        """Fit a method to ``k`` classes in all, or to those with labels if they are more."""
        labels = np.array([lesson.labels.get(key, -1) for key in pile.keys])
        known = len(lesson.classes)
        found = method.fit(pile.problem(labels, known), max(k, known), seed)
        return cls(pile, lesson, labels, sort_novel(found, known))

    @cached_property
    def classes(self) -> np.ndarray:
        """Class of each image, int64 [N]: its label, or what was found."""
        classes = self.labels.copy()
        classes[self.labels < 0] = self.discovery.assignments
        return classes

    def view(self, settled: frozenset[str]) -> View:
        """Return what a page could show of it."""
        names = class_names(self.lesson.classes, self.discovery.k)
        features = self.pile.data.problem.features
        central = centrality(self.discovery.predictor, features, self.classes)
        free = self.labels < 0
        doubt = margin_doubt(self.discovery.predictor.scores(features[free]))
        keys = self.pile.keys
        before = Before(
            names,
            self.lesson.classes,
            {key: names[number] for key, number in zip(keys, self.classes.tolist(), strict=True)},
            frozenset(self.lesson.labels),
            dict(zip(keys, central.tolist(), strict=True)),
            settled,
        )
        return View(before, dict(zip(np.array(keys, object)[free].tolist(), doubt.tolist(), strict=True)))

    def counts(self) -> dict[str, np.ndarray]:
        """Return images by found class and true class, int64 [k, classes], of ``transductive`` and ``test`` images.

        The transductive ones are those without a label at first; those that were answered count as answered. Row i is
        the class with the name ``lesson.classes[i]``, the rows behind have no name.
        """
        data = self.pile.data
        unlabelled = self.classes[len(data.problem.labels) :]
        found = {"transductive": (unlabelled, data.unlabelled_labels)}
        if len(data.test_labels):
            found["test"] = (self.discovery.predict(data.test), data.test_labels)
        tables = {}
        for name, (classes, truth) in found.items():
            tables[name] = np.zeros((self.discovery.k, len(data.split.classes)), np.int64)
            np.add.at(tables[name], (classes, truth), 1)
        return tables


@dataclass(frozen=True)
class Step:
    """Where the loop stands after some decisions."""

    decisions: int
    answered: int
    """Images that have got a label since the start."""
    named: np.ndarray
    """True class that the name of each found class means, int64 [k]; -1 where it has none."""
    counts: Mapping[str, np.ndarray]
    """See :meth:`Fitted.counts`."""


def run_loop(
    pile: Pile,
    method: Method,
    *,
    asked: Compared | Literal["decisions"],
    budgets: Sequence[int],
    every: int,
    seed: int,
    draw: int = 0,
    images: Sequence[int] = (),
) -> Iterator[Step]:
    """Yield where the loop stands after each of ``budgets``, ascending; with decisions also at first, where all begin.

    Args:
        pile: the images.
        method: what learns.
        asked: decisions about classes, or what they are compared with.
        budgets: decisions after which it is measured.
        every: decisions after which the method is fitted again, and what comes next is asked about what it found then.
        seed: of the method and of the draws.
        draw: number of the draw of random labels.
        images: number of random labels at each budget, if it is not that of the decisions.
    """
    k = len(pile.data.split.classes)
    if asked.startswith("random"):
        for budget, count in zip(budgets, images or budgets, strict=True):
            chosen = random_images(pile.unlabelled, count, seed, draw)
            yield _step(Fitted.of(pile, _labelled(pile, pile.given, chosen), method, k, seed), budget)
        return
    now, done, settled = Fitted.of(pile, pile.given, method, k, seed), 0, frozenset()
    if asked == DECISIONS:
        yield _step(now, 0)
    for stop in sorted({*range(every, max(budgets), every), *budgets}):
        view = now.view(settled)
        if asked == DECISIONS:
            lines = decide(view, pile.truth, stop - done, start=done)
            lesson = learn(view.before, [decision(line) for line in lines])
            settled = lesson.settled
        else:
            lesson = _labelled(pile, now.lesson, doubtful_images(view, stop - done))
        now, done = Fitted.of(pile, lesson, method, k, seed), stop
        if stop in budgets:
            yield _step(now, stop)


def _labelled(pile: Pile, lesson: Lesson, keys: Sequence[str]) -> Lesson:
    """Return ``lesson`` with the true labels of more images."""
    classes = list(dict.fromkeys([*lesson.classes, *(pile.truth[key] for key in keys)]))
    numbers = {name: number for number, name in enumerate(classes)}
    labels = {**lesson.labels, **{key: numbers[pile.truth[key]] for key in keys}}
    return dataclasses.replace(lesson, classes=tuple(classes), labels=labels)


def _step(fitted: Fitted, decisions: int) -> Step:
    numbers = {one.name: number for number, one in enumerate(fitted.pile.data.split.classes)}
    named = np.full(fitted.discovery.k, -1)
    named[: len(fitted.lesson.classes)] = [numbers[name] for name in fitted.lesson.classes]
    answered = len(fitted.lesson.labels) - len(fitted.pile.data.problem.labels)
    return Step(decisions, answered, named, fitted.counts())
