"""What a report says of the data: rows, click rates, cardinalities and values that were never seen in training."""

from collections.abc import Iterator

from recsys_bnn.dataset import Dataset
from seminar_common.results import Results, Row

MODEL = "data"
"""Stands for no model in the rows of a data card."""


def data_card(dataset: Dataset) -> Results:
    """Return the figures that describe a data set.

    Metrics: ``rows`` and ``click_rate`` by split, ``click_rate`` by day or tenth of the log (``subset``), and by field
    (``label``) ``cardinality``, ``out_of_vocabulary_rate`` by split and, where it is hashed, ``collision_rate``.
    """
    return Results("prepare", (*_splits(dataset), *_periods(dataset), *_fields(dataset)))


def _splits(dataset: Dataset) -> Iterator[Row]:
    for split, rows in dataset.description["rows"].items():
        yield Row(MODEL, dataset.name, split, "rows", rows)
        if rows:
            yield Row(
                MODEL, dataset.name, split, "click_rate", dataset.description["click_rate"][split], n=rows
            )


def _periods(dataset: Dataset) -> Iterator[Row]:
    for period in dataset.description["periods"]:
        rows, rate = period["rows"], period["click_rate"]
        if rate is not None:
            yield Row(MODEL, dataset.name, "", "click_rate", rate, n=rows, subset=period["period"])


def _fields(dataset: Dataset) -> Iterator[Row]:
    described = dataset.description
    for name, cardinality in zip(dataset.categorical_names, dataset.cardinalities, strict=True):
        yield Row(MODEL, dataset.name, "", "cardinality", cardinality, label=name)
        for split, rate in described["out_of_vocabulary_rate"][name].items():
            if rate is not None:
                n = described["rows"][split]
                yield Row(MODEL, dataset.name, split, "out_of_vocabulary_rate", rate, n=n, label=name)
        if name in described["hashed"]:
            hashed = described["hashed"][name]
            rate, values = hashed["collision_rate"], hashed["values"]
            yield Row(MODEL, dataset.name, "train", "collision_rate", rate, n=values, label=name)
