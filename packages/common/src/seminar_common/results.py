"""The one result table: rows of measured figures, and the curves that belong to them.

Reports, plots, comparisons and checks read ``results.json`` and nothing else. Its form is
``{"schema": 2, "command": ..., "rows": [...], "curves": [...], "notes": [...]}``. A row is flat: :class:`Row`
names the keys that all topics share, and any other key is a fact of the topic's own. A key that does not apply
is left out of the file. Schema 1, which had a fixed list of keys, is read as well.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any

from seminar_common.errors import UserError
from seminar_common.files import read_json, write_json

SCHEMA = 2
READABLE = (1, SCHEMA)

Fact = str | Real
"""What a topic says of a figure in a key of its own: a text, a number, or true."""


@dataclass(frozen=True)
class Row:
    """One figure. Accuracies, AUCs and AP are fractions here and percent only in print."""

    model: str
    """The model or method, spelled the same everywhere: ``float``, ``binary``, ``adapted``, ..."""
    dataset: str
    """Name of the data set, e.g. ``criteo-10k``."""
    split: str
    """``val``, ``test`` or ``transductive``; empty for a figure of no split, such as a size."""
    metric: str
    """Name of the figure: ``roc_auc``, ``size_mb``, ``latency_us_p50``, ..."""
    value: float
    """The figure itself."""
    ci_low: float | None = None
    """Lower end of its 95% confidence interval."""
    ci_high: float | None = None
    """Upper end of its 95% confidence interval."""
    unit: str = ""
    """``MB``, ``us``, ...; empty for a fraction."""
    n: int | None = None
    """Rows, pages or images that the figure rests on."""
    seeds: tuple[int, ...] | None = None
    """Seeds of the runs that the figure rests on."""
    label: str | None = None
    """The one class that the figure is about."""
    engine: str | None = None
    """What ran the model, e.g. ``torch``."""
    bits: int | None = None
    """Bits of a weight, where one number says it."""
    batch: int | None = None
    """Samples in one timed call."""
    threads: int | None = None
    """CPU threads of a timed call."""
    subset: str | None = None
    """Part of the split, e.g. ``printed``."""
    ablation: str | None = None
    """What was changed or left out."""
    ours: bool | None = None
    """True for a method that this project adds."""
    baseline: str | None = None
    """For a paired difference: the model that was subtracted."""

    facts: Mapping[str, Fact] = field(default_factory=dict, hash=False)
    """Keys of the topic's own, e.g. ``imbalance`` or ``backbone``. They set rows apart as the fields do."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(f"{self.model} {self.metric}: a figure must be finite, not {self.value}")
        for key, fact in self.facts.items():
            if key in _KEYS or not isinstance(fact, Fact):
                raise ValueError(
                    f"{key!r}: a topic's key is none of the shared ones and holds a text or a number"
                )

    def get(self, key: str) -> Any:
        """Return what the row has under ``key`` in the file, a field or a fact; None if it has none."""
        return getattr(self, key) if key in _KEYS else self.facts.get(key)


_KEYS = frozenset(field.name for field in dataclasses.fields(Row))


@dataclass(frozen=True)
class Curve:
    """Points of one line in a plot, kept beside the rows so that a report needs no other file."""

    kind: str
    """``learning``, ``roc`` or ``calibration``."""
    model: str
    dataset: str
    split: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    x_label: str = ""
    y_label: str = ""


@dataclass(frozen=True)
class Results:
    """The content of one ``results.json``."""

    command: str
    """The command line that made the figures."""
    rows: tuple[Row, ...] = ()
    curves: tuple[Curve, ...] = field(default=())
    notes: tuple[str, ...] = ()
    """What a reader must know to read the figures right; every report prints it."""

    def one(self, **conditions: Any) -> Row:
        """Return the only row whose fields and facts equal ``conditions``.

        Raises:
            LookupError: no row or more than one row fits.
        """
        found = [row for row in self.rows if all(row.get(k) == v for k, v in conditions.items())]
        if len(found) != 1:
            raise LookupError(f"{len(found)} rows with {conditions} in the results of {self.command!r}")
        return found[0]


def merge(parts: Iterable[Results], command: str) -> Results:
    """Return the rows, curves and notes of ``parts`` in one table made by ``command``; a note stands once."""
    parts = list(parts)
    rows = tuple(row for part in parts for row in part.rows)
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    return Results(command, rows, tuple(curve for part in parts for curve in part.curves), notes)


def write_results(path: Path, results: Results) -> None:
    """Write ``results`` atomically to ``path``; keys without a value are left out."""
    write_json(path, as_document(results))


def as_document(results: Results) -> dict[str, Any]:
    """Return the content of the ``results.json`` that holds ``results``."""
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "command": results.command,
        "rows": [_without_none({**_fields(row), **row.facts}) for row in results.rows],
        "curves": [_without_none(_fields(curve)) for curve in results.curves],
    }
    return document | ({"notes": list(results.notes)} if results.notes else {})


def _fields(item: Row | Curve) -> dict[str, Any]:
    return {f.name: getattr(item, f.name) for f in dataclasses.fields(item) if f.name != "facts"}


def _without_none(item: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if value is not None}


def read_results(path: Path) -> Results:
    """Read a ``results.json``, or the one inside a run folder.

    Raises:
        UserError: missing, not JSON, of an unknown schema, or with a row that lacks a key or has an unfit one.
    """
    file = path / "results.json" if path.is_dir() else path
    document = read_json(file)
    if not isinstance(document, dict) or document.get("schema") not in READABLE:
        found = document.get("schema") if isinstance(document, dict) else type(document).__name__
        raise UserError(
            f"{file}: expected a results table of schema {READABLE[0]} or {SCHEMA}, found {found}"
        )
    rows = tuple(_parse(Row, item, file, i) for i, item in enumerate(document.get("rows", []), 1))
    curves = tuple(_parse(Curve, item, file, i) for i, item in enumerate(document.get("curves", []), 1))
    notes = tuple(str(note) for note in document.get("notes", []))
    return Results(str(document.get("command", "")), rows, curves, notes)


def _parse(kind: type, item: Any, file: Path, number: int) -> Any:
    try:
        keys = {key: tuple(value) if isinstance(value, list) else value for key, value in item.items()}
        return kind(**_with_facts(keys) if kind is Row else keys)
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{file}: {kind.__name__.lower()} {number} is not valid: {error}") from error


def _with_facts(keys: dict[str, Any]) -> dict[str, Any]:
    facts = {key: value for key, value in keys.items() if key not in _KEYS}
    return {key: value for key, value in keys.items() if key in _KEYS} | {"facts": facts}
