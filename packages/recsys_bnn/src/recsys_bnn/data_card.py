"""What a report says of the data: rows, click rates, cardinalities and values that were never seen in training."""

from collections.abc import Iterator

from recsys_bnn.dataset import Dataset
from seminar_common.report import Section
from seminar_common.results import Results, Row


def data_sections(dataset: Dataset) -> list[Section]:
    """Return the parts of a report that describe the data: rows and click rates, fields, how it was prepared."""
    name, settings = dataset.name, dataset.description["settings"]
    parts, fields = (
        Results("prepare", (*_splits(dataset), *_periods(dataset))),
        Results("prepare", _fields(dataset)),
    )
    return [
        Section(f"Rows of {name}", parts, settings, lines="Part"),
        Section(f"Categorical fields of {name}", fields, lines="Field"),
    ]


def _splits(dataset: Dataset) -> Iterator[Row]:
    """Yield ``rows`` and ``click_rate`` of each split."""
    for split, rows in dataset.description["rows"].items():
        yield Row(split, dataset.name, "", "rows", rows)
        if rows:
            yield Row(split, dataset.name, "", "click_rate", dataset.description["click_rate"][split])


def _periods(dataset: Dataset) -> Iterator[Row]:
    """Yield ``rows`` and ``click_rate`` of each day or tenth of the log."""
    for period in dataset.description["periods"]:
        name, rate = period["period"].replace("_", " "), period["click_rate"]
        if rate is not None:
            yield Row(name, dataset.name, "", "rows", period["rows"])
            yield Row(name, dataset.name, "", "click_rate", rate)


def _fields(dataset: Dataset) -> tuple[Row, ...]:
    """Return by field ``cardinality``, ``out_of_vocabulary_rate`` by split and, where it is hashed, ``collision_rate``."""
    described, rows = dataset.description, []
    for name, cardinality in zip(dataset.categorical_names, dataset.cardinalities, strict=True):
        rows.append(Row(name, dataset.name, "", "cardinality", cardinality))
        for split, rate in described["out_of_vocabulary_rate"][name].items():
            if rate is not None:
                rows.append(Row(name, dataset.name, "", f"out_of_vocabulary_rate_{split}", rate))
        if name in described["hashed"]:
            rows.append(
                Row(name, dataset.name, "", "collision_rate", described["hashed"][name]["collision_rate"])
            )
    return tuple(rows)
