"""The questions of this topic, and how rows of its studies answer them."""

from collections.abc import Sequence
from pathlib import Path

from seminar_common.reporting.answers import (
    all_rows,
    compared,
    figure,
    first,
    listed,
    names,
    number_of,
    overlap,
    tally,
    value,
    where,
)
from seminar_common.reporting.stories import Answer, Drawing, Question, Story
from seminar_common.results import Results, Row
from seminar_common.tables import is_paired, verdict

SPLITS = ("transductive", "test")
"""Unlabelled images that the methods learned from, and images that none has seen."""
ESTIMATE = "k by hidden-classes"
BESIDE = ("ward", "simgcd-ward", "kmeans", "simgcd", "bacon")
"""Methods that the short tables show beside ours."""


def _study(runs: Sequence[Results]) -> list[Row]:
    """Return the rows of the first study that compares methods with the lead of ours, of its first number of classes."""
    rows = next((list(run.rows) for run in runs if where(run.rows, metric="macro_all_gain")), [])
    return where(rows, k=rows[0].get("k")) if rows else []


def _split(rows: Sequence[Row]) -> str:
    found = names(rows, "split")
    return next((split for split in SPLITS if split in found), "")


def _largest(rows: Sequence[Row]) -> str:
    """Return the data set with most images."""
    return max(names(rows), key=lambda name: max(row.n or 0 for row in where(rows, dataset=name)))


def _lead(runs: Sequence[Results], part: str) -> tuple[list[Row], str, list[str]] | None:
    """Return the leads of our method on the first split, a sentence that counts them, and one a split and set."""
    rows = _study(runs)
    leads = where(rows, metric=f"macro_{part}_gain")
    if not leads:
        return None
    here = where(leads, split=_split(leads))
    what = {"all": "all classes", "novel": "novel classes"}[part]
    ours, images = here[0].model, {"test": "of new images"}.get(here[0].split, "of unlabelled images")
    tones = [verdict(row)["tone"] for row in here]
    sentence = (
        f"Over {what} {images} {ours} is surely ahead of the best other method on {tones.count('better')} of "
        f"{number_of(len(here), 'data set')}, surely behind on {tones.count('worse')}, and not told apart on {tones.count('level')}"
    )
    each = [
        f"{row.dataset}, {row.split}: {figure(row)} over {row.get('over')}, "
        f"{'not told apart' if verdict(row)['tone'] == 'level' else verdict(row)['tone']}."
        for row in leads
    ]
    return here, sentence, each


def _methods(runs: Sequence[Results]) -> Answer | None:
    found = _lead(runs, "all")
    if found is None:
        return None
    here, sentence, each = found
    rows, ours = _study(runs), here[0].model
    largest = _largest(here)
    most = max(here, key=lambda row: row.value)
    shown = where(rows, dataset=largest, split=here[0].split, model=(ours, *BESIDE))
    metrics = ("macro_all", "macro_known", "macro_novel", "macro_novel_few")
    return Answer(
        f"{sentence}; the largest lead is {figure(most)} over {most.get('over')} on {most.dataset}.",
        tuple(each),
        tuple(where(shown, metric=metrics, over=None)),
        metrics,
        f"Methods on {largest} with the true number of classes.",
        _bars(where(rows, dataset=largest, split=here[0].split, metric="macro_all", over=None), largest),
    )


def _bars(rows: Sequence[Row], dataset: str) -> Drawing:
    ordered = sorted(rows, key=lambda row: -row.value)

    def draw():
        from seminar_common import plots
        from seminar_common.display import metric_named

        metric = metric_named("macro_all")
        return plots.bars(ordered, metric.axis, metric.scale)

    caption = f"Macro accuracy over all classes of {dataset}, by method. Lines: 95% intervals."
    return Drawing(caption, draw)


def _novel(runs: Sequence[Results]) -> Answer | None:
    found = _lead(runs, "novel")
    if found is None:
        return None
    here, sentence, each = found
    rows = where(_study(runs), split=here[0].split, over=None, metric=("macro_novel", "macro_novel_few"))
    shown = where(rows, model=(here[0].model, "ward", "kmeans"))
    return Answer(
        f"{sentence}.",
        tuple(each),
        tuple(shown),
        ("macro_novel", "macro_novel_few"),
        "Novel classes, and the rarest third of them, with the true number of classes.",
    )


def _number(runs: Sequence[Results]) -> Answer | None:
    rows = all_rows(runs)
    assumed = [row.dataset for row in where(rows, metric="k_assumed", model=ESTIMATE) if row.value > 0]
    errors = [r for r in where(rows, metric="k_absolute_error", model=ESTIMATE) if r.dataset not in assumed]
    if not errors:
        return None
    best, worst = (choose(errors, key=lambda row: row.value) for choose in (min, max))
    ahead = [row for row in errors if row.value <= min(r.value for r in _estimates(rows, row.dataset))]
    sentence = f"The estimated number of classes is off by {value(best)} ({best.dataset})"
    if len(errors) > 1:
        sentence += f" to {value(worst)} ({worst.dataset})"
    sentence += (
        f" on average over splits; of {number_of(len(errors), 'set')} no other estimate has a smaller mean error on "
        f"{len(ahead)}."
    )
    held = where(rows, metric="k_covered", model=ESTIMATE)
    more = [
        f"Its interval holds the true number on {value(row)} of the splits of {row.dataset}."
        for row in held
        if row.value < 1
    ]
    if assumed:
        more.append(
            f"On splits of {listed(assumed)} nothing could be measured and a number was assumed: left out above."
        )
    chosen = sorted(errors, key=lambda row: -row.value)
    sets = tuple(dict.fromkeys(row.dataset for row in (*chosen[:2], *chosen[-1:])))
    metrics = ("k_estimated", "k_absolute_error", "k_worst_error", "k_covered")
    return Answer(
        sentence,
        tuple(more),
        tuple(where(rows, dataset=sets, metric=metrics)),
        metrics,
        "Estimates of the number of classes: the two hardest sets and the easiest.",
    )


def _estimates(rows: Sequence[Row], dataset: str) -> list[Row]:
    return where(rows, metric="k_absolute_error", dataset=dataset)


def _decisions(runs: Sequence[Results]) -> Answer | None:
    rows = next((list(run.rows) for run in runs if where(run.rows, metric="named_macro_all")), [])
    rows = where(rows, split=_split(rows))
    named = where(rows, metric="named_macro_all")
    if not named:
        return None
    steps = sorted(names(named, "decisions"))
    start = first(named, decisions=0)
    decided = [row for row in named if str(row.model).endswith("decisions")]
    if start is None or not decided:
        return None
    told = [
        f"{figure(row)} after {row.get('decisions')}"
        for row in sorted(decided, key=lambda r: r.get("decisions"))
    ]
    paired = [row for row in rows if is_paired(row) and row.metric == "named_macro_all_difference"]
    last = where(paired, decisions=steps[-1])
    more = [
        f"{steps[-1]} decisions are {compared(row)} than as many of {row.baseline}."
        if verdict(row)["tone"] in ("better", "worse")
        else f"{steps[-1]} decisions are {compared(row)} from as many of {row.baseline}."
        for row in last
    ]
    model = decided[0].model
    shown = [row for row in named if row.model in (start.model, model) or row.get("decisions") == steps[-1]]
    return Answer(
        f"Named accuracy rises from {figure(start)} without a decision to {listed(told)}.",
        (*more, f"Of {len(paired)} paired differences to other ways to spend decisions, {tally(paired)}."),
        (*shown, *paired),
        ("named_macro_all", "named_macro_all_difference"),
        f"What decisions are worth on {start.dataset}: classes without a name count as wrong.",
    )


def _parts(runs: Sequence[Results]) -> Answer | None:
    """Compare the method with itself less one part each; the rows of an ablation are not paired."""
    for run in runs:
        rows = where(run.rows, metric="macro_all", split=_split(run.rows), decisions=None)
        whole = [row for row in rows if "," not in row.model]
        without = [row for row in rows if any(row.model.startswith(f"{one.model}, ") for one in whole)]
        if not whole or not without:
            continue
        told, apart = [], 0
        for row in without:
            one = first(whole, dataset=row.dataset)
            if one is not None and overlap(one, row) is False:
                apart += 1
                told.append(f"{row.model} {figure(row)} against {figure(one)} on {row.dataset}")
        sentence = (
            f"Of {len(without)} comparisons with the whole method, macro accuracy over all classes has intervals apart "
            f"in {apart}{': ' + listed(told) if told else ''}."
        )
        shown = where(run.rows, split=_split(run.rows), metric=("macro_all", "macro_known", "macro_novel"))
        return Answer(
            sentence,
            (
                *_mean_changes(whole, without),
                "These figures are not paired, so small changes cannot be told.",
            ),
            tuple(shown),
            ("macro_all", "macro_known", "macro_novel"),
            "The method, and the same without one part each.",
        )
    return None


def _mean_changes(whole: Sequence[Row], without: Sequence[Row]) -> list[str]:
    """Return for each part how the mean over the data sets changes without it."""
    found = []
    for name in names(without, "model"):
        changes = [
            row.value - one.value
            for row in where(without, model=name)
            if (one := first(whole, dataset=row.dataset)) is not None
        ]
        points = 100 * sum(changes) / len(changes)
        text = f"{points:+.1f}".replace("-", "\u2212")
        found.append(
            f"{name}: {text} points of macro accuracy over all classes, the mean of {len(changes)} sets."
        )
    return found


def _rare(runs: Sequence[Results]) -> Answer | None:
    rows = _study(runs)
    leads = where(rows, metric="macro_all_gain")
    if not leads:
        return None
    ours, split = leads[0].model, _split(leads)
    here = where(rows, model=ours, split=split, over=None)
    rare = where(here, metric="macro_novel_few")
    told = []
    for row in rare:
        known = first(here, metric="macro_known_many", dataset=row.dataset)
        beside = f", {figure(known)} of the largest known ones" if known is not None else ""
        told.append(f"{figure(row)} on {row.dataset}{beside}")
    metrics = ("macro_known_many", "macro_known_few", "macro_novel_many", "macro_novel_few")
    return Answer(
        f"Of the rarest third of novel classes {ours} gets right {'; '.join(told)}.",
        (
            "A class of a handful of images is joined to a larger one next to it, or split off with strangers.",
        ),
        tuple(where(here, metric=metrics)),
        metrics,
        f"Classes by size, {ours}, true number of classes.",
    )


STORY = Story(
    "gcd-longtail",
    (
        Question("Which method groups best?", _methods),
        Question("Are novel classes found?", _novel),
        Question("Is the number of classes found?", _number),
        Question("What is naming worth?", _decisions),
        Question("What does each part give?", _parts, "Ablations"),
        Question("What becomes of the tail?", _rare, "Failure cases"),
    ),
    Path(__file__).parent / "story.md",
)
