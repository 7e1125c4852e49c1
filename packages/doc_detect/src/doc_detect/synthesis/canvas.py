"""A page under construction: ink on white, and the boxes of what was put on it."""

from dataclasses import dataclass, field

import numpy as np

Box = tuple[float, float, float, float]
_INK = 215  # a pixel whose darkest channel is below this is ink


def ink_box(ink: np.ndarray) -> Box | None:
    """Return the extent of the ink in a picture on white (xyxy, exclusive ends), or None if it is blank."""
    dark = (ink if ink.ndim == 2 else ink.min(axis=2)) < _INK
    rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
    if not len(rows):
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def union(boxes: list[Box]) -> Box:
    """Return the smallest box round all of ``boxes``."""
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def scaled(box: Box, factor: float) -> Box:
    """Return a box with its four numbers multiplied."""
    x0, y0, x1, y1 = box
    return x0 * factor, y0 * factor, x1 * factor, y1 * factor


@dataclass
class Canvas:
    """Ink and labelled objects of one page."""

    ink: np.ndarray
    """[H, W, 3] uint8, RGB on white."""
    objects: list[tuple[str, Box]] = field(default_factory=list)
    """Class name and xyxy box."""
    parchment: bool = False
    gutter: float | None = None
    """Where the fold of an opening lies, as a fraction of the width."""

    @classmethod
    def blank(cls, height: int, width: int, parchment: bool = False) -> "Canvas":
        """Return an empty page."""
        return cls(np.full((height, width, 3), 255, np.uint8), [], parchment)

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.ink.shape[0]

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.ink.shape[1]

    def place(self, art: np.ndarray, x: float, y: float, label: str | None = None) -> Box | None:
        """Print a picture with its upper left corner at (x, y): the darker of old and new ink stays.

        Args:
            art: [H, W] or [H, W, 3] uint8 on white; what reaches over the page's edge is cut off.
            x: Left edge, px.
            y: Upper edge, px.
            label: Class to record its ink's extent under; None records nothing.

        Returns:
            The box of its ink on the page, or None if nothing of it is there.
        """
        x, y = round(x), round(y)
        art = art[max(0, -y) : max(0, self.height - y), max(0, -x) : max(0, self.width - x)]
        x, y = max(0, x), max(0, y)
        extent = ink_box(art) if art.size else None
        if extent is None:
            return None
        place = self.ink[y : y + art.shape[0], x : x + art.shape[1]]
        np.minimum(place, art if art.ndim == 3 else art[..., None], out=place)
        box = (extent[0] + x, extent[1] + y, extent[2] + x, extent[3] + y)
        if label:
            self.objects.append((label, box))
        return box

    def paste(
        self, art: np.ndarray, x: float, y: float, label: str | None = None, mask: np.ndarray | None = None
    ) -> Box | None:
        """Lay a picture over what is there, as on a ground that is not white.

        Args:
            art: [H, W, 3] uint8; what reaches over the page's edge is cut off.
            x: Left edge, px.
            y: Upper edge, px.
            label: Class to record its extent under; None records nothing.
            mask: [H, W] bool, which of its pixels count; None for all.

        Returns:
            The box of what was laid on the page, or None if nothing of it is there.
        """
        x, y = round(x), round(y)
        seen = np.s_[max(0, -y) : max(0, self.height - y), max(0, -x) : max(0, self.width - x)]
        art, x, y = art[seen], max(0, x), max(0, y)
        mask = np.ones(art.shape[:2], bool) if mask is None else mask[seen]
        extent = ink_box(np.where(mask, 0, 255)) if art.size else None
        if extent is None:
            return None
        self.ink[y : y + art.shape[0], x : x + art.shape[1]][mask] = art[mask]
        box = (extent[0] + x, extent[1] + y, extent[2] + x, extent[3] + y)
        if label:
            self.objects.append((label, box))
        return box

    def knock_out(self, page: "Canvas", colour: tuple[int, int, int] = (255, 255, 255)) -> None:
        """Print what stands on another page of the same size as pale letters on a dark ground, with its objects."""
        strength = (255 - page.ink.max(axis=2, keepdims=True)).astype(np.uint16)
        pale = (strength * np.array(colour, np.uint16) // 255).astype(np.uint8)
        np.maximum(self.ink, pale, out=self.ink)
        self.objects += page.objects

    def add(self, label: str, boxes: list[Box]) -> None:
        """Record one object that consists of parts; do nothing without parts."""
        if boxes:
            self.objects.append((label, union(boxes)))


def side_by_side(left: Canvas, right: Canvas) -> Canvas:
    """Return an opening of two pages as one canvas."""
    height = max(left.height, right.height)
    opening = Canvas.blank(height, left.width + right.width, left.parchment)
    for page, x in ((left, 0), (right, left.width)):
        opening.ink[: page.height, x : x + page.width] = page.ink
        opening.objects += [(name, (b[0] + x, b[1], b[2] + x, b[3])) for name, b in page.objects]
    opening.gutter = left.width / opening.width
    return opening
