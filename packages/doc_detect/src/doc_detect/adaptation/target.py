"""The pages of a collection: which they are, and their pixels as a detector wants them, decoded once."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np

from doc_detect.coco import CocoPage, CocoSet
from doc_detect.pages import BadPage, Page, PageRef, ReadOptions, page_refs, read_content, read_page, search
from doc_detect.pages.canvases import Library, is_address, split_inputs
from doc_detect.pages.iiif import is_iiif
from doc_detect.pages.names import page_name
from seminar_common import failures, files
from seminar_common.errors import UserError
from seminar_common.failures import Failure
from seminar_common.identity import digest
from seminar_common.journal import open_journal
from seminar_common.progress import progress, say
from seminar_common.seeds import numpy_generator
from seminar_common.work import Failed, WorkConfig, executor, results_as_completed

JOURNAL = "pages.jsonl"
"""In the folder of decoded pages: what each is, and where."""


@dataclass(frozen=True)
class Listed:
    """Pages of a collection that were drawn, and what could not be opened."""

    refs: tuple[PageRef, ...]
    failures: tuple[Failure, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Digest of the pages' names and the sizes of their files."""
        return digest({page_name(str(r.path), r.number): r.path.stat().st_size for r in self.refs})


@dataclass(frozen=True)
class TargetPage:
    """A page of a collection, decoded as small as the detector looks at it."""

    name: str
    """Its file, with ``#page=`` and its number where the file has several."""
    file: Path
    """PNG of what is seen of it."""
    width: int
    """Width of the page in its own pixels."""
    height: int
    """Height of the page in its own pixels."""
    window: tuple[float, float, float, float]
    """x1, y1, x2, y2 of what is seen of it, in its own pixels."""

    def read(self) -> Page:
        """Return it as :func:`doc_detect.detectors.onnx.read_for` did.

        Raises:
            UserError: its file was changed or removed.
        """
        picture = cv2.imread(str(self.file), cv2.IMREAD_COLOR)
        if picture is None:
            raise UserError(f"{self.file}: can't be read any more; start a new run")
        return Page(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), self.width, self.height, self.window)


def list_pages(inputs: Sequence[Path], most: int, seed: int, without: Collection[Path] = ()) -> Listed:
    """Return at most ``most`` pages of what ``inputs`` name, drawn from all files: one of each in turn.

    Args:
        inputs: Images, PDFs, folders, globs, IIIF manifests whose images are on disk, or COCO files.
        most: How many pages.
        seed: Of the choice.
        without: Files that are left out.

    Raises:
        UserError: an input that is not there, is on the network, or names no page.
    """
    plain, documents = split_inputs(inputs)
    failed: list[Failure] = []
    named: dict[str, PageRef | None] = {}  # a file each, so that half a million of them take little
    for document in documents:
        for ref in _listed_in(document, failed):
            named.setdefault(str(ref.path.absolute()), ref)
    for file in _pictures(plain) if plain else ():
        named.setdefault(file, None)
    if without:
        left_out = {path.resolve() for path in without}
        named = {file: ref for file, ref in named.items() if Path(file).resolve() not in left_out}
    return Listed(tuple(_draw(named, most, numpy_generator(seed, "target"), failed)), tuple(failed))


def _draw(
    named: Mapping[str, PageRef | None], most: int, g: np.random.Generator, failed: list[Failure]
) -> list[PageRef]:
    """Return pages of files drawn at random, one of each in turn; no more files are opened than are needed.

    Args:
        named: Files, with the page that each is where that is known.
        most: How many pages.
        g: Draws files, and pages of them.
        failed: Takes up the files that can't be opened.
    """
    names, books = list(named), []
    for number in g.permutation(len(names)):
        if len(books) == most:
            break
        path = Path(names[number])
        known = named[names[number]]
        try:
            refs = page_refs(path) if known is None else [dataclasses.replace(known, path=path)]
        except BadPage as error:
            failed.append(Failure(str(path), str(error)))
        else:
            books.append([refs[i] for i in g.permutation(len(refs))] if len(refs) > 1 else refs)
    turns = min(most, max(map(len, books), default=0))
    drawn = [book[turn] for turn in range(turns) for book in books if turn < len(book)]
    return sorted(drawn[:most], key=lambda ref: (str(ref.path), ref.number or 0))


def _pictures(plain: Sequence[Path]) -> Iterator[str]:
    listing = search(plain)
    for line in listing.remarks():
        say(line)
    for file in listing.files:
        yield str(Path(file).absolute())


def _listed_in(document: Path, failed: list[Failure]) -> Iterator[PageRef]:
    """Yield the pages that a COCO file or a IIIF manifest lists."""
    if is_address(document):
        raise UserError(
            f"--target {document}: on the network; fetch its images by `predict --download` first"
        )
    content: Any = files.read_json(document)
    if is_iiif(content):
        with TemporaryDirectory() as folder:  # nothing is fetched, so nothing is to be kept
            for page in Library([document], Path(folder)).pages():
                if page.problem:
                    failed.append(Failure(str(document), page.problem, page.ref.number))
                else:
                    yield page.ref
        return
    images = content.get("images") if isinstance(content, dict) else None
    names = [image.get("file_name") for image in images if isinstance(image, dict)] if images else []
    if not names or not all(isinstance(name, str) for name in names):
        raise UserError(f"--target {document}: neither a COCO file with images nor a IIIF manifest")
    place = CocoSet(document.absolute(), (), frozenset())
    for name in names:
        try:
            yield PageRef(
                place.image_path(CocoPage(str(name), 1, 1, np.zeros((0, 4)), np.zeros(0, np.int64)))
            )
        except UserError as error:
            failed.append(Failure(str(name), str(error)))


@dataclass(frozen=True)
class Reader:
    """Decodes a page as a detector wants it."""

    size: int
    trim: bool
    options: ReadOptions

    def __call__(self, piece: tuple[int, PageRef]) -> Page | Failed:
        """Return the page of a number and a place, or why it can't be read."""
        read = read_content if self.trim else read_page
        ref = piece[1]
        try:
            return read(ref, self.size, self.options).on(ref.canvas)
        except BadPage as error:
            return Failed(str(error))


def decode_pages(
    refs: Sequence[PageRef], folder: Path, reader: Reader, work: WorkConfig, limit_s: float, failed: Path
) -> list[TargetPage]:
    """Decode pages into ``folder``, and go on with what is there; return those that can be read, in order.

    Args:
        refs: The pages.
        folder: Where their pictures are kept.
        reader: How they are decoded.
        work: Where.
        limit_s: Seconds that a page may take; 0 for no limit.
        failed: The table of failures, to which those that can't be read are added.
    """
    names = [page_name(str(ref.path), ref.number) for ref in refs]
    facts = {"size": reader.size, "trim": reader.trim, "pages": digest({"names": names})}
    folder.mkdir(parents=True, exist_ok=True)
    with (
        open_journal(folder / JOURNAL, facts) as journal,
        executor(work, limit_s=limit_s) as workers,
        progress("decoding pages", len(refs)) as advance,
    ):
        done = {record["number"]: record for _, record in journal.records()}
        advance(len(done))
        left = [(number, ref) for number, ref in enumerate(refs) if number not in done]
        for (number, _), page in results_as_completed(workers, reader, left):
            done[number] = {"number": number, **_kept(page, folder / f"{number:06d}.png")}
            journal.append(done[number])
            advance(1)
    bad = [Failure(str(refs[n].path), r["reason"], refs[n].number) for n, r in done.items() if "reason" in r]
    if bad:
        failures.add(failed, sorted(bad, key=lambda failure: (failure.file, failure.number or 0)))
    return [
        TargetPage(names[n], folder / f"{n:06d}.png", r["width"], r["height"], tuple(r["window"]))
        for n, r in sorted(done.items())
        if "reason" not in r
    ]


def _kept(page: Page | Failed, file: Path) -> dict[str, Any]:
    """Write the pixels of a page; return what else is to be known of it."""
    if isinstance(page, Failed):
        return {"reason": page.reason}
    done, data = cv2.imencode(".png", cv2.cvtColor(page.pixels, cv2.COLOR_RGB2BGR), _QUICK)
    assert done
    with files.atomic_path(file) as temporary:
        temporary.write_bytes(data.tobytes())
    window = page.window or (0.0, 0.0, float(page.width), float(page.height))
    return {"width": page.width, "height": page.height, "window": [float(edge) for edge in window]}


_QUICK = (cv2.IMWRITE_PNG_COMPRESSION, 1)
