"""What a report says of the data: rows, click rates, cardinalities and values that were never seen in training."""

from collections.abc import Iterator, Mapping
from typing import Any

from seminar_common.report import Section
from seminar_common.results import Results, Row

Description = Mapping[str, Any]
SHOWN = 100
"""Fields that a report lists; `dataset.json` tells of all."""


def data_sections(described: Description) -> list[Section]:
    """Return the parts of a report that describe the data: rows and click rates, fields, how it was prepared.

    Args:
        described: The content of ``dataset.json``.
    """
    name, settings = described["name"], described["settings"]
    parts, fields = (
        Results("", (*_splits(described), *_periods(described))),
        Results("", _fields(described)),
    )
    count = len(described["categorical_names"])
    largest = f": the {SHOWN} of {count:,} with most ids, the others in dataset.json" if count > SHOWN else ""
    return [
        Section(f"Rows of {name}", parts, settings, lines="Part"),
        Section(f"Categorical fields of {name}{largest}", fields, lines="Field"),
    ]


def _splits(described: Description) -> Iterator[Row]:
    """Yield ``rows`` and ``click_rate`` of each split."""
    for split, rows in described["rows"].items():
        yield Row(split, described["name"], "", "rows", rows)
        if rows:
            yield Row(split, described["name"], "", "click_rate", described["click_rate"][split])


def _periods(described: Description) -> Iterator[Row]:
    """Yield ``rows`` and ``click_rate`` of each day or tenth of the log."""
    for period in described["periods"]:
        name, rate = period["period"].replace("_", " "), period["click_rate"]
        if rate is not None:
            yield Row(name, described["name"], "", "rows", period["rows"])
            yield Row(name, described["name"], "", "click_rate", rate)


def _fields(described: Description) -> tuple[Row, ...]:
    """Return by field ``cardinality``, ``out_of_vocabulary_rate`` by split and, where it is hashed, ``collision_rate``."""
    rows = []
    cardinalities = dict(zip(described["categorical_names"], described["cardinalities"], strict=True))
    least = sorted(cardinalities.values(), reverse=True)[:SHOWN][-1:]
    shown = [name for name, ids in cardinalities.items() if ids >= least[0]][:SHOWN]
    for name in shown:
        cardinality = cardinalities[name]
        rows.append(Row(name, described["name"], "", "cardinality", cardinality))
        for split, rate in described["out_of_vocabulary_rate"][name].items():
            if rate is not None:
                rows.append(Row(name, described["name"], "", f"out_of_vocabulary_rate_{split}", rate))
        if name in described["hashed"]:
            rows.append(
                Row(
                    name, described["name"], "", "collision_rate", described["hashed"][name]["collision_rate"]
                )
            )
    return tuple(rows)
