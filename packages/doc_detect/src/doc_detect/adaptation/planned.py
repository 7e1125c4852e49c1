"""The adaptations that a study is made of: which models, with which settings, on what."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from doc_detect.adaptation.base import method_class
from doc_detect.adaptation.labelled import WEIGHTS_FROM
from doc_detect.coco import CocoSet
from doc_detect.figures.label_curve import LABELS
from doc_detect.figures.paired import ORACLE, SOURCE
from doc_detect.settings.adapt_study import FACTORS, MIXED_FACTORS, AdaptStudySettings, changed_text
from doc_detect.settings.adaptation import AdaptSettings
from seminar_common.errors import UserError

SWAPPED = "swapped"
"""Name of the fold that adapts to the pages to measure on, and is measured on those to adapt to."""

DRAWN, SELECTED = "labelled-", "selected-"
"""How the names of models begin whose labelled pages were drawn at random, or chosen by `select`."""
PRETRAINED = "pretrained"
"""Fact of a row: by which run of `pretrain` its model begins."""


@dataclass(frozen=True)
class Fold:
    """What is adapted to, and what is measured on."""

    name: str
    """Empty for what the user asked, :data:`SWAPPED` for the other way round."""
    target: tuple[Path, ...]
    sets: tuple[CocoSet, ...]
    """Labelled pages to measure on."""
    labelled: CocoSet | None
    """Labelled pages of the target, from which come margins, budgets and the oracle."""
    margin: CocoSet | None
    """Those of them that the margins are fitted on."""


@dataclass(frozen=True)
class Planned:
    """An adaptation: a model and a seed."""

    model: str
    """The model's name in result tables."""
    seed: int
    draw: int | None
    """Number of the draw of labelled pages; None where none are drawn."""
    fold: Fold
    settings: AdaptSettings
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else tells the model from others, in result tables."""
    ablation: str | None = None
    """What is changed in the default."""
    baselines: tuple[str, ...] = (SOURCE,)
    """Models that it is compared with."""

    @property
    def key(self) -> tuple[int, int | None]:
        """What tells it from the model's other adaptations to the same pages."""
        return self.seed, self.draw

    @property
    def folder(self) -> str:
        """The name of its run folder."""
        return _folder(self.model, self.seed, self.draw, self.fold)


def _folder(model: str, seed: int, draw: int | None, fold: Fold) -> str:
    of_draw = f"-draw{draw}" if draw else ""
    return f"{model}-seed{seed}{of_draw}" + (f"-{fold.name}" if fold.name else "")


def planned(
    settings: AdaptStudySettings,
    folds: list[Fold],
    start: Mapping[str, Any],
    pretrained: Mapping[str, Path] | None = None,
) -> list[Planned]:
    """Return all adaptations of a study, seed after seed.

    Args:
        settings: Of the study.
        folds: First the one that the user asked for.
        start: Of :class:`AdaptSettings`: which detector is adapted.
        pretrained: By name, the runs of `pretrain` that are adapted, too.
    """
    recipe = dataclasses.replace(settings.recipe(), **start)
    found = []
    for place, seed in enumerate(settings.seeds):
        for fold in folds:
            found += [_method(name, seed, fold, settings, recipe) for name in settings.methods]
        main = folds[0]
        if settings.oracle and has_oracle(main):
            found.append(_oracle(seed, main, settings, recipe))
        drawn = [
            _budget(budget, seed, draw, main, settings, recipe)
            for budget in settings.budgets
            for draw in range(settings.draws)
        ]
        found += drawn
        for name, run in (pretrained or {}).items():
            without = [_method(settings.methods[0], seed, main, settings, recipe), *drawn]
            found += [_after(name, run, one, settings) for one in without]
        found += [_selected(budget, seed, main, settings, recipe) for budget in settings.selected]
        if place < settings.factor_seeds:
            found += [_factor(name, seed, main, settings, recipe) for name in settings.chosen_factors()]
    return found


def has_oracle(fold: Fold) -> bool:
    """Say whether there are enough labelled pages to train an oracle on."""
    return fold.labelled is not None and len(fold.labelled.pages) >= WEIGHTS_FROM


def refuse_without_source(settings: AdaptStudySettings) -> None:
    """Raise a UserError if a method needs --source, and there is none."""
    for name in settings.methods:
        if settings.source is None and method_class(name).needs_source:
            raise UserError(
                f"--source is missing: {name} learns from labelled pages of the world that the detector is from; "
                f"give them, or leave {name} out of --methods"
            )


def _method(name: str, seed: int, fold: Fold, settings: AdaptStudySettings, recipe: AdaptSettings) -> Planned:
    source = settings.source if method_class(name).needs_source else None
    return _planned(name, seed, fold, settings, dataclasses.replace(recipe, method=name, source=source))


def _oracle(seed: int, fold: Fold, settings: AdaptStudySettings, recipe: AdaptSettings) -> Planned:
    """Return the training on all labelled pages of the target and nothing else."""
    assert fold.labelled is not None
    steps = dataclasses.replace(recipe.optimization, steps=settings.oracle_steps)
    chosen = dataclasses.replace(
        recipe,
        labelled=settings.labelled,
        labelled_share=1.0,
        map=settings.map,
        optimization=steps,
        kept=settings.oracle_kept,
    )
    facts = {LABELS: len(fold.labelled.pages)}
    return _planned(ORACLE, seed, fold, settings, chosen, facts=facts)


def _budget(
    budget: int, seed: int, draw: int, fold: Fold, settings: AdaptStudySettings, recipe: AdaptSettings
) -> Planned:
    """Return the adaptation with a few labelled pages, drawn at random."""
    name = f"{DRAWN}{budget}"
    assert settings.out is not None
    file = settings.out / "labelled" / f"{_folder(name, seed, draw, fold)}.json"
    chosen = dataclasses.replace(recipe, labelled=file)
    return _planned(name, seed, fold, settings, chosen, draw=draw, facts={LABELS: budget})


def _selected(
    budget: int, seed: int, fold: Fold, settings: AdaptStudySettings, recipe: AdaptSettings
) -> Planned:
    """Return the adaptation with the pages that `select` ranks first: the same pages with each seed."""
    name = f"{SELECTED}{budget}"
    assert settings.out is not None
    chosen = dataclasses.replace(recipe, labelled=settings.out / "labelled" / f"{name}.json")
    random = (f"{DRAWN}{budget}", f"{DRAWN}{2 * budget}")
    return _planned(name, seed, fold, settings, chosen, facts={LABELS: budget}, baselines=(SOURCE, *random))


def _after(name: str, run: Path, one: Planned, settings: AdaptStudySettings) -> Planned:
    """Return an adaptation with another start: a run of `pretrain` in place of the detector itself."""
    chosen = dataclasses.replace(one.settings, run=run, model=None)
    facts, both = {**one.facts, PRETRAINED: name}, (SOURCE, one.model)
    model = f"{name}+{one.model}"
    return _planned(model, one.seed, one.fold, settings, chosen, draw=one.draw, facts=facts, baselines=both)


def _factor(name: str, seed: int, fold: Fold, settings: AdaptStudySettings, recipe: AdaptSettings) -> Planned:
    default = _method(settings.methods[0], seed, fold, settings, recipe)
    before = default.settings
    if name in MIXED_FACTORS:
        before = dataclasses.replace(before, source=settings.source)
    chosen = FACTORS[name](before)
    changed = changed_text(before, chosen)
    both = (SOURCE, settings.methods[0])
    return _planned(name, seed, fold, settings, chosen, ablation=changed, baselines=both)


def _planned(
    model: str,
    seed: int,
    fold: Fold,
    settings: AdaptStudySettings,
    chosen: AdaptSettings,
    draw: int | None = None,
    **more: Any,
) -> Planned:
    assert settings.out is not None
    out = settings.out / "runs" / _folder(model, seed, draw, fold)
    chosen = dataclasses.replace(chosen, target=fold.target, out=out, name=model, seed=seed)
    return Planned(model, seed, draw, fold, chosen, **more)


def models_of(plan: list[Planned]) -> Iterator[tuple[str, list[Planned]]]:
    """Yield each model with its adaptations, in the order of its first."""
    for name in dict.fromkeys(one.model for one in plan):
        yield name, [one for one in plan if one.model == name]
