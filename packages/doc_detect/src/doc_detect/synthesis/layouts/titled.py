"""Tables with what belongs to them on modern pages: a title above, notes below."""

import numpy as np

from doc_detect.synthesis.canvas import Canvas
from doc_detect.synthesis.layouts import tables
from doc_detect.synthesis.layouts.modern import Area, Design
from doc_detect.synthesis.layouts.table_recipes import MODERN
from doc_detect.synthesis.text import fitted, set_line
from doc_detect.synthesis.words import roman

Generator = np.random.Generator


def titled_table(
    canvas: Canvas,
    area: Area,
    made: Design,
    g: Generator,
    recipe: str = "",
    typed: bool = False,
    titles: float = 0.65,
) -> float:
    """Print a table, some with notes below.

    Args:
        canvas: The page.
        area: x, y, width and the height at most, px.
        made: The page's typography.
        g: Generator.
        recipe: As in :func:`doc_detect.synthesis.layouts.tables.table`.
        typed: Whether a typewriter sets it.
        titles: Share of tables with a title above.

    Returns:
        The y below table and notes; the area's own where there is no room for both.
    """
    x, y, width, height = area
    bottom, style = y + height, made.small
    if height < 2 * tables.LEAST_LINES * style.leading:
        return y
    if g.random() < titles:
        y = _title(canvas, area, made, g)
    notes = int(g.choice([0, 0, 0, 1, 2, 3]))
    room = bottom - y - notes * style.leading
    recipe = recipe or tables.draw_from(MODERN, g)
    y = tables.table(canvas, (x, y, width, room), style, made.writer, g, recipe, None, typed)
    y += style.leading * g.uniform(0.2, 0.5)
    for k in range(notes if bottom - y > notes * style.leading else 0):
        mark = (
            "Source: "
            if k == notes - 1 and g.random() < 0.4
            else str(g.choice(["* ", "a. ", "1 ", "Note: "]))
        )
        text = fitted(mark + made.writer.phrase(3, 14), style, width * 0.9)
        set_line(canvas, text, x, y, style.scaled(0.9), "main_text")
        y += style.leading * 0.95
    return y


def _title(canvas: Canvas, area: Area, made: Design, g: Generator) -> float:
    """Set a table's number and title as one caption; return the y below."""
    x, y, width, _ = area
    style = made.bold if g.random() < 0.4 else made.small
    number = int(g.integers(1, 40))
    lead = str(
        g.choice([f"TABLE {roman(number)}.", f"Table {number}.", f"No. {number}.—", "", f"TABLEAU {number}"])
    )
    words = made.writer.phrase(2, 9)
    lines = [lead, words.upper() if g.random() < 0.4 else words.capitalize()]
    if g.random() < 0.5:
        lines = [" ".join(lines).strip()]
    if g.random() < 0.3:
        lines.append(f"({made.writer.phrase(1, 4)})")
    align = float(g.choice([0.0, 0.5]))
    boxes = []
    for text in filter(None, lines):
        boxes.append(set_line(canvas, fitted(text, style, width), x + width * align, y, style, None, align))
        y += style.leading
    canvas.add("caption", [box for box in boxes if box])
    return y + style.leading * g.uniform(0.15, 0.7)
