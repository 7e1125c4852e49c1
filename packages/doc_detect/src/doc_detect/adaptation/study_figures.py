"""The figures of a study: what its adaptations found on labelled pages, model by model, as rows of the result table."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from doc_detect.adaptation.criterion import KEPT
from doc_detect.adaptation.labelled import WEIGHTS_FROM
from doc_detect.adaptation.planned import (
    DRAWN,
    PRETRAINED,
    SELECTED,
    Fold,
    Planned,
    has_oracle,
    models_of,
)
from doc_detect.coco import CocoPage
from doc_detect.detectors.scoring import Scoring
from doc_detect.figures.findings import BOXES, as_drawn, shared_labels
from doc_detect.figures.kept import ALL, dataset_name, groups, split_name
from doc_detect.figures.label_curve import label_curve, pretrained_curve
from doc_detect.figures.measured import interval_notes
from doc_detect.figures.paired import SINGLE_PAGE, SOURCE, Candidate, Paired
from doc_detect.settings.adapt_study import AdaptStudySettings
from seminar_common.progress import say
from seminar_common.results import Row

GIVEN = (
    "A model is what a user gets: the source where the adapted detector was refused. Lines with a verdict are of the "
    "adapted detector, refused or not, and so is the oracle."
)


@dataclass(frozen=True)
class Seen:
    """What a detector finds on the labelled pages of a fold."""

    pages: tuple[Sequence[CocoPage], ...]
    """Of each set."""
    scoring: Scoring
    """With the margin that its boxes are widened by."""

    def boxes(self, index: int, drawn: bool) -> Sequence[CocoPage]:
        """Return what was found on a set, as ink or as people draw boxes."""
        return as_drawn(self.pages[index], self.scoring) if drawn else self.pages[index]


@dataclass(frozen=True)
class Outcome:
    """An adaptation that has ended."""

    plan: Planned
    facts: Mapping[str, Any]
    """Its ``adaptation.json``."""
    seen: Seen
    """What the detector finds that a user gets; of the oracle, the one that was trained."""
    trained: Seen
    """What the adapted detector finds, also where it was refused."""
    code: str
    """Digest of the code that made it."""


class StudyFigures:
    """All rows of a study."""

    def __init__(
        self,
        settings: AdaptStudySettings,
        labels: tuple[str, ...],
        folds: Sequence[Fold],
        source: Sequence[Seen],
        outcomes: Sequence[Outcome],
        pretrained: Mapping[str, Seen] | None = None,
    ):
        """Measure them.

        Args:
            settings: Of the study.
            labels: Classes of the detector.
            folds: First the one that the user asked for.
            source: What the detector finds before anything is adapted, on each fold.
            outcomes: Of all adaptations.
            pretrained: By name, what runs of `pretrain` find on the first fold as they are.
        """
        self.settings, self.labels = settings, labels
        self.folds, self.source, self.outcomes = folds, source, outcomes
        self.pretrained = pretrained or {}
        self.kinds = (False, True) if any(source[0].scoring.margin.values()) else (False,)
        self.rows: list[Row] = []
        self.notes: list[str] = []
        self.plots: list[tuple[str, str, Any]] = []
        for name, split, members in _groups(folds):
            for drawn in self.kinds:
                self._measure(Row("", name, split, "ap", 0.0, engine="onnxruntime"), members, drawn)

    def _measure(self, row: Row, members: Sequence[tuple[int, int]], drawn: bool) -> None:
        """Add the figures of all models on the sets ``members``, (fold, set), with one kind of boxes."""
        if len(self.kinds) > 1:
            row = dataclasses.replace(row, facts={BOXES: "drawn" if drawn else "ink"})
        sets = [self.folds[fold].sets[index] for fold, index in members]
        truth = [page for pages in sets for page in pages.pages]
        labels = shared_labels(self.labels, sets, truth)
        say(
            f"measuring on {row.dataset}, {row.split}{', boxes ' + str(row.facts[BOXES]) if row.facts else ''}"
        )
        paired = Paired(truth, self._candidates(row, members, drawn), labels, self.settings.resamples)
        rows = paired.rows()
        if drawn == self.kinds[-1]:
            rows += paired.influence_rows()
            if drawn:
                gaps, unsure = paired.gap_rows()
                rows += gaps
                self.notes += [f"{row.dataset}, {row.split}: {note}" for note in unsure]
            if len({fold for fold, _ in members}) == 1:
                rows += self._verdicts(row, truth, members, labels, drawn)
            self._plot(row, rows)
        self.rows += rows

    def all_notes(self) -> tuple[str, ...]:
        """Return what a reader must know of the figures."""
        notes = [*interval_notes(self.rows), *self.notes, SINGLE_PAGE]
        main = self.folds[0]
        if self.settings.oracle and main.labelled is not None and not has_oracle(main):
            notes.append(
                f"No oracle: it needs {WEIGHTS_FROM} labelled pages with an object, and --labelled has fewer."
            )
        refused = [outcome for outcome in self.outcomes if outcome.facts["verdict"] in KEPT]
        notes += [GIVEN] if refused else []
        notes += [f"{o.plan.folder}: {o.facts['verdict']}: {o.facts['reason']}." for o in refused]
        if len({outcome.code for outcome in self.outcomes}) > 1:
            notes.append("The adaptations were not all made by the same version of the code.")
        return tuple(notes)

    def _candidates(self, row: Row, members: Sequence[tuple[int, int]], drawn: bool) -> list[Candidate]:
        """Return what each model found that there is in all folds of ``members``."""
        wanted = {self.folds[fold].name for fold, _ in members}
        found = [
            Candidate(_named(row, SOURCE), {None: _joined(dict(enumerate(self.source)), members, drawn)})
        ]
        if {fold for fold, _ in members} == {0}:
            found += [
                Candidate(_named(row, name, {PRETRAINED: name}), {None: _joined({0: seen}, members, drawn)})
                for name, seen in self.pretrained.items()
            ]
        for name, plans in models_of([outcome.plan for outcome in self.outcomes]):
            if not wanted <= {plan.fold.name for plan in plans}:
                continue
            own = [outcome for outcome in self.outcomes if outcome.plan.model == name]
            pages = {}
            for key in dict.fromkeys(plan.key for plan in plans):
                seen = {self._fold(o.plan): o.seen for o in own if o.plan.key == key}
                pages[key] = _joined(seen, members, drawn)
            of = dataclasses.replace(
                _named(row, name, plans[0].facts),
                seeds=tuple(dict.fromkeys(plan.seed for plan in plans)),
                ablation=plans[0].ablation,
            )
            found.append(Candidate(of, pages, plans[0].baselines))
        return found

    def _fold(self, plan: Planned) -> int:
        return [fold.name for fold in self.folds].index(plan.fold.name)

    def _verdicts(
        self,
        row: Row,
        truth: Sequence[CocoPage],
        members: Sequence[tuple[int, int]],
        labels: Sequence[str],
        drawn: bool,
    ) -> list[Row]:
        """Return what each adaptation said of itself beside what labels say of it, refused or not."""
        fold = members[0][0]
        own = [outcome for outcome in self.outcomes if self._fold(outcome.plan) == fold]
        source = Candidate(_named(row, SOURCE), {None: _joined({fold: self.source[fold]}, members, drawn)})
        each = [
            Candidate(_named(row, o.plan.folder), {None: _joined({fold: o.trained}, members, drawn)})
            for o in own
        ]
        paired = Paired(truth, [source, *each], labels, self.settings.resamples, whole=True)
        rows = []
        for outcome in own:
            plan, facts = outcome.plan, dict(row.facts) | dict(outcome.plan.facts)
            facts |= {"verdict": str(outcome.facts["verdict"])} | ({"draw": plan.draw} if plan.draw else {})
            line = dataclasses.replace(
                row,
                model=plan.model,
                seeds=(plan.seed,),
                ablation=plan.ablation,
                facts=facts,
                n=len(truth),
                subset=paired.parts[0].name if paired.parts else None,
            )
            rows += paired.changes(plan.folder, line)
            rows += _told(line, outcome.facts)
        return rows

    def _plot(self, row: Row, rows: Sequence[Row]) -> None:
        """Add the curves of precision against labelled pages, and of what pretraining changes, where there are some."""
        boxes = f", boxes {row.facts[BOXES]}" if row.facts else ""
        where = f"{row.dataset}, {row.split}{boxes}. Bars: 95% intervals."
        shown = [r for r in rows if "verdict" not in r.facts]
        usual = [r for r in shown if PRETRAINED not in r.facts]
        if any(r.model.startswith((DRAWN, SELECTED)) and r.metric == "ap50" for r in usual):
            figure = label_curve(usual, (SOURCE, self.settings.methods[0]), SELECTED)
            self.plots.append((row.dataset, f"Precision against labelled pages, {where}", figure))
        changed = [r for r in shown if PRETRAINED in r.facts and r.baseline not in (None, SOURCE)]
        if changed:
            caption = f"What pretraining changes in AP50, against the same without it, {where}"
            self.plots.append((row.dataset, caption, pretrained_curve(changed, PRETRAINED)))


def _named(row: Row, model: str, facts: Mapping[str, Any] | None = None) -> Row:
    return dataclasses.replace(row, model=model, facts={**row.facts, **(facts or {})})


def _joined(seen: Mapping[int, Seen], members: Sequence[tuple[int, int]], drawn: bool) -> list[CocoPage]:
    return [page for fold, index in members for page in seen[fold].boxes(index, drawn)]


def _groups(folds: Sequence[Fold]) -> list[tuple[str, str, list[tuple[int, int]]]]:
    """Return name, split and members (fold, set) of all that is measured together."""
    found = [(name, split, [(0, i) for i in members]) for name, split, members in groups(folds[0].sets)]
    if len(folds) > 1:
        name, split, (there,) = found[0]
        (pages,) = folds[1].sets
        other = split_name(pages)
        if (dataset_name(pages), other) == (name, split):
            other = pages.path.stem
        found += [(dataset_name(pages), other, [(1, 0)]), (name, ALL, [there, (1, 0)])]
    return found


def _told(row: Row, facts: Mapping[str, Any]) -> list[Row]:
    """Return what an adaptation wrote of itself: agreement, what was learned from, sure finds, time."""
    judged = facts["judged"]
    rows = [dataclasses.replace(row, metric="adapt_cpu_min", value=facts["cpu_s"] / 60, unit="min")]
    if judged["interval"] is not None:
        low, high = judged["interval"]
        lead = judged["adapted"] - judged["source"]
        rows.append(dataclasses.replace(row, metric="agreement_lead", value=lead, ci_low=low, ci_high=high))
    for label, counts in facts["learned"].items():
        of = dataclasses.replace(row, label=label)
        if "sure" in counts:
            rows.append(dataclasses.replace(of, metric="pseudo_labels", value=float(counts["sure"])))
        if label in judged["finds"]:
            before, after = judged["finds"][label]
            rows.append(dataclasses.replace(of, metric="sure_finds", value=float(after)))
            rows.append(dataclasses.replace(of, metric="sure_finds_before", value=float(before)))
    return [each for each in rows if math.isfinite(each.value)]
