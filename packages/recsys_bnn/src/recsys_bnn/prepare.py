"""Turn raw click logs into a prepared data set: three passes over the rows, none of which holds them all.

(Only `movielens` holds all ratings, to sort them.) The first parses the text and stages the rows on disk in the common
form of :mod:`recsys_bnn.data.chunks`, the second fits vocabulary and normalisation to the training rows
(:mod:`recsys_bnn.data.fitted`), the third encodes and writes the splits. With a vocabulary that was fitted before, the
second pass is left out. The folder it makes is described in :mod:`recsys_bnn.data.dataset`.
"""

import dataclasses
import hashlib
import json
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from recsys_bnn.data.chunks import PROBABILITY, StagedRows, array, rechunk, stage
from recsys_bnn.data.click_rates import Clicks
from recsys_bnn.data.data_card import data_sections
from recsys_bnn.data.dataset import (
    BLOCK_ROWS,
    CARD,
    DESCRIPTION,
    FINGERPRINT,
    SCHEMA,
    SPLITS,
    VOCABULARY,
    WINDOW_BLOCKS,
    arrow_schema,
    checksum,
    sealed,
)
from recsys_bnn.data.encoding import Encoded, Normalisation, encode
from recsys_bnn.data.fitted import Fitted, fit, read_fitted
from recsys_bnn.data.formats import FORMATS, OF_FOLDERS
from recsys_bnn.data.formats.bad_rows import BadRows
from recsys_bnn.data.formats.base import Format
from recsys_bnn.data.formats.compression import parted
from recsys_bnn.data.formats.inputs import listed
from recsys_bnn.data.formats.text import CLUSTER_BLOCK_BYTES, Source
from recsys_bnn.data.id_table import MISSING, OUT_OF_VOCABULARY
from recsys_bnn.data.lists import list_parts, rows_with
from recsys_bnn.data.parallel import OrderedMap, on_shared_disk, parallel_map
from recsys_bnn.data.splits import Splits, split
from recsys_bnn.data.vocabulary import FILE, Vocabulary, write_vocabulary
from recsys_bnn.settings.prepare import PrepareConfig
from seminar_common import files
from seminar_common.errors import UserError
from seminar_common.progress import Advance, progress, say
from seminar_common.report import write_report

_MUCH_GB = 4
"""Rows in memory that are worth a remark; a thousand features come to so many."""


def prepare(config: PrepareConfig) -> Path:
    """Write the data set that ``config`` asks for; return its folder.

    Raises:
        UserError: the folder exists, an input file or row is bad, the rows can't be split or trained on, or
            the disk is full. Nothing is left behind.
    """
    files.refuse_existing(config.out)
    files.check_utf8(config.out.absolute())
    config = dataclasses.replace(config, input=listed(config.input, folders=config.format not in OF_FOLDERS))
    layout = FORMATS[config.format](config)
    for remark in _remarks(layout):
        say(remark)
    with parallel_map(config.work) as ordered_map, files.atomic_path(config.out.absolute()) as folder:
        folder.mkdir()
        description = _write(config, layout, folder, ordered_map)
        write_report(data_sections(description), folder / CARD, f"Data card of {description['name']}")
    _report(config.out, description)
    return config.out


def _remarks(layout: Format) -> Iterator[str]:
    """Yield what is to be known of the features before hours are spent on them, a line each."""
    integers, fields = len(layout.integer_names), len(layout.categorical_names)
    if fields + bool(integers) < 2:
        yield (
            f"{fields} categorical fields and {integers} integers: a DLRM needs two fields, or one and an integer, so "
            "`train` will refuse these data; list more columns under categoricals"
        )
    gigabytes = 4 * (integers + fields) * WINDOW_BLOCKS * BLOCK_ROWS / 1e9
    if gigabytes > _MUCH_GB:
        yield (
            f"{integers + fields:,} features: `train` will hold up to {gigabytes:.0f} GB of rows at once, and multiply "
            f"{fields * (fields - 1) // 2:,} pairs of fields for each row; leave out columns if that is too much"
        )


def _write(config: PrepareConfig, layout: Format, folder: Path, ordered_map: OrderedMap) -> dict[str, Any]:
    """Fill ``folder``; return its description."""
    staging, encoder = folder / "staging.arrow", folder / "encoder.pickle"
    # Read before the log, so that a log of other features is refused at once.
    fitted = None if config.vocabulary is None else read_fitted(config.vocabulary, layout)
    bad_rows, clicks = BadRows(config.on_error), Clicks()
    sources = _stage(config, layout, staging, bad_rows, clicks, ordered_map)
    splits = split(config, staging, clicks.rows, layout.days())
    fitted = fitted or fit(config, layout, splits, ordered_map)
    vocabulary, normalisation = fitted.vocabulary, fitted.normalisation
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "format": config.format,
        "integer_names": layout.integer_names,
        "categorical_names": layout.categorical_names,
        "kinds": [keys.kind for keys in layout.keys],
        "cardinalities": vocabulary.cardinalities,
        **({"list_widths": vocabulary.widths} if vocabulary.widths else {}),
        "rows": splits.sizes,
        "normalisation": normalisation.facts(),
        "hashed": fitted.hashed,
        VOCABULARY: fitted.identity(layout.integer_names, layout.keys),
        "settings": _settings(config, layout, fitted),
        "sources": [{"file": s.path.name, "bytes": s.bytes, "digest": s.digest} for s in sources],
        "skipped": bad_rows.summary(),
    }
    content[FINGERPRINT] = _fingerprint(content, vocabulary)
    metadata = {FINGERPRINT: content[FINGERPRINT]}
    write_vocabulary(folder / FILE, vocabulary, layout.keys, metadata)
    encoding = _Encoding(vocabulary, normalisation, metadata, encoder)
    shares = _write_splits(folder, splits, encoding, _has_probability(staging), ordered_map)
    _check_labels(layout, shares["train"])
    staging.unlink()
    encoder.unlink(missing_ok=True)
    if bad_rows.first:
        bad_rows.write_csv(folder / "skipped.csv")
    name = config.name or layout.default_name(clicks.rows)
    periods = clicks.by_period(layout.days())
    written = {name: _facts(folder / name) for name in (*(f"{split}.arrow" for split in SPLITS), FILE)}
    description = sealed(
        {
            "name": name,
            **content,
            **({"table_schema": layout.schema_text} if layout.schema_text is not None else {}),
            **_rates(layout, shares),
            "periods": periods,
            "files": written,
        }
    )
    files.write_json(folder / DESCRIPTION, description)
    return description


def _facts(path: Path) -> dict[str, int]:
    return {"bytes": path.stat().st_size, "crc32": checksum(path)}


def _settings(config: PrepareConfig, layout: Format, fitted: Fitted) -> dict[str, Any]:
    """Return the settings that the content depends on."""
    names = ["on_error"]
    if config.chosen_split != "day":
        names += ["val_fraction", "test_fraction"]
    if config.chosen_split == "random":
        names += ["seed"]
    chosen = {name: getattr(config, name) for name in names}
    return {"split": config.chosen_split, **fitted.settings, **chosen, **layout.settings()}


def _fingerprint(content: dict[str, Any], vocabulary: Vocabulary) -> str:
    """Digest everything that determines the encoded rows: sources, settings and what was fitted."""
    sources = [(source["bytes"], source["digest"]) for source in content["sources"]]
    text = json.dumps({**content, "sources": sources, "skipped": None}, sort_keys=True)
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for field in vocabulary.fields:
        digest.update(field.counts.tobytes())
    return digest.hexdigest()


def _stage(
    config: PrepareConfig,
    layout: Format,
    path: Path,
    bad_rows: BadRows,
    clicks: Clicks,
    ordered_map: OrderedMap,
) -> list[Source]:
    """Parse the input into a staged file, and count its ``clicks``; return the sources that were read."""
    for source in layout.paths:
        files.check_file(parted(source)[0])
    generated = not layout.paths
    total = config.rows if generated else bytes_to_read(layout.paths)
    with progress("reading", total, unit="rows" if generated else "B") as advance:
        block_bytes = CLUSTER_BLOCK_BYTES if config.work.cluster else None
        sources = [Source(path, advance, block_bytes) for path in layout.paths]
        batches = layout.chunks(sources, bad_rows, ordered_map)
        stage(path, clicks.watch(_counted(batches, advance) if generated else batches))
    if not clicks.rows:
        raise UserError(
            f"{layout.paths[0]}: holds no row of the format {config.format}; is it the right file?"
        )
    return sources


def bytes_to_read(paths: Sequence[Path]) -> int | None:
    """Return the size of the input, or None where a pipe is among it, which doesn't say how much will come."""
    found = [parted(path)[0] for path in paths]
    return sum(path.stat().st_size for path in found) if all(path.is_file() for path in found) else None


def _counted(batches: Iterator[pa.RecordBatch], advance: Advance) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        advance(batch.num_rows)
        yield batch


def _check_labels(layout: Format, train: "_Shares") -> None:
    """Raise a UserError unless both labels are among the training rows."""
    if train.clicks in (0, train.rows):
        file = f"{layout.paths[0]}: " if layout.paths else ""
        raise UserError(
            f"{file}all {train.rows} training rows have the label {int(train.clicks > 0)}; training needs both 0 and "
            "1, so give more rows"
        )


@dataclass(frozen=True)
class _Shares:
    """Counts over the rows of a split."""

    rows: int
    clicks: int
    missing: np.ndarray
    """Rows without a value of each feature, integers first, int64 [I + F]."""
    unknown: np.ndarray
    """Rows out of vocabulary, or with such an item, by categorical field, int64 [F]."""
    cut: np.ndarray
    """Rows whose list is longer than what is read of it, by field of lists, int64 [L]."""

    def __add__(self, other: "_Shares") -> "_Shares":
        return _Shares(
            self.rows + other.rows,
            self.clicks + other.clicks,
            self.missing + other.missing,
            self.unknown + other.unknown,
            self.cut + other.cut,
        )


class _Encoding:
    """Encodes staged rows; where it is pickled, its content goes through a file that workers read once.

    A vocabulary may be larger than the rows of a piece, and a cluster sends the function with every piece.
    """

    def __init__(
        self, vocabulary: Vocabulary, normalisation: Normalisation, metadata: dict[str, str], file: Path
    ):
        self.vocabulary, self.normalisation, self.metadata, self.file = (
            vocabulary,
            normalisation,
            metadata,
            file,
        )

    def __call__(self, piece: StagedRows) -> tuple[pa.RecordBatch, _Shares]:
        chunk = piece.read()
        encoded = encode(chunk, self.vocabulary, self.normalisation)
        return arrow_batch(encoded, self.metadata), _share(chunk, encoded, self.vocabulary)

    def __reduce__(self) -> "tuple[Callable[[Path], _Encoding], tuple[Path]]":
        if not self.file.exists():
            with files.atomic_path(self.file) as path, path.open("wb") as file:
                pickle.dump((self.vocabulary, self.normalisation, self.metadata), file)
        return _read_encoding, (self.file,)


def _read_encoding(path: Path) -> _Encoding:
    with on_shared_disk(path), path.open("rb") as file:
        return _Encoding(*pickle.load(file), path)


def _write_splits(
    folder: Path, splits: Splits, encoding: _Encoding, probability: bool, ordered_map: OrderedMap
) -> dict[str, _Shares]:
    """Encode and write the three splits; return the counts of each."""
    shares = {}
    integers, fields = len(encoding.normalisation.mean), len(encoding.vocabulary.fields)
    counts = [np.zeros(n, np.int64) for n in (integers + fields, fields, len(encoding.vocabulary.widths))]
    none = _Shares(0, 0, *counts)
    schema = arrow_schema(integers, encoding.vocabulary.columns, probability, encoding.metadata)
    with progress("writing", sum(splits.sizes.values()), unit="rows") as advance:
        for name in SPLITS:
            parts = ordered_map(encoding, splits.chunks(name))
            counted = _Counted(parts, advance, none)
            with pa.ipc.new_file(folder / f"{name}.arrow", schema) as writer:
                for block in rechunk(counted, BLOCK_ROWS):
                    writer.write_batch(block)
            shares[name] = counted.shares
    return shares


def _has_probability(staging: Path) -> bool:
    with pa.OSFile(str(staging)) as file:
        return PROBABILITY in pa.ipc.open_file(file).schema.names


class _Counted:
    """Encoded batches of a split, whose counts are added up as they pass."""

    def __init__(self, parts: Iterable[tuple[pa.RecordBatch, _Shares]], advance: Advance, none: _Shares):
        self._parts, self._advance, self.shares = parts, advance, none

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch, share in self._parts:
            self.shares += share
            self._advance(share.rows)
            yield batch


def arrow_batch(encoded: Encoded, metadata: dict[str, str]) -> pa.RecordBatch:
    """Return encoded rows in the form of the split files."""
    integers, categoricals = encoded.integers, encoded.categoricals
    schema = arrow_schema(
        integers.shape[1], categoricals.shape[1], encoded.probabilities is not None, metadata
    )
    arrays = [array(encoded.labels)]
    for values, field in ((integers, schema.field("integers")), (categoricals, schema.field("categoricals"))):
        flat = array(values.reshape(-1))
        arrays.append(pa.Array.from_buffers(field.type, len(values), [None], children=[flat]))
    if encoded.probabilities is not None:
        arrays.append(array(encoded.probabilities))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _share(chunk: pa.RecordBatch, encoded: Encoded, vocabulary: Vocabulary) -> _Shares:
    integers, fields = encoded.integers.shape[1], len(vocabulary.fields)
    missing = [column.null_count for column in chunk.columns[1 : 1 + integers]]
    ids, widths = encoded.categoricals, vocabulary.widths
    lists = chunk.columns[1 + integers + fields - len(widths) : 1 + integers + fields]
    longer = [np.count_nonzero(list_parts(c)[0] > w) for c, w in zip(lists, widths, strict=True)]
    return _Shares(
        chunk.num_rows,
        int(np.count_nonzero(encoded.labels)),
        np.concatenate([missing, rows_with(MISSING, ids, widths)]).astype(np.int64),
        rows_with(OUT_OF_VOCABULARY, ids, widths),
        np.array(longer, np.int64),
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

    lists = layout.categorical_names[len(layout.categorical_names) - len(shares["train"].cut) :]
    return {
        "click_rate": {split: rate(s.clicks, s.rows) for split, s in shares.items()},
        "missing_rate": by_feature(layout.integer_names + layout.categorical_names, "missing"),
        "out_of_vocabulary_rate": by_feature(layout.categorical_names, "unknown"),
        **({"cut_list_rate": by_feature(lists, "cut")} if lists else {}),
    }


def _report(out: Path, description: dict[str, Any]) -> None:
    rows = ", ".join(f"{count:,} {name}" for name, count in description["rows"].items())
    skipped = description["skipped"]["rows"]
    note = f"; skipped {skipped:,} bad rows, see {out / 'skipped.csv'}" if skipped else ""
    for name, cut in description.get("cut_list_rate", {}).items():
        if any(cut.values()):
            say(
                f"{name}: some lists are longer than what is read of them, see cut_list_rate in {out / DESCRIPTION}"
            )
    say(
        f"prepared {description['name']}: {rows} rows, {sum(description['cardinalities']):,} ids in {out}{note}; see {out / CARD}"
    )
