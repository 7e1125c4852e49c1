"""What a manuscript's painter adds: framed miniatures, foliate borders, line fillers; RGB on white."""

import cv2
import numpy as np

from doc_detect.synthesis.art.initials import BLUE, GOLD, RED
from doc_detect.synthesis.art.render import painting, sky_mask, wash
from doc_detect.synthesis.art.shapes import Scene, blob
from doc_detect.synthesis.degrade import smooth_noise

Generator = np.random.Generator


def miniature(scene: Scene, height: int, width: int, g: Generator) -> np.ndarray:
    """Return a scene painted in a frame of bars, some with a chequered or gold sky and an arched top."""
    picture = (painting if g.random() < 0.85 else wash)(scene, height, width, g)
    if g.random() < 0.45:
        _diaper(picture, sky_mask(scene, height, width), g)
    if g.random() < 0.2:
        _arched(picture)
    thick = max(1, int(min(height, width) * g.uniform(0.01, 0.05)))
    if g.random() < 0.85:
        for colour, depth in (
            (GOLD, thick),
            ((RED, BLUE)[int(g.integers(2))], thick // 2),
            ((40, 30, 25), 1),
        ):
            if depth:
                cv2.rectangle(picture, (0, 0), (width - 1, height - 1), colour, 2 * depth - 1)
    return picture


def _diaper(picture: np.ndarray, sky: np.ndarray, g: Generator) -> None:
    """Replace the sky by the lozenges or the burnished gold of Gothic painting."""
    height, width = picture.shape[:2]
    y, x = np.ogrid[0:height, 0:width]
    cell = max(5, int(height / g.uniform(12, 30)))
    checks = ((x + y) // cell + (x - y) // cell) % 2 == 0
    first, second = ((BLUE, GOLD), (RED, BLUE), (GOLD, GOLD), (RED, GOLD))[int(g.integers(4))]
    picture[sky & checks] = first
    picture[sky & ~checks] = second


def _arched(picture: np.ndarray) -> None:
    height, width = picture.shape[:2]
    y, x = np.ogrid[0:height, 0:width]
    radius = width / 2
    outside = (y < radius) & ((x - radius) ** 2 + (y - radius) ** 2 > radius**2)
    picture[outside] = 255


def foliate_border(height: int, width: int, g: Generator) -> np.ndarray:
    """Return a strip of hairline vines with gold leaves, berries and flowers (a bookmaker's *vignetures*)."""
    canvas = np.full((max(8, height), max(8, width), 3), 255, np.uint8)
    height, width = canvas.shape[:2]
    if g.random() < 0.2:
        canvas[:] = (222, 190, 110)
    size = min(height, width)
    for _ in range(int(np.clip(3.5 * height * width / size**2, 4, 60))):
        at = (int(g.uniform(0, width)), int(g.uniform(0, height)))
        radius = int(size * g.uniform(0.12, 0.4))
        start = int(g.integers(360))
        cv2.ellipse(
            canvas,
            at,
            (radius, radius),
            0,
            start,
            start + int(g.integers(150, 330)),
            (60, 50, 45),
            1,
            cv2.LINE_AA,
        )
        for _ in range(int(g.integers(3, 9))):
            angle = g.uniform(0, 2 * np.pi)
            leaf = (at[0] + radius * np.cos(angle), at[1] + radius * np.sin(angle))
            _sprig(canvas, *leaf, max(1.5, size * g.uniform(0.02, 0.07)), g)
    if g.random() < 0.3:
        cv2.rectangle(canvas, (0, 0), (width - 1, height - 1), RED, 1)
    return canvas


def _sprig(canvas: np.ndarray, x: float, y: float, radius: float, g: Generator) -> None:
    colours = (GOLD, GOLD, (60, 90, 170), (190, 60, 60), (80, 130, 70), (230, 130, 140))
    colour = colours[int(g.integers(len(colours)))]
    outline = blob(x, y, radius, radius * g.uniform(0.5, 1), 0.2, g, 8).astype(np.int32)
    cv2.fillPoly(canvas, [outline], colour, cv2.LINE_AA)
    if g.random() < 0.5:
        cv2.polylines(canvas, [outline], True, (60, 45, 35), 1, cv2.LINE_AA)


def bar_border(height: int, width: int, g: Generator) -> np.ndarray:
    """Return an upright bar of gold and colour with ivy leaves at its ends and sides."""
    canvas = np.full((max(8, height), max(8, width), 3), 255, np.uint8)
    height, width = canvas.shape[:2]
    x = width // 2
    for offset, colour in ((0, GOLD), (max(1, width // 8), BLUE), (-max(1, width // 8), RED)):
        cv2.line(
            canvas,
            (x + offset, int(height * 0.03)),
            (x + offset, int(height * 0.97)),
            colour,
            max(1, width // 9),
        )
    for _ in range(int(g.integers(3, 14))):
        _sprig(canvas, g.uniform(0, width), g.uniform(0, height), max(2, width * g.uniform(0.08, 0.2)), g)
    for end in (0.04, 0.96):
        for _ in range(4):
            _sprig(
                canvas,
                x + g.normal(0, width * 0.25),
                height * end + g.normal(0, width * 0.2),
                max(2, width * 0.15),
                g,
            )
    return canvas


def line_filler(height: int, width: int, g: Generator) -> np.ndarray:
    """Return what fills a line that ends early: a painted bar, waves or zigzags of the pen, a chain of leaves."""
    height, width = max(5, height), max(12, width)
    canvas = np.full((height, width, 3), 255, np.uint8)
    colours = (RED, BLUE, GOLD)
    first, second = colours[int(g.integers(3))], colours[int(g.integers(2))]
    kind = int(g.integers(4))
    if kind == 0:
        return _filled_bar(canvas, first, g)
    x = np.arange(0, width, 2.0)
    cycles, middle = g.uniform(1.2, 3.5) / height, height / 2
    if kind == 1:
        swing = (
            np.sin(2 * np.pi * cycles * x) if g.random() < 0.5 else 2 * np.abs((x * cycles) % 1 - 0.5) * 2 - 1
        )
        for colour, way in ((first, 1), (second, -1))[: int(g.integers(1, 3))]:
            line = np.stack([x, middle + way * swing * (height / 2 - 2)], 1).astype(np.int32)
            cv2.polylines(canvas, [line], False, colour, max(1, height // 10), cv2.LINE_AA)
        return canvas
    cv2.line(canvas, (0, int(middle)), (width - 1, int(middle)), first, 1, cv2.LINE_AA)
    for at in np.arange(height / 2, width - height / 4, height * g.uniform(0.6, 1.2)):
        if kind == 2:
            side = float(g.choice([-1, 1])) * height * 0.22
            _sprig(canvas, at, middle + side, height * g.uniform(0.15, 0.26), g)
        else:
            cv2.circle(canvas, (int(at), int(middle)), max(1, int(height * 0.35)), second, -1, cv2.LINE_AA)
            cv2.circle(canvas, (int(at), int(middle)), max(1, int(height * 0.12)), GOLD, -1, cv2.LINE_AA)
    return canvas


def _filled_bar(canvas: np.ndarray, colour: tuple[int, int, int], g: Generator) -> np.ndarray:
    """Paint a bar with cells of another colour, dots or a wave in it, in place."""
    height, width = canvas.shape[:2]
    canvas[:] = colour
    other = ((GOLD, BLUE, RED), (BLUE, RED, (235, 225, 210)))[int(colour != GOLD)][int(g.integers(3))]
    step = max(4, int(height * g.uniform(0.6, 2.5)))
    if g.random() < 0.5:
        for at in range(0, width, 2 * step):
            canvas[:, at : at + step] = other
    for at in range(step // 2, width, step):
        cv2.circle(canvas, (at, height // 2), max(1, height // 6), (240, 232, 215), -1, cv2.LINE_AA)
    cv2.rectangle(canvas, (0, 0), (width - 1, height - 1), (70, 50, 35), 1)
    return canvas


def vignette(scene: Scene, height: int, width: int, g: Generator) -> np.ndarray:
    """Return a scene's things without frame or ground; its rearmost shape is left out."""
    picture = (painting if g.random() < 0.7 else wash)(scene, height, width, g)
    picture[sky_mask(scene, height, width)] = 255
    return picture


def drawing(scene: Scene, height: int, width: int, g: Generator) -> np.ndarray:
    """Return a pen drawing of a scene, as in a workshop book: brown lines, some wash."""
    picture = wash(scene, height, width, g)
    grey = picture.min(axis=2)
    fade = np.clip(smooth_noise(grey.shape, max(grey.shape) / 3, g) * 0.1 + 0.85, 0, 1)
    brown = np.array((95, 65, 40), np.float32)
    return (255 - (255 - grey[..., None]) * fade[..., None] * (255 - brown) / 255).astype(np.uint8)
