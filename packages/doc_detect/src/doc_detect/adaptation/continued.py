"""As many more steps on pages of the source's world, without any of the target: the control.

What it gains is no adaptation. A method that learns from the same pages has to be better than this. Source: Oliver et
al. 2018, "Realistic Evaluation of Deep Semi-Supervised Learning Algorithms", whose baselines have the same training as
what they are compared with.
"""

from doc_detect.adaptation.base import Lessons, SampleMethod
from doc_detect.adaptation.source_pages import SourcePages
from doc_detect.training.pages import Sample


class Continued(SampleMethod):
    """Source pages alone, as `train` shows them."""

    needs_source = True

    def prepare(self) -> Lessons:
        """Say what the source pages label."""
        self.pages = SourcePages(self.problem)
        return self.pages.lessons()

    def samples(self, step: int) -> list[Sample]:
        """Return the pages of a step."""
        return self.pages.samples(step)
