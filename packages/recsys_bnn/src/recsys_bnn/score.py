"""Click probabilities of raw rows, by a packed model: parsed, encoded and scored in parts that threads work on.

What is done is kept on disk as it comes (:mod:`recsys_bnn.serving.score_files`), so that a killed run goes on.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from recsys_bnn.compiled.memory import keep_freed
from recsys_bnn.data.chunks import array, cells
from recsys_bnn.data.formats.compression import parted
from recsys_bnn.data.formats.movielens_layouts import find_layout
from recsys_bnn.data.formats.table_schema import TableSchema, read_schema
from recsys_bnn.data.id_table import OUT_OF_VOCABULARY
from recsys_bnn.data.lists import rows_with
from recsys_bnn.data.parallel import OrderedMap, parallel_map
from recsys_bnn.data.raw_rows import EncodedRows, RawRows
from recsys_bnn.runtime.packed import PackedModel, load
from recsys_bnn.serving.quality import Quality
from recsys_bnn.serving.score_files import CLICK, NAME, PROBABILITY, Part, print_csv, unfinished, write_table
from recsys_bnn.settings.score import ScoreSettings
from seminar_common import files
from seminar_common.errors import UserError
from seminar_common.progress import Advance, progress, say
from seminar_common.work import WorkConfig

DRIFTING = 5
"""Fields whose share of unknown values is told, the largest first."""


def score(settings: ScoreSettings) -> None:
    """Write the probability of each row.

    Raises:
        UserError: the model or the input can't be read, a row is bad, or the output exists or can't be written.
            Nothing is left behind.
    """
    out = None if settings.out == "-" else Path(settings.out)
    if out is not None:
        files.refuse_existing(out)
    keep_freed()
    model = load(settings.model, threads=settings.threads, engine=settings.engine)
    source = _Source(settings, model)
    with parallel_map(WorkConfig(settings.workers)) as ordered_map:
        done = _Done(model)
        if out is None:
            print_csv(done.watch(source.scored(ordered_map)))
        else:
            _write(source, out, ordered_map, done)
    _report(settings, model, done)


def _write(source: "_Source", out: Path, ordered_map: OrderedMap, done: "_Done") -> None:
    with unfinished(out.absolute(), source.facts) as parts:
        if parts.rows:
            say(f"going on after {parts.rows:,} rows that are done")
        for part in source.scored(ordered_map, parts.rows):
            parts.add(part)
        if not parts.rows:
            raise UserError(f"{source.rows.paths[0]}: holds no rows; is it the right file?")
        for facts in parts.facts:
            done.count(facts)
        write_table(out, done.see(parts.batches()))


class _Source:
    """The rows to score.

    Raises:
        UserError: the input can't be read, or has other features than the model.
    """

    def __init__(self, settings: ScoreSettings, model: PackedModel):
        self._settings, self._model = settings, model
        self._layout = model.format if settings.format == "auto" else settings.format
        self._advance: Advance = lambda count: None
        self.rows = RawRows(
            self._layout,
            settings.input,
            model.encoder,
            schema=_schema(settings, model, self._layout),
            on_error=settings.on_error,
            missing_columns=settings.missing_columns,
            advance=lambda count: self._advance(count),
        )
        self._files = [parted(path)[0] for path in self.rows.paths]

    @property
    def facts(self) -> dict[str, Any]:
        """What the scores depend on."""
        settings, model, read = self._settings, self._model, list(self._files)
        if self._layout == "movielens":
            layout = find_layout(settings.input[0])
            read += [layout.items.path, *([layout.users.path] if layout.users else [])]
        return {
            "model": model.digest,
            "engine": model.engine.name,
            "input": [(str(path.absolute()), path.stat().st_size, path.stat().st_mtime_ns) for path in read],
            "members": list(map(str, self.rows.paths)),
            "schema": None if settings.schema is None else files.read_text(settings.schema),
            "options": (self._layout, settings.on_error, settings.missing_columns),
        }

    def scored(self, ordered_map: OrderedMap, start: int = 0) -> Iterator[Part]:
        """Yield the scores of the rows from number ``start`` on."""
        regular = all(path.is_file() for path in self._files)
        total = sum(path.stat().st_size for path in self._files) if regular else None
        with progress("scoring", total, unit="B") as self._advance:
            yield from self.rows.read(ordered_map, partial(_part, model=self._model), start=start)
        for line in self.rows.decisions:
            say(line)


def _schema(settings: ScoreSettings, model: PackedModel, layout: str) -> TableSchema | None:
    if layout != "table":
        return None
    schema = model.schema if settings.schema is None else read_schema(settings.schema)
    if schema is None:
        raise UserError(
            "--schema: give the TOML file that says what the columns are, as the model was not trained on a table"
        )
    return schema


def _part(rows: EncodedRows, model: PackedModel) -> Part:
    """Score some rows, where they were parsed."""
    probabilities = rows.spread(model.predict_encoded(rows.integers, rows.ids))
    columns = {PROBABILITY: _nullable(probabilities), CLICK: _clicks(rows)}
    if rows.names is not None:
        columns = {NAME: _spread(rows, rows.names)} | columns
    unknown = rows_with(OUT_OF_VOCABULARY, rows.ids, model.encoder.list_widths)
    facts = {"good": len(rows.ids), "unknown": unknown.tolist()}
    return Part(pa.RecordBatch.from_pydict(columns), facts)


def _nullable(values: np.ndarray) -> pa.Array:
    """Return numbers, float64 [N], with a null in place of NaN."""
    valid = ~np.isnan(values)
    return array(values, None if valid.all() else np.packbits(valid, bitorder="little"))


def _clicks(rows: EncodedRows) -> pa.Array:
    """Return the label of each row, bad ones included; null where there is none."""
    return pa.nulls(rows.rows, pa.uint8()) if rows.labels is None else _spread(rows, rows.labels)


def _spread(rows: EncodedRows, values: pa.Array) -> pa.Array:
    """Return one value for each row, null for a bad one, from those of the good rows."""
    if rows.good is None:
        return values
    places = np.zeros(rows.rows, np.int64)
    places[rows.good] = np.arange(len(rows.good))
    bad = np.ones(rows.rows, bool)
    bad[rows.good] = False
    return values.take(pa.array(places, mask=bad))


@dataclass
class _Done:
    """What the lines at the end are made of."""

    model: PackedModel
    rows: int = 0
    good: int = 0
    unknown: np.ndarray = field(init=False)
    quality: Quality = field(default_factory=Quality)

    def __post_init__(self) -> None:
        self.unknown = np.zeros(len(self.model.encoder.categorical_names), np.int64)

    def count(self, facts: dict[str, Any]) -> None:
        """Count a part."""
        self.rows += facts["rows"]
        self.good += facts["good"]
        self.unknown += facts["unknown"]

    def watch(self, parts: Iterable[Part]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of parts, and count them."""
        for part in parts:
            self.count({"rows": part.batch.num_rows, **part.facts})
            yield from self.see([part.batch])

    def see(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield batches, and compare their probabilities with their labels."""
        for batch in batches:
            clicks = batch.column(CLICK)
            if clicks.null_count < batch.num_rows:
                labelled = batch.filter(clicks.is_valid()) if clicks.null_count else batch
                # Array.to_numpy would import pandas, where it is installed, which takes a second.
                self.quality.add(cells(labelled.column(PROBABILITY))[0], cells(labelled.column(CLICK))[0])
            yield batch


def _report(settings: ScoreSettings, model: PackedModel, done: _Done) -> None:
    bad = done.rows - done.good
    left = f"; {bad:,} bad rows have no probability" if bad else ""
    say(f"scored {done.rows:,} rows with {model.name} (engine {model.engine.name}) into {settings.out}{left}")
    quality = done.quality
    if quality.rows:
        auc = (
            "no ROC AUC, as all have one label"
            if math.isnan(quality.roc_auc)
            else f"ROC AUC {quality.roc_auc:.4f}"
        )
        say(f"{auc}, log loss {quality.log_loss:.4f} on {quality.rows:,} rows with a label")
    shares = done.unknown / max(done.good, 1)
    drifting = [place for place in np.argsort(-shares, kind="stable")[:DRIFTING].tolist() if shares[place]]
    if drifting:
        names = model.encoder.categorical_names
        listed = ", ".join(f"{names[place]} {100 * shares[place]:.1f}%" for place in drifting)
        more = np.count_nonzero(shares) - len(drifting)
        say(
            f"values that the model doesn't know: {listed}"
            + (f", and {more} fields with fewer" if more else "")
        )
