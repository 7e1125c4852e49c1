"""Names of pages."""

import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

_ELSEWHERE = re.compile(r"/|[A-Za-z]:/|[A-Za-z][A-Za-z0-9+.-]*://")
"""How a path from a root or an address begins."""


def page_name(file: str, number: int | None) -> str:
    """Return the name of a page in COCO files and tables."""
    return file if number is None else f"{file}#page={number}"


def encodable(name: str) -> str:
    """Return a name that UTF-8 can hold; bytes that are no UTF-8 are shown as their number."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def inside(name: str) -> PurePosixPath:
    """Return a page's relative name with no way out of the folder that it is put in: ``..`` becomes ``__``."""
    return PurePosixPath(
        *("__" if part == ".." else part for part in PurePosixPath(name).parts if part != "/")
    )


def is_there(path: Path) -> bool:
    """Say whether a file or folder is there; what can have no such name is not."""
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or a zero byte
        return False


def image_folders(folder: Path) -> tuple[Path, ...]:
    """Return where images may be whose annotations are in ``folder``: there or above it, also in a folder of images.

    Transkribus has ``page`` below the images, COCO ``annotations`` beside ``images``, Pascal VOC ``Annotations`` beside
    ``JPEGImages``.
    """
    above = folder.absolute().parent
    return (folder, folder / "images", above, above / "images", above / "JPEGImages", folder / "JPEGImages")


def find_image(name: str, folders: Iterable[Path]) -> Path | None:
    r"""Return the file in one of ``folders`` that a written ``name`` means, None if there is none.

    The name as it is goes first. Then come ``\`` for ``/`` (Windows), ``%20`` for a space (addresses), letters with
    their accents composed or apart (Unicode's NFC and NFD), as file systems differ in them, and for a place on another
    machine or in the network the file's own name.
    """
    for folder in folders:
        for spelling in _spellings(name):
            if is_there(folder / spelling) and (folder / spelling).is_file():
                return folder / spelling
    return None


def _spellings(name: str) -> dict[str, None]:
    slashed = name.replace("\\", "/")
    written = [
        name,
        slashed,
        unquote(name, errors="surrogateescape"),
        unquote(slashed, errors="surrogateescape"),
    ]
    written += [x.rpartition("/")[2] for x in written if _ELSEWHERE.match(x) and not x.endswith("/")]
    return dict.fromkeys(
        [*written, *(unicodedata.normalize(form, x) for x in written for form in ("NFC", "NFD"))]
    )


def on_disk(path: Path) -> Path:
    """Return ``path`` as the disk spells it: a Mac's names have accents apart (NFD), others' have them composed (NFC).

    A path that is there in no spelling comes back as it is.
    """
    if str(path).isascii() or path.exists():
        return path
    found = Path(path.anchor)
    for part in path.relative_to(path.anchor).parts:
        spellings = (part, *(unicodedata.normalize(form, part) for form in ("NFC", "NFD")))
        found = next(
            (found / spelling for spelling in spellings if (found / spelling).exists()), found / part
        )
    return found if found.exists() else path
