"""Distillation: under degradation and holes, the features that the start has on the clean page.

Source: Romero et al. 2015, "FitNets: Hints for Thin Deep Nets", for learning a teacher's maps, and Chen et al. 2017,
"Learning Efficient Object Detection Models with Knowledge Distillation", for doing so in detectors. Here teacher and student
have one architecture, and what differs is what they see: the student learns not to mind the state of a scan.
"""

import torch
from torch import Tensor

from doc_detect.pretraining.base import Method, Pyramid, distance
from doc_detect.pretraining.windows import batch


class Distillation(Method):
    """The start's features are wanted back."""

    def losses(self, student: Pyramid, average: Pyramid, step: int) -> dict[str, Tensor]:
        """Return the distance from the start's maps, everywhere."""
        windows, device = self.problem.windows, self.problem.device
        clean = windows.clean(step)
        holes = windows.with_holes(windows.in_other_light(clean, step), step)
        with torch.no_grad():
            wanted = self.problem.start(batch(clean).to(device))
        return {"distillation": distance(student(holes.pixels.to(device)), wanted)}
