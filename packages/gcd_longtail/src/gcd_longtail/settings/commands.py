"""Settings of the commands that handle data, runs and pages. Imports nothing heavy, so that ``--help`` is quick."""

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gcd_longtail.settings.methods import MethodName, Protocol
from seminar_common.device import PlaceConfig
from seminar_common.errors import UserError
from seminar_common.settings import EARLIER
from seminar_common.work import WorkConfig

Format = Literal[
    "auto", "folder", "parquet", "csv", "index", "cifar10", "cifar100", "caltech101", "gtsrb", "digits"
]
Fit = Literal["crop", "squash", "pad"]
DEFAULT_BACKBONE = "efficientnet-lite0"
PIXELS = "pixels"
DEFAULT_SIZE, LARGE_SIZE = 160, 224
"""Sides of the squares that a network sees if nobody says which: of small pictures, and of larger ones."""
MOST_PIXELS = 32
"""Of the square whose pixels are features: 3,072 of them. Methods need memory by the square of their number."""
SMALLEST = 8
"""Least side of any square."""
DEFAULT_METHOD: MethodName = "shift-merge-mix"
"""What `discover` takes if nobody says which."""


@dataclass(frozen=True)
class SourceConfig:
    """Where labelled images come from."""

    images: Path
    """A folder with one subfolder a class, a Parquet or CSV file, the root folder of a torchvision set, or the
    word `digits`."""
    format: Format = "auto"
    """How the images are stored; auto looks at the path."""
    index: Path | None = None
    """With --format index: text file of a long-tailed training set, a line `PATH LABEL` each (ImageNet-LT,
    Places-LT), or `NUMBER` or `NUMBER LABEL` into CIFAR's training images."""
    test_index: Path | None = None
    """With --format index: the same for the test images; CIFAR has its own."""
    where: str = ""
    """With Parquet: keep the training rows that fulfil this, such as `rho_max>=100`."""


@dataclass(frozen=True)
class SplitSettings:
    """Decide once which classes are known and which images are labelled; writes a small file that can be shared."""

    out: Path
    """Folder to make; it gets split.json."""
    source: SourceConfig
    name: str = ""
    """Name of the data set in every table; by default that of the images."""
    reuse: Path | None = None
    """A split.json of somebody else to apply to your copy of the same images; the options below are then not used."""
    bacon: Path | None = None
    """Folder of index files into CIFAR's training images that BaCon published (data_uq_idxs/cifar100_k80_imb100): they
    say which classes are known and which images are labelled. Of the options below only --seed goes with it; methods
    take it."""
    exclude: tuple[str, ...] = ()
    """Classes to leave out, such as one that holds whatever belongs to no class."""
    class_count: int = 0
    """Keep only so many classes, drawn at random; 0 keeps them all."""
    known_fraction: float = 0.5
    """Share of the classes that are known."""
    known: Literal["interleaved", "frequent"] = "interleaved"
    """Which classes are known: some of every frequency, or the most frequent ones."""
    known_classes: tuple[str, ...] = ()
    """Exactly these classes are known."""
    labelled_fraction: float = 0.5
    """Share of the known classes' training images that are labelled."""
    imbalance_ratio: float = 0
    """Thin out the training images to an exponential long tail with this ratio of the largest class to the
    smallest; 0 leaves them as they are."""
    test_fraction: float = 0.2
    """Share of each class held out as test images where the source has none."""
    min_images: int = 2
    """Classes with fewer training images are left out, and said."""
    seed: int = 0
    """Seed of every choice."""

    def __post_init__(self) -> None:
        for name in ("known_fraction", "labelled_fraction"):
            if not 0 < getattr(self, name) < 1:
                raise UserError(f"--{name.replace('_', '-')} {getattr(self, name)}: must lie between 0 and 1")
        if self.class_count and self.class_count < 2:
            raise UserError(f"--class-count {self.class_count}: must be 2 or more, or 0 for all")
        if not 0 < self.test_fraction < 1:
            raise UserError(f"--test-fraction {self.test_fraction}: must lie between 0 and 1")
        if self.imbalance_ratio and self.imbalance_ratio < 1:
            raise UserError(f"--imbalance-ratio {self.imbalance_ratio}: must be 1 or more, or 0 for none")
        if self.min_images < 2:
            raise UserError(f"--min-images {self.min_images}: a class needs 2 images or more")
        if self.bacon is not None:
            _refuse_choices(self)


def _refuse_choices(settings: SplitSettings) -> None:
    """Raise a UserError if a choice is made that the index files of ``--bacon`` make already."""
    free = {"out", "source", "name", "bacon", "seed"}
    for one in fields(settings):
        if one.name not in free and getattr(settings, one.name) != one.default:
            option = one.name.replace("_", "-")
            raise UserError(f"--{option} does not go with --bacon, whose files say it already; leave one out")


@dataclass(frozen=True)
class FeatureConfig:
    """Which features of an image."""

    backbone: str = DEFAULT_BACKBONE
    """efficientnet-lite0 (its weights come with the installation), efficientnet-lite2 (with the extra `lite2`),
    dino-vits16, dino-vitb16, dinov2-vits14, dinov2-vitb14, any timm model by its name, or pixels."""
    size: int | Literal["auto"] = "auto"
    """Side of the square that the backbone sees, in pixels; smaller pictures are enlarged. auto takes 224, at which the
    backbone learned, without the mirror image, where half of the pictures have 64 pixels or more on their shorter side;
    else 160 with it, which takes as long. For the backbone `pixels`, of which each pixel is three features, auto takes the
    shorter side of half of the pictures, from 8 to 32."""
    mirror: bool = True
    """Take the mean of the features of each image and of its mirror image; twice the time. The backbone `pixels` never
    does, nor does --size auto where it takes 224; --size 224 does."""
    fit: Literal[Fit, "auto"] = field(default="auto", metadata={EARLIER: "crop"})
    """How a picture that is no square becomes one: its centre is cropped, the whole is squashed, or the whole gets a
    margin (pad). auto crops, unless more than a quarter of the pictures are over 3 times as long as wide: it squashes
    these."""
    layers: int = field(default=1, metadata={EARLIER: 1})
    """Layers that features are taken from: 1 is the last alone, and each further one the mean of the stage before it."""
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = field(
        default="auto", metadata={EARLIER: "32-true"}
    )
    """What the backbone computes in. auto takes bf16-mixed for efficientnet-lite0 at 224 pixels or more on a CPU that
    multiplies in it (AMX), in half the time; else 32-true. Mixed precision is quicker on a GPU, too. It gives other
    features, which are kept apart; any CPU can make those of bf16-mixed."""
    weights: Path | None = None
    """A safetensors file with the weights of the backbone."""
    download: bool = False
    """Let timm fetch pretrained weights from its hub. Nothing else reaches for the network."""

    def __post_init__(self) -> None:
        if self.size != "auto" and self.size < SMALLEST:
            raise UserError(f"--size {self.size}: must be {SMALLEST} pixels or more")
        if self.layers < 1 or (self.layers > 1 and self.backbone == PIXELS):
            raise UserError(f"--layers {self.layers}: must be 1 or more, and 1 for the backbone {PIXELS}")

    @property
    def side(self) -> int:
        """Side of the square in pixels; the most that auto takes as long as nobody looked at the pictures."""
        if self.size != "auto":
            return self.size
        return MOST_PIXELS if self.backbone == PIXELS else DEFAULT_SIZE

    @property
    def square(self) -> Fit:
        """How pictures become squares; a crop as long as nobody looked at their shapes."""
        return "crop" if self.fit == "auto" else self.fit

    @property
    def bits(self) -> Literal["32-true", "bf16-mixed", "16-mixed"]:
        """What the backbone computes in; 32 bits as long as nobody looked at the processor."""
        return "32-true" if self.precision == "auto" else self.precision

    @property
    def mirrored(self) -> bool:
        """Whether features are the mean over an image and its mirror image."""
        return self.mirror and self.backbone != PIXELS


@dataclass(frozen=True)
class ExtractionConfig:
    """Where and how features are extracted; the same ones come out with any number of workers."""

    batch_size: int = 8
    """Images of one forward pass, and their mirror images with them. Few keep their activations in a CPU's cache; take 256
    on a GPU."""
    work: WorkConfig = field(default_factory=WorkConfig)
    device: PlaceConfig = field(default_factory=PlaceConfig)

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UserError(f"--batch-size {self.batch_size}: must be 1 or more")


@dataclass(frozen=True)
class FeaturesSettings:
    """Extract the features of every image of a split, or find them in the cache."""

    data: Path
    """Folder that `split` wrote."""
    features: FeatureConfig = field(default_factory=FeatureConfig)
    views: int = 0
    """Augmented views of each training image, besides the plain one, for the methods that learn from views."""
    near_copies: float = 0.92
    """Name pairs of images whose features have at least this cosine, in near-copies.csv: the same picture saved again,
    mirrored or trimmed. Pairs of a training and a test image are leaks. 0 looks for none; the backbone `pixels` has
    none."""
    cache: Path | None = None
    """Folder of the feature cache; by default `features` beside the data folder, shared by all splits there."""
    extraction: ExtractionConfig = field(default_factory=ExtractionConfig)

    def __post_init__(self) -> None:
        if self.views < 0:
            raise UserError(f"--views {self.views}: must be 0 or more")
        if not 0 <= self.near_copies <= 1:
            raise UserError(f"--near-copies {self.near_copies}: is a cosine, from 0 (off) to 1")


@dataclass(frozen=True)
class TrainSettings:
    """Discover classes in a split's unlabelled images with one method; `evaluate` measures the run."""

    data: Path | None = None
    """Folder that `split` and `features` filled."""
    method: MethodName = DEFAULT_METHOD
    """Discovery method."""
    out: Path | None = None
    """Run folder to make; by default runs/gcd_longtail/train-METHOD-seedK-TIME."""
    resume: Path | None = None
    """Run folder of a run that was killed: it is done again with its own settings, and ends with the same figures."""
    k: int | Literal["true", "estimated"] = "true"
    """Number of classes in all, known and novel: that of the split (true), an estimate, or a number."""
    seed: int = 0
    """Seed of the method."""
    device: PlaceConfig = field(default_factory=PlaceConfig)


@dataclass(frozen=True)
class EvaluateSettings:
    """Score a run on the unlabelled and on the test images; writes RUN/results.json and RUN/report.html."""

    run: Path
    """Run folder that `train` wrote."""
    data: Path | None = None
    """Folder of the split, if it has moved since."""
    resamples: int = 1000
    """Bootstrap resamples behind each 95% interval."""
    protocol: Protocol = "own"
    """bacon adds the figures that BaCon reports, as bacon_all and so on; its test images are clustered by k-means."""
    seed: int = 0
    """Seed of the bootstrap, and of that k-means."""

    def __post_init__(self) -> None:
        if self.resamples < 100:
            raise UserError(f"--resamples {self.resamples}: an interval needs 100 or more")


@dataclass(frozen=True)
class PredictSettings:
    """Sort new images into the classes that a run knows and has discovered."""

    run: Path
    """Run folder that `train` or `discover` wrote."""
    images: Path
    """Folder of images, searched with its subfolders."""
    out: Path
    """Folder to make; it gets predictions.csv."""
    cache: Path | None = None
    """Folder of the feature cache; by default `features` beside --out."""
    weights: Path | None = None
    """The safetensors file with the backbone's weights, if it has moved since the run was made."""
    none_above: float = 0.99
    """An image is marked as none of these classes if it lies farther from all of them than this share of the run's own
    images. Of Caltech-101's images 1% are marked so, and 28% of those of unseen classes; with 0.95 5% and 50%."""
    extraction: ExtractionConfig = field(default_factory=ExtractionConfig)

    def __post_init__(self) -> None:
        if not 0 < self.none_above <= 1:
            raise UserError(f"--none-above {self.none_above}: is a share, above 0 and at most 1")


@dataclass(frozen=True)
class DiscoverSettings:
    """Find the categories in a folder of images of which some are labelled: a table and a gallery to look at."""

    images: Path | None = None
    """Folder of images, searched with its subfolders (required, unless --continue is given)."""
    labels: Path | None = None
    """Table with the columns path (relative to the folder) and label, for the images whose class is known (required,
    unless --continue is given). Of an assignments.csv the rows with yes in the column labelled count."""
    out: Path = tyro.MISSING
    """Run folder to make; open its gallery.html afterwards, and name, merge and split there what was found."""
    method: MethodName | None = None
    """Discovery method; by default shift-merge-mix, and with --continue that of the run."""
    k: int | Literal["estimated"] = "estimated"
    """Number of classes in all, labelled and to be discovered."""
    features: FeatureConfig = field(default_factory=FeatureConfig)
    cache: Path | None = None
    """Folder of the feature cache; by default `features` beside --out."""
    per_class: int = 12
    """Images of a class that the gallery shows at first: a third each from its centre, its middle and its edge."""
    thumbnails: int = 5000
    """Most images with a thumbnail in the gallery, 4 kB each. The others are shown from their files, while these lie
    where they lie now, or by `review`."""
    seed: int = 0
    """Seed of the method."""
    extraction: ExtractionConfig = field(default_factory=ExtractionConfig)
    decisions: Annotated[Path | None, tyro.conf.arg(name="continue")] = None
    """File of decisions about a run, which its gallery.html or `review` wrote: learn from them. Options left at their
    default are then those of that run, and the number of classes is what the decisions made of it."""
    run: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """With --continue: the run that the decisions are about; by default the folder of the file."""

    def __post_init__(self) -> None:
        if self.decisions is None and (self.images is None or self.labels is None):
            lacks = "--images" if self.images is None else "--labels"
            raise UserError(f"{lacks}: must be given, or --continue DECISIONS")
        if self.decisions is not None and self.labels is not None:
            raise UserError("--labels: with --continue the labels are those of the run and of the decisions")
        if self.decisions is None and self.run is not None:
            raise UserError("--from: goes with --continue DECISIONS only")
        if self.per_class < 3:
            raise UserError(f"--per-class {self.per_class}: must be 3 or more")
        if self.thumbnails < 0:
            raise UserError(f"--thumbnails {self.thumbnails}: must be 0 or more")

    @property
    def folder(self) -> Path:
        """The folder of images; known once a run that is continued has said it."""
        assert self.images is not None
        return self.images

    @property
    def method_name(self) -> MethodName:
        """The method that is asked for, or the default one."""
        return self.method or DEFAULT_METHOD


ExportForm = Literal["folders", "links", "coco", "csv", "fiftyone"]


@dataclass(frozen=True)
class ExportSettings:
    """Write the images of a run of `discover` by their classes, as people named, merged, split and corrected them."""

    run: Annotated[Path, tyro.conf.arg(name="found", aliases=("--run",))]
    """Run folder that `discover` wrote."""
    out: Path
    """Folder to make."""
    to: ExportForm = "folders"
    """folders: a copy of each image in a folder of its class (FiftyOne's ImageClassificationDirectoryTree as well);
    links: the same with links instead of copies; coco: coco.json, in which each image has one box as large as itself;
    csv: images.csv with the class of every image, unsure and rejected ones too; fiftyone: labels.json and data.json of a
    FiftyOneImageClassificationDataset, which names the images where they lie."""
    decisions: Path | None = None
    """File of decisions about the run; by default its decisions.jsonl, if it has one."""
    names: Path | None = None
    """CSV file with the columns cluster and name: proposals, such as a text-image model's, for classes that nobody named.
    They stand beside the class's own name and are marked as proposed."""
    images: Path | None = None
    """Folder of the images, if it has moved since."""
    named: bool = False
    """Only the classes that a person named, by labels or by a decision."""
    unsure: bool = False
    """Also the images that were said not to belong to their class: without a class, in folders as _unlabeled."""


@dataclass(frozen=True)
class ReviewSettings:
    """Name, merge, split and correct in a browser what `discover` found, with any number of images."""

    run: Annotated[Path, tyro.conf.arg(name="found", aliases=("--run",))]
    """Run folder that `discover` wrote. Each decision is appended to its decisions.jsonl as it is made."""
    images: Path | None = None
    """Folder of the images, if it has moved since."""
    port: int = 0
    """Port on 127.0.0.1; 0 takes a free one. Nothing outside this machine can reach it."""
    browser: bool = True
    """Open the page in the browser; else only its address is printed."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UserError(f"--port {self.port}: must be 0 to 65535")


def check_name(name: str) -> str:
    """Return ``name`` in lower case with a dash for whatever does not belong in a name of a table."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-") or "images"
