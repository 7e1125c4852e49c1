"""CSV files with the path and the label of an image in each row, as people and their spreadsheets write them."""

import codecs
import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from unicodedata import normalize

from gcd_longtail.images.sources.folder import FileSource
from seminar_common.errors import UserError
from seminar_common.files import check_file, read_text

_SPLITS = {"": "train", "train": "train", "test": "test", "val": "test", "validation": "test"}

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "path": ("path", "image", "file", "filename", "file_name", "filepath", "file_path", "image_path"),
    "label": ("label", "name", "class", "category", "class_name"),
}
"""What the two columns may be called, the first that is there. ``name`` goes before ``class``, in which our own tables
have numbers."""
_DELIMITERS = (",", ";", "\t")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_rows(file: Path) -> list[tuple[int, dict[str, str]]]:
    """Return each row of a table with a header, by column, with its line number.

    The columns ``path`` and ``label`` are there, whatever they are called in the file (:data:`COLUMNS`). Cells are
    parted by commas, semicolons or tabs, as the header shows. A byte order mark is no part of the text; one of UTF-16
    is heeded.

    Raises:
        UserError: no such file, one of the two columns is missing, a row has another number of cells, or the file is
            no table.
    """
    text = _read(file)
    delimiter = _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows = []
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        places = {column: _place(file, column, header) for column in COLUMNS}
        for cells in reader:
            if not any(cells):
                continue
            if len(cells) != len(header):
                raise UserError(
                    f"{file}, line {reader.line_num}: has {len(cells)} cells, expected {len(header)}"
                )
            stripped = [cell.strip() for cell in cells]
            row = dict(zip(header, stripped, strict=True))
            rows.append((reader.line_num, row | {name: stripped[place] for name, place in places.items()}))
    except csv.Error as error:
        raise UserError(
            f"{file}, line {reader.line_num}: not a table ({error}); save it as CSV again"
        ) from error
    if not rows:
        raise UserError(f"{file}: has a header, but no rows")
    return rows


def _read(file: Path) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 as spreadsheets save "Unicode text"."""
    check_file(file)
    with file.open("rb") as stream:
        start = stream.read(2)
    if start not in _UTF16:
        return read_text(file)
    try:
        return file.read_text(encoding="utf-16")
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not UTF-16 at byte {error.start}; save it as UTF-8") from error


def _delimiter(text: str) -> str:
    """Return what parts the header into the most of the two columns; a comma where none does."""
    line = next(iter(text.splitlines()), "")

    def known(delimiter: str) -> int:
        names = {name.strip().strip('"').lower() for name in line.split(delimiter)}
        return sum(not names.isdisjoint(spellings) for spellings in COLUMNS.values())

    return max(_DELIMITERS, key=known)


def _place(file: Path, column: str, header: Sequence[str]) -> int:
    """Return where ``column`` stands under one of its names."""
    found = next((name for name in COLUMNS[column] if name in header), None)
    if found is None:
        names = ", ".join(COLUMNS[column][1:])
        raise UserError(
            f"{file}: has no column {column!r}, or {names} (it has {', '.join(header)}); the first line must name the "
            "columns, as in path,label"
        )
    return header.index(found)


def open_table(file: Path) -> FileSource:
    """Return the images of a CSV file with ``path`` and ``label``, and ``split`` and ``group`` where they are.

    Paths are relative to the file; a backslash parts folders where no file has one in its name. Files that are missing
    are found out when they are read.

    Raises:
        UserError: see :func:`read_rows`; an unknown split, or a path that stands there twice.
    """
    rows = read_rows(file)
    keys = [_on_disk(file.parent, row["path"]) for _, row in rows]
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


def _on_disk(folder: Path, path: str) -> str:
    """Return ``path`` as the disk spells it: with slashes, and with accents composed or apart; as it is if it is not there."""
    if path.isascii() and "\\" not in path:
        return path
    slashed = path.replace("\\", "/")
    spellings = (path, slashed, *(normalize(form, slashed) for form in ("NFC", "NFD")))
    return next((one for one in spellings if (folder / one).exists()), path)
