"""Offline self-training: the source detector's sure finds on the target are the labels of what is trained on.

Sources: Lee 2013, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural Networks";
for detectors RoyChowdhury et al. 2019, "Automatic adaptation of object detectors to new domains using self-training".
The labels are made once, by the source, and the student sees them under strong views, as in Sohn et al. 2020, "A Simple
Semi-Supervised Learning Framework for Object Detection" (STAC). In several rounds (--rounds) they are made anew by the
moving average, as in Xie et al. 2020, "Self-training with Noisy Student improves ImageNet classification".
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from doc_detect.adaptation.base import Lessons, Problem, SampleMethod
from doc_detect.adaptation.pseudo_labels import PSEUDO_LABELS, count, kept_finds, scores_of, too_few
from doc_detect.adaptation.source_pages import SourcePages
from doc_detect.adaptation.target import TargetPage
from doc_detect.adaptation.views import Marks, paint_over, strong_view
from doc_detect.classes import CLASSES, class_index
from doc_detect.coco import CocoPage
from doc_detect.detectors.base import Detector, Target
from doc_detect.detectors.postprocess import box_iou
from doc_detect.detectors.tensors import to_tensor
from doc_detect.training.pages import SMALLEST_SIDE, PageDraw, Sample, own_labels, training_size
from seminar_common.seeds import numpy_generator


class SelfTraining(SampleMethod):
    """Sure finds are learned, doubtful ones are painted over or left out of the loss, all else is background."""

    learns_labelled = True

    def __init__(self, problem: Problem):
        super().__init__(problem)
        self.labels = problem.source.labels
        self.painted = problem.settings.self_training.painted
        """Classes whose doubtful finds are painted over."""
        self.found: list[CocoPage] = []
        self.learned: tuple[str, ...] = ()
        """Classes that the source's own finds teach."""
        self.round = 0
        self._draw: PageDraw | None = None
        self._labelled: PageDraw | None = None
        self._source: SourcePages | None = None

    def prepare(self) -> Lessons:
        """Look at all pages with the source detector, or read what a killed run has found."""
        problem, config = self.problem, self.problem.settings.self_training
        self.found = kept_finds(problem, problem.source)
        counts = {label: count(self.found, label, config) for label in self.labels}
        self.learned = tuple(label for label in self.labels if counts[label]["sure"] >= config.fewest)
        shown = self._draw_anew()
        truth = [each.truth for each in problem.labelled]
        numbers = {int(number) for page in truth for number in page.labels}
        taught = tuple(label for label in self.labels if class_index(label) in numbers)
        if truth:
            self._labelled = PageDraw(truth, taught, problem.settings.optimization.balance)
        learned = tuple(label for label in self.labels if label in (*self.learned, *taught))
        line = self._line(counts, sum(len(page.labels) > 0 for page in shown))
        if truth:
            line += f"; learning {', '.join(taught)} from {len(truth):,} labelled pages"
        if problem.settings.mixed_share:
            self._source = SourcePages(problem)
            line += f"; {problem.settings.mixed_share:.0%} of what is shown are pages of the source's world"
        return Lessons(learned, taught, counts, line)

    def _draw_anew(self) -> list[CocoPage]:
        """Let pages be drawn by what is found on them now; return them with their sure finds."""
        shown = [self._sure(page) for page in self.found]
        if self.learned:
            self._draw = PageDraw(shown, self.learned, self.problem.settings.optimization.balance)
        return shown

    def _line(self, counts: Mapping[str, Mapping[str, int]], pages: int) -> str:
        if not self.learned:
            return too_few(counts, self.problem.settings.self_training.fewest)
        known = ", ".join(
            f"{counts[label]['sure']:,} {label} on {counts[label]['pages']:,}" for label in self.learned
        )
        other = ", ".join(label for label in self.labels if label not in self.learned)
        rest = f"; too few to learn, and perhaps forgotten: {other}" if other else ""
        return f"learning from {pages:,} of {len(self.found):,} pages: {known}{rest}"

    def _sure(self, page: CocoPage) -> CocoPage:
        """Return a page with the sure finds of the learned classes alone."""
        names = np.array([CLASSES[number] for number in page.labels], np.str_)
        kept = (scores_of(page) >= self.problem.settings.self_training.sure) & np.isin(names, self.learned)
        return CocoPage(page.file_name, page.width, page.height, page.boxes[kept], page.labels[kept])

    def losses(self, student: nn.Module, average: Detector, step: int) -> dict[str, Tensor]:
        """Return the detector's losses on the views of a step; first of a round, the labels are made anew."""
        settings = self.problem.settings
        now = step * settings.self_training.rounds // settings.optimization.steps
        if now != self.round and self.learned:
            # A killed run that goes on within the round reads what the average found when the round began.
            self.round, self.found = now, kept_finds(self.problem, average, _file_of(now))
            self._draw_anew()
        return super().losses(student, average, step)

    def samples(self, step: int) -> list[Sample]:
        """Return the views of a step."""
        return self.views(step, lambda number: self.found[number])

    def views(self, step: int, found: Callable[[int], CocoPage]) -> list[Sample]:
        """Return the views of a step.

        Args:
            step: From 0.
            found: Returns what is found on the page of a number.
        """
        config = self.problem.settings.optimization
        first = step * config.batch_size
        return [self._sample(step, first + number, found) for number in range(config.batch_size)]

    def _sample(self, step: int, index: int, found: Callable[[int], CocoPage]) -> Sample:
        settings = self.problem.settings
        g = numpy_generator(settings.seed, "view", index)
        if self._source is not None and g.random() < settings.mixed_share:
            return self._source[index]
        pixels, marks, unknown, unboxed = self._shown(step, g, found)
        size = training_size(settings.optimization, step, settings.seed)
        view, marks = strong_view(pixels, marks, size, settings.views, g)
        large = (marks.boxes[:, 2:] - marks.boxes[:, :2]).min(axis=1, initial=np.inf) >= SMALLEST_SIDE
        target = Target(
            torch.from_numpy(marks.boxes[large]).float(),
            torch.from_numpy(marks.labels[large]),
            torch.zeros((0, 4)),
            tuple(i for i, label in enumerate(self.labels) if label in unknown),
            torch.from_numpy(marks.unknown).float(),
            tuple(i for i, label in enumerate(self.labels) if label in unboxed),
        )
        return Sample(to_tensor(view), target)

    def _shown(
        self, step: int, g: np.random.Generator, found: Callable[[int], CocoPage]
    ) -> tuple[np.ndarray, Marks, tuple[str, ...], tuple[str, ...]]:
        """Return a page, what is known of it, the classes of which nothing is, and those whose sizes are not."""
        settings = self.problem.settings
        share = settings.labelled_share if self._draw else 1.0
        if self._labelled and g.random() < share:
            page = self.problem.labelled[self._labelled.page(settings.seed, step, g)]
            return *page.marks(self.labels), page.unlabelled, ()
        assert self._draw is not None
        number = self._draw.page(settings.seed, step, g)
        unknown = tuple(label for label in self.labels if label not in self.learned)
        seen, marks = self._marked(self.problem.pages[number], found(number), g)
        return seen, marks, unknown, settings.self_training.unboxed

    def _marked(self, page: TargetPage, found: CocoPage, g: np.random.Generator) -> tuple[np.ndarray, Marks]:
        """Return a page with its doubtful finds painted over, and what is known of it."""
        seen = page.read()
        sure = self._sure(found)
        boxes = seen.to_seen(sure.boxes)
        unknown = []
        for box, label, score in zip(seen.to_seen(found.boxes), found.labels, scores_of(found), strict=True):
            name = CLASSES[label]
            if score >= self.problem.settings.self_training.sure or name not in self.learned:
                continue
            if name in self.painted and not box_iou(box[None], boxes).any():
                paint_over(seen.pixels, box, g)
            else:  # nothing that is learned is painted over
                unknown.append(box)
        return seen.pixels, Marks(
            boxes, own_labels(sure.labels, self.labels), np.array(unknown).reshape(-1, 4)
        )


def _file_of(number: int) -> str:
    """Return where the labels of a round are kept: of the first one, 0, those of the source."""
    return PSEUDO_LABELS.replace(".json", f"-{number + 1}.json") if number else PSEUDO_LABELS
