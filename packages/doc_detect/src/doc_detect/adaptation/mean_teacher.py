"""Mean teacher: the moving average of the student labels each page anew whenever it is shown.

Sources: Tarvainen & Valpola 2017, "Mean teachers are better role models: Weight-averaged consistency targets improve
semi-supervised deep learning results"; for detectors Liu et al. 2021, "Unbiased Teacher for Semi-Supervised Object
Detection". The teacher looks at the page as it is, as in use, and the student sees a strong view of it. What the papers
call burn-in is the source's own training: teacher and student start at its weights, and early the average follows the
student closely while the learning rate rises.

Otherwise than there, doubtful finds are no background: the loss leaves their places out. And boxes are learned from the
teacher, too, since the scores hold how well a box fits.
"""

from torch import Tensor, nn

from doc_detect.adaptation.base import Problem, losses_on
from doc_detect.adaptation.pseudo_labels import finds, seen_by
from doc_detect.adaptation.self_training import SelfTraining
from doc_detect.detectors.base import Detector


class MeanTeacher(SelfTraining):
    """Sure finds of the moving average are learned, doubtful ones are left out of the loss, all else is background.

    Which classes are learned is what the source's finds say, before the first step.
    """

    def __init__(self, problem: Problem):
        super().__init__(problem)
        self.painted = ()

    def losses(self, student: nn.Module, average: Detector, step: int) -> dict[str, Tensor]:
        """Return the detector's losses on views of pages that the average has looked at just now."""
        teacher, pages = seen_by(average, self.problem), self.problem.pages
        config = self.problem.settings.self_training
        samples = self.views(step, lambda number: finds(teacher, pages[number], config))
        return losses_on(samples, student, average)
