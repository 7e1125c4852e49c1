"""Which files are meant by what a person typed."""

import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unicodedata import normalize

from doc_detect.pages.names import on_disk
from seminar_common import images
from seminar_common.errors import UserError
from seminar_common.file_kinds import HEIC, FileKind
from seminar_common.file_search import ImageSearch

SUFFIXES = images.SUFFIXES | {".pdf"}
"""What is taken from a folder without a look; files of no or of an unknown ending are opened, to see what they are."""

_MAGIC = "*?["


def find_files(inputs: Sequence[Path]) -> list[str]:
    """Return the files that ``inputs`` name; see :func:`search`, which tells what it passed over, too."""
    return list(search(inputs).files)


def search(inputs: Sequence[Path]) -> "Listing":
    """Return the files that ``inputs`` name, each once: files, folders with all that is below them, globs (``**`` too).

    A file that is named by itself is taken whatever it is. A folder's files come in the order of their names, those in
    folders that it links to last; each real folder is searched once. Hidden files are left out. Of two spellings of one
    name (Unicode's NFC and NFD) with the same content one is taken.

    Raises:
        UserError: an input that does not exist, a glob or a folder without a page.
    """
    if not inputs:
        raise UserError("nothing to read: name images, PDFs, folders or globs")
    listing = Listing()
    for item in inputs:
        listing.add(on_disk(item))
    return listing


@dataclass
class Listing(ImageSearch):
    """Files that may hold pages, and what stands beside them."""

    suffixes: frozenset[str] = SUFFIXES
    ways_out: Mapping[FileKind, str] = field(default_factory=lambda: {HEIC: "pip install 'doc-detect[heic]'"})

    def add(self, item: Path) -> None:
        """Add what one input names.

        Raises:
            UserError: it names no page.
        """
        if item.is_dir():
            self._add_some(str(item), [str(item)], "no image and no PDF in it")
        elif item.exists():
            self.add_file(str(item))
        elif any(character in str(item) for character in _MAGIC):
            problem = "matches no image and no PDF; put quotes round a glob that the shell expands"
            self._add_some(str(item), _matches(str(item)), problem)
        else:
            raise UserError(f"{item}: no such file or folder; check the path")

    def _add_some(self, item: str, paths: list[str], problem: str) -> None:
        before = self.met
        for path in paths:
            if Path(path).is_dir():
                self.add_folder(Path(path))
            else:
                self.look_at(path)
        if self.met == before:
            raise UserError("; ".join((f"{item}: {problem}", *self.remarks())))


def _matches(pattern: str) -> list[str]:
    spellings = {pattern, *(normalize(form, pattern) for form in ("NFC", "NFD"))}
    return sorted({name for each in spellings for name in glob.glob(each, recursive=True)})  # noqa: PTH207 (may be absolute)


def common_root(inputs: Sequence[Path]) -> Path:
    """Return the absolute folder that names of pages are relative to: the one that holds all ``inputs``."""
    folders = [str(_holder(on_disk(item)).absolute()) for item in inputs]
    return Path(os.path.commonpath(folders))


def _holder(item: Path) -> Path:
    """Return an input's own folder: itself, a file's parent, or a glob's part before the first wildcard."""
    if item.is_dir():
        return item
    while any(character in str(item) for character in _MAGIC) and not item.exists():
        item = item.parent
    return item if item.is_dir() else item.parent
