"""The questions of this topic, and how rows of a study and of a benchmark answer them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from seminar_common.reporting.answers import (
    all_rows,
    beside,
    compared,
    cost,
    figure,
    first,
    is_no_loss,
    listed,
    names,
    number_of,
    quality_name,
    tally,
    times,
    value,
    where,
    without_sign,
)
from seminar_common.reporting.stories import Answer, Drawing, Question, Story
from seminar_common.results import Results, Row
from seminar_common.tables import verdict

MARGIN = 0.001
"""The smallest loss of ROC AUC that matters: tuned deep models of click logs differ in the third decimal."""

FLOAT = "float"
PEER = "bitorch-binary"
ABLATED = "no first-order term"
TARGET = 28.0
"""Times smaller from which a model counts as about 30 times smaller."""


@dataclasses.dataclass(frozen=True)
class _Smaller:
    """A model that is smaller than the float one, and the paired difference of their ROC AUC."""

    size: Row
    float_size: Row
    difference: Row

    @property
    def ratio(self) -> float:
        return self.float_size.value / self.size.value

    @property
    def name(self) -> str:
        return self.size.model


def _studied(runs: Sequence[Results]) -> list[Row]:
    """Return the rows of studies, of test rows where there are; those of a benchmark name the engine that was timed."""
    rows = where(all_rows(runs), engine=None)
    split = "test" if where(rows, split="test") else "val"
    return where(rows, split=(split, ""))


def _sets(rows: Sequence[Row]) -> list[str]:
    """Return the data sets with paired differences, the one with most test rows first."""
    paired = where(rows, metric="roc_auc_difference", baseline=FLOAT)
    return sorted(names(paired), key=lambda name: -(where(paired, dataset=name)[0].n or 0))


def _smaller(rows: Sequence[Row], dataset: str) -> list[_Smaller]:
    """Return the models of a data set that are smaller than the float one, the smallest first."""
    here = where(rows, dataset=dataset, ablation=None)
    whole = first(where(rows, dataset=dataset), metric="size_mb", model=FLOAT)
    if whole is None:
        return []
    found = []
    for size in where(here, metric="size_mb"):
        paired = first(here, metric="roc_auc_difference", baseline=FLOAT, model=size.model)
        if paired is not None and size.value < whole.value:
            found.append(_Smaller(size, whole, paired))
    return sorted(found, key=lambda one: one.size.value)


def _without_loss(models: Sequence[_Smaller]) -> _Smaller | None:
    """Return the smallest model whose interval leaves no room for a loss that matters."""
    return next((one for one in models if is_no_loss(one.difference, MARGIN)), None)


def _at_no_loss(runs: Sequence[Results]) -> Answer | None:
    rows = _studied(runs)
    sets = [name for name in _sets(rows) if _smaller(rows, name)]
    if not sets:
        return None
    sentences = [_no_loss_sentence(_smaller(rows, name), name) for name in sets]
    told = (
        f"A loss of {MARGIN} ROC AUC is the smallest that counts: no loss is said only where the whole interval lies "
        "above it. The model is the smallest of those of the study, so the choice was made after the figures were seen."
    )
    main = where(rows, dataset=sets[0])
    return Answer(
        sentences[0],
        (*sentences[1:], told),
        tuple(beside(_telling(main, _smaller(rows, sets[0])))),
        ("roc_auc", "roc_auc_difference", "size_mb"),
        f"Quality and size on {sets[0]}; the difference is to {FLOAT}, on the same rows.",
        _front(rows, sets[0]),
    )


def _no_loss_sentence(models: Sequence[_Smaller], dataset: str) -> str:
    best = _without_loss(models)
    if best is None:
        nearest = max(models, key=lambda one: one.difference.value)
        told = f"the nearest, {nearest.name}, is {nearest.ratio:.1f} times smaller"
        return (
            f"On {dataset} no model is surely without a loss: {told} at {cost(nearest.difference, MARGIN)}."
        )
    return f"{_smaller_text(best)} at {cost(best.difference, MARGIN)}: {_which(best, dataset)}."


def _smaller_text(one: _Smaller) -> str:
    return f"{one.ratio:.1f} times smaller than the float model"


def _which(one: _Smaller, dataset: str) -> str:
    return f"{one.name} on {dataset}, {value(one.size)} for {value(one.float_size)}"


def _telling(rows: Sequence[Row], models: Sequence[_Smaller]) -> list[Row]:
    """Return the rows of six models that matter: float, those without loss, about 30 times smaller, and the peer."""
    by_quality = sorted(models, key=lambda one: -one.difference.value)
    chosen = [FLOAT]
    if (best := _without_loss(models)) is not None:
        chosen.append(best.name)
    chosen += [one.name for one in by_quality if one.ratio >= TARGET and one.name != PEER][:1]
    chosen += [one.name for one in models if one.name == PEER]
    rivals = [one for one in by_quality if one.name.startswith("float-")]
    chosen += [one.name for one in sorted(rivals, key=lambda one: one.size.value)[:1]]
    chosen += [one.name for one in by_quality if one.name not in chosen][: 6 - len(chosen)]
    shown = [r for r in where(rows, model=tuple(chosen)) if r.ablation != ABLATED]
    kept = ("roc_auc", "size_mb")
    return [
        r for r in shown if r.metric in kept or (r.metric == "roc_auc_difference" and r.baseline == FLOAT)
    ]


def _front(rows: Sequence[Row], dataset: str) -> Drawing:
    here = [r for r in where(rows, dataset=dataset) if r.ablation != ABLATED]

    def draw():
        from seminar_common import plots

        sizes = {r.model: r.value for r in where(here, metric="size_mb")}
        points = [
            plots.Point(r.model, sizes[r.model], r.value, r.ci_low, r.ci_high)
            for r in where(here, metric="roc_auc")
            if r.model in sizes
        ]
        return plots.pareto(points, "Size (MB)", "ROC AUC")

    caption = (
        f"ROC AUC against size on {dataset}. Filled: no other model is both smaller and better. "
        "Lines: 95% intervals."
    )
    return Drawing(caption, draw)


def _thirty_times(runs: Sequence[Results]) -> Answer | None:
    rows = _studied(runs)
    candidates = [(name, one) for name in _sets(rows) for one in _smaller(rows, name) if one.ratio >= TARGET]
    ours = [(name, one) for name, one in candidates if one.name != PEER]
    if not ours:
        return None
    dataset, best = max(ours, key=lambda item: item[1].difference.value)
    peer = next((one for name, one in candidates if name == dataset and one.name == PEER), None)
    sentence = f"{_smaller_text(best)} at {cost(best.difference, MARGIN)}: {_which(best, dataset)}"
    if peer is not None:
        loss = cost(peer.difference, MARGIN)
        sentence += f". BITorch's layers and recipe, {peer.ratio:.1f} times smaller, have {loss}"
    rivals = [one for one in _smaller(rows, dataset) if one.name.startswith("float-")]
    more = [_rival_sentence(rows, dataset, best, one) for one in rivals]
    shown = [best.name, *(one.name for one in rivals), *([PEER] if peer else [])]
    paired = where(rows, dataset=dataset, metric="roc_auc_difference", model=tuple(shown), baseline=FLOAT)
    figures = where(
        rows, dataset=dataset, model=(FLOAT, *shown), metric=("roc_auc", "size_mb"), ablation=None
    )
    return Answer(
        f"{sentence}.",
        tuple(filter(None, more)),
        (*figures, *beside(paired)),
        ("size_mb", "roc_auc", "roc_auc_difference"),
        f"About 30 times smaller on {dataset}, beside float models with fewer rows in their tables.",
    )


def _rival_sentence(rows: Sequence[Row], dataset: str, best: _Smaller, rival: _Smaller) -> str:
    paired = first(rows, dataset=dataset, metric="roc_auc_difference", model=best.name, baseline=rival.name)
    if paired is None:
        return ""
    kind = "by hashing" if "hashed" in rival.name else "by leaving out the rarest values"
    return f"A float model that is {rival.ratio:.1f} times smaller {kind} ({rival.name}) is a rival: {best.name} is {compared(paired)}."


def _against_simple(runs: Sequence[Results]) -> Answer | None:
    rows = _studied(runs)
    paired = where(
        rows, metric="roc_auc_difference", baseline=FLOAT, model=("logistic-regression", "reference-dlrm")
    )
    if not paired:
        return None
    linear = where(paired, model="logistic-regression")
    verdicts = [verdict(row)["tone"] for row in linear]
    sentence = (
        f"Of {number_of(len(linear), 'data set')} logistic regression is surely worse than the float model on "
        f"{verdicts.count('worse')}, surely better on {verdicts.count('better')}, and not told apart on "
        f"{verdicts.count('level')}."
    )
    more = [f"On {row.dataset} {row.model} is {compared(row)}." for row in paired]
    models = tuple(names(paired, "model"))
    shown = [r for r in where(rows, model=(FLOAT, *models), metric="roc_auc", dataset=tuple(names(paired)))]
    shown = [r for r in shown if r.ablation != ABLATED]
    return Answer(
        sentence,
        tuple(more),
        (*shown, *beside(paired)),
        ("roc_auc", "roc_auc_difference"),
        f"The float model beside two that need no tricks; the difference is to {FLOAT}.",
    )


def _best_possible(runs: Sequence[Results]) -> Answer | None:
    rows = _studied(runs)
    best = first(rows, model="best-possible", metric="roc_auc")
    if best is None:
        return None
    whole = first(rows, model=FLOAT, metric="roc_auc", dataset=best.dataset)
    if whole is None:
        return None
    sentence = (
        f"On {best.dataset}, whose clicks are drawn from known probabilities, no model can have a ROC AUC above "
        f"{figure(best)}; the float model has {figure(whole)}."
    )
    metrics = ("roc_auc", "log_loss", "normalized_entropy", "calibration_error")
    shown = where(rows, model=(FLOAT, "best-possible"), dataset=best.dataset, metric=metrics)
    return Answer(sentence, (), tuple(shown), metrics, "The float model beside what the generator knows.")


def _speed(runs: Sequence[Results]) -> Answer | None:
    rows = all_rows(runs)
    faster = where(rows, metric="speedup_over_rivals", engine="native", batch=1)
    if not faster:
        return None
    best = max(faster, key=lambda row: row.value)
    same = {"model": best.model, "engine": "native", "dataset": best.dataset}
    took = first(rows, metric="latency_us_p50", batch=1, **same)
    sentence = (
        f"{times(best.value)} times faster than the fastest rival, {_in_engine(best)}: {best.model} scores a row"
        f"{f' in {figure(took)}' if took else ''} on {best.threads} thread{'s' * (best.threads != 1)}."
    )
    more = [
        f"{row.batch:,} rows in one call: {row.model} is {times(row.value)} times faster than the fastest rival there, "
        f"{_in_engine(row)}."
        for row in where(rows, metric="speedup_over_rivals", **same)
        if row.batch != 1
    ]
    more.append(
        "Times are medians of calls in one process and have no interval; they hold for the machine named."
    )
    shown = ("native", "onnxruntime", "onnxruntime-graph", "torch-compile", "bitorch")
    kept = [r for r in where(rows, engine=shown, model=(FLOAT, "binary-a4", best.model, PEER))]
    metrics = ("file_mb", "call_us_1", "call_us_128", "call_us_2048", "cold_start_s", "model_rss_mb")
    return Answer(
        sentence,
        tuple(more),
        tuple(where(kept, metric=metrics, batch=None)),
        metrics,
        f"Files and times on {best.dataset}, one thread: our engine (native) beside others.",
    )


def _in_engine(row: Row) -> str:
    """Return the rival that a speed-up is over: ``float in onnxruntime``."""
    return str(row.baseline).replace("@", " in ")


def _first_order(runs: Sequence[Results]) -> Answer | None:
    rows = _studied(runs)
    paired = where(rows, metric="roc_auc_difference", ablation=ABLATED)
    if not paired:
        return None
    told = [f"{compared(row)} on {row.dataset}" for row in paired]
    sentence = f"Without its first-order term the float model is {listed(told)}."
    shown = [r for r in where(rows, model=FLOAT, metric=("roc_auc", "size_mb")) if r.ablation]
    return Answer(
        sentence,
        (),
        (*shown, *beside(paired)),
        ("roc_auc", "roc_auc_difference", "size_mb"),
        "The whole recipe, and without a weight for each frequent value.",
    )


def _activations(runs: Sequence[Results]) -> Answer | None:
    """Compare the costs of 1-bit and 4-bit activations; both are paired with float, not with each other."""
    rows = _studied(runs)
    pairs: list[tuple[str, Row, Row]] = []
    for dataset in _sets(rows):
        one, four = (
            first(
                rows, metric="roc_auc_difference", baseline=FLOAT, model=model, dataset=dataset, ablation=None
            )
            for model in ("binary", "binary-a4")
        )
        if one is not None and four is not None:
            pairs.append((dataset, one, four))
    if not pairs:
        return None
    told = [f"{figure(one)} with 1 bit and {figure(four)} with 4 on {name}" for name, one, four in pairs]
    shown = where(rows, model=("binary", "binary-a4"), metric=("roc_auc", "size_mb"), ablation=None)
    paired = where(
        rows, model=("binary", "binary-a4"), metric="roc_auc_difference", baseline=FLOAT, ablation=None
    )
    sets = tuple(name for name, *_ in pairs)
    return Answer(
        f"Beside float, {quality_name(pairs[0][1])} changes by {listed(told)}.",
        ("Activations are not stored, so their bits cost no memory. They cost time.",),
        tuple(where([*shown, *beside(paired)], dataset=sets)),
        ("roc_auc", "roc_auc_difference", "size_mb"),
        f"1-bit tables and weights with 1-bit and with 4-bit activations; the difference is to {FLOAT}.",
    )


def _worst(runs: Sequence[Results]) -> Answer | None:
    """Say which smaller models lose most."""
    rows = _studied(runs)
    paired = [r for r in where(rows, metric="roc_auc_difference", baseline=FLOAT) if r.ablation != ABLATED]
    if not paired:
        return None
    lost = sorted((r for r in paired if verdict(r)["tone"] == "worse"), key=lambda row: row.value)
    sentence = f"Of {number_of(len(paired), 'model')} beside float there are {tally(paired)}"
    if lost:
        worst = lost[0]
        sentence += (
            f"; {worst.model} loses most, {without_sign(worst)} {quality_name(worst)} on {worst.dataset}"
        )
    sentence += "."
    return Answer(
        sentence,
        (),
        tuple(beside(lost[:6])),
        ("roc_auc_difference",),
        f"The largest losses of ROC AUC beside {FLOAT}, on all data sets.",
    )


STORY = Story(
    "recsys-bnn",
    (
        Question("How much smaller at no loss?", _at_no_loss),
        Question("What do 30 times cost?", _thirty_times),
        Question("Is it faster?", _speed),
        Question("Is the float model a fair reference?", _against_simple),
        Question("How far is the best possible?", _best_possible),
        Question("What does the first-order term give?", _first_order, "Ablations"),
        Question("How many bits do activations need?", _activations, "Ablations"),
        Question("Which models lose most?", _worst, "Failure cases"),
    ),
    Path(__file__).parent / "story.md",
)
