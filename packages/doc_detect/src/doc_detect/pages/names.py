"""Names of pages."""

import os
from pathlib import PurePosixPath


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
