"""Pages made of photographs: edge to edge, side by side, on dark grounds, overlapping, on strips of film.

Every picture is an object of its own, however close its neighbour; the ground is none.
"""

import cv2
import numpy as np

from doc_detect.synthesis.art import photographs
from doc_detect.synthesis.art.photographs import ANY, Stock
from doc_detect.synthesis.canvas import Canvas
from doc_detect.synthesis.layouts import modern
from doc_detect.synthesis.layouts.materials import Materials
from doc_detect.synthesis.layouts.modern import Area, Design
from doc_detect.synthesis.text import Setting, fitted, set_block, set_line

Generator = np.random.Generator
Colour = tuple[int, int, int]
Print = tuple[np.ndarray, np.ndarray]
GROUNDS = (
    (12, 12, 12),
    (28, 26, 25),
    (60, 58, 56),
    (110, 108, 105),
    (165, 163, 158),
    (92, 74, 58),
    (140, 118, 90),
    (196, 178, 148),
    (70, 30, 32),
    (36, 52, 44),
    (38, 46, 72),
    (200, 196, 186),
)
"""Colours of album boards and of printed grounds."""
_SEEN = 0.35
"""A print of which less is seen in a montage is no object."""


def divided(area: Area, count: int, gap: float, g: Generator) -> list[Area]:
    """Cut an area into ``count`` rectangles with straight cuts and a gap between them."""
    parts = [area]
    while len(parts) < count:
        k = int(np.argmax([width * height for _, _, width, height in parts]))
        x, y, width, height = parts.pop(k)
        share = float(g.choice([0.5, g.uniform(0.3, 0.7)]))
        if width * g.uniform(0.7, 1.4) > height:
            first = (width - gap) * share
            parts += [(x, y, first, height), (x + first + gap, y, width - gap - first, height)]
        else:
            first = (height - gap) * share
            parts += [(x, y, width, first), (x, y + first + gap, width, height - gap - first)]
    return parts


def lattice(area: Area, rows: int, columns: int, gap: float) -> list[Area]:
    """Return the cells of a grid with a gap between them."""
    x, y, width, height = area
    wide, tall = (width - gap * (columns - 1)) / columns, (height - gap * (rows - 1)) / rows
    return [
        (x + c * (wide + gap), y + r * (tall + gap), wide, tall) for r in range(rows) for c in range(columns)
    ]


def print_size(height: float, width: float) -> tuple[float, float]:
    """Return the largest height and width in a cell whose proportions are those of photographs."""
    return min(height, width * 1.7), min(width, height * 1.9)


def any_ground(g: Generator) -> Colour:
    """Draw the colour of a ground: about every third is black."""
    return GROUNDS[int(g.integers(2 if g.random() < 0.25 else len(GROUNDS)))]


def ground(canvas: Canvas, colour: Colour, g: Generator, area: Area | None = None) -> None:
    """Cover the page, or an area of it, with album board or a printed ground; it is no object."""
    x, y, width, height = (round(v) for v in (area or (0, 0, canvas.width, canvas.height)))
    place = canvas.ink[max(0, y) : y + height, max(0, x) : x + width]
    if place.size:
        surface = photographs.film_noise(place.shape[0], place.shape[1], 0.92, g)
        place[:] = (surface[..., None] * np.array(colour, np.float32)).astype(np.uint8)


def shaped(
    height: float,
    width: float,
    materials: Materials,
    g: Generator,
    border: float,
    shapes: float,
    stock: Stock = ANY,
) -> Print:
    """Return a photograph and its outline [H, W] bool.

    Args:
        height: Height, px.
        width: Width, px.
        materials: What it is drawn from.
        g: The only source of chance.
        border: Probability of a pale border.
        shapes: Probability of an outline that is no rectangle.
        stock: What it has in common with others.
    """
    art = materials.photograph(height, width, g, stock)
    tall, wide = art.shape[:2]
    drawn = g.random()
    kind = (
        "rectangle"
        if drawn >= shapes
        else ("oval", "oval", "rounded", "rounded", "arched")[int(g.integers(5))]
    )
    if kind == "rectangle" and g.random() < border:
        art = photographs.bordered(art, g)
    return art, photographs.shape_mask(tall, wide, kind, g)


def tilted(picture: Print, angle: float) -> Print:
    """Return a print turned by an angle in degrees."""
    art, mask = picture
    height, width = mask.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1)
    cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
    size = (int(width * cos + height * sin) + 1, int(width * sin + height * cos) + 1)
    matrix[:, 2] += ((size[0] - width) / 2, (size[1] - height) / 2)
    turned = cv2.warpAffine(art, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    outline = cv2.warpAffine(mask.astype(np.uint8) * 255, matrix, size, flags=cv2.INTER_LINEAR)
    return turned, outline > 127


def bleed(canvas: Canvas, made: Design, materials: Materials, g: Generator) -> None:
    """Cover the page with one to nine pictures to its very edges, or to three of them."""
    count, gap = int(g.choice([1, 1, 2, 2, 3, 4, 6, 9])), float(g.choice([0, 0, 1, 2, 3, 6, 12]))
    if g.random() < 0.5:
        ground(canvas, any_ground(g), g)
    area = (0.0, 0.0, float(canvas.width), float(canvas.height))
    if g.random() < 0.4:
        area = (0.0, 0.0, float(canvas.width), canvas.height * g.uniform(0.6, 0.93))
        below = (canvas.width * 0.08, area[3] + made.small.leading, canvas.width * 0.84)
        canvas.ink[round(area[3]) :] = 255
        if canvas.height - below[1] > 5 * made.small.leading:
            modern.caption(canvas, *below, made, g)
    stock = Stock.drawn(g)
    for x, y, width, height in divided(area, count, gap, g):
        canvas.paste(materials.photograph(height, width, g, stock), x, y, "graphic")


def packed(canvas: Canvas, frame: Area, made: Design, materials: Materials, g: Generator) -> None:
    """Set several pictures close to each other in the type area, with one legend for all."""
    x, y, width, height = frame
    tall = height * g.uniform(0.4, 1.0)
    if tall > height - 5 * made.small.leading:
        tall = height - 5 * made.small.leading
    gap = float(g.choice([0, 0, 1, 2, 3, 5, 9]))
    area = (x, y, width, tall)
    if gap and g.random() < 0.3:  # on a panel of colour
        pad = float(g.choice([0, gap, 2 * gap]))
        ground(
            canvas,
            any_ground(g),
            g,
            (x - pad, y - pad, width + 2 * pad, tall + 2 * pad),
        )
    rows, columns = int(g.integers(1, 5)), int(g.integers(1, 4))
    even = g.random() < 0.5 and 0.5 < (width / columns) / (tall / rows) < 2.2
    count = max(2, rows * columns)
    cells = (
        lattice(area, rows, columns, gap)
        if even and rows * columns > 1
        else divided(area, min(count, 7), gap, g)
    )
    numbered, stock = g.random() < 0.25, Stock.drawn(g)
    for number, (left, top, wide, high) in enumerate(cells, start=1):
        canvas.paste(materials.photograph(high, wide, g, stock), left, top, "graphic")
        if numbered:
            _number(canvas, str(number), left + wide, top + high, made, g)
    below = modern.caption(canvas, x, y + tall + made.small.leading * 0.7, width, made, g) + made.body.leading
    if y + height - below > 4 * made.body.leading:
        modern.column(canvas, (x, below, width, y + height - below), made, g)


def _number(canvas: Canvas, text: str, right: float, bottom: float, made: Design, g: Generator) -> None:
    """Print a number in a picture's lower right corner, on a small white patch."""
    size = made.small.size
    patch = (round(right - size * 1.8), round(bottom - size * 1.5))
    cv2.rectangle(canvas.ink, patch, (round(right) - 2, round(bottom) - 2), (245, 245, 245), -1)
    set_line(canvas, text, right - size * 1.0, bottom - size * 1.4, made.small, None, 0.5)


def album(canvas: Canvas, made: Design, materials: Materials, g: Generator) -> None:
    """Lay prints apart on a dark or coloured page: in a grid, or as they come; some with legends."""
    colour = any_ground(g)
    ground(canvas, colour, g)
    notes = Canvas.blank(canvas.height, canvas.width)
    rows, columns = int(g.choice([1, 2, 2, 3, 3, 4, 5])), int(g.choice([1, 1, 2, 2, 3, 4]))
    mx, my = canvas.width * g.uniform(0.02, 0.12), canvas.height * g.uniform(0.02, 0.1)
    area = (mx, my, canvas.width - 2 * mx, canvas.height - 2 * my)
    gap = min(canvas.width, canvas.height) * g.uniform(0.01, 0.07)
    cells = lattice(area, rows, columns, gap) if g.random() < 0.6 else divided(area, rows * columns, gap, g)
    border, shapes = float(g.choice([0, 0.2, 1])), float(g.choice([0, 0, 0.15, 0.9]))
    legends, loose, corners = g.random() < 0.45, float(g.choice([0, 0, 0.3, 3])), g.random() < 0.25
    share, stock = g.uniform(0.75, 1.0), Stock.drawn(g)
    room = made.small.leading * 1.6 if legends else 0.0
    for x, y, width, height in cells:
        if height - room < 24 or width < 24:
            continue
        tall = (height - room) * g.uniform(share, 1.0)
        tall, wide = print_size(tall, width * g.uniform(share, 1.0))
        left, top = x + (width - wide) / 2, y + (height - room - tall) / 2
        picture = shaped(tall, wide, materials, g, border, shapes, stock)
        if loose:
            straight = picture[1].shape
            picture = tilted(picture, g.normal(0, loose))
            left -= (picture[1].shape[1] - straight[1]) / 2
            top -= (picture[1].shape[0] - straight[0]) / 2
        box = canvas.paste(picture[0], left, top, "graphic", picture[1])
        if corners and box and not shapes and loose < 1:
            _corners(canvas, box, g)
        if legends and box:
            text = fitted(f"{g.integers(1, 300)} {made.writer.phrase(1, 4)}", made.small, width)
            set_line(notes, text, x + width / 2, min(box[3] + 2, y + height), made.small, "caption", 0.5)
    _annotate(canvas, notes, colour)


def _annotate(canvas: Canvas, notes: Canvas, colour: Colour) -> None:
    """Print notes in black on a pale ground, in white on a dark one."""
    if max(colour) < 130:
        canvas.knock_out(notes, (235, 232, 225))
    else:
        np.minimum(canvas.ink, notes.ink, out=canvas.ink)
        canvas.objects += notes.objects


def _corners(canvas: Canvas, box: tuple[float, float, float, float], g: Generator) -> None:
    """Hold a print with four paper corners, in the print's own box."""
    x0, y0, x1, y1 = (int(v) for v in box)
    reach = max(4, int(min(x1 - x0, y1 - y0) * g.uniform(0.06, 0.14)))
    tone = int(g.choice([20, 60, 190]))
    for x, y, sx, sy in ((x0, y0, 1, 1), (x1 - 1, y0, -1, 1), (x0, y1 - 1, 1, -1), (x1 - 1, y1 - 1, -1, -1)):
        points = np.array([(x, y), (x + sx * reach, y), (x, y + sy * reach)], np.int32)
        cv2.fillPoly(canvas.ink, [points], (tone, tone, tone))


def montage(canvas: Canvas, frame: Area, made: Design, materials: Materials, g: Generator) -> None:
    """Lay prints over one another, straight or tilted; each is an object as far as it is seen."""
    if g.random() < 0.6:
        ground(canvas, any_ground(g), g)
        frame = (canvas.width * 0.04, canvas.height * 0.04, canvas.width * 0.92, canvas.height * 0.92)
    x, y, width, height = frame
    tilt, stock = float(g.choice([0, 2, 6, 12])), Stock.drawn(g)
    count = int(g.integers(3, 9))
    cells = divided(frame, count, 0, g)
    order, grow = g.permutation(count), g.uniform(1.05, 1.4)
    number = np.zeros((canvas.height, canvas.width), np.int32)
    areas = []
    for rank, k in enumerate(order, start=1):
        left, top, wide, tall = cells[int(k)]
        picture = shaped(tall * grow, wide * grow, materials, g, 0.5, 0.08, stock)
        picture = tilted(picture, g.normal(0, tilt)) if tilt else picture
        at = (left - wide * (grow - 1) / 2 + g.normal(0, 0.03) * wide, top - tall * (grow - 1) / 2)
        _cast(canvas, picture[1], at)
        canvas.paste(picture[0], *at, None, picture[1])
        marker = Canvas(number)
        areas.append(int(picture[1].sum()))
        marker.paste(np.full(picture[1].shape, rank, np.int32), *at, None, picture[1])
    for rank, area in enumerate(areas, start=1):
        seen = number == rank
        if seen.sum() < _SEEN * area:
            continue
        rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
        canvas.add("graphic", [(float(columns[0]), float(rows[0]), columns[-1] + 1.0, rows[-1] + 1.0)])


def _cast(canvas: Canvas, mask: np.ndarray, at: tuple[float, float]) -> None:
    """Darken the ground below and right of a print a little."""
    x, y = round(at[0]) + 2, round(at[1]) + 3
    seen = mask[max(0, -y) : max(0, canvas.height - y), max(0, -x) : max(0, canvas.width - x)]
    place = canvas.ink[max(0, y) : max(0, y) + seen.shape[0], max(0, x) : max(0, x) + seen.shape[1]]
    place[seen] = place[seen] * 0.7


def contact(canvas: Canvas, frame: Area, made: Design, materials: Materials, g: Generator) -> None:
    """Print strips of film, with holes at their edges or without; each frame is an object."""
    if g.random() < 0.5:
        ground(canvas, GROUNDS[int(g.integers(4))], g)
    x, y, width, height = frame
    strips, frames = int(g.integers(2, 7)), int(g.integers(3, 7))
    wide = width / frames
    tall = min(height / strips * 0.92, wide * g.uniform(0.75, 1.4))
    holes = g.random() < 0.7
    rail, stock = tall * (0.14 if holes else 0.04), Stock.drawn(g)
    for strip in range(strips):
        top = y + strip * height / strips
        ground(canvas, (16, 16, 17), g, (x, top, width, tall))
        if holes:
            step = max(4.0, rail * 1.1)
            for at in np.arange(x + step / 2, x + width - step / 2, step):
                for edge in (top + rail * 0.3, top + tall - rail * 0.7):
                    corner = (round(at), round(edge))
                    far = (round(at + step * 0.45), round(edge + rail * 0.4))
                    cv2.rectangle(canvas.ink, corner, far, (225, 225, 222), -1)
        last = frames if g.random() < 0.7 else int(g.integers(1, frames + 1))
        for k in range(last):
            art = materials.photograph(tall - 2 * rail, wide * 0.94, g, stock)
            canvas.paste(art, x + (k + 0.03) * wide, top + rail, "graphic")


def single(canvas: Canvas, frame: Area, made: Design, materials: Materials, g: Generator) -> None:
    """Print one large photograph, drawing or painting with its legend."""
    x, y, width, height = frame
    room = made.small.leading * g.uniform(4, 9)
    wide, tall = width * g.uniform(0.6, 1), (height - room) * g.uniform(0.55, 1)
    left = x + (width - wide) / 2
    if g.random() < 0.25:
        art = materials.picture(tall, wide, g, "engraving", "wash", "line", "painting")
    else:
        art, mask = shaped(tall, wide, materials, g, 0.1, 0.12)
        art = np.where(mask[..., None], art, 255).astype(np.uint8)
    box = canvas.place(art, left, y + (height - room - tall) / 2, "graphic")
    if box is None:
        return
    below = box[3] + made.small.leading * 0.6
    if g.random() < 0.3:
        style = made.bold.scaled(1.1)
        set_line(
            canvas,
            fitted(made.writer.phrase(2, 6).upper(), style, width),
            x + width / 2,
            below,
            style,
            "caption",
            0.5,
        )
        return
    text = set_block(
        canvas,
        (left, below, wide, made.small.leading * int(g.integers(1, 4))),
        made.small,
        Setting(justify=False, centred=g.random() < 0.6),
        made.writer,
        g,
    )
    canvas.add("caption", [text] if text else [])


def cards(canvas: Canvas, frame: Area, made: Design, materials: Materials, g: Generator) -> None:
    """Show picture postcards, trade cards or playing cards in rows, each with lettering in its margin or picture."""
    x, y, width, height = frame
    rows, columns = int(g.integers(2, 6)), int(g.integers(1, 4))
    rounded, border, stock = g.random() < 0.4, g.random() < 0.6, Stock.drawn(g)
    if g.random() < 0.4:
        ground(canvas, any_ground(g), g)
    for left, top, wide, tall in lattice(frame, rows, columns, width * g.uniform(0.02, 0.08)):
        high = min(tall - made.small.leading * 1.5, wide * float(g.choice([0.65, 0.7, 1.4])))
        across = min(wide, high * g.uniform(0.65, 1.6))
        if min(high, across) < 20:
            continue
        art = materials.photograph(high, across, g, stock)
        art = photographs.bordered(art, g) if border else art
        mask = photographs.shape_mask(*art.shape[:2], "rounded" if rounded else "rectangle", g)
        at = (left + (wide - across) / 2, top)
        canvas.paste(art, *at, "graphic", mask)
        if g.random() < 0.5:
            inside = Canvas(canvas.ink)  # lettering in the picture belongs to it
            text = fitted(made.writer.phrase(2, 4).capitalize(), made.small, across * 0.8)
            set_line(inside, text, at[0] + across * 0.06, at[1] + high - made.small.size * 1.6, made.small)
