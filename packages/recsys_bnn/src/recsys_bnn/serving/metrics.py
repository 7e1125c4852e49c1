"""What a server counts, in the text format of Prometheus."""

from collections.abc import Mapping
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
"""Seconds; 0.02 is the limit of the benchmark."""


class Metrics:
    """Counters of one server; each may be changed from any thread."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self.requests = Counter(
            "recsys_requests", "Requests by path and status.", ("path", "status"), registry=registry
        )
        self.seconds = Histogram(
            "recsys_request_seconds",
            "Seconds from the head of a request to the end of its answer.",
            ("path",),
            buckets=BUCKETS,
            registry=registry,
        )
        self.rows = Counter("recsys_rows", "Rows that were scored.", registry=registry)
        self.unknown = Counter(
            "recsys_unknown_values",
            "Values that the vocabulary of the model lacks; a share that rises tells of drift.",
            ("field",),
            registry=registry,
        )
        self.reloads = Counter(
            "recsys_reloads", "New model files, taken up or refused.", ("result",), registry=registry
        )
        self.model = Info("recsys_model", "The model that answers.", registry=registry)
        self.loaded = Gauge(
            "recsys_model_loaded_timestamp_seconds", "When the model was loaded.", registry=registry
        )

        # To find the counter of a label takes longer than to count.
        self._of_answers = cache(lambda path, status: self.requests.labels(path, str(status)))
        self._of_paths, self._of_fields = cache(self.seconds.labels), cache(self.unknown.labels)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count an answer and its time."""
        self._of_answers(path, status).inc()
        self._of_paths(path).observe(seconds)

    def count(self, rows: int, unknown: Mapping[str, int]) -> None:
        """Count scored rows, and by field the values among them that are out of vocabulary."""
        self.rows.inc(rows)
        for field, values in unknown.items():
            self._of_fields(field).inc(values)

    def text(self) -> bytes:
        """Return all of them as Prometheus reads them."""
        return generate_latest(self._registry)
