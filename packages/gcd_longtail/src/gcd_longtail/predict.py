"""``predict``: sort new images into known and discovered classes."""

import csv
import dataclasses
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gcd_longtail.backbones.cache import feature_facts
from gcd_longtail.backbones.folder import ImageFolder, read_folder
from gcd_longtail.discovery.run import Found, load_found, read_config
from gcd_longtail.discovery.trust import trust
from gcd_longtail.settings.commands import FeatureConfig, PredictSettings
from seminar_common import failures, files
from seminar_common.errors import UserError
from seminar_common.identity import require_same
from seminar_common.progress import say
from seminar_common.runs import MARKER, Run

HEADER = ("image", "class", "name", "known", "margin", "confidence", "novel")
STRANGER = ("unlike", "none_of_these")
"""Columns of a run that knows where its own images lie."""


def predict(settings: PredictSettings) -> None:
    """Write ``predictions.csv``: for each image its class, and the margin of its score to the next best class.

    ``unlike`` is the share of the run's own images that lie nearer to a class, and ``none_of_these`` says whether that is
    above ``settings.none_above``: such an image may belong to no class of the run. A run of an earlier version has no such
    columns.

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
    unlike = None if found.surroundings is None else found.surroundings.unlike(images.features)
    sorted_images = _Sorted(
        images.keys,
        classes,
        margins,
        trust(found.discovery.predictor, images.features),
        unlike,
        settings.none_above,
    )
    with files.atomic_path(settings.out) as folder:
        folder.mkdir()
        files.write_text(folder / "predictions.csv", _table(found, sorted_images))
        if images.failures:
            failures.add(folder / failures.FILE, images.failures)
    _describe(settings, found, images, sorted_images)


@dataclass(frozen=True)
class _Sorted:
    """What became of each image."""

    keys: Sequence[str]
    classes: np.ndarray
    margins: np.ndarray
    trusted: tuple[np.ndarray, np.ndarray] | None
    """How likely each is right, and how likely it is of no known class, if the run can say."""
    unlike: np.ndarray | None
    none_above: float

    @property
    def strangers(self) -> np.ndarray:
        """Whether each image seems to belong to no class, bool [N]."""
        return np.zeros(len(self.keys), bool) if self.unlike is None else self.unlike > self.none_above


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


def _table(found: Found, images: _Sorted) -> str:
    text, strangers = io.StringIO(), images.strangers.tolist()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER if images.unlike is None else (*HEADER, *STRANGER))
    rows = zip(images.keys, images.classes.tolist(), images.margins.tolist(), strict=True)
    for i, (key, number, margin) in enumerate(rows):
        cells = [key, number, found.names[number], "yes" if number < found.known else "no", f"{margin:.4f}"]
        cells += [f"{part[i]:.4f}" for part in images.trusted] if images.trusted else ["", ""]
        if images.unlike is not None:
            cells += [f"{images.unlike[i]:.4f}", "yes" if strangers[i] else "no"]
        writer.writerow(cells)
    return text.getvalue()


def _describe(settings: PredictSettings, found: Found, images: ImageFolder, result: _Sorted) -> None:
    novel = int((result.classes >= found.known).sum())
    largest = ", ".join(f"{found.names[c]} {n}" for c, n in Counter(result.classes.tolist()).most_common(3))
    say(f"{len(result.classes):,} images, {novel:,} of them in discovered classes; largest: {largest}")
    if strangers := int(result.strangers.sum()):
        say(
            f"{strangers:,} of them may belong to none of these classes: they lie farther from all than "
            f"{settings.none_above:.0%} of the run's own images (column none_of_these)"
        )
    if images.failures:
        say(f"{len(images.failures)} images can't be read: see {settings.out / failures.FILE}")
    say(f"wrote {settings.out / 'predictions.csv'}")
