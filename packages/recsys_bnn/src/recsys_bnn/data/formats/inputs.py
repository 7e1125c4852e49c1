"""The files that are meant by what a user gives: files, patterns in quotes, and folders of parts."""

import glob
import re
from collections.abc import Sequence
from pathlib import Path

from recsys_bnn.data.formats.compression import ENDINGS, parted
from seminar_common.errors import UserError

_PASSED_OVER = ("_", ".")
"""Beginnings of names that hold no rows, such as ``_SUCCESS`` and ``.part-00000.crc`` of Spark."""


def listed(inputs: Sequence[Path], *, folders: bool) -> tuple[Path, ...]:
    """Return the files that ``inputs`` name, those of a folder or pattern in the order of the numbers in their names.

    Args:
        inputs: Files, patterns such as ``logs/*.csv``, and folders.
        folders: Whether a folder stands for the files in it; else it is returned as it is.

    Raises:
        UserError: a pattern or folder has no files, a folder has others in it or files of several kinds, or a file is
            named twice.
    """
    found = [path for given in inputs for path in _listed(given, folders)]
    seen: set[Path] = set()
    for path in found:
        if path in seen:
            raise UserError(f"--input {path}: given twice; name each file once")
        seen.add(path)
    return tuple(found)


def _listed(given: Path, folders: bool) -> Sequence[Path]:
    if given.is_dir() and folders:
        return _parts(given)
    if given.exists() or parted(given)[1] is not None or not glob.has_magic(str(given)):
        return [given]
    hidden = given.name.startswith(_PASSED_OVER)
    matches = Path(given.anchor).glob(str(given.relative_to(given.anchor)))
    found = [
        path for path in matches if path.is_file() and (hidden or not path.name.startswith(_PASSED_OVER))
    ]
    if not found:
        raise UserError(f"--input {given}: no file matches this pattern; check the path")
    return sorted(found, key=_by_number)


def _parts(folder: Path) -> list[Path]:
    inside = [path for path in folder.iterdir() if not path.name.startswith(_PASSED_OVER)]
    below = sorted(path.name for path in inside if path.is_dir())
    if below:
        raise UserError(
            f"{folder}: holds folders such as {below[0]}; give a pattern in quotes, such as '{folder}/*/*.csv'"
        )
    kinds = sorted({_ending(path) for path in inside})
    if len(kinds) != 1:
        what = (
            f"files of several kinds ({', '.join(kind or 'no ending' for kind in kinds)})"
            if kinds
            else "no file"
        )
        raise UserError(
            f"{folder}: is a folder with {what}; give files, or a pattern in quotes, such as '{folder}/part-*'"
        )
    return sorted(inside, key=_by_number)


def _ending(path: Path) -> str:
    return Path(path.stem).suffix if path.suffix in ENDINGS else path.suffix


def _by_number(path: Path) -> list[tuple[bool, int, str]]:
    """Order part-2 before part-10."""
    parts = re.split(r"([0-9]+)", str(path))
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]
