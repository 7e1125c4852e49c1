"""One way to read a page, whatever file it is in, with one kind of error. Content says what a file is, not its name."""

from pathlib import Path
from typing import TYPE_CHECKING

from doc_detect.pages.page import Page, PageRef, ReadOptions
from doc_detect.pages.trim import look_closer
from seminar_common.file_kinds import PDF, TIFF, FileKind, kind_of
from seminar_common.images import Loaded, check_not_empty, load_image, one_line_errors, read_image, tiff_pages

if TYPE_CHECKING:
    import numpy as np


def page_refs(path: Path) -> list[PageRef]:
    """Return the pages of a file; of PDFs and TIFFs more than the beginning is read for it.

    An animation is one page, its first frame.

    Raises:
        BadImage: the file is missing, empty or corrupt.
    """
    kind = page_kind(path)
    with one_line_errors():
        if kind is PDF:
            from doc_detect.pages.pdf import page_count

            return [PageRef(path, number) for number in range(1, page_count(path) + 1)]
        frames = tiff_pages(path) if kind is TIFF else [0]
    return [PageRef(path)] if frames == [0] else [PageRef(path, frame + 1) for frame in frames]


def page_kind(path: Path) -> FileKind | None:
    """Return what a file is by its content, None if that is unknown.

    Raises:
        BadImage: the file is missing or empty.
    """
    with one_line_errors():
        check_not_empty(path)
        return kind_of(path)


def read_content(ref: PageRef, longest: int, options: ReadOptions | None = None) -> Page:
    """Decode what the uniform margins of a page enclose, its longest side at most ``longest`` pixels.

    Where the margins are wide the page is wanted so much larger that its content has those pixels. It is decoded a
    second time for that only if the first time gave fewer.

    Raises:
        BadImage: the page can't be read.
    """
    source = _Source(ref, options or ReadOptions())
    pixels, (x1, y1, x2, y2) = look_closer(source.pixels, longest)
    width, height = source.size
    return Page(pixels, width, height, (x1 * width, y1 * height, x2 * width, y2 * height))


class _Source:
    """A page that is wanted at one size and then perhaps at another."""

    def __init__(self, ref: PageRef, options: ReadOptions):
        self.ref, self.options = ref, options
        self.size = (0, 0)
        """Width and height of the page in its own pixels, once it has been read."""
        self._is_pdf = page_kind(ref.path) is PDF
        self._loaded: Loaded | None = None

    def pixels(self, longest: int) -> "np.ndarray":
        """Return the whole page, uint8 [h, w, 3], its longest side at most ``longest`` pixels."""
        page = _read_pdf(self.ref, longest, self.options) if self._is_pdf else self._decoded(longest)
        self.size = page.width, page.height
        return page.pixels

    def _decoded(self, longest: int) -> Page:
        if self._loaded is None or not self._loaded.holds(longest):
            self._loaded = None  # two at once are too much for memory
            most = self.options.max_megapixels
            self._loaded = load_image(
                self.ref.path, frame=_frame(self.ref), longest=longest, max_megapixels=most
            )
        image = self._loaded.at(longest)
        return Page(image.pixels, image.width, image.height)


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
    if page_kind(ref.path) is PDF:
        return _read_pdf(ref, longest, options)
    most = options.max_megapixels
    image = read_image(ref.path, frame=_frame(ref), longest=longest, max_megapixels=most)
    return Page(image.pixels, image.width, image.height)


def _read_pdf(ref: PageRef, longest: int | None, options: ReadOptions) -> Page:
    from doc_detect.pages.pdf import read_pdf_page

    with one_line_errors():
        return read_pdf_page(ref.path, ref.number or 1, longest, options)


def _frame(ref: PageRef) -> int:
    return (ref.number or 1) - 1
