"""Settings of the methods. Imports nothing heavy, so that ``--help`` is quick."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from seminar_common.device import PlaceConfig
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
    minibatch_above: int = 500_000
    """Above so many rows, mini-batches replace full iterations."""
    minibatch_rows: int = 65_536
    """Rows of a mini-batch."""
    minibatch_steps: int = 60
    """Mini-batches of a start."""


@dataclass(frozen=True)
class SpaceConfig:
    """The space in which features are compared: power, unit length, centring, PCA, perhaps whitening, unit length."""

    power: float = 1.0
    """Exponent of the features' absolute values; 0.5 keeps few large activations from deciding alone."""
    dimensions: int = 192
    """Principal components kept."""
    shrinkage: float | None = None
    """Whiten by the covariance within the labelled classes, drawn so far to a multiple of the identity; None: don't."""

    def __post_init__(self) -> None:
        if not 0 < self.power <= 1:
            raise UserError(f"--power {self.power}: must lie in (0, 1]")
        if not 1 <= self.dimensions <= 256:
            raise UserError(f"--dimensions {self.dimensions}: must be 1 to 256")
        if self.shrinkage is not None and not 0 < self.shrinkage <= 1:
            raise UserError(f"--shrinkage {self.shrinkage}: must lie in (0, 1]")


WHITENED = SpaceConfig(power=0.5, dimensions=100, shrinkage=0.3)


@dataclass(frozen=True)
class WardConfig:
    """Constrained agglomerative clustering."""

    gamma: float = 0.7
    """Exponent of the sizes in the cost of a merge; 1 is Ward's method."""
    space: SpaceConfig = WHITENED
    """Where distances are taken."""

    def __post_init__(self) -> None:
        if not 0 < self.gamma <= 1:
            raise UserError(f"--gamma {self.gamma}: must lie in (0, 1]")


@dataclass(frozen=True)
class HeadConfig:
    """Training of a linear adapter with class prototypes on frozen features."""

    epochs: int = 15
    """Passes over the training images."""
    steps: int | None = None
    """Steps of an epoch; None takes as many as draw as many images as there are, 20 at least."""
    batch_size: int = 128
    """Images of a step, half of them labelled; each comes in two views."""
    learning_rate: float = 2e-3
    """Peak learning rate of AdamW; it falls to zero along a cosine."""
    weight_decay: float = 1e-3
    """Decoupled weight decay."""
    noise: float = 0.3
    """Where the data has no augmented views: noise on each view, in standard deviations of the features."""
    dropout: float = 0.2
    """Where the data has no augmented views: share of the values of each view set to zero."""
    hidden: int = 128
    """Hidden width of the contrastive projection."""
    projection: int = 64
    """Its output width."""
    space: SpaceConfig = SpaceConfig(dimensions=128)
    """Where the adapter starts from."""


@dataclass(frozen=True)
class SimGCDConfig:
    """SimGCD (Wen, Zhao & Qi 2023); the defaults are the paper's."""

    head: HeadConfig = HeadConfig()
    supervised_weight: float = 0.35
    """Share of the supervised losses, lambda."""
    entropy_weight: float = 2.0
    """Weight of the mean-entropy regulariser, epsilon."""
    student_temperature: float = 0.1
    """Temperature of predictions."""
    teacher_start: float = 0.07
    """Temperature of teachers in the first epoch."""
    teacher_end: float = 0.04
    """Temperature of teachers after the warm-up."""
    warmup: float = 0.15
    """Share of the epochs in which the teachers' temperature falls."""
    unsupervised_temperature: float = 1.0
    """Temperature of the self-supervised contrastive loss."""
    supervised_temperature: float = 0.07
    """Temperature of the supervised contrastive loss."""


FROM_CLUSTERS = SimGCDConfig(head=HeadConfig(steps=13))
"""For a head whose prototypes start at the clusters of a tree. Each step draws it away from them, which costs novel classes, so
it takes as many steps on a problem of any size as on the holdouts on which their number was chosen."""


@dataclass(frozen=True)
class SupervisedConfig:
    """A classifier of the known classes; novel classes are clusters of what it is least sure of."""

    head: HeadConfig = HeadConfig()
    temperature: float = 0.1
    """Temperature of predictions."""
    adjustment: float = 0.0
    """Logit adjustment by this power of the class frequencies; 1 is balanced softmax, 0 plain cross-entropy."""


@dataclass(frozen=True)
class BaConConfig:
    """BaCon (Bai et al. 2023); the defaults are the official code's."""

    simgcd: SimGCDConfig = SimGCDConfig(entropy_weight=1.0)
    power: float = 1.1
    """Power of the estimated class counts in the regulariser."""
    adjustment: float = 0.5
    """Power of the estimated class counts in the logit adjustment of pseudo-labels."""
    known_sampling: float = 0.8
    """Power by which pseudo-labelled images of frequent known classes are sampled less."""
    novel_sampling: float = 0.5
    """The same for novel classes."""
    estimate_every: int = 10
    """Epochs between two estimates of the class counts."""


@dataclass(frozen=True)
class ShiftMergeMixConfig:
    """Our method: a tree in shifted features, a merge learned from known classes, a mixture and a trained head."""

    ward: WardConfig = WardConfig()
    """The tree."""
    neighbours: int = 5
    """Nearest neighbours towards which an image is shifted before the tree is grown."""
    shift: float = 0.5
    """How far, 0 to 1."""
    links: int = 10
    """Nearest neighbours by which clusters are linked."""
    over_cut: float = 1.3
    """The tree is cut into so many times the novel classes that are wanted; a learned merge brings them down."""
    learn_over_cut: float = 1.6
    """The same where the merge is learned."""
    holdouts: int = 6
    """Problems made of the known classes, on which the merge, the head's weight and the probabilities are learned."""
    weights: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0)
    """Weights of the head's log posterior that are tried on them."""
    head: SimGCDConfig = FROM_CLUSTERS
    """How the head is trained, on the problem as on the holdouts."""

    def __post_init__(self) -> None:
        if not 0 <= self.shift <= 1:
            raise UserError(f"--shift {self.shift}: must lie in [0, 1]")
        if min(self.over_cut, self.learn_over_cut) < 1:
            raise UserError("--over-cut and --learn-over-cut must be 1 or more")


@dataclass(frozen=True)
class EstimateConfig:
    """How the number of classes is estimated."""

    rounds: int = 3
    """How often half of the known classes is hidden and looked for."""
    most: float = 6.0
    """Look for at most this many times the known classes."""
    cuts: int = 50
    """Numbers of clusters that are tried."""
    ward: WardConfig = WardConfig()
    """The tree in which classes are counted."""

    def __post_init__(self) -> None:
        if self.rounds < 2 or self.cuts < 10:
            raise UserError("--rounds must be 2 or more and --cuts 10 or more")
        if self.most <= 1:
            raise UserError(f"--most {self.most}: must be more than 1")


@dataclass(frozen=True)
class EstimateKSettings:
    """Estimate the number of classes of a split's images, with an interval and what other rules say."""

    data: Path
    """Folder that `split` and `features` filled; with --out also a folder that holds several at any depth."""
    out: Path | None = None
    """Folder for results.json and report.html: how far each rule is from the truth over all splits of each data
    set. What is done in it already is kept and not done again."""
    seed: int = 0
    """Seed of which known classes are hidden; with --out it is that of each split."""
    estimate: EstimateConfig = field(default_factory=EstimateConfig)
    device: PlaceConfig = field(default_factory=PlaceConfig)


MethodName = Literal[
    "supervised",
    "supervised-balanced",
    "kmeans",
    "ss-kmeans",
    "uno",
    "simgcd",
    "simgcd-ss-kmeans",
    "bacon",
    "ward",
    "simgcd-ward",
    "shift-merge-mix",
]
"""The methods that `gcd_longtail.discovery.methods` registers."""


Protocol = Literal["own", "bacon"]
"""Whose figures are reported: this package's alone, or those of another project beside them."""


@dataclass(frozen=True)
class StudySettings:
    """Compare methods over splits and seeds, with the true and with the estimated number of classes."""

    data: Path
    """Folder of a split, or a folder that holds several at any depth: those of one data set are its seeds."""
    out: Path
    """Folder for results.json and report.html. What is done in it already is kept and not done again."""
    methods: tuple[MethodName, ...] = get_args(MethodName)
    """Methods to compare."""
    ablation: bool = False
    """Also fit shift-merge-mix less each of its parts."""
    k: tuple[Literal["true", "estimated"], ...] = ("true", "estimated")
    """Which numbers of classes the methods are given."""
    protocol: Protocol = "own"
    """bacon adds the figures that BaCon reports, as bacon_all and so on; its test images are clustered by k-means."""
    resamples: int = 1000
    """Bootstrap resamples behind each 95% interval."""
    device: PlaceConfig = field(default_factory=PlaceConfig)

    def __post_init__(self) -> None:
        if self.resamples < 100:
            raise UserError(f"--resamples {self.resamples}: an interval needs 100 or more")


Compared = Literal["random", "random-per-image", "doubtful"]
"""Labels of single images that decisions are compared with: as many of random images, one for each image that got a label
by the decisions, or as many of the most doubtful images."""


@dataclass(frozen=True)
class LoopSettings:
    """Measure what decisions about discovered classes are worth: a simulated person answers from the true labels."""

    data: Path
    """Folder of a split, or a folder that holds several at any depth: those of one data set are its seeds."""
    out: Path
    """Folder for results.json and report.html. What is done in it already is kept and not done again."""
    method: MethodName = "ward"
    """Method that learns from the decisions. It is given the true number of classes, or that of the classes with
    labels if they are more."""
    budgets: tuple[int, ...] = (25, 50, 100)
    """Numbers of decisions after which it is measured; one decision is one line of a file of decisions."""
    every: int = 25
    """Decisions after which the method learns from them and new classes are shown."""
    compared: tuple[Compared, ...] = get_args(Compared)
    """What to compare with: as many labels of random images, one for each image that got a label by the decisions, as
    many of the images that the method doubts most."""
    draws: int = 5
    """Draws of random labels; their mean counts."""
    device: PlaceConfig = field(default_factory=PlaceConfig)

    def __post_init__(self) -> None:
        if not self.budgets or list(self.budgets) != sorted({b for b in self.budgets if b > 0}):
            shown = " ".join(map(str, self.budgets))
            raise UserError(f"--budgets {shown}: give one or more numbers from 1, in ascending order")
        for name in ("every", "draws"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} {getattr(self, name)}: must be 1 or more")


@dataclass(frozen=True)
class BenchSettings:
    """Time k-means, the losses of SimGCD and the features on made-up data, against scikit-learn and official code."""

    out: Path
    """Folder for results.json and report.html."""
    peer: tuple[Path, ...] = ()
    """Checkouts of the official code of GCD (sgvaze/generalized-category-discovery) or SimGCD (CVMI-Lab/SimGCD), to be
    run on the same input."""
    rows: int = 20_000
    """Rows of the k-means benchmark."""
    width: int = 768
    """Values of a row."""
    k: int = 100
    """Clusters; half of them are known classes, half of whose rows are labelled."""
    pictures: int = 2048
    """Pictures of the feature benchmark; 0 leaves it out."""
    large: bool = False
    """Also cluster 1,000,000 x 384 rows into 1,000 clusters in a fresh process and measure its memory."""
    images: int = 0
    """Also run `discover` on so many made-up images with cached features, in a fresh process, and measure its memory: 1,000
    or more; 0 leaves it out. A million take 12 GB of disk for a while."""
    seed: int = 0
    """Seed of the data and of the starts."""
    device: PlaceConfig = field(default_factory=PlaceConfig)

    def __post_init__(self) -> None:
        if self.rows < 4 * self.k or self.k < 4 or self.width < 2:
            raise UserError("--rows must be 4 times --k or more, --k 4 or more and --width 2 or more")
        if 0 < self.images < 1000 or self.images < 0:
            raise UserError(f"--images {self.images}: must be 1,000 or more, or 0")
