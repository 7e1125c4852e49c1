"""``estimate-k``: how many classes a split's images show, with an interval, beside what other rules say.

With ``--out`` it is a study: every split below the data folder, and how far each rule is from the truth.
"""

import dataclasses

from gcd_longtail.backbones.backbones import caveat
from gcd_longtail.discovery.number_of_classes import estimate
from gcd_longtail.figures.discovery_rows import Identity, estimate_rows
from gcd_longtail.figures.k_rows import OURS, estimated, k_rows, splits_below
from gcd_longtail.protocol.data import Data, load
from gcd_longtail.settings.methods import EstimateKSettings
from seminar_common import files, runs
from seminar_common.device import launch
from seminar_common.progress import progress, say
from seminar_common.publish import publish
from seminar_common.report import Section
from seminar_common.results import Results, Row
from seminar_common.summary import print_summary

SHOWN = ("k_estimated", "k_absolute_error", "k_worst_error", "k_covered")


def estimate_k(settings: EstimateKSettings) -> None:
    """Print the estimated number of classes on standard output, or compare it over many splits.

    Raises:
        UserError: no split, no features yet, or a split without --out where there are several.
    """
    if settings.out is None:
        _one(load(settings.data), settings, str(launch(settings.device).device))
    else:
        compare(settings)


def _one(data: Data, settings: EstimateKSettings, device: str) -> None:
    say(f"hiding known classes of {data.split.name} and looking for them ...")
    guess = estimate(dataclasses.replace(data.problem, device=device), settings.estimate, settings.seed)
    rows: list[Row] = []
    for rule, k in {OURS: guess.k, **guess.criteria}.items():
        identity = Identity(f"k by {rule}", "estimated", (settings.seed,))
        rows += estimate_rows(k, (guess.low, guess.high) if rule == OURS else None, data, identity)
    print_summary(rows)
    say(f"{guess.k} classes; {guess.interval} are plausible")
    say(f"{data.split.name} has {len(data.split.classes)} classes in truth")
    if guess.doubt:
        say(f"do not rely on it: {guess.doubt}")


@files.one_at_a_time
def compare(settings: EstimateKSettings) -> Results:
    """Estimate on every split below the data folder; write ``results.json`` and ``report.html``.

    What is estimated already is kept, so a comparison that was stopped goes on where it was.

    Raises:
        UserError: no split in the folder, or a split without features.
    """
    import torch

    assert settings.out is not None
    every = list(splits_below(settings.data))
    device = str(launch(settings.device).device)
    datasets: dict[str, list[tuple[Data, dict]]] = {}
    with progress("estimating", len(every)) as advance:
        for data in every:
            guess = estimated(
                data, dataclasses.replace(data.problem, device=device), settings.out, settings.estimate
            )
            say(f"{data.folder}: {guess['k']} [{guess['low']}, {guess['high']}] of {len(data.split.classes)}")
            datasets.setdefault(data.split.name, []).append((data, guess))
            advance()
    rows = [row for pairs in datasets.values() for row in k_rows(*zip(*pairs, strict=True))]
    notes = (
        "Seeds differ in which classes are known and which images are labelled.",
        caveat(every[0].config.backbone),
    )
    results = Results(runs.command_line(), tuple(rows), notes=notes)
    hashes = {str(data.folder): data.split.hash for data in every}
    facts = runs.environment(torch.get_num_threads(), data=hashes)
    title = "Number of classes"
    return publish(settings.out, title, Section(title, results, None, facts), shown=SHOWN)
