"""What rows are encoded with: a vocabulary and a normalisation, fitted to training rows or taken from earlier data."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from recsys_bnn.data.chunks import StagedRows
from recsys_bnn.data.dataset import Dataset, open_dataset
from recsys_bnn.data.encoding import Moments, Normalisation, logarithms, signed_logarithms
from recsys_bnn.data.formats.base import Format
from recsys_bnn.data.formats.keys import Keys, ListKeys
from recsys_bnn.data.lists import USUAL_WIDTH
from recsys_bnn.data.parallel import OrderedMap
from recsys_bnn.data.splits import Splits
from recsys_bnn.data.stored_runs import require_vocabulary, stored_settings
from recsys_bnn.data.vocabulary import (
    FILE,
    Counter,
    Counts,
    Field,
    FieldVocabulary,
    HashedVocabulary,
    Vocabulary,
    read_vocabulary,
)
from recsys_bnn.settings.prepare import PrepareConfig
from seminar_common import runs
from seminar_common.errors import UserError
from seminar_common.identity import digest, require_same
from seminar_common.progress import progress

SETTINGS = ("min_count", "hash_buckets")
"""The settings of `prepare` that a fit depends on."""


@dataclass(frozen=True)
class Fitted:
    """All that turns a raw value into what a model reads."""

    vocabulary: Vocabulary
    normalisation: Normalisation
    hashed: dict[str, Any]
    """By name of a hashed field, the distinct values that it was fitted to and the share of them that collide."""
    settings: dict[str, Any]
    """The values of ``SETTINGS`` that it was fitted with."""

    def identity(self, integer_names: Sequence[str], spelling: Sequence[Keys]) -> str:
        """Return a digest that differs if a raw value of some feature becomes another id or number.

        It depends on values, not on how ``spelling`` happens to number them; training counts don't count.
        """
        widths = self.vocabulary.widths
        lists = {"list_widths": widths} if widths else {}
        fields = [
            {"name": name, "kind": keys.kind, **field.facts(keys)}
            for name, field, keys in zip(self.vocabulary.names, self.vocabulary.fields, spelling, strict=True)
        ]
        normalisation = self.normalisation.facts()
        return digest({"integers": integer_names, "normalisation": normalisation, "fields": fields, **lists})


def read_fitted(folder: Path, layout: Format) -> Fitted:
    """Return what encoded the data set in ``folder``, or the one that the run in ``folder`` was trained on.

    Raises:
        UserError: there is no such data set, or ``layout`` has other features.
    """
    dataset = _dataset(folder)
    described = dataset.description
    signed = described["normalisation"].get("signed", 0)
    stored = _features(described["integer_names"], signed, described["categorical_names"], described["kinds"])
    kinds = [keys.kind for keys in layout.keys]
    now = _features(layout.integer_names, layout.signed, layout.categorical_names, kinds)
    require_same(stored, now, folder, "--vocabulary encodes a log of the same features")
    return Fitted(
        read_vocabulary(dataset.folder / FILE, layout.categorical_names, layout.keys, dataset.list_widths),
        Normalisation(**described["normalisation"]),
        described["hashed"],
        {name: described["settings"][name] for name in SETTINGS},
    )


def _features(
    integers: Sequence[str], signed: int, categoricals: Sequence[str], kinds: Sequence[str]
) -> dict[str, Any]:
    return {
        "list_of_integers": integers,
        "number_of_decimal_ones": signed,
        "list_of_categoricals": categoricals,
        "kind_of_categoricals": kinds,
    }


def _dataset(folder: Path) -> Dataset:
    if not (folder / runs.MARKER).is_file():
        return open_dataset(folder)
    run = runs.open_run(folder)
    data = stored_settings(run).data
    if data is None or not data.is_dir():
        raise UserError(
            f"{folder}: the data that it was trained on are no longer at {data}; give their folder as --vocabulary"
        )
    dataset = open_dataset(data)
    require_vocabulary(run, dataset)
    return dataset


def fit(config: PrepareConfig, layout: Format, splits: Splits, ordered_map: OrderedMap) -> Fitted:
    """Fit vocabulary and normalisation to the training rows.

    Counting in pieces is left to ``ordered_map``; here their counts are merged in the order of the log, so that sums of
    rounded numbers are always the same.
    """
    moments = [Moments() for _ in layout.integer_names]
    counters = [Counter() for _ in layout.categorical_names]
    summarise = functools.partial(_summarise, integers=len(moments), categoricals=len(counters))
    with progress("fitting", splits.sizes["train"], unit="rows") as advance:
        for part in ordered_map(summarise, splits.chunks("train")):
            moments = [total + new for total, new in zip(moments, part.moments, strict=True)]
            for counter, counts in zip(counters, part.counts, strict=True):
                counter.add(counts)
            advance(part.rows)
    fields = [_field(counter, keys, config) for counter, keys in zip(counters, layout.keys, strict=True)]
    names = layout.categorical_names
    lists = [
        counter for counter, keys in zip(counters, layout.keys, strict=True) if keys.kind == ListKeys.kind
    ]
    widths = tuple(layout.longest or min(counter.longest, USUAL_WIDTH) for counter in lists)
    return Fitted(
        Vocabulary(names, tuple(field for field, _ in fields), widths),
        Normalisation.fit(moments, layout.signed),
        {name: what for name, (_, what) in zip(names, fields, strict=True) if what},
        {name: getattr(config, name) for name in SETTINGS},
    )


def _field(counter: Counter, keys: Keys, config: PrepareConfig) -> tuple[Field, dict[str, Any] | None]:
    """Fit one field; return with it, if it is hashed, its distinct training values and how many collide."""
    field = FieldVocabulary.fit(counter, config.min_count)
    if config.hash_buckets is None or len(field.keys) <= config.hash_buckets:
        return field, None
    hashed, (values, _) = HashedVocabulary.fit(counter, keys, config.hash_buckets), counter.merged()
    return hashed, {"values": len(values), "collision_rate": hashed.collision_rate(values)}


@dataclass(frozen=True)
class _Summary:
    """What one chunk of training rows adds to the fit."""

    rows: int
    moments: list[Moments]
    counts: list[Counts]


def _summarise(piece: StagedRows, integers: int, categoricals: int) -> _Summary:
    chunk = piece.read()
    columns = chunk.columns
    moments = [_moments(column.drop_null()) for column in columns[1 : 1 + integers]]
    counts = [Counts.of(column) for column in columns[1 + integers : 1 + integers + categoricals]]
    return _Summary(chunk.num_rows, moments, counts)


def _moments(column: pa.Array) -> Moments:
    return Moments.of(signed_logarithms(column) if pa.types.is_floating(column.type) else logarithms(column))
