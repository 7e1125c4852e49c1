"""Render a scene as woodcut, engraving, painting, halftone or wash; all return [H, W, 3] uint8 on white."""

import math

import cv2
import numpy as np

from doc_detect.synthesis.art.shapes import Scene
from doc_detect.synthesis.degrade import smooth_noise

Generator = np.random.Generator
_SHIFT = 4  # cv2's fixed-point bits: sixteenths of a pixel
_BLACK = 0.06
"""Tones below this are printed solid."""


def _pixels(points: np.ndarray, height: int) -> np.ndarray:
    return np.round(points * height * 2**_SHIFT).astype(np.int32).reshape(-1, 1, 2)


def tone_map(scene: Scene, height: int, width: int) -> np.ndarray:
    """Return the scene's lightness [H, W] float32 in 0..1, without outlines."""
    tone = np.ones((height, width), np.float32)
    for shape in scene.shapes:
        cv2.fillPoly(tone, [_pixels(shape.points, height)], float(shape.tone), cv2.LINE_8, _SHIFT)
    return tone


def sky_mask(scene: Scene, height: int, width: int) -> np.ndarray:
    """Return where only the scene's rearmost shape is seen, [H, W] bool."""
    mask = np.ones((height, width), np.uint8)
    for shape in scene.shapes[1:]:
        cv2.fillPoly(mask, [_pixels(shape.points, height)], 0, cv2.LINE_8, _SHIFT)
    return mask > 0


def outlines(scene: Scene, height: int, width: int, weight: float) -> np.ndarray:
    """Return the visible outlines as black on white [H, W] uint8: later shapes hide earlier ones' lines."""
    lines = np.full((height, width), 255, np.uint8)
    for shape in scene.shapes:
        points = [_pixels(shape.points, height)]
        cv2.fillPoly(lines, points, 0 if shape.tone < _BLACK else 255, cv2.LINE_8, _SHIFT)
        if shape.edge:
            thick = max(1, round(weight * shape.edge))
            cv2.polylines(lines, points, True, 0, thick, cv2.LINE_AA, _SHIFT)
    return lines


def hatch(
    tone: np.ndarray, spacing: float, generator: Generator, layers: int = 3, warp: float = 6.0
) -> np.ndarray:
    """Turn lightness into hatching whose lines swell with darkness; [H, W] uint8, black on white.

    Each layer has a direction of its own and takes part where the tone is darker than its level, as an
    engraver lays a second and a third set of lines across the first in the shadows.
    """
    height, width = tone.shape
    y, x = np.ogrid[0:height, 0:width]
    wave = smooth_noise((height, width), max(height, width) / 3, generator) * generator.uniform(0, warp)
    ink = np.zeros((height, width), np.float32)
    angle = generator.uniform(0, math.pi)
    for layer in range(layers):
        level = (0.92, 0.6, 0.35)[layer]
        phase = (x * math.cos(angle) + y * math.sin(angle) + wave) * np.float32(2 * math.pi / spacing)
        wanted = np.clip((level - tone) / level * 1.25, 0, 1)  # share of the period that is black
        line = np.clip((np.cos(phase) - np.cos(np.pi * wanted)) * spacing / 4 + 0.5, 0, 1)
        ink = np.maximum(ink, np.where(wanted > 0.03, line, 0))
        angle += generator.uniform(0.6, 1.4)
    return (255 * (1 - np.maximum(ink, tone < _BLACK))).astype(np.uint8)


def _rgb(plane: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(plane, cv2.COLOR_GRAY2RGB)


def woodcut(scene: Scene, height: int, width: int, generator: Generator) -> np.ndarray:
    """Thick outlines, coarse parallel lines, some solid black."""
    weight = max(1.0, height / generator.uniform(110, 240))
    lines = outlines(scene, height, width, weight)
    tone = tone_map(scene, height, width)
    solid = tone < _BLACK
    tone = np.clip(tone * generator.uniform(0.55, 1.0) + generator.uniform(0.0, 0.25), 0, 1)
    if generator.random() < 0.35:  # cut by a less tidy hand
        rough = smooth_noise((height, width), max(4, height / generator.uniform(4, 14)), generator, 3)
        tone = np.clip(tone + generator.uniform(0.05, 0.2) * rough, 0.07, 1)
    tone[solid] = 0
    shading = hatch(
        tone, max(3.0, height / generator.uniform(45, 90)), generator, int(generator.integers(1, 4)), 3
    )
    return _rgb(cv2.min(lines, shading))


def engraving(scene: Scene, height: int, width: int, generator: Generator) -> np.ndarray:
    """Fine cross-hatching over a modelled tone, thin outlines."""
    soft = max(height, width) / generator.uniform(90, 300)
    tone = cv2.GaussianBlur(tone_map(scene, height, width), (0, 0), soft)
    clouds = smooth_noise((height, width), max(height, width) / 4, generator, 4)
    murk = generator.uniform(0.03, 0.22)
    tone = np.clip(tone + murk * clouds - generator.uniform(-0.2, 0.1), 0.03, 1)
    spacing = generator.uniform(2.6, 5.0) * max(1.0, height / 700)
    shading = hatch(tone, spacing, generator)
    lines = outlines(scene, height, width, max(1.0, height / generator.uniform(250, 500)))
    return _rgb(cv2.min(lines, shading))


def line_art(scene: Scene, height: int, width: int, generator: Generator) -> np.ndarray:
    """Outlines alone."""
    return _rgb(outlines(scene, height, width, max(1.0, height / generator.uniform(120, 350))))


def painting(scene: Scene, height: int, width: int, generator: Generator) -> np.ndarray:
    """Flat colours with modelling and dark contours, as in a miniature; fills its rectangle."""
    picture = np.full((height, width, 3), 235, np.uint8)
    for shape in scene.shapes:
        points = [_pixels(shape.points, height)]
        cv2.fillPoly(picture, points, shape.colour, cv2.LINE_AA, _SHIFT)
        if shape.edge:
            dark = tuple(int(channel * 0.45) for channel in shape.colour)
            cv2.polylines(picture, points, True, dark, max(1, height // 250), cv2.LINE_AA, _SHIFT)
    light = 1 + 0.09 * smooth_noise((height, width), max(height, width) / 10, generator, 3)
    return np.clip(picture * light[..., None], 0, 255).astype(np.uint8)


def photograph(scene: Scene, height: int, width: int, generator: Generator) -> np.ndarray:
    """A grey or coloured photograph with soft light, often as halftone dots."""
    tone = cv2.GaussianBlur(
        tone_map(scene, height, width), (0, 0), max(height, width) / generator.uniform(60, 200)
    )
    light = 0.12 * smooth_noise((height, width), max(height, width) / 3, generator, 4)
    grain = generator.standard_normal((height, width), dtype=np.float32) * np.float32(0.02)
    tone = np.clip(tone * generator.uniform(0.6, 0.95) + light + grain, 0.02, 0.97)
    if generator.random() < 0.4:
        return _rgb(halftone(tone, generator.uniform(2.5, 6), generator))
    if generator.random() < 0.3:
        tint = generator.uniform(0.7, 1.0, 3)
        return (255 * np.clip(tone[..., None] ** (1 / tint), 0, 1)).astype(np.uint8)
    return _rgb((tone * 255).astype(np.uint8))


def halftone(tone: np.ndarray, spacing: float, generator: Generator) -> np.ndarray:
    """Turn lightness into dots on a turned grid; [H, W] uint8."""
    y, x = np.ogrid[0 : tone.shape[0], 0 : tone.shape[1]]
    angle = generator.uniform(0.3, 1.2)
    u = (x * math.cos(angle) + y * math.sin(angle)) * (2 * math.pi / spacing)
    v = (y * math.cos(angle) - x * math.sin(angle)) * (2 * math.pi / spacing)
    screen = (np.cos(u) + np.cos(v)) / 4 + 0.5
    return (np.clip((tone - screen) * spacing + 0.5, 0, 1) * 255).astype(np.uint8)


def wash(scene: Scene, height: int, width: int, generator: Generator) -> np.ndarray:
    """Pen lines over pale washes of grey or colour."""
    lines = outlines(scene, height, width, max(1.0, height / 400))
    colour = cv2.GaussianBlur(painting(scene, height, width, generator), (0, 0), 2)
    pale = 255 - ((255 - colour.astype(np.uint16)) * int(generator.integers(40, 80)) // 100).astype(np.uint8)
    return cv2.min(pale, _rgb(lines))


def coloured_woodcut(scene: Scene, height: int, width: int, generator: Generator) -> np.ndarray:
    """A woodcut coloured by hand."""
    colour = cv2.GaussianBlur(painting(scene, height, width, generator), (0, 0), 1.5)
    pale = 255 - ((255 - colour.astype(np.uint16)) * int(generator.integers(60, 100)) // 100).astype(np.uint8)
    return cv2.min(pale, woodcut(scene, height, width, generator))


STYLES = {
    "woodcut": woodcut,
    "coloured": coloured_woodcut,
    "engraving": engraving,
    "line": line_art,
    "painting": painting,
    "photograph": photograph,
    "wash": wash,
}
"""Renderers by name."""
