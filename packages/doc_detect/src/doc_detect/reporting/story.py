"""The questions of this topic, and how rows of a study answer them."""

from collections.abc import Sequence
from pathlib import Path

from seminar_common.display import DIFFERENCE
from seminar_common.reporting.answers import (
    figure,
    first,
    listed,
    names,
    overlap,
    tally,
    value,
    where,
)
from seminar_common.reporting.stories import Answer, Drawing, Question, Story
from seminar_common.results import Results, Row
from seminar_common.tables import is_paired

PEERS = ("rapid-layout",)
ORACLE, CONTROL = "oracle", "continued"
WHOLE = ("all", None)
"""Subsets that are all pages."""
CLASSES = {
    "graphic": "illustrations",
    "drop_capital": "initials",
    "stamp": "stamps",
    "table": "tables",
    "caption": "captions",
}
BOXES = ("ap", "ap50", "ap75")


def _boxes(rows: Sequence[Row]) -> str | None:
    """Return the kind of boxes to speak of: as people draw them, where figures of both kinds are there."""
    kinds = names(rows, "boxes")
    return "drawn" if "drawn" in kinds else next(iter(kinds), None)


def _speaking(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of all pages, measured on the one kind of boxes that is spoken of or on none."""
    return [r for r in where(rows, subset=WHOLE) if r.get("boxes") in (None, _boxes(rows))]


def _plain(rows: Sequence[Row]) -> list[Row]:
    """Return the figures, without paired differences, of one data set and split: the test's where there is one."""
    found = [row for row in rows if not is_paired(row)]
    found = where(found, split="test") or found
    return where(found, dataset=found[0].dataset, split=found[0].split) if found else []


def _class(label: str | None) -> str:
    return CLASSES.get(str(label), str(label))


def _pages_found(runs: Sequence[Results]) -> Answer | None:
    """Say how well pages with an illustration are told from others, by the first table that knows it."""
    for run in runs:
        rows = where(_plain(_speaking(run.rows)), label="graphic", metric=("page_ap", "page_f1"))
        ours = [row for row in rows if row.model not in PEERS]
        sorted_, ranked = first(ours, metric="page_f1"), first(ours, metric="page_ap")
        if sorted_ is None or ranked is None:
            continue
        peers = where(rows, metric="page_f1", model=PEERS)
        sentence = (
            f"On {sorted_.n:,} pages of {sorted_.dataset} {sorted_.model} tells those with an illustration from the "
            f"others with an F1 of {figure(sorted_)}"
        )
        sentence += "".join(f", {peer.model} with {figure(peer)}" for peer in peers)
        told = [_apart(sorted_, peer) for peer in peers]
        return Answer(
            f"{sentence}.",
            (
                *filter(None, told),
                f"Ranked by their surest find, such pages come first: page AP {figure(ranked)}.",
            ),
            tuple(where(_plain(_speaking(run.rows)), metric=("page_ap", "page_f1"))),
            ("page_f1", "page_ap"),
            "Pages told from others by what they hold, class by class.",
            _bars(rows, "page_f1", f"Page F1 of illustrations on {sorted_.dataset}."),
        )
    return None


def _apart(one: Row, other: Row) -> str:
    apart = overlap(one, other)
    if apart is None:
        return ""
    return f"The intervals of {one.model} and {other.model} {'overlap' if apart else 'do not overlap'}."


def _bars(rows: Sequence[Row], metric: str, caption: str) -> Drawing:
    chosen = where(rows, metric=metric)

    def draw():
        from seminar_common import plots
        from seminar_common.display import metric_named

        meaning = metric_named(metric)
        return plots.bars(chosen, meaning.axis, meaning.scale)

    return Drawing(f"{caption} Lines: 95% intervals.", draw)


def _boxes_fit(runs: Sequence[Results]) -> Answer | None:
    for run in runs:
        rows = [row for row in _plain(_speaking(run.rows)) if row.metric in BOXES]
        ours = [row for row in where(rows, metric="ap50") if row.model not in PEERS and row.label]
        if not ours:
            continue
        model = ours[0].model
        told = [f"{figure(row)} for {_class(row.label)}" for row in where(ours, model=model)]
        shown = [row for row in rows if row.model in (model, *PEERS)]
        kind = " Truth is the boxes as people draw them." if _boxes(run.rows) == "drawn" else ""
        return Answer(
            f"On {ours[0].dataset} boxes of {model} reach an AP50 of {listed(told)}.",
            (f"AP50 asks for half of the union of two boxes; AP asks for more, up to 95%.{kind}",),
            tuple(shown),
            BOXES,
            f"Boxes of {model}" + "".join(f" and of {m}" for m in names(shown, "model") if m in PEERS) + ".",
        )
    return None


def _differences(runs: Sequence[Results]) -> list[Row]:
    """Return the paired differences to the detector that was adapted, on all pages."""
    for run in runs:
        paired = [row for row in run.rows if is_paired(row) and row.baseline == "source-only"]
        if paired:
            return _speaking(paired)
    return []


def _changes(paired: Sequence[Row], model: str) -> str:
    """Return by how much AP changes beside the source, class by class."""
    found = where(paired, model=model, metric=f"ap{DIFFERENCE}")
    told = [f"{figure(row)} for {_class(row.label)}" for row in found if row.label]
    return f"AP changes by {listed(told)}" if told else ""


def _adapted(runs: Sequence[Results]) -> Answer | None:
    paired = [row for row in _differences(runs) if _learned_from_scans_alone(row)]
    if not paired:
        return None
    methods = names(paired, "model")
    model = methods[0]
    pages = first(paired, model=model, metric="page_f1_difference", label="graphic")
    told = f" the F1 of pages with an illustration changes by {figure(pages)};" if pages else ""
    sentence = (
        f"After {model} without a label{told} of {len(paired)} paired differences to the detector before, "
        f"{tally(paired)}."
    )
    more = [
        f"After {method} on {paired[0].dataset} {told}."
        for method in methods
        if (told := _changes(paired, method))
    ]
    metrics = (
        "ap_difference",
        "ap50_difference",
        "page_ap_difference",
        "page_f1_difference",
        "crop_iou_difference",
    )
    return Answer(sentence, tuple(more), tuple(paired), ("ap75_difference", *metrics))


def _learned_from_scans_alone(row: Row) -> bool:
    """Return whether a row is of the detector itself adapted without a box: no control, and not pretrained before."""
    return row.model not in (ORACLE, CONTROL) and not row.get("labels") and not row.get("pretrained")


def _labels_worth(runs: Sequence[Results]) -> Answer | None:
    paired = where(_differences(runs), model=ORACLE)
    if not paired:
        return None
    labelled = next((row.get("labels") for row in paired if row.get("labels")), None)
    pages = f"of {labelled} pages" if labelled else "of its pages"
    return _of_changes(paired, ORACLE, f"With the boxes {pages} of the collection")


def _of_changes(paired: Sequence[Row], model: str, how: str) -> Answer:
    """Say how ``model``, made as ``how`` says, differs from its baseline."""
    told = _changes(paired, model)
    counted = f"Of {len(paired)} paired differences, {tally(paired)}."
    return Answer(
        f"{how} ({model}) {told}." if told else counted,
        (counted,) if told else (),
        tuple(paired),
        tuple(dict.fromkeys(row.metric for row in paired)),
    )


def _verdicts(runs: Sequence[Results]) -> Answer | None:
    """Set what the command says of an adaptation, which sees no label, beside what the labels say."""
    for run in runs:
        changes = where(
            _speaking([r for r in run.rows if r.get("verdict")]), metric="ap50_change", label=None
        )
        judged = [row for row in changes if row.model != ORACLE and not row.get("labels")]
        if not judged:
            continue
        verdicts = names(judged, "verdict")
        told = [f"{verdict} ({len(where(judged, verdict=verdict))})" for verdict in verdicts]
        each = [
            f"{row.model}, seed {', '.join(map(str, row.seeds or ()))}: {row.get('verdict')}, AP50 changes by {figure(row)}."
            for row in judged
        ]
        return Answer(
            f"Without a label the command says of {len(judged)} adaptations: {listed(told)}.",
            tuple(each),
            tuple(judged),
            ("ap50_change",),
            "What the command says, and by how much AP50 over all classes changed.",
        )
    return None


def _generated(runs: Sequence[Results]) -> Answer | None:
    """Compare trainings on generated pages; their figures are not paired."""
    rows = [
        row
        for run in runs
        for row in run.rows
        if not is_paired(row)
        if row.dataset.startswith("synthetic") and row.label is None and row.metric in BOXES
    ]
    rows = _speaking(rows)
    sets = [name for name in names(rows) if len(names(where(rows, dataset=name), "model")) > 1]
    if not sets:
        return None
    told = []
    for name in sets:
        best, *others = sorted(where(rows, dataset=name, metric="ap50"), key=lambda row: -row.value)
        last = others[-1]
        apart = overlap(best, last)
        how = (
            ""
            if apart is None
            else " (the intervals overlap)"
            if apart
            else " (the intervals do not overlap)"
        )
        told.append(f"on {name} {best.model} with {figure(best)} and {last.model} with {figure(last)}{how}")
    return Answer(
        f"Best and last training by AP50: {listed(told)}.",
        ("These figures are not paired: each interval is of one detector.",),
        tuple(where(rows, dataset=tuple(sets))),
        BOXES,
        "Trainings on generated pages that none of them has seen.",
    )


def _control(runs: Sequence[Results]) -> Answer | None:
    paired = where(_differences(runs), model=CONTROL)
    if not paired:
        return None
    return _of_changes(paired, CONTROL, "After as many steps on generated pages alone")


def _where_it_fails(runs: Sequence[Results]) -> Answer | None:
    for run in runs:
        kind = _boxes(run.rows)
        rows = [r for r in _plain(run.rows) if r.get("boxes") in (None, kind) and r.model not in PEERS]
        parts = [r for r in where(rows, metric="ap50", label=None) if r.subset not in WHOLE]
        if len(parts) < 2:
            continue
        ordered = sorted(where(parts, model=parts[0].model), key=lambda row: row.value)
        told = [f"{figure(row)} on {row.subset} pages" for row in ordered]
        small = first(rows, metric="recall_p80_small", label="graphic", subset=WHOLE)
        more = (
            (f"Of small illustrations {value(small)} are found at a precision of 0.8.",)
            if small is not None
            else ()
        )
        shown = [r for r in where(rows, model=parts[0].model, subset=tuple(r.subset for r in ordered))]
        return Answer(
            f"AP50 is {listed(told)}.",
            more,
            tuple(where(shown, metric=("ap", "ap50", "page_f1", "recall_p80_small"))),
            ("ap50", "page_f1", "recall_p80_small"),
            f"{parts[0].model} by kind of page.",
        )
    return None


STORY = Story(
    "doc-detect",
    (
        Question("Are pages with an illustration found?", _pages_found),
        Question("Do the boxes fit?", _boxes_fit),
        Question("Does adaptation without labels help?", _adapted),
        Question("What would labels be worth?", _labels_worth),
        Question("Does it know whether it helped?", _verdicts),
        Question("Which training finds most on generated pages?", _generated),
        Question("Is it the method, or further training?", _control, "Ablations"),
        Question("Where does it fail?", _where_it_fails, "Failure cases"),
    ),
    Path(__file__).parent / "story.md",
)
