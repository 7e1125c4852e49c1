"""How this package's metrics are printed; `seminar_common.display` finds them through an entry point."""

from collections.abc import Mapping

from seminar_common.display import Metric, percent, quality

METRICS: Mapping[str, Metric] = {
    "ap": percent("AP", "Average precision over IoU 0.50 to 0.95"),
    "ap50": percent("AP50", "Average precision at IoU 0.50"),
    "ap75": percent("AP75", "Average precision at IoU 0.75"),
    "ap_unfiltered": percent("AP any size", "Average precision with the smallest objects counted, too"),
    "ap_small": percent("AP small", "Average precision of small objects"),
    "ap_medium": percent("AP medium", "Average precision of middling objects"),
    "ap_large": percent("AP large", "Average precision of large objects"),
    "recall_p80_small": percent("Recall small", "Small objects found at IoU 0.50 with a precision of 0.8"),
    "recall_p80_medium": percent(
        "Recall medium", "Middling objects found at IoU 0.50 with a precision of 0.8"
    ),
    "recall_p80_large": percent("Recall large", "Large objects found at IoU 0.50 with a precision of 0.8"),
    "crop_iou": percent("Crop IoU", "Mean IoU of objects with the crop that fits best; 0 for a missed one"),
    "page_ap": percent("Page AP", "Average precision of finding the pages that hold the class"),
    "page_f1": percent("Page F1", "F1 of finding the pages that hold the class"),
    "agreement": percent(
        "Agreement", "How well what is found on a page agrees with what is found on it made smaller"
    ),
    "agreement_with_source": percent("With the source", "How well both detectors agree on a page"),
    "sure_finds": quality("Sure finds", "Finds with a score of 0.5 or more on the held-out pages", 0),
    "synthetic_loss": quality("Loss, source", "Loss on labelled pages of the source's world", 4, "lower"),
    "gap_closed_ap50": Metric(
        "Gap closed, AP50",
        "Share of the oracle's lead over the source in AP50",
        "higher",
        0,
        scale=100,
        unit="%",
    ),
    "gap_closed_ap": Metric(
        "Gap closed, AP", "Share of the oracle's lead over the source in AP", "higher", 0, scale=100, unit="%"
    ),
    "ap50_seed_sd": Metric(
        "AP50, seeds", "Standard deviation of AP50 over seeds", "lower", 1, scale=100, unit="points"
    ),
    "ap_seed_sd": Metric(
        "AP, seeds", "Standard deviation of AP over seeds", "lower", 1, scale=100, unit="points"
    ),
    "ap50_one_page": Metric(
        "Change by one page",
        "Change of AP50 without the page that it depends on most",
        decimals=1,
        scale=100,
        unit="points",
        signed=True,
    ),
    "ap50_change": Metric(
        "Change of AP50",
        "AP50 of the adapted detector, refused or not, less that of the source",
        "higher",
        1,
        scale=100,
        unit="points",
        signed=True,
    ),
    "agreement_lead": Metric(
        "Lead in agreement",
        "By how much its finds agree more between two sizes of a page than those of the source",
        "higher",
        1,
        scale=100,
        unit="points",
        signed=True,
    ),
    "pseudo_labels": Metric(
        "Pseudo-labels", "Sure finds of the source on the pages learned from", decimals=0
    ),
    "sure_finds_before": Metric("Before", "Sure finds of the source on the held-out pages", decimals=0),
    "adapt_cpu_min": Metric("CPU minutes", "Processor time of the adaptation", "lower", 1, unit="min"),
    "cpu_s_per_page": Metric(
        "CPU time a page", "Processor time for a page, of all threads", "lower", unit="s"
    ),
    "cpu_ratio": Metric("CPU time, ratio", "Processor time over that of the baseline", "lower"),
}
