"""Find what is on pages: the command ``predict``."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from doc_detect.detectors.detections import Detections
from doc_detect.detectors.finder import open_detector
from doc_detect.detectors.onnx import PageDetector, read_for
from doc_detect.pages import BadPage, PageRef, ReadOptions, common_root, page_refs, search
from doc_detect.pages.canvases import FOLDER, Library, split_inputs
from doc_detect.pages.download import Downloader
from doc_detect.predictions import FAILURES, SURE, Journal, Summary, write_tables, writing
from doc_detect.settings.job import PredictSettings
from seminar_common.identity import require_same
from seminar_common.progress import progress, say
from seminar_common.work import Failed, Workers, executor, results_as_completed

BATCH = 4
"""Pages that a cluster's worker takes at once: some 0.4 s of work with the detector that ships."""


def main(settings: PredictSettings) -> None:
    """Predict and say what was found; the function behind ``doc-detect predict``."""
    summary = predict(settings)
    if summary.failures:
        say(f"{summary.failures:,} could not be read: see {settings.out / FAILURES}")
    found = ", ".join(f"{label} {pages:,}" for label, pages in summary.found.items())
    say(f"{summary.pages:,} pages in {settings.out}; pages with (score {SURE} or more): {found}")


def predict(settings: PredictSettings) -> Summary:
    """Run a detector over all pages of ``settings.inputs`` and fill ``settings.out``.

    Pages that are finished there are not done again, unless their file has changed. A page that can't be read, or
    that no worker survives or ends in time, becomes a row of ``failures.csv``, and is tried again the next time.

    Raises:
        UserError: no pages, no detector, no cluster, or the folder holds something else.
    """
    plain, library = _split(settings)
    files = _files(plain) if plain or not library.inputs else []
    options = ReadOptions(settings.pdf_pixels, settings.max_megapixels)
    finder = _Finder(settings.model, settings.run, options, settings.size)
    detector = finder.detector
    config: dict[str, Any] = {
        "model": detector.name,
        "min_score": settings.min_score,
        "pdf_pixels": settings.pdf_pixels,
    }
    config |= {"margin": dict(detector.scoring.margin), "iiif_pixels": settings.iiif_pixels}
    config |= detector.identity()
    root = common_root([*plain, *library.holders()])
    with (
        executor(settings.work, limit_s=settings.page_timeout) as workers,
        writing(settings.out, config, detector.labels, root) as journal,
    ):
        _finish(files, library, journal, finder, workers, settings.min_score)
    return write_tables(settings.out)


def _files(inputs: list[Path]) -> list[str]:
    """Return the files that ``inputs`` name, and say what of them is passed over."""
    listing = search(inputs)
    for line in listing.remarks():
        say(line)
    return list(listing.files)


def _split(settings: PredictSettings) -> tuple[list[Path], Library]:
    """Return the inputs that are images or folders of them, and those that are IIIF manifests."""
    plain, manifests = split_inputs(settings.inputs)
    downloader = Downloader(settings.download_pause) if settings.download else None
    folder = settings.out / FOLDER
    return plain, Library(manifests, folder, settings.images, downloader, settings.iiif_pixels)


@dataclass(frozen=True)
class _Found:
    """What is on a page."""

    size: tuple[int, int]
    """Width and height of the page."""
    window_side: float
    """Longest side of what was seen of it, in its pixels."""
    detections: Detections


@dataclass(frozen=True)
class _Finder:
    """What a worker does with a page. It is sent without its detector: each worker opens its own."""

    model: Path | None
    run: Path | None
    options: ReadOptions
    size: int | None = None
    """Longest side that pages are looked at, in place of the detector's own."""
    identity: Mapping[str, Any] | None = None
    """Facts of the detector that a worker must have, too: machines may have different versions installed."""

    @cached_property
    def detector(self) -> PageDetector:
        """The detector, opened when it is first used."""
        detector = open_detector(self.model, self.run, size=self.size)
        if self.identity is not None:
            way_out = "install the same version on all machines"
            require_same(detector.identity(), self.identity, Path("a worker's detector"), way_out)
        return detector

    def __reduce__(self) -> tuple[Any, ...]:
        model, run = (None if path is None else path.absolute() for path in (self.model, self.run))
        return _Finder, (model, run, self.options, self.size, self.detector.identity())

    def __call__(self, ref: PageRef) -> _Found | Failed:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # decoders warn of every odd tag; what matters is in failures.csv
            try:
                page = read_for(self.detector, ref, self.options).on(ref.canvas)
            except BadPage as error:
                return Failed(str(error))
            return _Found((page.width, page.height), page.window_side, self.detector.detect(page))


def _finish(
    files: list[str], library: Library, journal: Journal, finder: _Finder, workers: Workers, min_score: float
) -> None:
    """Do the pages that are not done, and write each into the journal as it is finished."""
    with progress("pages", len(files) + len(library.inputs)) as advance:
        counts = _Counts(advance)
        left = chain(_unfinished(files, journal, counts), _unfinished_canvases(library, journal, counts))
        for ref, answer in results_as_completed(workers, finder, left, batch=BATCH):
            if isinstance(answer, Failed):
                journal.add_failure(ref, answer.reason)
            else:
                found = answer.detections
                boxes = zip(found.boxes, found.scores, found.labels, strict=True)
                journal.add_page(ref, answer.size, boxes, min_score, answer.window_side)
            counts.page_done(failed=isinstance(answer, Failed))
    if counts.skipped:
        say(f"{counts.skipped:,} pages were done before and are kept")


def _unfinished(files: list[str], journal: Journal, counts: "_Counts") -> Iterator[PageRef]:
    """Yield the pages of ``files`` that are to be done; a file that can't be opened is noted as failed."""
    for file in files:
        path = Path(file).absolute()  # workers elsewhere have another current folder
        try:
            # A file that was one page and is as it was is one still: half a million need not be opened for it.
            refs = [PageRef(path)] if journal.is_done(PageRef(path)) else page_refs(path)
        except BadPage as error:
            journal.add_failure(PageRef(path), str(error))
            counts.page_done(failed=True)
        else:
            left = [ref for ref in refs if not journal.is_done(ref)]
            counts.skipped += len(refs) - len(left)
            yield from left
        counts.advance(1)


def _unfinished_canvases(library: Library, journal: Journal, counts: "_Counts") -> Iterator[PageRef]:
    """Yield the canvases of manifests that are to be done; one without an image is noted as failed."""
    for page in library.pages():
        if journal.was_done(page.ref) if page.problem else journal.is_done(page.ref):
            counts.skipped += 1
        elif page.problem:
            journal.add_failure(page.ref, page.problem)
            counts.page_done(failed=True)
        else:
            yield page.ref
    counts.advance(len(library.inputs))


@dataclass
class _Counts:
    """Counts pages beside the files that the bar counts: how many pages a PDF has shows when it is opened."""

    advance: Callable[..., None]
    pages: int = 0
    failed: int = 0
    skipped: int = 0
    """Pages that were done before."""

    def page_done(self, failed: bool) -> None:
        """Count a page."""
        self.pages += 1
        self.failed += failed
        self.advance(0, f"{self.pages:,} pages, {self.failed:,} failed")
