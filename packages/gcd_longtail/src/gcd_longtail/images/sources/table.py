"""CSV files with the path and the label of an image in each row."""

import csv
import io
from pathlib import Path

from gcd_longtail.images.sources.folder import FileSource
from seminar_common.errors import UserError
from seminar_common.files import read_text

_SPLITS = {"": "train", "train": "train", "test": "test", "val": "test", "validation": "test"}


def read_rows(file: Path, needed: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """Return each row of a CSV file with a header, by column, with its line number.

    Raises:
        UserError: no such file, a column of ``needed`` is missing, or a row has another number of cells.
    """
    text = read_text(file).removeprefix("\ufeff")
    reader = csv.reader(io.StringIO(text))
    header = [name.strip().lower() for name in next(reader, [])]
    for name in needed:
        if name not in header:
            raise UserError(
                f"{file}: has no column {name!r} (it has {', '.join(header)}); expected {','.join(needed)}"
            )
    rows = []
    for cells in reader:
        if not cells:
            continue
        if len(cells) != len(header):
            raise UserError(f"{file}, line {reader.line_num}: has {len(cells)} cells, expected {len(header)}")
        rows.append((reader.line_num, dict(zip(header, (cell.strip() for cell in cells), strict=True))))
    if not rows:
        raise UserError(f"{file}: has a header, but no rows")
    return rows


def open_table(file: Path) -> FileSource:
    """Return the images of a CSV file with ``path`` and ``label``, and ``split`` and ``group`` where they are.

    Paths are relative to the file. Files that are missing are found out when they are read.

    Raises:
        UserError: see :func:`read_rows`; an unknown split, or a path that stands there twice.
    """
    rows = read_rows(file, ("path", "label"))
    keys = [row["path"] for _, row in rows]
    splits = []
    first: dict[str, int] = {}
    for line, row in rows:
        if row.get("split", "") not in _SPLITS:
            raise UserError(f"{file}, line {line}: split {row['split']!r}; expected train, val or test")
        splits.append(_SPLITS[row.get("split", "")])
        if first.setdefault(row["path"], line) != line:
            raise UserError(f"{file}, line {line}: {row['path']} stands in line {first[row['path']]} already")
    labels = [row["label"] for _, row in rows]
    return FileSource(file.parent, keys, labels, splits, [row.get("group", "") for _, row in rows])
