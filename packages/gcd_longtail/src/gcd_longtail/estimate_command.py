"""``estimate-k``: how many classes a split's images show, with an interval, beside what other rules say."""

from gcd_longtail.discovery_metrics import k_error
from gcd_longtail.estimate_k import KEstimate, estimate
from gcd_longtail.features import load
from gcd_longtail.methods_config import EstimateKSettings
from seminar_common.progress import say


def estimate_k(settings: EstimateKSettings) -> KEstimate:
    """Print the estimated number of classes on standard output; return it.

    Raises:
        UserError: no split, or no features yet.
    """
    from rich.console import Console
    from rich.table import Table

    data = load(settings.data)
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
    return guess
