"""What the neural methods share: a linear adapter on frozen features, class prototypes, batches of two views.

The official codes fine-tune the last block of a ViT. Here the backbone is frozen and the adapter, a square
matrix that starts as the identity, takes the block's place: it trains in seconds on a CPU, and what it learns
is one more linear map, so that a trained model is an ordinary
:class:`gcd_longtail.discovery.predictors.LinearPredictor`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear, normalize

from gcd_longtail.discovery.problem import Discovered, Problem, check_k
from gcd_longtail.discovery.spaces import Space, fit_space
from gcd_longtail.settings.methods import HeadConfig
from seminar_common.progress import progress
from seminar_common.seeds import torch_generator


@dataclass(frozen=True)
class Batch:
    """Two views of some images: the labelled ones first, in both halves."""

    features: Tensor
    """[2B, P]."""
    labels: Tensor
    """Of the labelled images, int64 [n], n <= B."""

    def labelled(self, rows: Tensor) -> Tensor:
        """Return the rows of ``rows`` [2B, ...] that belong to labelled images, [2n, ...]."""
        return torch.cat([half[: len(self.labels)] for half in rows.chunk(2)])

    def unlabelled(self, rows: Tensor) -> Tensor:
        """Return the rows of ``rows`` [2B, ...] that belong to unlabelled images, [2(B - n), ...]."""
        return torch.cat([half[len(self.labels) :] for half in rows.chunk(2)])

    @property
    def both_labels(self) -> Tensor:
        """Labels of both views of the labelled images, int64 [2n]."""
        return torch.cat([self.labels, self.labels])


class Head(nn.Module):
    """Adapter, cosine classifier and contrastive projection."""

    def __init__(self, width: int, k: int, config: HeadConfig, generator: torch.Generator):
        super().__init__()

        def uniform(outputs: int, inputs: int) -> nn.Parameter:
            return nn.Parameter((2 * torch.rand(outputs, inputs, generator=generator) - 1) * inputs**-0.5)

        self.adapter = nn.Parameter(torch.eye(width))
        self.prototypes = nn.Parameter(torch.randn(k, width, generator=generator))
        self.project_in = uniform(config.hidden, width)
        self.project_out = uniform(config.projection, config.hidden)

    def embed(self, features: Tensor) -> Tensor:
        """Return unit vectors [n, P]."""
        return normalize(linear(features, self.adapter), dim=1)

    def add_second_adapter(self) -> None:
        """Give the contrastive branch an adapter of its own."""
        self.second = nn.Parameter(torch.eye(len(self.adapter), device=self.adapter.device))

    def embed_second(self, features: Tensor) -> Tensor:
        """Return the unit vectors of the contrastive branch, [n, P]."""
        return normalize(linear(features, self.second), dim=1)

    def cosines(self, embedded: Tensor) -> Tensor:
        """Return the cosine to each prototype, [n, K]."""
        return embedded @ normalize(self.prototypes, dim=1).T

    def project(self, embedded: Tensor) -> Tensor:
        """Return unit vectors for the contrastive losses."""
        hidden = torch.nn.functional.gelu(linear(embedded, self.project_in))
        return normalize(linear(hidden, self.project_out), dim=1)


class Images:
    """Training images in a space, from which batches are drawn, as many labelled as unlabelled ones.

    Each view is a cached augmented one where the data has at least two, else the plain features with noise.
    """

    def __init__(self, problem: Problem, space: Space, config: HeadConfig, seed: int):
        device = problem.device
        self.config = config
        self.labels = torch.from_numpy(problem.labels).to(device)
        self.labelled = torch.from_numpy(space.transform(problem.labelled)).to(device)
        self.unlabelled = torch.from_numpy(space.transform(problem.unlabelled)).to(device)
        self.views = _views(problem, space)
        self.deviation = float(self.unlabelled.std())
        self.generator = torch_generator(seed, "batches", device=device)

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        every = (len(self.labels) + len(self.unlabelled)) // self.config.batch_size
        return self.config.steps or max(20, every)

    def batch(self) -> Batch:
        """Draw a batch with replacement."""
        half = self.config.batch_size // 2
        of_labelled = self._draw(len(self.labels), half)
        of_unlabelled = self._draw(len(self.unlabelled), half)
        views = [
            torch.cat([self._view(0, of_labelled, number), self._view(1, of_unlabelled, number)])
            for number in range(2)
        ]
        return Batch(torch.cat(views), self.labels[of_labelled])

    def _draw(self, size: int, count: int) -> Tensor:
        return torch.randint(size, (count,), generator=self.generator, device=self.labels.device)

    def _view(self, part: int, index: Tensor, number: int) -> Tensor:
        if self.views is not None:
            stored = self.views[part]
            # Both views of an image come from different halves of the stored ones, so they always differ.
            half = len(stored) // 2
            choice = number * half + self._draw(half, len(index))
            return stored[choice, index]
        rows = (self.labelled, self.unlabelled)[part][index]
        noise = torch.randn(rows.shape, generator=self.generator, device=rows.device)
        kept = torch.rand(rows.shape, generator=self.generator, device=rows.device) >= self.config.dropout
        return rows * kept / (1 - self.config.dropout) + self.config.noise * self.deviation * noise


def _views(problem: Problem, space: Space) -> tuple[Tensor, Tensor] | None:
    if problem.labelled_views is None or problem.unlabelled_views is None or len(problem.labelled_views) < 2:
        return None
    parts = (problem.labelled_views, problem.unlabelled_views)
    first, second = (torch.from_numpy(space.transform(part)).to(problem.device) for part in parts)
    return first, second


Loss = Callable[[Head, Batch, float], Tensor]
"""Maps head, batch and the share of the training that is over to the loss."""


@dataclass(frozen=True)
class Training:
    """Everything that a method needs to train a head and to make its discovery."""

    problem: Problem
    space: Space
    images: Images
    head: Head
    config: HeadConfig

    @classmethod
    def start(
        cls, problem: Problem, k: int, config: HeadConfig, seed: int, space: Space | None = None
    ) -> "Training":
        """Return images, and a head with random prototypes.

        Raises:
            UserError: ``k`` is smaller than the number of known classes.
        """
        check_k(k, problem.known)
        space = space or fit_space(problem, config.space)
        images = Images(problem, space, config, seed)
        generator = torch_generator(seed, "head")
        head = Head(space.projection.shape[1], k, config, generator).to(problem.device)
        return cls(problem, space, images, head, config)

    def start_at(self, prototypes: np.ndarray) -> None:
        """Set the prototypes [K, P]."""
        with torch.no_grad():
            self.head.prototypes.copy_(normalize(torch.as_tensor(prototypes), dim=1))

    def run(self, loss: Loss, each_epoch: Callable[[int], None] = lambda epoch: None) -> None:
        """Train with AdamW under a cosine schedule; ``each_epoch`` is called before every epoch."""
        config, steps = self.config, self.images.steps
        optimizer = torch.optim.AdamW(
            self.head.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs * steps)
        with progress("training", config.epochs * steps) as advance:
            for epoch in range(config.epochs):
                each_epoch(epoch)
                for _ in range(steps):
                    value = loss(self.head, self.images.batch(), epoch / config.epochs)
                    optimizer.zero_grad(set_to_none=True)
                    value.backward()
                    optimizer.step()
                    schedule.step()
                    advance()
                advance(0, f"loss {value.item():.3f}")

    @torch.no_grad()
    def embedded(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the adapted labelled and unlabelled images, float32 [L, P] and [U, P]."""
        parts = (self.images.labelled, self.images.unlabelled)
        labelled, unlabelled = (self.head.embed(part).cpu().numpy() for part in parts)
        return labelled, unlabelled

    def discovery(self) -> Discovered:
        """Return the largest cosine of every unlabelled image, and the predictor."""
        adapter = self.head.adapter.detach().cpu().numpy().T
        predictor = self.space.cosine(self.head.prototypes.detach().cpu().numpy(), adapter)
        return Discovered(predictor.predict(self.problem.unlabelled), predictor)
