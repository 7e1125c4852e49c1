"""Layouts of raw data. A format is one file here, with a :class:`Format`, and one line in :data:`FORMATS`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from recsys_bnn.data.formats.avazu import Avazu, AvazuRows
from recsys_bnn.data.formats.base import Format, RowReader
from recsys_bnn.data.formats.criteo import CriteoKaggle, CriteoRows
from recsys_bnn.data.formats.criteo_1tb import Criteo1TB, listed_files
from recsys_bnn.data.formats.libfm import LibFM, LibFMRows
from recsys_bnn.data.formats.movielens import GENRES, MovieLens, MovieLensRows
from recsys_bnn.data.formats.synthetic import Synthetic
from recsys_bnn.data.formats.table import Table, TableRows
from recsys_bnn.data.formats.table_schema import TableSchema
from recsys_bnn.data.generator import log_config
from recsys_bnn.settings.prepare import PrepareConfig

OF_FOLDERS = ("criteo-1tb", "movielens")
"""Formats that look into a folder by themselves; for others it holds parts of one log."""
FORMATS: dict[str, Callable[[PrepareConfig], Format]] = {
    "criteo-kaggle": lambda config: CriteoKaggle(config.input),
    "criteo-1tb": lambda config: Criteo1TB(config.input),
    "avazu": lambda config: Avazu(config.input, in_time_order=config.chosen_split != "random"),
    "movielens": lambda config: MovieLens(config.input, listed=config.genres == "list"),
    "libfm": lambda config: LibFM(config.input),
    "table": lambda config: Table(
        config.input,
        config.schema or Path("schema.toml"),
        in_time_order=config.chosen_split == "time",
        scratch=config.out.absolute().parent,
    ),
    "synthetic": lambda config: Synthetic(log_config(config.rows or 0, config.seed, config.tail)),
}
"""What reads the format of a name, by the settings of `prepare`."""


@dataclass(frozen=True)
class RowSource:
    """Where rows to be scored stand."""

    paths: Sequence[Path]
    schema: TableSchema | None = None
    """What the columns are; for ``table`` only."""
    fill: bool = False
    """Whether a column that is not there is taken as missing values."""
    names: Sequence[str] = ()
    """The categorical fields that are wanted, where a format has a choice."""


def _table(source: RowSource) -> RowReader:
    assert source.schema is not None
    return TableRows(source.paths, source.schema, fill=source.fill)


ROW_READERS: dict[str, Callable[[RowSource], RowReader]] = {
    "criteo-kaggle": lambda source: CriteoRows(source.paths),
    "criteo-1tb": lambda source: CriteoRows(listed_files(source.paths)),
    "avazu": lambda source: AvazuRows(source.paths, fill=source.fill),
    "movielens": lambda source: MovieLensRows(source.paths, listed=GENRES in source.names),
    "libfm": lambda source: LibFMRows(source.paths),
    "table": _table,
    "synthetic": lambda source: CriteoRows(source.paths),
}
"""What reads rows of a format by themselves; those of a generated log come as text in Criteo's layout."""
