"""From ink to scan: paper, light, lens and film applied to a layer of ink, with the boxes carried along.

The ink of a page is an RGB picture on white. Degradation is a pure function of it and of a random generator, so a
training set can show every page anew in every epoch. Nothing here mirrors a page: that would destroy its text.

The order is the physical one: the leaf bends (:func:`_warp`), ink lies unevenly on paper (:func:`_print`), the
leaf lies on a background under a light (:func:`_photograph`), rulers and fingers come into the picture
(:func:`doc_detect.synthesis.clutter.lay`), and a camera or microfilm records it (:func:`_develop`).
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from doc_detect.settings.synth import DegradeSettings
from doc_detect.synthesis.clutter import lay

PAPERS = (
    (247, 242, 230),
    (240, 230, 208),
    (252, 251, 248),
    (249, 247, 243),
    (228, 213, 184),
    (235, 225, 205),
    (246, 244, 238),
    (214, 196, 165),
)
PARCHMENTS = ((236, 224, 196), (222, 205, 168), (240, 233, 214), (212, 196, 150), (232, 216, 190))
STAIN_COLOURS = ((120, 80, 40), (150, 110, 60), (90, 70, 60), (110, 90, 50))


@dataclass(frozen=True)
class Page:
    """What degradation has to know of a page besides its ink."""

    gutter: float | None = None
    """Where the fold of an opening lies, as a fraction of the width; None for a single page."""
    parchment: bool = False


@dataclass(frozen=True)
class _Geometry:
    """Where every pixel of the scan comes from."""

    size: tuple[int, int]
    """Height and width of the scan, px."""
    matrix: np.ndarray
    """[2, 3] affine map from flat page coordinates to the scan."""
    bend: tuple[float, float, float, float]
    """Fold (fraction of the width), lift and pull at the fold (fractions of height and width), wave (of height)."""
    page: tuple[int, int]
    """Height and width of the page, px."""


@dataclass(frozen=True)
class _Place:
    """Where on the leaf each pixel of the scan lies; all [H', W']."""

    inside: np.ndarray
    """Whether it lies on a leaf, bool."""
    across: np.ndarray
    """From 0 at the left edge of the page to 1 at the right, float32."""
    down: np.ndarray
    """From 0 at the upper edge to 1 at the lower, float32."""


def degrade(
    ink: np.ndarray,
    boxes: np.ndarray,
    generator: np.random.Generator,
    settings: DegradeSettings,
    page: Page | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Make a scan of a page.

    Args:
        ink: [H, W, 3] uint8, RGB ink on white.
        boxes: [N, 4] absolute xyxy on ``ink``.
        generator: The only source of chance.
        settings: Which degradations, how often and how strong.
        page: The fold and the material of the page.

    Returns:
        The scan [H', W', 3] uint8, and the boxes [N, 4] float32 on it, clipped to the picture (a box that was
        cut off has no area).
    """
    page = page or Page()
    if settings.clean and generator.random() < settings.clean:
        scan, scale = _resized(ink, np.zeros(4), settings.long_side)
        return scan.copy(), np.asarray(boxes, np.float32).reshape(-1, 4) * scale
    film = _film(generator, settings)
    margins = _margins(generator, settings, film)
    ink, scale = _resized(ink, margins, settings.long_side)
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4) * scale
    geometry = _geometry(ink.shape[:2], margins, generator, settings, page)
    density, place = _warp(ink, geometry, generator, settings, page)
    moved = _move_boxes(boxes, geometry)
    leaf = _print(density, generator, settings, page, film)
    scan = _photograph(leaf, place, generator, settings, film, page)
    if generator.random() < settings.clutter:
        lay(scan, density, moved, generator)
    return _develop(scan, place, generator, settings, film), moved


def _resized(image: np.ndarray, margins: np.ndarray, long_side: int) -> tuple[np.ndarray, float]:
    """Resize a page so that, with its margins, its longest side is about ``long_side``."""
    if not long_side:
        return image, 1.0
    height, width = image.shape[:2]
    full = max(height * (1 + margins[1] + margins[3]), width * (1 + margins[0] + margins[2]))
    scale = long_side / full
    size = (max(8, int(width * scale)), max(8, int(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR), scale


def _film(generator: np.random.Generator, settings: DegradeSettings) -> str:
    drawn = generator.random()
    if drawn < settings.binarized:
        return "binarized"
    return "grey" if drawn < settings.binarized + settings.grey else "colour"


# --- geometry


def _geometry(
    size: tuple[int, int],
    margins: np.ndarray,
    generator: np.random.Generator,
    settings: DegradeSettings,
    page: Page,
) -> _Geometry:
    height, width = size
    out_height = round(height * (1 + margins[1] + margins[3]))
    out_width = round(width * (1 + margins[0] + margins[2]))
    angle = math.radians(generator.normal(0, settings.max_skew / 3))
    shear = generator.normal(0, 0.004)
    cos, sin = math.cos(angle), math.sin(angle)
    linear = np.array([[cos, -sin + shear], [sin, cos]])
    centre = np.array([width / 2, height / 2])
    shift = centre + np.array([margins[0] * width, margins[1] * height]) - linear @ centre
    matrix = np.concatenate([linear, shift[:, None]], axis=1)
    return _Geometry((out_height, out_width), matrix, _bend(generator, settings, page), size)


def _margins(generator: np.random.Generator, settings: DegradeSettings, film: str) -> np.ndarray:
    """Draw the background's width left, top, right and below the page, as fractions of the page's size."""
    if generator.random() >= settings.background:
        deepest = 0.06 if generator.random() < 0.25 else 0.02  # some scans are cut close to the type
        return generator.uniform(-deepest, 0.01, 4)
    drawn = generator.random()
    if film == "binarized":  # a small book on a film of large ones
        wide = 1.4 if drawn < 0.25 else 0.5 if drawn < 0.5 else 0.13
    else:
        wide = 0.5 if drawn < 0.1 else 0.13
    margins = generator.random(4) ** 2 * wide
    return np.where(generator.random(4) < 0.35, generator.uniform(-0.02, 0.005, 4), margins)


def _bend(
    generator: np.random.Generator, settings: DegradeSettings, page: Page
) -> tuple[float, float, float, float]:
    fold = page.gutter if page.gutter is not None else float(generator.integers(0, 2))
    if generator.random() >= settings.curvature:
        return fold, 0.0, 0.0, 0.0
    lift = generator.normal(0, 0.008)
    pull = abs(generator.normal(0, 0.006))
    wave = generator.normal(0, 0.003 if page.parchment else 0.0012)
    return fold, lift, pull, wave


def _displacement(u: np.ndarray, v: np.ndarray, geometry: _Geometry) -> tuple[np.ndarray, np.ndarray]:
    """Return how far (px) the bent leaf moves the point at the fractions (u, v) of the page."""
    fold, lift, pull, wave = geometry.bend
    near = np.exp(-np.abs(u - fold) / 0.14)
    dx = pull * near * np.sign(u - fold) * geometry.page[1]
    dy = (lift * near * (2 * v - 1 + 0.6) + wave * np.sin(7 * u + 3 * v)) * geometry.page[0]
    return dx, dy


def _move_boxes(boxes: np.ndarray, geometry: _Geometry) -> np.ndarray:
    """Carry boxes to the scan: the extent of eight points on each box's edge."""
    height, width = geometry.page
    along = np.array([0, 0.5, 1, 1, 1, 0.5, 0, 0])
    down = np.array([0, 0, 0, 0.5, 1, 1, 1, 0.5])
    x = boxes[:, :1] + (boxes[:, 2:3] - boxes[:, :1]) * along  # [N, 8]
    y = boxes[:, 1:2] + (boxes[:, 3:] - boxes[:, 1:2]) * down
    flat_x, flat_y = x, y
    for _ in range(3):  # the displacement is small and smooth: a fixed point
        dx, dy = _displacement(flat_x / width, flat_y / height, geometry)
        flat_x, flat_y = x - dx, y - dy
    m = geometry.matrix
    scan_x = m[0, 0] * flat_x + m[0, 1] * flat_y + m[0, 2]
    scan_y = m[1, 0] * flat_x + m[1, 1] * flat_y + m[1, 2]
    moved = np.stack([scan_x.min(1), scan_y.min(1), scan_x.max(1), scan_y.max(1)], axis=1)
    limits = np.array(geometry.size[::-1] * 2)
    return np.clip(moved, 0, limits).astype(np.float32)


def _warp(
    ink: np.ndarray,
    geometry: _Geometry,
    generator: np.random.Generator,
    settings: DegradeSettings,
    page: Page,
) -> tuple[np.ndarray, _Place]:
    """Return the ink on the scan [H', W', 3] uint8, and where on the leaf its pixels lie."""
    height, width = geometry.page
    back = cv2.invertAffineTransform(geometry.matrix)
    rows, columns = np.indices(geometry.size, dtype=np.float32)
    x = (back[0, 0] * columns + back[0, 1] * rows + back[0, 2]).astype(np.float32)
    y = (back[1, 0] * columns + back[1, 1] * rows + back[1, 2]).astype(np.float32)
    across, down = x / width, y / height
    if any(geometry.bend[1:]):
        dx, dy = _displacement(across, down, geometry)
        x, y = (x + dx).astype(np.float32), (y + dy).astype(np.float32)
    inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
    if page.gutter is None and generator.random() < settings.neighbour:
        x, inside = _add_neighbour(x, y, inside, geometry, generator)
    warped = cv2.remap(
        ink, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(255, 255, 255)
    )
    return warped, _Place(inside, across, down)


def _add_neighbour(
    x: np.ndarray, y: np.ndarray, inside: np.ndarray, geometry: _Geometry, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Let the picture's edge at the fold show the facing page: this one's other side, moved in."""
    height, width = geometry.page
    offset = width * generator.uniform(0.0, 0.08)
    strip = (x < -0.5) if geometry.bend[0] < 0.5 else (x > width - 0.5)
    step = width - offset if geometry.bend[0] < 0.5 else offset - width
    return np.where(strip, x + np.float32(step), x), inside | (strip & (y > -0.5) & (y < height - 0.5))


# --- ink on paper


def smooth_noise(
    size: tuple[int, int], cell: float, generator: np.random.Generator, octaves: int = 1
) -> np.ndarray:
    """Return [H, W] float32 noise of about unit deviation whose blobs are ``cell`` pixels wide."""
    finest = max(cell / 2 ** (octaves - 1), 1)
    grid = (int(size[0] / finest) + 3, int(size[1] / finest) + 3)
    total = generator.standard_normal(grid, dtype=np.float32) / 2 ** (octaves - 1)
    for octave in range(octaves - 1):
        shape = tuple(int(length / 2 ** (octaves - 1 - octave)) + 2 for length in grid)
        coarse = generator.standard_normal(shape, dtype=np.float32)
        total += cv2.resize(coarse, grid[::-1], interpolation=cv2.INTER_CUBIC) / 2**octave
    if finest > 8:  # cubic at a quarter of the size, linear from there: three times as fast
        total = cv2.resize(total, (size[1] // 4 + 1, size[0] // 4 + 1), interpolation=cv2.INTER_CUBIC)
        return cv2.resize(total, size[::-1], interpolation=cv2.INTER_LINEAR)
    return cv2.resize(total, size[::-1], interpolation=cv2.INTER_CUBIC)


def _rgb(plane: np.ndarray) -> np.ndarray:
    """Return a plane [H, W] three times, [H, W, 3]: products of equal shapes are faster than broadcast ones."""
    return cv2.merge([plane.astype(np.float32, copy=False)] * 3)


def _print(
    ink: np.ndarray, generator: np.random.Generator, settings: DegradeSettings, page: Page, film: str
) -> np.ndarray:
    """Lay ink on paper; return [H', W', 3] float32 in 0..1."""
    ink = _uneven(ink, generator, settings)
    tint, plane = _paper(ink.shape[:2], generator, page)
    if generator.random() < settings.bleed_through:
        plane *= _verso(ink, generator, settings)
    leaf = ink
    leaf *= _rgb(plane)
    leaf *= tint
    if generator.random() < settings.stains * min(settings.strength, 1):
        stains = _stains(ink.shape[:2], generator)
        leaf *= (
            np.sqrt(stains) if film == "binarized" else stains
        )  # who films in black and white avoids the worst
    if film != "binarized" and generator.random() < settings.stains:
        leaf *= _browning(ink.shape[:2], generator)
    return leaf


def _uneven(ink: np.ndarray, generator: np.random.Generator, settings: DegradeSettings) -> np.ndarray:
    """Thin or swell the strokes and let the ink fade in patches; return float32 in 0..1."""
    drawn = generator.random()
    if drawn < 0.2 * settings.strength:  # a heavy pull of the press: dark wins
        ink = cv2.addWeighted(ink, 0.5, cv2.erode(ink, np.ones((2, 2), np.uint8)), 0.5, 0)
    layer = ink.astype(np.float32) * np.float32(1 / 255)
    depth = generator.uniform(0.65, 1.0) if drawn > 1 - 0.3 * settings.strength else 1.0  # worn type
    fade = generator.uniform(0, 0.22) * settings.strength
    if fade > 0.07:
        patches = smooth_noise(ink.shape[:2], max(ink.shape) / 4, generator, 2)
        strength = np.clip(depth * (1 - fade * patches), 0.5, 1.1)
        return np.maximum(1 - (1 - layer) * _rgb(strength), 0)
    return 1 - depth * (1 - layer) if depth < 1 else layer


def _paper(
    size: tuple[int, int], generator: np.random.Generator, page: Page
) -> tuple[np.ndarray, np.ndarray]:
    """Return the paper's colour [3] and its texture [H, W], both float32."""
    tints = PARCHMENTS if page.parchment else PAPERS
    tint = np.array(tints[generator.integers(len(tints))], np.float32) / 255
    tint = np.clip(tint * generator.uniform(0.88, 1.03) + generator.normal(0, 0.012, 3), 0.3, 1)
    deepest = 0.09 if generator.random() < 0.15 else 0.03
    clouds = smooth_noise(size, max(size) / 3, generator, 3) * generator.uniform(0.003, deepest)
    grain = generator.standard_normal(size, dtype=np.float32) * np.float32(generator.uniform(0.002, 0.02))
    return tint.astype(np.float32), 1 + clouds + grain


def _verso(ink: np.ndarray, generator: np.random.Generator, settings: DegradeSettings) -> np.ndarray:
    """Return what shines through from the back: mirrored, blurred, pale."""
    back = np.ascontiguousarray(ink[:, ::-1, 1])
    shift = generator.uniform(-0.04, 0.04, 2) * back.shape[::-1]
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    back = cv2.warpAffine(back, matrix, back.shape[::-1], borderMode=cv2.BORDER_CONSTANT, borderValue=1)
    back = cv2.GaussianBlur(back, (0, 0), generator.uniform(0.7, 2.5))
    return 1 - (1 - back) * np.float32(generator.uniform(0.05, 0.28) * min(settings.strength, 1.3))


def _stains(size: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    layer = np.ones((*size, 3), np.float32)
    for _ in range(generator.integers(1, 4)):
        colour = np.array(STAIN_COLOURS[generator.integers(len(STAIN_COLOURS))], np.float32) / 255
        layer *= 1 - _rgb(_stain(size, generator)) * (1 - colour)
    if generator.random() < 0.2:
        layer *= _rgb(1 - _blot(size, generator))
    if generator.random() < 0.15:
        layer *= 1 - _rgb(_offset(size, generator)) * np.array([0.3, 0.55, 0.8], np.float32)
    if generator.random() < 0.35:  # foxing
        spots = smooth_noise(size, max(size) / generator.uniform(40, 120), generator)
        layer *= 1 - np.clip(spots - 2.2, 0, 1)[..., None] * np.array([0.2, 0.4, 0.55], np.float32)
    return layer


def _offset(size: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """Return the brown mark that a picture or a slip on the facing leaf left: a pale rectangle with soft edges."""
    height, width = size
    tall, wide = int(height * generator.uniform(0.08, 0.6)), int(width * generator.uniform(0.1, 0.7))
    y, x = int((height - tall) * generator.random()), int((width - wide) * generator.random())
    mark = np.zeros(size, np.float32)
    mark[y : y + tall, x : x + wide] = generator.uniform(0.06, 0.35)
    return cv2.GaussianBlur(mark, (0, 0), max(0.8, max(size) * generator.uniform(0.001, 0.01)))


def _browning(size: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """Return the tint of paper that has gone brown, most of all near some of its edges; [H, W, 3] float32."""
    y, x = np.ogrid[0 : 1 : size[0] * 1j, 0 : 1 : size[1] * 1j]
    depth = np.full(size, generator.uniform(0, 0.15), np.float32)
    ragged = 0.25 * smooth_noise(size, max(size) / 4, generator, 3)
    for far in (x, 1 - x, y, 1 - y):
        if generator.random() < 0.6:
            edge = np.exp(-far / generator.uniform(0.02, 0.25)) * (1 + ragged)
            depth = depth + edge * generator.uniform(0.05, 0.5)
    colour = np.array(STAIN_COLOURS[generator.integers(len(STAIN_COLOURS))], np.float32) / 255
    return 1 - _rgb(np.clip(depth, 0, 0.7)) * (1 - colour)


def _blot(size: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """Return a small black spot of spilt ink with a ragged edge."""
    height, width = size
    y, x = np.ogrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    centre, radius = generator.uniform(0, 1, 2), generator.uniform(0.004, 0.025, 2)
    distance = ((x - centre[0]) * width / height / radius[0]) ** 2 + ((y - centre[1]) / radius[1]) ** 2
    ragged = 0.4 * smooth_noise(size, max(size) / 90, generator)
    return np.clip((1 - distance + ragged) * 3, 0, 0.95).astype(np.float32)


def _stain(size: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    height, width = size
    y, x = np.ogrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    centre = generator.uniform(-0.1, 1.1, 2)
    radius = generator.uniform(0.03, 0.35)
    distance = np.hypot((x - centre[0]) * width / height, y - centre[1]).astype(np.float32) / radius
    distance = distance + 0.18 * smooth_noise(size, max(size) / 12, generator, 2)
    body = np.clip((1 - distance) * 6, 0, 1)
    if generator.random() < 0.4:  # a tide line
        body = 0.35 * body + np.exp(-((distance - 1) ** 2) / 0.004)
    return body * generator.uniform(0.08, 0.5)


# --- light and background


def _photograph(
    leaf: np.ndarray,
    place: _Place,
    generator: np.random.Generator,
    settings: DegradeSettings,
    film: str,
    page: Page,
) -> np.ndarray:
    """Light the leaf and put it on its background; [H', W', 3] float32 in 0..1."""
    if generator.random() < settings.shadow:
        leaf *= _rgb(_light(place.across, generator, settings, page))
    if place.inside.all():
        scene = leaf
    else:
        scene = _background(leaf.shape[:2], generator, film)
        if generator.random() < 0.2:
            _other_leaves(scene, place, generator)
        cv2.copyTo(leaf, place.inside.astype(np.uint8), scene)
        if page.gutter is not None and generator.random() < 0.4:
            _clamps(scene, place, page.gutter, generator)
    if film == "binarized" and generator.random() < 0.4:
        scene[_border_dirt(place, generator)] = 0.03
    return scene


def _other_leaves(scene: np.ndarray, place: _Place, generator: np.random.Generator) -> None:
    """Let the edges of the leaves below show beside the page, as pale and dark lines, in place."""
    reach = generator.uniform(0.01, 0.04)
    side = -place.across if generator.random() < 0.5 else place.across - 1
    shown = (side > 0) & (side < reach) & (place.down > 0.002) & (place.down < 0.998)
    lines = generator.uniform(0.35, 0.95, 24).astype(np.float32)
    number = np.clip(side / reach * len(lines), 0, len(lines) - 1).astype(int)
    scene[shown] = lines[number[shown]][:, None]


def _light(
    across: np.ndarray, generator: np.random.Generator, settings: DegradeSettings, page: Page
) -> np.ndarray:
    fold = page.gutter if page.gutter is not None else float(generator.integers(0, 2))
    depth = generator.uniform(0.03, 0.45) * min(settings.strength, 1.2)
    reach = generator.uniform(0.01, 0.09)
    slope = generator.normal(0, 0.08) * settings.strength
    return (1 - depth * np.exp(-np.abs(across - fold) / reach)) * (1 + slope * (across - 0.5))


def _background(size: tuple[int, int], generator: np.random.Generator, film: str) -> np.ndarray:
    white = 0.65 if film == "binarized" else 0.4
    drawn = generator.random()
    if drawn < white:
        tone = np.array([0.97, 0.97, 0.96]) * generator.uniform(0.92, 1.03)
    elif drawn < white + 0.25:
        tone = np.full(3, generator.uniform(0.0, 0.12))
    else:
        tone = generator.uniform(0.15, 0.8) + generator.normal(0, 0.03, 3)
    cloud = 1 + 0.03 * smooth_noise(size, max(size) / 3, generator)
    return _rgb(cloud) * np.clip(tone, 0, 1).astype(np.float32)


def _border_dirt(place: _Place, generator: np.random.Generator) -> np.ndarray:
    """Return which pixels are black along ragged stretches of the borders of the picture or of the leaf."""
    height, width = size = place.inside.shape
    if generator.random() < 0.5:
        y, x = np.ogrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    else:
        y, x = place.down, place.across
    ragged = 1 + 0.3 * smooth_noise(size, max(size) / 20, generator, 3)
    black = np.zeros(size, bool)
    for side in (x, 1 - x, y, 1 - y):
        if generator.random() < 0.4:
            stretch = smooth_noise(size, height / 2, generator) > -0.7
            edge = (side < generator.uniform(0.003, 0.035) * ragged) & (side > -0.004)
            black |= edge & stretch
    return black


def _clamps(scene: np.ndarray, place: _Place, gutter: float, generator: np.random.Generator) -> None:
    """Draw the bars that hold a book open above and below its fold."""
    column = int(np.argmin(np.abs(place.across[scene.shape[0] // 2] - gutter)))
    half = max(1, int(scene.shape[1] * generator.uniform(0.006, 0.02)))
    bar = np.s_[:, max(0, column - half) : column + half]
    reach = scene.shape[0] * generator.uniform(0, 0.03)
    rows = np.flatnonzero(place.inside[:, column])
    if len(rows) == 0:
        return
    held = np.arange(scene.shape[0])
    outside = (held < rows[0] + reach) | (held > rows[-1] - reach)
    scene[bar][outside] = generator.uniform(0, 0.15)


# --- camera and film


def _develop(
    scene: np.ndarray, place: _Place, generator: np.random.Generator, settings: DegradeSettings, film: str
) -> np.ndarray:
    """Record the scene: focus, tone, noise, resolution, compression; return uint8."""
    scene = _focus(scene, generator, settings)
    if film == "binarized":
        plane = _threshold(cv2.cvtColor(scene, cv2.COLOR_RGB2GRAY), place.inside, generator)
        scan = cv2.cvtColor(_to_bytes(plane), cv2.COLOR_GRAY2RGB)
    else:
        scan = cv2.LUT(_to_bytes(_noise(scene, generator, settings)), _tone_curve(generator, settings))
        if film == "grey":
            scan = cv2.cvtColor(cv2.cvtColor(scan, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return _compress(scan, generator) if generator.random() < 0.8 * settings.strength else scan


def _to_bytes(image: np.ndarray) -> np.ndarray:
    """Return 0..1 as 0..255, clipped."""
    return cv2.convertScaleAbs(np.maximum(image, 0), alpha=255)


def _focus(scene: np.ndarray, generator: np.random.Generator, settings: DegradeSettings) -> np.ndarray:
    drawn = generator.random()
    height, width = scene.shape[:2]
    if drawn < 0.25 * settings.strength:
        return cv2.GaussianBlur(scene, (0, 0), generator.uniform(0.3, 1.0))
    if drawn < 0.45 * settings.strength:
        scale = generator.uniform(0.45, 0.9)
        small = cv2.resize(scene, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return scene


def _threshold(plane: np.ndarray, inside: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Turn grey into the black and white of microfilm, softly: the original is larger than the scan."""
    leaf = plane[::3, ::3][inside[::3, ::3]]  # a white or black background must not move the level
    ink, paper = np.quantile(leaf if len(leaf) else plane, (0.01, 0.7))
    ink = min(ink, paper - 0.25)
    level = float(ink + (paper - ink) * generator.uniform(0.55, 0.85))
    if generator.random() < 0.2:
        level = level * (1 + 0.06 * smooth_noise(plane.shape, max(plane.shape) / 5, generator))
    crisp = (plane - level) * (generator.uniform(4, 14) / float(paper - ink)) + 0.5
    if generator.random() < 0.4:
        specks = smooth_noise(plane.shape, 1.6, generator)
        crisp[specks > generator.uniform(2.6, 3.6)] = 0
    return crisp


def _noise(scene: np.ndarray, generator: np.random.Generator, settings: DegradeSettings) -> np.ndarray:
    sigma = abs(generator.normal(0, 0.018)) * settings.strength
    if sigma < 0.006:
        return scene
    return scene + _rgb(generator.standard_normal(scene.shape[:2], dtype=np.float32) * np.float32(sigma))


def _tone_curve(generator: np.random.Generator, settings: DegradeSettings) -> np.ndarray:
    """Return a camera's gamma, contrast and exposure as a table of 256 values."""
    gamma = math.exp(generator.normal(0, 0.2 * min(settings.strength, 1.5)))
    contrast = 1 + generator.normal(0, 0.12) * settings.strength
    shift = generator.normal(0, 0.03) * settings.strength
    curve = (np.linspace(0, 1, 256) ** gamma - 0.5) * contrast + 0.5 + shift
    return (np.clip(curve, 0, 1) * 255).astype(np.uint8)


def _compress(scan: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    quality = int(generator.integers(35, 95))
    _, data = cv2.imencode(".jpg", scan, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None  # it was encoded just now
    return decoded
