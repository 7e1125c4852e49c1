"""Folders of image files: one subfolder a class, or all images unnamed."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from gcd_longtail.images.sources.base import Listing, Source, check_folder, read_bytes
from seminar_common.errors import UserError
from seminar_common.file_search import ImageSearch
from seminar_common.files import encodable
from seminar_common.images import SUFFIXES

_SPLITS = {"train": "train", "training": "train", "test": "test", "val": "test", "valid": "test"}


class FileSource(Source):
    """Image files below one folder; the base of every source whose images are files."""

    def __init__(
        self,
        path: Path,
        files: Sequence[str],
        labels: Sequence[str],
        splits: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        remarks: Sequence[str] = (),
    ):
        r"""Name the files ``files`` relative to ``path``; splits default to ``train``, groups to none.

        Keys and labels are names that UTF-8 can hold: a byte of a file's name that is none stands there as ``\xff``.

        Raises:
            UserError: two files that have one name then.
        """
        self.path, self.remarks = path, remarks
        self._files = files
        n, keys = len(files), [encodable(name) for name in files]
        _check_unique(path, keys)
        names = [encodable(label) for label in labels]
        self.listing = Listing(keys, names, splits or ["train"] * n, groups or [""] * n)

    def file(self, index: int) -> Path:
        """Return the path of an image's file, of which its key may be another spelling."""
        return self.path / self._files[index]

    def read(self, index: int) -> bytes:
        """Return the file's bytes."""
        return read_bytes(self.file(index))


def _check_unique(path: Path, keys: Sequence[str]) -> None:
    if len(set(keys)) == len(keys):
        return
    name, count = Counter(keys).most_common(1)[0]
    raise UserError(f"{path}: {count} files have the name {name}, as far as UTF-8 can tell; rename one")


def file_of(folder: Path, key: str) -> Path:
    r"""Return the file in ``folder`` that a key names, which need not be there.

    A byte that is no UTF-8 stands in a key as ``\xff``; a file whose name has that very text goes first.
    """
    path = folder / key
    if "\\x" not in key or path.exists():
        return path
    name = re.sub(rb"\\x([89a-f][0-9a-f])", lambda found: bytes.fromhex(found[1].decode()), key.encode())
    return odd if (odd := folder / os.fsdecode(name)).exists() else path


def image_files(folder: Path) -> tuple[list[str], list[str]]:
    """Return the image files below ``folder`` and its linked folders, sorted, as relative POSIX paths, and remarks.

    A remark says what was passed over, and why. Hidden files are.

    Raises:
        UserError: there is no such folder, or no image in it.
    """
    check_folder(folder)
    search = ImageSearch()
    search.add_folder(folder)
    found = sorted(PurePath(path).relative_to(folder).as_posix() for path in search.files)
    if not found:
        nothing = f"{folder}: holds no image file ({', '.join(sorted(SUFFIXES))}); check the path"
        raise UserError("; ".join((nothing, *search.remarks())))
    return found, search.remarks()


def open_folder(path: Path, leave_out: Iterable[str] = ()) -> FileSource:
    """Return the images of ``path/CLASS/*``, or of ``path/train/CLASS/*`` and ``path/test/CLASS/*``.

    Args:
        path: the folder.
        leave_out: classes to leave out.

    Raises:
        UserError: no such folder, no images, or images that lie in no class folder.
    """
    keys, remarks = image_files(path)
    top = {key.split("/")[0] for key in keys}
    has_splits = top <= _SPLITS.keys() and "train" in {_SPLITS[name] for name in top}
    depth = 1 if has_splits else 0
    loose = next((key for key in keys if key.count("/") <= depth), None)
    if loose is not None:
        raise UserError(
            f"{path / loose}: lies in no class folder; expected {path}/CLASS/IMAGE (for images without classes "
            "use `discover` or `predict`)"
        )
    left_out = set(leave_out)
    keys = [key for key in keys if key.split("/")[depth] not in left_out]
    labels = [key.split("/")[depth] for key in keys]
    splits = [_SPLITS[key.split("/")[0]] if has_splits else "train" for key in keys]
    return FileSource(path, keys, labels, splits, remarks=remarks)


def open_unlabelled(path: Path) -> FileSource:
    """Return every image below ``path`` without a class."""
    keys, remarks = image_files(path)
    return FileSource(path, keys, [""] * len(keys), remarks=remarks)
