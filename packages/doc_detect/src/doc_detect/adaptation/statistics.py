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
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from doc_detect.adaptation.base import Lessons, Method, Problem
from doc_detect.coco import CocoSet
from doc_detect.detectors.backbones import pad_batch
from doc_detect.detectors.base import Detector, build_detector, resize_to
from doc_detect.detectors.fcos import FCOSDetector
from doc_detect.detectors.folding import normed_convolutions
from doc_detect.detectors.tensors import to_tensor
from doc_detect.training.pages import read_labelled
from seminar_common.errors import UserError
from seminar_common.progress import progress
from seminar_common.seeds import numpy_generator

LARGEST = 8.0
"""Factor by which a channel is made stronger or weaker at most: one that is nearly constant has no scale to speak of."""


@dataclass(frozen=True)
class Moments:
    """Mean and variance of the channels of a layer's output, both [C], float64."""

    mean: Tensor
    variance: Tensor


class _Sums:
    """What mean and variance are computed from, over pages of any size."""

    def __init__(self) -> None:
        self.count = 0
        self.total, self.squares = torch.zeros(()), torch.zeros(())

    def add(self, output: Tensor) -> None:
        """Take up an output [B, C, H, W]."""
        places = (0, 2, 3)
        self.count += output.numel() // output.shape[1]
        self.total = output.sum(places, dtype=torch.float64) + self.total.to(output.device)
        self.squares = output.double().square().sum(places) + self.squares.to(output.device)

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
        assert self.problem.synthetic is not None
        detector = cast(FCOSDetector, average)
        layers = [cast(nn.Conv2d, detector.backbone.network.get_submodule(name)) for name in self.names]
        most = self.problem.settings.statistics.measured
        known = min(most, len(self.problem.synthetic.pages))
        with progress("measuring statistics of the source's pages", known) as advance:
            wanted = measure(detector.backbone, layers, self._source_pages(detector, known, advance))
        count = min(most, len(self.problem.pages))
        with progress("measuring statistics of the target", 2 * count) as advance:
            match(
                detector.backbone,
                layers,
                wanted,
                lambda: self._target_pages(detector, count, advance),
                self.problem.settings.kept,
            )

    def _source_pages(
        self, detector: FCOSDetector, count: int, advance: Callable[..., None]
    ) -> Iterator[Tensor]:
        known = cast(CocoSet, self.problem.synthetic)
        order = numpy_generator(self.problem.settings.seed, "statistics", "source")
        for number in order.permutation(len(known.pages))[:count]:
            config = detector.config
            page, _ = read_labelled(known, known.pages[number], config.size, config.trim)
            yield _as_seen(to_tensor(page.pixels), detector)
            advance(1)

    def _target_pages(
        self, detector: FCOSDetector, count: int, advance: Callable[..., None]
    ) -> Iterator[Tensor]:
        order = numpy_generator(self.problem.settings.seed, "statistics", "target")
        for number in order.permutation(len(self.problem.pages))[:count]:
            yield _as_seen(to_tensor(self.problem.pages[number].read().pixels), detector)
            advance(1)


def _as_seen(image: Tensor, detector: FCOSDetector) -> Tensor:
    """Return a page [3, H, W] as the network gets it in use, [1, 3, H', W']."""
    resized, _ = resize_to([image.to(next(detector.parameters()).device)], detector.config.size)
    return pad_batch(resized)


@torch.no_grad()
def measure(network: nn.Module, layers: Sequence[nn.Conv2d], pages: Iterable[Tensor]) -> list[Moments]:
    """Return the moments of the output of each layer.

    Args:
        network: Takes pages; in evaluation.
        layers: Parts of it.
        pages: Each [B, 3, H, W].
    """
    sums = [_Sums() for _ in layers]
    answers = {layer: each.add for layer, each in zip(layers, sums, strict=True)}
    _run(network, answers, pages)
    return [each.moments() for each in sums]


@torch.no_grad()
def match(
    network: nn.Module,
    layers: Sequence[nn.Conv2d],
    wanted: Sequence[Moments],
    pages: Callable[[], Iterable[Tensor]],
    kept: float,
) -> None:
    """Change scale and bias of layers, so that what they give has the wanted moments on pages.

    A layer sees what comes out of those before it once these are changed, so all are measured as they change: on the
    first pass by what has been seen so far, on the second by what the first one has seen. (Changes that are all measured
    at once would add up from layer to layer.)

    Args:
        network: Takes pages; in evaluation.
        layers: Parts of it, each with a bias; changed in place.
        wanted: The moments of each.
        pages: Returns the pages, each [B, 3, H, W]; called twice.
        kept: Share of ``wanted`` in the moments that are matched to it.
    """
    seen: list[Moments] | None = None
    for _ in range(2):
        sums = [_Sums() for _ in layers]
        before = seen or itertools.repeat(None)
        answers = {
            layer: _matching(each, goal, known, kept)
            for layer, each, goal, known in zip(layers, sums, wanted, before, strict=False)
        }
        _run(network, answers, pages())
        seen = [each.moments() for each in sums]
    assert seen is not None
    for layer, moments, goal in zip(layers, seen, wanted, strict=True):
        scale, shift = _change(moments, goal, kept)
        assert layer.bias is not None
        layer.weight.mul_(scale[:, None, None, None].to(layer.weight))
        layer.bias.copy_(layer.bias * scale + shift)


def _matching(sums: _Sums, wanted: Moments, known: Moments | None, kept: float) -> Callable[[Tensor], Tensor]:
    """Return what takes up an output and returns it as it will be."""

    def answer(output: Tensor) -> Tensor:
        sums.add(output)
        scale, shift = _change(known or sums.moments(), wanted, kept)
        return output * scale[:, None, None].to(output) + shift[:, None, None].to(output)

    return answer


def _change(seen: Moments, wanted: Moments, kept: float) -> tuple[Tensor, Tensor]:
    """Return scale and shift, both [C], that give an output with the moments ``seen`` the wanted ones."""
    mean = torch.lerp(seen.mean, wanted.mean, kept)
    variance = torch.lerp(seen.variance, wanted.variance, kept)
    scale = (wanted.variance / variance).sqrt().nan_to_num(1.0, LARGEST).clamp(1 / LARGEST, LARGEST)
    return scale, wanted.mean - mean * scale


def _run(
    network: nn.Module,
    answers: Mapping[nn.Conv2d, Callable[[Tensor], Tensor | None]],
    pages: Iterable[Tensor],
) -> None:
    """Send pages through a network whose layers give what ``answers`` make of their outputs."""
    hooks = [
        layer.register_forward_hook(lambda _, __, output, answer=answer: answer(output))
        for layer, answer in answers.items()
    ]
    try:
        for page in pages:
            network(page)
    finally:
        for hook in hooks:
            hook.remove()
