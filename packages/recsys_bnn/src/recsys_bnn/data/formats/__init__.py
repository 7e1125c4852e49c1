"""Layouts of raw data. A format is one file here, with a :class:`Format`, and one line in :data:`FORMATS`."""

from collections.abc import Callable
from pathlib import Path

from recsys_bnn.data.formats.avazu import Avazu
from recsys_bnn.data.formats.base import Format
from recsys_bnn.data.formats.criteo import CriteoKaggle
from recsys_bnn.data.formats.criteo_1tb import Criteo1TB
from recsys_bnn.data.formats.libfm import LibFM
from recsys_bnn.data.formats.movielens import MovieLens
from recsys_bnn.data.formats.synthetic import Synthetic
from recsys_bnn.data.formats.table import Table
from recsys_bnn.data.generator import SyntheticConfig
from recsys_bnn.settings.prepare import PrepareConfig

FORMATS: dict[str, Callable[[PrepareConfig], Format]] = {
    "criteo-kaggle": lambda config: CriteoKaggle(config.input),
    "criteo-1tb": lambda config: Criteo1TB(config.input),
    "avazu": lambda config: Avazu(config.input),
    "movielens": lambda config: MovieLens(config.input),
    "libfm": lambda config: LibFM(config.input),
    "table": lambda config: Table(
        config.input, config.schema or Path("schema.toml"), in_time_order=config.chosen_split == "time"
    ),
    "synthetic": lambda config: Synthetic(SyntheticConfig(config.rows or 0, config.seed)),
}
"""What reads the format of a name, by the settings of `prepare`."""
