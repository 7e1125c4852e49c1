"""What photographs show: lit solids, people, landscapes, buildings, rooms and machines, drawn by procedure.

A subject paints a small :class:`Plate` in colour; :mod:`doc_detect.synthesis.art.photographs` makes a photograph
of it. Coordinates are in units of the plate's height: y runs from 0 to 1 downwards, x from 0 to the aspect ratio.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from doc_detect.synthesis.degrade import smooth_noise

Generator = np.random.Generator
Colour = tuple[float, float, float]
Window = tuple[tuple[slice, slice], np.ndarray, np.ndarray]
SKINS = ((0.85, 0.68, 0.56), (0.75, 0.56, 0.44), (0.5, 0.36, 0.27), (0.92, 0.78, 0.68))
"""Colours of faces, 0 to 1."""


@dataclass
class Plate:
    """A picture under construction, its light and what stands in it."""

    rgb: np.ndarray
    """[H, W, 3] float32, lightness from 0 to 1."""
    cover: np.ndarray
    """[H, W] float32: how far each pixel shows a thing and not the background."""
    light: tuple[float, float, float]
    """Unit vector towards the light: right, down, towards the camera."""
    ambient: float
    """Lightness of what the light does not reach."""

    @classmethod
    def blank(cls, height: int, width: int, g: Generator) -> "Plate":
        """Return an empty plate under a light of its own."""
        light = np.array([g.uniform(-1, 1), g.uniform(-0.9, -0.1), g.uniform(0.3, 1.2)])
        light /= np.linalg.norm(light)
        rgb = np.ones((height, width, 3), np.float32)
        direction = (float(light[0]), float(light[1]), float(light[2]))
        return cls(rgb, np.zeros((height, width), np.float32), direction, float(g.uniform(0.1, 0.5)))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, px."""
        return self.cover.shape[0], self.cover.shape[1]

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.size[1] / self.size[0]

    def window(self, x0: float, y0: float, x1: float, y1: float) -> Window | None:
        """Return the pixels of a rectangle, with their y [H, 1] and x [1, W]; None if it is off the plate."""
        height, width = self.size
        top, bottom = max(0, int(y0 * height)), min(height, math.ceil(y1 * height))
        left, right = max(0, int(x0 * height)), min(width, math.ceil(x1 * height))
        if top >= bottom or left >= right:
            return None
        y = np.arange(top, bottom, dtype=np.float32)[:, None] / height
        x = np.arange(left, right, dtype=np.float32)[None] / height
        return (slice(top, bottom), slice(left, right)), y, x

    def paint(self, where: tuple[slice, slice], mask: np.ndarray, colour: Colour, shade: np.ndarray) -> None:
        """Lay a colour times a shade [h, w] over a window as far as ``mask`` [h, w] says."""
        region, weight = self.rgb[where], mask[..., None].astype(np.float32)
        region += weight * (np.array(colour, np.float32) * shade[..., None].astype(np.float32) - region)
        np.maximum(self.cover[where], mask, out=self.cover[where])

    def lit(self, nx: np.ndarray, ny: np.ndarray, nz: np.ndarray) -> np.ndarray:
        """Return the shade of a surface with the given normals."""
        lx, ly, lz = self.light
        return self.ambient + (1 - self.ambient) * np.clip(nx * lx + ny * ly + nz * lz, 0, 1)


def any_colour(g: Generator) -> Colour:
    """Draw the colour of a thing: mostly muted."""
    base, spread = g.uniform(0.1, 0.95), 0.02 + 0.25 * g.random() ** 3
    red, green, blue = np.clip(base + spread * g.normal(0, 1, 3), 0.03, 1)
    return float(red), float(green), float(blue)


def texture(size: tuple[int, int], cell: float, g: Generator, octaves: int = 4) -> np.ndarray:
    """Return noise [H, W] of about unit deviation with detail at ``octaves`` scales."""
    return smooth_noise(size, max(2.0, cell), g, octaves) / 1.15


def backdrop(plate: Plate, g: Generator) -> None:
    """Paint a studio's backdrop: a sweep of light, often with a table's edge, cloth or clouds."""
    height, width = plate.size
    y, x = np.ogrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    spot, reach = g.uniform(0.2, 0.8, 2), g.uniform(0.3, 1.0)
    glow = np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / reach**2)
    dark, bright = sorted(g.uniform(0.05, 1.0, 2))
    if g.random() < 0.3:  # a pale, even ground, as museums like it
        dark, bright = bright + 0.8 * (1 - bright), 1.0
    tone = dark + (bright - dark) * glow + g.uniform(0, 0.07) * texture(plate.size, height / 2, g)
    if g.random() < 0.5:
        edge = 1 / (1 + np.exp(-(y - g.uniform(0.55, 0.85)) / g.uniform(0.002, 0.06)))
        tone = tone * (1 - edge) + edge * (g.uniform(0.15, 0.95) + 0.06 * texture(plate.size, height / 5, g))
    if g.random() < 0.2:  # the folds of a curtain
        folds = texture((2, width), width / g.uniform(8, 25), g, 2)[:1]
        tone = tone * (1 + 0.25 * folds)
    colour = np.array(any_colour(g), np.float32)
    plate.rgb[:] = np.clip(tone, 0, 1)[..., None] * (colour / colour.max())


# --- solids


def shadow(plate: Plate, x: float, y: float, rx: float, ry: float, depth: float) -> None:
    """Darken (or, with a negative depth, lighten) a soft ellipse."""
    found = plate.window(x - 2.2 * rx, y - 2.2 * ry, x + 2.2 * rx, y + 2.2 * ry)
    if found is None:
        return
    where, rows, columns = found
    fall = np.exp(-(((columns - x) / rx) ** 2) - ((rows - y) / ry) ** 2)
    plate.rgb[where] *= (1 - depth * fall)[..., None].astype(np.float32)


def ball(
    plate: Plate,
    x: float,
    y: float,
    rx: float,
    ry: float,
    colour: Colour,
    g: Generator,
    rough: float = 0.0,
    bump: float = 0.0,
) -> None:
    """Paint an ellipsoid; ``rough`` breaks its outline, ``bump`` its surface."""
    found = plate.window(x - 1.3 * rx, y - 1.3 * ry, x + 1.3 * rx, y + 1.3 * ry)
    if found is None:
        return
    where, rows, columns = found
    u, v = (columns - x) / rx, (rows - y) / ry
    distance = np.sqrt(u**2 + v**2)
    if rough or bump:
        noise = texture(distance.shape, max(distance.shape) / 4, g)
        distance = distance + rough * noise
    nz = np.sqrt(np.clip(1 - distance**2, 0.02, 1))
    shade = plate.lit(u, v, nz)
    if bump:
        shade = shade * (1 + bump * noise)
    sharp = max(2.0, plate.size[0] * min(rx, ry))
    plate.paint(where, np.clip((1 - distance) * sharp, 0, 1), colour, shade)


def lathe(plate: Plate, x: float, top: float, height: float, radius: float, g: Generator) -> None:
    """Paint a turned thing: a vase, a bottle, a cup, a candlestick, a column."""
    found = plate.window(x - radius - 0.01, top, x + radius + 0.01, top + height)
    if found is None:
        return
    where, rows, columns = found
    knots = np.linspace(0, 1, int(g.integers(4, 9)))
    outline = np.interp(np.linspace(0, 1, 64), knots, g.uniform(0.2, 1.0, len(knots)))
    outline = np.convolve(np.pad(outline, 4, "edge"), np.ones(9) / 9, "valid")
    along = np.clip((rows - top) / height, 0, 1)
    reach = radius * np.interp(along, np.linspace(0, 1, 64), outline / outline.max())
    u = np.clip((columns - x) / reach, -1.2, 1.2)
    nz = np.sqrt(np.clip(1 - u**2, 0, 1))
    shade = plate.lit(u, np.zeros_like(u), nz)
    if g.random() < 0.5:  # painted or cut ornament
        pattern = np.sin(np.arcsin(np.clip(u, -1, 1)) * g.uniform(4, 20)) * np.sin(along * g.uniform(10, 60))
        pattern = pattern + texture(u.shape, max(u.shape) / 8, g)
        bands = np.sin(along * g.uniform(3, 20) + g.uniform(0, 6)) > g.uniform(-0.8, 0.6)
        shade = shade * (1 - g.uniform(0.1, 0.6) * (pattern > 0.3) * bands)
    gloss = g.uniform(0, 0.9) * np.exp(-(((u - plate.light[0] * 0.7) / g.uniform(0.05, 0.25)) ** 2))
    mask = np.clip((1 - np.abs(u)) * reach * plate.size[0], 0, 1)
    plate.paint(where, mask, any_colour(g), shade + gloss)


def panel(
    plate: Plate, points: np.ndarray, colour: Colour, shade: float, g: Generator, grain: float = 0.05
) -> None:
    """Paint a flat face [K, 2] with a slope of light and a grain."""
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    found = plate.window(x0, y0, x1 + 0.01, y1 + 0.01)
    if found is None:
        return
    where, rows, columns = found
    corner = np.array([where[1].start, where[0].start])
    mask = np.zeros((rows.shape[0], columns.shape[1]), np.uint8)
    fixed = np.round((points * plate.size[0] - corner) * 16).astype(np.int32)
    cv2.fillPoly(mask, [fixed.reshape(-1, 1, 2)], 255, cv2.LINE_AA, 4)
    slope = g.normal(0, 0.15, 2)
    light = shade * (1 + slope[0] * (columns - x0) / (x1 - x0) + slope[1] * (rows - y0) / max(y1 - y0, 1e-6))
    if grain:
        light = light * (1 + grain * texture(mask.shape, max(mask.shape) / 6, g))
    plate.paint(where, mask.astype(np.float32) / 255, colour, light)


def rectangle(x: float, y: float, width: float, height: float) -> np.ndarray:
    """Return a rectangle's corners [4, 2]."""
    return np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)])


def crate(
    plate: Plate, x: float, base: float, width: float, height: float, colour: Colour, g: Generator
) -> None:
    """Paint a box seen from a corner: a front, a side and a top."""
    lean, rise = g.uniform(-0.3, 0.3) * width, g.uniform(0.02, 0.15) * height
    front = rectangle(x, base - height, width, height)
    near, far = (x + width, x + width + abs(lean)) if lean > 0 else (x, x - abs(lean))
    bright = 1.0 if (lean > 0) == (plate.light[0] > 0) else 0.45
    side = np.array([(near, base), (near, base - height), (far, base - height - rise), (far, base - rise)])
    shift = np.array([lean, -rise])
    top = np.array([front[0], front[1], front[1] + shift, front[0] + shift])
    panel(plate, side, colour, bright, g)
    panel(plate, top, colour, 1.15, g)
    panel(plate, front, colour, 0.75, g)


def coin(plate: Plate, x: float, y: float, radius: float, g: Generator) -> None:
    """Paint a coin or a medal: a disc with a rim, a head or a device in relief, and lettering round it."""
    found = plate.window(x - radius, y - radius, x + radius, y + radius)
    if found is None:
        return
    where, rows, columns = found
    u, v = (columns - x) / radius, (rows - y) / radius
    distance, angle = np.hypot(u, v), np.arctan2(v, u)
    relief = 0.4 * texture(distance.shape, max(distance.shape) / 6, g, 3)
    relief += 3 * np.exp(-(((distance - 0.94) / 0.04) ** 2))
    letters = np.sin(angle * g.integers(14, 40)) > g.uniform(-0.3, 0.3)
    relief += 1.5 * (np.abs(distance - 0.8) < 0.07) * letters
    for _ in range(int(g.integers(2, 6))):  # a head or a device
        at, reach = g.normal(0, 0.15, 2), g.uniform(0.12, 0.42, 2)
        relief += 2.5 * np.clip(1.2 - ((u - at[0]) / reach[0]) ** 2 - ((v - at[1]) / reach[1]) ** 2, 0, 1)
    relief = cv2.GaussianBlur(relief.astype(np.float32), (0, 0), max(0.6, radius * plate.size[0] / 60))
    step = 90 / max(20.0, radius * plate.size[0])
    slope_y, slope_x = np.gradient(relief)
    shade = 0.6 - (slope_x * plate.light[0] + slope_y * plate.light[1]) / step * g.uniform(0.3, 1.2)
    ragged = 1 - 0.03 * g.random() * texture(distance.shape, max(distance.shape) / 3, g, 2)
    mask = np.clip((ragged - distance) * radius * plate.size[0], 0, 1)
    plate.paint(where, mask, any_colour(g), np.clip(shade, 0.03, 1.5))


# --- things, for still lives and cut-outs


def vessel(plate: Plate, x: float, base: float, height: float, g: Generator) -> None:
    """Paint a turned vessel, some with a handle or a lid."""
    radius = height * g.uniform(0.12, 0.5)
    if g.random() < 0.4:
        colour = any_colour(g)
        for side in (-1, 1)[: int(g.integers(1, 3))]:
            at = (x + side * radius * 0.85, base - height * g.uniform(0.4, 0.7))
            _hoop(plate, at, radius * 0.45, height * 0.18, radius * 0.12, colour)
    lathe(plate, x, base - height, height, radius, g)


def _hoop(plate: Plate, at: tuple[float, float], rx: float, ry: float, thick: float, colour: Colour) -> None:
    found = plate.window(at[0] - rx - thick, at[1] - ry - thick, at[0] + rx + thick, at[1] + ry + thick)
    if found is None:
        return
    where, rows, columns = found
    u, v = (columns - at[0]) / rx, (rows - at[1]) / ry
    off = (np.hypot(u, v) - 1) * min(rx, ry) / thick
    mask = np.clip((1 - np.abs(off)) * 3, 0, 1)
    plate.paint(where, mask, colour, plate.lit(u * off, v * off, np.sqrt(np.clip(1 - off**2, 0, 1))))


def bust(plate: Plate, x: float, base: float, height: float, g: Generator) -> None:
    """Paint a bust or a mask of stone or bronze on a foot."""
    colour = any_colour(g)
    lathe(plate, x, base - height * 0.2, height * 0.2, height * 0.16, g)
    ball(plate, x, base - height * 0.3, height * g.uniform(0.24, 0.34), height * 0.18, colour, g, 0.05, 0.1)
    panel(
        plate,
        rectangle(x - height * 0.08, base - height * 0.55, height * 0.16, height * 0.25),
        colour,
        0.6,
        g,
    )
    _head(plate, x, base - height * 0.72, height * 0.24, colour, colour, g)


def seat(plate: Plate, x: float, base: float, height: float, g: Generator) -> None:
    """Paint a piece of furniture: a table, a chair, a chest or a cupboard."""
    colour, width = any_colour(g), height * g.uniform(0.5, 1.3)
    left, kind = x - width / 2, g.random()
    if kind < 0.5:  # legs under a seat or a table's top
        slab, level = height * 0.07, base - height * g.uniform(0.45, 0.95)
        leg = width * g.uniform(0.04, 0.1)
        for at in (0.02, 0.25, 0.75, 0.98):
            tall = base - level - (0.08 * height if 0.1 < at < 0.9 else 0)
            panel(
                plate, rectangle(left + at * (width - leg), level, leg, tall), colour, g.uniform(0.4, 0.9), g
            )
        panel(plate, rectangle(left, level, width, slab), colour, 1.0, g, 0.12)
        if level > base - height * 0.7:
            panel(plate, rectangle(left, base - height, leg, level - base + height), colour, 0.7, g)
            panel(plate, rectangle(left, base - height, width * 0.9, height * 0.2), colour, 0.9, g, 0.15)
        return
    crate(plate, left, base, width, height * 0.95, colour, g)
    rows, columns = int(g.integers(1, 6)), int(g.integers(1, 4))
    for row in range(rows):
        for column in range(columns):
            wide, tall = width / columns, height * 0.9 / rows
            at = (left + (column + 0.06) * wide, base - height * 0.92 + (row + 0.06) * tall)
            panel(plate, rectangle(*at, wide * 0.88, tall * 0.88), colour, g.uniform(0.6, 1.1), g, 0.15)
            shadow(plate, at[0] + wide * 0.44, at[1] + tall * 0.44, wide * 0.04, wide * 0.04, 0.8)


def tool(plate: Plate, x: float, base: float, height: float, g: Generator) -> None:
    """Paint a tool, a weapon or a utensil: a shaft with a head or a blade."""
    metal, wood = any_colour(g), any_colour(g)
    thick = height * g.uniform(0.03, 0.09)
    bend = g.normal(0, 0.12) * height
    shaft = [
        (x - thick, base),
        (x + thick, base),
        (x + bend + thick, base - height),
        (x + bend - thick, base - height),
    ]
    panel(plate, np.array(shaft), wood, 0.8, g, 0.1)
    corners = np.linspace(0, 2 * math.pi, int(g.integers(3, 9)), endpoint=False) + g.uniform(0, 6)
    reach = height * g.uniform(0.08, 0.3, len(corners))
    blade = np.stack(
        [x + bend + reach * np.cos(corners), base - height * 0.82 + 0.6 * reach * np.sin(corners)], 1
    )
    panel(plate, blade, metal, 1.0, g, 0.1)
    if g.random() < 0.5:
        ball(plate, x, base - height * 0.05, thick * 2, height * 0.06, metal, g)


def jewel(plate: Plate, x: float, base: float, height: float, g: Generator) -> None:
    """Paint a brooch, a ring or a necklace of stones."""
    centre, reach = base - height / 2, height * 0.4
    gold, stone = any_colour(g), any_colour(g)
    if g.random() < 0.6:
        _hoop(plate, (x, centre), reach, reach * g.uniform(0.6, 1), reach * g.uniform(0.05, 0.2), gold)
    count, sag = int(g.integers(5, 26)), g.uniform(0.6, 1)
    for k in range(count):
        turn = 2 * math.pi * k / count
        size = reach * g.uniform(0.1, 0.2)
        at = (x + reach * math.cos(turn), centre + reach * sag * math.sin(turn))
        ball(plate, *at, size, size, gold if k % 2 else stone, g)
    if g.random() < 0.6:
        ball(plate, x, centre, reach * 0.3, reach * 0.35, stone, g, 0.02, 0.1)


def medal(plate: Plate, x: float, base: float, height: float, g: Generator) -> None:
    """Paint a coin that stands for itself."""
    coin(plate, x, base - height / 2, height * 0.49, g)


def engine(plate: Plate, x: float, base: float, height: float, g: Generator) -> None:
    """Paint a small machine: a body, wheels and a pipe."""
    colour = any_colour(g)
    crate(plate, x - height * 0.4, base - height * 0.1, height * 0.7, height * g.uniform(0.3, 0.6), colour, g)
    lathe(plate, x + height * g.uniform(-0.3, 0.3), base - height, height * 0.5, height * 0.12, g)
    for _ in range(int(g.integers(1, 4))):
        radius = height * g.uniform(0.1, 0.28)
        wheel(plate, x + height * g.uniform(-0.4, 0.4), base - radius, radius, any_colour(g), g)


def wheel(plate: Plate, x: float, y: float, radius: float, colour: Colour, g: Generator) -> None:
    """Paint a spoked wheel, a gear or a flywheel."""
    _hoop(plate, (x, y), radius * 0.88, radius * 0.88, radius * 0.12, colour)
    for turn in np.linspace(0, 2 * math.pi, int(g.integers(4, 13)), endpoint=False) + g.uniform(0, 1):
        along = np.array([math.cos(turn), math.sin(turn)]) * radius * 0.88
        across = np.array([-along[1], along[0]]) * 0.05
        spoke = np.array([-across, across, along + across, along - across]) + (x, y)
        panel(plate, spoke, colour, 0.8, g, 0)
    ball(plate, x, y, radius * 0.15, radius * 0.15, colour, g)


THINGS = (vessel, vessel, bust, seat, tool, jewel, medal, engine)
"""Painters of a thing that stands on ``base``, centred on ``x``."""


# --- people


def _head(plate: Plate, x: float, y: float, size: float, skin: Colour, hair: Colour, g: Generator) -> None:
    """Paint a head ``2 * size`` tall with features as soft shadows."""
    turn, wide = g.normal(0, 0.12) * size, size * g.uniform(0.68, 0.82)
    ball(plate, x, y - size * 0.18, wide * 1.15, size * g.uniform(0.95, 1.1), hair, g, 0.05, 0.15)
    ball(plate, x + turn * 0.5, y + size * 0.06, wide, size * 0.95, skin, g, 0.01, 0.03)
    ball(plate, x, y - size * 0.78, wide * 1.02, size * g.uniform(0.25, 0.42), hair, g, 0.06, 0.2)
    for side in (-1, 1):
        eye = (x + turn + side * wide * 0.4, y - size * 0.06)
        shadow(plate, eye[0], eye[1], wide * 0.22, size * 0.13, 0.5)
        shadow(plate, eye[0], eye[1], wide * 0.1, size * 0.05, 0.7)
        shadow(plate, eye[0], eye[1] - size * 0.15, wide * 0.2, size * 0.04, 0.45)
    away = -math.copysign(wide * 0.14, plate.light[0])
    shadow(plate, x + turn + away, y + size * 0.18, wide * 0.1, size * 0.22, 0.3)
    shadow(plate, x + turn, y + size * 0.34, wide * 0.18, size * 0.05, 0.45)
    shadow(plate, x + turn, y + size * 0.55, wide * 0.3, size * 0.05, 0.55)
    shadow(plate, x + turn, y + size * 0.7, wide * 0.25, size * 0.06, 0.2)
    if g.random() < 0.2:  # a beard or a moustache
        shadow(
            plate, x + turn, y + size * g.uniform(0.45, 0.8), wide * 0.5, size * g.uniform(0.08, 0.35), 0.7
        )


def _clothes(
    plate: Plate, x: float, top: float, reach: float, height: float, dress: Colour, g: Generator
) -> None:
    """Paint a coat or a gown from the shoulders down, arms at its sides, and legs below a short one."""
    hem = top + height * (1.0 if g.random() < 0.4 else g.uniform(0.5, 0.7))
    dark = (dress[0] * 0.5, dress[1] * 0.5, dress[2] * 0.5)
    for side in (-1, 1):
        if hem < top + height:
            leg = rectangle(
                x + side * reach * 0.36 - reach * 0.24, hem - reach * 0.1, reach * 0.48, top + height - hem
            )
            panel(plate, leg, dark, g.uniform(0.5, 1.0), g)
        panel(
            plate,
            rectangle(x + side * reach * 0.8 - reach * 0.2, top + reach * 0.2, reach * 0.4, height * 0.42),
            dress,
            g.uniform(0.5, 1.0),
            g,
            0.1,
        )
    wide = reach * g.uniform(0.7, 1.3)
    coat = [
        (x - reach * 0.85, top + reach * 0.2),
        (x + reach * 0.85, top + reach * 0.2),
        (x + wide, hem),
        (x - wide, hem),
    ]
    panel(plate, np.array(coat), dress, g.uniform(0.6, 0.95), g, 0.15)
    for _ in range(int(g.integers(0, 4))):  # folds
        at = x + g.uniform(-0.6, 0.6) * reach
        shadow(plate, at, (top + hem) / 2, reach * 0.08, (hem - top) * 0.4, g.uniform(-0.3, 0.4))


def figure(plate: Plate, x: float, top: float, size: float, g: Generator, length: float = 6.0) -> None:
    """Paint a person whose head is ``2 * size`` tall and whose body is ``length`` heads long."""
    skin, hair = SKINS[int(g.integers(len(SKINS)))], any_colour(g)
    dress = any_colour(g)
    dark = float(g.uniform(0.15, 1.0))
    dress = (dress[0] * dark, dress[1] * dark, dress[2] * dark)
    shoulders, reach = top + size * 2.5, size * g.uniform(1.5, 2.1)
    ball(plate, x, shoulders + size * 0.7, reach, size * 1.1, dress, g, 0.03, 0.12)
    _clothes(plate, x, shoulders, reach, size * length * 2, dress, g)
    panel(plate, rectangle(x - size * 0.35, top + size * 1.5, size * 0.7, size * 0.9), skin, 0.65, g)
    if g.random() < 0.5:  # a shirt and lapels
        light = (0.9, 0.9, 0.88)
        collar = [
            (x - size * 0.45, shoulders - size * 0.35),
            (x + size * 0.45, shoulders - size * 0.35),
            (x, shoulders + size * 1.2),
        ]
        panel(plate, np.array(collar), light, 0.9, g)
    _head(plate, x, top + size, size, skin, hair, g)
    if g.random() < 0.2:  # a hat
        hat = any_colour(g)
        ball(plate, x, top + size * 0.1, size * 0.8, size * 0.45, hat, g, 0.02, 0.1)
        ball(plate, x, top + size * 0.4, size * g.uniform(0.8, 1.6), size * 0.12, hat, g)


def portrait(plate: Plate, g: Generator) -> None:
    """One or two people, head and shoulders or to the knee."""
    backdrop(plate, g)
    size = g.uniform(0.09, 0.24) * min(1.0, plate.aspect * 1.2)
    people = 2 if plate.aspect > 1.1 and g.random() < 0.6 else 1
    for k in range(people):
        x = plate.aspect * (k + 1) / (people + 1) + g.normal(0, 0.03)
        figure(plate, x, g.uniform(0.08, 0.3), size, g)


def crowd(plate: Plate, g: Generator) -> None:
    """Rows of people before a wall, trees or the sky."""
    (backdrop, hills, street)[int(g.integers(3))](plate, g)
    rows, size = int(g.integers(1, 4)), g.uniform(0.03, 0.075)
    for row in range(rows):
        near = size * (1 + 0.35 * row)
        count = min(14, int(plate.aspect / (near * g.uniform(2.2, 3.4))) + 1)
        for k in range(count):
            x = (k + 0.5 + g.normal(0, 0.12)) / count * plate.aspect
            top = 0.22 + row * size * 2.2 + g.normal(0, 0.2) * size
            figure(plate, x, top, near, g, float(g.uniform(4.5, 6.5)))


# --- places


def _sky(plate: Plate, g: Generator) -> None:
    height, width = plate.size
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    cloud = np.clip(texture(plate.size, height / g.uniform(2, 6), g, 5), -1, 2)
    light = g.uniform(0.45, 0.8) + g.uniform(0, 0.4) * y + g.uniform(0, 0.2) * cloud
    plate.rgb[:] = np.clip(light, 0.1, 1)[..., None] * np.array((0.8, 0.9, 1.0), np.float32)


def hills(plate: Plate, g: Generator) -> None:
    """Sky and ridges of land, trees, water."""
    _sky(plate, g)
    height, width = plate.size
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    layers, horizon = int(g.integers(1, 5)), g.uniform(0.25, 0.6)
    green = np.array((g.uniform(0.3, 0.6), g.uniform(0.4, 0.65), g.uniform(0.15, 0.45)))
    for layer in range(layers):
        steep = g.uniform(0.01, 0.12)
        level = horizon + (1 - horizon) * 0.6 * layer / layers
        ridge = level + steep * texture((2, width), width / g.uniform(1, 6), g, 5)[:1]
        mask = np.clip((y - ridge) * height, 0, 1)
        far = 1 - (layer + 1) / layers
        ground = texture((height // 3 + 1, width), width / g.uniform(8, 40), g)
        ground = cv2.resize(ground, (width, height))  # wide blades and furrows
        shade = g.uniform(0.35, 1.1) * (1 + g.uniform(0.1, 0.5) * ground) * (1 - far) + 0.75 * far
        red, green_, blue = green * (1 - far) + np.array((0.75, 0.8, 0.9)) * far
        plate.paint(
            (slice(None), slice(None)),
            mask,
            (float(red), float(green_), float(blue)),
            np.clip(shade, 0.02, 1.3),
        )
    if g.random() < 0.3:
        _water(plate, g)
    for _ in range(int(g.choice([0, 0, 1, 3, 6]))):
        size = g.uniform(0.05, 0.25)
        base = g.uniform(horizon + 0.1, 0.95)
        x = g.uniform(0, plate.aspect)
        panel(plate, rectangle(x - size * 0.06, base - size, size * 0.12, size), (0.25, 0.2, 0.15), 0.8, g)
        ball(plate, x, base - size * 1.3, size * 0.6, size * 0.8, (0.25, 0.38, 0.18), g, 0.25, 0.6)


def _water(plate: Plate, g: Generator) -> None:
    """Let the lower part mirror what stands above it."""
    height, width = plate.size
    edge = int(height * g.uniform(0.6, 0.8))
    mirrored = plate.rgb[2 * edge - height : edge][::-1]
    ripple = texture((height - edge, max(8, width // 8)), 3, g, 2)
    ripple = cv2.resize(ripple, (width, height - edge))
    plate.rgb[edge:] = np.clip(cv2.blur(mirrored, (5, 9)) * (0.8 + 0.12 * ripple[..., None]), 0, 1)


def house(plate: Plate, x: float, base: float, width: float, height: float, g: Generator) -> None:
    """Paint a house with rows of windows, some with a roof or a tower."""
    colour = any_colour(g)
    crate(plate, x, base, width, height, colour, g)
    if g.random() < 0.6:
        peak = g.uniform(0.1, 0.4) * height
        roof = [
            (x - 0.01, base - height),
            (x + width + 0.01, base - height),
            (x + width * g.uniform(0.4, 0.9), base - height - peak),
            (x + width * 0.3, base - height - peak),
        ]
        panel(plate, np.array(roof), any_colour(g), 0.7, g, 0.15)
    rows, columns = int(g.integers(2, 7)), int(g.integers(2, 8))
    glass = g.uniform(0.05, 0.35)
    wide, tall = width / columns, height / rows
    for row in range(rows):
        for column in range(columns):
            at = (x + (column + 0.28) * wide, base - height + (row + 0.22) * tall)
            panel(plate, rectangle(*at, wide * 0.44, tall * 0.56), (0.8, 0.85, 0.9), glass, g, 0)


def street(plate: Plate, g: Generator) -> None:
    """Buildings along a street or round a square."""
    _sky(plate, g)
    base = g.uniform(0.65, 0.95)
    panel(
        plate, rectangle(0, base - 0.05, plate.aspect, 1.06 - base), any_colour(g), g.uniform(0.4, 1), g, 0.15
    )
    x, count = -0.05, 0
    while x < plate.aspect and count < 6:
        width, height = g.uniform(0.2, 0.7), g.uniform(0.3, 0.85) * base
        house(plate, x, base + g.normal(0, 0.01), width, height, g)
        x += width * g.uniform(0.9, 1.4)
        count += 1
    for _ in range(int(g.choice([0, 0, 2, 5]))):
        size = g.uniform(0.012, 0.03)
        figure(plate, g.uniform(0, plate.aspect), base - size * 11, size, g, 4.3)


def room(plate: Plate, g: Generator) -> None:
    """A room in perspective, with windows, pictures and furniture."""
    a, wall = plate.aspect, any_colour(g)
    left, right = a * g.uniform(0.05, 0.3), a * g.uniform(0.7, 0.95)
    top, floor = g.uniform(0.05, 0.2), g.uniform(0.6, 0.8)
    panel(
        plate,
        np.array([(0, 1), (left, floor), (right, floor), (a, 1)]),
        any_colour(g),
        g.uniform(0.4, 0.9),
        g,
        0.15,
    )
    panel(plate, np.array([(0, 0), (left, top), (right, top), (a, 0)]), wall, 1.0, g)
    panel(plate, np.array([(0, 0), (left, top), (left, floor), (0, 1)]), wall, g.uniform(0.3, 0.9), g, 0.08)
    panel(plate, np.array([(a, 0), (right, top), (right, floor), (a, 1)]), wall, g.uniform(0.3, 0.9), g, 0.08)
    panel(plate, rectangle(left, top, right - left, floor - top), wall, 0.8, g, 0.08)
    for _ in range(int(g.integers(0, 5))):  # windows and pictures
        width, height = g.uniform(0.08, 0.25), g.uniform(0.1, 0.3)
        at = (g.uniform(left, max(left + 0.01, right - width)), top + g.uniform(0.05, 0.2))
        panel(
            plate, rectangle(at[0] - 0.01, at[1] - 0.01, width + 0.02, height + 0.02), any_colour(g), 0.5, g
        )
        panel(plate, rectangle(*at, width, height), any_colour(g), g.uniform(0.3, 1.6), g, 0.3)
    for _ in range(int(g.integers(1, 6))):
        x, base = g.uniform(0.1, 0.9) * a, g.uniform(floor, 0.98)
        shadow(plate, x, base, 0.15, 0.03, 0.6)
        (seat, seat, vessel)[int(g.integers(3))](plate, x, base, g.uniform(0.15, 0.4), g)


def works(plate: Plate, g: Generator) -> None:
    """Machines, wheels and pipes in a hall."""
    room(plate, g) if g.random() < 0.5 else backdrop(plate, g)
    for _ in range(int(g.integers(2, 7))):
        x, base = g.uniform(0, plate.aspect), g.uniform(0.6, 1.0)
        shadow(plate, x, base, 0.25, 0.05, 0.6)
        engine(plate, x, base, g.uniform(0.25, 0.8), g)
    for _ in range(int(g.integers(0, 6))):
        thick = g.uniform(0.01, 0.04)
        start, end = g.uniform(0, 1, 2) * (plate.aspect, 1), g.uniform(0, 1, 2) * (plate.aspect, 1)
        end[int(g.integers(2))] = start[int(g.integers(2))] if g.random() < 0.3 else end[0]
        pipe = np.array([start, start + thick, end + thick, end])
        panel(plate, pipe, any_colour(g), 0.9, g)


def beast(plate: Plate, g: Generator) -> None:
    """One to three animals on a meadow or in a studio."""
    (hills, backdrop)[int(g.integers(2))](plate, g)
    for _ in range(int(g.choice([1, 1, 2, 3]))):
        fur, size = any_colour(g), g.uniform(0.1, 0.26)
        x, base, side = g.uniform(0.25, 0.75) * plate.aspect, g.uniform(0.75, 0.95), float(g.choice([-1, 1]))
        long, leg = size * g.uniform(1.1, 1.8), size * g.uniform(0.4, 1.2)
        body = base - leg - size * 0.4
        shadow(plate, x, base, long, size * 0.2, 0.5)
        for at in (-0.75, -0.5, 0.5, 0.75):
            panel(
                plate,
                rectangle(x + at * long - size * 0.09, body, size * 0.18, base - body),
                fur,
                g.uniform(0.5, 0.8),
                g,
            )
        ball(plate, x, body, long, size * 0.62, fur, g, 0.04, 0.2)
        head = (x + side * long * 1.1, body - size * g.uniform(0.1, 0.9))
        ball(
            plate,
            (x + side * long * 0.85 + head[0]) / 2,
            (body + head[1]) / 2,
            size * 0.35,
            size * 0.5,
            fur,
            g,
            0.05,
            0.2,
        )
        ball(plate, *head, size * 0.45, size * 0.32, fur, g, 0.05, 0.2)
        ball(plate, head[0] - side * size * 0.15, head[1] - size * 0.32, size * 0.1, size * 0.2, fur, g)
        shadow(plate, head[0] + side * size * 0.1, head[1] - size * 0.08, size * 0.06, size * 0.06, 0.9)


def still_life(plate: Plate, g: Generator) -> None:
    """One to five things before a backdrop."""
    backdrop(plate, g)
    count = int(g.choice([1, 1, 1, 2, 3, 5]))
    for k in range(count):
        x = plate.aspect * (k + 1) / (count + 1) + g.normal(0, 0.02)
        height = g.uniform(0.45, 0.85) * min(1.0, plate.aspect * 1.6 / count)
        base = g.uniform(0.8, 0.95)
        shadow(
            plate, x - plate.light[0] * 0.2 * height, base, height * 0.4, height * 0.08, g.uniform(0.2, 0.8)
        )
        THINGS[int(g.integers(len(THINGS)))](plate, x, base, height, g)


def rubble(plate: Plate, g: Generator) -> None:
    """Overlapping patches of all sizes: foliage, stones, ruins, a heap of things."""
    height, width = plate.size
    backdrop(plate, g)
    tones = np.array([any_colour(g) for _ in range(5)])
    smallest = g.uniform(0.01, 0.03) * height
    angles = g.uniform(0, 180) + g.normal(0, g.uniform(5, 90), 400)
    for k in range(int(g.integers(60, 400))):
        reach = min(smallest / math.sqrt(max(g.random(), 1e-3)), height / 3)
        at = (int(g.uniform(0, width)), int(g.uniform(0, height)))
        colour = tones[int(g.integers(5))] * g.uniform(0.3, 1.2)
        axes = (max(1, int(reach)), max(1, int(reach * g.uniform(0.3, 1))))
        red, green, blue = (float(channel) for channel in np.clip(colour, 0, 1))
        cv2.ellipse(plate.rgb, at, axes, float(angles[k]), 0, 360, (red, green, blue), -1)
    light = texture(plate.size, height / 6, g)
    plate.rgb *= (1 + g.uniform(0.05, 0.35) * light)[..., None]


def textile(plate: Plate, g: Generator) -> None:
    """A carpet, a tapestry, lace or a book's cover, flat and symmetrical."""
    height, width = plate.size
    quarter = texture((height // 2 + 1, width // 2 + 1), height / g.uniform(6, 30), g, 3)
    field = np.concatenate([quarter, quarter[:, ::-1]], axis=1)
    field = np.concatenate([field, field[::-1]], axis=0)[:height, :width]
    steps = np.digitize(field, np.sort(g.normal(0, 0.7, int(g.integers(1, 5)))))
    palette = np.array([any_colour(g) for _ in range(6)], np.float32)
    plate.rgb[:] = palette[steps]
    for _ in range(int(g.integers(0, 4))):
        inset = int(height * g.uniform(0.01, 0.15))
        colour = any_colour(g)
        cv2.rectangle(
            plate.rgb, (inset, inset), (width - inset, height - inset), colour, max(1, height // 80)
        )
    plate.rgb *= (1 + 0.12 * texture(plate.size, height / 2, g))[..., None]


def document(plate: Plate, g: Generator) -> None:
    """A page of a book, a letter or a poster as an exhibit: lines of writing on a sheet, some with a cut."""
    backdrop(plate, g)
    a, pad = plate.aspect, g.uniform(-0.02, 0.1)
    paper = (0.93, 0.9, float(g.uniform(0.7, 0.9)))
    panel(plate, rectangle(pad, pad, a - 2 * pad, 1 - 2 * pad), paper, g.uniform(0.75, 1.0), g, 0.04)
    x0, y, x1 = pad + a * g.uniform(0.05, 0.15), pad + 0.1, a - pad - a * g.uniform(0.05, 0.15)
    step = g.uniform(0.012, 0.045)
    if g.random() < 0.4:
        tall = g.uniform(0.15, 0.4)
        panel(plate, rectangle(x0, y, x1 - x0, tall), any_colour(g), 0.8, g, 0.5)
        y += tall + step
    while y < 1 - pad - 0.1:
        found = plate.window(x0, y, x0 + (x1 - x0) * g.uniform(0.6, 1), y + step * 0.55)
        y += step * float(g.choice([1, 1, 1, 1, 2]))
        if found:
            where, rows, columns = found
            strokes = g.random((rows.shape[0], columns.shape[1])) < g.uniform(0.3, 0.6)
            words = np.repeat(g.random(columns.shape[1] // 3 + 1) < 0.85, 3)[: columns.shape[1]]
            plate.paint(where, 0.8 * strokes * words, (0.15, 0.12, 0.1), np.ones(strokes.shape))


SUBJECTS = {
    "still life": still_life,
    "portrait": portrait,
    "crowd": crowd,
    "landscape": hills,
    "street": street,
    "room": room,
    "machine": works,
    "animal": beast,
    "rubble": rubble,
    "textile": textile,
    "document": document,
}
"""Painters of whole pictures by name."""
