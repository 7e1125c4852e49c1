"""The detector as Python programs call it: scans in, named boxes out."""

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from PIL import Image

from doc_detect.detectors.detections import Detections
from doc_detect.detectors.found import Found, named
from doc_detect.detectors.onnx import OnnxDetector, PageDetector, read_for
from doc_detect.pages import BadPage, Page, PageRef, ReadOptions, page_refs, read_page, search
from doc_detect.pages.memory import Picture, file_behind, page_in_memory, pixels_of
from doc_detect.pages.names import page_name
from seminar_common.errors import UserError
from seminar_common.failures import Failure

Scan = str | os.PathLike[str] | PageRef | Picture
"""A page: its file, a page of a file, a Pillow image, or an array (:func:`doc_detect.pages.memory.pixels_of`)."""

_SCANS = (str, os.PathLike, PageRef, np.ndarray, Image.Image)
_SCAN = "give a path, a PageRef, a Pillow image or a NumPy array"
_Item = tuple[str, PageRef | Picture | BadPage]
"""A page's name, and where it is, its picture, or why its file can't be opened."""


def open_detector(
    model: Path | None, run: Path | None = None, threads: int = 1, size: int | None = None
) -> PageDetector:
    """Return the detector of an ONNX file or a run, or the one that ships; PyTorch is imported for a run alone.

    Args:
        model: ONNX file made by `export`.
        run: Run folder of `train`, in place of a model.
        threads: For one page. With ``run`` this is set for all that PyTorch does in the process.
        size: Longest side in pixels that an ONNX file looks at pages, in place of its own.

    Raises:
        UserError: the file or the run is missing or of another kind, or both are given.
    """
    if run is None:
        return OnnxDetector(model, threads, size)
    if size is not None:
        raise UserError("a size goes with an ONNX file: `doc-detect export` makes one of the run")
    if model is not None:
        raise UserError("a model and a run: give one of them")
    import torch

    from doc_detect.detectors.torch import open_torch

    torch.set_num_threads(threads)  # pages are worked on side by side
    return open_torch(run)


class Detector:
    """Finds illustrations, initials, tables and the like on scans: ``Detector()("scan.tif")``.

    It gives the same answers as ``doc-detect predict``, to the bit. An array, or a Pillow image that has been decoded,
    gives those of a PNG of the same pixels. For a large JPEG they differ a little: its file is decoded smaller.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        run: str | os.PathLike[str] | None = None,
        threads: int = 1,
        size: int | None = None,
        options: ReadOptions | None = None,
    ):
        """Open a detector, by default the one that ships.

        Args:
            model: ONNX file made by ``doc-detect export``.
            run: Run folder of ``doc-detect train``, to use PyTorch instead.
            threads: CPU threads for one page. With ``run`` this is set for all that PyTorch does in the process.
            size: Longest side in pixels that pages are looked at, in place of the file's own; time grows with its square.
            options: Size that pages of PDFs count as, and the limit on pixels.

        Raises:
            UserError: the file or the run is missing or of another kind, or both are given.
        """
        opened = open_detector(_path(model), _path(run), threads, size)
        self._detector, self._options = opened, options or ReadOptions()
        self.name, self.labels = opened.name, opened.labels
        self.size, self.trim = opened.size, opened.trim
        self.scoring = opened.scoring

    def __call__(self, scan: Scan, *, min_score: float = 0.0) -> Found:
        """Return what is on a page.

        Args:
            scan: Its file, a :class:`PageRef` for a page of a PDF or TIFF, a Pillow image or an array.
            min_score: Leave out what scores less.

        Raises:
            BadPage: the page can't be read; the message names it.
            UserError: a folder, a file of several pages, or no scan at all.
        """
        name, page = _only_page(scan)
        try:
            return self._find(name, page, min_score)
        except BadPage as error:
            raise _named_error(name, error) from error

    @overload
    def each(
        self, scans: Scan | Iterable[Scan], *, min_score: float = ..., errors: Literal["raise"] = ...
    ) -> Iterator[Found]: ...

    @overload
    def each(
        self, scans: Scan | Iterable[Scan], *, min_score: float = ..., errors: Literal["return"]
    ) -> Iterator[Found | Failure]: ...

    def each(
        self,
        scans: Scan | Iterable[Scan],
        *,
        min_score: float = 0.0,
        errors: Literal["raise", "return"] = "raise",
    ) -> Iterator[Found] | Iterator[Found | Failure]:
        """Yield what is on each of many pages, one at a time: memory does not grow with their number.

        Args:
            scans: A folder with all that is below it, a glob, a file of several pages, or an iterable of these and of
                what a single call takes. Folders are read in the order of their names.
            min_score: Leave out what scores less.
            errors: At a page that can't be read ``raise`` ends with a :class:`BadPage`; ``return`` yields a
                :class:`Failure` with ``file``, ``number`` (of its page) and ``reason``, and goes on.

        Raises:
            BadPage: a page can't be read.
            UserError: a folder or a glob without a page, or no scan at all.
        """
        if errors not in ("raise", "return"):
            raise UserError(f"errors={errors!r}: give 'raise' or 'return'")
        return self._each(_pages(scans), min_score, errors == "return")

    def detect(self, page: Page) -> Detections:
        """Return what is on a page that :func:`read_for` decoded, with numbers for classes; safe in several threads."""
        return self._detector.detect(page)

    def identity(self) -> Mapping[str, Any]:
        """Return the facts that its answers depend on: digests of weights, settings and code."""
        return self._detector.identity()

    def __repr__(self) -> str:
        """Return its name and classes."""
        return f"<Detector {self.name}: {', '.join(self.labels)}>"

    def _each(self, pages: Iterator[_Item], min_score: float, go_on: bool) -> Iterator[Found | Failure]:
        for name, page in pages:
            try:
                yield self._find(name, page, min_score)
            except BadPage as error:
                if not go_on:
                    raise _named_error(name, error) from error
                if isinstance(page, PageRef):
                    yield Failure(str(page.path), str(error), page.number)
                else:
                    yield Failure(name, str(error))

    def _find(self, name: str, page: PageRef | Picture | BadPage, min_score: float) -> Found:
        if isinstance(page, BadPage):
            raise page
        if isinstance(page, PageRef):
            ref, options = page, self._options
            decoded = read_for(self, ref, options).on(ref.canvas)

            def decode() -> np.ndarray:
                return read_page(ref, None, options).pixels
        else:
            decoded = page_in_memory(page, self.size, trim=self.trim)
            decode = partial(pixels_of, page)
        objects = named(self.detect(decoded), self.labels, min_score)
        side = round(decoded.window_side, 1)  # as it is stored
        return Found(
            name, decoded.width, decoded.height, objects, self.labels, side, self.scoring.margin, decode
        )


def _only_page(scan: Scan) -> tuple[str, PageRef | Picture | BadPage]:
    """Return the page that a single scan is."""
    if not isinstance(scan, _SCANS):
        raise UserError(f"a {type(scan).__name__} is no scan: {_SCAN}; for many use detector.each()")
    if isinstance(scan, str | os.PathLike) and Path(scan).is_dir():
        raise UserError(f"{scan}: a folder; use detector.each({str(scan)!r}), which yields every page of it")
    pages = list(_pages_of(scan, ""))
    if len(pages) > 1:
        raise UserError(
            f"{scan}: a file of {len(pages)} pages; use detector.each({str(scan)!r}) for all, or PageRef(path, number) for one"
        )
    return pages[0]


def _pages(scans: Scan | Iterable[Scan]) -> Iterator[_Item]:
    """Yield the pages of one or many scans, folders and globs."""
    if isinstance(scans, _SCANS):
        yield from _pages_of(scans, "")
    elif isinstance(scans, Iterable):
        for position, scan in enumerate(scans):
            yield from _pages_of(scan, f"scans[{position}]")
    else:
        raise UserError(f"a {type(scans).__name__} is no scan: {_SCAN}")


def _pages_of(scan: Scan, place: str) -> Iterator[_Item]:
    """Yield the pages of what is one scan, a folder, a glob, or a file of several pages; ``place`` names a picture."""
    if not isinstance(scan, _SCANS):
        raise UserError(f"{place}, a {type(scan).__name__}, is no scan: {_SCAN}")
    if isinstance(scan, PageRef):
        yield page_name(str(scan.path), scan.number), scan
    elif not isinstance(scan, str | os.PathLike):
        ref = file_behind(scan)
        yield (place, scan) if ref is None else (page_name(str(ref.path), ref.number), ref)
    else:
        path = Path(scan)
        several = path.is_dir() or (not path.exists() and set("*?[") & set(str(path)))
        for file in _listed(path) if several else [str(path)]:
            try:
                refs = page_refs(Path(file))
            except BadPage as error:
                yield file, error
            else:
                yield from ((page_name(str(ref.path), ref.number), ref) for ref in refs)


def _listed(path: Path) -> list[str]:
    """Return the files of a folder or glob; what looks like a page and is passed over is said in a warning."""
    listing = search([path])
    for line in listing.remarks():
        warnings.warn(f"{path}: {line}", stacklevel=2)
    return list(listing.files)


def _named_error(name: str, error: BadPage) -> BadPage:
    return BadPage(f"{name}: {error}" if name else str(error))


def _path(path: str | os.PathLike[str] | None) -> Path | None:
    return None if path is None else Path(path)
