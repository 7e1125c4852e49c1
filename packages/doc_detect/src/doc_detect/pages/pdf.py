"""Pages of PDFs, by PDFium, which takes ``/Rotate`` and ``CropBox`` into account."""

import atexit
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from doc_detect.pages.page import Page, ReadOptions
from seminar_common.images import BadImage, shrink

if TYPE_CHECKING:
    import pypdfium2

_SUPERSAMPLING = 2
"""Rendered larger by this and averaged, so that fine hatching keeps its grey."""

# PDFium is not thread-safe: every call of it is made under this lock.
_lock = threading.Lock()
_open_documents: "dict[tuple[str, int], pypdfium2.PdfDocument]" = {}
_MOST_OPEN = 2


def page_count(path: Path) -> int:
    """Return the number of pages of a PDF.

    Raises:
        BadImage: encrypted, corrupt, or without a page.
    """
    with _lock:
        count = len(_document(path))
    if not count:
        raise BadImage("a PDF without a page")
    return count


def read_pdf_page(path: Path, number: int, longest: int | None, options: ReadOptions) -> Page:
    """Render page ``number`` (from 1), with its longest side of ``longest`` pixels, at most the frame's.

    The frame that coordinates count has a longest side of ``options.pdf_pixels``.

    Raises:
        BadImage: the document or the page is broken, or the page has no area.
    """
    with _lock:
        page = _load(path, number)
        try:
            points = page.get_size()
            if min(points) <= 0:
                raise BadImage("the page has no area")
            scale = options.pdf_pixels / max(points)
            width, height = (max(1, round(scale * side)) for side in points)
            target = min(longest or options.pdf_pixels, options.pdf_pixels)
            sampling = 1 if longest is None else _SUPERSAMPLING
            bitmap = page.render(
                scale=sampling * target / max(points), rev_byteorder=True, may_draw_forms=False
            )
            pixels = bitmap.to_numpy()[..., :3].copy()
        finally:
            page.close()
    if longest is None:
        return Page(pixels, width, height)
    return Page(shrink(pixels, target), width, height)


def extract_page(path: Path, number: int, target: Path) -> None:
    """Write page ``number`` (from 1) of a PDF to a PDF of its own."""
    import pypdfium2

    with _lock:
        document = pypdfium2.PdfDocument.new()
        document.import_pages(_document(path), [number - 1])
        document.save(target)
        document.close()


def _load(path: Path, number: int) -> "pypdfium2.PdfPage":
    import pypdfium2

    try:
        return _document(path)[number - 1]
    except (IndexError, pypdfium2.PdfiumError) as error:
        raise BadImage(f"page {number} of the PDF can't be read ({error})") from error


def _document(path: Path) -> "pypdfium2.PdfDocument":
    """Return the open document; the two used last stay open. Call it under the lock."""
    import pypdfium2

    if not _open_documents:
        atexit.register(_close)
    key = (str(path), path.stat().st_mtime_ns)
    if key not in _open_documents:
        while len(_open_documents) >= _MOST_OPEN:
            _open_documents.pop(next(iter(_open_documents))).close()
        try:
            _open_documents[key] = pypdfium2.PdfDocument(path)
        except pypdfium2.PdfiumError as error:
            raise BadImage(_reason(path, str(error))) from error
    return _open_documents[key]


def _close() -> None:
    """Close what is open before PDFium itself ends, which would complain."""
    while _open_documents:
        _open_documents.popitem()[1].close()


def _reason(path: Path, message: str) -> str:
    """Say why a document can't be opened.

    PDFium sets no error for a document without pages, so its message may be that of an earlier document: it is
    believed about encryption only where the file speaks of it, which its trailer always does in plain text.
    """
    import mmap

    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        encrypted = data.find(b"/Encrypt") >= 0
    if encrypted and "password" in message.lower():
        return "an encrypted PDF; save it without its password first"
    if encrypted and "security" in message.lower():
        return "a PDF with an unsupported security scheme; save it without protection first"
    return "a corrupt PDF, or one without a page"
