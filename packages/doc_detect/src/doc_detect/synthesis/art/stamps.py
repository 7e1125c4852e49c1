"""Library stamps, bookplates' marks and wax seals: RGB on white."""

import math

import cv2
import numpy as np

from doc_detect.synthesis.art.ornament import any_motif
from doc_detect.synthesis.fonts import load

Generator = np.random.Generator
INKS = ((178, 40, 40), (40, 40, 45), (50, 60, 150), (110, 40, 90), (60, 100, 80))
NAMES = (
    "BIBLIOTHEQUE",
    "BIBLIOTHECA REGIA",
    "IMPERIALE",
    "ROYALE",
    "NATIONALE",
    "LIBRARY",
    "MUSEUM",
    "UNIVERSITAS",
)
NAMES += ("COLLEGII", "SOCIETAS", "DE LA VILLE", "EX LIBRIS", "PUBLICA", "ARCHIVES", "DON", "RESERVE")


def stamp(size: int, face: str, g: Generator) -> np.ndarray:
    """Return an oval, round or oblong stamp about ``size`` pixels wide, inked unevenly, most a little tilted."""
    ratio = float(g.choice([1.0, 1.0, 0.78, 0.7, 1.3]))
    width, height = size, max(8, int(size * ratio))
    coverage = np.zeros((height, width), np.uint8)
    if g.random() < 0.85:
        _round(coverage, face, g)
    else:
        _oblong(coverage, face, g)
    if g.random() < 0.7:
        coverage = _tilted(coverage, float(g.normal(0, 14)))
    height, width = coverage.shape
    if g.random() < 0.3:
        coverage = (coverage * _lifted((height, width), g)).astype(np.uint8)
    wear = np.clip(g.normal(0.85, 0.12, (height // 6 + 2, width // 6 + 2)), 0.3, 1).astype(np.float32)
    coverage = coverage * cv2.resize(wear, (width, height)) * g.uniform(0.55, 1.0)
    colour = np.array(INKS[int(g.choice([0, 0, 0, 1, 1, 2, 3, 4]))], np.float32)
    return (255 - coverage[..., None] / 255 * (255 - colour)).astype(np.uint8)


def _tilted(coverage: np.ndarray, degrees: float) -> np.ndarray:
    """Return a stamp turned about its centre, on as much ground as it then needs."""
    height, width = coverage.shape
    cosine, sine = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    wide, tall = math.ceil(width * cosine + height * sine), math.ceil(width * sine + height * cosine)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    matrix[:, 2] += ((wide - width) / 2, (tall - height) / 2)
    return cv2.warpAffine(coverage, matrix, (wide, tall))


def _lifted(size: tuple[int, int], g: Generator) -> np.ndarray:
    """Return how much ink a stamp leaves that was pressed on one side, 0.15 to 1, [H, W] float32."""
    y, x = np.mgrid[-1 : 1 : size[0] * 1j, -1 : 1 : size[1] * 1j]
    turn = g.uniform(0, 2 * math.pi)
    slope = x * math.cos(turn) + y * math.sin(turn) + g.uniform(0.2, 0.9)
    return np.clip(slope * g.uniform(1, 2.5), 0.15, 1).astype(np.float32)


def _pick_name(g: Generator) -> str:
    return NAMES[int(g.integers(len(NAMES)))]


def _round(coverage: np.ndarray, face: str, g: Generator) -> None:
    height, width = coverage.shape
    centre, thick = (width // 2, height // 2), max(1, width // 50)
    axes = (width // 2 - thick, height // 2 - thick)
    cv2.ellipse(coverage, centre, axes, 0, 0, 360, 255, thick, cv2.LINE_AA)
    for ring in (0.9, 0.62)[: int(g.integers(0, 3))]:
        cv2.ellipse(
            coverage,
            centre,
            tuple(int(a * ring) for a in axes),
            0,
            0,
            360,
            255,
            max(1, thick // 2),
            cv2.LINE_AA,
        )
    _round_text(coverage, f"{_pick_name(g)} {_pick_name(g)} ", face, axes, g)
    drawn = g.random()
    if drawn < 0.35:  # arms, a crown or a beast
        side = max(8, int(min(axes) * g.uniform(0.6, 1.1)))
        emblem = 255 - any_motif(side, side, g)
        emblem = emblem[: height - 2, : width - 2]
        y, x = (height - emblem.shape[0]) // 2, (width - emblem.shape[1]) // 2
        place = coverage[y : y + emblem.shape[0], x : x + emblem.shape[1]]
        np.maximum(place, emblem if emblem.ndim == 2 else emblem.max(axis=2), out=place)
    elif drawn < 0.6:
        for point in (90, 210, 330):
            at = (
                int(width / 2 + width * 0.13 * math.cos(math.radians(point))),
                int(height / 2 - height * 0.13 * math.sin(math.radians(point))),
            )
            cv2.drawMarker(coverage, at, 255, int(g.integers(0, 6)), max(3, width // 7), thick)
    elif drawn < 0.9:
        _centre_text(coverage, str(g.choice(["B.R", "R.F", "M.S", "1873", "B.N", "N", "L"])), face, 0.3)


def _round_text(coverage: np.ndarray, text: str, face: str, axes: tuple[int, int], g: Generator) -> None:
    size = max(5, int(min(axes) * 0.26))
    font = load(face, size)
    for k, letter in enumerate(text):
        mask = font.getmask(letter)
        if not all(mask.size):
            continue
        glyph = np.array(mask, np.uint8).reshape(mask.size[1], mask.size[0])
        angle = 2 * math.pi * k / len(text) - math.pi / 2
        _turned(coverage, glyph, axes, angle)


def _turned(coverage: np.ndarray, glyph: np.ndarray, axes: tuple[int, int], angle: float) -> None:
    """Paste a letter on the ring, its foot towards the centre."""
    side = int(math.hypot(*glyph.shape)) + 2
    square = np.zeros((side, side), np.uint8)
    y, x = (side - glyph.shape[0]) // 2, (side - glyph.shape[1]) // 2
    square[y : y + glyph.shape[0], x : x + glyph.shape[1]] = glyph
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), -math.degrees(angle) - 90, 1)
    square = cv2.warpAffine(square, matrix, (side, side))
    top = int(coverage.shape[0] / 2 + axes[1] * 0.77 * math.sin(angle) - side / 2)
    left = int(coverage.shape[1] / 2 + axes[0] * 0.77 * math.cos(angle) - side / 2)
    place = coverage[max(top, 0) : top + side, max(left, 0) : left + side]
    part = square[: place.shape[0], : place.shape[1]]
    np.maximum(place, part, out=place)


def _centre_text(coverage: np.ndarray, text: str, face: str, share: float) -> None:
    height, width = coverage.shape
    mask = load(face, max(6, int(height * share))).getmask(text)
    if not all(mask.size):
        return
    glyphs = np.array(mask, np.uint8).reshape(mask.size[1], mask.size[0])
    glyphs = glyphs[:height, :width]
    y, x = (height - glyphs.shape[0]) // 2, (width - glyphs.shape[1]) // 2
    coverage[y : y + glyphs.shape[0], x : x + glyphs.shape[1]] = glyphs


def _oblong(coverage: np.ndarray, face: str, g: Generator) -> None:
    height, width = coverage.shape
    cv2.rectangle(coverage, (1, 1), (width - 2, height - 2), 255, max(1, width // 50))
    lines = int(g.integers(1, 4))
    for k in range(lines):
        part = coverage[int(height * (k + 0.08) / lines) : int(height * (k + 0.95) / lines)]
        _centre_text(
            part,
            _pick_name(g)[: int(g.integers(4, 13))],
            face,
            min(0.55, 1.6 * width / max(part.shape[0], 1) / 12),
        )
