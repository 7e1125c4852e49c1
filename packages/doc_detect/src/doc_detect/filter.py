"""Pages that hold a class and not another: the command ``filter``."""

import shutil
import sys
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path

from doc_detect.pages import BadPage, PageRef
from doc_detect.pages.names import inside, on_disk, page_name
from doc_detect.pages.reading import page_kind
from doc_detect.predictions import PAGES, Predictions, open_predictions
from doc_detect.settings.job import FilterSettings
from seminar_common import files
from seminar_common.errors import UserError
from seminar_common.file_kinds import PDF, TIFF
from seminar_common.images import one_line_errors
from seminar_common.progress import say

_BATCH = 10_000


def main(settings: FilterSettings) -> None:
    """Print, copy or link the pages that fit; the function behind ``doc-detect filter``."""
    predictions = open_predictions(settings.predictions, settings.images)
    refs = matching(predictions, settings)
    folder = settings.copy or settings.link
    if folder is None:
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="surrogateescape")  # file names are bytes, of any encoding
        for ref in refs:
            print(page_name(str(ref.path), ref.number))
        return
    files.refuse_existing(folder, "choose another folder, or remove it first")
    count = sum(_place(ref, predictions, folder, linked=settings.link is not None) for ref in refs)
    if count == 0:
        raise UserError(
            f"{settings.predictions}: no page fits; lower --min-score, or look at them with `gallery`"
        )
    say(f"{count:,} pages {'linked' if settings.link else 'copied'} into {folder}")


def matching(predictions: Predictions, settings: FilterSettings) -> Iterator[PageRef]:
    """Yield the pages that hold every class of ``settings.has`` and none of ``settings.lacks``, in order.

    Raises:
        UserError: the detector does not know a class.
    """
    predictions.check_labels(settings.has, "--has")
    predictions.check_labels(settings.lacks, "--not")
    return _matching(predictions, settings)


def _matching(predictions: Predictions, settings: FilterSettings) -> Iterator[PageRef]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = [f"score_{label}" for label in (*settings.has, *settings.lacks)]
    path = predictions.folder / PAGES
    try:
        table = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise UserError(f"{path}: damaged; the same `predict` makes it again") from error
    names: dict[int, str] = {}
    for batch in table.iter_batches(_BATCH, columns=["image_id", "file", "page", *wanted]):
        for row in batch.to_pylist():
            present = [(row[name] or 0) >= settings.min_score and row[name] is not None for name in wanted]
            if all(present[: len(settings.has)]) and not any(present[len(settings.has) :]):
                if "\\" in row["file"]:  # it may stand for bytes that are no UTF-8, which the journal holds
                    names = names or {page.image_id: page.file for page in predictions}
                file = predictions.root / names.get(row["image_id"], row["file"])
                yield PageRef(on_disk(file), row["page"])


def _place(ref: PageRef, predictions: Predictions, folder: Path, linked: bool) -> int:
    """Copy or link one page below ``folder``; return 1 if it was there to be."""
    target = folder / inside(Path(ref.path).relative_to(predictions.root).as_posix())
    target.parent.mkdir(parents=True, exist_ok=True)
    if not ref.path.exists():
        say(f"{ref.path}: no longer there, left out; say with --images where the pages are now")
        return 0
    if linked:
        if not target.is_symlink():  # a PDF is linked once for all of its pages
            target.symlink_to(ref.path.absolute())
    elif ref.number is None:
        with files.atomic_path(_free(target)) as temporary:
            shutil.copy2(ref.path, temporary)
    else:
        try:
            _copy_page(ref, ref.number, target)
        except BadPage as error:
            say(f"{page_name(str(ref.path), ref.number)}: {error}; left out")
            return 0
    return 1


def _free(target: Path) -> Path:
    """Return ``target``, or the like with a number where that is taken: ``book`` and ``book.tif`` may have a page 1."""
    number, free = 2, target
    while free.exists():
        free = target.with_name(f"{target.stem}-{number}{target.suffix}")
        number += 1
    return free


def _copy_page(ref: PageRef, number: int, target: Path) -> None:
    """Write one page of a PDF or TIFF as a file of its own, without loss.

    Args:
        ref: Which page.
        number: Its number in the file, from 1.
        target: Where the whole file would go; the page's file is beside it and ends as its content does.
    """
    kind = page_kind(ref.path)
    if kind is PDF:
        from doc_detect.pages.pdf import extract_page
    else:
        from doc_detect.pages.tiff import extract_page
    suffixes = (PDF if kind is PDF else TIFF).suffixes
    lies = target.suffix.lower() not in suffixes
    name = f"{target.name if lies else target.stem}-p{number:04d}{suffixes[0] if lies else target.suffix}"
    with one_line_errors(), files.atomic_path(_free(target.with_name(name))) as temporary:
        extract_page(ref.path, number, temporary)
