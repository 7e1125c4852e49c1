"""How this package's metrics are printed; `seminar_common.display` finds them through an entry point."""

from collections.abc import Mapping

from seminar_common.display import Metric

METRICS: Mapping[str, Metric] = {
    "train_rows_per_s": Metric(
        "Training", "Training rows a second of processor time", "higher", unit="rows/s"
    ),
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
}
