"""Which files are meant by what a person typed."""

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from seminar_common import images
from seminar_common.errors import UserError

SUFFIXES = images.SUFFIXES | {".pdf"}
"""What is taken from a folder; other files in it are passed over. A file named by itself is always tried."""

_MAGIC = "*?["


def find_files(inputs: Sequence[Path]) -> list[str]:
    """Return the files that ``inputs`` name, each once: files, folders with all that is below, globs (``**`` too).

    A folder's files come in the order of their names; hidden files are left out.

    Raises:
        UserError: an input that does not exist, a glob or a folder without a page.
    """
    if not inputs:
        raise UserError("nothing to read: name images, PDFs, folders or globs")
    found: dict[str, None] = {}
    for item in inputs:
        found.update(dict.fromkeys(_files_of(item)))
    return list(found)


def _files_of(item: Path) -> Iterable[str]:
    if item.is_dir():
        return _folder(str(item))
    if item.exists():
        return [str(item)]
    if not any(character in str(item) for character in _MAGIC):
        raise UserError(f"{item}: no such file or folder; check the path")
    matches = sorted(glob.glob(str(item), recursive=True))  # noqa: PTH207 (a pattern that may be absolute)
    files = [match for match in matches if _is_page(match) and not Path(match).is_dir()]
    if not files:
        raise UserError(
            f"{item}: matches no image and no PDF; put quotes round a glob that the shell expands"
        )
    return files


def _folder(folder: str) -> list[str]:
    files = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += [os.path.join(parent, name) for name in sorted(names) if _is_page(name)]  # noqa: PTH118 (half the time of Path)
    if not files:
        raise UserError(
            f"{folder}: no image and no PDF in it; pages end in one of {' '.join(sorted(SUFFIXES))}"
        )
    return files


def _is_page(name: str) -> bool:
    base = os.path.basename(name)  # noqa: PTH119
    return not base.startswith(".") and os.path.splitext(base)[1].lower() in SUFFIXES  # noqa: PTH122


def common_root(inputs: Sequence[Path]) -> Path:
    """Return the absolute folder that names of pages are relative to: the one that holds all ``inputs``."""
    folders = [str(_holder(item).absolute()) for item in inputs]
    return Path(os.path.commonpath(folders))


def _holder(item: Path) -> Path:
    """Return an input's own folder: itself, a file's parent, or a glob's part before the first wildcard."""
    if item.is_dir():
        return item
    while any(character in str(item) for character in _MAGIC) and not item.exists():
        item = item.parent
    return item if item.is_dir() else item.parent
