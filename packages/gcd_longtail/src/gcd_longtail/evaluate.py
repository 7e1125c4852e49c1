"""``evaluate``: score a run on the unlabelled training images (transductive) and on the test images (inductive)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gcd_longtail.backbones.backbones import caveat
from gcd_longtail.discovery.problem import Discovery
from gcd_longtail.discovery.run import Found, load_found
from gcd_longtail.figures import run_plots
from gcd_longtail.figures.metrics import Scored, accuracy_v1, intervals, k_error, score
from gcd_longtail.protocol.data import Data
from gcd_longtail.settings.commands import EvaluateSettings
from gcd_longtail.train import reopen
from seminar_common import runs
from seminar_common.progress import say
from seminar_common.report import Section, write_report
from seminar_common.results import Results, Row, write_results
from seminar_common.runs import Run

PROTOCOL = (
    "Accuracies follow one global assignment of clusters to classes (v2 of the literature); _v1 figures make one for "
    "the known and one for the novel images, are never lower, and are there to compare with papers that use them. "
    "Transductive figures are of the unlabelled training images, test figures of images that no method has seen."
)


@dataclass(frozen=True)
class Identity:
    """What tells the rows of one run from those of another."""

    method: str
    k: str
    """``true``, ``estimated`` or ``given``."""
    seed: int


def evaluate(settings: EvaluateSettings) -> Results:
    """Score a run; write its ``results.json`` and ``report.html``.

    Raises:
        UserError: the run is missing or unfinished, or its split or its features changed.
    """
    run, found = load_found(settings.run)
    trained, data = reopen(run, settings.data)
    scored = score_discovery(found.discovery, data)
    identity = Identity(trained.method, trained.k if isinstance(trained.k, str) else "given", trained.seed)
    rows = rows_of(scored, data, identity, settings.resamples, settings.seed) + k_rows(found, data, identity)
    results = Results(runs.command_line(), tuple(rows), notes=notes(data))
    write_results(run.results_file, results)
    _write_report(run, results, scored, data, identity)
    _print_summary(results)
    say(f"wrote {run.results_file} and {run.report_file.name}")
    return results


def notes(data: Data) -> tuple[str, ...]:
    """Return what a reader of any figure on ``data`` must know."""
    return PROTOCOL, caveat(data.config.backbone)


def score_discovery(discovery: Discovery, data: Data) -> dict[str, Scored]:
    """Return the scored images by split: ``transductive`` and ``test``."""
    known, frequencies = data.split.known, data.split.frequencies
    parts = {"transductive": (data.unlabelled_labels, discovery.assignments)}
    if len(data.test_labels):
        parts["test"] = (data.test_labels, discovery.predict(data.test))
    return {
        name: score(truth, clusters, known, frequencies, discovery.k)
        for name, (truth, clusters) in parts.items()
    }


def rows_of(
    scored: Mapping[str, Scored], data: Data, identity: Identity, resamples: int = 1000, seed: int = 0
) -> list[Row]:
    """Return every figure of one run as rows."""
    common: dict[str, Any] = {
        "seeds": (identity.seed,),
        "facts": {
            "backbone": data.config.backbone,
            "labels": len(data.problem.labels),
            "k": identity.k,
            "imbalance": round(data.split.imbalance, 1),
        },
    }
    rows = []
    for split, one in scored.items():
        where = (identity.method, data.split.name, split)
        for name, interval in intervals([one], seed=seed, resamples=resamples).items():
            value, low, high = interval.value, interval.low, interval.high
            rows.append(Row(*where, name, value, low, high, n=one.n, **common))
        rows += [Row(*where, name, value, n=one.n, **common) for name, value in accuracy_v1(one).items()]
    return rows


def k_rows(found: Found, data: Data, identity: Identity) -> list[Row]:
    """Return the estimated number of classes with its interval, and its error; nothing if it was given."""
    if found.k_interval is None:
        return []
    facts = {"backbone": data.config.backbone, "k": identity.k}
    common: dict[str, Any] = {"seeds": (identity.seed,), "facts": facts}
    k, (low, high), true = found.discovery.k, found.k_interval, len(data.split.classes)
    where = (identity.method, data.split.name, "")
    return [
        Row(*where, "k_estimated", k, low, high, **common),
        Row(*where, "k_error", k_error(k, true), k_error(low, true), k_error(high, true), **common),
    ]


def _write_report(
    run: Run, results: Results, scored: Mapping[str, Scored], data: Data, identity: Identity
) -> None:
    name, dataset = identity.method, data.split.name
    figures = [
        (dataset, caption, figure)
        for split, one in scored.items()
        for caption, figure in run_plots.of_run(one, data.split, split)
    ]
    section = Section(f"{name} on {dataset}", results, run.config(), run.environment(), figures)
    write_report([section], run.report_file, f"{name} on {dataset}")


def _print_summary(results: Results) -> None:
    from rich.console import Console
    from rich.table import Table

    shown = ("acc_all", "acc_known", "acc_novel", "macro_all", "macro_novel", "macro_novel_few")
    table = Table("split", *shown)
    for split in dict.fromkeys(row.split for row in results.rows if row.split):
        values = {row.metric: row for row in results.rows if row.split == split}
        table.add_row(split, *(f"{100 * values[m].value:.1f}" if m in values else "" for m in shown))
    Console().print(table)
