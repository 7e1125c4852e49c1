"""``evaluate``: score a run on the unlabelled training images (transductive) and on the test images (inductive)."""

from gcd_longtail.discovery.run import load_found
from gcd_longtail.figures import bacon_figures, run_plots
from gcd_longtail.figures.discovery_rows import (
    HEADLINES,
    Identity,
    clusters_of,
    estimate_rows,
    notes,
    run_rows,
    score_clusters,
)
from gcd_longtail.figures.mistakes import mistakes
from gcd_longtail.figures.trust_rows import trust_of, trust_rows
from gcd_longtail.settings.commands import EvaluateSettings
from gcd_longtail.train import reopen
from seminar_common import runs
from seminar_common.publish import publish
from seminar_common.report import Section
from seminar_common.results import Results


def evaluate(settings: EvaluateSettings) -> Results:
    """Score a run; write its ``results.json``, ``report.html`` and pictures of mistakes.

    Raises:
        UserError: the run is missing or unfinished, or its split or its features changed.
    """
    run, found = load_found(settings.run)
    trained, data = reopen(run, settings.data)
    identity = Identity(trained.method, trained.k if isinstance(trained.k, str) else "given", (trained.seed,))
    clusters = clusters_of(found.discovery, data)
    scored = score_clusters(clusters, found.discovery.k, data)
    rows = [*run_rows(scored, data, identity, settings.resamples, settings.seed)]
    rows += trust_rows([clusters | trust_of(found.discovery, data)], [scored], [data], identity)
    more = notes(data)
    if settings.protocol == "bacon":
        own = clusters | bacon_figures.clusters(found.discovery, data, settings.seed)
        theirs = [bacon_figures.score(own, found.discovery.k, data)]
        rows += bacon_figures.rows(theirs, [data], identity, settings.resamples, settings.seed)
        more = (*more, bacon_figures.NOTE)
    if found.k_interval is not None:
        rows += estimate_rows(found.discovery.k, found.k_interval, data, identity)
    figures = [
        (data.split.name, caption, figure)
        for split, one in scored.items()
        for caption, figure in run_plots.of_run(one, data.split, split)
    ]
    title = f"{trained.method} on {data.split.name}"
    results = Results(runs.command_line(), tuple(rows), notes=more)
    wrong = (
        mistakes(clusters["transductive"], scored["transductive"], data) if "transductive" in scored else []
    )
    section = Section(title, results, run.config(), run.environment(), figures, wrong)
    return publish(run.folder, title, section, shown=("k_estimated", *HEADLINES, *bacon_figures.HEADLINES))
