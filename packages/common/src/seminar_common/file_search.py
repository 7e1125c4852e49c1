"""Which files of a folder are images: what is below it, below what it links to, and what is passed over with a reason."""

import filecmp
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from unicodedata import normalize

from seminar_common import images
from seminar_common.file_kinds import HEIC, PDF, FileKind, heic_is_readable, kind_of, kind_of_name

NO_IMAGES = frozenset(
    ".xml .json .jsonl .txt .csv .tsv .md .rst .html .htm .xhtml .css .js .map .yaml .yml .toml .ini .cfg .log .md5 .sha1 "
    ".sha256 .sha512 .db .sqlite .parquet .py .sh .bat .exe .dll .so .doc .docx .xls .xlsx .ppt .pptx .odt .ods .odp .rtf "
    ".tex .bib .mp3 .mp4 .mov .avi .wav .npy .npz .safetensors .onnx .pt .pth .ttf .otf .woff .woff2 .jar .whl".split()
)
"""Endings of what stands beside images and is none: not worth opening half a million files for."""

_WAYS_OUT: Mapping[FileKind, str] = {
    HEIC: "pip install pi-heif",
    PDF: "save its pages as images, with pdftoppm -png",
}


@dataclass
class ImageSearch:
    """The image files below a folder, and what stands beside them.

    A folder's files come in the order of their names, those in folders that it links to last; each real folder is
    searched once. Hidden files are left out. Files of no or of an unknown ending are opened, to see what they are. Of
    two spellings of one name (Unicode's NFC and NFD) with the same content one is taken.
    """

    suffixes: frozenset[str] = images.SUFFIXES
    """Endings that are taken without a look."""
    ways_out: Mapping[FileKind, str] = field(default_factory=lambda: _WAYS_OUT)
    """What to do about kinds that others of this project read, or that a library more would read."""
    files: dict[str, None] = field(default_factory=dict)
    """Paths, in order."""
    passed_over: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Files that look like images and can't be read: how many of each ending, and the way out."""
    closed: list[str] = field(default_factory=list)
    """Folders and files that can't be opened, with the reason."""
    twins: int = 0
    """Files that are there under another spelling of the name, too."""
    met: int = 0
    """Images that were met, and folders that were met again."""
    _folders: set[tuple[int, int]] = field(default_factory=set)
    """Device and number of each folder that was searched."""
    _spelled: dict[str, str] = field(default_factory=dict)
    """Of each name that is not ASCII, with its accents composed, the file."""

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

    def add_folder(self, top: Path) -> None:
        """Add what is in a folder, then what is in those that it links to."""
        left = [str(top)]
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
                    self.look_at(os.path.join(parent, name))  # noqa: PTH118 (half the time of Path)

    def _is_new(self, folder: str) -> bool:
        """Say whether a folder has not been searched, under whatever name, and note that it is."""
        try:
            status = Path(folder).stat()
        except OSError as error:
            self._note(error)
            return False
        key = (status.st_dev, status.st_ino)
        is_new = key not in self._folders
        self.met += not is_new
        self._folders.add(key)
        return is_new

    def look_at(self, path: str) -> None:
        """Add a file if it is an image; count it if it looks like one that can't be read."""
        name = os.path.basename(path)  # noqa: PTH119
        suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122
        if name.startswith(".") or suffix in NO_IMAGES:
            return
        if suffix in self.suffixes:
            self.add_file(path)
            return
        try:
            kind = (kind_of(Path(path)) if Path(path).is_file() else None) or kind_of_name(name)
        except OSError as error:
            self._note(error)
            return
        if kind is None:
            return
        if kind is HEIC and heic_is_readable() or kind.readable and kind not in self.ways_out:
            self.add_file(path)
        else:
            ending = suffix if suffix in kind.suffixes else kind.suffixes[0]
            self.passed_over[ending, kind.way_out or self.ways_out[kind]] += 1

    def add_file(self, path: str) -> None:
        """Add a file, whatever it is."""
        self.met += 1
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


def _same(one: str, other: str) -> bool:
    """Say whether two files are equal; one that can't be read is not."""
    try:
        return filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False
