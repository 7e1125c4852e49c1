"""Settings of training, evaluation, export and study, and the presets. Imports nothing heavy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from doc_detect.classes import CLASSES, class_index, parse_map
from doc_detect.settings.synth import DegradeSettings
from seminar_common.device import DeviceConfig
from seminar_common.errors import UserError

DETECTED = ("graphic", "drop_capital", "table", "stamp", "caption")
"""The classes that a detector learns by default: what an archive looks for, and the captions that belong to it."""


@dataclass(frozen=True)
class ModelConfig:
    """Architecture of a detector, and how its raw boxes become detections."""

    engine: Literal["torchvision", "detectron2"] = "torchvision"
    """What the detector is built from. detectron2 is installed apart, see docs/results/doc_detection.md."""
    architecture: Literal["fcos", "faster-rcnn"] = "fcos"
    """FCOS, without anchors and the quicker, or Faster R-CNN. detectron2 has Faster R-CNN alone."""
    backbone: str = "tf_efficientnet_lite0"
    """Any convolutional timm model; the default one's weights are installed with the package."""
    weights: Literal["imagenet", "none"] = "imagenet"
    """Weights that the backbone starts from; timm fetches those of any but the default one."""
    labels: tuple[str, ...] = DETECTED
    """Classes to detect, in the order of the outputs."""
    channels: int = 64
    """Channels of the feature pyramid and the heads."""
    head_convs: int = 2
    """Convolutions of each head before its output."""
    folded: bool = field(default=False, metadata={"earlier": False})
    """Fold the backbone's batch norms into its convolutions, as in an exported file (FCOS alone)."""
    kept: tuple[str, ...] = field(default=(), metadata={"earlier": ()})
    """Classes that a further stage of training (--init) leaves as they are: the backbone is fixed, and so are pyramid
    and head for them; copies of these learn the others. A page takes a fifth more time (FCOS alone)."""
    kept_levels: int = field(default=5, metadata={"earlier": 5})
    """Levels of the pyramid, of strides 8, 16, 32, 64 and 128, on which --kept is looked for, finest first: 1 takes less
    time and finds what is less than a quarter as large as the page, 2 what is less than half as large."""
    size: int = 512
    """Longest side of a page when it is looked at, in pixels."""
    trim: bool = True
    """Cut wide uniform margins off a page before it is looked at, in training as in use."""
    score_threshold: float = 0.05
    """Positions with a lower raw score are looked at no further."""
    nms_iou: float = 0.55
    """Of two boxes of one class that overlap more than this, the better one stays."""
    max_detections: int = 100
    """Detections kept on a page."""

    def __post_init__(self) -> None:
        for label in self.labels:
            class_index(label)
        if not self.labels or len(set(self.labels)) < len(self.labels):
            raise UserError("--labels: give at least one class, each once")
        if self.folded and self.architecture != "fcos":
            raise UserError("--folded: goes with --architecture fcos")
        self._check_kept()
        if self.channels < 32 or self.channels % 32:
            raise UserError(f"--channels {self.channels}: must be a multiple of 32")
        if self.head_convs < 1 or self.max_detections < 1:
            raise UserError("--head-convs and --max-detections must be 1 or more")
        if not 64 <= self.size <= 4096:
            raise UserError(f"--size {self.size}: must lie between 64 and 4096 pixels")
        if not 0 <= self.score_threshold < 1 or not 0 < self.nms_iou <= 1:
            raise UserError("--score-threshold must lie in [0, 1) and --nms-iou in (0, 1]")

    def _check_kept(self) -> None:
        """Raise a UserError unless the classes that are kept are some of those that are detected."""
        if strange := [label for label in self.kept if label not in self.labels]:
            raise UserError(f"--kept {' '.join(strange)}: choose from {', '.join(self.labels)}")
        if len(set(self.kept)) < len(self.kept):
            raise UserError("--kept: give each class once")
        if len(self.kept) == len(self.labels):
            raise UserError("--kept: leave at least one class to learn")
        if self.kept and self.architecture != "fcos":
            raise UserError("--kept: goes with --architecture fcos")
        if self.kept_levels != 5 and not self.kept:
            raise UserError("--kept-levels: goes with --kept")
        if not 1 <= self.kept_levels <= 5:
            raise UserError(f"--kept-levels {self.kept_levels}: must lie between 1 and 5")


@dataclass(frozen=True)
class OptimizationConfig:
    """How a detector is fitted."""

    steps: int = 3600
    """Optimizer steps."""
    batch_size: int = 4
    """Pages of a step, over all processes."""
    sizes: tuple[int, ...] = (384, 448, 528)
    """Longest sides of the training pages in pixels: one after the other, each for an equal share of the steps."""
    size_jitter: float = 0.12
    """Share by which the size of a step varies around that."""
    backbone_learning_rate: float = 4e-4
    """Peak learning rate of the pretrained backbone (AdamW)."""
    learning_rate: float = 1e-3
    """Peak learning rate of the pyramid and the heads."""
    weight_decay: float = 0.02
    """Decoupled weight decay."""
    warmup: float = 0.03
    """Share of the steps in which the learning rates rise to their peak; a cosine to zero follows."""
    ema_decay: float = 0.995
    """Decay of the moving average of the weights, which is what is kept; lower in the first steps."""
    balance: float = 0.25
    """Pages with a class that is on fewer than this share of all pages are shown more often; 0 shows all alike."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 1:
            raise UserError("--steps and --batch-size must be 1 or more")
        if not self.sizes or min(self.sizes) < 64:
            raise UserError("--sizes: give at least one size, of 64 pixels or more")
        if min(self.learning_rate, self.backbone_learning_rate) <= 0:
            raise UserError("--learning-rate and --backbone-learning-rate must be above 0")
        shares = (self.warmup, self.balance, self.size_jitter)
        if not all(0 <= share <= 1 for share in shares) or not 0 <= self.ema_decay < 1:
            raise UserError("--warmup, --balance and --size-jitter must lie in [0, 1], --ema-decay in [0, 1)")
        if self.weight_decay < 0:
            raise UserError(f"--weight-decay {self.weight_decay}: must not be negative")


@dataclass(frozen=True)
class TrainSettings:
    """Train a detector on generated pages, or on any labelled pages. Go on with a killed run by --resume RUN."""

    data: Path | None = None
    """Folder that `synth` wrote, or labelled pages of any form that `convert` reads, such as a COCO file or a YOLO
    data.yaml (of which the split `train` is taken)."""
    map: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """NAME=CLASS: what a name in --data stands for, before what is known of names; CLASS may be `ignore`. Repeatable."""
    out: Path | None = None
    """Run folder to make; by default runs/doc_detect/train-PRESET-seedK-TIME."""
    resume: Path | None = None
    """Run folder to go on with: its settings are used again and no other option is needed."""
    init: Path | None = None
    """Run or ONNX file of `export` with the same labels whose weights to start from, or `default`, the detector that
    ships: a further stage of training. The layers are as there. Of a run that has not ended, the moving average in its
    last checkpoint is taken."""
    init_share: float = field(default=0.0, metadata={"earlier": 0.0})
    """Share of the weights of --init in those that are kept at the end, the rest being the trained ones: half-way
    averages forget less of what the start knew (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models")."""
    name: str = "source-only"
    """The model's name in result tables."""
    preset: Literal["smoke", "small", "paper"] = "small"
    """Size and recipe; the options below change single values of it."""
    seed: int = 0
    """Seed of the weights, the order of the pages and their degradation."""
    log_every: int = 20
    """Steps between two lines of metrics.jsonl."""
    checkpoint_every: int = 100
    """Steps between two checkpoints that --resume can go on from."""
    validate_every: int = 500
    """Steps between two looks at validation pages; with 0 they only calibrate the scores at the end."""
    validation_pages: int = 100
    """Validation pages of each look."""
    loaders: int = 0
    """Processes that prepare pages besides the one that trains; 0 prepares them in turn."""
    model: ModelConfig = field(default_factory=ModelConfig)
    optimization: OptimizationConfig = field(default_factory=OptimizationConfig)
    degradation: DegradeSettings = field(default_factory=DegradeSettings)
    """How clean ink becomes scans; if none of it is changed, each kind of page has its own."""
    device: DeviceConfig = field(default_factory=DeviceConfig)

    def __post_init__(self) -> None:
        parse_map(self.map)
        if min(self.log_every, self.checkpoint_every, self.validation_pages) < 1:
            raise UserError("--log-every, --checkpoint-every and --validation-pages must be 1 or more")
        if not 0 <= self.init_share < 1:
            raise UserError(f"--init-share {self.init_share}: must lie in [0, 1)")
        if self.model.kept and self.init is None:
            raise UserError("--kept: goes with --init, which finds what is kept")
        if self.init_share and self.init is None:
            raise UserError("--init-share: goes with --init, whose weights it keeps")
        if self.loaders < 0 or self.validate_every < 0:
            raise UserError("--loaders and --validate-every must not be negative")


@dataclass(frozen=True)
class EvaluateSettings:
    """Measure a detector on labelled pages: AP, finding pages, crops; writes results.json and report.html.

    Where the detector knows by how much people's boxes stand off the ink (`export --margin-data`), every figure is
    there twice: of boxes of ink, and of boxes as drawn.
    """

    data: Path
    """Labelled pages of any form that `convert` reads, such as a COCO file or a YOLO data.yaml (its split `test`, or
    else `val`), or a folder that `synth` wrote (its validation pages)."""
    map: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """NAME=CLASS: what a name in --data stands for, before what is known of names; CLASS may be `ignore`. Repeatable."""
    run: Path | None = None
    """Run folder that `train` wrote, to measure its weights in PyTorch. Results go there unless --out is given."""
    model: Path | None = None
    """ONNX file of `export` to measure, with or without a run; without either, the detector that ships."""
    size: int | None = None
    """Longest side in pixels that an ONNX file looks at pages, in place of its own."""
    split: str = ""
    """Name of the split in result tables; by default the file's name (`test` for test.json)."""
    out: Path | None = None
    """Folder for results.json and report.html; by default the run's own."""
    resamples: int = 500
    """Bootstrap resamples (over books, or over pages where no book is known) behind each 95% interval."""
    seed: int = 0
    """Seed of the bootstrap."""
    device: DeviceConfig = field(default_factory=DeviceConfig)

    def __post_init__(self) -> None:
        parse_map(self.map)
        if self.resamples < 100:
            raise UserError(f"--resamples {self.resamples}: an interval needs 100 or more")
        if self.run is None and self.out is None:
            raise UserError("--out is missing: without --run, say which folder to make for the results")
        if self.size is not None and self.run is not None and self.model is None:
            raise UserError("--size: goes with an ONNX file; a run looks at pages as it was trained")


@dataclass(frozen=True)
class StudySettings:
    """Measure the detector beside other layout tools on real pages; the same command goes on with one that stopped."""

    test: tuple[Path, ...]
    """Labelled pages that nothing was chosen on, of any form that `convert` reads; several from one folder are measured
    together, too."""
    out: Path
    """Folder of the study: what each model found, results.json and report.html."""
    map: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """NAME=CLASS: what a name in --test stands for, before what is known of names; CLASS may be `ignore`. Repeatable."""
    target: Path | None = None
    """Folder of the pages, where their pictures are neither beside the COCO files nor in images/ there."""
    run: Path | None = None
    """Run that `train` wrote: its PyTorch weights are measured beside the ONNX file."""
    model: Path | None = None
    """ONNX file of `export`; by default the detector that comes with the package."""
    peer: tuple[Literal["rapid-layout"], ...] = ()
    """Other layout tools to measure on the same pages; rapid-layout is installed apart."""
    resamples: int = 1000
    """Bootstrap resamples (over books, or over pages where no book is known) behind each 95% interval."""
    device: DeviceConfig = field(default_factory=DeviceConfig)

    def __post_init__(self) -> None:
        parse_map(self.map)
        if self.resamples < 100:
            raise UserError(f"--resamples {self.resamples}: an interval needs 100 or more")
        if not self.test:
            raise UserError("--test: give at least one file of labelled pages")


@dataclass(frozen=True)
class ExportSettings:
    """Write a trained detector as one ONNX file that `predict --model` reads, and check that it answers the same.

    With --margin-data the file also knows by how much people's boxes stand off the ink: `evaluate`, `crop` and
    `convert` can then give boxes as people draw them.
    """

    out: Path
    """The .onnx file to write."""
    run: Path | None = None
    """Run folder that `train` wrote."""
    model: Path | None = None
    """ONNX file to write again with another margin or threshold, in place of a run; without either, the detector
    that ships."""
    score_threshold: float | None = None
    """Raw score below which positions are looked at no further, in place of the run's: a higher one takes less time."""
    data: Path | None = None
    """Pages to compare both on: a folder that `synth` wrote, or a COCO file; by default those the run saw in validation."""
    pages: int = 60
    """How many of them."""
    calibration_data: Path | None = None
    """Held-out pages, such as a folder of `synth` (its validation pages are taken), to fit what scores mean on; by
    default it stays what the run or the file says. The margin is to be fitted anew then."""
    margin_data: Path | None = None
    """COCO file of pages on which people drew boxes, to fit each class's margin on."""
    margin_pages: int = 20
    """How many of them, one of each book in turn."""
    seed: int = 0
    """Seed of the choice of those pages."""

    def __post_init__(self) -> None:
        if self.run is not None and self.model is not None:
            raise UserError("--run and --model: give one of them")
        changes = (self.margin_data, self.calibration_data, self.score_threshold)
        if self.run is None and all(change is None for change in changes):
            raise UserError(
                "--run or --margin-data: say what to write, a run's detector or one with a margin"
            )
        if self.score_threshold is not None and not 0 <= self.score_threshold < 1:
            raise UserError(f"--score-threshold {self.score_threshold}: must lie in [0, 1)")
        if self.margin_pages < 1:
            raise UserError(f"--margin-pages {self.margin_pages}: must be 1 or more")
        if self.out.suffix.lower() != ".onnx":
            raise UserError(f"{self.out}: end the name of --out with .onnx")
        if self.pages < 1:
            raise UserError(f"--pages {self.pages}: must be 1 or more")


def smoke() -> TrainSettings:
    """A few steps on small pages: seconds on a CPU, for tests and a first look."""
    model = ModelConfig(size=192, head_convs=1)
    optimization = OptimizationConfig(steps=8, batch_size=2, sizes=(160, 192), ema_decay=0.5)
    return TrainSettings(
        preset="smoke",
        log_every=2,
        checkpoint_every=4,
        validate_every=4,
        validation_pages=4,
        model=model,
        optimization=optimization,
    )


def small() -> TrainSettings:
    """A whole training on a CPU: some 70 minutes of one core. The detector that ships had half the steps of it."""
    return TrainSettings()


def paper() -> TrainSettings:
    """For a GPU: all classes, larger pages, a wider pyramid, twenty times the steps. Not yet run."""
    model = ModelConfig(labels=CLASSES, channels=256, head_convs=4, size=1024)
    optimization = OptimizationConfig(
        steps=30_000, batch_size=16, sizes=(800, 1024), ema_decay=0.9998, backbone_learning_rate=2e-4
    )
    return TrainSettings(
        preset="paper", loaders=8, validate_every=2000, model=model, optimization=optimization
    )


PRESETS: Mapping[str, Callable[[], TrainSettings]] = {"small": small, "smoke": smoke, "paper": paper}
"""Presets of `train` by name; the first is the default."""
