"""Settings of self-supervised pretraining, and its presets. Imports nothing heavy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from doc_detect.settings.training import ModelConfig
from seminar_common.device import DeviceConfig
from seminar_common.errors import UserError
from seminar_common.work import WorkConfig

FEWEST_PAGES = 5
"""Pages that there are at least: fewer are learned by heart."""
COARSEST = 32
"""Stride in pixels of the coarsest stage of the backbone: windows are multiples of it."""


@dataclass(frozen=True)
class FittingConfig:
    """How backbone and pyramid are fitted."""

    steps: int = 400
    """Optimizer steps."""
    batch_size: int = 4
    """Pages of a step."""
    window: int = 320
    """Side in pixels of the square that is cut out of a page, as large as the detector looks at it; a multiple of 32."""
    backbone_learning_rate: float = 2e-4
    """Peak learning rate of the backbone (AdamW)."""
    learning_rate: float = 5e-4
    """Peak learning rate of the pyramid, and of what a method trains besides."""
    weight_decay: float = 0.02
    """Decoupled weight decay."""
    warmup: float = 0.05
    """Share of the steps in which the learning rates rise to their peak; a cosine to zero follows."""
    ema_decay: float = 0.99
    """Decay of the moving average of the weights, which is what is kept; lower in the first steps."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 1:
            raise UserError("--steps and --batch-size must be 1 or more")
        if self.window < 2 * COARSEST or self.window % COARSEST:
            raise UserError(
                f"--window {self.window}: must be a multiple of {COARSEST}, {2 * COARSEST} or more"
            )
        if min(self.learning_rate, self.backbone_learning_rate) <= 0 or self.weight_decay < 0:
            raise UserError("the learning rates must be above 0, and --weight-decay not below")
        if not 0 <= self.warmup <= 1 or not 0 <= self.ema_decay < 1:
            raise UserError("--warmup must lie in [0, 1], --ema-decay in [0, 1)")


@dataclass(frozen=True)
class PretrainSettings:
    """Pretrain a detector's backbone and pyramid on scans without labels. Go on with a killed run by --resume RUN.

    `train --init RUN` and `adapt --run RUN` go on from it.
    """

    images: tuple[Path, ...] = ()
    """Scans: images, PDFs, folders, globs in quotes, IIIF manifests, or COCO files, whose images are taken and whose boxes
    are not looked at."""
    out: Path | None = None
    """Run folder to make; by default runs/doc_detect/pretrain-PRESET-seedK-TIME."""
    resume: Path | None = None
    """Run folder to go on with: its settings are used again and no other option is needed."""
    init: Path = Path("default")
    """What to start from: `default`, the detector that ships; a run, or an ONNX file of `export`; `imagenet`, a new
    detector on ImageNet weights; or `none`, one on random weights."""
    method: Literal["denoising", "dense-contrast", "distillation", "masked"] = "denoising"
    """What is learned. denoising: the clean page from a degraded one with holes. dense-contrast: to know a place of a page
    again in another light. distillation: the features of --init, under degradation and holes. masked: features of hidden
    places from those around."""
    name: str = "pretrained"
    """The model's name in result tables, where its run is measured."""
    preset: Literal["small", "smoke"] = "small"
    """Size and recipe; the options below change single values of it."""
    seed: int = 0
    """Seed of new weights, of the choice of pages and of their views."""
    pages: int = 2000
    """Pages to learn from at most, drawn from all files."""
    anchor: float = 1.0
    """Weight of the distance from the features of --init on the clean page, where that is a detector: else its heads read
    features that they never saw, and `adapt --run` begins with a broken detector. 0 leaves it out, as for `train --init`,
    where heads are trained anew."""
    hidden: float = 0.4
    """Share of a page's squares of 32 pixels that are hidden (denoising, distillation, masked)."""
    temperature: float = 0.2
    """Temperature of the contrast of places (dense-contrast)."""
    log_every: int = 20
    """Steps between two lines of metrics.jsonl."""
    checkpoint_every: int = 50
    """Steps between two checkpoints that --resume can go on from."""
    pdf_pixels: int = 2000
    """Longest side in pixels that a page of a PDF counts as."""
    max_megapixels: int = 256
    """Pages that would need more million pixels decoded at once are put into failures.csv."""
    page_timeout: float = 120.0
    """Seconds after which a page counts as never ending and is put into failures.csv; 0 waits for ever."""
    work: WorkConfig = WorkConfig()
    """Where pages are decoded."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """The new detector of --init imagenet and none."""
    fitting: FittingConfig = field(default_factory=FittingConfig)
    device: DeviceConfig = field(default_factory=DeviceConfig)

    def __post_init__(self) -> None:
        if min(self.log_every, self.checkpoint_every) < 1:
            raise UserError("--log-every and --checkpoint-every must be 1 or more")
        if self.pages < FEWEST_PAGES:
            raise UserError(f"--pages {self.pages}: must be {FEWEST_PAGES} or more")
        if self.anchor < 0:
            raise UserError(f"--anchor {self.anchor}: must not be negative")
        if not 0 < self.hidden < 1:
            raise UserError(f"--hidden {self.hidden}: must lie in (0, 1)")
        if self.temperature <= 0:
            raise UserError(f"--temperature {self.temperature}: must be above 0")
        if self.page_timeout < 0 or self.pdf_pixels < 64 or self.max_megapixels < 1:
            raise UserError("--page-timeout, --pdf-pixels and --max-megapixels must be at least 0, 64 and 1")
        self._check_model()

    def _check_model(self) -> None:
        """Raise a UserError unless a detector of these settings can be pretrained."""
        if self.model.weights != "imagenet":
            raise UserError("--weights: say it by --init, which is imagenet or none")
        if self.model.kept:
            raise UserError(
                "--kept: goes with `train --init`; pretrain changes what all classes are found by"
            )
        if self.is_new and self.model.architecture != "fcos":
            raise UserError(f"--architecture {self.model.architecture}: pretrain works with fcos alone")
        if self.is_new and self.method == "distillation":
            raise UserError(
                f"--init {self.init.name}: distillation needs a detector whose features are of use; give a run or `default`"
            )

    @property
    def is_new(self) -> bool:
        """Whether a new detector is made, with heads that know nothing."""
        # By the name alone: a run's stored settings have every path in full.
        return self.init.name in NEW and not self.init.exists()


NEW = ("imagenet", "none")
"""Words of --init that stand for a new detector."""


def small() -> PretrainSettings:
    """The recipe: some minutes of one CPU core."""
    return PretrainSettings()


def smoke() -> PretrainSettings:
    """A few steps on small windows: seconds on a CPU, for tests and a first look."""
    return PretrainSettings(
        preset="smoke",
        pages=24,
        log_every=2,
        checkpoint_every=2,
        fitting=FittingConfig(steps=6, batch_size=2, window=96, ema_decay=0.5),
    )


PRETRAIN_PRESETS: Mapping[str, Callable[[], PretrainSettings]] = {"small": small, "smoke": smoke}
"""Presets of `pretrain` by name; the first is the default."""
