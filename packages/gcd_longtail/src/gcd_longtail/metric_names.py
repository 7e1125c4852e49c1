"""How this package's metrics are printed; `seminar_common.display` finds them through an entry point."""

from collections.abc import Mapping

from seminar_common.display import Metric, percent, quality

METRICS: Mapping[str, Metric] = {
    "acc_all": percent("Acc. all", "Clustering accuracy over all classes"),
    "acc_known": percent("Acc. known", "Clustering accuracy over known classes"),
    "acc_novel": percent("Acc. novel", "Clustering accuracy over novel classes"),
    "macro_all": percent("Macro acc. all", "Mean of the accuracies of all classes"),
    "macro_known": percent("Macro acc. known", "Mean of the accuracies of known classes"),
    "macro_novel": percent("Macro acc. novel", "Mean of the accuracies of novel classes"),
    "macro_known_many": percent(
        "Macro acc. known, many", "Mean of the accuracies of known classes with many images"
    ),
    "macro_known_medium": percent(
        "Macro acc. known, medium", "Mean of the accuracies of known classes of medium size"
    ),
    "macro_known_few": percent(
        "Macro acc. known, few", "Mean of the accuracies of known classes with few images"
    ),
    "macro_novel_many": percent(
        "Macro acc. novel, many", "Mean of the accuracies of novel classes with many images"
    ),
    "macro_novel_medium": percent(
        "Macro acc. novel, medium", "Mean of the accuracies of novel classes of medium size"
    ),
    "macro_novel_few": percent(
        "Macro acc. novel, few", "Mean of the accuracies of novel classes with few images"
    ),
    "acc_known_v1": percent(
        "Acc. known, v1", "Known classes' accuracy under an assignment of its own (optimistic)"
    ),
    "acc_novel_v1": percent(
        "Acc. novel, v1", "Novel classes' accuracy under an assignment of its own (optimistic)"
    ),
    "nmi": quality("NMI", "Normalized mutual information", 3),
    "ari": quality("ARI", "Adjusted Rand index", 3),
    "k_estimated": Metric("Estimated k", "Estimated number of classes", decimals=0),
    "k_error": Metric(
        "Error of k",
        "Estimated over true number of classes, minus one",
        decimals=1,
        scale=100,
        unit="%",
        signed=True,
    ),
    "k_absolute_error": Metric(
        "Mean error of k",
        "Mean distance of the estimated from the true number of classes",
        "lower",
        1,
        100,
        "%",
    ),
    "k_worst_error": Metric("Worst error of k", "Largest distance over the seeds", "lower", 0, 100, "%"),
    "k_covered": Metric(
        "K in interval", "Seeds whose interval holds the true number of classes", "higher", 0, 100, "%"
    ),
    "k_interval_ratio": Metric("Width", "Upper over lower end of the interval of k", "lower", 2, unit="x"),
}

CONDITIONS: Mapping[str, str] = {"labels": "{:,} labelled", "k": "{} k", "imbalance": "imbalance {:g}"}
"""Keys of a row that say what it was measured on."""
