"""Names of pages."""

from pathlib import PurePosixPath


def page_name(file: str, number: int | None) -> str:
    """Return the name of a page in COCO files and tables."""
    return file if number is None else f"{file}#page={number}"


def inside(name: str) -> PurePosixPath:
    """Return a page's relative name with no way out of the folder that it is put in: ``..`` becomes ``__``."""
    return PurePosixPath(
        *("__" if part == ".." else part for part in PurePosixPath(name).parts if part != "/")
    )
