"""What a camera records besides pages: boards, targets, rulers, hands, bindings, empty leaves. Nothing on them is labelled."""

import math

import cv2
import numpy as np

from doc_detect.synthesis.art import fleurons, ornament
from doc_detect.synthesis.canvas import Canvas
from doc_detect.synthesis.clutter import finger, ruler, target, weight
from doc_detect.synthesis.degrade import smooth_noise
from doc_detect.synthesis.layouts import furniture
from doc_detect.synthesis.layouts.materials import Materials
from doc_detect.synthesis.text import Style, fitted, set_line

Generator = np.random.Generator
Colour = tuple[int, int, int]
_BOARD = (
    "START",
    "END",
    "FIN",
    "DEBUT",
    "MICROFILM",
    "REEL",
    "ROLL",
    "TARGET",
    "RETAKE",
    "INCOMPLETE",
    "SUITE",
    "1:12",
)
_LEATHERS: tuple[Colour, ...] = (
    (92, 58, 36),
    (60, 38, 28),
    (130, 88, 52),
    (105, 40, 32),
    (40, 52, 40),
    (35, 32, 32),
    (190, 165, 125),
)
_CLOTHS: tuple[Colour, ...] = (
    (60, 90, 80),
    (120, 40, 40),
    (50, 60, 100),
    (150, 140, 120),
    (90, 85, 75),
    (30, 30, 34),
)


def page(height: int, materials: Materials, g: Generator) -> Canvas:
    """Return a picture of something that is no page, without any object."""
    kinds = (board, chart, targets, handled, cover, spine, marbled, leaf, pastedown, slip, folder, glass)
    shares = (0.2, 0.07, 0.13, 0.06, 0.13, 0.05, 0.06, 0.13, 0.05, 0.05, 0.04, 0.03)
    canvas = Canvas.blank(height, int(height * g.uniform(0.6, 1.35)), parchment=g.random() < 0.2)
    kinds[int(g.choice(len(kinds), p=shares))](canvas, materials, g)
    return canvas


def _ground(canvas: Canvas, colour: Colour, rough: float, cell: float, g: Generator) -> None:
    """Fill the picture with a colour and clouds of a size (px), in place."""
    cloud = 1 + rough * smooth_noise(canvas.ink.shape[:2], max(1.5, cell), g, 3)
    canvas.ink[:] = np.clip(np.array(colour, np.float32) * cloud[..., None], 0, 255).astype(np.uint8)


def _darker(colour: Colour, share: float) -> Colour:
    red, green, blue = colour
    return int(red * share), int(green * share), int(blue * share)


def _rectangle(canvas: Canvas, box: tuple[float, float, float, float], colour: Colour, thick: int) -> None:
    x, y, width, height = (round(value) for value in box)
    cv2.rectangle(canvas.ink, (x, y), (x + width, y + height), colour, thick)


def _words(
    canvas: Canvas, area: tuple[float, float, float, float], face: str, g: Generator, materials: Materials
) -> None:
    """Set lines of very unequal size into an area, as on a title board."""
    x, y, width, height = area
    writer = materials.writer(g, "english", "french", "modern")
    end, middle = y + height, g.random() < 0.7
    while y < end:
        size = min(
            canvas.height * float(g.choice([0.018, 0.025, 0.035, 0.06, 0.1, 0.16])), end - y, width / 4
        )
        if size < 7:
            return
        style = Style(face, size, size * 1.3, (25, 25, 25))
        drawn = g.random()
        text = str(g.choice(_BOARD)) if drawn < 0.25 else writer.phrase(1, 6)
        if drawn > 0.7:
            text = f"{writer.name()} {g.integers(1, 9999)} {g.choice(['-', '/', 'No.', 'x'])} {g.integers(1, 99)}"
        text = text.upper() if g.random() < 0.6 else text.capitalize()
        at = x + width / 2 if middle else x
        set_line(canvas, fitted(text, style, width), at, y, style, None, 0.5 if middle else 0.0)
        y += size * g.uniform(1.1, 2.5)


def board(canvas: Canvas, materials: Materials, g: Generator) -> None:
    """Draw a microfilm's title board or target: words in a frame, a list of marks, a scale, charts in the corners."""
    height, width = canvas.height, canvas.width
    if g.random() < 0.25:
        _ground(canvas, ((225, 222, 214), (200, 200, 198))[int(g.integers(2))], 0.02, height / 4, g)
    face = materials.face(g, "sans", "sans", "typewriter", "roman")
    pad = height * g.uniform(0.03, 0.12)
    for k in range(int(g.choice([0, 1, 1, 2]))):
        inset = pad + k * height * 0.015
        _rectangle(
            canvas, (inset, inset, width - 2 * inset, height - 2 * inset), (25, 25, 25), int(g.integers(1, 6))
        )
    inner = (pad * 1.5, pad * 1.5, width - 3 * pad, height - 3 * pad)
    if g.random() < 0.25:
        _mark_list(canvas, inner, face, g, materials)
    else:
        x, y, wide, tall = inner
        _words(canvas, (x, y, wide, tall * g.uniform(0.3, 0.9)), face, g, materials)
    if g.random() < 0.4:
        _gauge(canvas, g)
    if g.random() < 0.25:
        resolution(
            canvas,
            width * g.uniform(0.1, 0.7),
            height * g.uniform(0.6, 0.85),
            height * g.uniform(0.05, 0.12),
            g,
        )


def _mark_list(
    canvas: Canvas, area: tuple[float, float, float, float], face: str, g: Generator, materials: Materials
) -> None:
    """Set a list of signs and what they mean, as on a target of film symbols."""
    x, y, width, height = area
    writer = materials.writer(g, "modern", "french")
    pitch = height / int(g.integers(5, 14))
    style = Style(face, min(pitch * 0.35, canvas.height * 0.03), pitch, (25, 25, 25))
    side = pitch * 0.55
    for k in range(int(height / pitch)):
        top = y + k * pitch
        centre = (round(x + side / 2), round(top + side / 2))
        drawn = int(g.integers(4))
        if drawn == 0:
            _rectangle(canvas, (x, top, side, side), (25, 25, 25), int(g.choice([-1, 2])))
        elif drawn == 1:
            cv2.circle(canvas.ink, centre, round(side / 2), (25, 25, 25), int(g.choice([-1, 2])), cv2.LINE_AA)
        else:
            cv2.drawMarker(canvas.ink, centre, (25, 25, 25), int(g.integers(0, 7)), round(side), 2)
        set_line(
            canvas,
            fitted(writer.phrase(3, 9).capitalize(), style, width - 2 * side),
            x + 1.6 * side,
            top,
            style,
        )


def _gauge(canvas: Canvas, g: Generator) -> None:
    """Draw a scale of centimetres along the lower edge of a board."""
    strip = ruler(round(canvas.width * g.uniform(0.5, 0.9)), round(canvas.height * g.uniform(0.02, 0.05)), g)
    y = canvas.height - strip.shape[0] - canvas.height * g.uniform(0.01, 0.06)
    canvas.place(strip, (canvas.width - strip.shape[1]) * g.uniform(0.1, 0.9), y)


def resolution(canvas: Canvas, x: float, y: float, size: float, g: Generator) -> None:
    """Draw a resolution target: sets of five bars that shrink, upright and lying."""
    pitch = size / 9
    while pitch > 1 and x + 24 * pitch < canvas.width:
        for k in range(5):
            _rectangle(canvas, (x + 2 * k * pitch, y, pitch * 0.8, 9 * pitch), (20, 20, 20), -1)
            _rectangle(canvas, (x + 12 * pitch, y + 2 * k * pitch, 9 * pitch, pitch * 0.8), (20, 20, 20), -1)
        x += 23 * pitch
        pitch *= g.uniform(0.6, 0.85)


def chart(canvas: Canvas, materials: Materials, g: Generator) -> None:
    """Draw a test chart: resolution targets, rings and rays, a grey wedge, a frame."""
    height, width = canvas.height, canvas.width
    for _ in range(int(g.integers(2, 7))):
        at = (width * g.uniform(0.03, 0.7), height * g.uniform(0.03, 0.85))
        resolution(canvas, *at, height * g.uniform(0.03, 0.12), g)
    centre, radius = (width // 2, height // 2), int(min(height, width) * g.uniform(0.1, 0.3))
    count = int(g.integers(12, 50))
    for k in range(count if g.random() < 0.6 else 0):
        angle = 2 * math.pi * k / count
        end = (round(centre[0] + radius * math.cos(angle)), round(centre[1] + radius * math.sin(angle)))
        cv2.line(canvas.ink, centre, end, (20, 20, 20), max(1, radius // 30), cv2.LINE_AA)
    for ring in np.linspace(0.3, 1.1, int(g.integers(0, 6))):
        cv2.circle(canvas.ink, centre, round(radius * ring), (20, 20, 20), 1, cv2.LINE_AA)
    if g.random() < 0.7:
        canvas.place(
            target(round(width * 0.6), round(height * 0.08), g, grey=True),
            width * 0.2,
            height * g.uniform(0.75, 0.9),
        )
    face = materials.face(g, "sans", "typewriter")
    _words(canvas, (width * 0.1, height * 0.02, width * 0.8, height * 0.12), face, g, materials)


def _table_top(canvas: Canvas, g: Generator) -> None:
    """Fill the picture with what things lie on: black or grey cloth, foam, white."""
    tone = int(g.choice([int(g.integers(4, 40)), int(g.integers(60, 170)), 238]))
    _ground(canvas, (tone, tone, int(tone * g.uniform(0.9, 1.05))), 0.03, canvas.height / 3, g)


def _laid(canvas: Canvas, art: np.ndarray, x: float, y: float) -> None:
    """Put an opaque thing on the picture, cut at its edges."""
    left, top = max(0, round(x)), max(0, round(y))
    place = canvas.ink[top : top + art.shape[0], left : left + art.shape[1]]
    place[:] = art[: place.shape[0], : place.shape[1]]


def targets(canvas: Canvas, materials: Materials, g: Generator) -> None:
    """Lay colour targets, grey wedges and rulers on a table, with or without an empty sheet."""
    _table_top(canvas, g)
    if g.random() < 0.3:
        _sheet(canvas, g)
    for _ in range(int(g.integers(1, 4))):
        wide = round(canvas.width * g.uniform(0.3, 0.9))
        tall = round(wide * g.uniform(0.1, 0.7))
        art = (
            ruler(wide, max(12, tall // 4), g)
            if g.random() < 0.3
            else target(wide, tall, g, g.random() < 0.3)
        )
        art = np.ascontiguousarray(np.rot90(art)) if g.random() < 0.25 else art
        _laid(canvas, art, canvas.width * g.uniform(0.02, 0.6), canvas.height * g.uniform(0.02, 0.8))


def _sheet(canvas: Canvas, g: Generator) -> tuple[int, int, int, int]:
    """Lay an empty sheet of paper on the picture; return its place."""
    x, y = (int(side * g.uniform(0.02, 0.2)) for side in (canvas.width, canvas.height))
    width = int((canvas.width - x) * g.uniform(0.6, 0.97))
    height = int((canvas.height - y) * g.uniform(0.6, 0.97))
    tone = np.array(((244, 238, 224), (228, 214, 186), (250, 249, 246))[int(g.integers(3))], np.float32)
    cloud = 1 + 0.02 * smooth_noise((height, width), height / 4, g, 3)
    canvas.ink[y : y + height, x : x + width] = np.clip(tone * cloud[..., None], 0, 255).astype(np.uint8)
    return x, y, width, height


def handled(canvas: Canvas, materials: Materials, g: Generator) -> None:
    """Show an empty sheet held by fingers or sheet weights."""
    _table_top(canvas, g)
    x, y, width, height = _sheet(canvas, g)
    for _ in range(int(g.integers(1, 4))):
        long = round(canvas.height * g.uniform(0.1, 0.3))
        art, mask = (finger if g.random() < 0.6 else weight)(long, g)
        left = int(g.choice([x - art.shape[1] // 3, x + width - art.shape[1]]))
        left, top = max(0, left), max(0, y + int(height * g.uniform(0, 0.8)))
        place = canvas.ink[top : top + art.shape[0], left : left + art.shape[1]]
        seen = mask[: place.shape[0], : place.shape[1]]
        place[seen] = art[: place.shape[0], : place.shape[1]][seen]


def cover(canvas: Canvas, materials: Materials, g: Generator) -> None:
    """Draw a binding: leather or cloth, tooled in gold or blind, with corners, a label, clasps."""
    height, width = canvas.height, canvas.width
    leather = g.random() < 0.65
    shades = _LEATHERS if leather else _CLOTHS
    shade = shades[int(g.integers(len(shades)))]
    _ground(canvas, shade, g.uniform(0.03, 0.09), height * g.uniform(0.004, 0.03), g)
    if not leather:
        _weave(canvas, g)
    ink = (205, 165, 80) if g.random() < 0.5 else _darker(shade, 0.6)
    for k in range(int(g.integers(0, 4))):
        inset = width * (0.04 + 0.06 * k * g.uniform(0.5, 1))
        _rectangle(canvas, (inset, inset, width - 2 * inset, height - 2 * inset), ink, int(g.integers(1, 4)))
    if g.random() < 0.55:
        _tooling(canvas, ink, materials, g)
    if g.random() < 0.4:
        _label(canvas, materials, g)
    if g.random() < 0.25:
        _clasps(canvas, g)


def _weave(canvas: Canvas, g: Generator) -> None:
    """Darken every other thread of a cloth, both ways, in place."""
    pitch, depth = int(g.integers(2, 5)), g.uniform(0.8, 0.95)
    canvas.ink[::pitch] = (canvas.ink[::pitch] * depth).astype(np.uint8)
    canvas.ink[:, ::pitch] = (canvas.ink[:, ::pitch] * depth).astype(np.uint8)


def _tooling(canvas: Canvas, ink: Colour, materials: Materials, g: Generator) -> None:
    """Stamp an ornament into the middle of a cover, and pieces into its corners."""
    height, width = canvas.height, canvas.width
    side = round(min(height, width) * g.uniform(0.2, 0.5))
    art = ornament.any_motif(side, side, g) if g.random() < 0.6 else ornament.arabesque(side, side, g)
    stamps = [(art, (width - side) // 2, (height - side) // 2)]
    if g.random() < 0.6:
        face = materials.face(g, "sans", "roman")
        piece = fleurons.piece(max(8, round(height * g.uniform(0.04, 0.1))), g, face)
        inset = round(width * 0.12)
        far = (width - inset - piece.shape[1], height - inset - piece.shape[0])
        stamps += [(piece, x, y) for x in (inset, far[0]) for y in (inset, far[1])]
    for stamp, x, y in stamps:
        place = canvas.ink[max(0, y) : y + stamp.shape[0], max(0, x) : x + stamp.shape[1]]
        place[stamp[: place.shape[0], : place.shape[1]] < 128] = ink


def _label(canvas: Canvas, materials: Materials, g: Generator) -> None:
    """Stick a paper label with a few words on the picture."""
    wide, tall = round(canvas.width * g.uniform(0.15, 0.5)), round(canvas.height * g.uniform(0.05, 0.16))
    label = Canvas.blank(tall, max(24, wide))
    label.ink[:] = ((240, 232, 212), (225, 205, 165), (170, 50, 40))[int(g.integers(3))]
    _rectangle(label, (3, 3, label.width - 7, tall - 7), (60, 50, 45), 1)
    writer = materials.writer(g, "french", "latin")
    size = max(8.0, tall * g.uniform(0.15, 0.35))
    style = Style(materials.face(g, "roman", "hand", "typewriter"), size, size * 1.2, (40, 30, 25))
    for k in range(int((tall - 8) / style.leading)):
        text = fitted(f"{writer.name()} {g.integers(1, 999)}", style, label.width * 0.85)
        set_line(label, text, label.width / 2, 4 + k * style.leading, style, None, 0.5)
    _laid(canvas, label.ink, canvas.width * g.uniform(0.05, 0.55), canvas.height * g.uniform(0.05, 0.8))


def _clasps(canvas: Canvas, g: Generator) -> None:
    """Draw two metal clasps at the fore-edge."""
    wide, tall = round(canvas.width * g.uniform(0.06, 0.15)), round(canvas.height * g.uniform(0.03, 0.07))
    for share in (0.25, 0.7):
        top = round(canvas.height * share)
        metal = (170, 145, 90) if g.random() < 0.6 else (130, 130, 135)
        _rectangle(canvas, (canvas.width - wide, top, wide, tall), metal, -1)
        _rectangle(canvas, (canvas.width - wide, top, wide, tall), (60, 50, 40), 2)
        cv2.circle(
            canvas.ink, (canvas.width - wide // 2, top + tall // 2), max(1, tall // 5), (60, 50, 40), -1
        )


def spine(canvas: Canvas, materials: Materials, g: Generator) -> None:
    """Draw the back of a book, upright on a dark or white ground, with raised bands and a title label."""
    _table_top(canvas, g)
    height = canvas.height
    wide = int(canvas.width * g.uniform(0.15, 0.5))
    left = (canvas.width - wide) // 2
    book = Canvas.blank(height - 2 * int(height * 0.03), wide)
    shade = _LEATHERS[int(g.integers(len(_LEATHERS)))]
    _ground(book, shade, 0.1, height * 0.01, g)
    bulge = 0.55 + 0.45 * np.sin(np.pi * np.linspace(0.08, 0.92, wide))
    book.ink[:] = (book.ink * bulge[None, :, None]).astype(np.uint8)
    gold = (205, 165, 80)
    face = materials.face(g, "roman", "sans")
    bands = int(g.integers(3, 7))
    for k in range(1, bands + 1):
        y = round(book.height * k / (bands + 1))
        _rectangle(book, (0, y - height * 0.006, wide, height * 0.012), _darker(shade, 0.7), -1)
        for step in (-1, 1):
            cv2.line(
                book.ink,
                (0, round(y + step * height * 0.012)),
                (wide, round(y + step * height * 0.012)),
                gold,
                1,
            )
        if g.random() < 0.6:
            piece = fleurons.piece(max(8, round(min(wide * 0.5, height * 0.07))), g, face)
            x, top = (
                (wide - piece.shape[1]) // 2,
                round(y + book.height / (bands + 1) / 2 - piece.shape[0] / 2),
            )
            place = book.ink[top : top + piece.shape[0], max(0, x) : max(0, x) + piece.shape[1]]
            place[piece[: place.shape[0], : place.shape[1]] < 128] = gold
    if g.random() < 0.7:
        _label(book, materials, g)
    _laid(canvas, book.ink, left, height * 0.03)


def marbled(canvas: Canvas, materials: Materials, g: Generator) -> None:
    """Draw marbled paper: veins of a few colours, combed or in stones."""
    height, width = size = canvas.ink.shape[:2]
    palette = np.array(
        [(150, 40, 40), (40, 60, 110), (225, 215, 190), (190, 150, 60), (40, 40, 45), (70, 110, 90)]
    )
    colours = palette[g.permutation(len(palette))[: int(g.integers(3, 6))]]
    cell = height * g.uniform(0.02, 0.08)
    field = smooth_noise(size, cell, g, 2) + 0.6 * smooth_noise(size, cell * 3, g)
    if g.random() < 0.5:  # combed
        y, x = np.ogrid[0:height, 0:width]
        pitch = height * g.uniform(0.02, 0.08)
        drawn = pitch * g.uniform(0.2, 1.2) * smooth_noise(size, pitch * g.uniform(2, 8), g, 2)
        comb = np.abs(((x + drawn) / pitch) % 2 - 1) * g.uniform(0.5, 1.5)
        field = 0.5 * field + 3 * np.sin(np.pi * ((y + drawn) / pitch + 2 * comb))
    number = np.clip((field * 0.9 + len(colours) / 2).astype(int), 0, len(colours) - 1)
    canvas.ink[:] = colours[number]
    if g.random() < 0.3:
        _label(canvas, materials, g)


def leaf(canvas: Canvas, materials: Materials, g: Generator) -> None:
    """Leave a leaf blank but for what time did: foxing, rings of damp, wormholes, folds, what shines through."""
    height, width = canvas.ink.shape[:2]
    if g.random() < 0.4:
        _through(canvas, materials, g)
    if g.random() < 0.5:
        spots = smooth_noise((height, width), height / g.uniform(30, 110), g)
        strength = np.clip(spots - g.uniform(1.6, 2.4), 0, 1)[..., None] * g.uniform(0.3, 0.8)
        canvas.ink[:] = (canvas.ink * (1 - strength * np.array([0.25, 0.45, 0.6]))).astype(np.uint8)
    for _ in range(int(g.choice([0, 0, 2, 9]))):  # worms
        at = (int(g.uniform(0, width)), int(g.uniform(0, height)))
        cv2.circle(
            canvas.ink, at, max(1, int(height * g.uniform(0.001, 0.004))), (45, 35, 25), -1, cv2.LINE_AA
        )
    for _ in range(int(g.choice([0, 1, 2]))):  # folds
        y = int(height * g.uniform(0.1, 0.9))
        cv2.line(
            canvas.ink, (0, y), (width, y + int(g.normal(0, height * 0.02))), (215, 208, 196), 1, cv2.LINE_AA
        )
    if g.random() < 0.25:
        furniture.handwriting(canvas, materials, g)
        canvas.objects.clear()


def _through(canvas: Canvas, materials: Materials, g: Generator) -> None:
    """Let a picture and lines of the back or of the facing leaf show, blurred and pale."""
    height, width = canvas.ink.shape[:2]
    tall, wide = int(height * g.uniform(0.2, 0.8)), int(width * g.uniform(0.3, 0.85))
    art = materials.picture(tall, wide, g, "woodcut", "engraving", "line").min(axis=2)[:, ::-1]
    pale = 255 - (255 - cv2.GaussianBlur(art, (0, 0), height * g.uniform(0.002, 0.006))) * g.uniform(
        0.06, 0.22
    )
    tint = 255 - (255 - pale[..., None]) * np.array([0.7, 0.85, 1.0])
    y, x = int((height - tall) * g.random()), int((width - wide) * g.random())
    canvas.place(tint.astype(np.uint8), x, y)


def pastedown(canvas: Canvas, materials: Materials, g: Generator) -> None:
    """Draw the inside of a cover: turned-in leather round a pasted leaf, with a label, a bar code or a shelf mark."""
    shade = _LEATHERS[int(g.integers(len(_LEATHERS)))]
    _ground(canvas, shade, 0.08, canvas.height * 0.012, g)
    x, y, width, height = _sheet(canvas, g)
    if g.random() < 0.6:
        _label(canvas, materials, g)
    if g.random() < 0.5:
        bars(canvas, x + width * g.uniform(0.1, 0.5), y + height * g.uniform(0.05, 0.85), g)
    if g.random() < 0.6:
        furniture.handwriting(canvas, materials, g)
        canvas.objects.clear()


def bars(canvas: Canvas, x: float, y: float, g: Generator) -> None:
    """Stick a bar code on the picture."""
    wide, tall = round(canvas.width * g.uniform(0.12, 0.3)), round(canvas.height * g.uniform(0.025, 0.06))
    label = np.full((tall, wide, 3), 250, np.uint8)
    unit = max(1, wide // 90)
    column = 3 * unit
    while column < wide - 4 * unit:
        thick = unit * int(g.integers(1, 4))
        label[unit : -unit * 2, column : column + thick] = 15
        column += thick + unit * int(g.integers(1, 4))
    _laid(canvas, label, x, y)


def slip(canvas: Canvas, materials: Materials, g: Generator) -> None:
    """Tip one or two slips of paper with typed or written lines on a blank leaf or a table."""
    if g.random() < 0.5:
        _table_top(canvas, g)
    for _ in range(int(g.integers(1, 3))):
        _label(canvas, materials, g)
    if g.random() < 0.4:
        _tabs(canvas, materials, g)


def _tabs(canvas: Canvas, materials: Materials, g: Generator) -> None:
    """Draw thumb tabs down the fore-edge."""
    count, face = int(g.integers(3, 12)), materials.face(g, "sans", "roman")
    tall = canvas.height * g.uniform(0.03, 0.06)
    for k in range(count):
        y = canvas.height * (0.05 + 0.9 * k / count)
        _rectangle(canvas, (canvas.width - tall * 1.3, y, tall * 1.3, tall), (30, 30, 32), -1)
        style = Style(face, tall * 0.7, tall, (30, 30, 32))
        set_line(canvas, chr(65 + k), canvas.width - tall * 2, y, style)


def folder(canvas: Canvas, materials: Materials, g: Generator) -> None:
    """Draw an archival folder or box lid with a tab, a string and a label."""
    shade = ((205, 180, 135), (170, 175, 165), (90, 110, 130), (222, 210, 188))[int(g.integers(4))]
    _ground(canvas, shade, 0.03, canvas.height / 5, g)
    darker = _darker(shade, 0.75)
    for _ in range(int(g.integers(1, 4))):
        at = int(canvas.width * g.uniform(0.02, 0.98))
        cv2.line(canvas.ink, (at, 0), (at, canvas.height), darker, int(g.integers(1, 4)), cv2.LINE_AA)
    _label(canvas, materials, g)
    if g.random() < 0.4:
        x = int(canvas.width * g.uniform(0.2, 0.8))
        cv2.line(
            canvas.ink,
            (x, 0),
            (x + int(g.normal(0, 20)), canvas.height),
            (235, 228, 210),
            int(g.integers(2, 8)),
            cv2.LINE_AA,
        )


def glass(canvas: Canvas, materials: Materials, g: Generator) -> None:
    """Show a scanner's bare bed: grey or black, with dust, streaks and the light of the lamp."""
    _table_top(canvas, g)
    height, width = canvas.ink.shape[:2]
    for _ in range(int(g.integers(5, 80))):
        at = (int(g.uniform(0, width)), int(g.uniform(0, height)))
        tone = int(g.integers(120, 255))
        cv2.circle(canvas.ink, at, int(g.choice([1, 1, 2])), (tone, tone, tone), -1, cv2.LINE_AA)
    if g.random() < 0.6:
        x = np.linspace(-1, 1, width) - g.uniform(-0.8, 0.8)
        light = 1 + g.uniform(0.2, 1.2) * np.exp(-((x / g.uniform(0.05, 0.5)) ** 2))
        canvas.ink[:] = np.clip(canvas.ink * light[None, :, None], 0, 255).astype(np.uint8)
