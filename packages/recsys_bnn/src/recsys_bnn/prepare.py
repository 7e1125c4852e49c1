"""Turn raw click logs into a prepared data set: three passes over the rows, none of which holds them all.

The first parses the text and stages the rows on disk in the common form of :mod:`recsys_bnn.chunks`, the
second fits vocabulary and normalisation to the training rows, the third encodes and writes the splits. The
folder it makes is described in :mod:`recsys_bnn.dataset`.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from recsys_bnn.chunks import LABEL, PROBABILITY, stage, staged
from recsys_bnn.dataset import BLOCK_ROWS, DESCRIPTION, FINGERPRINT, SCHEMA, SPLITS, arrow_schema
from recsys_bnn.encoding import Encoded, Moments, Normalisation, encode, logarithms
from recsys_bnn.formats import FORMATS, Format
from recsys_bnn.formats.bad_rows import BadRows
from recsys_bnn.formats.text import Source, ordered_map
from recsys_bnn.prepare_config import PrepareConfig
from recsys_bnn.vocabulary import (
    FILE,
    MISSING,
    OUT_OF_VOCABULARY,
    Counter,
    Counts,
    FieldVocabulary,
    Vocabulary,
    write_vocabulary,
)
from seminar_common import files
from seminar_common.errors import UserError
from seminar_common.progress import Advance, progress, say


def prepare(config: PrepareConfig) -> Path:
    """Write the data set that ``config`` asks for; return its folder.

    Raises:
        UserError: the folder exists, an input file or row is bad, the rows can't be split or trained on, or
            the disk is full. Nothing is left behind.
    """
    files.refuse_existing(config.out)
    layout = FORMATS[config.format]()
    with files.atomic_path(config.out) as folder:
        folder.mkdir()
        description = _write(config, layout, folder)
    _report(config.out, description)
    return config.out


def split_bounds(rows: int, val_fraction: float, test_fraction: float) -> dict[str, tuple[int, int]]:
    """Return the first row and the row after the last of each split, in time order.

    Shares are of all rows, rounded to whole rows.

    Raises:
        UserError: a split that was asked for would be empty.
    """
    val, test = round(rows * val_fraction), round(rows * test_fraction)
    train = rows - val - test
    sizes = {"train": (train, 1.0), "val": (val, val_fraction), "test": (test, test_fraction)}
    for name, (size, fraction) in sizes.items():
        if fraction > 0 and size < 1:
            raise UserError(f"{rows} rows are too few: no row is left for the {name} split; give more rows")
    return {"train": (0, train), "val": (train, train + val), "test": (train + val, rows)}


def _write(config: PrepareConfig, layout: Format, folder: Path) -> dict[str, Any]:
    """Fill ``folder``; return its description."""
    staging = folder / "staging.arrow"
    bad_rows = BadRows(config.on_error)
    rows, sources = _stage(config, layout, staging, bad_rows)
    bounds = split_bounds(rows, config.val_fraction, config.test_fraction)
    vocabulary, normalisation = _fit(layout, staging, bounds["train"], config)
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "format": config.format,
        "integer_names": layout.integer_names,
        "categorical_names": layout.categorical_names,
        "cardinalities": vocabulary.cardinalities,
        "rows": {name: stop - start for name, (start, stop) in bounds.items()},
        "normalisation": dataclasses.asdict(normalisation),
        "settings": _settings(config),
        "sources": [{"file": s.path.name, "bytes": s.bytes, "digest": s.digest} for s in sources],
        "skipped": bad_rows.summary(),
    }
    content[FINGERPRINT] = _fingerprint(content, vocabulary)
    metadata = {FINGERPRINT: content[FINGERPRINT]}
    write_vocabulary(folder / FILE, vocabulary, layout, metadata)
    shares = _write_splits(folder, staging, bounds, vocabulary, normalisation, metadata)
    staging.unlink()
    if bad_rows.first:
        bad_rows.write_csv(folder / "skipped.csv")
    name = config.name or layout.default_name(rows)
    description = {"name": name, **content, **_rates(layout, shares)}
    files.write_json(folder / DESCRIPTION, description)
    return description


def _settings(config: PrepareConfig) -> dict[str, Any]:
    """Return the settings that the content depends on."""
    return {key: getattr(config, key) for key in ("val_fraction", "test_fraction", "min_count", "on_error")}


def _fingerprint(content: dict[str, Any], vocabulary: Vocabulary) -> str:
    """Digest everything that determines the encoded rows: sources, settings and what was fitted."""
    sources = [(source["bytes"], source["digest"]) for source in content["sources"]]
    text = json.dumps({**content, "sources": sources, "skipped": None}, sort_keys=True)
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for field in vocabulary.fields:
        digest.update(field.keys.tobytes() + field.ids.tobytes() + field.counts.tobytes())
    return digest.hexdigest()


def _stage(config: PrepareConfig, layout: Format, path: Path, bad_rows: BadRows) -> tuple[int, list[Source]]:
    """Parse the input into a staged file; return the number of rows and the sources that were read."""
    for source in config.input:
        files.check_file(source)
    total = sum(source.stat().st_size for source in config.input)
    with progress("reading", total, unit="B") as advance:
        sources = [Source(path, advance) for path in config.input]
        rows = stage(path, layout.chunks(sources, bad_rows))
    if not rows:
        raise UserError(
            f"{config.input[0]}: holds no row of the format {config.format}; is it the right file?"
        )
    return rows, sources


def _fit(
    layout: Format, staging: Path, bounds: tuple[int, int], config: PrepareConfig
) -> tuple[Vocabulary, Normalisation]:
    """Fit vocabulary and normalisation to the training rows."""
    moments = [Moments() for _ in layout.integer_names]
    counters = [Counter() for _ in layout.categorical_names]
    clicks = 0
    summarise = functools.partial(_summarise, integers=len(moments), categoricals=len(counters))
    with progress("fitting", bounds[1] - bounds[0], unit="rows") as advance:
        for part in ordered_map(summarise, staged(staging, *bounds)):
            moments = [total + new for total, new in zip(moments, part.moments, strict=True)]
            for counter, counts in zip(counters, part.counts, strict=True):
                counter.add(counts)
            clicks += part.clicks
            advance(part.rows)
    if clicks in (0, bounds[1] - bounds[0]):
        raise UserError(
            f"{config.input[0]}: all {bounds[1] - bounds[0]} training rows have the label {int(clicks > 0)}; "
            "training needs both 0 and 1, so give more rows"
        )
    fields = tuple(FieldVocabulary.fit(counter, config.min_count) for counter in counters)
    return Vocabulary(layout.categorical_names, fields), Normalisation.fit(moments)


@dataclass(frozen=True)
class _Summary:
    """What one chunk of training rows adds to the fit."""

    rows: int
    clicks: int
    moments: list[Moments]
    counts: list[Counts]


def _summarise(chunk: pa.RecordBatch, integers: int, categoricals: int) -> _Summary:
    columns = chunk.columns
    moments = [Moments.of(logarithms(column.drop_null())) for column in columns[1 : 1 + integers]]
    counts = [Counts.of(column) for column in columns[1 + integers : 1 + integers + categoricals]]
    clicks = int(np.count_nonzero(chunk.column(LABEL).to_numpy()))
    return _Summary(chunk.num_rows, clicks, moments, counts)


@dataclass(frozen=True)
class _Shares:
    """Counts over the rows of a split."""

    rows: int
    clicks: int
    missing: np.ndarray
    """Rows without a value of each feature, integers first, int64 [I + F]."""
    unknown: np.ndarray
    """Rows out of vocabulary by categorical field, int64 [F]."""

    def __add__(self, other: "_Shares") -> "_Shares":
        return _Shares(
            self.rows + other.rows,
            self.clicks + other.clicks,
            self.missing + other.missing,
            self.unknown + other.unknown,
        )


def _write_splits(
    folder: Path,
    staging: Path,
    bounds: dict[str, tuple[int, int]],
    vocabulary: Vocabulary,
    normalisation: Normalisation,
    metadata: dict[str, str],
) -> dict[str, _Shares]:
    """Encode and write the three splits; return the counts of each."""
    shares = {}
    integers, fields = len(normalisation.mean), len(vocabulary.fields)
    none = _Shares(0, 0, np.zeros(integers + fields, np.int64), np.zeros(fields, np.int64))

    def work(chunk: pa.RecordBatch) -> tuple[pa.RecordBatch, _Shares]:
        encoded = encode(chunk, vocabulary, normalisation)
        return arrow_batch(encoded, metadata), _share(chunk, encoded)

    with progress("writing", bounds["test"][1], unit="rows") as advance:
        for name in SPLITS:
            parts = ordered_map(work, staged(staging, *bounds[name]))
            schema = arrow_schema(integers, fields, _has_probability(staging), metadata)
            shares[name] = sum(_written(folder / f"{name}.arrow", schema, parts, advance), none)
    return shares


def _has_probability(staging: Path) -> bool:
    with pa.OSFile(str(staging)) as file:
        return PROBABILITY in pa.ipc.open_file(file).schema.names


def _written(
    path: Path, schema: pa.Schema, parts: Iterator[tuple[pa.RecordBatch, _Shares]], advance: Advance
) -> Iterator[_Shares]:
    """Write the batches of a split to ``path``; yield the counts of each."""
    with pa.ipc.new_file(path, schema) as writer:
        for batch, share in parts:
            for start in range(0, batch.num_rows, BLOCK_ROWS):
                writer.write_batch(batch.slice(start, BLOCK_ROWS))
            advance(share.rows)
            yield share


def arrow_batch(encoded: Encoded, metadata: dict[str, str]) -> pa.RecordBatch:
    """Return encoded rows in the form of the split files."""
    integers, categoricals = encoded.integers, encoded.categoricals
    schema = arrow_schema(
        integers.shape[1], categoricals.shape[1], encoded.probabilities is not None, metadata
    )
    arrays = [pa.array(encoded.labels)]
    for values, field in ((integers, schema.field("integers")), (categoricals, schema.field("categoricals"))):
        flat = pa.array(values.reshape(-1))
        arrays.append(pa.Array.from_buffers(field.type, len(values), [None], children=[flat]))
    if encoded.probabilities is not None:
        arrays.append(pa.array(encoded.probabilities))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _share(chunk: pa.RecordBatch, encoded: Encoded) -> _Shares:
    integers = encoded.integers.shape[1]
    missing = [column.null_count for column in chunk.columns[1 : 1 + integers]]
    ids = encoded.categoricals
    return _Shares(
        chunk.num_rows,
        int(np.count_nonzero(encoded.labels)),
        np.concatenate([missing, np.count_nonzero(ids == MISSING, axis=0)]).astype(np.int64),
        np.count_nonzero(ids == OUT_OF_VOCABULARY, axis=0),
    )


def _rates(layout: Format, shares: dict[str, _Shares]) -> dict[str, Any]:
    """Return click rates by split, and missing and out-of-vocabulary rates by feature and split; None of no rows."""

    def rate(count: int, rows: int) -> float | None:
        return int(count) / rows if rows else None

    def by_feature(names: tuple[str, ...], attribute: str) -> dict[str, dict[str, float | None]]:
        return {
            name: {split: rate(getattr(s, attribute)[i], s.rows) for split, s in shares.items()}
            for i, name in enumerate(names)
        }

    return {
        "click_rate": {split: rate(s.clicks, s.rows) for split, s in shares.items()},
        "missing_rate": by_feature(layout.integer_names + layout.categorical_names, "missing"),
        "out_of_vocabulary_rate": by_feature(layout.categorical_names, "unknown"),
    }


def _report(out: Path, description: dict[str, Any]) -> None:
    rows = ", ".join(f"{count:,} {name}" for name, count in description["rows"].items())
    skipped = description["skipped"]["rows"]
    note = f"; skipped {skipped:,} bad rows, see {out / 'skipped.csv'}" if skipped else ""
    say(
        f"prepared {description['name']}: {rows} rows, {sum(description['cardinalities']):,} ids in {out}{note}"
    )
