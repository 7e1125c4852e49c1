"""Settings of `adapt-study`, and what it changes one at a time. Imports nothing heavy."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import tyro

from doc_detect.classes import parse_map
from doc_detect.settings.adaptation import (
    ADAPT_PRESETS,
    AdaptSettings,
    SelfTrainingConfig,
    ViewConfig,
    small,
    smoke,
)
from doc_detect.settings.training import OptimizationConfig
from seminar_common.device import DeviceConfig
from seminar_common.errors import UserError, choices
from seminar_common.settings import to_dict
from seminar_common.work import WorkConfig

Change = Callable[[AdaptSettings], AdaptSettings]


def _with(**values: Any) -> Change:
    return lambda settings: dataclasses.replace(settings, **values)


def _self_training(**values: Any) -> Change:
    def change(settings: AdaptSettings) -> AdaptSettings:
        learned = dataclasses.replace(settings.self_training, **values)
        return dataclasses.replace(settings, self_training=learned)

    return change


def _optimization(change: Callable[[OptimizationConfig], Mapping[str, Any]]) -> Change:
    def changed(settings: AdaptSettings) -> AdaptSettings:
        old = settings.optimization
        return dataclasses.replace(settings, optimization=dataclasses.replace(old, **change(old)))

    return changed


def _rates(factor: float) -> Change:
    names = ("learning_rate", "backbone_learning_rate")
    return _optimization(lambda old: {name: getattr(old, name) * factor for name in names})


FACTORS: Mapping[str, Change] = {
    "kept-0": _with(kept=0.0),
    "kept-0.25": _with(kept=0.25),
    "steps-x2": _optimization(lambda old: {"steps": old.steps * 2}),
    "rate-half": _rates(0.5),
    "not-painted": _self_training(painted=()),
    "sure-0.4": _self_training(sure=0.4),
    "sure-0.6": _self_training(sure=0.6),
    "frozen-1": _with(frozen_stages=1),
    "fewest-10": _self_training(fewest=10),
    "agree": _self_training(agree=True),
    "mixed-0.5": _with(mixed_share=0.5),
    "unboxed-initials": _self_training(unboxed=("drop_capital",)),
    "unboxed-most": _self_training(unboxed=("graphic", "drop_capital", "table", "caption")),
    "unboxed-all": _self_training(unboxed=("graphic", "drop_capital", "table", "stamp", "caption")),
    "sizes-416-480": _optimization(lambda old: {"sizes": (416, 480)}),
}
"""What --factors changes in the settings of the default method, by the model's name in the table."""
MIXED_FACTORS = ("mixed-0.5",)
"""Those of :data:`FACTORS` that take pages of --source."""
EVERY_FACTOR = "all"
"""In --factors: all of :data:`FACTORS`; without --source, those that go without."""
OWN_NAMES = ("source-only", "oracle")
"""Models of the study beside methods, budgets and factors."""


@dataclass(frozen=True)
class AdaptStudySettings:
    """Measure what adapting to a collection brings, on labelled pages of it that nothing was adapted to.

    Every adaptation is a run of `adapt` below --out. The same command goes on with a study that stopped; with more
    methods, seeds, budgets or factors it adds to the folder.
    """

    target: tuple[Path, ...] = ()
    """What to adapt to, as of `adapt`; boxes in it are not looked at."""
    test: tuple[Path, ...] = ()
    """Labelled pages of the same collection to measure on, of any form that `convert` reads; several from one folder
    are measured together, too."""
    out: Path | None = None
    """Folder of the study: runs/, what each model found, results.json and report.html."""
    model: Path | None = None
    """ONNX file of `export` whose detector to adapt, or `default`, the one that ships, which is also taken without
    either."""
    run: Path | None = None
    """Run whose detector to adapt, in place of --model."""
    source: Path | None = None
    """Labelled pages of the world that the detector was trained on, such as a folder of `synth`; for methods that need
    them, and kept from those that do without."""
    methods: tuple[str, ...] = ("self-training",)
    """Methods of `adapt` to measure beside the detector as it is. Factors are changed in the first."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of every adaptation. A figure is the mean over them."""
    labelled: Path | None = None
    """Pages of the target on which people drew boxes, none of them in --test. They give the margin of every model, the
    oracle, which is trained on all of them, and the pages of --budgets and --selected."""
    map: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """NAME=CLASS: what a name in --test and --labelled stands for, before what is known of names; CLASS may be
    `ignore`. Repeatable."""
    budgets: tuple[int, ...] = ()
    """Adapt with so many labelled pages, drawn at random, one of each book in turn: a model for each number."""
    draws: int = 1
    """How often those pages are drawn with each seed."""
    selected: tuple[int, ...] = ()
    """Adapt with so many labelled pages that `select` ranks first, among the same pages as --budgets: a model for each
    number, compared with as many and with twice as many random ones where --budgets has them."""
    pretrained: tuple[Path, ...] = ()
    """Runs of `pretrain` that began with the same detector. Each is measured as it is, adapted with the first of --methods
    and with the pages of --budgets, and compared with the same from the detector itself; its --name tells it apart."""
    margin_pages: int = 20
    """Pages of --labelled on which each model's margin is fitted, the same for all; that of a budget is fitted on its
    own pages."""
    oracle: bool = True
    """With --labelled, train the oracle: of all models it takes longest. The same command with it adds it later."""
    oracle_steps: int = 300
    """Steps of the oracle."""
    oracle_kept: float = 0.0
    """Share of the source's weights in those of the oracle."""
    swap: bool = False
    """Also adapt to the images of --test and measure on --target, which must then be a labelled file; both together are
    the split `all`. Of the models, the detector as it is and the methods are."""
    factors: tuple[str, ...] = ()
    """Change one thing at a time in the first method, with the first --factor-seeds seeds: kept-0, kept-0.25, steps-x2,
    rate-half, not-painted, sure-0.4, sure-0.6, frozen-1, fewest-10, agree, mixed-0.5, unboxed-initials,
    unboxed-most (not stamps), unboxed-all, sizes-416-480, or all."""
    factor_seeds: int = 1
    """With how many of the seeds factors are measured."""
    resamples: int = 1000
    """Bootstrap resamples (over books, or over pages where no book is known) behind each 95% interval."""
    preset: Literal["small", "smoke"] = "small"
    """Size and recipe of every adaptation; the options below change single values of it."""
    pages: int = 800
    """Pages of the target to learn from at most."""
    kept: float = 0.5
    """Share of the source's weights in the weights that are written, the rest being the adapted ones."""
    frozen_stages: int = 2
    """First stages of the backbone that stay as they are."""
    page_timeout: float = 120.0
    """Seconds after which a page counts as never ending and is left out; 0 waits for ever."""
    work: WorkConfig = WorkConfig()
    """Where pages are decoded."""
    self_training: SelfTrainingConfig = field(default_factory=SelfTrainingConfig)
    views: ViewConfig = field(default_factory=ViewConfig)
    optimization: OptimizationConfig = field(default_factory=lambda: small().optimization)
    device: DeviceConfig = field(default_factory=DeviceConfig)

    def __post_init__(self) -> None:
        parse_map(self.map)
        if self.run is not None and self.model is not None:
            raise UserError("--run and --model: give one of them")
        self._check_models()
        self._check_factors()
        if self.resamples < 100:
            raise UserError(f"--resamples {self.resamples}: an interval needs 100 or more")
        if min(self.margin_pages, self.draws, self.oracle_steps, self.factor_seeds) < 1:
            raise UserError(
                "--margin-pages, --draws, --oracle-steps and --factor-seeds: must each be 1 or more"
            )
        if not 0 <= self.oracle_kept < 1:
            raise UserError(f"--oracle-kept {self.oracle_kept}: must lie in [0, 1)")
        if self.swap and max(len(self.target), len(self.test)) > 1:
            raise UserError("--swap: goes with one --target and one --test, both labelled files")
        self.recipe()  # refuses what adapt refuses

    def _check_models(self) -> None:
        known = get_args(get_type_hints(AdaptSettings)["method"])
        for name in self.methods:
            if name not in known:
                raise UserError(f"--methods {name}: no such method; choose {choices(known)}")
        if not self.methods or not self.seeds:
            raise UserError("--methods and --seeds: give at least one of each")
        for option in ("methods", "seeds", "budgets", "selected"):
            given = getattr(self, option)
            if len(set(given)) < len(given):
                raise UserError(f"--{option}: one of them is there twice")
        for option, budgets in (("budgets", self.budgets), ("selected", self.selected)):
            if budgets and self.labelled is None:
                raise UserError(f"--{option}: goes with --labelled, whose pages are taken")
            if any(budget < FEWEST_LABELLED for budget in budgets):
                raise UserError(f"--{option}: {FEWEST_LABELLED} labelled pages or more teach something")

    def _check_factors(self) -> None:
        for name in self.factors:
            if name not in (*FACTORS, EVERY_FACTOR):
                raise UserError(
                    f"--factors {name}: no such factor; choose {choices([*FACTORS, EVERY_FACTOR])}"
                )
            if name in MIXED_FACTORS and self.source is None:
                raise UserError(f"--factors {name}: goes with --source, whose pages it mixes in")

    def recipe(self) -> AdaptSettings:
        """Return the settings that all adaptations have, without what each has of its own.

        Raises:
            UserError: `adapt` takes no such settings.
        """
        base = ADAPT_PRESETS[self.preset]()
        return dataclasses.replace(base, **{name: getattr(self, name) for name in SHARED})

    def chosen_factors(self) -> tuple[str, ...]:
        """Return the names in :data:`FACTORS` that are measured."""
        every = [name for name in FACTORS if self.source is not None or name not in MIXED_FACTORS]
        return tuple(every) if EVERY_FACTOR in self.factors else tuple(dict.fromkeys(self.factors))


FEWEST_LABELLED = 5
"""Labelled pages of a budget at least: fewer give no margin."""
SHARED = (
    "preset",
    "pages",
    "kept",
    "frozen_stages",
    "page_timeout",
    "work",
    "self_training",
    "views",
    "optimization",
    "device",
)
"""Settings that mean in a study what they mean in `adapt`."""


def changed_text(before: AdaptSettings, after: AdaptSettings) -> str:
    """Return what differs between two settings, e.g. ``kept=0.0``."""
    old, new = (_flat(to_dict(each)) for each in (before, after))
    return ", ".join(f"{name}={value}" for name, value in new.items() if value != old[name])


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value) if isinstance(value, Mapping) else {name: value}
    return flat


def _small() -> AdaptStudySettings:
    """The recipe of `adapt`: some 3 minutes of one CPU core an adaptation, and 6 the oracle."""
    return AdaptStudySettings()


def _smoke() -> AdaptStudySettings:
    """A few steps on a few pages, for tests and a first look."""
    shared: dict[str, Any] = {name: getattr(smoke(), name) for name in SHARED}
    return AdaptStudySettings(**shared, oracle_steps=6, resamples=100)


ADAPT_STUDY_PRESETS: Mapping[str, Callable[[], AdaptStudySettings]] = {"small": _small, "smoke": _smoke}
"""Presets of `adapt-study` by name; the first is the default."""
