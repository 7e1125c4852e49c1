"""Offline self-training: the source detector's sure finds on the target are the labels of what is trained on.

Sources: Lee 2013, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural Networks";
for detectors RoyChowdhury et al. 2019, "Automatic adaptation of object detectors to new domains using self-training".
The labels are made once, by the source, and the student sees them under strong views, as in Sohn et al. 2020, "A Simple
Semi-Supervised Learning Framework for Object Detection" (STAC).
"""

from collections.abc import Mapping

import numpy as np
import torch

from doc_detect.adaptation.base import Lessons, Problem, SampleMethod
from doc_detect.adaptation.target import TargetPage
from doc_detect.adaptation.views import Marks, paint_over, strong_view
from doc_detect.classes import CLASSES, class_index
from doc_detect.coco import CocoPage, read_coco, write_coco
from doc_detect.detectors.base import Target
from doc_detect.detectors.postprocess import box_iou
from doc_detect.detectors.tensors import to_tensor
from doc_detect.detectors.torch import TorchDetector
from doc_detect.training.pages import SMALLEST_SIDE, PageDraw, Sample, own_labels, training_size
from seminar_common.progress import progress
from seminar_common.seeds import numpy_generator

PSEUDO_LABELS = "pseudo-labels.json"
"""In the run folder: what the source finds on the pages that are learned from, with its scores, as a COCO file."""


class SelfTraining(SampleMethod):
    """Sure finds are learned, doubtful ones are painted over or left out of the loss, all else is background."""

    def __init__(self, problem: Problem):
        super().__init__(problem)
        self.labels = problem.source.labels
        self.found: list[CocoPage] = []
        self.learned: tuple[str, ...] = ()
        """Classes that the source's own finds teach."""
        self._draw: PageDraw | None = None
        self._labelled: PageDraw | None = None

    def prepare(self) -> Lessons:
        """Look at all pages with the source detector, or read what a killed run has found."""
        stored = self.problem.folder / PSEUDO_LABELS
        if not stored.exists():
            write_coco(stored, self._look(), {"name": "pseudo-labels"}, self.labels)
        by_name = {page.file_name: page for page in read_coco(stored).pages}
        self.found = [by_name[page.name] for page in self.problem.pages]
        counts = {label: self._count(label) for label in self.labels}
        fewest = self.problem.settings.self_training.fewest
        self.learned = tuple(label for label, count in counts.items() if count["sure"] >= fewest)
        shown = [self._sure(page) for page in self.found]
        if self.learned:
            self._draw = PageDraw(shown, self.learned, self.problem.settings.optimization.balance)
        truth = [each.truth for each in self.problem.labelled]
        numbers = {int(number) for page in truth for number in page.labels}
        taught = tuple(label for label in self.labels if class_index(label) in numbers)
        if truth:
            self._labelled = PageDraw(truth, taught, self.problem.settings.optimization.balance)
        learned = tuple(label for label in self.labels if label in (*self.learned, *taught))
        line = self._line(counts, sum(len(page.labels) > 0 for page in shown))
        if truth:
            line += f"; learning {', '.join(taught)} from {len(truth):,} labelled pages"
        return Lessons(learned, taught, counts, line)

    def _look(self) -> list[CocoPage]:
        device = next(self.problem.source.parameters()).device
        detector = TorchDetector(self.problem.source, device, scoring=self.problem.scoring)
        doubt = self.problem.settings.self_training.doubt
        numbers = np.array([class_index(label) for label in self.labels])
        pages = []
        with progress("looking at target pages", len(self.problem.pages)) as advance:
            for page in self.problem.pages:
                found = detector.detect(page.read())
                kept = found.scores >= doubt
                boxes, scores = found.boxes[kept].astype(np.float64), found.scores[kept].astype(np.float64)
                numbered = numbers[found.labels[kept]]
                pages.append(CocoPage(page.name, page.width, page.height, boxes, numbered, scores))
                advance(1)
        return pages

    def _count(self, label: str) -> Mapping[str, int]:
        """Return how many finds of a class are sure and doubtful, and on how many pages sure ones are."""
        config = self.problem.settings.self_training
        scores = [_scores(page)[page.labels == class_index(label)] for page in self.found]
        sure = [int((each >= config.sure).sum()) for each in scores]
        doubtful = sum(int(((each >= config.doubt) & (each < config.sure)).sum()) for each in scores)
        return {"sure": sum(sure), "doubtful": doubtful, "pages": sum(count > 0 for count in sure)}

    def _line(self, counts: Mapping[str, Mapping[str, int]], pages: int) -> str:
        if not self.learned:
            best = max(counts, key=lambda label: counts[label]["sure"])
            fewest = self.problem.settings.self_training.fewest
            return f"no class has {fewest} sure finds ({best} has {counts[best]['sure']})"
        known = ", ".join(
            f"{counts[label]['sure']:,} {label} on {counts[label]['pages']:,}" for label in self.learned
        )
        other = ", ".join(label for label in self.labels if label not in self.learned)
        rest = f"; too few to learn: {other}" if other else ""
        return f"learning from {pages:,} of {len(self.found):,} pages: {known}{rest}"

    def _sure(self, page: CocoPage) -> CocoPage:
        """Return a page with the sure finds of the learned classes alone."""
        names = np.array([CLASSES[number] for number in page.labels], np.str_)
        kept = (_scores(page) >= self.problem.settings.self_training.sure) & np.isin(names, self.learned)
        return CocoPage(page.file_name, page.width, page.height, page.boxes[kept], page.labels[kept])

    def samples(self, step: int) -> list[Sample]:
        """Return the views of a step."""
        config = self.problem.settings.optimization
        first = step * config.batch_size
        return [self._sample(step, first + number) for number in range(config.batch_size)]

    def _sample(self, step: int, index: int) -> Sample:
        settings = self.problem.settings
        g = numpy_generator(settings.seed, "view", index)
        pixels, marks, unknown = self._shown(step, g)
        size = training_size(settings.optimization, step, settings.seed)
        view, marks = strong_view(pixels, marks, size, settings.views, g)
        large = (marks.boxes[:, 2:] - marks.boxes[:, :2]).min(axis=1, initial=np.inf) >= SMALLEST_SIDE
        target = Target(
            torch.from_numpy(marks.boxes[large]).float(),
            torch.from_numpy(marks.labels[large]),
            torch.zeros((0, 4)),
            tuple(i for i, label in enumerate(self.labels) if label in unknown),
            torch.from_numpy(marks.unknown).float(),
        )
        return Sample(to_tensor(view), target)

    def _shown(self, step: int, g: np.random.Generator) -> tuple[np.ndarray, Marks, tuple[str, ...]]:
        """Return a page, what is known of it, and the classes of which nothing is."""
        settings = self.problem.settings
        share = settings.labelled_share if self._draw else 1.0
        if self._labelled and g.random() < share:
            page = self.problem.labelled[self._labelled.page(settings.seed, step, g)]
            return *page.marks(self.labels), page.unlabelled
        assert self._draw is not None
        number = self._draw.page(settings.seed, step, g)
        unknown = tuple(label for label in self.labels if label not in self.learned)
        return *self._marked(self.problem.pages[number], self.found[number], g), unknown

    def _marked(self, page: TargetPage, found: CocoPage, g: np.random.Generator) -> tuple[np.ndarray, Marks]:
        """Return a page with its doubtful finds painted over, and what is known of it."""
        seen = page.read()
        sure = self._sure(found)
        boxes = seen.to_seen(sure.boxes)
        unknown = []
        for box, label, score in zip(seen.to_seen(found.boxes), found.labels, _scores(found), strict=True):
            name, config = CLASSES[label], self.problem.settings.self_training
            if score >= config.sure or name not in self.learned:
                continue
            if name in config.painted and not box_iou(box[None], boxes).any():
                paint_over(seen.pixels, box, g)
            else:  # nothing that is learned is painted over
                unknown.append(box)
        return seen.pixels, Marks(
            boxes, own_labels(sure.labels, self.labels), np.array(unknown).reshape(-1, 4)
        )


def _scores(page: CocoPage) -> np.ndarray:
    return np.zeros(0) if page.scores is None else page.scores  # a file without a find has no scores
