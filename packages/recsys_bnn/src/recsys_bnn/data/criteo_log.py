"""Criteo logs: find a real one, or write a generated one in its text format."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
from pyarrow import csv

from recsys_bnn.data.formats.keys import HexKeys
from recsys_bnn.data.generator import SyntheticChunk, SyntheticConfig, SyntheticLog
from seminar_common.errors import UserError
from seminar_common.progress import progress

CRITEO_FILES = ("recsys/criteo_kaggle_first_10000.txt", "train.txt", "train.txt.gz")
"""Where a data folder may hold one, the first found being taken."""

_TAB_SEPARATED = csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")


def criteo_log(data: Path) -> Path:
    """Return the Criteo log in the folder ``data``.

    Raises:
        UserError: it holds none.
    """
    for name in CRITEO_FILES:
        if (data / name).is_file():
            return data / name
    raise UserError(
        f"{data}: holds no Criteo log; expected one of {', '.join(CRITEO_FILES)} in it (see docs/reference/data.md)"
    )


def write_log(path: Path, config: SyntheticConfig) -> np.ndarray:
    """Write a generated log in Criteo's text format; return its true click probabilities, float64 [rows]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    probabilities = []
    with path.open("wb") as file, progress("generating", config.rows) as advance:
        for chunk in SyntheticLog(config).chunks():
            write_lines(file, chunk)
            probabilities.append(chunk.probabilities)
            advance(len(chunk.labels))
    return np.concatenate(probabilities)


def write_lines(file: BinaryIO, chunk: SyntheticChunk) -> None:
    """Write a chunk's rows as lines of Criteo's train.txt."""
    integers = [pa.array(column, mask=column < 0) for column in chunk.integers.T]
    categoricals = [_hexadecimal(column) for column in chunk.categoricals.T]
    columns = [pa.array(chunk.labels), *integers, *categoricals]
    table = pa.table(columns, names=[str(number) for number in range(len(columns))])
    csv.write_csv(table, file, _TAB_SEPARATED)


def _hexadecimal(values: np.ndarray) -> pa.Array:
    """Return the 8 digits of each value, uint32 [N], as text; null for 0, a missing one."""
    places = pa.array(np.arange(len(values)), mask=values == 0)
    return HexKeys().texts(values).take(places)
