"""One way to read a page, whatever file it is in, with one kind of error."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from doc_detect.pages.page import BadPage, Page, PageRef, ReadOptions
from doc_detect.pages.trim import look_closer

if TYPE_CHECKING:
    import numpy as np

_TIFF = (".tif", ".tiff")


def page_refs(path: Path) -> list[PageRef]:
    """Return the pages of a file; only PDFs and TIFFs are opened for it. An animation is one page, its first frame.

    Raises:
        BadPage: the file is missing, empty or corrupt.
    """
    suffix = path.suffix.lower()
    if suffix not in (".pdf", *_TIFF):
        return [PageRef(path)]
    with _one_line_errors():
        _check(path)
        if suffix == ".pdf":
            from doc_detect.pages.pdf import page_count

            return [PageRef(path, number) for number in range(1, page_count(path) + 1)]
        from doc_detect.pages.image import tiff_pages

        frames = tiff_pages(path)
    return [PageRef(path)] if frames == [0] else [PageRef(path, frame + 1) for frame in frames]


def read_content(ref: PageRef, longest: int, options: ReadOptions | None = None) -> Page:
    """Decode what the uniform margins of a page enclose, its longest side at most ``longest`` pixels.

    Where the margins are wide the page is decoded a second time, so much larger that its content has those pixels.

    Raises:
        BadPage: the page can't be read.
    """
    seen: list[Page] = []

    def make(side: int) -> "np.ndarray":
        seen.append(read_page(ref, side, options))
        return seen[-1].pixels

    pixels, (x1, y1, x2, y2) = look_closer(make, longest)
    width, height = seen[-1].width, seen[-1].height
    return Page(pixels, width, height, (x1 * width, y1 * height, x2 * width, y2 * height))


def read_page(ref: PageRef, longest: int | None = None, options: ReadOptions | None = None) -> Page:
    """Decode a page.

    Args:
        ref: Which page.
        longest: Longest side in pixels that is needed, to decode no more; None for all there are. A smaller
            page is never enlarged.
        options: Limits, and the size that a PDF's page counts as.

    Raises:
        BadPage: the page can't be read.
    """
    options = options or ReadOptions()
    with _one_line_errors():
        _check(ref.path)
        if ref.path.suffix.lower() == ".pdf":
            from doc_detect.pages.pdf import read_pdf_page

            return read_pdf_page(ref.path, ref.number or 1, longest, options)
        from doc_detect.pages.image import read_image

        return read_image(ref.path, (ref.number or 1) - 1, longest, options)


def _check(path: Path) -> None:
    if path.stat().st_size == 0:
        raise BadPage("the file is empty (0 bytes)")


@contextmanager
def _one_line_errors() -> Generator[None]:
    """Turn whatever a decoder raises on a broken file (they raise nearly anything) into a BadPage."""
    try:
        yield
    except BadPage:
        raise
    except Exception as error:
        raise BadPage(_reason(error)) from error


def _reason(error: Exception) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "not an image in a known format"
    if isinstance(error, MemoryError):
        return "not enough memory to decode it; lower --workers or --max-megapixels"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"corrupt or truncated ({error or type(error).__name__})"
