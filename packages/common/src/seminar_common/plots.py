"""Plots in one house style, and their SVG for a page.

Every function returns a new matplotlib ``Figure``, without ``pyplot`` and whatever the reader's
``matplotlibrc`` says, and leaves global settings as they were: the same input gives the same bytes. A model
keeps its colour in all plots that are given the same ``models``.

Text stays text. It is laid out in DejaVu Sans, which comes with matplotlib and is one of the widest sans
serifs, and drawn in the reader's own interface font. So labels can be searched, copied and read aloud, and
fit whatever font is there.
"""

import math
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, pairwise, product
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from seminar_common.results import Curve, Row

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito, "Color Universal Design" (2008), without yellow, which is too faint on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#4d4d4d")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", (0, (4, 1.6)), (0, (1, 1.4)), (0, (5, 1.5, 1, 1.5)))

INK = "#27303a"
MUTED = "#66717d"
FAINT = "#b4bcc5"
GRID = "#e7eaee"

SIZE = (
    5.2,
    3.7,
)  # inches, and 72 SVG units to the inch: 8.5 point text has 13 pixels in a plot 600 pixels wide
WIDE = (7.4, 4.2)

STYLE: Mapping[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": FAINT,
    "axes.formatter.use_mathtext": False,
    "axes.formatter.useoffset": False,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelpad": 6,
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.dpi": 72,  # so that a pixel of the layout is a point of the text
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.borderaxespad": 0.2,
    "legend.borderpad": 0,
    "legend.columnspacing": 1.6,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "legend.handletextpad": 0.6,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.7,
    "lines.markersize": 4.5,
    "savefig.dpi": 72,
    "svg.fonttype": "none",
    "svg.hashsalt": "seminar",
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a model's name is a dollar sign
    "xtick.color": FAINT,
    "xtick.labelcolor": MUTED,
    "xtick.major.size": 3,
    "xtick.minor.size": 0,
    "ytick.color": FAINT,
    "ytick.labelcolor": MUTED,
    "ytick.major.size": 0,
}

FONTS = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"

_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def printable(text: str) -> str:
    """Return ``text`` with a replacement character for each one that XML or UTF-8 can't hold."""
    return _UNPRINTABLE.sub("\ufffd", text)


def _name(text: str, longest: int = 36) -> str:
    """Return a name for print in one line, a very long one without its middle: names differ at the ends."""
    text = " ".join(printable(text).split())
    return text if len(text) <= longest else f"{text[: longest // 2]}…{text[1 - longest // 2 :]}"


# ---------------------------------------------------------------------------------------------- line plots


def learning_curve(curves: Sequence[Curve], models: Sequence[str] = ()) -> "Figure":
    """Draw a training figure against steps or epochs: a colour for each model, a dash for each split.

    Args:
        curves: lines that share what their axes measure; the first one's labels are used.
        models: all models of the page in their order of colours; those of ``curves`` if left out.

    Raises:
        ValueError: there is no curve, as in :func:`roc` and :func:`calibration`.
    """
    splits = list(dict.fromkeys(curve.split for curve in curves))
    with house_style():
        figure = new_figure(f"Learning curves: {_names(curves)}")
        axes = figure.add_subplot()
        for curve, look in _looks(curves, models):
            if len(splits) > 1:
                look["linestyle"] = DASHES[splits.index(curve.split) % len(DASHES)]
            axes.plot(curve.x, curve.y, label=_line_name(curve, curves), **look)
        axes.set_xlabel(_axis_label(curves[0].x_label or "Step"))
        axes.set_ylabel(_axis_label(curves[0].y_label))
        axes.margins(x=0.01)
        legend_above(figure, axes)
        return figure


def roc(curves: Sequence[Curve], models: Sequence[str] = ()) -> "Figure":
    """Draw true against false positive rate, with the diagonal of a random score."""
    with house_style():
        figure = new_figure(f"Receiver operating characteristic: {_names(curves)}")
        axes = _square_axes(figure, limit=1.0)
        for curve, look in _looks(curves, models):
            axes.plot(curve.x, curve.y, label=_line_name(curve, curves), **look)
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=DASHES[1], label="random", zorder=1)
        axes.set_xlabel(_axis_label(curves[0].x_label or "False positive rate"))
        axes.set_ylabel(_axis_label(curves[0].y_label or "True positive rate"))
        _legend_beside(figure, axes)
        return figure


def calibration(curves: Sequence[Curve], models: Sequence[str] = ()) -> "Figure":
    """Draw the observed rate against the mean predicted probability of each bin, with the diagonal."""
    with house_style():
        figure = new_figure(f"Calibration: {_names(curves)}")
        top = max((value for curve in curves for value in (*curve.x, *curve.y)), default=1.0)
        limit = min(1.0, 1.06 * top) or 1.0
        axes = _square_axes(figure, limit)
        for (curve, look), marker in zip(_looks(curves, models), cycle(MARKERS), strict=False):
            axes.plot(curve.x, curve.y, marker=marker, label=_line_name(curve, curves), **look)
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=DASHES[1], label="calibrated", zorder=1)
        axes.set_xlabel(_axis_label(curves[0].x_label or "Predicted probability"))
        axes.set_ylabel(_axis_label(curves[0].y_label or "Observed rate"))
        _legend_beside(figure, axes)
        return figure


def _names(curves: Sequence[Curve]) -> str:
    if not curves:
        raise ValueError("a plot needs at least one curve")
    models = ", ".join(dict.fromkeys(curve.model for curve in curves))
    return f"{models} on {', '.join(dict.fromkeys(curve.dataset for curve in curves))}"


def _line_name(curve: Curve, curves: Sequence[Curve]) -> str:
    """Return the model, and the data set and the split where ``curves`` have several."""
    parts = [curve.model]
    parts += [curve.dataset] if len({c.dataset for c in curves}) > 1 else []
    parts += [curve.split] if len({c.split for c in curves}) > 1 else []
    return _name(", ".join(part for part in parts if part))


def _looks(curves: Sequence[Curve], models: Sequence[str]) -> Iterator[tuple[Curve, dict[str, Any]]]:
    """Yield each curve with the look of its model: a colour, and another dash after the last colour."""
    order = list(dict.fromkeys([*models, *(curve.model for curve in curves)]))
    for curve in curves:
        again, colour = divmod(order.index(curve.model), len(COLOURS))
        yield curve, {"color": COLOURS[colour], "linestyle": DASHES[again % len(DASHES)]}


# ------------------------------------------------------------------------------------ points with intervals


@dataclass(frozen=True)
class Point:
    """One model in a plot of cost against quality."""

    label: str
    cost: float
    """Above zero: it stands on a logarithmic axis."""
    quality: float
    low: float | None = None
    """Lower end of the quality's interval."""
    high: float | None = None
    """Upper end of the quality's interval."""


def pareto(
    points: Sequence[Point],
    cost_label: str = "Cost",
    quality_label: str = "Quality",
    higher_is_better: bool = True,
) -> "Figure":
    """Draw quality against cost, with a step line along the points that no other beats in both.

    Raises:
        ValueError: there is no point, or a cost is not above zero.
    """
    if not points or min(point.cost for point in points) <= 0:
        raise ValueError("a Pareto plot needs points, each with a cost above zero")
    front = pareto_front(points, higher_is_better)
    with house_style():
        best = ", ".join(point.label for point in front)
        size = SIZE if len(points) <= 6 else WIDE
        figure = new_figure(f"{quality_label} against {cost_label}; on the Pareto front: {best}", size)
        axes = figure.add_subplot(xscale="log")
        axes.step(
            [p.cost for p in front], [p.quality for p in front], where="post", color=COLOURS[5], linewidth=1.4
        )
        for point in points:
            _draw_point(axes, point, COLOURS[0] if point in front else MUTED, point in front)
        axes.margins(x=0.13, y=0.1)
        axes.set_xlabel(_axis_label(cost_label))
        axes.set_ylabel(_axis_label(quality_label))
        _plain_log_ticks(axes)
        _label_points(figure, axes, points, front)
        return figure


def pareto_front(points: Sequence[Point], higher_is_better: bool = True) -> list[Point]:
    """Return the points that no cheaper or equally cheap point equals or beats, cheapest first."""
    sign = 1 if higher_is_better else -1
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.cost, -sign * p.quality)):
        if not front or sign * point.quality > sign * front[-1].quality:
            front.append(point)
    return front


def bars(rows: Sequence[Row], label: str = "", scale: float = 1.0, models: Sequence[str] = ()) -> "Figure":
    """Draw a dot with its 95% interval for each row, the first one on top.

    Dots and not bars from zero, because the differences that matter are small beside the figures.

    Args:
        rows: rows of one metric.
        label: what the axis measures; the metric's name if left out.
        scale: factor from the file to print, e.g. 100 for percent.
        models: all models of the page in their order of colours; those of ``rows`` if left out.

    Raises:
        ValueError: there is no row.
    """
    if not rows:
        raise ValueError("a plot of bars needs at least one row")
    order = list(dict.fromkeys([*models, *(row.model for row in rows)]))
    names = _row_names(rows)
    with house_style():
        figure = new_figure(
            f"{label or rows[0].metric}: {', '.join(names)}", (SIZE[0], 0.75 + 0.27 * len(rows))
        )
        axes = figure.add_subplot()
        for y, row in enumerate(rows):
            # The axis names the rows; a colour that stood for two models would only mislead.
            colour = COLOURS[order.index(row.model) if len(order) <= len(COLOURS) else 0]
            if row.ci_low is not None and row.ci_high is not None:
                axes.hlines(y, scale * row.ci_low, scale * row.ci_high, color=colour, linewidth=3, alpha=0.35)
            axes.plot(scale * row.value, y, "o", color=colour, markersize=6)
        axes.set_yticks(range(len(rows)), names, color=INK)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.margins(x=0.06)
        axes.set_xlabel(_axis_label(label or rows[0].metric))
        return figure


def _row_names(rows: Sequence[Row]) -> list[str]:
    """Return for each row its model, and what else tells it from the other rows."""
    own = dict.fromkeys(key for row in rows for key in row.facts)
    keys = ("dataset", "split", "label", "subset", *own, "bits", "engine", "ablation")
    varying = [key for key in keys if len({row.get(key) for row in rows}) > 1]
    values: dict[tuple[str, str], set[Any]] = {}
    for row, key in product(rows, varying):
        values.setdefault((row.model, key), set()).add(row.get(key))
    # A value that a model has throughout, and that its name says already, is not said twice.
    parts = [
        [row.model]
        + [
            row.get(key)
            for key in varying
            if len(values[row.model, key]) > 1 or str(row.get(key)) not in row.model
        ]
        for row in rows
    ]
    return [_name(", ".join(str(part) for part in some if part not in (None, ""))) for some in parts]


def _draw_point(axes: "Axes", point: Point, colour: str, on_front: bool) -> None:
    if point.low is not None and point.high is not None:
        axes.vlines(point.cost, point.low, point.high, color=colour, linewidth=1.1, alpha=0.45)
    face = colour if on_front else "white"
    axes.plot(
        point.cost,
        point.quality,
        "o",
        color=colour,
        markerfacecolor=face,
        markeredgewidth=1.2,
        markersize=5.5,
    )


def _plain_log_ticks(axes: "Axes") -> None:
    """Mark 1, 2 and 5 of each decade in plain numbers, or any round numbers within one decade."""
    from matplotlib.ticker import AutoLocator, FuncFormatter, LogLocator, NullLocator

    low, high = axes.get_xlim()
    decades = math.log10(high / low)
    locator = LogLocator(subs=(1.0, 2.0, 5.0) if decades < 4 else (1.0,)) if decades > 1 else AutoLocator()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


# -------------------------------------------------------------------------------- labels that do not overlap


def _label_points(figure: "Figure", axes: "Axes", points: Sequence[Point], front: Sequence[Point]) -> None:
    """Name every point beside it, where the name covers no other name, point, interval or step of the front."""
    from adjustText import adjust_text

    figure.draw_without_rendering()  # fixes the layout, so that data coordinates have pixels
    texts = [
        axes.text(p.cost, p.quality, _name(p.label), fontsize=8, color=INK if p in front else MUTED)
        for p in points
    ]
    for text in texts:
        text.set_in_layout(False)
    x, y = _taken(axes, points, front).T
    adjust_text(
        texts,
        x,
        y,
        target_x=[p.cost for p in points],
        target_y=[p.quality for p in points],
        ax=axes,
        iter_lim=500,  # and no limit of time: the same input gives the same places
        expand=(1.2, 1.4),
        force_text=(0.3, 0.5),
        force_static=(0.2, 0.4),
        min_arrow_len=12,
        arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.7},
    )


def _taken(axes: "Axes", points: Sequence[Point], front: Sequence[Point]) -> "np.ndarray":
    """Return places that names leave free, [n, 2]: the points, and some along intervals and the front's steps."""
    import numpy as np

    lines = [[(p.cost, p.low), (p.cost, p.high)] for p in points if p.low is not None and p.high is not None]
    for one, other in pairwise(front):
        corner = (other.cost, one.quality)
        lines += [[(one.cost, one.quality), corner], [corner, (other.cost, other.quality)]]
    pixels = [np.linspace(*axes.transData.transform(line), 12) for line in lines]
    centres = np.array([(p.cost, p.quality) for p in points])
    return np.concatenate([centres, *map(axes.transData.inverted().transform, pixels)])


# ------------------------------------------------------------------------------------------ figures and SVG


def _axis_label(text: str) -> str:
    text = printable(text)
    return text[:1].upper() + text[1:]


@contextmanager
def house_style() -> Generator[None]:
    """Set the style for a block, from matplotlib's defaults and not from the reader's own settings."""
    import warnings

    import matplotlib.style

    with matplotlib.style.context(["default", dict(STYLE)]), warnings.catch_warnings():
        # A character that the layout's font lacks is drawn by the reader's fonts.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def new_figure(description: str, size: tuple[float, float] = SIZE) -> "Figure":
    """Return an empty figure whose ``description`` becomes the title of its SVG; draw in it under :func:`house_style`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    figure.set_label(printable(description))
    return figure


def _square_axes(figure: "Figure", limit: float) -> "Axes":
    axes = figure.add_subplot(aspect="equal", xlim=(0, limit), ylim=(0, limit))
    axes.xaxis.set_major_locator(_few_ticks())
    axes.yaxis.set_major_locator(_few_ticks())
    return axes


def _few_ticks() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(5, steps=[1, 2, 2.5, 5, 10])


def legend_above(figure: "Figure", axes: "Axes") -> None:
    """Put the legend over the axes, in as many columns as its longest name lets fit."""
    handles, labels = axes.get_legend_handles_labels()
    columns = max(1, min(len(labels), 80 // (max(map(len, labels)) + 6)))
    figure.set_figheight(figure.get_figheight() + 0.16 * (-(-len(labels) // columns) - 1))
    figure.legend(handles, labels, loc="outside upper left", ncols=columns)


def _legend_beside(figure: "Figure", axes: "Axes") -> None:
    """Put the legend to the right of square axes, or above them if it would take their room."""
    labels = axes.get_legend_handles_labels()[1]
    if len(labels) > 14 or max(map(len, labels)) > 18:
        legend_above(figure, axes)
    else:
        axes.legend(loc="upper left", bbox_to_anchor=(1.03, 1.0))


_SVG = "http://www.w3.org/2000/svg"
_XLINK_HREF = "{http://www.w3.org/1999/xlink}href"


def svg(figure: "Figure", prefix: str = "") -> str:
    """Return ``figure`` as an ``<svg>`` element to put inside a page.

    It refers to nothing outside itself, and its figure's description is its accessible name. Ids are kept
    only where something points at them; they start with ``prefix``, by default a digest of the drawing, so
    that different figures in one page don't clash.
    """
    import hashlib

    text = _draw(figure)
    root = ElementTree.fromstring(text)
    for unwanted in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}defs[{{{_SVG}}}style]"):
        for element in root.findall(unwanted):
            root.remove(element)
    _rename_ids(root, prefix or "f" + hashlib.blake2b(text.encode(), digest_size=6).hexdigest())
    _tidy(root)
    description = str(figure.get_label())
    _, _, width, height = root.attrib["viewBox"].split()
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "width": width,
        "height": height,
        "role": "img",
        "aria-label": description,
        "font-family": FONTS,
        "stroke-linejoin": "round",  # matplotlib says it in a style sheet, which would reach the whole page
    }
    title = ElementTree.Element(f"{{{_SVG}}}title")
    title.text = description
    root.insert(0, title)
    return _serialize(root)


def _draw(figure: "Figure") -> str:
    import io

    buffer = io.StringIO()
    with house_style():
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return buffer.getvalue()


def _rename_ids(root: ElementTree.Element, prefix: str) -> None:
    """Drop the ids that nothing refers to and number the others behind ``prefix``."""
    used = " ".join(value for e in root.iter() for key, value in e.items() if key != "id")
    names = {}
    for element in root.iter():
        name = element.attrib.pop("id", "")
        if name and re.search(rf"#{re.escape(name)}\b", used):
            element.attrib["id"] = names[name] = f"{prefix}-{len(names)}"
    for element in root.iter():
        for key, value in list(element.items()):
            if key == _XLINK_HREF:
                element.attrib["href"] = "#" + names[element.attrib.pop(key)[1:]]
            elif value.startswith("url(#"):
                element.attrib[key] = f"url(#{names[value[5:-1]]})"


def _tidy(root: ElementTree.Element) -> None:
    """Drop the white space between elements and matplotlib's font lists: the root's list holds for all."""
    for element in root.iter():
        if not element.tag.endswith("text"):
            element.text = None
        element.tail = None
        if "d" in element.attrib:
            element.attrib["d"] = " ".join(element.attrib["d"].split())
        if "style" in element.attrib:
            element.attrib["style"] = re.sub(r"font-family: [^;]*;? ?", "", element.attrib["style"])


def _serialize(root: ElementTree.Element) -> str:
    """Return XML without namespace prefixes, as HTML wants it."""
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{_SVG}}}")
    root.attrib = {"xmlns": _SVG, **root.attrib}
    return ElementTree.tostring(root, encoding="unicode")
