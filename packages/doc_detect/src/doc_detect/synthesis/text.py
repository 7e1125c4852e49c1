"""Set running text, headings and notes in type or in a scribe's hand."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from PIL import Image, ImageDraw

from doc_detect.synthesis.canvas import Box, Canvas, union
from doc_detect.synthesis.fonts import load
from doc_detect.synthesis.words import Writer

Generator = np.random.Generator
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Style:
    """How a text is set."""

    face: str
    """Path of the font."""
    size: float
    """Font size, px."""
    leading: float
    """Distance from baseline to baseline, px."""
    colour: Colour = (25, 22, 20)
    stretch: float = 1.0
    """Width of the letters against the font's own."""
    slant: float = 0.0
    """Shear: how far the top leans right for each pixel of height."""
    wobble: float = 0.0
    """Standard deviation of the baseline, px: a hand's unsteadiness."""

    def scaled(self, factor: float) -> "Style":
        """Return the style with size and leading multiplied."""
        return replace(self, size=self.size * factor, leading=self.leading * factor)


@dataclass(frozen=True)
class Setting:
    """How lines fill their measure."""

    justify: bool = True
    verse: bool = False
    """Lines begin with a capital, end where they like, and every other one may be indented."""
    centred: bool = False
    taper: bool = False
    """Lines shorten towards a point, as at the end of a chapter; goes with ``centred``."""
    hole: tuple[float, int] = (0.0, 0)
    """Width (px) and number of lines left free at the upper left for an initial."""
    capitals: int = 0
    """Words at the beginning that are set in capitals."""
    short_last: bool = True
    rubric: float = 0.0
    """Share of lines in red."""
    versals: float = 0.0
    """Distance (px) at which the first letter of each line stands apart, as in verse manuscripts; 0 for none."""
    accent_share: float = 0.0
    """Share of words whose first letter is a capital set off by colour, as a rubricator does; they are no initials."""
    accents: tuple[Colour, ...] = ()
    """The colours of those, in turn."""
    signs: str = ""
    """Signs of the font that stand in colour before half of those words."""


RUBRIC: Colour = (180, 45, 38)
BEGINNINGS = ("que", "qui", "quand", "qu'il", "quoy", "quod", "quis")
"""Words that verses often begin with, whose capital hangs below the line."""


class _Layer:
    """One colour's lines of a block, drawn unstretched and upright."""

    def __init__(self, width: float, height: float, style: Style):
        self.style, self.height = style, height
        self.font = load(style.face, round(style.size))
        self.image = Image.new("L", (max(8, int(width / style.stretch)), max(8, int(height))), 0)
        self.draw = ImageDraw.Draw(self.image)

    def coverage(self, width: int) -> np.ndarray:
        """Return the drawn ink [H, width] uint8, stretched and slanted."""
        pixels = np.asarray(self.image)
        size = (width, pixels.shape[0])
        if self.style.slant:
            sx = width / pixels.shape[1]
            matrix = np.array(
                [[sx, -self.style.slant, self.style.slant * size[1] / 2], [0, 1, 0]], np.float32
            )
            return cv2.warpAffine(pixels, matrix, size, flags=cv2.INTER_LINEAR)
        return pixels if pixels.shape[1] == width else cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def set_block(
    canvas: Canvas,
    area: tuple[float, float, float, float],
    style: Style,
    setting: Setting,
    writer: Writer,
    generator: Generator,
) -> Box | None:
    """Fill an area (x, y, width, height) with as many lines as fit; return the box of their ink."""
    x, y, width, height = area
    count = int(height / style.leading + 0.02)
    if count < 1 or width < style.size * 2:
        return None
    margin = style.size * 0.6  # room for swashes that reach out of the measure
    layers = {style.colour: _Layer(width + 2 * margin, height + style.size, style)}
    accents = [
        layers.setdefault(colour, _Layer(width + 2 * margin, height + style.size, style))
        for colour in setting.accents
        if setting.accent_share or setting.versals
    ]
    words = iter(_capitalised(writer.words(int(count * width / style.size * 0.9) + 20), setting.capitals))
    for line in range(count):
        red = generator.random() < setting.rubric
        colour = RUBRIC if red else style.colour
        if colour not in layers:
            layers[colour] = _Layer(width + 2 * margin, height + style.size, style)
        last = line == count - 1
        _set_line(layers[colour], accents, words, line, last, width, margin, style, setting, generator)
    return _print_layers(canvas, layers, x - margin, y, round(width + 2 * margin))


def _capitalised(words: list[str], count: int) -> list[str]:
    return [word.upper() if k < count else word for k, word in enumerate(words)]


def _set_line(
    layer: _Layer,
    accents: list[_Layer],
    words: Iterator[str],
    line: int,
    last: bool,
    width: float,
    margin: float,
    style: Style,
    setting: Setting,
    generator: Generator,
) -> None:
    start = setting.hole[0] if line < setting.hole[1] else 0.0
    measure = (width - start) / style.stretch
    filled = measure
    if setting.verse:
        start += style.size * float(generator.choice([0, 0, 0, 1.2]))
        filled = measure * generator.uniform(0.6, 0.95)
    elif last and setting.short_last:
        filled = measure * generator.uniform(0.15, 1.0)
    if setting.taper:
        filled = measure * max(0.12, 1 - (line + 1) * style.leading / layer.height)
    taken, lengths = _take(words, layer, min(filled, measure - start / 4))
    y = (line + 0.82) * style.leading + generator.normal(0, style.wobble)
    if not taken:
        return
    if setting.verse or line == 0 and not setting.hole[1]:
        taken[0] = _beginning(taken[0], setting, generator)
        lengths[0] = layer.font.getlength(taken[0])
    gap = layer.font.getlength(" ")
    spare = measure - sum(lengths) - gap * (len(taken) - 1)
    x = (margin + start) / style.stretch
    if setting.centred:
        x += spare / 2
    elif setting.justify and not setting.verse and not (last and setting.short_last) and len(taken) > 1:
        gap += spare / (len(taken) - 1)
    if setting.versals:
        apart = accents[line % len(accents)] if accents else layer
        _set_apart(apart, taken, (x - setting.versals, y))
    _write_words(layer, accents, taken, lengths, (x, y, gap), setting, generator)


def _write_words(
    layer: _Layer,
    accents: list[_Layer],
    words: list[str],
    lengths: list[float],
    start: tuple[float, float, float],
    setting: Setting,
    generator: Generator,
) -> None:
    """Write words from (x, y) on with a gap between them, some with a coloured letter."""
    x, y, gap = start
    for word, length in zip(words, lengths, strict=True):
        if accents and generator.random() < setting.accent_share:
            x += _accented(layer, accents, word, (x, y), setting, generator) + gap
            continue
        layer.draw.text((x, y), word, font=layer.font, fill=255, anchor="ls")
        x += length + gap


def _set_apart(layer: _Layer, taken: list[str], at: tuple[float, float]) -> None:
    """Write a line's first letter at a place of its own, and take it from the line."""
    layer.draw.text(at, taken[0][:1].upper(), font=layer.font, fill=255, anchor="ls")
    taken[0] = taken[0][1:] or taken[0]


def _accented(
    layer: _Layer,
    accents: list[_Layer],
    word: str,
    at: tuple[float, float],
    setting: Setting,
    generator: Generator,
) -> float:
    """Write a word whose first letter, or a sign before it, is in colour; return how wide it came out."""
    accent = accents[int(generator.integers(len(accents)))]
    signed = setting.signs and generator.random() < 0.5
    first = str(generator.choice(list(setting.signs))) if signed else word[:1].upper()
    rest = f" {word}" if signed else word[1:]
    font = load(layer.style.face, round(layer.style.size * generator.uniform(0.95, 1.3)))
    accent.draw.text(at, first, font=font, fill=255, anchor="ls")
    start = font.getlength(first)
    layer.draw.text((at[0] + start, at[1]), rest, font=layer.font, fill=255, anchor="ls")
    return start + layer.font.getlength(rest)


def _beginning(word: str, setting: Setting, generator: Generator) -> str:
    """Return the first word of a line with a capital, which is no initial."""
    if setting.verse and generator.random() < 0.15:
        word = str(generator.choice(BEGINNINGS))
    return word[:1].upper() + word[1:]


def _take(words: Iterator[str], layer: _Layer, measure: float) -> tuple[list[str], list[float]]:
    """Take words while they fit the measure; the last may be broken by a hyphen."""
    taken, lengths, used = [], [], 0.0
    gap = layer.font.getlength(" ")
    for word in words:
        length = layer.font.getlength(word)
        if used + length > measure:
            room = measure - used
            part = word[: int(len(word) * room / length)] + "-"
            if 3 < len(part) <= len(word):
                taken.append(part)
                lengths.append(layer.font.getlength(part))
            break
        taken.append(word)
        lengths.append(length)
        used += length + gap
    return taken, lengths


def _print_layers(canvas: Canvas, layers: dict[Colour, _Layer], x: float, y: float, width: int) -> Box | None:
    boxes = []
    for colour, layer in layers.items():
        coverage = layer.coverage(width)
        ink = tinted(coverage, colour)
        box = canvas.place(ink, x, y)
        boxes += [box] if box else []
    if not boxes:
        return None
    return union(boxes)


def tinted(coverage: np.ndarray, colour: Colour) -> np.ndarray:
    """Return coverage as ink of a colour, through one look-up for each channel."""
    steps = np.arange(256, dtype=np.float32)[:, None] / 255
    table = (255 - steps * (255 - np.array(colour, np.float32))).astype(np.uint8)
    return cv2.LUT(cv2.merge([coverage] * 3), table.reshape(1, 256, 3))


def set_line(
    canvas: Canvas, text: str, x: float, y: float, style: Style, label: str | None = None, align: float = 0.0
) -> Box | None:
    """Set one line with its upper edge at y.

    Args:
        canvas: The page.
        text: What to set.
        x: The left edge for ``align`` 0, the middle for 0.5, the right edge for 1; px.
        y: Upper edge of the line's em square, px.
        style: How.
        label: Class to record it under.
        align: See ``x``.

    Returns:
        The box of its ink.
    """
    font = load(style.face, round(style.size))
    width = font.getlength(text) * style.stretch
    layer = _Layer(width + style.size, style.size * 1.6, style)
    baseline = style.size * 0.95
    layer.draw.text(
        (style.size * 0.3 / style.stretch, baseline), text, font=layer.font, fill=255, anchor="ls"
    )
    ink = tinted(layer.coverage(max(8, round(width + style.size))), style.colour)
    return canvas.place(ink, x - align * width - style.size * 0.3, y, label)


def fitted(text: str, style: Style, width: float) -> str:
    """Return the beginning of a text that is at most ``width`` wide."""
    font = load(style.face, round(style.size))
    while len(text) > 1 and font.getlength(text) * style.stretch > width:
        text = text[:-1]
    return text.strip()
