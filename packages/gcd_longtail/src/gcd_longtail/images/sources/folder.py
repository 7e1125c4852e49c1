"""Folders of image files: one subfolder a class, or all images unnamed."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from gcd_longtail.images.sources.base import Listing, Source, check_folder, read_bytes
from seminar_common.errors import UserError
from seminar_common.images import SUFFIXES

_SPLITS = {"train": "train", "training": "train", "test": "test", "val": "test", "valid": "test"}


class FileSource(Source):
    """Image files below one folder; the base of every source whose images are files."""

    def __init__(
        self,
        path: Path,
        keys: Sequence[str],
        labels: Sequence[str],
        splits: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
    ):
        """Name the files ``keys`` relative to ``path``; splits default to ``train``, groups to none."""
        self.path = path
        n = len(keys)
        self.listing = Listing(keys, labels, splits or ["train"] * n, groups or [""] * n)

    def read(self, index: int) -> bytes:
        """Return the file's bytes."""
        return read_bytes(self.path / self.listing.keys[index])


def image_files(folder: Path) -> list[str]:
    """Return the image files below ``folder``, sorted, as relative POSIX paths; hidden ones are left out.

    Raises:
        UserError: there is no such folder, or no image in it.
    """
    check_folder(folder)
    files = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    relative = (path.relative_to(folder) for path in files)
    found = sorted(path.as_posix() for path in relative if not any(p.startswith(".") for p in path.parts))
    if not found:
        raise UserError(f"{folder}: holds no image file ({', '.join(sorted(SUFFIXES))}); check the path")
    return found


def open_folder(path: Path, leave_out: Iterable[str] = ()) -> FileSource:
    """Return the images of ``path/CLASS/*``, or of ``path/train/CLASS/*`` and ``path/test/CLASS/*``.

    Args:
        path: the folder.
        leave_out: classes to leave out.

    Raises:
        UserError: no such folder, no images, or images that lie in no class folder.
    """
    keys = image_files(path)
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
    return FileSource(path, keys, labels, splits)


def open_unlabelled(path: Path) -> FileSource:
    """Return every image below ``path`` without a class."""
    keys = image_files(path)
    return FileSource(path, keys, [""] * len(keys))
