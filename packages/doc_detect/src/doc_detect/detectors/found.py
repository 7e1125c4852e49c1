"""What a detector found on a page, with names, as Python programs use it."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from doc_detect.detectors.detections import Detections
from doc_detect.pages.cutting import cut, pad
from doc_detect.predictions import Box, tenths
from seminar_common.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import supervision  # ty: ignore[import-not-found]
    from PIL import Image


@dataclass(frozen=True, eq=False, repr=False)
class Found:
    """What was found on one page, highest score first; ``len``, ``[]`` and ``for`` give its objects."""

    name: str
    """The page's file, with ``#page=`` and its number where the file has several; empty for a picture in memory."""
    width: int
    """Width of the page in its own pixels, which boxes count."""
    height: int
    """Height of the page in its own pixels."""
    objects: tuple[Box, ...]
    """Each with ``label``, ``score`` and ``xyxy``: tenths of a pixel, as `predict` writes them."""
    classes: tuple[str, ...]
    """All that the detector knows, in its order."""
    window_side: float
    """Longest side of what the detector saw of the page, in the page's pixels: margins are shares of it."""
    margin: Mapping[str, float]
    """Share by which people's boxes of each class stand off the ink; empty where the detector does not know it."""
    decode: "Callable[[], np.ndarray]"
    """Returns the whole page: RGB, uint8 [h, w, 3]; of another size where the page is a canvas of a manifest."""

    @property
    def boxes(self) -> "np.ndarray":
        """float64 [N, 4]: x1, y1, x2, y2 in the page's own pixels."""
        import numpy as np

        return np.array([box.xyxy for box in self.objects], np.float64).reshape(-1, 4)

    @property
    def scores(self) -> "np.ndarray":
        """float64 [N], 0 to 1."""
        import numpy as np

        return np.array([box.score for box in self.objects], np.float64)

    @property
    def labels(self) -> "np.ndarray":
        """Names of classes: str [N], so that ``found.boxes[found.labels == "graphic"]`` selects."""
        import numpy as np

        return np.array([box.label for box in self.objects], np.str_)

    def __len__(self) -> int:
        """Return how many objects there are."""
        return len(self.objects)

    def __iter__(self) -> Iterator[Box]:
        """Yield the objects."""
        return iter(self.objects)

    def __getitem__(self, number: int) -> Box:
        """Return an object by its place, 0 for the best."""
        return self.objects[number]

    def __repr__(self) -> str:
        """Return the page and how many objects of each class it has."""
        counts = ", ".join(f"{count} {label}" for label, count in Counter(box.label for box in self).items())
        return f"<Found {self.name or 'in memory'}, {self.width} x {self.height}: {counts or 'nothing'}>"

    def as_drawn(self) -> "Found":
        """Return it with boxes as people draw them, a little off the ink, as ``--boxes drawn`` gives.

        Raises:
            UserError: the detector does not know how far people's boxes stand off.
        """
        if not self.margin:
            raise UserError(
                "the detector does not know by how much people's boxes stand off the ink; "
                "give it a margin by `doc-detect export --margin-data`"
            )
        size = (self.width, self.height)
        return replace(self, objects=tuple(box.as_drawn(self.margin, self.window_side, size) for box in self))

    def to_coco(self, image_id: int = 1) -> list[dict[str, Any]]:
        """Return COCO results as `predict` writes them.

        Args:
            image_id: Number of the page.

        Returns:
            ``image_id``, ``category_id`` (place in :attr:`classes`, from 1), ``bbox`` (xywh in the page's own pixels)
            and ``score`` of each object.
        """
        return [
            {
                "image_id": image_id,
                "category_id": self.classes.index(box.label) + 1,
                "bbox": box.xywh,
                "score": box.score,
            }
            for box in self
        ]

    def to_supervision(self) -> "supervision.Detections":
        """Return ``supervision.Detections``: ``class_id`` is the place in :attr:`classes`, from 0.

        Raises:
            UserError: the package supervision is not installed.
        """
        try:
            import supervision  # ty: ignore[import-not-found]
        except ModuleNotFoundError as error:
            if error.name != "supervision":
                raise
            raise UserError(
                "to_supervision() needs the package supervision: pip install supervision"
            ) from error
        return supervision.Detections(
            xyxy=self.boxes,
            confidence=self.scores,
            class_id=self._class_ids(),
            data={"class_name": self.labels},
        )

    def crop(self, padding: float = 0.01) -> "list[Image.Image]":
        """Return a picture of each object; the page is decoded whole for it.

        Args:
            padding: Margin round each, as a share of the page's longer side, as in ``doc-detect crop``.

        Raises:
            BadPage: the page can't be read any more.
        """
        from PIL import Image

        if not self.objects:
            return []
        pixels = self.decode()
        return [Image.fromarray(cut(pixels, self, pad(box.xyxy, padding, self))) for box in self]

    def _class_ids(self) -> "np.ndarray":
        """Return int64 [N]: places in :attr:`classes`."""
        import numpy as np

        return np.array([self.classes.index(box.label) for box in self], np.int64)


def named(found: Detections, classes: tuple[str, ...], min_score: float = 0.0) -> tuple[Box, ...]:
    """Return detections as `predict` writes and reads them again: tenths of a pixel, scores of four digits.

    Args:
        found: The detections.
        classes: What their numbers stand for.
        min_score: Those that score less are left out.
    """
    boxes = (
        Box(classes[int(label)], round(float(score), 4), tenths(xyxy))
        for xyxy, score, label in zip(found.boxes, found.scores, found.labels, strict=True)
    )
    return tuple(box for box in boxes if box.score >= min_score and _has_area(box))


def _has_area(box: Box) -> bool:
    """Say whether rounding left a box its area: a sliver at the page's edge may have none."""
    x1, y1, x2, y2 = box.xyxy
    return x2 > x1 and y2 > y1
