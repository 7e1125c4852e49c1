"""Criteo logs: find a real one, or write a generated one in its text format."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from recsys_bnn.synthetic import SyntheticChunk, SyntheticConfig, SyntheticLog
from seminar_common.errors import UserError
from seminar_common.progress import progress

CRITEO_FILES = ("recsys/criteo_kaggle_first_10000.txt", "train.txt", "train.txt.gz")
"""Where a data folder may hold one, the first found being taken."""


def criteo_log(data: Path) -> Path:
    """Return the Criteo log in the folder ``data``.

    Raises:
        UserError: it holds none.
    """
    for name in CRITEO_FILES:
        if (data / name).is_file():
            return data / name
    raise UserError(
        f"{data}: holds no Criteo log; expected one of {', '.join(CRITEO_FILES)} in it (see docs/data.md)"
    )


def write_log(path: Path, config: SyntheticConfig) -> np.ndarray:
    """Write a generated log in Criteo's text format; return its true click probabilities, float64 [rows]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    probabilities = []
    with path.open("w", encoding="ascii") as file, progress("generating", config.rows) as advance:
        for chunk in SyntheticLog(config).chunks():
            file.writelines(criteo_lines(chunk))
            probabilities.append(chunk.probabilities)
            advance(len(chunk.labels))
    return np.concatenate(probabilities)


def criteo_lines(chunk: SyntheticChunk) -> Iterable[str]:
    """Yield a chunk's rows as lines of Criteo's train.txt."""
    columns = zip(chunk.labels.tolist(), chunk.integers.tolist(), chunk.categoricals.tolist(), strict=True)
    for label, integers, categoricals in columns:
        counts = "\t".join("" if value < 0 else str(value) for value in integers)
        yield f"{label}\t{counts}\t" + "\t".join(f"{v:08x}" if v else "" for v in categoricals) + "\n"
