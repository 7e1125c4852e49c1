"""Scenes as lists of flat shapes, which woodcut, engraving, painting and photograph render each in its way.

Coordinates are in units of the picture's height: y runs from 0 to 1 downwards, x from 0 to the aspect ratio.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Generator = np.random.Generator

ROBES = (
    (40, 60, 150),
    (170, 40, 35),
    (60, 120, 70),
    (200, 150, 60),
    (110, 60, 120),
    (225, 215, 200),
    (90, 80, 75),
)
SKIN = (235, 205, 175)


@dataclass(frozen=True)
class Shape:
    """One closed outline."""

    points: np.ndarray
    """[K, 2] x and y."""
    tone: float
    """Lightness from 0 (black) to 1 (white)."""
    colour: tuple[int, int, int]
    edge: float = 1.0
    """Weight of its outline; 0 draws none."""


@dataclass(frozen=True)
class Scene:
    """A picture's shapes, from back to front."""

    aspect: float
    """Width over height."""
    shapes: tuple[Shape, ...]


def blob(
    x: float, y: float, rx: float, ry: float, rough: float, g: Generator, corners: int = 16
) -> np.ndarray:
    """Return an ellipse [corners, 2] whose radius varies by ``rough``."""
    angle = np.linspace(0, 2 * math.pi, corners, endpoint=False)
    radius = 1 + rough * g.standard_normal(corners)
    return np.stack([x + rx * radius * np.cos(angle), y + ry * radius * np.sin(angle)], axis=1)


def box(x: float, y: float, w: float, h: float) -> np.ndarray:
    """Return a rectangle [4, 2]."""
    return np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])


def limb(x0: float, y0: float, x1: float, y1: float, width: float) -> np.ndarray:
    """Return a thick stroke [4, 2] from one point to another."""
    length = max(math.hypot(x1 - x0, y1 - y0), 1e-6)
    nx, ny = -(y1 - y0) / length * width / 2, (x1 - x0) / length * width / 2
    return np.array(
        [
            [x0 + nx, y0 + ny],
            [x1 + nx * 0.7, y1 + ny * 0.7],
            [x1 - nx * 0.7, y1 - ny * 0.7],
            [x0 - nx, y0 - ny],
        ]
    )


def _shade(colour: tuple[int, int, int], g: Generator) -> tuple[int, int, int]:
    factor = g.uniform(0.75, 1.2)
    return tuple(int(min(255, channel * factor)) for channel in colour)  # ty: ignore[invalid-explicit-return]


def ground(aspect: float, horizon: float, g: Generator) -> list[Shape]:
    """Return sky and one to three ridges of land."""
    sky = (150 + int(g.integers(60)), 190, 225)
    shapes = [Shape(box(0, 0, aspect, 1), g.uniform(0.8, 1.0), sky, 0)]
    for depth in range(int(g.integers(1, 4))):
        level = horizon + depth * (1 - horizon) * 0.25
        x = np.linspace(0, aspect, 9)
        y = level + g.normal(0, 0.03, 9) * (1 + depth)
        ridge = np.concatenate([np.stack([x, y], 1), [[aspect, 1], [0, 1]]])
        shapes.append(Shape(ridge, g.uniform(0.45, 0.95), _shade((110, 150, 80), g)))
    return shapes


def person(x: float, base: float, height: float, g: Generator) -> list[Shape]:
    """Return a standing figure in a robe."""
    robe, h = ROBES[int(g.integers(len(ROBES)))], height
    head, width = h * 0.075, h * g.uniform(0.16, 0.3)
    top = base - h
    tone = float(g.choice([0.25, 0.45, 0.65, 0.85, 0.95]))
    shoulders = top + head * 2.2
    sway = g.normal(0, 0.05) * h
    x0 = x + sway
    body = np.array(
        [[x0 - width * 0.4, shoulders], [x0 + width * 0.4, shoulders], [x + width * 0.55, base - h * 0.3],
         [x + width * g.uniform(0.45, 0.8), base], [x - width * g.uniform(0.45, 0.8), base], [x - width * 0.5, base - h * 0.35]]
    )  # fmt: skip
    shapes = [Shape(body, tone, _shade(robe, g), 1.3)]
    for _ in range(int(g.integers(2, 7))):  # folds
        fx = x + g.uniform(-0.35, 0.35) * width
        shapes.append(
            Shape(
                limb(fx, shoulders + h * g.uniform(0.1, 0.4), fx + g.normal(0, 0.03) * h, base, h * 0.008),
                tone * 0.3,
                _shade(robe, g),
                0,
            )
        )
    for side in (-1, 1):
        elbow = (x0 + side * width * g.uniform(0.5, 0.9), shoulders + h * g.uniform(0.12, 0.25))
        hand = (elbow[0] + g.normal(0, 0.1) * h, elbow[1] + g.uniform(-0.2, 0.15) * h)
        shapes.append(
            Shape(
                limb(x0 + side * width * 0.35, shoulders + h * 0.03, *elbow, h * 0.07), tone, _shade(robe, g)
            )
        )
        shapes.append(Shape(limb(*elbow, *hand, h * 0.05), tone, _shade(robe, g)))
        shapes.append(Shape(blob(*hand, h * 0.02, h * 0.025, 0.1, g, 8), 0.95, SKIN))
    return shapes + _head(x0, top + head, head, g)


def _head(x: float, y: float, r: float, g: Generator) -> list[Shape]:
    shapes = []
    if g.random() < 0.25:  # a halo
        shapes.append(Shape(blob(x, y, r * 1.9, r * 1.9, 0, g, 24), 0.97, (222, 184, 70)))
    hair = _shade((110, 75, 40), g)
    shapes.append(Shape(blob(x, y - r * 0.2, r * 1.1, r * 1.15, 0.06, g), g.uniform(0.15, 0.6), hair))
    shapes.append(Shape(blob(x, y + r * 0.1, r * 0.78, r * 0.95, 0.02, g), 0.95, SKIN))
    for side in (-1, 1):
        shapes.append(Shape(blob(x + side * r * 0.3, y, r * 0.1, r * 0.08, 0, g, 8), 0.05, (30, 25, 20), 0))
    shapes.append(
        Shape(limb(x - r * 0.2, y + r * 0.5, x + r * 0.2, y + r * 0.5, r * 0.1), 0.2, (130, 50, 40), 0)
    )
    drawn = g.random()
    if drawn < 0.25:  # a hat
        shapes.append(
            Shape(
                np.array(
                    [
                        [x - r * 1.5, y - r * 0.6],
                        [x + r * 1.5, y - r * 0.6],
                        [x + r, y - r * 1.6],
                        [x - r * 0.6, y - r * 1.7],
                    ]
                ),
                0.3,
                _shade((120, 30, 30), g),
            )
        )
    elif drawn < 0.4:  # a crown
        crown = [[x - r, y - r * 0.6], [x + r, y - r * 0.6], [x + r * 1.2, y - r * 1.6], [x + r * 0.5, y - r], [x, y - r * 1.8], [x - r * 0.5, y - r], [x - r * 1.2, y - r * 1.6]]  # fmt: skip
        shapes.append(Shape(np.array(crown), 0.9, (215, 175, 60)))
    elif drawn < 0.6:  # a beard
        shapes.append(Shape(blob(x, y + r * 1.1, r * 0.6, r * 0.8, 0.12, g), 0.35, hair))
    return shapes


def tree(x: float, base: float, height: float, g: Generator) -> list[Shape]:
    """Return a trunk under a crown of round tufts."""
    shapes = [
        Shape(
            limb(x, base, x + g.normal(0, 0.04) * height, base - height * 0.6, height * 0.07),
            0.4,
            (110, 80, 50),
        )
    ]
    for _ in range(int(g.integers(5, 14))):
        cx, cy = x + g.normal(0, 0.16) * height, base - height * g.uniform(0.5, 0.98)
        r = height * g.uniform(0.07, 0.16)
        shapes.append(Shape(blob(cx, cy, r, r * 0.8, 0.14, g), g.uniform(0.3, 0.8), _shade((70, 115, 60), g)))
    return shapes


def house(x: float, base: float, width: float, height: float, g: Generator) -> list[Shape]:
    """Return a wall with windows, and a gable, a dome, a spire or battlements."""
    wall = _shade((200, 180, 155), g)
    tone = g.uniform(0.6, 0.98)
    shapes = [Shape(box(x, base - height, width, height), tone, wall)]
    top = base - height
    kind = g.integers(4)
    roof = _shade((70, 90, 140) if g.random() < 0.5 else (165, 80, 55), g)
    if kind == 0:
        shapes.append(
            Shape(
                np.array(
                    [
                        [x - width * 0.1, top],
                        [x + width * 1.1, top],
                        [x + width / 2, top - width * g.uniform(0.4, 1.5)],
                    ]
                ),
                0.4,
                roof,
            )
        )
    elif kind == 1:
        shapes.append(Shape(blob(x + width / 2, top, width * 0.5, width * 0.45, 0.01, g, 24), 0.5, roof))
    elif kind == 2:
        n = int(g.integers(3, 6))
        shapes += [
            Shape(box(x + k * width / n, top - width * 0.1, width / n * 0.55, width * 0.12), tone, wall)
            for k in range(n)
        ]
    else:
        shapes.append(
            Shape(
                np.array(
                    [
                        [x, top],
                        [x + width, top],
                        [x + width * 0.7, top - width * 0.5],
                        [x + width * 0.3, top - width * 0.5],
                    ]
                ),
                0.45,
                roof,
            )
        )
    rows, columns = max(1, int(height / width * 1.5)), int(g.integers(1, 4))
    for r in range(min(rows, 4)):
        for c in range(columns):
            wx, wy = x + width * (c + 0.3) / columns, top + height * (r + 0.25) / rows
            shapes.append(
                Shape(box(wx, wy, width * 0.35 / columns, height * 0.35 / rows), 0.1, (50, 45, 50), 0.7)
            )
    return shapes


def arch(x: float, base: float, width: float, height: float, g: Generator) -> list[Shape]:
    """Return two columns that carry a round or pointed arch."""
    stone = _shade((190, 175, 165), g)
    column = width * 0.09
    shapes = [
        Shape(box(x + at, base - height * 0.7, column, height * 0.7), 0.85, stone)
        for at in (0, width - column)
    ]
    angle = np.linspace(math.pi, 2 * math.pi, 15)
    outer = np.stack(
        [x + width / 2 * (1 + np.cos(angle)), base - height * 0.7 + height * 0.3 * np.sin(angle)], 1
    )
    inner = np.stack(
        [x + width / 2 * (1 + 0.82 * np.cos(angle)), base - height * 0.7 + height * 0.24 * np.sin(angle)], 1
    )
    return [*shapes, Shape(np.concatenate([outer, inner[::-1]]), 0.75, stone)]


def animal(x: float, base: float, size: float, g: Generator) -> list[Shape]:
    """Return a four-legged beast, facing either way."""
    coat = _shade((150, 115, 80) if g.random() < 0.6 else (225, 220, 210), g)
    tone, way = g.uniform(0.35, 0.95), float(g.choice([-1, 1]))
    legs = size * g.uniform(0.3, 0.5)
    y = base - legs
    shapes = []
    for at in (-0.4, -0.28, 0.28, 0.4):
        shapes.append(
            Shape(limb(x + at * size, y, x + (at + g.normal(0, 0.06)) * size, base, size * 0.09), tone, coat)
        )
    shapes.append(Shape(blob(x, y - size * 0.12, size * 0.52, size * 0.22, 0.03, g), tone, coat, 1.2))
    neck = (x + way * size * 0.42, y - size * 0.2)
    head = (neck[0] + way * size * g.uniform(0.12, 0.3), neck[1] - size * g.uniform(0.05, 0.4))
    shapes.append(Shape(limb(*neck, *head, size * 0.2), tone, coat))
    shapes.append(
        Shape(blob(head[0] + way * size * 0.06, head[1], size * 0.15, size * 0.1, 0.05, g), tone, coat)
    )
    shapes.append(
        Shape(
            blob(head[0] + way * size * 0.06, head[1] - size * 0.02, size * 0.02, size * 0.02, 0, g, 8),
            0.05,
            (20, 20, 20),
            0,
        )
    )
    tail = x - way * size * 0.5
    shapes.append(
        Shape(
            limb(tail, y - size * 0.2, tail - way * size * 0.2, y + size * g.uniform(-0.4, 0.2), size * 0.05),
            tone * 0.7,
            coat,
        )
    )
    return shapes


def ship(x: float, base: float, size: float, g: Generator) -> list[Shape]:
    """Return a hull with masts and sails."""
    hull = np.array(
        [
            [x - size * 0.5, base - size * 0.25],
            [x + size * 0.55, base - size * 0.3],
            [x + size * 0.4, base],
            [x - size * 0.38, base],
        ]
    )
    shapes = [Shape(hull, 0.4, (120, 85, 55), 1.3)]
    for at in (-0.25, 0.05, 0.32)[: int(g.integers(1, 4))]:
        mx = x + at * size
        shapes.append(Shape(limb(mx, base - size * 0.25, mx, base - size, size * 0.025), 0.3, (90, 65, 40)))
        sail = np.array(
            [
                [mx - size * 0.15, base - size * 0.9],
                [mx + size * 0.15, base - size * 0.88],
                [mx + size * 0.2, base - size * 0.4],
                [mx - size * 0.13, base - size * 0.42],
            ]
        )
        shapes.append(Shape(sail, 0.95, (235, 228, 210)))
    return shapes


def bust(x: float, y: float, size: float, g: Generator) -> list[Shape]:
    """Return a portrait's head and shoulders."""
    coat = _shade(ROBES[int(g.integers(len(ROBES)))], g)
    tone = g.uniform(0.2, 0.7)
    shoulders = np.array([[x - size * 0.75, y + size * 1.3], [x - size * 0.6, y + size * 0.6], [x - size * 0.2, y + size * 0.35], [x + size * 0.2, y + size * 0.35], [x + size * 0.6, y + size * 0.6], [x + size * 0.75, y + size * 1.3]])  # fmt: skip
    collar = np.array(
        [
            [x - size * 0.25, y + size * 0.3],
            [x + size * 0.25, y + size * 0.3],
            [x + size * 0.1, y + size * 0.7],
            [x - size * 0.1, y + size * 0.7],
        ]
    )
    return [
        Shape(shoulders, tone, coat, 1.2),
        Shape(collar, 0.97, (240, 238, 230)),
        *_head(x, y, size * 0.36, g),
    ]


# --- whole scenes


def landscape(aspect: float, g: Generator) -> Scene:
    """Return land with trees, houses and a few small figures."""
    horizon = g.uniform(0.3, 0.6)
    shapes = ground(aspect, horizon, g)
    things: list[tuple[float, list[Shape]]] = []
    for _ in range(int(g.integers(2, 9))):
        x, base = g.uniform(-0.05, aspect + 0.05), g.uniform(horizon, 1)
        size = (0.15 + 0.5 * (base - horizon)) * g.uniform(0.7, 1.3)
        kind = g.integers(5)
        if kind == 0:
            things.append((base, tree(x, base, size * 1.4, g)))
        elif kind == 1:
            things.append((base, house(x, base, size * g.uniform(0.4, 1), size, g)))
        elif kind == 2:
            things.append((base, animal(x, base, size * 0.8, g)))
        else:
            things.append((base, person(x, base, size, g)))
    for _, thing in sorted(things, key=lambda item: item[0]):
        shapes += thing
    return Scene(aspect, tuple(shapes))


def crowd(aspect: float, g: Generator) -> Scene:
    """Return large figures in front of buildings, or in a room."""
    indoors = g.random() < 0.5
    shapes = _room(aspect, g) if indoors else ground(aspect, g.uniform(0.5, 0.75), g)
    for _ in range(int(g.integers(1, 4))):
        w, h = g.uniform(0.2, 0.5), g.uniform(0.3, 0.7)
        at = g.uniform(-0.1, max(aspect - w, 0))
        shapes += (arch if indoors else house)(at, 0.75, w, h, g)
    for _ in range(int(g.integers(1, max(3, int(aspect * 5))))):
        shapes += person(
            g.uniform(0.05, max(aspect - 0.05, 0.1)), g.uniform(0.85, 1.0), g.uniform(0.45, 0.75), g
        )
    if g.random() < 0.3:
        shapes += animal(g.uniform(0.1, aspect), 0.98, g.uniform(0.3, 0.5), g)
    return Scene(aspect, tuple(shapes))


def _room(aspect: float, g: Generator) -> list[Shape]:
    wall = _shade(ROBES[int(g.integers(3))], g)
    shapes = [
        Shape(box(0, 0, aspect, 0.75), g.uniform(0.3, 0.9), wall, 0),
        Shape(box(0, 0.72, aspect, 0.3), 0.9, (210, 190, 150)),
    ]
    cells = int(aspect * g.integers(6, 12)) + 2
    for row in range(3):
        for c in range(row % 2, cells, 2):
            shapes.append(
                Shape(
                    box(c * aspect / cells, 0.72 + row * 0.1, aspect / cells, 0.1), 0.35, (120, 110, 90), 0.5
                )
            )
    return shapes


def portrait(aspect: float, g: Generator) -> Scene:
    """Return a head and shoulders before a dark ground."""
    back = Shape(box(0, 0, aspect, 1), g.uniform(0.25, 0.7), _shade((90, 110, 120), g), 0)
    return Scene(aspect, (back, *bust(aspect / 2, 0.42, min(aspect, 1) * 0.55, g)))


def seascape(aspect: float, g: Generator) -> Scene:
    """Return ships on water."""
    level = g.uniform(0.4, 0.7)
    shapes = [
        Shape(box(0, 0, aspect, 1), 0.95, (190, 215, 230), 0),
        Shape(box(0, level, aspect, 1), g.uniform(0.5, 0.8), (90, 140, 160)),
    ]
    for _ in range(int(g.integers(1, 5))):
        base = g.uniform(level + 0.03, 0.95)
        shapes += ship(g.uniform(0, aspect), base, 0.2 + 0.6 * (base - level), g)
    return Scene(aspect, tuple(shapes))


def beast(aspect: float, g: Generator) -> Scene:
    """Return one animal, plant or building, large, on an empty ground."""
    centre = aspect / 2
    size = min(aspect, 1.2) * 0.6
    drawn = g.integers(4)
    if drawn == 0:
        shapes = tree(centre, 0.97, 0.9, g)
    elif drawn == 1:
        shapes = house(centre - size / 2, 0.95, size, 0.6, g)
    elif drawn == 2:
        shapes = person(centre, 0.97, 0.92, g)
    else:
        shapes = animal(centre, 0.9, size, g)
    return Scene(aspect, tuple(shapes))


Figure = Callable[[float, float, float, Generator], list[Shape]]
"""Draws something that stands at (x, base) with a height."""


def tableau(aspect: float, g: Generator, figures: Sequence[Figure]) -> Scene:
    """Return one figure as an emblem, or a company of them on land, in a room or on an empty ground."""
    if g.random() < 0.3:
        empty = [Shape(box(0, 0, aspect, 1), g.uniform(0.75, 1.0), (225, 215, 195), 0)]
        figure = figures[int(g.integers(len(figures)))]
        size = min(1.0, aspect) * g.uniform(0.6, 0.95)
        return Scene(aspect, (*empty, *figure(aspect / 2, 0.5 + size / 2, size, g)))
    horizon = g.uniform(0.25, 0.7)
    shapes = _room(aspect, g) if g.random() < 0.25 else ground(aspect, horizon, g)
    if g.random() < 0.5:
        w = g.uniform(0.2, 0.6)
        place = (arch, house)[int(g.integers(2))]
        shapes += place(
            g.uniform(-0.1, max(aspect - w, 0)), g.uniform(horizon, 0.9), w, g.uniform(0.3, 0.7), g
        )
    for base in sorted(g.uniform(horizon, 1.02, int(g.integers(2, max(4, int(8 * aspect)))))):
        size = (0.12 + 0.65 * (base - horizon)) * g.uniform(0.6, 1.5)
        figure = figures[int(g.integers(len(figures)))]
        shapes += figure(g.uniform(0, aspect), base, size, g)
    return Scene(aspect, tuple(shapes))


def any_scene(aspect: float, g: Generator, figures: Sequence[Figure] = ()) -> Scene:
    """Draw one of the scenes above; with ``figures`` more than half of them are made of these."""
    if figures and g.random() < 0.6:
        return tableau(aspect, g, figures)
    makers = (landscape, crowd, crowd, portrait, seascape, beast)
    return makers[int(g.integers(len(makers)))](aspect, g)
