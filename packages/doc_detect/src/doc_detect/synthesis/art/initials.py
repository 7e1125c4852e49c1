"""Initials: plain, woodcut on an ornamental ground, historiated, lombardic, pen-flourished and painted.

Functions return RGB [H, W, 3] uint8 on white, with the height asked for and a width of their own.
"""

import math
from typing import Protocol

import cv2
import numpy as np

from doc_detect.synthesis.art import ornament
from doc_detect.synthesis.art.render import painting, woodcut
from doc_detect.synthesis.art.shapes import Scene, any_scene
from doc_detect.synthesis.fonts import load

Generator = np.random.Generator
LETTERS = "AAABCCDDDEEFGHIILLLMMNNOPPQQRSSTVV"
RED, BLUE = (178, 44, 36), (44, 62, 148)
GOLD = (206, 160, 62)


def glyph(letter: str, height: int, face: str) -> np.ndarray:
    """Return a letter as coverage [H, W] uint8 (255 is ink), cut to its ink and scaled to ``height``."""
    mask = load(face, max(24, int(height * 1.3))).getmask(letter)
    pixels = np.array(mask, np.uint8).reshape(mask.size[1], mask.size[0])
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    if not len(rows):
        return np.full((height, height), 255, np.uint8)
    pixels = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    width = int(np.clip(height * pixels.shape[1] / pixels.shape[0], height * 0.25, height * 1.6))
    return cv2.resize(pixels, (max(4, width), height), interpolation=cv2.INTER_AREA)


def _coloured(coverage: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    strength = coverage[..., None].astype(np.float32) / 255
    return (255 - strength * (255 - np.array(colour, np.float32))).astype(np.uint8)


def plain(letter: str, height: int, face: str, colour: tuple[int, int, int]) -> np.ndarray:
    """Return the bare letter."""
    return _coloured(glyph(letter, height, face), colour)


def paraph(height: int, colour: tuple[int, int, int], g: Generator) -> np.ndarray:
    """Return a painted paraph: a bowl on two stems with a bar that reaches over the line."""
    height = max(8, height)
    wide = int(height * g.uniform(0.6, 1.3))
    coverage = np.zeros((height, wide), np.uint8)
    bowl = (int(height * g.uniform(0.22, 0.4)), int(height * 0.3))
    centre = (bowl[0] + 1, int(height * g.uniform(0.33, 0.45)))
    thick = max(1, round(height * g.uniform(0.06, 0.12)))
    cv2.ellipse(coverage, centre, bowl, 0, 90, 270, 255, -1, cv2.LINE_AA)
    for k in range(int(g.integers(1, 3))):
        x = centre[0] + k * (thick + max(1, height // 10))
        cv2.line(coverage, (x, centre[1] - bowl[1]), (x, int(height * g.uniform(0.8, 0.97))), 255, thick)
    reach = wide - 1 if g.random() < 0.5 else min(wide - 1, centre[0] + 3 * thick)
    cv2.line(coverage, (centre[0], centre[1] - bowl[1]), (reach, centre[1] - bowl[1]), 255, thick)
    return _coloured(coverage, colour)


def versal(letter: str, height: int, face: str, g: Generator) -> np.ndarray:
    """Return a capital of one line as in books of hours: gold on blue or red, or coloured among pen-strokes."""
    height = max(8, height)
    if g.random() < 0.5:  # penned
        main, other = ((RED, BLUE), (BLUE, RED), (GOLD, BLUE), (BLUE, RED))[int(g.integers(4))]
        art = plain(letter, height, face, main)
        canvas = np.full((height, art.shape[1] + height // 2, 3), 255, np.uint8)
        canvas[:, height // 4 : height // 4 + art.shape[1]] = art
        for _ in range(int(g.integers(0, 5))):
            x = int(g.uniform(0, canvas.shape[1]))
            sway = int(g.normal(0, height * 0.15))
            cv2.line(
                canvas, (x, int(height * g.uniform(0, 0.4))), (x + sway, height - 1), other, 1, cv2.LINE_AA
            )
        return canvas
    field, ink = ((BLUE, GOLD), (RED, GOLD), (GOLD, BLUE), (BLUE, (235, 225, 210)))[int(g.integers(4))]
    mask = glyph(letter, max(6, int(height * g.uniform(0.7, 0.95))), face)
    wide = mask.shape[1] + max(2, height // 5)
    canvas = np.full((height, wide, 3), field, np.uint8)
    if g.random() < 0.5:
        half = (RED, BLUE)[int(g.integers(2))]
        canvas[:, wide // 2 :] = half
    y, x = (height - mask.shape[0]) // 2, (wide - mask.shape[1]) // 2
    canvas[y : y + mask.shape[0], x : x + mask.shape[1]][mask > 110] = ink
    return canvas


class Grounds(Protocol):
    """What the ground of a woodcut initial is filled with."""

    def leafwork(self, height: int, width: int, generator: Generator) -> np.ndarray:
        """Return a field of ornament [H, W] uint8."""
        ...

    def scene(self, aspect: float, generator: Generator) -> Scene:
        """Return a scene."""
        ...


def block(
    letter: str, height: int, face: str, g: Generator, colour: tuple[int, int, int], grounds: Grounds
) -> np.ndarray:
    """Return a woodcut block: the letter on foliage, on a scene (historiated) or in a factotum's hole."""
    width = int(height * g.uniform(0.85, 1.12))
    drawn = g.random()
    if drawn < 0.62:
        ground = grounds.leafwork(height, width, g)
    elif drawn < 0.85:
        ground = woodcut(grounds.scene(width / height, g), height, width, g)[..., 0]
    else:
        ground = ornament.band(height, width, g)
        hole = int(min(height, width) * 0.22)
        ground[hole:-hole, hole:-hole] = 255
    ground = ground[:height, :width]
    if g.random() < 0.45:
        ground = 255 - ground
    ground = _set_letter(ground, letter, face, 0.6 if drawn > 0.85 else g.uniform(0.78, 1.0), g)
    if g.random() < 0.7:
        cv2.rectangle(ground, (0, 0), (ground.shape[1] - 1, height - 1), 0, int(g.integers(1, 3)))
    return _coloured(255 - ground, colour)


def _set_letter(ground: np.ndarray, letter: str, face: str, share: float, g: Generator) -> np.ndarray:
    """Cut the letter into the ground with a contour that sets it off."""
    height, width = ground.shape
    mask = glyph(letter, int(height * share), face)
    if mask.shape[1] > width * share:
        mask = cv2.resize(mask, (int(width * share), mask.shape[0]))
    y, x = (height - mask.shape[0]) // 2, (width - mask.shape[1]) // 2
    full = np.zeros(ground.shape, np.uint8)
    full[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
    ring = max(1, height // 22)
    halo = cv2.dilate(full, np.ones((2 * ring + 1, 2 * ring + 1), np.uint8))
    paper = 255 if g.random() < 0.6 else 0
    ground = np.where(halo > 127, 255 - paper, ground)
    return np.where(full > 127, paper, ground).astype(np.uint8)


def flourished(letter: str, height: int, face: str, g: Generator) -> np.ndarray:
    """Return a manuscript's letter in red or blue on a square of pen-work in the other colour."""
    main, other = (RED, BLUE) if g.random() < 0.5 else (BLUE, RED)
    if g.random() < 0.15:
        main = GOLD
    mask = glyph(letter, height, face)
    pad = int(height * g.uniform(0.02, 0.2))
    canvas = np.full((height + 2 * pad, mask.shape[1] + 2 * pad, 3), 255, np.uint8)
    _penwork(canvas, other, g)
    halo = cv2.dilate(mask, np.ones((3, 3), np.uint8))
    place = canvas[pad : pad + height, pad : pad + mask.shape[1]]
    place[halo > 100] = 255
    if g.random() < 0.2:  # a parti-coloured letter
        half = mask.copy()
        half[:, mask.shape[1] // 2 :] = 0
        np.minimum(place, _coloured(mask - half, other), out=place)
        mask = half
    np.minimum(place, _coloured(mask, main), out=place)
    return canvas


def _penwork(canvas: np.ndarray, colour: tuple[int, int, int], g: Generator) -> None:
    """Fill a field with the fine parallel lines, coils and beads of a flourisher's pen."""
    height, width = canvas.shape[:2]
    for _ in range(int(g.choice([0, 0, 2, 4]))):  # lines that hug the field's sides
        inset = g.uniform(0.02, 0.3)
        top, left = int(height * inset * 0.5), int(width * inset)
        cv2.rectangle(canvas, (left, top), (width - left, height - top), colour, 1, cv2.LINE_AA)
    for _ in range(int(g.integers(8, 30))):
        at = (int(g.uniform(0, width)), int(g.uniform(0, height)))
        radius = max(2, int(height * g.uniform(0.03, 0.12)))
        start = int(g.integers(360))
        cv2.ellipse(canvas, at, (radius, radius), 0, start, start + 270, colour, 1, cv2.LINE_AA)
        if g.random() < 0.4:
            cv2.circle(canvas, at, max(1, radius // 3), colour, 1, cv2.LINE_AA)


def pen_tail(canvas: np.ndarray, x: int, y: int, length: int, g: Generator) -> None:
    """Draw the flourish that runs up or down the margin from an initial, on an RGB page, in place."""
    colours = (RED, BLUE)
    way = int(math.copysign(1, length))
    strands = int(g.integers(1, 4))
    for strand in range(strands):
        colour = colours[strand % 2]
        steps = np.linspace(0, abs(length) * g.uniform(0.6, 1), 24)
        sway = np.cumsum(g.normal(0, 0.35, 24)) + strand * 2
        points = np.stack([x + sway, y + way * steps], axis=1)
        cv2.polylines(canvas, [points.astype(np.int32)], False, colour, 1, cv2.LINE_AA)
        for point in points[:: int(g.integers(2, 6))]:
            radius = int(g.integers(1, 4))
            cv2.ellipse(
                canvas,
                (int(point[0]) - radius, int(point[1])),
                (radius, radius),
                0,
                0,
                280,
                colour,
                1,
                cv2.LINE_AA,
            )


def painted(letter: str, height: int, face: str, g: Generator) -> np.ndarray:
    """Return an illuminated initial: a coloured letter on a gold or patterned field, sometimes with a scene."""
    width = int(height * g.uniform(0.85, 1.1))
    field = np.full(
        (height, width, 3), GOLD if g.random() < 0.5 else (RED, BLUE)[int(g.integers(2))], np.uint8
    )
    mask = glyph(letter, int(height * 0.86), face)
    mask = cv2.resize(mask, (min(mask.shape[1], int(width * 0.86)), mask.shape[0]))
    y, x = (height - mask.shape[0]) // 2, (width - mask.shape[1]) // 2
    inner = field[y : y + mask.shape[0], x : x + mask.shape[1]]
    hole = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((height // 2 + 1, height // 2 + 1), np.uint8))
    scene = painting(any_scene(inner.shape[1] / inner.shape[0], g), *inner.shape[:2], g)
    filled = scene if g.random() < 0.4 and height > 40 else _vine(inner.shape[0], inner.shape[1], g)
    inner[hole > 127] = filled[hole > 127]
    colour = np.array(((60, 80, 170), (190, 60, 60), (230, 215, 225), (150, 70, 120))[int(g.integers(4))])
    shade = cv2.GaussianBlur(mask, (0, 0), max(1.0, height / 30)).astype(np.float32)[..., None] / 255
    inner[mask > 127] = np.clip(colour * (0.6 + 0.55 * shade), 0, 255).astype(np.uint8)[mask > 127]
    cv2.rectangle(field, (0, 0), (width - 1, height - 1), (60, 40, 30), max(1, height // 40))
    return field


def _vine(height: int, width: int, g: Generator) -> np.ndarray:
    """Return white vine on red, blue or green, the usual filling of small illuminated initials."""
    vine = ornament.foliage(height, width, g)[:height, :width]
    ground = np.array(((150, 50, 50), (50, 70, 140), (60, 110, 80))[int(g.integers(3))], np.uint8)
    leaf = np.array(((235, 225, 205), (90, 140, 90), (205, 160, 70))[int(g.integers(3))], np.uint8)
    return np.where(vine[..., None] > 127, ground, leaf)


def choose_letter(g: Generator) -> str:
    """Draw a letter, common ones more often."""
    return LETTERS[int(g.integers(len(LETTERS)))]
