"""How this package's metrics are printed; `seminar_common.display` finds them through an entry point."""

from collections.abc import Mapping

from seminar_common.display import Metric, percent, quality

_SIZES = {"many": "with many images", "medium": "of medium size", "few": "with few images"}

METRICS: Mapping[str, Metric] = {
    "acc_all": percent("Acc. all", "Clustering accuracy over all classes"),
    "acc_known": percent("Acc. known", "Clustering accuracy over known classes"),
    "acc_novel": percent("Acc. novel", "Clustering accuracy over novel classes"),
    **{
        f"macro_{part}": percent(f"Macro acc. {part}", f"Mean of the accuracies of {part} classes")
        for part in ("all", "known", "novel")
    },
    **{
        f"macro_{part}_{size}": percent(
            f"Macro acc. {part}, {size}", f"Mean of the accuracies of {part} classes {which}"
        )
        for part in ("known", "novel")
        for size, which in _SIZES.items()
    },
    "named_macro_all": percent(
        "Named macro acc.", "Mean of the classes' accuracies by the names that people gave; nameless is wrong"
    ),
    "named_macro_known": percent("Named macro acc. known", "The same of the classes known at first"),
    "named_macro_novel": percent("Named macro acc. novel", "The same of the other classes"),
    "named_macro_novel_few": percent(
        "Named macro acc. novel, few", "The same of other classes with few images"
    ),
    "classes_named": Metric("Classes named", "Classes with a name", decimals=1),
    "images_answered": Metric("Images answered", "Images that got a label by the decisions", decimals=1),
    "acc_known_v1": percent(
        "Acc. known, v1", "Known classes' accuracy under an assignment of its own (optimistic)"
    ),
    "acc_novel_v1": percent(
        "Acc. novel, v1", "Novel classes' accuracy under an assignment of its own (optimistic)"
    ),
    "bacon_all": percent("BaCon: all", "BaCon's accuracy over all images"),
    "bacon_known": percent("BaCon: old", "BaCon's accuracy over images of known classes"),
    "bacon_novel": percent("BaCon: new", "BaCon's accuracy over images of novel classes"),
    **{
        f"bacon_{part}_{size}": percent(
            f"BaCon: {old}, {size}",
            f"BaCon's accuracy over images of {part} classes {which}, in its own thirds",
        )
        for part, old in (("known", "old"), ("novel", "new"))
        for size, which in _SIZES.items()
    },
    **{
        f"bacon_{part}_deviation": Metric(
            f"BaCon: {old}, std.",
            f"Standard deviation of BaCon's three groups of {part} classes",
            "lower",
            1,
            100,
            "%",
        )
        for part, old in (("known", "old"), ("novel", "new"))
    },
    "macro_all_gain": Metric(
        "Lead, all",
        "Macro accuracy over all classes less that of the best other method",
        "higher",
        1,
        100,
        "%",
        signed=True,
    ),
    "macro_novel_gain": Metric(
        "Lead, novel",
        "Macro accuracy over novel classes less that of the best other method",
        "higher",
        1,
        100,
        "%",
        signed=True,
    ),
    "confidence_auc": quality("Confidence AUC", "How well the confidence tells right from wrong, ROC AUC", 3),
    "novel_auc": quality("Novel AUC", "How well the novel score tells novel from known images, ROC AUC", 3),
    "confidence_error": quality("Confidence ECE", "Calibration error of the confidence", 3, "lower"),
    "novel_error": quality("Novel ECE", "Calibration error of the novel score", 3, "lower"),
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
    "k_assumed": Metric(
        "Assumed",
        "Share of splits on which k was assumed, for nothing could be measured",
        scale=100,
        unit="%",
        decimals=0,
    ),
    "k_covered": Metric(
        "K in interval", "Seeds whose interval holds the true number of classes", "higher", 0, 100, "%"
    ),
    "k_interval_ratio": Metric("Width", "Upper over lower end of the interval of k", "lower", 2, unit="x"),
    "start_s": Metric("One start", "Time of one start of k-means", "lower", unit="s"),
    "start_s_extrapolated": Metric(
        "One start, extrapolated", "Time of one start, from its first iterations", "lower", unit="s"
    ),
    "iteration_s": Metric("Iteration", "Time of one iteration", "lower", unit="s"),
    "iterations": Metric("Iterations", "Iterations until it has converged", decimals=0),
    "inertia": Metric("Inertia", "Sum of squared distances to the nearest centre", "lower"),
    "inertia_after_update": Metric("Inertia after one update", "From the same centres", "lower"),
    "speedup_over_official": Metric("Speed-up over official", "Its time over ours", "higher", unit="x"),
    "speedup_over_scikit_learn": Metric(
        "Speed-up over scikit-learn", "Its time over ours", "higher", unit="x"
    ),
    "losses_ms_p50": Metric(
        "Losses p50", "Median time of the losses and their gradients", "lower", unit="ms"
    ),
    "images_per_s": Metric("Feature extraction", "Images a second", "higher", unit="1/s"),
    "images_per_cpu_s": Metric(
        "Features, one core", "Images a second of one core's time", "higher", unit="1/s"
    ),
    "speedup_over_timm": Metric("Speed-up over timm", "Its time over ours", "higher", unit="x"),
    "cached_s": Metric("From the cache", "Time to read the features again", "lower", unit="s"),
    "million_s": Metric("A million rows", "Time to cluster a million rows", "lower", unit="s"),
    "million_inertia_per_row": Metric("Inertia a row, a million rows", "Mean squared distance", "lower"),
    "discover_s": Metric("Discovery", "Time of discover from cached features", "lower", unit="s"),
    "discover_cpu_s": Metric("Discovery, processor", "Processor time of the same", "lower", unit="s"),
}

CONDITIONS: Mapping[str, str] = {
    "labels": "{:,} labelled",
    "k": "{} k",
    "imbalance": "imbalance {:g}",
    "decisions": "{} decisions",
    "over": "over {}",
}
"""Keys of a row that say what it was measured on."""
