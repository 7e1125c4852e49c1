"""Settings of adaptation, and its presets. Imports nothing heavy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from doc_detect.classes import class_index, parse_map
from doc_detect.settings.training import OptimizationConfig
from seminar_common.device import DeviceConfig
from seminar_common.errors import UserError
from seminar_common.work import WorkConfig


def _steps() -> OptimizationConfig:
    return OptimizationConfig(
        steps=100,
        sizes=(512,),
        size_jitter=0.0,
        learning_rate=3e-4,
        backbone_learning_rate=1.2e-4,
        warmup=0.05,
        ema_decay=0.99,
    )


@dataclass(frozen=True)
class SelfTrainingConfig:
    """What a detector's own finds teach it."""

    sure: float = 0.5
    """Score from which what the source detector finds is taken for true."""
    doubt: float = 0.25
    """What scores less than --sure and this or more is neither learned nor taken for background."""
    painted: tuple[str, ...] = ("graphic", "drop_capital", "table")
    """Classes whose doubtful finds are painted over with the paper around them; those of others are left out of the
    loss where they lie."""
    fewest: int = 3
    """Sure finds that a class needs to be learned; of one that has fewer nothing is shown, and it may be forgotten."""
    agree: bool = field(default=False, metadata={"earlier": False})
    """Look at each page again, smaller: a sure find that is not found there, too, is a doubtful one. Of self-training
    and composition."""
    rounds: int = field(default=1, metadata={"earlier": 1})
    """Of self-training: how often the labels are made. After an equal share of the steps the moving average makes them
    anew."""
    unboxed: tuple[str, ...] = field(default=(), metadata={"earlier": ()})
    """Classes whose finds teach where objects are, but not how large."""

    def __post_init__(self) -> None:
        if not 0 < self.doubt <= self.sure < 1:
            raise UserError("--doubt and --sure: must be shares with 0 < --doubt <= --sure < 1")
        if self.agree and self.doubt == self.sure:
            raise UserError("--agree: makes doubtful finds of sure ones, so --doubt must be less than --sure")
        if self.rounds < 1:
            raise UserError(f"--rounds {self.rounds}: must be 1 or more")
        for label in (*self.painted, *self.unboxed):
            class_index(label)
        if self.fewest < 1:
            raise UserError(f"--fewest {self.fewest}: must be 1 or more")


@dataclass(frozen=True)
class ViewConfig:
    """How a page is changed whenever the student sees it. Nothing is mirrored: that would destroy text."""

    smallest: float = 0.8
    """Least scale of a view, as a share of the size of its step."""
    largest: float = 1.12
    """Largest scale of a view."""
    shift: float = 0.04
    """Share of the longest side by which a page may be moved: the view has as much more paper on one side."""
    rotation: float = 1.0
    """Degrees that a page may be turned by."""

    def __post_init__(self) -> None:
        if not 0.3 <= self.smallest <= self.largest <= 2:
            raise UserError(
                "--smallest and --largest: must be scales with 0.3 <= --smallest <= --largest <= 2"
            )
        if not 0 <= self.shift <= 0.5 or not 0 <= self.rotation <= 10:
            raise UserError("--shift must lie in [0, 0.5] and --rotation in [0, 10] degrees")


@dataclass(frozen=True)
class StatisticsConfig:
    """What the statistics of --method statistics are taken from."""

    measured: int = 24
    """Pages of --source, and of the target, that statistics are taken from at most. Those of the target are in memory at
    once: some 40 MB each."""

    def __post_init__(self) -> None:
        if self.measured < 1:
            raise UserError(f"--measured {self.measured}: must be 1 or more")


@dataclass(frozen=True)
class StyleConfig:
    """How --method style lends source pages the look of target pages."""

    paper_share: float = 0.5
    """Share of the source's pages that are printed on the paper of a target page; only clean ink (`synth --ink`) is."""
    fourier_share: float = 0.5
    """Share of the other pages that take the low frequencies of a target page."""
    fourier_beta: float = 0.01
    """Half the side of the square of low frequencies that are taken, as a share of the picture's shorter side. Larger
    ones take more of the page's light and colour, and soon its columns and pictures, too."""

    def __post_init__(self) -> None:
        if not 0 <= self.paper_share <= 1 or not 0 <= self.fourier_share <= 1:
            raise UserError("--paper-share and --fourier-share must lie in [0, 1]")
        if not 0 <= self.fourier_beta <= 0.5:
            raise UserError(f"--fourier-beta {self.fourier_beta}: must lie in [0, 0.5]")


@dataclass(frozen=True)
class CompositionConfig:
    """How --method composition pastes objects of the target onto source pages."""

    pasted: int = 3
    """Objects of the target that are pasted onto a source page at most."""

    def __post_init__(self) -> None:
        if self.pasted < 1:
            raise UserError(f"--pasted {self.pasted}: must be 1 or more")


@dataclass(frozen=True)
class AdversarialConfig:
    """How --method adversarial makes the worlds alike."""

    reversal: float = 0.1
    """Weight, once it has risen, of the reversed gradient that makes features of source and target alike."""

    def __post_init__(self) -> None:
        if self.reversal <= 0:
            raise UserError(f"--reversal {self.reversal}: must be above 0")


MethodName = Literal[
    "self-training", "mean-teacher", "continued", "statistics", "style", "composition", "adversarial"
]


@dataclass(frozen=True)
class AdaptSettings:
    """Adapt a detector to a collection by its scans alone, without labels. Go on with a killed run by --resume RUN."""

    target: tuple[Path, ...] = ()
    """Scans of the collection: images, PDFs, folders, globs in quotes, IIIF manifests, or COCO files, whose images are
    taken and whose boxes are not looked at."""
    out: Path | None = None
    """Run folder to make; by default runs/doc_detect/adapt-PRESET-seedK-TIME."""
    run: Path | None = None
    """Run whose detector to adapt."""
    model: Path | None = None
    """ONNX file of `export` whose detector to adapt, or `default`, the one that ships, which is also taken without
    either."""
    resume: Path | None = None
    """Run folder to go on with: its settings are used again and no other option is needed."""
    source: Path | None = None
    """Labelled pages of the world that the detector was trained on, such as a folder of `synth`, where they are at hand:
    a detector that forgets them is worse. All methods but self-training and mean-teacher need them."""
    labelled: Path | None = None
    """Pages of the collection on which people drew boxes, of any form that `convert` reads. From 5 pages the detector
    learns by how much their boxes stand off the ink; from 25 it is trained on them, too."""
    map: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """NAME=CLASS: what a name in --labelled stands for, before what is known of names; CLASS may be `ignore`.
    Repeatable."""
    labelled_share: float = 0.5
    """Share of what is shown that labelled pages are, where they are trained on."""
    mixed_share: float = field(default=0.0, metadata={"earlier": 0.0})
    """Share of what self-training and mean-teacher show that is pages of --source."""
    method: MethodName = "self-training"
    """How to adapt. self-training: the source detector's sure finds are the labels. mean-teacher: so are those of the
    moving average, made anew in each step. continued: as many more steps on pages of --source, the control. statistics:
    the mean and variance of each normalised channel are measured anew, nothing is trained. style: pages of --source that
    look like the target's. composition: pages of --source with sure finds of the target pasted in. adversarial: pages of
    --source, and features by which nobody can tell them from the target's."""
    name: str = "adapted"
    """The model's name in result tables."""
    preset: Literal["small", "smoke"] = "small"
    """Size and recipe; the options below change single values of it."""
    seed: int = 0
    """Seed of the choice of pages, their order and their views."""
    pages: int = 800
    """Pages of the target to learn from at most, drawn from all of its files."""
    kept: float = 0.5
    """Share of the source's weights in the weights that are written, the rest being the adapted ones."""
    frozen_stages: int = 2
    """First stages of the backbone that stay as they are."""
    log_every: int = 10
    """Steps between two lines of metrics.jsonl."""
    checkpoint_every: int = 25
    """Steps between two checkpoints that --resume can go on from."""
    pdf_pixels: int = 2000
    """Longest side in pixels that a page of a PDF counts as."""
    max_megapixels: int = 256
    """Pages that would need more million pixels decoded at once are put into failures.csv."""
    page_timeout: float = 120.0
    """Seconds after which a page counts as never ending and is put into failures.csv; 0 waits for ever."""
    work: WorkConfig = WorkConfig()
    """Where pages are decoded."""
    self_training: SelfTrainingConfig = field(default_factory=SelfTrainingConfig)
    views: ViewConfig = field(default_factory=ViewConfig)
    statistics: StatisticsConfig = field(
        default_factory=StatisticsConfig, metadata={"earlier": {"measured": 24}}
    )
    style: StyleConfig = field(
        default_factory=StyleConfig,
        metadata={"earlier": {"paper_share": 0.5, "fourier_share": 0.5, "fourier_beta": 0.01}},
    )
    composition: CompositionConfig = field(
        default_factory=CompositionConfig, metadata={"earlier": {"pasted": 3}}
    )
    adversarial: AdversarialConfig = field(
        default_factory=AdversarialConfig, metadata={"earlier": {"reversal": 0.1}}
    )
    optimization: OptimizationConfig = field(default_factory=_steps)
    device: DeviceConfig = field(default_factory=DeviceConfig)

    def __post_init__(self) -> None:
        if self.run is not None and self.model is not None:
            raise UserError("--run and --model: give one of them")
        if min(self.log_every, self.checkpoint_every) < 1:
            raise UserError("--log-every and --checkpoint-every must be 1 or more")
        if self.pages < FEWEST_PAGES:
            raise UserError(f"--pages {self.pages}: must be {FEWEST_PAGES} or more")
        parse_map(self.map)
        if self.map and self.labelled is None:
            raise UserError("--map: goes with --labelled")
        if not 0 < self.labelled_share <= 1:
            raise UserError(f"--labelled-share {self.labelled_share}: must lie in (0, 1]")
        self._check_method()
        if not 0 <= self.kept < 1:
            raise UserError(f"--kept {self.kept}: must lie in [0, 1)")
        if not 1 <= self.frozen_stages <= 4:
            raise UserError(f"--frozen-stages {self.frozen_stages}: must lie in [1, 4]")
        if self.page_timeout < 0 or self.pdf_pixels < 64 or self.max_megapixels < 1:
            raise UserError("--page-timeout, --pdf-pixels and --max-megapixels must be at least 0, 64 and 1")

    def _check_method(self) -> None:
        """Refuse what the method does not heed."""
        mixed = self.mixed_share
        if not 0 <= mixed < 1:
            raise UserError(f"--mixed-share {mixed}: must lie in [0, 1)")
        if mixed and self.method not in MIXING:
            raise UserError(f"--mixed-share: goes with --method {' or '.join(MIXING)}")
        if mixed and self.source is None:
            raise UserError("--mixed-share: goes with --source, whose pages it mixes in")
        if self.self_training.agree and self.method not in ("self-training", "composition"):
            raise UserError("--agree: goes with --method self-training or composition")
        if self.self_training.rounds > 1 and self.method != "self-training":
            raise UserError("--rounds: goes with --method self-training")
        if self.self_training.rounds > self.optimization.steps:
            raise UserError(f"--rounds {self.self_training.rounds}: are more than the steps (--steps)")


MIXING: tuple[MethodName, ...] = ("self-training", "mean-teacher")
"""Methods that --mixed-share goes with."""
FEWEST_PAGES = 5
"""Pages that a collection has at least: a fifth of them is kept apart to judge by."""


def small() -> AdaptSettings:
    """The recipe: some 3 minutes of one CPU core for 400 pages."""
    return AdaptSettings()


def smoke() -> AdaptSettings:
    """A few steps on a few pages: seconds on a CPU, for tests and a first look."""
    optimization = OptimizationConfig(
        steps=6, batch_size=2, sizes=(160,), size_jitter=0.0, learning_rate=3e-4, ema_decay=0.5
    )
    return AdaptSettings(
        preset="smoke",
        pages=24,
        log_every=2,
        checkpoint_every=2,
        self_training=SelfTrainingConfig(fewest=1),
        optimization=optimization,
    )


ADAPT_PRESETS: Mapping[str, Callable[[], AdaptSettings]] = {"small": small, "smoke": smoke}
"""Presets of `adapt` by name; the first is the default."""
