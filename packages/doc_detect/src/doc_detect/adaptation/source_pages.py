"""Labelled pages of the source's world as what is learned from."""

from doc_detect.adaptation.base import Lessons, Problem
from doc_detect.classes import class_index
from doc_detect.settings.synth import DegradeSettings
from doc_detect.training.pages import Sample, TrainingPages
from seminar_common.errors import UserError


class SourcePages(TrainingPages):
    """The pages of --source as `train` shows them: degraded anew each time, those with rare classes more often."""

    def __init__(self, problem: Problem):
        known, settings, config = problem.synthetic, problem.settings, problem.source.config
        assert known is not None  # settings without --source were refused
        super().__init__(
            known, config.labels, settings.optimization, DegradeSettings(), settings.seed, config.trim
        )

    def samples(self, step: int) -> list[Sample]:
        """Return the pages of a step with their targets."""
        size = self.config.batch_size
        return [self[step * size + i] for i in range(size)]

    def lessons(self) -> Lessons:
        """Return that what the pages label is learned.

        Raises:
            UserError: they label no class of the detector.
        """
        learned = tuple(label for label in self.labels if label in self.pages.labelled)
        if not learned:
            raise UserError(f"--source {self.pages.path}: labels none of {', '.join(self.labels)}")
        count = len(self.pages.pages)
        counts = {label: self._count(label) for label in learned}
        line = f"learning {', '.join(learned)} from {count:,} pages of the source's world"
        return Lessons(learned, (), counts, line)

    def _count(self, label: str) -> dict[str, int]:
        present = [int((page.labels == class_index(label)).sum()) for page in self.pages.pages]
        return {"source_objects": sum(present), "source_pages": sum(number > 0 for number in present)}
