"""Pages from what an archive has: images, folders, globs, PDFs, multi-page TIFFs.

A page comes decoded as small as its reader needs it (a JPEG at an eighth, a JPEG 2000 at a lower resolution
level, a PDF rendered small), while coordinates always count the page's own pixels. Whatever is wrong with a
file ends in a :class:`BadPage` with one line that says why.
"""

from doc_detect.pages.listing import common_root, find_files, search
from doc_detect.pages.page import Page, PageRef, ReadOptions
from doc_detect.pages.reading import page_refs, read_content, read_page
from seminar_common.images import BadImage as BadPage

__all__ = [
    "BadPage",
    "Page",
    "PageRef",
    "ReadOptions",
    "common_root",
    "find_files",
    "page_refs",
    "read_content",
    "read_page",
    "search",
]
