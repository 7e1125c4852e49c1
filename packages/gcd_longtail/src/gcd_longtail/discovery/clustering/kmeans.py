"""Semi-supervised k-means that is exact and fast, on the CPU or a GPU with one code.

Labelled rows are tied to the cluster of their class; the others go to the nearest centre (Vaze, Han, Vedaldi &
Zisserman 2022, "Generalized Category Discovery", section 3.2). Without labels this is plain k-means.

Where the time goes, and what keeps it short:

- distances are blocked matrix products of centred rows, never an [N, K, D] array;
- greedy k-means++ (Arthur & Vassilvitskii 2007, section 6) compares rows with a few candidates for its next centre only;
- Lloyd's iterations skip every row whose bounds prove that its nearest centre stays (Hamerly 2010, "Making
  k-means even faster"), and move centre sums by the rows that changed, in float64;
- a cluster that loses all its rows is restarted at the row that is farthest from its own centre;
- above a number of rows, mini-batches (Sculley 2010, "Web-scale k-means clustering") replace full iterations.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from gcd_longtail.discovery.problem import check_k
from gcd_longtail.settings.methods import KMeansConfig
from seminar_common.seeds import numpy_generator

Array = np.ndarray | torch.Tensor

TIGHTENING = 80
"""Gathering a doubtful row and looking at its own centre again takes about as long as comparing it with so many."""


@dataclass(frozen=True)
class KMeansResult:
    """The best of several starts."""

    centres: np.ndarray
    """Means of the clusters, labelled rows included, float32 [K, D]."""
    assignments: np.ndarray
    """Nearest centre of each unlabelled row, int64 [U]."""
    inertia: float
    """Sum of squared distances of all rows to the centres they are tied to or nearest to."""
    iterations: int
    """Iterations of that start."""


def kmeans(
    unlabelled: Array,
    k: int,
    *,
    labelled: Array | None = None,
    labels: Array | None = None,
    start: Array | None = None,
    seed: int = 0,
    device: str = "cpu",
    config: KMeansConfig | None = None,
) -> KMeansResult:
    """Cluster rows into ``k`` clusters, of which the first ones are the labelled classes.

    Args:
        unlabelled: float32 [U, D]; a memory-mapped array is read by blocks.
        k: number of clusters, labelled classes included.
        labelled: float32 [L, D], if any row has a label.
        labels: class of each labelled row, int64 [L], each of 0 .. known-1 at least once.
        start: centres to start from, [K, D]; k-means++ draws them if left out, ``config.inits`` times.
        seed: of the starts.
        device: where to compute.
        config: iterations, starts, tolerance and sizes of blocks.

    Raises:
        UserError: ``k`` is smaller than the number of labelled classes.
        ValueError: fewer rows than new clusters, rows that are not finite, or shapes that don't fit.
    """
    config = config or KMeansConfig()
    data = _Data.of(unlabelled, labelled, labels, k, device, config)
    fit = _minibatch if len(data.rows) > config.minibatch_above else _lloyd
    best: KMeansResult | None = None
    for index in range(1 if start is not None else config.inits):
        generator = numpy_generator(seed, "kmeans", index)
        centres = data.shifted(start) if start is not None else _plus_plus(data, k, generator, config)
        found = fit(data, centres, config, generator)
        if best is None or found.inertia < best.inertia:
            best = found
    assert best is not None
    return best


@dataclass(frozen=True)
class _Data:
    """Rows and labels on their device; every distance is taken between rows less their common mean.

    Few rows are shifted once; many are shifted block by block, which needs no second copy of them.
    """

    rows: torch.Tensor  # [U, D]
    mean: torch.Tensor  # [D]
    offset: torch.Tensor | None  # what is still to be subtracted from ``rows``
    square: torch.Tensor  # |x - mean|^2 of the rows, [U]
    known_sums: torch.Tensor  # float64 [K, D], of the shifted labelled rows; zero for novel clusters
    known_counts: torch.Tensor  # float64 [K]
    known_inertia: float  # sum of |x|^2 of the shifted labelled rows
    block: int

    @classmethod
    def of(
        cls,
        unlabelled: Array,
        labelled: Array | None,
        labels: Array | None,
        k: int,
        device: str,
        config: KMeansConfig,
    ) -> "_Data":
        rows = torch.as_tensor(unlabelled).to(device)
        block = max(1, min(config.block_values // max(k, rows.shape[1]), len(rows)))
        mean = _mean(rows, block)
        if not torch.isfinite(mean).all():
            raise ValueError("k-means needs finite rows")
        sums = torch.zeros(k, rows.shape[1], dtype=torch.float64, device=device)
        counts = torch.zeros(k, dtype=torch.float64, device=device)
        inertia, known = 0.0, 0
        if labelled is not None and labels is not None:
            x = (torch.as_tensor(labelled).to(device) - mean).double()
            y = torch.as_tensor(labels).to(device)
            known = int(y.max()) + 1
            check_k(k, known)
            sums.index_add_(0, y, x)
            counts += torch.bincount(y, minlength=k)
            inertia = float(x.square().sum())
        if len(rows) < k - known:
            raise ValueError(f"{len(rows)} rows can't make {k - known} new clusters")
        offset = mean if rows.numel() > config.copy_values else None
        rows = rows if offset is not None else rows - mean
        data = cls(rows, mean, offset, torch.empty(len(rows), device=device), sums, counts, inertia, block)
        for part, x in data.blocks():
            data.square[part] = x.square().sum(1)
        return data

    @property
    def known(self) -> int:
        return int((self.known_counts > 0).sum())

    def shifted(self, centres: Array) -> torch.Tensor:
        return torch.as_tensor(centres).to(self.mean) - self.mean

    def blocks(self) -> Iterator[tuple[slice, torch.Tensor]]:
        for start in range(0, len(self.rows), self.block):
            part = slice(start, start + self.block)
            yield part, self._shift(self.rows[part])

    def take(self, index: torch.Tensor) -> torch.Tensor:
        return self._shift(self.rows[index])

    def _shift(self, rows: torch.Tensor) -> torch.Tensor:
        return rows if self.offset is None else rows - self.offset


def _mean(rows: torch.Tensor, block: int) -> torch.Tensor:
    total = torch.zeros(rows.shape[1], dtype=torch.float64, device=rows.device)
    for start in range(0, len(rows), block):
        total += rows[start : start + block].sum(0, dtype=torch.float64)
    return (total / len(rows)).float()


# -------------------------------------------------------------------------------------------------- the start


def _plus_plus(data: _Data, k: int, generator: np.random.Generator, config: KMeansConfig) -> torch.Tensor:
    """Return centres [K, D]: means of the labelled classes, then k-means++ draws among the unlabelled rows.

    Of 2 + ln K candidates for each centre, drawn by their squared distance to the nearest one, the one is kept that
    leaves the lowest inertia, as scikit-learn does.
    """
    rows, square = _sample(data, config.seed_rows, generator)
    centres = torch.empty(k, rows.shape[1], device=rows.device)
    known = data.known
    if known:
        centres[:known] = (data.known_sums[:known] / data.known_counts[:known, None]).float()
        nearest = _nearest_square(rows, square, centres[:known], data.block)
    else:
        centres[0] = rows[int(generator.integers(len(rows)))]
        known, nearest = 1, _square_distances(rows, square, centres[:1])[:, 0].contiguous()
    candidates = 2 + int(np.log(k))
    for index in range(known, k):
        drawn = _draw(nearest, candidates, generator)
        distances = _square_distances(rows, square, rows[drawn])
        torch.minimum(distances, nearest[:, None], out=distances)
        best = int(distances.sum(0, dtype=torch.float64).argmin())
        centres[index], nearest = rows[drawn[best]], distances[:, best].contiguous()
        nearest[drawn[best]] = 0  # rounding leaves a little, with which the row could be drawn again
    return centres


def _sample(data: _Data, size: int, generator: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    if len(data.rows) <= size and data.offset is None:
        return data.rows, data.square
    chosen = np.sort(generator.choice(len(data.rows), min(size, len(data.rows)), replace=False))
    index = torch.from_numpy(chosen).to(data.rows.device)
    return data.take(index), data.square[index]


def _square_distances(rows: torch.Tensor, square: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """Return squared distances [N, C] to a few centres [C, D]."""
    found = torch.addmm(centres.square().sum(1), rows, centres.T, alpha=-2)
    return found.add_(square[:, None]).clamp_(min=0)


def _nearest_square(
    rows: torch.Tensor, square: torch.Tensor, centres: torch.Tensor, block: int
) -> torch.Tensor:
    parts = zip(rows.split(block), square.split(block), strict=True)
    return torch.cat([_nearest(x, x2, centres)[1] for x, x2 in parts])


def _draw(weights: torch.Tensor, count: int, generator: np.random.Generator) -> torch.Tensor:
    """Return ``count`` indices with probability proportional to their weights; any if all weights are zero."""
    cumulative = weights.cumsum(0, dtype=torch.float64)
    total = float(cumulative[-1])
    if total <= 0:
        return torch.from_numpy(generator.integers(len(weights), size=count)).to(weights.device)
    # "right" steps over indices of zero weight, which are centres already.
    points = torch.from_numpy(generator.random(count) * total).to(weights.device)
    return torch.searchsorted(cumulative, points, right=True).clamp_(max=len(weights) - 1)


# --------------------------------------------------------------------------------------------- full iterations


def _nearest(
    rows: torch.Tensor, square: torch.Tensor, centres: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the nearest centre of each row, its squared distance, and what all others come from, [n, K].

    |x - c|^2 = |x|^2 + (|c|^2 - 2 x.c): what is in brackets decides, so |x|^2 is added to the minimum alone.
    """
    relative = torch.addmm(centres.square().sum(1), rows, centres.T, alpha=-2)
    first, index = relative.min(1)
    return index, first.add_(square).clamp_(min=0), relative


def _two_nearest(
    rows: torch.Tensor, square: torch.Tensor, centres: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the nearest centre of each row, its distance, and the distance of the second nearest."""
    index, first, relative = _nearest(rows, square, centres)
    relative.scatter_(1, index[:, None], torch.inf)
    return index, first.sqrt_(), relative.amin(1).add_(square).clamp_(min=0).sqrt_()


@dataclass
class _Bounds:
    """What is known of each row: its centre, at most how far that is, at least how far every other one is."""

    assigned: torch.Tensor  # int64 [U]
    upper: torch.Tensor  # [U]
    lower: torch.Tensor  # [U]

    @classmethod
    def exact(cls, data: _Data, centres: torch.Tensor) -> "_Bounds":
        n, device = len(data.rows), data.rows.device
        bounds = cls(
            torch.empty(n, dtype=torch.int64, device=device),
            torch.empty(n, device=device),
            torch.empty(n, device=device),
        )
        for part, rows in data.blocks():
            bounds.assigned[part], bounds.upper[part], bounds.lower[part] = _two_nearest(
                rows, data.square[part], centres
            )
        return bounds

    def move(self, shift: torch.Tensor) -> None:
        """Loosen the bounds after centre ``c`` moved by ``shift[c]``."""
        # By the triangle inequality: a distance changes by no more than its centre moved.
        self.upper += shift[self.assigned]
        far = shift.topk(min(2, len(shift)))
        others = far.values[0].expand_as(self.lower).clone()
        others[self.assigned == far.indices[0]] = far.values[-1]  # its own centre is none of the others
        self.lower -= others

    def tighten(self, data: _Data, centres: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Make assignments right again; return the rows that changed and the centres they had before."""
        doubtful = (self.upper >= self.lower).nonzero().squeeze(1)
        if len(doubtful) > len(self.assigned) * len(centres) / (len(centres) + TIGHTENING):
            return self._renew(data, centres)
        changed, before = [], []
        for index in doubtful.split(data.block):
            rows = data.take(index)
            old = self.assigned[index]
            self.upper[index] = (rows - centres[old]).square().sum(1).sqrt()
            still = self.upper[index] >= self.lower[index]
            index, old, rows = index[still], old[still], rows[still]
            new, self.upper[index], self.lower[index] = _two_nearest(rows, data.square[index], centres)
            self.assigned[index] = new
            changed.append(index[new != old])
            before.append(old[new != old])
        empty = self.assigned[:0]
        return torch.cat([empty, *changed]), torch.cat([empty, *before])

    def _renew(self, data: _Data, centres: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Do as :meth:`tighten` does by comparing every row with every centre."""
        old, new = self.assigned, _Bounds.exact(data, centres)
        self.assigned, self.upper, self.lower = new.assigned, new.upper, new.lower
        changed = (new.assigned != old).nonzero().squeeze(1)
        return changed, old[changed]


def _lloyd(
    data: _Data, centres: torch.Tensor, config: KMeansConfig, generator: np.random.Generator
) -> KMeansResult:
    bounds = _Bounds.exact(data, centres)
    sums, counts = _sums(data, bounds.assigned)
    iterations, settled = 0, False
    while iterations < config.iterations:
        iterations += 1
        _restart_empty(data, bounds, sums, counts)
        moved = _means(sums, counts, centres)
        shift = (moved - centres).double().square().sum(1).sqrt()
        centres = moved
        # The stopping rule of the official implementation of GCD.
        if float(shift.sum()) ** 2 < config.tolerance:
            break
        bounds.move(shift.float())
        changed, before = bounds.tighten(data, centres)
        settled = not len(changed) and not bool((counts == 0).any())
        if settled:  # the centres are the means of these very assignments
            break
        _move_sums(data, sums, counts, changed, before, bounds.assigned)
    return _result(data, centres, iterations, bounds.assigned if settled else None)


def _means(sums: torch.Tensor, counts: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """Return the means; a cluster without rows, possible where all rows are alike, keeps its centre."""
    means = (sums / counts.clamp(min=1)[:, None]).float()
    return torch.where(counts[:, None] > 0, means, centres)


def _sums(data: _Data, assigned: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    sums, counts = data.known_sums.clone(), data.known_counts.clone()
    for part, rows in data.blocks():
        sums.index_add_(0, assigned[part], rows.double())
    return sums, counts + torch.bincount(assigned, minlength=len(counts))


def _move_sums(
    data: _Data,
    sums: torch.Tensor,
    counts: torch.Tensor,
    changed: torch.Tensor,
    before: torch.Tensor,
    assigned: torch.Tensor,
) -> None:
    # In float64, for rows come and go for a hundred iterations, and float32 would keep the rounding of each.
    for index, old in zip(changed.split(data.block), before.split(data.block), strict=True):
        rows, new = data.take(index).double(), assigned[index]
        sums.index_add_(0, new, rows)
        sums.index_add_(0, old, rows, alpha=-1)
        counts += torch.bincount(new, minlength=len(counts)) - torch.bincount(old, minlength=len(counts))


def _restart_empty(data: _Data, bounds: _Bounds, sums: torch.Tensor, counts: torch.Tensor) -> None:
    """Give every empty cluster the row that may be farthest from its centre, of a cluster that can spare it."""
    for cluster in (counts == 0).nonzero().squeeze(1).tolist():
        spare = counts[bounds.assigned] > 1
        row = int(torch.where(spare, bounds.upper, -1).argmax())
        index, old = torch.tensor([row], device=counts.device), bounds.assigned[row : row + 1].clone()
        bounds.assigned[row], bounds.upper[row], bounds.lower[row] = cluster, 0, 0
        _move_sums(data, sums, counts, index, old, bounds.assigned)


def _result(
    data: _Data, centres: torch.Tensor, iterations: int, settled: torch.Tensor | None = None
) -> KMeansResult:
    """Return a result whose assignments and inertia belong to the centres.

    Args:
        data: the rows.
        centres: of the last iteration, [K, D].
        iterations: that it took.
        settled: nearest centre of each row, [U], where it is known already.
    """
    assigned = data.square.new_empty(len(data.rows), dtype=torch.int64) if settled is None else settled
    inertia = 0.0
    for part, rows in data.blocks():
        if settled is None:
            assigned[part], _, _ = _nearest(rows, data.square[part], centres)
        inertia += float((rows - centres[assigned[part]]).square_().sum(dtype=torch.float64))
    # Labelled rows are known by their sums alone: sum |x - c|^2 = sum |x|^2 + n |c|^2 - 2 c . sum x.
    wide, n = centres.double(), data.known_counts
    inertia += data.known_inertia
    inertia += float((n * wide.square().sum(1)).sum() - 2 * (wide * data.known_sums).sum())
    return KMeansResult((centres + data.mean).cpu().numpy(), assigned.cpu().numpy(), inertia, iterations)


# ------------------------------------------------------------------------------------------------ mini-batches


def _minibatch(
    data: _Data, centres: torch.Tensor, config: KMeansConfig, generator: np.random.Generator
) -> KMeansResult:
    """Run stochastic iterations: each centre is the running mean of the rows it was given so far.

    Labelled rows count from the start, so the centre of a class is never carried away by few batches.
    """
    sums, counts = data.known_sums.clone(), data.known_counts.clone()
    for _ in range(config.minibatch_steps):
        chosen = np.sort(generator.integers(len(data.rows), size=config.minibatch_rows))
        for index in torch.from_numpy(chosen).to(centres.device).split(data.block):
            rows = data.take(index)
            nearest, _, _ = _nearest(rows, data.square[index], centres)
            sums.index_add_(0, nearest, rows.double())
            counts += torch.bincount(nearest, minlength=len(counts))
        centres = _means(sums, counts, centres)
    return _result(data, centres, config.minibatch_steps)
