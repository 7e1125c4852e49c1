"""What every method of adaptation does, and the table of methods.

A method is one file with one class; :data:`METHODS` names it. It is given a :class:`Problem`, says what there is to
learn from, and returns the losses of each step. Steps, optimizer, moving average and checkpoints are the caller's.
"""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from doc_detect.adaptation.labelled import LabelledPage
from doc_detect.adaptation.target import TargetPage
from doc_detect.coco import CocoSet
from doc_detect.detectors.base import Detector
from doc_detect.detectors.scoring import Scoring
from doc_detect.settings.adaptation import AdaptSettings
from doc_detect.training.pages import Sample, collate


@dataclass(frozen=True)
class Problem:
    """What a method is given."""

    source: Detector
    """The detector to adapt, in evaluation and on its device; it stays as it is."""
    scoring: Scoring
    """What its scores mean."""
    pages: Sequence[TargetPage]
    """Pages of the target to learn from; those to judge by are not among them."""
    synthetic: CocoSet | None
    """Labelled pages of the source's world, where they are at hand."""
    labelled: Sequence[LabelledPage]
    """Pages of the target with boxes to learn, where there are enough."""
    settings: AdaptSettings
    folder: Path
    """The run folder. What a method prepares there is there again when a killed run goes on."""


@dataclass(frozen=True)
class Lessons:
    """What a method has found to learn from."""

    learned: tuple[str, ...]
    """Classes that are learned; if there are none, there is nothing to train for."""
    taught: tuple[str, ...]
    """Those of them that labelled pages of the target teach."""
    counts: Mapping[str, Mapping[str, int]]
    """Of each class, what there is: objects and pages, by what a method calls them."""
    line: str
    """The same for a person, in one line."""


class Method(ABC):
    """A way to adapt: it prepares what is learned from, gives the losses of each step, and may end with more."""

    needs_source: ClassVar[bool] = False
    """True if it learns from labelled pages of the source's world; without --source it is then refused."""
    learns_labelled: ClassVar[bool] = False
    """True if it trains on labelled pages of the target, where there are enough."""

    def __init__(self, problem: Problem):
        self.problem = problem

    @property
    def steps(self) -> int:
        """Steps of the optimizer; a method that only measures has none."""
        return self.problem.settings.optimization.steps

    @property
    def own(self) -> nn.Module | None:
        """What is trained beside the student and thrown away at the end, such as a domain classifier."""
        return None

    @abstractmethod
    def prepare(self) -> Lessons:
        """Return what there is to learn from; called once, before the first step."""

    @abstractmethod
    def losses(self, student: nn.Module, average: Detector, step: int) -> dict[str, Tensor]:
        """Return the losses of a step by name; their sum is minimised.

        They depend on the seed, the step and the weights alone, so that a resumed run ends with the same bits.

        Args:
            student: The detector that learns, called with images and targets as :meth:`Detector.forward`.
            average: The moving average of its weights, in evaluation: a teacher.
            step: Number of the step, from 0.
        """

    def finish(self, average: Detector) -> None:  # noqa: B027  (most methods have nothing to do here)
        """Change the averaged detector after the last step; by default nothing is done."""


class SampleMethod(Method):
    """A method that is all in the pages that it shows: the losses are the detector's own."""

    @abstractmethod
    def samples(self, step: int) -> list[Sample]:
        """Return the pages of a step with their targets."""

    def losses(self, student: nn.Module, average: Detector, step: int) -> dict[str, Tensor]:
        """Return the detector's losses on the samples of a step."""
        return losses_on(self.samples(step), student, average)


def losses_on(samples: Sequence[Sample], student: nn.Module, average: Detector) -> dict[str, Tensor]:
    """Return the detector's losses on samples."""
    images, targets = collate(samples)
    device = next(average.parameters()).device
    return student([image.to(device) for image in images], [target.to(device) for target in targets])


METHODS: Mapping[str, str] = {
    "self-training": "doc_detect.adaptation.self_training:SelfTraining",
    "mean-teacher": "doc_detect.adaptation.mean_teacher:MeanTeacher",
    "continued": "doc_detect.adaptation.continued:Continued",
    "statistics": "doc_detect.adaptation.statistics:Statistics",
    "style": "doc_detect.adaptation.style:Style",
    "composition": "doc_detect.adaptation.composition:Composition",
    "adversarial": "doc_detect.adaptation.adversarial:Adversarial",
}
"""Method classes by name, imported when they are used."""


def method_class(name: str) -> type[Method]:
    """Return the class of a method of :data:`METHODS`."""
    module, _, kind = METHODS[name].partition(":")
    return getattr(importlib.import_module(module), kind)


def make_method(problem: Problem) -> Method:
    """Return the method that the settings of ``problem`` name."""
    return method_class(problem.settings.method)(problem)
