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
    "packed_mb": Metric("Packed", "Bytes of the packed model (measured)", "lower", unit="MB"),
    "packed_ratio": Metric(
        "Packed, ratio", "Bytes of the same model in 32 bits over its packed ones", "higher"
    ),
    "encoding_mb": Metric(
        "Vocabulary", "Bytes of vocabulary and normalisation in the file", "lower", unit="MB"
    ),
    "file_mb": Metric("File", "Bytes of the packed file", "lower", unit="MB"),
    "parity_share": Metric(
        "Equal scores",
        "Rows whose packed score is PyTorch's to 0.00001",
        "higher",
        decimals=3,
        scale=100,
        unit="%",
    ),
    "parity_max": Metric(
        "Greatest difference", "Greatest difference of a packed score to PyTorch's", "lower"
    ),
    "collision_rate": Metric(
        "Collisions", "Distinct training values that share their hashed id", decimals=2, scale=100, unit="%"
    ),
    "train_step_ms": Metric("Training step", "Median time of a training step", "lower", unit="ms"),
    "train_step_ratio": Metric(
        "Training step, ratio", "Time of a training step over the baseline's", "lower"
    ),
    "throughput_ratio": Metric("Throughput, ratio", "Throughput over the baseline's", "higher"),
    "throughput_per_core_s": Metric(
        "Throughput of a core", "Rows a second of processor time", "higher", unit="rows/s"
    ),
    "throughput_per_core_ratio": Metric(
        "Throughput of a core, ratio", "Throughput of a core over the baseline's", "higher"
    ),
    **{
        f"call_us_{batch}": Metric(
            f"{batch:,} row{'s' * (batch > 1)}",
            "Median time of a call with so many rows",
            "lower",
            unit="\u00b5s",
        )
        for batch in (1, 128, 2048)
    },
    "latency_us_inside": Metric(
        "Latency inside", "Median time of a call without what Python adds", "lower", unit="\u00b5s"
    ),
    "speedup_over_rivals": Metric(
        "Faster than the best rival", "Latency of the fastest rival at this point over its own", "higher"
    ),
    "speedup_over_float": Metric(
        "Faster than our float", "Latency of the float model in the same engine over its own", "higher"
    ),
    "speedup_over_int8": Metric(
        "Faster than our int8", "Latency of the 8-bit model in the same engine over its own", "higher"
    ),
    "roofline_us": Metric(
        "Least time", "Time below which this machine's peaks let no engine come", "lower", unit="\u00b5s"
    ),
    "roofline_share": Metric("Share of the peak", "Least time over the measured one", "higher", 0, 100, "%"),
    "memory_bound": Metric(
        "Memory-bound", "1 where the least time is that of memory, 0 where it is arithmetic", decimals=0
    ),
    "cold_start_s": Metric("Cold start", "Seconds from the imports to the first score", "lower", unit="s"),
    "libraries_mb": Metric(
        "Libraries", "Memory that the imports add to Python with NumPy", "lower", unit="MB"
    ),
    "model_rss_mb": Metric(
        "Model in memory", "Memory that opening the model and scoring add to the imports", "lower", unit="MB"
    ),
    "rank_rate_per_s": Metric(
        "Rate", "Requests a second of which 99 in 100 are answered in time", "higher", unit="1/s"
    ),
    "rank_rate_ratio": Metric("Rate, ratio", "Rate over the baseline's", "higher"),
    "rank_ms_p50": Metric("Request, p50", "Median time of a request at that rate", "lower", unit="ms"),
    "rank_ms_p99": Metric("Request, p99", "99th percentile at that rate", "lower", unit="ms"),
    "soak_rate_per_s": Metric("Rate for minutes", "Requests a second while models change", unit="1/s"),
    "soak_failed": Metric("Failed", "Requests without an answer while models change", "lower", 0),
    "soak_reloads": Metric("Reloads", "Models that were taken up meanwhile", decimals=0),
    "soak_ms_p99": Metric("Request for minutes, p99", "99th percentile meanwhile", "lower", unit="ms"),
    "table_gb": Metric("Tables", "Size of the embedding tables (computed)", "lower", unit="GB"),
    "training_gb_rowwise_adagrad": Metric(
        "Training, row-wise Adagrad", "Memory of tables and optimizer (computed)", "lower", unit="GB"
    ),
    "training_gb_adam": Metric(
        "Training, Adam", "Memory of tables and optimizer (computed)", "lower", unit="GB"
    ),
    "bytes_per_row": Metric("Memory a row", "Growth of the process by a row of a table", "lower", unit="B"),
    "computed_bytes_per_row": Metric("Memory a row, computed", "What a row should need", "lower", unit="B"),
}
