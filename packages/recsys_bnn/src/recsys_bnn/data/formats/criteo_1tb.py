"""Criteo's 1TB Click Logs: 24 daily files in the layout of :mod:`recsys_bnn.data.formats.criteo`."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from recsys_bnn.data.formats.bad_rows import BadRows
from recsys_bnn.data.formats.base import Format, counted_name
from recsys_bnn.data.formats.criteo import CATEGORICALS, INTEGERS, parse_lines, parse_text
from recsys_bnn.data.formats.keys import HexKeys
from recsys_bnn.data.formats.text import Source, read_rows
from recsys_bnn.data.parallel import OrderedMap
from seminar_common.errors import UserError

OFFICIAL_ROWS = 4_373_472_329
_DAY = re.compile(r"day_([0-9]{1,4})(\.txt)?(\.(gz|bz2|xz|zst|zip))?")


class Criteo1TB(Format):
    """The format `criteo-1tb`.

    Args:
        inputs: Files ``day_0``, ``day_1``, ... (also with .txt, and compressed), or folders of them, in any order.

    Raises:
        UserError: a file has another name, or a day is missing between others or there twice.
    """

    integer_names = INTEGERS
    categorical_names = CATEGORICALS
    keys = (HexKeys(),) * len(CATEGORICALS)

    def __init__(self, inputs: Sequence[Path]):
        self.paths = day_files(inputs)
        self._days: dict[str, int] = {}

    def chunks(
        self, sources: Sequence[Source], bad_rows: BadRows, ordered_map: OrderedMap = map
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of ``sources``, one day after the other, and count them by day."""
        for source in sources:
            rows = 0
            blocks = source.blocks()
            for batch in read_rows(blocks, parse_text, parse_lines, bad_rows, ordered_map):
                rows += batch.num_rows
                yield batch
            self._days[f"day_{_day(source.path)}"] = rows

    def days(self) -> dict[str, int]:
        """Return the rows of each file."""
        return self._days

    def default_name(self, rows: int) -> str:
        """Return ``criteo-1tb`` for the whole log, and a name with the number of rows for a part."""
        return "criteo-1tb" if rows == OFFICIAL_ROWS else counted_name("criteo-1tb", rows)


def day_files(inputs: Sequence[Path]) -> list[Path]:
    """Return the daily files among ``inputs`` and in the folders among them, in numeric order.

    Raises:
        UserError: none is found, a file has another name, or a day is missing between others or there twice.
    """
    found: dict[int, Path] = {}
    for path in listed_files(inputs):
        day = _day(path)
        if day in found:
            raise UserError(f"{path}: day {day} is there twice, also as {found[day]}; leave one out")
        found[day] = path
    order = sorted(found)
    for day in range(order[0], order[-1]):
        if day not in found:
            after = found[next(d for d in order if d > day)]
            raise UserError(
                f"{after.with_name(f'day_{day}')}: missing, though later days such as {after.name} are given; "
                "fetch it, or leave out the days before or after it"
            )
    return [found[day] for day in order]


def listed_files(inputs: Sequence[Path]) -> list[Path]:
    """Return the files among ``inputs``, and the daily files in the folders among them.

    Raises:
        UserError: a folder holds none.
    """
    return [file for path in inputs for file in (_inside(path) if path.is_dir() else [path])]


def _inside(folder: Path) -> list[Path]:
    found = [file for file in sorted(folder.iterdir()) if _DAY.fullmatch(file.name)]
    if not found:
        raise UserError(f"{folder}: holds no file day_0, day_1, ... (plain or compressed); check the path")
    return found


def _day(path: Path) -> int:
    match = _DAY.fullmatch(path.name)
    if not match:
        raise UserError(f"{path}: expected a name such as day_0 or day_0.gz; rename it, or use criteo-kaggle")
    return int(match[1])
