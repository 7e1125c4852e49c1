"""Photographs as printed from 1880 to 1980: exposure, tone, colour, screen and grain; and cut-outs without a ground.

All functions return RGB [H, W, 3] uint8 on white.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from doc_detect.synthesis.art import subjects
from doc_detect.synthesis.art.render import hatch
from doc_detect.synthesis.art.subjects import Plate, texture
from doc_detect.synthesis.degrade import smooth_noise

Generator = np.random.Generator
Tint = tuple[float, float, float]
_PLATE = 420
"""A subject is painted at most this many pixels tall: what is finer comes from grain, paper and screen."""
_EDGE = 205
"""No side of a photograph is lighter than this all along: a block prints a tone even in its lights."""
TONES = ((1.0, 0.9, 0.74), (1.0, 0.94, 0.86), (0.9, 0.96, 1.0), (0.88, 1.0, 0.92), (1.0, 0.86, 0.8))
"""Inks and toners: sepia, warm, blue, green, reddish."""


@dataclass(frozen=True)
class Process:
    """How photographs are printed: a page's own are mostly printed alike."""

    coloured: bool
    tint: Tint
    """Lightness of the ink in red, green and blue; ones for black."""
    toning: float
    """How far the ink departs from black, 0 to 1."""
    pitch: float
    """From dot to dot of the screen, px; 0 for a screen too fine to see."""
    angle: float
    """Of the screen, radians."""
    depth: float
    """How much the dots stand out, 0 to 1."""
    hard: float
    """Sharpness of the dots; 1 for a sine."""
    grain: float
    """Deviation of the film's grain where there is no screen."""

    @classmethod
    def drawn(cls, g: Generator) -> "Process":
        """Draw a process: mostly black ink, mostly a fine screen."""
        tinted, screen = g.random() < 0.3, g.random()
        return cls(
            coloured=bool(g.random() < 0.22),
            tint=TONES[int(g.integers(len(TONES)))] if tinted else (1.0, 1.0, 1.0),
            toning=float(g.uniform(0.2, 1.0)),
            pitch=float(g.uniform(2.0, 5.0)) if screen < 0.28 else 0.0,
            angle=float(g.choice([0.785, g.uniform(0, 1.57)])),
            depth=float(g.uniform(0.15, 0.9)),
            hard=float(g.uniform(1.0, 2.5)) if screen < 0.08 else 1.0,
            grain=float(g.uniform(0.003, 0.05)),
        )


@dataclass(frozen=True)
class Stock:
    """What the photographs of a page have in common; nothing by default."""

    names: tuple[str, ...] = ()
    """Their subjects, of :data:`~.subjects.SUBJECTS`; all of them where it is empty."""
    process: Process | None = None
    """How they are printed; each in its way where it is None."""

    @classmethod
    def drawn(cls, g: Generator) -> "Stock":
        """Draw a stock: two in three are of one process, one in three of one subject, portraits above all."""
        names = ("portrait", *subjects.SUBJECTS)
        chosen = (names[int(g.integers(len(names)))],) if g.random() < 0.35 else ()
        return cls(chosen, Process.drawn(g) if g.random() < 0.65 else None)


ANY = Stock()
"""Photographs that have nothing in common."""


def photograph(height: int, width: int, g: Generator, stock: Stock = ANY) -> np.ndarray:
    """Return a photograph of one of a stock's subjects."""
    names = stock.names or tuple(subjects.SUBJECTS)
    plate = Plate.blank(*_plate_size(height, width), g)
    subjects.SUBJECTS[names[int(g.integers(len(names)))]](plate, g)
    return develop(plate.rgb, height, width, g, stock.process)


def _plate_size(height: int, width: int) -> tuple[int, int]:
    scale = min(1.0, _PLATE / max(height, width * 0.75))
    return max(16, round(height * scale)), max(16, round(width * scale))


def develop(
    rgb: np.ndarray, height: int, width: int, g: Generator, process: Process | None = None
) -> np.ndarray:
    """Print a lit scene as a photograph.

    Args:
        rgb: [h, w, 3] float32, lightness about 0 to 1, of any size.
        height: Height wanted, px.
        width: Width wanted, px.
        g: The only source of chance.
        process: How it is printed; None draws one.
    """
    process = process or Process.drawn(g)
    coloured = process.coloured
    image = rgb if coloured else rgb @ np.array((0.3, 0.55, 0.15), np.float32)
    image = cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=cv2.INTER_CUBIC)
    image = _exposed(_focused(image, g), g)
    if coloured:
        cast = np.clip(1 + g.normal(0, 0.06, 3), 0.8, 1.2).astype(np.float32)
        grey = image.mean(axis=2, keepdims=True)
        image = (grey + g.uniform(0.35, 1.5) * (image - grey)) * cast
    printed = np.clip(_screened(image, process, g) * 255, 0, 255).astype(np.uint8)
    if not coloured:
        printed = _toned(printed, process)
    return with_edges(printed)


def _focused(image: np.ndarray, g: Generator) -> np.ndarray:
    """Blur all of it, or all but a spot, or nothing; add the fine texture that a painted plate lacks."""
    height, width = image.shape[:2]
    drawn = g.random()
    if drawn < 0.25:
        image = cv2.GaussianBlur(image, (0, 0), g.uniform(0.5, 2.0))
    elif drawn < 0.45:
        soft = cv2.GaussianBlur(image, (0, 0), max(1.0, height / g.uniform(40, 120)))
        y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        near = np.exp(-((x - g.normal(0, 0.2)) ** 2 + (y - g.normal(0, 0.2)) ** 2) / 0.5).astype(np.float32)
        near = near if image.ndim == 2 else near[..., None]
        image = soft + near * (image - soft)
    fine = texture((height, width), g.uniform(6, 24), g, 4) * np.float32(g.uniform(0.01, 0.09))
    fine += 1
    return image * (fine if image.ndim == 2 else fine[..., None])


def _exposed(image: np.ndarray, g: Generator) -> np.ndarray:
    """Set black, white, contrast and the fall of light to the corners."""
    low, high = np.percentile(image[::4, ::4], (1, 99))
    span = max(high - low, 0.3)  # fog and night stay flat
    image = np.clip((image - low + (span - high + low) * g.random()) / span, 0, 1)
    image = image ** np.float32(g.uniform(0.45, 1.4))
    if g.random() < 0.4:  # a steep curve
        image = image * image * (3 - 2 * image)
    black, white = g.uniform(0.0, 0.3) ** 1.3, g.uniform(0.62, 0.97)
    if g.random() < 0.15:  # flat and grey
        black, white = g.uniform(0.2, 0.45), g.uniform(0.5, 0.8)
    image = black + (white - black) * image
    if g.random() < 0.5:
        y, x = np.ogrid[-1 : 1 : image.shape[0] * 1j, -1 : 1 : image.shape[1] * 1j]
        fall = (1 - g.uniform(0.05, 0.4) * (x**2 + y**2) / 2).astype(np.float32)
        image = image * (fall if image.ndim == 2 else fall[..., None])
    return image.astype(np.float32)


def _screened(image: np.ndarray, process: Process, g: Generator) -> np.ndarray:
    """Print through a halftone screen, or with a film's grain where the screen is too fine to see."""
    height, width = image.shape[:2]
    if not process.pitch:
        grain = g.standard_normal((height, width), dtype=np.float32) * np.float32(process.grain)
        return image + (grain if image.ndim == 2 else grain[..., None])
    y, x = np.ogrid[0:height, 0:width]
    turn, cos, sin = np.float32(2 * np.pi / process.pitch), np.cos(process.angle), np.sin(process.angle)
    u = (x * cos + y * sin).astype(np.float32) * turn
    v = (y * cos - x * sin).astype(np.float32) * turn
    screen = np.clip(process.hard * (np.cos(u) + np.cos(v)) / 4, -0.5, 0.5)
    screen = screen if image.ndim == 2 else screen[..., None]
    room = np.minimum(image, 1 - image) * 2 + 0.08  # dots shrink in the lights and close in the shadows
    return np.clip(image + process.depth * room * screen, 0, 1)


def _toned(grey: np.ndarray, process: Process) -> np.ndarray:
    """Return a grey picture [H, W] in the ink of the process, [H, W, 3]."""
    steps = np.linspace(0, 1, 256)[:, None]
    table = 255 * steps ** (1 + 2.5 * process.toning * (1 - np.array(process.tint)))
    return cv2.LUT(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), table.astype(np.uint8).reshape(1, 256, 3))


def with_edges(art: np.ndarray) -> np.ndarray:
    """Darken each side of a picture [H, W, 3] that is as light as paper, in place; return it."""
    for side in (art[:1], art[-1:], art[:, :1], art[:, -1:]):
        if side.min() > _EDGE:
            np.minimum(side, _EDGE, out=side)
    return art


# --- shapes and prints


def shape_mask(height: int, width: int, kind: str, g: Generator) -> np.ndarray:
    """Return the outline of a print [H, W] bool: ``"oval"``, ``"rounded"``, ``"arched"`` or a full rectangle."""
    mask = np.ones((height, width), np.uint8)
    if kind == "oval":
        y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        return x**2 + y**2 <= 1
    if kind == "rounded":
        radius = max(2, int(min(height, width) * g.uniform(0.04, 0.2)))
        mask[:] = 0
        cv2.rectangle(mask, (radius, 0), (width - 1 - radius, height - 1), 1, -1)
        cv2.rectangle(mask, (0, radius), (width - 1, height - 1 - radius), 1, -1)
        for x in (radius, width - 1 - radius):
            for y in (radius, height - 1 - radius):
                cv2.circle(mask, (x, y), radius, 1, -1)
    elif kind == "arched":
        mask[: height // 4] = 0
        cv2.ellipse(mask, (width // 2, height // 4), (width // 2, height // 4), 0, 180, 360, 1, -1)
    return mask.astype(bool)


def bordered(art: np.ndarray, g: Generator) -> np.ndarray:
    """Return a print with the pale border of its paper, [H, W, 3] of the same size."""
    height, width = art.shape[:2]
    border = max(1, int(min(height, width) * g.uniform(0.01, 0.06)))
    paper = int(g.integers(170, 238))
    edge = np.clip(np.array((paper, paper - 6, paper - 24)), 0, 214 + 24).astype(np.uint8)
    out = np.empty_like(art)
    out[:] = edge
    inner = (max(4, width - 2 * border), max(4, height - 2 * border))
    small = cv2.resize(art, inner, interpolation=cv2.INTER_AREA)
    top, left = (height - inner[1]) // 2, (width - inner[0]) // 2
    out[top : top + inner[1], left : left + inner[0]] = small
    return out


# --- things without a ground


def _thing(height: int, width: int, g: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a thing's colour [h, w, 3] float32 and where it is [h, w] float32, as large as fits the size."""
    tall = min(420, max(height, width))
    plate = Plate.blank(tall, tall * 2, g)
    painter = subjects.THINGS[int(g.integers(len(subjects.THINGS)))]
    painter(plate, 1.0, 0.96, 0.9, g)
    rows, columns = np.flatnonzero(plate.cover.any(axis=1)), np.flatnonzero(plate.cover.any(axis=0))
    seen = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    rgb, cover = plate.rgb[seen], plate.cover[seen]
    pad = max(3, max(height, width) // 24)  # for the outline and the shadow
    scale = min((height - 2 * pad) / cover.shape[0], (width - 2 * pad) / cover.shape[1])
    size = (max(6, int(cover.shape[1] * scale)), max(6, int(cover.shape[0] * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    rgb, cover = cv2.resize(rgb, size, interpolation=way), cv2.resize(cover, size, interpolation=way)
    edge = ((pad, pad), (pad, pad))
    return np.pad(rgb, (*edge, (0, 0)), constant_values=1), np.pad(cover, edge)


def cut_out(height: int, width: int, g: Generator) -> np.ndarray:
    """Return a photograph of a thing on white, some with a soft shadow; no larger than the size, cut to the thing."""
    rgb, cover = _thing(height, width, g)
    height, width = cover.shape
    lit = (
        rgb
        if g.random() < 0.2
        else np.repeat((rgb @ np.array((0.3, 0.55, 0.15), np.float32))[..., None], 3, 2)
    )
    low, high = np.percentile(lit[cover > 0.5], (2, 98)) if (cover > 0.5).any() else (0.0, 1.0)
    dark, bright = g.uniform(0.02, 0.3), g.uniform(0.45, 0.82)
    lit = np.clip(dark + (bright - dark) * (lit - low) / max(high - low, 0.1), 0.02, 0.82)
    lit = lit * (1 + 0.05 * texture((height, width), 8, g, 3))[..., None]
    page = np.ones((height, width, 1), np.float32)
    if g.random() < 0.3:
        drop = np.roll(cover, (height // 40, width // 30), (0, 1))
        page -= 0.35 * cv2.GaussianBlur(drop, (0, 0), max(1.0, height / 70))[..., None]
    weight = cover[..., None]
    return (255 * np.clip(page * (1 - weight) + weight * lit, 0, 1)).astype(np.uint8)


def line_cut(height: int, width: int, g: Generator) -> np.ndarray:
    """Return a thing as cut in wood or drawn with a pen, on white; no larger than the size, cut to the thing."""
    rgb, cover = _thing(height, width, g)
    tone = np.clip(rgb.mean(axis=2) * g.uniform(0.8, 1.5) + g.uniform(0.1, 0.4), 0.12, 1)
    lines = hatch(tone, g.uniform(2.4, 4.5), g, int(g.integers(1, 4)), 2)
    solid = (cover > 0.5).astype(np.uint8)
    lines[solid == 0] = 255
    edges = cv2.Canny((tone * 255).astype(np.uint8), 40, 110)
    lines[(edges > 0) & (solid > 0)] = 20
    contours, _ = cv2.findContours(solid, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(lines, contours, -1, 15, int(g.integers(1, 3)))
    return cv2.cvtColor(lines, cv2.COLOR_GRAY2RGB)


def postage_stamp(height: int, width: int, g: Generator) -> np.ndarray:
    """Return a postage stamp: a small picture in one colour with a pale, perforated border."""
    art = photograph(height, width, g, Stock(("portrait", "landscape", "textile", "still life")))
    grey = art.mean(axis=2, keepdims=True) / 255
    ink = np.array(subjects.any_colour(g)) * 0.6
    tinted = (255 * np.clip(ink + (0.85 - ink) * grey, 0, 1)).astype(np.uint8)
    out = np.full((height, width, 3), (225, 220, 205), np.uint8)
    border = max(2, min(height, width) // 12)
    small = cv2.resize(tinted, (width - 2 * border, height - 2 * border), interpolation=cv2.INTER_AREA)
    out[border:-border, border:-border] = small
    step = max(3, border)
    for x in range(0, width, step):
        for y in (0, height - 1):
            cv2.circle(out, (x, y), step // 4, (255, 255, 255), -1)
    for y in range(0, height, step):
        for x in (0, width - 1):
            cv2.circle(out, (x, y), step // 4, (255, 255, 255), -1)
    return out


def film_noise(height: int, width: int, tone: float, g: Generator) -> np.ndarray:
    """Return the surface of album board or of a plate's printed ground [H, W] float32, about ``tone``."""
    cloud = smooth_noise((height, width), max(height, width) / 3, g, 2) * g.uniform(0.002, 0.03)
    grain = g.standard_normal((height, width), dtype=np.float32) * np.float32(g.uniform(0.0, 0.02))
    return np.clip(tone + cloud + grain, 0, 1)
