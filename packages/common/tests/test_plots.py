import pytest

pytest.importorskip("matplotlib")

import itertools
import re
from xml.etree import ElementTree

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from seminar_common import plots
from seminar_common.plots import Point
from seminar_common.results import Curve, Row


def curve(kind="roc", model="float", dataset="criteo-10k", split="test", y_label=""):
    return Curve(kind, model, dataset, split, x=(0.0, 0.3, 1.0), y=(0.0, 0.6, 1.0), y_label=y_label)


def row(model="float", value=0.74, **more):
    return Row(model, "criteo-10k", "test", "roc_auc", value, value - 0.02, value + 0.02, **more)


# Sizes and AUCs as crowded as in a study of quantized models: five within a factor of 1.3 in size.
CROWD = [
    Point(name, cost, quality, quality - 0.001, quality + 0.001)
    for name, cost, quality in [
        ("float", 40.1, 0.7912),
        ("8-bit", 10.2, 0.7911),
        ("4-bit", 5.5, 0.7908),
        ("2-bit", 2.9, 0.7861),
        ("binary", 1.32, 0.7795),
        ("binary-a4", 1.33, 0.7873),
        ("mixed-4-1", 1.6, 0.7893),
        ("mixed-2-1", 1.45, 0.7881),
        ("bitorch-binary", 1.32, 0.7608),
        ("4-bit, D = 4", 1.5, 0.7836),
        ("hashed float / 8", 5.3, 0.7741),
        ("hashed float / 32", 1.5, 0.7602),
        ("float, D = 4", 10.3, 0.7839),
        ("float, threshold 20", 14.2, 0.7866),
        ("binary, distilled", 1.34, 0.7869),
    ]
]


FIGURES = {
    "learning_curve": lambda: plots.learning_curve([curve("learning"), curve("learning", split="val")]),
    "roc": lambda: plots.roc([curve(), curve(model="binary")]),
    "calibration": lambda: plots.calibration([curve("calibration")]),
    "pareto": lambda: plots.pareto(CROWD, "Size (MB)", "ROC AUC"),
    "bars": lambda: plots.bars([row(), row("binary", 0.73)], "ROC AUC"),
}


@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
def test_svg_is_one_element_that_refers_to_nothing_outside(figure):
    text = plots.svg(figure())
    root = ElementTree.fromstring(text)

    assert text.startswith("<svg ")  # neither an XML header nor a document type: it stands inside a page
    assert re.findall(r"https?://[^\"' ]*", text) == [
        "http://www.w3.org/2000/svg"
    ]  # the namespace, never fetched
    assert "<style" not in text  # it would restyle the page around it
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    references = re.findall(r"(?:href=\"|url\()#([^\")]+)", text)
    assert set(references) == set(ids)
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
def test_same_input_gives_the_same_bytes(figure):
    assert plots.svg(figure()) == plots.svg(figure())


def test_reader_settings_change_nothing_and_are_left_alone():
    plain = plots.svg(plots.roc([curve()]))
    with matplotlib.rc_context({"font.size": 31, "svg.fonttype": "path", "axes.grid": False}):
        before = dict(matplotlib.rcParams)
        assert plots.svg(plots.roc([curve()])) == plain
        assert dict(matplotlib.rcParams) == before


def test_ids_of_several_figures_in_one_page_do_not_clash():
    texts = [plots.svg(figure()) for figure in FIGURES.values()]
    texts += [plots.svg(plots.roc([curve()]), prefix=prefix) for prefix in ("a", "b")]  # drawn alike
    ids = [i for text in texts for i in re.findall(r'\bid="([^"]+)"', text)]
    assert len(ids) > len(texts)
    assert len(ids) == len(set(ids))


def test_accessible_name_says_what_the_plot_shows():
    text = plots.svg(plots.roc([curve(), curve(model="binary")]))
    root = ElementTree.fromstring(text)
    title = root.find("{http://www.w3.org/2000/svg}title")
    assert title is not None
    assert (
        title.text
        == root.get("aria-label")
        == "Receiver operating characteristic: float, binary on criteo-10k"
    )
    assert root.get("role") == "img"


def test_text_stays_text_and_keeps_what_markup_would_eat():
    # A dollar sign starts a formula in matplotlib, an angle bracket an element in XML.
    names = ["$x$ & <script>", "größer 模型", "two\nlines", "bad\x00byte\ud800"]
    text = plots.svg(plots.roc([curve(model=name) for name in names]))
    drawn = ["".join(e.itertext()) for e in ElementTree.fromstring(text).iter() if e.tag.endswith("}text")]
    assert {"$x$ & <script>", "größer 模型", "two lines", "bad\ufffdbyte\ufffd"} <= set(drawn)


def test_very_long_names_lose_their_middle_and_leave_room_for_the_plot():
    figure = plots.roc([curve(model="prefix-" + "very-" * 30 + "suffix")])
    label = next(text.get_text() for text in figure.legends[0].get_texts())
    assert label.startswith("prefix-") and label.endswith("suffix") and len(label) <= 36
    figure.draw_without_rendering()
    assert figure.axes[0].bbox.width > 150  # of 374 units


def test_a_model_keeps_its_colour_whichever_plot_it_is_in():
    models = ["float", "4-bit", "binary"]
    learning = plots.learning_curve([curve("learning", "binary")], models)
    roc = plots.roc([curve(model="float"), curve(model="binary")], models)
    dots = plots.bars([row("binary")], models=models)
    assert learning.axes[0].lines[0].get_color() == plots.COLOURS[2]
    assert roc.axes[0].lines[1].get_color() == plots.COLOURS[2]
    assert dots.axes[0].lines[0].get_color() == plots.COLOURS[2]


def test_more_models_than_colours_still_differ_by_their_dashes():
    figure = plots.roc([curve(model=f"model {i}") for i in range(len(plots.COLOURS) + 1)])
    first, again = figure.axes[0].lines[0], figure.axes[0].lines[len(plots.COLOURS)]
    assert first.get_color() == again.get_color()
    assert first.get_linestyle() != again.get_linestyle()


def test_learning_curve_tells_splits_apart_by_dash_and_name():
    figure = plots.learning_curve([curve("learning", split="train"), curve("learning", split="val")])
    train, val = figure.axes[0].lines
    assert (train.get_label(), val.get_label()) == ("float, train", "float, val")
    assert train.get_linestyle() != val.get_linestyle()


def test_calibration_shows_the_range_that_the_predictions_have():
    # Click rates: all probabilities are small, and a plot up to 1 would leave them in a corner.
    small = Curve("calibration", "float", "criteo-10k", "test", x=(0.01, 0.1), y=(0.02, 0.2))
    axes = plots.calibration([small]).axes[0]
    assert axes.get_xlim() == axes.get_ylim() == pytest.approx((0, 0.212))


def test_front_keeps_what_is_not_beaten_in_both():
    a, b, c, d = Point("a", 1, 0.7), Point("b", 2, 0.6), Point("c", 3, 0.9), Point("d", 3, 0.8)
    assert plots.pareto_front([d, c, b, a]) == [a, c]
    assert plots.pareto_front([a, b, c, d], higher_is_better=False) == [a, b]


def test_front_keeps_one_of_equals():
    assert plots.pareto_front([Point("a", 1, 0.7), Point("b", 1, 0.7), Point("c", 2, 0.7)]) == [
        Point("a", 1, 0.7)
    ]


def test_pareto_labels_of_15_points_overlap_neither_each_other_nor_a_point():
    figure = plots.pareto(CROWD, "Size (MB)", "ROC AUC")
    axes = figure.axes[0]
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    boxes = {
        text.get_text(): Text.get_window_extent(text, renderer) for text in axes.texts if text.get_text()
    }
    assert set(boxes) == {point.label for point in CROWD}
    for one, other in itertools.combinations(boxes.values(), 2):
        assert not one.overlaps(other)
    for point in CROWD:
        x, y = axes.transData.transform((point.cost, point.quality))
        assert not any(box.contains(x, y) for box in boxes.values())
    for box in boxes.values():
        assert axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1


@pytest.mark.parametrize("costs", [(0.9, 8.2), (8.1, 8.3), (0.001, 900.0)])
def test_cost_axis_has_plain_numbers_over_any_range(costs):
    figure = plots.pareto([Point("a", costs[0], 0.7), Point("b", costs[1], 0.8)])
    figure.draw_without_rendering()
    low, high = figure.axes[0].get_xlim()
    ticks = [t for t in figure.axes[0].xaxis.get_major_ticks() if low <= t.get_loc() <= high]
    assert len(ticks) >= 3
    assert all(float(t.label1.get_text().replace(",", "")) == pytest.approx(t.get_loc()) for t in ticks)


@pytest.mark.parametrize("points", [[], [Point("free", 0.0, 0.5)]])
def test_pareto_refuses_what_a_logarithmic_axis_cannot_hold(points):
    with pytest.raises(ValueError, match="cost above zero"):
        plots.pareto(points)


@pytest.mark.parametrize("draw", [plots.learning_curve, plots.roc, plots.calibration, plots.bars])
def test_nothing_to_draw_is_an_error(draw):
    with pytest.raises(ValueError, match="at least one"):
        draw([])


def test_bars_stand_in_order_with_their_intervals_in_print_units():
    figure = plots.bars([row("float", 0.74), row("binary", 0.73)], "Accuracy (%)", scale=100)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["float", "binary"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first row is on top
    assert [np.asarray(line.get_xdata())[0] for line in axes.lines] == pytest.approx([74.0, 73.0])
    interval = np.asarray(axes.collections[1].get_paths()[0].vertices)
    assert interval[:, 0] == pytest.approx([71.0, 75.0])


def test_bars_of_one_model_are_named_by_what_differs():
    figure = plots.bars([row(bits=4), row(bits=1, ablation="no distillation")])
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert names == ["float, 4", "float, 1, no distillation"]


def test_bars_do_not_say_twice_what_a_models_name_says():
    given = (("labelled-25", 25), ("labelled-50", 50), ("b4", 4), ("b4", 5))
    rows = [row(model, facts={"pages": pages}) for model, pages in given]
    figure = plots.bars(rows)
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert names == ["labelled-25", "labelled-50", "b4, 4", "b4, 5"]
