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
        sizes=(416, 480),
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
    fewest: int = 10
    """Sure finds that a class needs to be learned; one that has fewer is left as it is."""

    def __post_init__(self) -> None:
        if not 0 < self.doubt <= self.sure < 1:
            raise UserError("--doubt and --sure: must be shares with 0 < --doubt <= --sure < 1")
        for label in self.painted:
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
    a detector that forgets them is worse."""
    labelled: Path | None = None
    """Pages of the collection on which people drew boxes, of any form that `convert` reads. From 5 pages the detector
    learns by how much their boxes stand off the ink; from 25 it is trained on them, too."""
    map: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """NAME=CLASS: what a name in --labelled stands for, before what is known of names; CLASS may be `ignore`.
    Repeatable."""
    labelled_share: float = 0.5
    """Share of what is shown that labelled pages are, where they are trained on."""
    method: Literal["self-training"] = "self-training"
    """How to adapt. self-training: the source detector's sure finds are the labels."""
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
        if not 0 <= self.kept < 1:
            raise UserError(f"--kept {self.kept}: must lie in [0, 1)")
        if not 1 <= self.frozen_stages <= 4:
            raise UserError(f"--frozen-stages {self.frozen_stages}: must lie in [1, 4]")
        if self.page_timeout < 0 or self.pdf_pixels < 64 or self.max_megapixels < 1:
            raise UserError("--page-timeout, --pdf-pixels and --max-megapixels must be at least 0, 64 and 1")


FEWEST_PAGES = 5
"""Pages that a collection has at least: a fifth of them is kept apart to judge by."""


def small() -> AdaptSettings:
    """The recipe: some 2 minutes of one CPU core for 400 pages."""
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
