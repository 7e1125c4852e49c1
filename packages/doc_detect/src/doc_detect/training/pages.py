"""Training pages: read, degraded anew each time they are seen, balanced over classes.

Sample ``i`` of a run depends on the seed and ``i`` alone, so a resumed run, another number of loading processes
and an unbroken run see the same pages. Nothing is ever mirrored: that would destroy text.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from doc_detect.classes import CLASSES, Names, class_index
from doc_detect.coco import IGNORED, CocoPage, CocoSet, Reading
from doc_detect.detectors.base import Target
from doc_detect.detectors.tensors import to_tensor
from doc_detect.formats.forms import of_split, read_pages
from doc_detect.pages import BadPage, PageRef, read_content, read_page
from doc_detect.pages import Page as DecodedPage
from doc_detect.pages.trim import look_closer
from doc_detect.settings.synth import DegradeSettings
from doc_detect.settings.training import OptimizationConfig
from doc_detect.synthesis.degrade import Page, degrade
from doc_detect.synthesis.layouts.kinds import degradation_of
from seminar_common import seeds
from seminar_common.errors import UserError

PROPORTION_TOLERANCE = 0.05
"""Share by which a picture's proportions may differ from those of its labels; rounding of small pictures is less."""
SMALLEST_SIDE = 3.0
"""Boxes that degradation cut down to less than this many pixels are no objects any more."""


def open_training(path: Path, names: Sequence[str] = ()) -> CocoSet:
    """Return the pages to train on: ``train.json`` of a folder that ``synth`` made, or labelled pages of any form.

    Of a set that is divided it is the split ``train``.

    Args:
        path: The file or folder.
        names: Classes of names in it, as ``OLD=NEW``.

    Raises:
        UserError: there is none, or it holds no page.
    """
    return _open(path, names, "train.json", "train")


def open_validation(path: Path, names: Sequence[str] = ()) -> CocoSet:
    """Return the pages to choose on: ``val.json`` of a folder that ``synth`` made, or labelled pages of any form.

    Of a set that is divided it is the split ``val``, or ``test`` where there is none.

    Args:
        path: The file or folder.
        names: Classes of names in it, as ``OLD=NEW``.

    Raises:
        UserError: there is none, or it holds no page.
    """
    return _open(path, names, "val.json", "val", "test")


def open_held_out(path: Path, names: Sequence[str] = ()) -> CocoSet | None:
    """Return the pages beside those of :func:`open_training` to choose on, None where the set has none.

    They are ``val.json`` of a folder, or the split ``val`` of a set that is divided.
    """
    if (path / "val.json").is_file():
        return _open_file(path / "val.json", Names(names, strict=False))
    if path.suffix.lower() == ".json":
        return None
    pages = read_pages(path, Reading(Names(names, strict=False)))
    held_out = of_split(pages, "val")
    return None if held_out is pages else held_out


def open_test(path: Path, names: Sequence[str] = ()) -> CocoSet:
    """Return the pages to measure on: as :func:`open_validation`, but of a divided set the split ``test`` first."""
    return _open(path, names, "val.json", "test", "val")


def _open(path: Path, names: Sequence[str], name: str, *splits: str) -> CocoSet:
    file = path / name if (path / name).is_file() else path
    return _open_file(file, Names(names), *splits)


def _open_file(file: Path, names: Names, *splits: str) -> CocoSet:
    reading = Reading(names)
    pages = of_split(read_pages(file, reading), *splits)
    reading.report(file)
    if not pages.pages:
        raise UserError(f"{file}: lists no page; make more pages, or give another file")
    return pages


def refuse_unmeasurable(pages: CocoSet, labels: Sequence[str], known: Sequence[str]) -> None:
    """Raise a UserError if no class of ``known`` is left to measure: ``labels`` are those that the pages have."""
    if not labels:
        have = sorted({CLASSES[number] for page in pages.pages for number in page.labels if number >= 0})
        raise UserError(
            f"{pages.path}: nothing to measure: the detector knows {', '.join(known)}, and its pages have "
            f"{', '.join(have) or 'no object'}; map its names with --map NAME=CLASS"
        )


def read_rgb(path: Path) -> np.ndarray:
    """Return a picture as RGB, uint8 [H, W, 3].

    Raises:
        UserError: the file is missing or no picture.
    """
    data = np.fromfile(path, np.uint8) if path.is_file() else np.zeros(0, np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if picture is None:
        raise UserError(f"{path}: no picture that can be read; make the pages again")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def own_labels(labels: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return numbers in ``CLASSES`` as numbers in a detector's ``names``, -1 for other classes; int64."""
    table = np.full(len(CLASSES) + 1, -1, np.int64)
    for number, name in enumerate(names):
        table[class_index(name)] = number
    return table[labels]  # IGNORED is -1 and so reads the last entry


def repeat_factors(pages: Sequence[CocoPage], names: Sequence[str], threshold: float) -> np.ndarray:
    """Return how often to show each page relative to others, [P] float64.

    A class on a share f of the pages asks for max(1, sqrt(threshold / f)); a page follows the class that asks most.
    Source: Gupta et al. 2019, "LVIS: A Dataset for Large Vocabulary Instance Segmentation", section 5.
    """
    present = np.zeros((len(pages), len(names)), bool)
    for row, page in zip(present, pages, strict=True):
        own = own_labels(page.labels, names)
        row[own[own >= 0]] = True
    share = np.maximum(present.mean(axis=0), 1 / len(pages))
    wanted = np.maximum(1, np.sqrt(threshold / share))
    return np.maximum(1, (present * wanted).max(axis=1))


@dataclass(frozen=True)
class Sample:
    """One training page as a detector sees it."""

    image: Tensor
    """[3, H, W] float32, RGB in 0..1."""
    target: Target


class PageDraw:
    """Draws the pages of steps: those with rare classes more often, and of a step all upright or all wide."""

    def __init__(self, pages: Sequence[CocoPage], labels: Sequence[str], balance: float):
        self.factors = repeat_factors(pages, labels, balance)
        self.wide = np.array([page.width > page.height for page in pages])

    def page(self, seed: int, step: int, generator: np.random.Generator) -> int:
        """Return the number of a page for a step; pages of one shape leave little to padding."""
        wide = seeds.numpy_generator(seed, "shape", step).random() < self._share(self.wide)
        chances = np.cumsum(np.where(self.wide == wide, self.factors, 0))
        return int(np.searchsorted(chances, generator.random() * chances[-1], "right"))

    def _share(self, chosen: np.ndarray) -> float:
        return float(self.factors[chosen].sum() / self.factors.sum())


class TrainingPages(Dataset[Sample]):
    """The samples of a training run, by their number."""

    def __init__(
        self,
        pages: CocoSet,
        labels: Sequence[str],
        config: OptimizationConfig,
        degradation: DegradeSettings,
        seed: int,
        trim: bool = True,
    ):
        self.pages, self.labels, self.config, self.seed = pages, tuple(labels), config, seed
        self.degradation, self.trim = degradation, trim
        self._draw = PageDraw(pages.pages, labels, config.balance)
        self.unlabelled = tuple(i for i, name in enumerate(labels) if name not in pages.labelled)

    def __len__(self) -> int:
        return self.config.steps * self.config.batch_size

    def __getitem__(self, index: int) -> Sample:
        scan, boxes, labels = self.shown(index)
        return Sample(to_tensor(scan), self._target(boxes, labels))

    def shown(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the scan of a sample, uint8 [h, w, 3], its boxes [N, 4] on it, and their numbers in ``CLASSES``, [N]."""
        generator = seeds.numpy_generator(self.seed, "sample", index)
        page = self.drawn(index, generator)
        picture = read_rgb(self.pages.image_path(page))
        scan, boxes = self._scan(picture, page, self.side(index), generator)
        return scan, boxes, page.labels

    def drawn(self, index: int, generator: np.random.Generator) -> CocoPage:
        """Return the page that a sample shows."""
        return self.pages.pages[self._draw.page(self.seed, index // self.config.batch_size, generator)]

    def side(self, index: int) -> int:
        """Return the longest side of a sample, in pixels."""
        return training_size(self.config, index // self.config.batch_size, self.seed)

    def _scan(
        self, picture: np.ndarray, page: CocoPage, size: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the page as a scan whose longest side is about ``size``, and its boxes [N, 4] on it."""
        boxes = page.boxes * (picture.shape[1] / page.width)
        seed = int(generator.integers(2**63))

        def make(side: int) -> tuple[np.ndarray, np.ndarray]:
            side = min(side, max(picture.shape[:2]))  # as in use, no page is enlarged
            if is_ink(self.pages):
                chosen = degradation_of(page.facts.get("kind"), self.degradation)
                settings = dataclasses.replace(chosen, long_side=side)
                return degrade(picture, boxes, np.random.default_rng(seed), settings, _leaf(page))
            scale = side / max(picture.shape[:2])
            return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), boxes * scale

        scan, placed = _look(make, size, self.trim)
        return scan.pixels, scan.to_seen(placed)

    def _target(self, boxes: np.ndarray, labels: np.ndarray) -> Target:
        own = own_labels(labels, self.labels)
        large = (boxes[:, 2:] - boxes[:, :2]).min(axis=1) >= SMALLEST_SIDE
        objects, ignored = (own >= 0) & large, labels == IGNORED
        return Target(
            torch.from_numpy(boxes[objects]).float(),
            torch.from_numpy(own[objects]),
            torch.from_numpy(boxes[ignored]).float(),
            self.unlabelled,
        )


def is_ink(pages: CocoSet) -> bool:
    """Say whether the pages are clean ink on white, which becomes a scan only when it is read."""
    return bool(pages.facts.get("ink"))


def _leaf(page: CocoPage) -> Page:
    return Page(page.facts.get("gutter"), bool(page.facts.get("parchment")))


def read_labelled(
    pages: CocoSet, page: CocoPage, longest: int, trim: bool = False
) -> tuple[DecodedPage, CocoPage]:
    """Return a page to measure on, reduced to ``longest``, and its objects in the page's own pixels.

    Pixels are read as ``predict`` reads them, with ``trim`` without wide margins. Where the picture is another size than
    the labels say, those of the labels count. Ink is degraded, always in the same way, and then counts the pixels of
    that scan.

    Raises:
        UserError: the picture is missing, can't be read or has other proportions than the labels say.
    """
    path = pages.image_path(page)
    if is_ink(pages):
        picture = read_rgb(path)

        def make(side: int) -> tuple[np.ndarray, np.ndarray]:
            generator = seeds.numpy_generator(0, "validation", page.file_name)
            chosen = degradation_of(page.facts.get("kind"), DegradeSettings())
            settings = dataclasses.replace(chosen, long_side=min(side, max(picture.shape[:2])))
            return degrade(picture, page.boxes, generator, settings, _leaf(page))

        scan, boxes = _look(make, longest, trim)
        large = (boxes[:, 2:] - boxes[:, :2]).min(axis=1) >= SMALLEST_SIDE
        truth = {"boxes": boxes[large].astype(np.float64), "labels": page.labels[large]}
        return scan, dataclasses.replace(page, width=scan.width, height=scan.height, **truth)
    try:
        seen = (read_content if trim else read_page)(PageRef(path), longest)
    except BadPage as error:
        raise UserError(f"{path}: {error}; {pages.path} lists it") from error
    _require_proportions(path, (seen.width, seen.height), pages, page)
    return seen.counting((page.width, page.height)), page


def _require_proportions(path: Path, size: tuple[int, int], pages: CocoSet, page: CocoPage) -> None:
    """Raise a UserError if a picture is not the one that the labels were drawn on, or was turned since."""
    off = (size[0] / size[1]) / (page.width / page.height)
    if max(off, 1 / off) > 1 + PROPORTION_TOLERANCE:
        raise UserError(
            f"{path}: is {size[0]} x {size[1]} pixels, but {pages.path} says {page.width} x {page.height}: "
            "its boxes belong to another picture, or to one that lies on its side"
        )


def _look(
    make: Callable[[int], tuple[np.ndarray, np.ndarray]], longest: int, trim: bool
) -> tuple[DecodedPage, np.ndarray]:
    """Return a page that is made here, with ``trim`` without wide margins, and its boxes [N, 4] in its own pixels.

    A page with wide margins is made twice, the second time larger, and counts the pixels of that. Its leaf must
    lie alike at any size; the grain of its paper may differ.

    Args:
        make: Returns the whole page with a longest side of so many pixels, and its boxes.
        longest: Longest side of what is seen.
        trim: Whether to cut wide margins off.
    """
    made: list[tuple[np.ndarray, np.ndarray]] = []

    def pixels(side: int) -> np.ndarray:
        made.append(make(side))
        return made[-1][0]

    seen, (x1, y1, x2, y2) = look_closer(pixels, longest) if trim else (pixels(longest), (0, 0, 1, 1))
    whole, boxes = made[-1]
    height, width = whole.shape[:2]
    return DecodedPage(seen, width, height, (x1 * width, y1 * height, x2 * width, y2 * height)), boxes


def training_size(config: OptimizationConfig, step: int, seed: int) -> int:
    """Return the longest side in pixels of the pages of a step.

    The sizes of the settings come one after the other, each for an equal share of the steps: small pages teach
    most of what is to be learned in half the time. Each step's size varies by up to ``size_jitter`` around it.
    """
    phase = min(step * len(config.sizes) // max(1, config.steps), len(config.sizes) - 1)
    spread = seeds.numpy_generator(seed, "size", step).uniform(-config.size_jitter, config.size_jitter)
    return max(64, math.floor(config.sizes[phase] * (1 + spread)))


def collate(samples: Sequence[Sample]) -> tuple[list[Tensor], list[Target]]:
    """Return the images and the targets of a batch."""
    return [sample.image for sample in samples], [sample.target for sample in samples]
