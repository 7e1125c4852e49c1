"""Which files are meant by what a person typed."""

import filecmp
import glob
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unicodedata import normalize

from doc_detect.pages.names import on_disk
from seminar_common import images
from seminar_common.errors import UserError
from seminar_common.file_kinds import HEIC, FileKind, heic_is_readable, kind_of, kind_of_name

SUFFIXES = images.SUFFIXES | {".pdf"}
"""What is taken from a folder without a look; files of no or of an unknown ending are opened, to see what they are."""

_MAGIC = "*?["
_ORDINARY = frozenset(
    ".xml .json .jsonl .txt .csv .tsv .md .rst .html .htm .xhtml .css .js .map .yaml .yml .toml .ini .cfg .log .md5 .sha1 "
    ".sha256 .sha512 .db .sqlite .parquet .py .sh .bat .exe .dll .so .doc .docx .xls .xlsx .ppt .pptx .odt .ods .odp .rtf "
    ".tex .bib .mp3 .mp4 .mov .avi .wav .npy .npz .safetensors .onnx .pt .pth .ttf .otf .woff .woff2 .jar .whl".split()
)
"""Endings of what stands beside pages and is none: not worth opening half a million files for."""

_HEIC_WAY_OUT = "pip install 'doc-detect[heic]'"


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
class Listing:
    """Files that may hold pages, and what stands beside them."""

    files: dict[str, None] = field(default_factory=dict)
    """Paths, in order."""
    passed_over: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Files that look like pages and can't be read: how many of each ending, and the way out."""
    closed: list[str] = field(default_factory=list)
    """Folders and files that can't be opened, with the reason."""
    twins: int = 0
    """Files that are there under another spelling of the name, too."""
    _folders: set[tuple[int, int]] = field(default_factory=set)
    """Device and number of each folder that was searched."""
    _spelled: dict[str, str] = field(default_factory=dict)
    """Of each name that is not ASCII, with its accents composed, the file."""
    _met: int = 0
    """Pages that were met, and folders that were met again."""

    def remarks(self) -> list[str]:
        """Return a line for each sort of thing that was passed over."""
        lines = []
        if self.passed_over:
            each = (
                f"{count:,} {ending} ({way})" for (ending, way), count in sorted(self.passed_over.items())
            )
            lines.append(f"{_files(self.passed_over.total())} passed over: {', '.join(each)}")
        if self.closed:
            lines.append(
                f"{len(self.closed):,} that can't be opened, passed over: {'; '.join(self.closed[:3])}"
            )
        if self.twins:
            lines.append(f"{_files(self.twins)} passed over: the same under another spelling (NFC, NFD)")
        return lines

    def add(self, item: Path) -> None:
        """Add what one input names.

        Raises:
            UserError: it names no page.
        """
        if item.is_dir():
            self._add_some(str(item), [str(item)], "no image and no PDF in it")
        elif item.exists():
            self._add_file(str(item))
        elif any(character in str(item) for character in _MAGIC):
            problem = "matches no image and no PDF; put quotes round a glob that the shell expands"
            self._add_some(str(item), _matches(str(item)), problem)
        else:
            raise UserError(f"{item}: no such file or folder; check the path")

    def _add_some(self, item: str, paths: list[str], problem: str) -> None:
        before = self._met
        for path in paths:
            if Path(path).is_dir():
                self._add_folder(path)
            else:
                self._look_at(path)
        if self._met == before:
            raise UserError("; ".join((f"{item}: {problem}", *self.remarks())))

    def _add_folder(self, top: str) -> None:
        """Add what is in a folder, then what is in those that it links to."""
        left = [top]
        while left:
            for parent, folders, names in os.walk(left.pop(0), onerror=self._note):
                if not self._is_new(parent):
                    folders.clear()
                    continue
                shown = sorted(name for name in folders if not name.startswith("."))
                linked = {name for name in shown if os.path.islink(os.path.join(parent, name))}  # noqa: PTH114, PTH118
                left += [os.path.join(parent, name) for name in shown if name in linked]  # noqa: PTH118
                folders[:] = [name for name in shown if name not in linked]
                for name in sorted(names):
                    self._look_at(os.path.join(parent, name))  # noqa: PTH118 (half the time of Path)

    def _is_new(self, folder: str) -> bool:
        """Say whether a folder has not been searched, under whatever name, and note that it is."""
        try:
            status = Path(folder).stat()
        except OSError as error:
            self._note(error)
            return False
        key = (status.st_dev, status.st_ino)
        self._met += key in self._folders
        is_new = key not in self._folders
        self._folders.add(key)
        return is_new

    def _look_at(self, path: str) -> None:
        """Add a file if it is one of pages; count it if it looks like one that can't be read."""
        name = os.path.basename(path)  # noqa: PTH119
        suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122
        if name.startswith(".") or suffix in _ORDINARY:
            return
        if suffix in SUFFIXES:
            self._add_file(path)
            return
        try:
            kind = (kind_of(Path(path)) if Path(path).is_file() else None) or kind_of_name(name)
        except OSError as error:
            self._note(error)
            return
        if kind is None:
            return
        if kind.readable and (kind is not HEIC or heic_is_readable()):
            self._add_file(path)
        else:
            self.passed_over[_ending(kind, suffix), kind.way_out or _HEIC_WAY_OUT] += 1

    def _add_file(self, path: str) -> None:
        self._met += 1
        if not path.isascii():
            twin = self._spelled.setdefault(normalize("NFC", path), path)
            if twin != path and _same(twin, path):
                self.twins += 1
                return
        self.files[path] = None

    def _note(self, error: OSError) -> None:
        self.closed.append(f"{error.filename} ({error.strerror})")


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"


def _matches(pattern: str) -> list[str]:
    spellings = {pattern, *(normalize(form, pattern) for form in ("NFC", "NFD"))}
    return sorted({name for each in spellings for name in glob.glob(each, recursive=True)})  # noqa: PTH207 (may be absolute)


def _same(one: str, other: str) -> bool:
    """Say whether two files are equal; one that can't be read is not."""
    try:
        return filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False


def _ending(kind: FileKind, suffix: str) -> str:
    return suffix if suffix in kind.suffixes else kind.suffixes[0]


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
