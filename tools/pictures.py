"""Draw the three pictures that the README opens with; run it after new results: ``python tools/pictures.py``.

The words and the points come from committed results. What else is shown may be shown: pages that the generator
draws, with what the detector that ships finds on them, and scikit-learn's digits, as discovery groups them. A PNG keeps
its words in its metadata, so that a test sees whether they still are what the results say.
"""

import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from seminar_common.display import metric_named
from seminar_common.results import Results, Row, read_results

ROOT = Path(__file__).parents[1]
FOLDER = Path("docs/pictures")
WIDTH, HEIGHT = 960, 860
INK, MUTED, FAINT, PAPER = "#1c232b", "#5d6875", "#d5dbe1", "#ffffff"
OURS, PEER = "#0072b2", "#b4561d"
TITLE, TEXT, SMALL = 54, 35, 29
"""Sizes of letters: a third of the width must do where the three stand side by side."""
MARGIN, TOP = 40, 96
WORDS = "Description"
"""Key of a PNG's words in its metadata."""


@dataclass(frozen=True)
class Words:
    """What stands above and below a picture."""

    title: str
    below: tuple[str, ...]

    @property
    def text(self) -> str:
        """All of it, for people who can't see the picture and for the test."""
        return "\n".join((self.title, *self.below))


# ---------------------------------------------------------------------------------------------------- words


def _results(root: Path, study: str) -> Results:
    return read_results(root / "docs" / "results" / study)


def _figure(row: Row) -> str:
    metric = metric_named(row.metric)
    return f"{metric.text(row.value)} {metric.interval(row)}".strip()


SMALLEST = "mixed-e1h8-b8-w8-a8"
"""The model of the study whose size is shown: 1-bit rows, 8-bit MLPs."""


def recommender_words(root: Path) -> Words:
    """Say how much smaller a model is at which difference in AUC."""
    study = _results(root, "recsys_bnn/synthetic-5m-fresh")
    size = {model: study.one(model=model, metric="size_mb", split="").value for model in ("float", SMALLEST)}
    paired = study.one(model=SMALLEST, metric="roc_auc_difference", split="test", baseline="float")
    assert paired.ci_low is not None and paired.n is not None
    loss = "no AUC lost" if paired.ci_low >= 0 else f"AUC {_figure(paired)}"
    return Words(
        f"{math.floor(size['float'] / size[SMALLEST])} times smaller, {loss}",
        (
            f"A recommender of {size['float']:.1f} MB in {size[SMALLEST]:.2f} MB",
            f"AUC {_figure(paired)}, {paired.n:,} rows",
        ),
    )


def pages_words(root: Path) -> Words:
    """Say how well pages with an illustration are found, and how well by the peer."""
    study = _results(root, "doc_detect/historical-test")
    key = {"metric": "page_ap", "label": "graphic", "subset": "all"}
    ours = study.one(model="source-only", boxes="drawn", **key)
    peer = study.one(model="rapid-layout", **key)
    return Words(
        "Finds the pictures in scans",
        (
            f"Finds such pages: AP {_figure(ours)}",
            f"on {ours.n} pages of old books; RapidLayout {metric_named('page_ap').text(peer.value)}",
        ),
    )


def groups_words(root: Path) -> Words:
    """Say how well images are grouped, and how well by k-means."""
    study = _results(root, "gcd_longtail/study")
    key = {"metric": "macro_all", "dataset": "caltech101", "split": "transductive", "ablation": None}
    ours, peer = (study.one(model=model, **key) for model in ("shift-merge-mix", "kmeans"))
    return Words(
        "Groups what has no name yet",
        (f"Accuracy, mean of classes {_figure(ours)}", f"on Caltech-101; k-means {_figure(peer)}"),
    )


# -------------------------------------------------------------------------------------- AUC against bytes

NAMED = {
    "float": ("full precision", "left"),
    "8-bit": ("8-bit", "below"),
    SMALLEST: ("1-bit tables", "above"),
    "binary-a4": ("1-bit weights", "right"),
    "float-hashed-32x": ("hashed tables", "right"),
    "bitorch-binary": ("bitorch", "right"),
}
"""Models that are drawn, their names for a newcomer and where these stand."""
PEERS = ("float-hashed-32x", "bitorch-binary")
_MB, _AUC = (0.7, 45.0), (0.768, 0.829)
_LEFT, _RIGHT, _UP, _DOWN = 128, WIDTH - 40, 118, 648


def _x(size: float) -> float:
    low, high = map(math.log, _MB)
    return _LEFT + (math.log(size) - low) / (high - low) * (_RIGHT - _LEFT)


def _y(auc: float) -> float:
    return _DOWN - (auc - _AUC[0]) / (_AUC[1] - _AUC[0]) * (_DOWN - _UP)


def recommender_svg(root: Path) -> str:
    """Return the picture of ROC AUC against megabytes."""
    study, words = _results(root, "recsys_bnn/synthetic-5m-fresh"), recommender_words(root)
    parts = [
        _label(words.title, MARGIN, TITLE + 22, _fitting(words.title, TITLE, bold=True).size, weight=700)
    ]
    for auc in (0.77, 0.79, 0.81):
        parts += [_line(_LEFT, _y(auc), _RIGHT, _y(auc), FAINT)]
        parts += [_label(f"{auc:.2f}", _LEFT - 14, _y(auc) + 10, SMALL, MUTED, "end")]
    for size in (1, 3, 10, 30):
        parts += [_label(f"{size} MB", _x(size), _DOWN + 40, SMALL, MUTED, "middle")]
    parts += [_label("AUC", MARGIN, _UP + 30, SMALL, MUTED)]
    parts += [_line(_LEFT, _DOWN, _RIGHT, _DOWN, MUTED)]
    best = study.one(model="best-possible", metric="roc_auc", split="test").value
    parts += [_line(_LEFT, _y(best), _RIGHT, _y(best), MUTED, 'stroke-dasharray="10 9"')]
    parts += [_label("the best possible", _RIGHT, _y(best) + 36, SMALL, MUTED, "end")]
    for model, (name, side) in NAMED.items():
        parts += _model_point(study, model, name, side)
    return _svg(words, parts)


def _model_point(study: Results, model: str, name: str, side: str) -> list[str]:
    x = _x(study.one(model=model, metric="size_mb", split="", ablation=None).value)
    y = _y(study.one(model=model, metric="roc_auc", split="test", ablation=None).value)
    colour = PEER if model in PEERS else OURS
    places = {
        "right": (x + 24, y + 10, "start"),
        "left": (x + 16, y + 50, "end"),
        "below": (x, y + 50, "middle"),
        "above": (x - 12, y - 26, "start"),
    }
    left, baseline, anchor = places[side]
    radius = 17 if model == SMALLEST else 12
    return [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>',
        _label(name, left, baseline, SMALL, colour, anchor, 700 if model == SMALLEST else 400),
    ]


def _label(
    text: str, x: float, y: float, size: int, colour: str = INK, anchor: str = "start", weight: int = 400
) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}"'
    return f'<text {place} text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, more: str = "") -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="2" {more}/>'.replace(" />", "/>")


def _svg(words: Words, parts: Sequence[str]) -> str:
    below = [
        _label(line, MARGIN, _below(number), _fitting(line, TEXT).size, MUTED if number else INK)
        for number, line in enumerate(words.below)
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" font-family="system-ui, \'Segoe UI\', Helvetica, Arial, sans-serif">'
    )
    frame = f'<rect x="1" y="1" width="{WIDTH - 2}" height="{HEIGHT - 2}" rx="18" fill="{PAPER}" stroke="{FAINT}"/>'
    return "\n".join([head, f"<title>{escape(words.text)}</title>", frame, *parts, *below, "</svg>", ""])


def _below(number: int) -> int:
    """Return the baseline of a line below the picture."""
    return HEIGHT - 84 + 50 * number


# ------------------------------------------------------------------------------------------ pages with boxes

SEED, PAGES, SHOWN = 5, 12, (5, 10)
"""Of so many drawn pages, those that are shown."""
COLOURS = {"graphic": "#d53e28", "drop_capital": "#1a7a44", "table": "#2662be", "stamp": "#943caa"}
CALLED = {"graphic": "picture", "drop_capital": "initial", "table": "table", "stamp": "stamp"}
_PAGE_HEIGHT = 560


def pages_png(root: Path) -> Any:
    """Return the picture of synthetic pages with what the shipped detector finds on them."""
    from doc_detect.predict import predict
    from doc_detect.predictions import SURE, open_predictions
    from doc_detect.settings.job import PredictSettings
    from doc_detect.settings.synth import SynthSettings
    from doc_detect.synth import synth

    image = _card(pages_words(root))
    with tempfile.TemporaryDirectory() as name:
        pages, found = Path(name) / "pages", Path(name) / "found"
        synth(SynthSettings(pages, PAGES, "all", seed=SEED, long_side=900, val_share=0))
        predict(PredictSettings((pages / "images",), found))
        seen = [page for page in open_predictions(found) if int(Path(page.file).stem) in SHOWN]
        x = MARGIN
        for page in seen:
            scan = _boxed(pages / "images" / page.file, [box for box in page.boxes if box.score >= SURE])
            room = (WIDTH - 2 * MARGIN - 2 * 20) // len(SHOWN)
            scan.thumbnail((room, _PAGE_HEIGHT))
            scan = _without_grain(scan)
            image.paste(scan, (x + (room - scan.width) // 2, TOP + (_PAGE_HEIGHT - scan.height) // 2 + 10))
            x += room + 20
    _legend(image, [(CALLED[label], COLOURS[label]) for label in ("graphic", "drop_capital")])
    return image


def _boxed(file: Path, boxes: Sequence[Any]) -> Any:
    from PIL import Image, ImageDraw

    with Image.open(file) as opened:
        scan = opened.convert("RGB")
    draw = ImageDraw.Draw(scan)
    for box in boxes:
        if box.label in COLOURS:
            draw.rectangle(box.xyxy, outline=COLOURS[box.label], width=max(6, scan.height // 110))
    return scan


def _without_grain(scan: Any) -> Any:
    """Return a scan without the grain of its paper, which takes most of a PNG's bytes."""
    import cv2
    import numpy as np
    from PIL import Image, ImageDraw

    smooth = cv2.bilateralFilter(np.asarray(scan), 7, 28, 5)
    framed = Image.fromarray(((smooth.astype(np.int32) + 7) // 15 * 15).astype(np.uint8))
    ImageDraw.Draw(framed).rectangle((0, 0, framed.width - 1, framed.height - 1), outline=FAINT)
    return framed


def _legend(image: Any, entries: Sequence[tuple[str, str]]) -> None:
    """Name the colours of the boxes, in a line under the pages."""
    from PIL import ImageDraw

    draw, x, y = ImageDraw.Draw(image), MARGIN, TOP + _PAGE_HEIGHT + 30
    for text, colour in entries:
        draw.rectangle((x, y + 4, x + 30, y + 28), outline=colour, width=6)
        draw.text((x + 42, y), text, colour, _font(SMALL))
        x += 74 + draw.textlength(text, _font(SMALL))
    note = "synthetic pages"
    draw.text((WIDTH - MARGIN - draw.textlength(note, _font(SMALL)), y), note, MUTED, _font(SMALL))


# --------------------------------------------------------------------------------------------- digits, grouped

_DIGIT, _GAP, _ROW = 68, 6, 80


def groups_png(root: Path) -> Any:
    """Return the picture of scikit-learn's digits in the groups that discovery makes of them."""
    from PIL import Image, ImageDraw

    image = _card(groups_words(root))
    draw, y = ImageDraw.Draw(image), TOP + 14
    for heading, rows in _found_groups():
        draw.text((MARGIN, y), heading, OURS, _font(SMALL))
        y += 42
        for name, digits in rows:
            draw.text((MARGIN, y + 16), name, INK, _font(SMALL + 4, bold=True))
            for column, digit in enumerate(digits):
                tile = Image.fromarray(255 - digit).resize((_DIGIT, _DIGIT), Image.Resampling.NEAREST)
                image.paste(tile, (MARGIN + 150 + column * (_DIGIT + _GAP), y))
            y += _ROW
        y += 6
    return image


def _found_groups() -> list[tuple[str, list[tuple[str, list[Any]]]]]:
    """Discover the digits that have no label; return two known classes and four new groups, with images."""
    import numpy as np
    from sklearn.datasets import load_digits

    from gcd_longtail.discovery.run import load_found
    from gcd_longtail.features import features
    from gcd_longtail.figures.gallery import centrality
    from gcd_longtail.images.sources import open_source
    from gcd_longtail.protocol.data import load
    from gcd_longtail.protocol.split_file import read_source
    from gcd_longtail.settings.commands import (
        FeatureConfig,
        FeaturesSettings,
        SourceConfig,
        SplitSettings,
        TrainSettings,
    )
    from gcd_longtail.split import split
    from gcd_longtail.train import train

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        split(SplitSettings(folder / "data", SourceConfig(Path("digits"), "digits"), imbalance_ratio=10))
        config = FeatureConfig(backbone="pixels", size=8)
        features(FeaturesSettings(folder / "data", config, cache=folder / "features"))
        train(TrainSettings(folder / "data", "shift-merge-mix", folder / "run", k="estimated"))
        data, (_, found) = load(folder / "data"), load_found(folder / "run")
        source, where = open_source(read_source(folder / "data")), data.where("U")
        numbers = np.array([source.numbers[data.split.keys[i]] for i in where])
    classes = found.discovery.assignments
    order = np.argsort(-centrality(found.discovery.predictor, data.problem.unlabelled, classes))
    images = (load_digits().images * 255 / 16).astype(np.uint8)

    def row(number: int) -> list[Any]:
        members = order[classes[order] == number]
        spread = members[np.linspace(0, len(members) - 1, 10).astype(int)]
        return [images[numbers[i]] for i in spread]

    sizes = np.bincount(classes, minlength=found.discovery.k)
    known = np.argsort(-sizes[: found.known])[:2].tolist()
    novel = (found.known + np.argsort(-sizes[found.known :])[:4]).tolist()
    return [
        ("with labels of a few", [(found.names[i], row(i)) for i in known]),
        ("found without any label", [(f"new {j}", row(i)) for j, i in enumerate(novel, start=1)]),
    ]


# ------------------------------------------------------------------------------------------------------ PNG


def _font(size: int, bold: bool = False) -> Any:
    import matplotlib
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name, size)


def _card(words: Words) -> Any:
    """Return a white card with the words."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, WIDTH - 1, HEIGHT - 1), outline=FAINT, width=2)
    draw.text((MARGIN, 24), words.title, INK, _fitting(words.title, TITLE, bold=True))
    for number, line in enumerate(words.below):
        font = _fitting(line, TEXT)
        draw.text((MARGIN, _below(number)), line, MUTED if number else INK, font, anchor="ls")
    return image


def _fitting(text: str, size: int, bold: bool = False) -> Any:
    """Return the font of ``size``, or smaller where the text would not fit."""
    while _font(size, bold).getlength(text) > WIDTH - 2 * MARGIN:
        size -= 1
    return _font(size, bold)


def save_png(image: Any, words: Words, out: Path) -> None:
    """Write a picture in 96 colours, its words in the metadata."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_itxt(WORDS, words.text)
    small = image.quantize(96, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    small.save(out, optimize=True, pnginfo=info)


def stale(root: Path = ROOT) -> list[str]:
    """Return the names of the pictures that say something else than the results of today."""
    from PIL import Image

    folder, old = root / FOLDER, []
    if (folder / "recsys_bnn.svg").read_text(encoding="utf-8") != recommender_svg(root):
        old.append("recsys_bnn.svg")
    for name, words in (("doc_detect.png", pages_words), ("gcd_longtail.png", groups_words)):
        with Image.open(folder / name) as image:
            if image.info.get(WORDS) != words(root).text:
                old.append(name)
    return old


def main(names: Sequence[str]) -> None:
    """Draw the pictures whose names are given, or all."""
    folder = ROOT / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    if not names or "recsys_bnn" in names:
        (folder / "recsys_bnn.svg").write_text(recommender_svg(ROOT), encoding="utf-8")
    if not names or "doc_detect" in names:
        save_png(pages_png(ROOT), pages_words(ROOT), folder / "doc_detect.png")
    if not names or "gcd_longtail" in names:
        save_png(groups_png(ROOT), groups_words(ROOT), folder / "gcd_longtail.png")


if __name__ == "__main__":
    main(sys.argv[1:])
