"""One way to read a page, whatever file it is in, with one kind of error."""

from pathlib import Path
from typing import TYPE_CHECKING

from doc_detect.pages.page import Page, PageRef, ReadOptions
from doc_detect.pages.trim import look_closer
from seminar_common.images import check_not_empty, one_line_errors, read_image, tiff_pages

if TYPE_CHECKING:
    import numpy as np

_TIFF = (".tif", ".tiff")


def page_refs(path: Path) -> list[PageRef]:
    """Return the pages of a file; only PDFs and TIFFs are opened for it. An animation is one page, its first frame.

    Raises:
        BadImage: the file is missing, empty or corrupt.
    """
    suffix = path.suffix.lower()
    if suffix not in (".pdf", *_TIFF):
        return [PageRef(path)]
    with one_line_errors():
        check_not_empty(path)
        if suffix == ".pdf":
            from doc_detect.pages.pdf import page_count

            return [PageRef(path, number) for number in range(1, page_count(path) + 1)]
        frames = tiff_pages(path)
    return [PageRef(path)] if frames == [0] else [PageRef(path, frame + 1) for frame in frames]


def read_content(ref: PageRef, longest: int, options: ReadOptions | None = None) -> Page:
    """Decode what the uniform margins of a page enclose, its longest side at most ``longest`` pixels.

    Where the margins are wide the page is decoded a second time, so much larger that its content has those pixels.

    Raises:
        BadImage: the page can't be read.
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
        BadImage: the page can't be read.
    """
    options = options or ReadOptions()
    if ref.path.suffix.lower() == ".pdf":
        from doc_detect.pages.pdf import read_pdf_page

        with one_line_errors():
            check_not_empty(ref.path)
            return read_pdf_page(ref.path, ref.number or 1, longest, options)
    frame = (ref.number or 1) - 1
    image = read_image(ref.path, frame=frame, longest=longest, max_megapixels=options.max_megapixels)
    return Page(image.pixels, image.width, image.height)
