"""Write a trained detector as ONNX, and check that it answers as before: the command ``export``."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from doc_detect.detectors.onnx import default_model
from doc_detect.detectors.scoring import Scoring
from doc_detect.settings.training import ExportSettings
from seminar_common import runs
from seminar_common.checkpoints import load_tensors
from seminar_common.errors import UserError
from seminar_common.files import atomic_path, refuse_existing
from seminar_common.progress import say
from seminar_common.runs import Run
from seminar_common.training import WEIGHTS

if TYPE_CHECKING:
    from doc_detect.detectors.base import Detector

TOLERANCE = 0.01
"""Difference of AP between PyTorch and ONNX that is still taken for the same."""


@dataclass(frozen=True)
class Parity:
    """How far an exported detector's answers are from those of PyTorch, on the same pages."""

    pages: int
    ap: float
    """Mean AP in PyTorch."""
    ap_onnx: float
    """Mean AP of the file."""
    largest_score: float
    """Largest difference of the best score of a page."""


def export(settings: ExportSettings) -> Parity | None:
    """Write the detector of a run as ONNX and compare the two on labelled pages, where there are any.

    A file that fails the comparison is not kept. Without a run, an ONNX file is copied and gets another margin.

    Raises:
        UserError: the run is missing or unfinished, its engine has no ONNX form, the file exists, or the answers
            differ by more than a point of AP.
    """
    refuse_existing(settings.out)
    with atomic_path(settings.out) as unchecked:
        if settings.run is None:
            shutil.copyfile(settings.model or default_model(), unchecked)
            parity = None
        else:
            parity = _export_run(settings, settings.run, unchecked)
        _change_facts(unchecked, settings)
    say(f"wrote {settings.out}: {settings.out.stat().st_size / 1e6:.2f} MB")
    return parity


def _export_run(settings: ExportSettings, folder: Path, unchecked: Path) -> Parity | None:
    from doc_detect.detectors.scoring import read_scoring
    from doc_detect.detectors.trained import load_detector, trained_as

    run = runs.open_run(folder)
    detector, data = load_detector(run), settings.data or trained_as(run).data
    scoring = read_scoring(folder)
    detector.export(unchecked, {**model_card(run), **scoring.facts()})
    if data is None or not data.exists():
        say("not compared with PyTorch: give labelled pages by --data")
        return None
    parity = compare(detector, scoring, unchecked, data, settings.pages)
    _check(parity, settings.out)
    return parity


def _change_facts(file: Path, settings: ExportSettings) -> None:
    """Write into the metadata of ``file`` what the settings ask for: a threshold, what scores mean, the margins."""
    if settings.score_threshold is not None:
        _write_facts(file, {"score_threshold": settings.score_threshold})
    if settings.calibration_data is not None:
        _write_facts(file, Scoring().facts())
        _write_facts(file, _calibration(file, settings.calibration_data))
    if settings.margin_data is not None:
        _write_facts(file, {"margin": _margin(file, settings, settings.margin_data)})


def _write_facts(file: Path, changes: Mapping[str, Any]) -> None:
    import onnx

    from doc_detect.detectors.onnx import METADATA_KEY

    model = onnx.load(file)
    entry = next(entry for entry in model.metadata_props if entry.key == METADATA_KEY)
    entry.value = json.dumps({**json.loads(entry.value), **changes})
    onnx.save(model, file)


def _calibration(file: Path, data: Path) -> dict[str, Any]:
    """Return what the scores of the detector in ``file`` mean, fitted on held-out pages."""
    from doc_detect.detectors.onnx import OnnxDetector
    from doc_detect.figures.calibration import fit_scoring
    from doc_detect.training.pages import open_validation

    facts = fit_scoring(OnnxDetector(file), open_validation(data)).facts()
    thresholds = ", ".join(f"{label} {score:.2f}" for label, score in facts["thresholds"].items())
    say(f"raw scores that mean 0.5: {thresholds}")
    return facts


def _margin(file: Path, settings: ExportSettings, data: Path) -> dict[str, float]:
    """Return the margin of each class, fitted with the detector in ``file``."""
    from doc_detect.detectors.onnx import OnnxDetector
    from doc_detect.figures.calibration import fit_margin
    from doc_detect.training.pages import open_training

    margin = fit_margin(OnnxDetector(file), open_training(data), settings.margin_pages, settings.seed)
    shares = ", ".join(f"{label} {share:.2%}" for label, share in margin.items())
    say(f"margin as a share of the window's longest side: {shares}")
    return margin


def _check(parity: Parity, path: Path) -> None:
    """Say how far the two are apart; raise a UserError if that is too far."""
    say(
        f"on {parity.pages} pages: AP {100 * parity.ap:.2f}% in PyTorch, {100 * parity.ap_onnx:.2f}% in ONNX; "
        f"best scores of a page differ by at most {parity.largest_score:.4f}"
    )
    if abs(parity.ap - parity.ap_onnx) > TOLERANCE:
        raise UserError(
            f"{path}: not written, since its AP differs from PyTorch's by more than a point; "
            "compare on more pages by --data"
        )


def model_card(run: Run) -> dict[str, Any]:
    """Return what the file should say of the making of a run that has ended: no paths, nothing of the machine."""
    from doc_detect.detectors.trained import trained_as

    _, facts = load_tensors(run.checkpoints / WEIGHTS)
    return card_of(run, facts.get("step", trained_as(run).steps))


def card_of(run: Run, steps: int) -> dict[str, Any]:
    """Return the same of a run that has done ``steps`` steps."""
    from doc_detect.detectors.trained import trained_as

    settings, config = trained_as(run), run.config()
    logged = [record["cpu_s"] for record in run.logged() if "cpu_s" in record]
    return {
        "name": settings.name,
        "architecture": settings.model.architecture,
        "backbone": settings.model.backbone,
        "trained_on": config.get("dataset", ""),
        "training_pages": config.get("pages", 0),
        "steps": steps,
        "cpu_seconds": logged[-1] if logged else 0,
        "seed": settings.seed,
        "licence": "Apache-2.0",
    }


def compare(detector: "Detector", scoring: "Scoring", path: Path, data: Path, limit: int) -> Parity:
    """Measure a detector and its ONNX file on the first ``limit`` validation pages of ``data``."""
    from doc_detect.detectors.onnx import OnnxDetector
    from doc_detect.detectors.torch import TorchDetector
    from doc_detect.figures.coco_metrics import SIZES, precision_table
    from doc_detect.figures.findings import find_on_pages, measured_labels
    from doc_detect.training.pages import open_validation

    pages = open_validation(data)
    figures, best = [], []
    for engine in (TorchDetector(detector, scoring=scoring), OnnxDetector(path)):
        pairs = list(find_on_pages(engine, pages, limit))
        truth, found = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        labels = measured_labels(truth, pages, detector.labels)
        table = precision_table(truth, found, labels)[..., list(SIZES).index("unfiltered")]
        figures.append(float(table[table >= 0].mean()) if (table >= 0).any() else 0.0)
        best.append([page.scores.max(initial=0.0) for page in found if page.scores is not None])
    difference = float(np.abs(np.subtract(*best)).max(initial=0.0))
    return Parity(len(best[0]), *figures, difference)
