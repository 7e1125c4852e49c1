"""How each metric is printed: its heading, unit and decimals, and which way is better."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from seminar_common.results import Row


@dataclass(frozen=True)
class Metric:
    """How one metric is named and printed."""

    name: str
    """Heading of its column."""
    long_name: str
    """What it is, for whoever doesn't know the heading."""
    better: str = ""
    """``higher``, ``lower``, or empty where neither is."""
    decimals: int | None = None
    """Decimals in print; three significant digits if left out."""
    scale: float = 1.0
    """Factor from the file to print: 100 for percent."""
    unit: str = ""
    quality: bool = False
    """True if it says how good a model is, rather than what it costs."""
    signed: bool = False
    """True for a difference: its sign is always printed."""

    def format(self, value: float) -> str:
        """Return ``value`` (as in the file) for print, without its unit."""
        value = self.scale * value
        text = _significant(value, 3) if self.decimals is None else f"{value:,.{self.decimals}f}"
        negative = text.startswith("-")
        text = text.removeprefix("-")
        if not text.strip("0.,"):  # neither -0.0000 nor +0.0000
            return text
        return ("\u2212" if negative else "+" if self.signed else "") + text

    def text(self, value: float) -> str:
        """Return ``value`` for print with its unit."""
        gap = "" if self.unit in ("%", "") else "\u00a0"
        return f"{self.format(value)}{gap}{self.unit}"

    def interval(self, row: Row) -> str:
        """Return the row's 95% interval for print, empty if it has none."""
        if row.ci_low is None or row.ci_high is None:
            return ""
        return f"[{self.format(row.ci_low)}, {self.format(row.ci_high)}]"

    @property
    def axis(self) -> str:
        """Its name with its unit, for an axis or a heading."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


def _significant(value: float, digits: int) -> str:
    """Return ``value`` rounded to ``digits`` significant digits, in plain notation down to a millionth."""
    if value == 0 or not 1e-6 <= abs(value) < 1e15:
        return f"{value:.{digits - 1}e}" if value else "0"
    exponent = int(f"{value:.{digits - 1}e}".split("e")[1])  # after rounding: 9.999 has the exponent of 10
    decimals = digits - 1 - exponent
    return f"{round(value, decimals):,.{max(0, decimals)}f}"


def _quality(name: str, long_name: str, decimals: int, better: str = "higher") -> Metric:
    return Metric(name, long_name, better, decimals, quality=True)


def _percent(name: str, long_name: str, decimals: int = 1) -> Metric:
    return Metric(name, long_name, "higher", decimals, scale=100, unit="%", quality=True)


# In the order of columns; the first quality that a table has leads its summary and its plots.
METRICS: Mapping[str, Metric] = {
    "roc_auc": _quality("ROC AUC", "Area under the receiver operating characteristic", 4),
    "accuracy": _percent("Accuracy", "Share of examples classified correctly", 2),
    "log_loss": _quality("Log loss", "Mean negative log-likelihood of the labels", 4, "lower"),
    "normalized_entropy": _quality("Norm. entropy", "Log loss over that of the mean label", 4, "lower"),
    "calibration_error": _quality("Calib. error", "Expected calibration error", 4, "lower"),
    "ap": _percent("AP", "Average precision over IoU 0.50 to 0.95"),
    "ap50": _percent("AP50", "Average precision at IoU 0.50"),
    "ap75": _percent("AP75", "Average precision at IoU 0.75"),
    "ap_unfiltered": _percent("AP any size", "Average precision with the smallest objects counted, too"),
    "ap_small": _percent("AP small", "Average precision of small objects"),
    "ap_medium": _percent("AP medium", "Average precision of middling objects"),
    "ap_large": _percent("AP large", "Average precision of large objects"),
    "crop_iou": _percent("Crop IoU", "Mean IoU of objects with the crop that fits best; 0 for a missed one"),
    "page_ap": _percent("Page AP", "Average precision of finding the pages that hold the class"),
    "page_f1": _percent("Page F1", "F1 of finding the pages that hold the class"),
    "acc_all": _percent("Acc. all", "Clustering accuracy over all classes"),
    "acc_known": _percent("Acc. known", "Clustering accuracy over known classes"),
    "acc_novel": _percent("Acc. novel", "Clustering accuracy over novel classes"),
    "macro_all": _percent("Macro acc. all", "Mean of the accuracies of all classes"),
    "macro_known": _percent("Macro acc. known", "Mean of the accuracies of known classes"),
    "macro_novel": _percent("Macro acc. novel", "Mean of the accuracies of novel classes"),
    "macro_known_many": _percent(
        "Macro acc. known, many", "Mean of the accuracies of known classes with many images"
    ),
    "macro_known_medium": _percent(
        "Macro acc. known, medium", "Mean of the accuracies of known classes of medium size"
    ),
    "macro_known_few": _percent(
        "Macro acc. known, few", "Mean of the accuracies of known classes with few images"
    ),
    "macro_novel_many": _percent(
        "Macro acc. novel, many", "Mean of the accuracies of novel classes with many images"
    ),
    "macro_novel_medium": _percent(
        "Macro acc. novel, medium", "Mean of the accuracies of novel classes of medium size"
    ),
    "macro_novel_few": _percent(
        "Macro acc. novel, few", "Mean of the accuracies of novel classes with few images"
    ),
    "acc_known_v1": _percent(
        "Acc. known, v1", "Known classes' accuracy under an assignment of its own (optimistic)"
    ),
    "acc_novel_v1": _percent(
        "Acc. novel, v1", "Novel classes' accuracy under an assignment of its own (optimistic)"
    ),
    "nmi": _quality("NMI", "Normalized mutual information", 3),
    "ari": _quality("ARI", "Adjusted Rand index", 3),
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
    "size_mb": Metric("Size", "Size of the model at its true bit widths", "lower", unit="MB"),
    "mflops_per_sample": Metric("MFLOPs", "Million multiply-adds a sample, times bits / 32", "lower"),
    "latency_us_p50": Metric("Latency p50", "Median time of a call", "lower", unit="\u00b5s"),
    "latency_us_p99": Metric("Latency p99", "99th percentile of the time of a call", "lower", unit="\u00b5s"),
    "train_rows_per_s": Metric(
        "Training", "Training rows a second of processor time", "higher", unit="rows/s"
    ),
    "throughput_per_s": Metric("Throughput", "Samples a second", "higher", unit="1/s"),
    "rows": Metric("Rows", "Rows of the data set", decimals=0),
    "click_rate": Metric("Click rate", "Share of clicks", decimals=2, scale=100, unit="%"),
    "cardinality": Metric("Ids", "Ids of the field, those for rare and missing values included", decimals=0),
    **{
        f"out_of_vocabulary_rate_{split}": Metric(
            f"Out of vocabulary, {split}",
            f"{split} rows whose value has no id",
            decimals=2,
            scale=100,
            unit="%",
        )
        for split in ("train", "val", "test")
    },
    "collision_rate": Metric(
        "Collisions", "Distinct training values that share their hashed id", decimals=2, scale=100, unit="%"
    ),
    "peak_rss_mb": Metric("Peak memory", "Peak resident memory of the process", "lower", unit="MB"),
}

DIFFERENCE = "_difference"  # ends the name of a metric that is a paired difference of another


def metric_named(name: str, unit: str = "") -> Metric:
    """Return how ``name`` prints: by :data:`METRICS`, as a difference of one of those, or plainly in ``unit``."""
    if name in METRICS:
        return METRICS[name]
    if name.endswith(DIFFERENCE):
        metric = metric_named(name.removesuffix(DIFFERENCE))
        unit = "points" if metric.unit == "%" else metric.unit or unit
        name = f"{metric.name} difference"
        return dataclasses.replace(metric, name=name, unit=unit, signed=True, quality=False)
    plain = name.replace("_", " ")
    return Metric(plain[:1].upper() + plain[1:], plain, unit=unit)


def in_column_order(names: Iterable[str]) -> list[str]:
    """Return metric names once each: known ones in the order of columns, then the others as they came."""
    order = list(METRICS)
    return sorted(dict.fromkeys(names), key=lambda name: order.index(name) if name in METRICS else len(order))
