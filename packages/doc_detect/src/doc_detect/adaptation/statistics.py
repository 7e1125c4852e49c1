"""Adaptive batch normalisation: the statistics of the norms are measured anew on the target; no weight is trained.

Source: Li et al. 2016, "Revisiting Batch Normalization For Practical Domain Adaptation" (AdaBN). Norms are folded into
the convolutions before them, and neither the folded statistics nor their scale and shift can be told from what is left.
What can be measured is the output of each convolution that had a norm, on pages of the source's world: there its mean
and variance are what the layers behind it are used to. Scale and bias are changed until they are the same on the target.
With statistics of the source itself this is what the norm would compute with those of the target.

``--kept`` is the share of the source in the statistics, as in Schneider et al. 2020, "Improving robustness against
common corruptions by covariate shift adaptation", equation 3. With 0 it is AdaBN as published. Group norms, as those of
the heads, have no statistics and stay.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from doc_detect.adaptation.base import Lessons, Method, Problem
from doc_detect.coco import CocoSet
from doc_detect.detectors.backbones import PAD_MULTIPLE, pad_batch
from doc_detect.detectors.base import Detector, build_detector, resize_to
from doc_detect.detectors.fcos import FCOSDetector
from doc_detect.detectors.tensors import to_tensor
from doc_detect.pages import Page
from doc_detect.training.pages import read_labelled
from seminar_common.errors import UserError
from seminar_common.folding import normed_convolutions
from seminar_common.progress import progress
from seminar_common.seeds import numpy_generator

EPSILON = 1e-5
"""Is added to variances, as in a batch norm: that of a dead channel is rounding."""
LARGEST = 8.0
"""Factor by which a channel is made stronger or weaker at most: one that is nearly constant has no scale to speak of."""


@dataclass(frozen=True)
class Moments:
    """Mean and variance of the channels of a layer's output, both [C], float64."""

    mean: Tensor
    variance: Tensor


class _Sums:
    """What mean and variance are computed from, over pages of any size, without the padding of a batch."""

    def __init__(self) -> None:
        self.count = 0
        self.total, self.squares = torch.zeros(()), torch.zeros(())

    def add(self, output: Tensor, pages: Sequence[Tensor]) -> None:
        """Take up the output [B, C, H', W'] for a padded batch of pages [3, H, W]."""
        height, width = (
            -(-max(page.shape[axis] for page in pages) // PAD_MULTIPLE) * PAD_MULTIPLE for axis in (1, 2)
        )
        for page, whole in zip(pages, output, strict=True):
            down = -(-page.shape[1] * whole.shape[1] // height)
            across = -(-page.shape[2] * whole.shape[2] // width)
            part = whole[:, :down, :across]
            self.count += down * across
            self.total = part.sum((1, 2), dtype=torch.float64) + self.total.to(part.device)
            self.squares = part.square().sum((1, 2), dtype=torch.float64) + self.squares.to(part.device)

    def moments(self) -> Moments:
        """Return the moments of what was taken up."""
        mean = self.total / self.count
        return Moments(mean, (self.squares / self.count - mean.square()).clamp(min=0))


class Statistics(Method):
    """The channels of the target get the mean and the variance that those of the source have."""

    needs_source = True

    def __init__(self, problem: Problem):
        super().__init__(problem)
        config = problem.source.config
        unfolded = build_detector(dataclasses.replace(config, folded=False, weights="none"))
        self.names = normed_convolutions(cast(FCOSDetector, unfolded).backbone.network)

    @property
    def steps(self) -> int:
        """None: nothing is trained."""
        return 0

    def prepare(self) -> Lessons:
        """Say how much is measured.

        Raises:
            UserError: the backbone never had a batch norm.
        """
        if not self.names:
            backbone = self.problem.source.config.backbone
            raise UserError(f"--method statistics: {backbone} has no batch norms; choose another method")
        assert self.problem.synthetic is not None
        most = self.problem.settings.statistics.measured
        ours, theirs = (min(most, len(pages)) for pages in (self.problem.pages, self.problem.synthetic.pages))
        line = (
            f"measuring {len(self.names)} layers on {ours:,} pages, and on {theirs:,} of the source's world"
        )
        labels = self.problem.source.labels
        return Lessons(labels, (), {}, line)

    def losses(self, student: nn.Module, average: Detector, step: int) -> dict[str, Tensor]:
        """Raise a RuntimeError: there are no steps."""
        raise RuntimeError("no step is taken")

    def finish(self, average: Detector) -> None:
        """Measure, and change scale and bias."""
        detector = cast(FCOSDetector, average)
        layers = [cast(nn.Conv2d, detector.backbone.network.get_submodule(name)) for name in self.names]
        known, ours = cast(CocoSet, self.problem.synthetic), self.problem.pages
        config = detector.config
        with progress("measuring statistics", len(self._drawn("source", len(known.pages)))) as advance:
            pages = []
            for number in self._drawn("source", len(known.pages)):
                page, _ = read_labelled(known, known.pages[number], config.size, config.trim)
                pages.append(_as_seen(page, detector))
                advance(1)
        wanted = measure(detector.backbone, layers, pages)
        seen = [_as_seen(ours[number].read(), detector) for number in self._drawn("target", len(ours))]
        match(detector.backbone, layers, wanted, seen, self.problem.settings.kept)

    def _drawn(self, world: str, count: int) -> list[int]:
        settings = self.problem.settings
        order = numpy_generator(settings.seed, "statistics", world).permutation(count)
        return [int(number) for number in order[: settings.statistics.measured]]


def _as_seen(page: Page, detector: FCOSDetector) -> Tensor:
    """Return a page as the network gets it in use, [3, H, W], without the padding."""
    image = to_tensor(page.pixels).to(next(detector.parameters()).device)
    return resize_to([image], detector.config.size)[0][0]


@torch.no_grad()
def measure(network: nn.Module, layers: Sequence[nn.Conv2d], pages: Sequence[Tensor]) -> list[Moments]:
    """Return the moments of the output of each layer.

    Args:
        network: Takes a padded batch of pages; in evaluation.
        layers: Parts of it.
        pages: Each [3, H, W].
    """
    sums = [_Sums() for _ in layers]
    for page in pages:

        def answer(number: int, output: Tensor, page: Tensor = page) -> None:
            sums[number].add(output, [page])

        _run(network, layers, answer, pad_batch([page]))
    return [each.moments() for each in sums]


@torch.no_grad()
def match(
    network: nn.Module,
    layers: Sequence[nn.Conv2d],
    wanted: Sequence[Moments],
    pages: Sequence[Tensor],
    kept: float,
) -> None:
    """Change scale and bias of layers, so that what they give has the wanted moments on pages.

    A layer sees what comes out of those before it once these are changed. So all pages go through the network at once,
    and each layer is changed before the next one is measured: what is measured page by page, or in all layers at the
    same time, is wrong by more in each layer than in the one before.

    Args:
        network: Takes a padded batch of pages; in evaluation.
        layers: Parts of it, each with a bias; changed in place.
        wanted: The moments of each.
        pages: Each [3, H, W].
        kept: Share of ``wanted`` in the moments that are matched to it.
    """
    changes: dict[int, tuple[Tensor, Tensor]] = {}

    def answer(number: int, output: Tensor) -> Tensor:
        sums = _Sums()
        sums.add(output, pages)
        scale, shift = changes[number] = _change(sums.moments(), wanted[number], kept)
        return output.mul_(scale[:, None, None].to(output)).add_(shift[:, None, None].to(output))

    _run(network, layers, answer, pad_batch(list(pages)))
    for number, layer in enumerate(layers):
        scale, shift = changes[number]
        assert layer.bias is not None
        layer.weight.mul_(scale[:, None, None, None].to(layer.weight))
        layer.bias.copy_(layer.bias * scale + shift)


def _change(seen: Moments, wanted: Moments, kept: float) -> tuple[Tensor, Tensor]:
    """Return scale and shift, both [C], that give an output with the moments ``seen`` the wanted ones."""
    mean = torch.lerp(seen.mean, wanted.mean, kept)
    variance = torch.lerp(seen.variance, wanted.variance, kept)
    scale = ((wanted.variance + EPSILON) / (variance + EPSILON)).sqrt().clamp(1 / LARGEST, LARGEST)
    return scale, wanted.mean - mean * scale


def _run(
    network: nn.Module,
    layers: Sequence[nn.Conv2d],
    answer: Callable[[int, Tensor], Tensor | None],
    batch: Tensor,
) -> None:
    """Send a batch through a network whose layers give what ``answer`` makes of their number and output."""
    hooks = [
        layer.register_forward_hook(lambda _, __, output, number=number: answer(number, output))
        for number, layer in enumerate(layers)
    ]
    try:
        network(batch)
    finally:
        for hook in hooks:
            hook.remove()
