"""``estimate-k``: how many classes a split's images show, with an interval, beside what other rules say.

With ``--out`` it is a study: every split below the data folder, and how far each rule is from the truth.
"""

from gcd_longtail.backbones.backbones import caveat
from gcd_longtail.discovery.number_of_classes import estimate
from gcd_longtail.figures.k_rows import OURS, estimated, k_rows, splits_below
from gcd_longtail.figures.metrics import k_error
from gcd_longtail.protocol.data import Data, load
from gcd_longtail.settings.methods import EstimateKSettings
from seminar_common import runs
from seminar_common.progress import say
from seminar_common.report import write_report
from seminar_common.results import Results, Row, write_results


def estimate_k(settings: EstimateKSettings) -> None:
    """Print the estimated number of classes on standard output, or compare it over many splits.

    Raises:
        UserError: no split, no features yet, or a split without --out where there are several.
    """
    if settings.out is None:
        _one(load(settings.data), settings)
    else:
        compare(settings)


def _one(data: Data, settings: EstimateKSettings) -> None:
    from rich.console import Console
    from rich.table import Table

    say(f"hiding known classes of {data.split.name} and looking for them ...")
    guess = estimate(data.problem, settings.estimate, settings.seed)
    true = len(data.split.classes)
    table = Table("rule", "classes", "interval", "error", title=f"{data.split.name}: {true} classes in truth")
    rules = {"estimate": guess.k, **guess.criteria}
    for name, k in rules.items():
        interval = f"{guess.low} to {guess.high}" if name == "estimate" else ""
        table.add_row(name.replace("_", " "), str(k), interval, f"{100 * k_error(k, true):+.0f} %")
    Console().print(table)
    if guess.doubt:
        say(f"do not rely on it: {guess.doubt}")


def compare(settings: EstimateKSettings) -> Results:
    """Estimate on every split below the data folder; write ``results.json`` and ``report.html``.

    What is estimated already is kept, so a comparison that was stopped goes on where it was.

    Raises:
        UserError: no split in the folder, or a split without features.
    """
    import torch

    assert settings.out is not None
    datasets: dict[str, list[tuple[Data, dict]]] = {}
    for data in splits_below(settings.data):
        guess = estimated(data, data.problem, settings.out, settings.estimate)
        say(f"{data.folder}: {guess['k']} [{guess['low']}, {guess['high']}] of {len(data.split.classes)}")
        datasets.setdefault(data.split.name, []).append((data, guess))
    rows: list[Row] = []
    for pairs in datasets.values():
        rows += k_rows(*zip(*pairs, strict=True))
    sample = next(iter(datasets.values()))[0][0]
    notes = (
        "Seeds differ in which classes are known and which images are labelled.",
        caveat(sample.config.backbone),
    )
    results = Results(runs.command_line(), tuple(rows), notes=notes)
    write_results(settings.out / "results.json", results)
    hashes = {str(data.folder): data.split.hash for pairs in datasets.values() for data, _ in pairs}
    facts = runs.environment(torch.get_num_threads(), data=hashes)
    write_report(
        [("Number of classes", results, None, facts)], settings.out / "report.html", "Number of classes"
    )
    _print(results)
    return results


def _print(results: Results) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("data", "rule", "K", "mean error", "worst", "covered")
    for row in results.rows:
        if row.metric != "k_estimated":
            continue
        same = {
            other.metric: other.value
            for other in results.rows
            if (other.model, other.dataset) == (row.model, row.dataset)
        }
        covered = f"{100 * same['k_covered']:.0f} %" if row.model == f"k by {OURS}" else ""
        table.add_row(
            row.dataset,
            row.model.removeprefix("k by "),
            f"{row.value:.1f}",
            f"{100 * same['k_absolute_error']:.1f} %",
            f"{100 * same['k_worst_error']:.0f} %",
            covered,
        )
    Console().print(table)
