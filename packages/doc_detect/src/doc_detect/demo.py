"""The demo: find illustrations on pages of a kind that the detector has never seen, before and after adapting it."""

import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from doc_detect.adapt import FACTS, ONNX, adapt
from doc_detect.classes import class_index
from doc_detect.coco import CocoPage, CocoSet, read_coco, write_coco
from doc_detect.crop import crop
from doc_detect.detectors.onnx import OnnxDetector, default_model
from doc_detect.figures.demo_pictures import boxed_page, cut_outs, gains, pair, said, side_by_side, telling
from doc_detect.figures.detection_report import page_pictures
from doc_detect.figures.findings import find_on_pages, measured_labels
from doc_detect.figures.measured import Figure, drawn_figures, figure_row, units
from doc_detect.gallery import main as write_gallery
from doc_detect.predict import predict
from doc_detect.predictions import open_predictions
from doc_detect.settings.adaptation import AdaptSettings
from doc_detect.settings.job import CropSettings, GallerySettings, PredictSettings
from doc_detect.settings.synth import SynthSettings
from doc_detect.synth import synth
from doc_detect.training.pages import read_labelled
from seminar_common import files
from seminar_common.bootstrap import cluster_weights
from seminar_common.demo_page import Bar, Bars, Panel, Story
from seminar_common.demos import DemoSettings, run_demos
from seminar_common.device import choose_threads
from seminar_common.display import DIFFERENCE, metric_named
from seminar_common.errors import UserError
from seminar_common.progress import progress, say
from seminar_common.results import Results, Row
from seminar_common.runs import command_line
from seminar_common.work import WorkConfig

PAGES = SynthSettings(out=Path(), pages=180, world="catalogue", ink=True, long_side=640, val_share=0.45)
"""Almost half of them are measured on."""
BOXED = 40
"""Pages of the collection with boxes; from 25 they are trained on."""
ADAPTATION = AdaptSettings(
    optimization=dataclasses.replace(AdaptSettings().optimization, steps=80), log_every=20
)
SOURCE, SCANS, BOXES = "source-only", "adapted", "adapted-boxed"
"""The detector that ships; adapted by the scans alone; adapted by them and by pages with boxes."""
METRICS = ("ap", "ap50", "page_ap", "page_f1", "crop_iou")
SURE = 0.3
"""Score from which illustrations are cut out."""
RESAMPLES = 500
_MOST_REAL_PAGES = 40


def main(settings: DemoSettings) -> None:
    """Run this topic's demo alone; the function behind ``doc-detect demo``."""
    run_demos({"doc_detect": demo}, settings)


def demo(folder: Path, data: Path | None) -> Story:
    """Make negatives of pages, adapt the detector that ships to them, measure, predict and cut out; fill ``folder``.

    Args:
        folder: Folder to make.
        data: Folder of real data, whose pages are looked at besides; None looks at synthetic pages alone.
    """
    real = None if data is None else real_pages(data)
    work = WorkConfig(choose_threads()[0])
    synth(dataclasses.replace(PAGES, out=folder / "ink", work=work))
    target = write_negatives(folder / "ink", folder / "negatives", OnnxDetector(default_model()).labels)
    settings = dataclasses.replace(ADAPTATION, model=default_model(), target=(target.learning,), work=work)
    say("adapting the detector by the scans alone")
    adapt(dataclasses.replace(settings, out=folder / "by-scans"))
    say(f"adapting it by {target.boxed} of their pages with boxes as well")
    adapt(dataclasses.replace(settings, out=folder / "by-boxes", labelled=target.labelled))
    models = {SOURCE: default_model(), SCANS: folder / "by-scans" / ONNX, BOXES: folder / "by-boxes" / ONNX}
    measured = Measured.of(read_coco(target.unseen), models, target.boxed)
    scans = write_scans(measured.pages, folder / "unseen")
    _look(scans, models[SOURCE], folder / "found-before")
    crops = _look(scans, models[BOXES], folder / "found")
    links = [
        ("What it finds as it ships", "found-before/gallery.html"),
        ("What it finds once adapted", "found/gallery.html"),
        ("What the boxes changed", "by-boxes/changes.html"),
    ]
    if real is not None:
        _look(real, models[SOURCE], folder / "real")
        links.append(("Gallery of real pages", "real/gallery.html"))
    return _story(measured, [_verdict(folder / run) for run in ("by-scans", "by-boxes")], crops, links)


# ------------------------------------------------------------------------------------------------ the collection


@dataclass(frozen=True)
class Target:
    """A collection: pages to learn from, some of them with boxes, and pages to measure on."""

    learning: Path
    """Folder of images."""
    labelled: Path
    """COCO file of some of them."""
    boxed: int
    """How many these are."""
    unseen: Path
    """COCO file of other pages."""


def write_negatives(ink: Path, folder: Path, labels: Sequence[str]) -> Target:
    """Write pages of ``synth --ink`` as negatives of microfilm; return what is learned from and measured on.

    Args:
        ink: Folder that ``synth`` made.
        folder: Folder to make.
        labels: Classes of which a page with boxes has one.
    """
    sets = {}
    for split in ("train", "val"):
        (folder / split).mkdir(parents=True)
        pages = read_coco(ink / f"{split}.json")
        sets[split] = [_negative(pages, page, folder, split) for page in pages.pages]
    numbers = [class_index(label) for label in labels]
    with_objects = [page for page in sets["train"] if np.isin(page.labels, numbers).any()][:BOXED]
    info = {"name": "synthetic negatives"}
    write_coco(folder / "boxed.json", with_objects, info)
    write_coco(folder / "val.json", sets["val"], info)
    return Target(folder / "train", folder / "boxed.json", len(with_objects), folder / "val.json")


def _negative(pages: CocoSet, page: CocoPage, folder: Path, split: str) -> CocoPage:
    from PIL import Image

    seen, truth = read_labelled(pages, page, PAGES.long_side)
    name = f"{split}/{Path(page.file_name).stem}.jpg"
    Image.fromarray(255 - seen.pixels).save(folder / name, quality=88)
    return dataclasses.replace(truth, file_name=name, facts={})


def real_pages(data: Path) -> tuple[Path, ...]:
    """Return pages below a folder of real data, spread evenly over those of its ``documents``.

    Raises:
        UserError: it has no such pages.
    """
    known = data / "documents" / "chapbooks_unlabelled"
    found = sorted(known.glob("*.jpg"))
    if not found:
        raise UserError(
            f"{data}: expected documents/chapbooks_unlabelled/*.jpg in it, see docs/reference/data.md"
        )
    count = min(_MOST_REAL_PAGES, len(found))
    return tuple(found[i * len(found) // count] for i in range(count))


def write_scans(pages: CocoSet, folder: Path) -> tuple[Path, Path]:
    """Write pages as scans: a folder of JPEGs and a PDF of some; return both."""
    from PIL import Image

    images, pdf = folder / "scans", folder / "book.pdf"
    images.mkdir(parents=True)
    sheets = []
    for page in pages.pages:
        source = pages.image_path(page)
        (images / source.name).write_bytes(source.read_bytes())
        sheets.append(Image.open(source))
    bound, buffer = sheets[: max(1, len(sheets) // 6)], io.BytesIO()
    bound[0].save(buffer, "pdf", save_all=True, append_images=bound[1:], resolution=100)
    pdf.write_bytes(buffer.getvalue())
    for sheet in sheets:
        sheet.close()
    return images, pdf


def _look(inputs: tuple[Path, ...], model: Path, out: Path) -> list[Path]:
    """Predict, show what was found and cut out the illustrations; return their files."""
    work = WorkConfig(choose_threads()[0])
    predict(PredictSettings(inputs, out, model, work=work, pdf_pixels=PAGES.long_side))
    write_gallery(GallerySettings(predictions=out, title=f"What was found: {out.name}"))
    scores = [box.score for page in open_predictions(out) for box in page.boxes if box.label == "graphic"]
    if max(scores, default=0) < SURE:
        return []
    cut = crop(CropSettings(out, out / "crops", min_score=SURE, work=work))
    say(f"cut out {len(cut)} illustrations: {out / 'crops'}")
    return [out / "crops" / one["file"] for one in cut]


# ------------------------------------------------------------------------------------------------ the measurement


@dataclass(frozen=True)
class Measured:
    """What detectors find on pages that none of them has seen, beside the truth."""

    pages: CocoSet
    truth: Sequence[CocoPage]
    found: dict[str, Sequence[CocoPage]]
    """By model, the pages as it sees them."""
    results: Results
    boxed: int

    @classmethod
    def of(cls, pages: CocoSet, models: dict[str, Path], boxed: int) -> "Measured":
        """Look at ``pages`` with each of ``models`` and compare the others, page by page, with the first."""
        truth, found, labels = [], {}, []
        for model, file in models.items():
            detector = OnnxDetector(file, choose_threads()[0])
            with progress(f"measuring {model}", len(pages.pages)) as advance:
                pairs = []
                for pair in find_on_pages(detector, pages):
                    pairs.append(pair)
                    advance()
            truth, found[model] = [one for one, _ in pairs], [other for _, other in pairs]
            labels = measured_labels(truth, pages, detector.labels)
        return cls(pages, truth, found, cls._results(pages, truth, found, labels, boxed), boxed)

    @staticmethod
    def _results(
        pages: CocoSet,
        truth: Sequence[CocoPage],
        found: dict[str, Sequence[CocoPage]],
        labels: Sequence[str],
        boxed: int,
    ) -> Results:
        books = units(truth)
        draws = cluster_weights(books.tolist(), RESAMPLES, 0)
        figures = {model: drawn_figures(truth, one, labels, books, draws) for model, one in found.items()}
        rows = []
        for model, values in figures.items():
            row = Row(model, pages.name, "val", "ap", 0.0, engine="onnxruntime", n=len(truth))
            row = dataclasses.replace(row, facts={"labels": boxed} if model == BOXES else {})
            rows += [
                figure_row(row, metric, one, label)
                for (metric, label), one in values.items()
                if metric in METRICS
            ]
            if model != SOURCE:
                rows += _differences(row, values, figures[SOURCE])
        return Results(command_line(), tuple(rows))

    def one(self, model: str, metric: str) -> Row:
        """Return a figure of illustrations."""
        return self.results.one(model=model, metric=metric, label="graphic")


def _differences(row: Row, values: dict[Figure, np.ndarray], source: dict[Figure, np.ndarray]) -> list[Row]:
    """Return the paired differences to the detector that was adapted."""
    row = dataclasses.replace(row, baseline=SOURCE)
    return [
        figure_row(row, f"{metric}_difference", one - source[metric, label], label)
        for (metric, label), one in values.items()
        if metric in METRICS and len(one) == len(source[metric, label])
    ]


def _verdict(run: Path) -> str:
    """Return what `adapt` itself said of a run, by what it saw on pages without labels."""
    facts = files.read_json(run / FACTS)
    return f"{facts['verdict']} ({facts['reason']})"


# --------------------------------------------------------------------------------------------------- the story

COMMANDS = (
    (
        "Find what is on your scans; a detector comes with the package:",
        "doc-detect predict scans/ book.pdf --out found",
    ),
    (
        "Adapt it to your collection, by the scans alone or with some pages on which you drew boxes:",
        "doc-detect adapt --target scans/ --labelled boxed.json --out runs/boxed",
    ),
    (
        "List the pages with an illustration, of all or with the adapted detector:",
        "doc-detect filter --predictions found --has graphic --min-score 0.5",
    ),
)


def _story(
    measured: Measured, verdicts: Sequence[str], crops: Sequence[Path], links: Sequence[tuple[str, str]]
) -> Story:
    before, after = measured.found[SOURCE], measured.found[BOXES]
    names = ("as it ships", f"after {measured.boxed} labelled pages")
    shown = telling(gains(measured.truth, before, after), measured.truth)
    pairs = []
    for i in shown:
        images = boxed_page(measured.pages, i, before[i]), boxed_page(measured.pages, i, after[i])
        told = f"{said(measured.truth[i], before[i])}; {names[1]}: {said(measured.truth[i], after[i])}"
        pairs.append((images, told[0].upper() + told[1:]))
    best = next(
        (one for one in pairs if one[0][0].height > one[0][0].width), pairs[0]
    )  # a card has room for these
    panels = [
        Panel(
            f"Pages {names[0]}, and {names[1]}",
            [pair(*one) for one in pairs],
            "The pages that gained most, and last the one that lost most, if any lost. Red: illustrations.",
        )
    ]
    if loose := [file for file in crops if not file.name.startswith("book")]:  # the book holds the same pages
        panels.append(Panel("Cut out of the scans", cut_outs(loose, 10), small=True))
    return Story(
        "Scanned pages",
        "Which of these scans hold an illustration, and where?",
        _gained(measured),
        _answer(measured),
        side_by_side(names, *best),
        measured.results,
        _bars(measured),
        panels,
        (
            "The pages are negatives, as microfilm has them; the detector has learned from positives alone, and from "
            "drawn pages alone.",
            _elsewhere(measured),
            f"What adapt itself says, which sees no label: by the scans alone, {verdicts[0]}; with boxes, {verdicts[1]}.",
        ),
        COMMANDS,
        links,
        pages=page_pictures(measured.pages, measured.truth, after),
    )


def _figure(row: Row) -> str:
    metric = metric_named(row.metric)
    return f"{metric.text(row.value)} {metric.interval(row)}".strip()


def _gained(measured: Measured) -> str:
    """Say in a few words what pages with boxes were worth."""
    paired = measured.one(BOXES, "ap50_difference")
    if paired.ci_low is None or paired.ci_low <= 0:
        return f"No clear gain from {measured.boxed} labelled pages"
    before, after = (100 * measured.one(model, "ap50").value for model in (SOURCE, BOXES))
    return f"From {before:.0f}% to {after:.0f}% by {measured.boxed} labelled pages"


def _answer(measured: Measured) -> str:
    after, boxes, scans = (
        _figure(measured.one(model, metric))
        for model, metric in ((BOXES, "ap50"), (BOXES, "ap50_difference"), (SCANS, "ap50_difference"))
    )
    return (
        f"On {len(measured.truth)} negatives, a kind of page new to the detector, {measured.boxed} pages with boxes change its "
        f"AP50 for illustrations by {boxes}, to {after}; the scans alone by {scans}."
    )


def _elsewhere(measured: Measured) -> str:
    """Say what pages with boxes changed for all classes together, and which figures they made worse."""
    paired = [row for row in measured.results.rows if row.model == BOXES and row.baseline == SOURCE]
    whole = next((row for row in paired if row.metric == "ap_difference" and row.label is None), None)
    worse = [
        f"{metric_named(row.metric.removesuffix(DIFFERENCE)).name} of {row.label or 'all classes'} {_figure(row)}"
        for row in paired
        if row.ci_high is not None and row.ci_high < 0
    ]
    changed = "" if whole is None else f"Over all classes, pages with boxes change AP by {_figure(whole)}. "
    return changed + (
        f"Worse than before: {'; '.join(worse)}." if worse else "No figure is worse than before."
    )


def _bars(measured: Measured) -> list[Bars]:
    names = {
        SOURCE: "as it ships",
        SCANS: "adapted by the scans alone",
        BOXES: f"adapted by {measured.boxed} labelled pages",
    }
    titles = {
        "ap50": "Boxes of illustrations (AP50)",
        "page_f1": "Pages with an illustration (F1)",
    }
    return [
        Bars(
            title,
            [
                Bar(name, row.value, _figure(row), row.ci_low, row.ci_high, ours=model == BOXES)
                for model, name in names.items()
                for row in [measured.one(model, metric)]
            ],
            f"{len(measured.truth)} pages that no detector has learned from.",
            end=1.0,
        )
        for metric, title in titles.items()
    ]
