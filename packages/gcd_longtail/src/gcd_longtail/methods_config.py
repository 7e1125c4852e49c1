"""Settings of the methods. Imports nothing heavy, so that ``--help`` is quick."""

from dataclasses import dataclass

from seminar_common.errors import UserError


@dataclass(frozen=True)
class KMeansConfig:
    """How k-means is run."""

    inits: int = 5
    """Starts, of which the one with the lowest inertia is kept."""
    iterations: int = 100
    """Most iterations of a start."""
    tolerance: float = 1e-4
    """Stop when the squared sum of all centres' shifts is below this."""
    block_values: int = 1 << 20
    """Values of a block of rows and of its distances: 4 MiB of float32, which stay near a core's cache."""
    copy_values: int = 1 << 27
    """Up to so many values (0.5 GiB) the rows are shifted to their mean once, beyond it block by block."""
    seed_rows: int = 200_000
    """Above so many rows, k-means++ draws its centres from a random sample of this size."""
    minibatch_above: int = 1_000_000
    """Above so many rows, mini-batches replace full iterations."""
    minibatch_rows: int = 65_536
    """Rows of a mini-batch."""
    minibatch_steps: int = 200
    """Mini-batches of a start."""

    def __post_init__(self) -> None:
        positive = ("inits", "iterations", "block_values", "seed_rows", "minibatch_rows", "minibatch_steps")
        for name in positive:
            if getattr(self, name) < 1:
                raise UserError(f"--{name.replace('_', '-')} {getattr(self, name)}: must be 1 or more")
        if self.tolerance < 0:
            raise UserError(f"--tolerance {self.tolerance}: must be 0 or more")


@dataclass(frozen=True)
class SpaceConfig:
    """The space in which features are compared: power, centring, PCA, perhaps whitening, unit length."""

    power: float = 1.0
    """Exponent of the features' absolute values; 0.5 keeps few large activations from deciding alone."""
    dimensions: int = 192
    """Principal components kept."""
    shrinkage: float | None = None
    """Whiten by the covariance within the labelled classes, drawn so far to a multiple of the identity; None: don't."""

    def __post_init__(self) -> None:
        if not 0 < self.power <= 1:
            raise UserError(f"--power {self.power}: must lie in (0, 1]")
        if self.dimensions < 1:
            raise UserError(f"--dimensions {self.dimensions}: must be 1 or more")
        if self.shrinkage is not None and not 0 < self.shrinkage <= 1:
            raise UserError(f"--shrinkage {self.shrinkage}: must lie in (0, 1]")


WHITENED = SpaceConfig(power=0.5, dimensions=100, shrinkage=0.3)


@dataclass(frozen=True)
class WardConfig:
    """Constrained agglomerative clustering."""

    gamma: float = 0.7
    """Exponent of the sizes in the cost of a merge; 1 is Ward's method."""
    most_nodes: int = 12_000
    """Above so many unlabelled images, k-means first makes this many small clusters of them."""
    space: SpaceConfig = WHITENED
    """Where distances are taken."""

    def __post_init__(self) -> None:
        if not 0 < self.gamma <= 1:
            raise UserError(f"--gamma {self.gamma}: must lie in (0, 1]")
        if self.most_nodes < 2:
            raise UserError(f"--most-nodes {self.most_nodes}: must be 2 or more")
