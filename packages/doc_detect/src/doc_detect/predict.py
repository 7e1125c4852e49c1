"""Find what is on pages: the command ``predict``."""

import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from doc_detect.detectors.onnx import Detections, OnnxDetector, PageDetector, default_model, read_for
from doc_detect.pages import BadPage, PageRef, ReadOptions, common_root, find_files, page_refs
from doc_detect.pages.threads import in_any_order
from doc_detect.predictions import FAILURES, SURE, Journal, Summary, write_tables, writing
from doc_detect.settings.job import PredictSettings
from seminar_common.device import usable_cores
from seminar_common.progress import progress, say

_SECONDS_BETWEEN_LINES = 30.0
"""How often a log file, which has no bar, gets a line."""


def main(settings: PredictSettings) -> None:
    """Predict and say what was found; the function behind ``doc-detect predict``."""
    summary = predict(settings)
    if summary.failures:
        say(f"{summary.failures:,} could not be read: see {settings.out / FAILURES}")
    found = ", ".join(f"{label} {pages:,}" for label, pages in summary.found.items())
    say(f"{summary.pages:,} pages in {settings.out}; pages with (score {SURE} or more): {found}")


def predict(settings: PredictSettings) -> Summary:
    """Run a detector over all pages of ``settings.inputs`` and fill ``settings.out``.

    Pages that are finished there are not done again, unless their file has changed. A page that can't be read
    becomes a row of ``failures.csv``, and is tried again the next time.

    Raises:
        UserError: no pages, no detector, or the folder holds something else.
    """
    files = find_files(settings.inputs)
    detector = open_detector(settings)
    options = ReadOptions(settings.pdf_pixels, settings.max_megapixels)
    config = {"model": detector.name, "min_score": settings.min_score, "pdf_pixels": settings.pdf_pixels}
    config |= detector.identity()
    root = common_root(settings.inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # decoders warn of every odd tag; what matters is in failures.csv
        with writing(settings.out, config, detector.labels, root) as journal:
            _finish(files, journal, _Job(detector, options), settings)
    return write_tables(settings.out)


def open_detector(settings: PredictSettings) -> PageDetector:
    """Return the detector that the settings ask for; PyTorch is imported for a run folder alone."""
    if settings.run is not None:
        import torch

        from doc_detect.detectors.torch import open_torch

        torch.set_num_threads(1)  # pages are worked on side by side
        return open_torch(settings.run)
    return OnnxDetector(settings.model or default_model())


@dataclass(frozen=True)
class _Outcome:
    """What became of one page."""

    ref: PageRef
    size: tuple[int, int] = (0, 0)
    """Width and height of the page."""
    found: Detections | None = None
    """None where the page could not be read."""
    reason: str = ""


@dataclass(frozen=True)
class _Job:
    """What a worker thread does with a page."""

    detector: PageDetector
    options: ReadOptions

    def __call__(self, ref: PageRef) -> _Outcome:
        try:
            page = read_for(self.detector, ref, self.options)
        except BadPage as error:
            return _Outcome(ref, reason=str(error))
        return _Outcome(ref, (page.width, page.height), self.detector.detect(page))


def _finish(files: list[str], journal: Journal, job: _Job, settings: PredictSettings) -> None:
    """Do the pages that are not done, and write each into the journal as it is finished."""
    workers = settings.workers or usable_cores()
    with progress("pages", len(files)) as advance:
        reporter = _Reporter(len(files), advance)
        for outcome in in_any_order(job, _unfinished(files, journal, reporter), workers):
            if outcome.found is None:
                journal.add_failure(outcome.ref, outcome.reason)
            else:
                found = outcome.found
                boxes = zip(found.boxes, found.scores, found.labels, strict=True)
                journal.add_page(outcome.ref, outcome.size, boxes, settings.min_score)
            reporter.page_done(failed=outcome.found is None)
    if reporter.skipped:
        say(f"{reporter.skipped:,} pages were done before and are kept")


def _unfinished(files: list[str], journal: Journal, reporter: "_Reporter") -> Iterator[PageRef]:
    """Yield the pages of ``files`` that are to be done; a file that can't be opened is noted as failed."""
    for file in files:
        path = Path(file)
        try:
            refs = page_refs(path)
        except BadPage as error:
            journal.add_failure(PageRef(path), str(error))
            reporter.page_done(failed=True)
        else:
            left = [ref for ref in refs if not journal.is_done(ref)]
            reporter.skipped += len(refs) - len(left)
            reporter.kept += not left
            yield from left
        reporter.file_begun()


@dataclass
class _Reporter:
    """Keeps the bar up to date, and gives a log file, which has no bar, a line now and then."""

    files: int
    advance: Callable[..., None]
    begun: int = 0
    pages: int = 0
    failed: int = 0
    skipped: int = 0
    """Pages that were done before."""
    kept: int = 0
    """Files of which all pages were done before: they say nothing of the time that is left."""
    started: float = field(default_factory=perf_counter)
    spoken: float = field(default_factory=perf_counter)

    def file_begun(self) -> None:
        """Count a file whose pages are under way."""
        self.begun += 1
        self.advance(1)

    def page_done(self, failed: bool) -> None:
        """Count a page."""
        self.pages += 1
        self.failed += failed
        now = perf_counter()
        rate = self.pages / (now - self.started)
        self.advance(0, f"{self.pages:,} pages, {rate:.1f}/s, {self.failed:,} failed")
        if now - self.spoken > _SECONDS_BETWEEN_LINES and not sys.stderr.isatty():
            self.spoken = now
            left = (self.files - self.begun) * (now - self.started) / max(1, self.begun - self.kept)
            say(
                f"{self.begun:,} of {self.files:,} files, {self.pages:,} pages, {rate:.1f}/s, "
                f"{self.failed:,} failed, about {left / 60:.0f} min left"
            )
