"""``predict``: sort new images into known and discovered classes."""

import csv
import dataclasses
import io
from collections import Counter

import numpy as np

from gcd_longtail.backbones.cache import feature_facts
from gcd_longtail.backbones.folder import ImageFolder, read_folder
from gcd_longtail.discovery.run import Found, load_found, read_config
from gcd_longtail.settings.commands import FeatureConfig, PredictSettings
from seminar_common import failures, files
from seminar_common.errors import UserError
from seminar_common.identity import require_same
from seminar_common.progress import say
from seminar_common.runs import MARKER, Run

HEADER = ("image", "class", "name", "known", "margin")


def predict(settings: PredictSettings) -> None:
    """Write ``predictions.csv``: for each image its class, and the margin of its score to the next best class.

    Images that can't be read are listed in ``failures.csv``.

    Raises:
        UserError: an unfinished run, features that are not those of the run, no readable image, or an output folder
            that exists or that another run is making.
    """
    with files.reserved(settings.out):
        _predict(settings)


def _predict(settings: PredictSettings) -> None:
    run, found = load_found(settings.run)
    features = dataclasses.replace(found.features, weights=settings.weights or found.features.weights)
    _check_features(run, features)
    cache = settings.cache or settings.out.absolute().parent / "features"
    images = read_folder(settings.images, features, cache, settings.extraction)
    wanted, got = found.discovery.predictor.width, images.features.shape[1]
    if wanted != got:
        raise UserError(f"{settings.run}: takes {wanted} features, but {found.features.backbone} gives {got}")
    classes, margins = classify(found, images.features)
    with files.atomic_path(settings.out) as folder:
        folder.mkdir()
        files.write_text(folder / "predictions.csv", _table(found, images, classes, margins))
        if images.failures:
            failures.add(folder / failures.FILE, images.failures)
    _describe(settings, found, images, classes)


def _check_features(run: Run, features: FeatureConfig) -> None:
    """Raise a UserError unless ``features`` are still what the run was made from: weights may have changed."""
    stored = read_config(run, "train", "discover")["identity"]
    way_out = "give its own weights with --weights, or make the run again"
    require_same(stored, feature_facts(features), run.folder / MARKER, way_out)


def classify(found: Found, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the class of each feature [N, D], int64 [N], and the margin of its score, float32 [N]."""
    scores = found.discovery.predictor.scores(features)
    best = (
        np.partition(scores, -2, axis=1)[:, -2:] if scores.shape[1] > 1 else np.pad(scores, ((0, 0), (1, 0)))
    )
    return scores.argmax(1), best[:, 1] - best[:, 0]


def _table(found: Found, images: ImageFolder, classes: np.ndarray, margins: np.ndarray) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for key, number, margin in zip(images.keys, classes.tolist(), margins.tolist(), strict=True):
        known = "yes" if number < found.known else "no"
        writer.writerow([key, number, found.names[number], known, f"{margin:.4f}"])
    return text.getvalue()


def _describe(settings: PredictSettings, found: Found, images: ImageFolder, classes: np.ndarray) -> None:
    novel = int((classes >= found.known).sum())
    largest = ", ".join(f"{found.names[c]} {n}" for c, n in Counter(classes.tolist()).most_common(3))
    say(f"{len(classes):,} images, {novel:,} of them in discovered classes; largest: {largest}")
    if images.failures:
        say(f"{len(images.failures)} images can't be read: see {settings.out / failures.FILE}")
    say(f"wrote {settings.out / 'predictions.csv'}")
