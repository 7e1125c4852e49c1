"""Whether an adapted detector is better than its source, judged without labels on target pages that it did not see.

A detector that knows what it sees finds the same on a page and on the page made smaller. So the finds at two sizes are
compared, of either detector, page by page. Beside that an adapted detector must not lose, or invent, most of a class,
and where pages of the source's world are at hand it must not forget them. What can't be seen this way is a detector that
errs alike at both sizes: no gain in agreement proves a gain in precision.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch

from doc_detect.adaptation.target import TargetPage
from doc_detect.coco import CocoSet
from doc_detect.detectors.base import Detector, Target
from doc_detect.detectors.detections import Detections
from doc_detect.detectors.onnx import PageDetector
from doc_detect.detectors.postprocess import box_iou
from doc_detect.detectors.tensors import to_tensor
from doc_detect.training.pages import own_labels, read_labelled
from seminar_common.bootstrap import cluster_weights, percentile_interval
from seminar_common.images import shrink
from seminar_common.progress import progress
from seminar_common.results import Row

Verdict = Literal["adapted", "no clear gain", "worse, kept the source", "nothing to learn, kept the source"]
KEPT: tuple[Verdict, ...] = ("worse, kept the source", "nothing to learn, kept the source")
"""Verdicts after which the source's weights are used."""
SMALLER = 0.75
"""Size of the second look at a page, as a share of the first."""
LEAST_SCORE = 0.25
"""Finds that score less are not compared."""
SURE = 0.5
SAME = 0.5
"""IoU from which two boxes of a class are taken for one find."""
LOST, INVENTED = 0.5, 2.0
"""An adapted detector may have so many of the source's sure finds of a class, no fewer and no more."""
FEW = 5
"""Sure finds by which a class may differ whatever their share."""
STRANGER = 0.35
"""Least agreement of the adapted detector with its source."""
FORGOTTEN = 1.15
"""By how much the loss on pages of the source's world may grow."""
ENOUGH = 10
"""Held-out pages with a find that a gain must rest on."""
RESAMPLES = 1000


@dataclass(frozen=True)
class Judgement:
    """What was seen on the held-out pages, and what follows."""

    verdict: Verdict
    reason: str
    """The same in one line, with the figures that decided."""
    pages: int
    """Held-out pages."""
    source: float = 0.0
    """Agreement of the source's finds at two sizes, 0 to 1."""
    adapted: float = 0.0
    """The same of the adapted detector."""
    interval: tuple[float, float] | None = None
    """95% interval of the adapted one's lead, over resampled pages; None where nothing was found."""
    together: float = 0.0
    """Agreement of both detectors with each other."""
    finds: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Sure finds of each learned class, of the source and of the adapted detector."""
    losses: tuple[float, float] | None = None
    """Loss of both on pages of the source's world."""


@dataclass(frozen=True)
class Look:
    """What two detectors find on a page."""

    page: TargetPage
    source: Detections
    """Boxes count the page's own pixels."""
    adapted: Detections


def judge(
    source: PageDetector,
    adapted: PageDetector,
    pages: Sequence[TargetPage],
    learned: Sequence[str],
    losses: tuple[float, float] | None = None,
    seed: int = 0,
    looks: list[Look] | None = None,
    boxed: bool = False,
) -> Judgement:
    """Compare two detectors of the same classes on held-out pages.

    Args:
        source: The detector that was adapted.
        adapted: What became of it.
        pages: Pages that it was not adapted on.
        learned: Classes that it learned.
        losses: Loss of both on pages of the source's world, where they are at hand.
        seed: Of the resampling.
        looks: Takes up what both find on each page.
        boxed: It was trained on pages of the target with people's boxes, too. It may then find what the source did not
            know, so that little agreement is nothing against it.
    """
    finds = np.zeros((len(source.labels), 2), int)
    sums = np.zeros(
        (len(pages), 3, 2)
    )  # of source, of adapted, of both together: what agrees, and what there is
    with progress("judging on held-out pages", len(pages)) as advance:
        for row, page in zip(sums, pages, strict=True):
            (one, one_small), (two, two_small) = (_looks(detector, page) for detector in (source, adapted))
            row[:] = [agreement(one, one_small), agreement(two, two_small), agreement(one, two)]
            for column, found in enumerate((one, two)):
                finds[:, column] += np.bincount(found.labels[found.scores >= SURE], minlength=len(finds))
            if looks is not None:
                looks.append(Look(page, one, two))
            advance(1)
    judged = _judged(sums, seed)
    counts = {label: (int(a), int(b)) for label, (a, b) in zip(source.labels, finds, strict=True)}
    counts = {label: counts[label] for label in learned}
    judged = dataclasses.replace(judged, finds=counts, losses=losses)
    verdict, reason = _verdict(judged, int((sums[:, :2, 1].max(axis=1) > 0).sum()), boxed)
    return dataclasses.replace(judged, verdict=verdict, reason=reason)


def _judged(sums: np.ndarray, seed: int) -> Judgement:
    """Return the agreements and the interval of the lead from sums [pages, 3, 2]; there is no verdict yet."""
    agreed, there = sums[..., 0], sums[..., 1]
    values = agreed.sum(axis=0) / np.maximum(there.sum(axis=0), 1e-9)
    interval = None
    if (there[:, :2].sum(axis=0) > 0).all():
        weights = cluster_weights(range(len(sums)), RESAMPLES, seed, "adaptation")[1:]
        with np.errstate(invalid="ignore"):
            resampled = (weights @ agreed) / (weights @ there)
        lead = resampled[:, 1] - resampled[:, 0]
        interval = percentile_interval(lead) if not np.isnan(lead).all() else None
    source, adapted, together = (float(value) for value in values)
    return Judgement("no clear gain", "", len(sums), source, adapted, interval, together)


def _verdict(judged: Judgement, telling: int, boxed: bool) -> tuple[Verdict, str]:
    """Return the verdict and its reason; ``telling`` pages had a find, people's boxes were learned from if ``boxed``."""
    for label, (before, after) in judged.finds.items():
        kind = "loses" if after < LOST * before else "invents" if after > INVENTED * before else ""
        if kind and abs(after - before) >= FEW:
            return "worse, kept the source", f"it {kind} {label}: {before} sure finds became {after}"
    if judged.losses is not None and judged.losses[1] > FORGOTTEN * judged.losses[0]:
        before, after = judged.losses
        return (
            "worse, kept the source",
            f"its loss on the source's pages rose from {before:.3f} to {after:.3f}",
        )
    if judged.interval is None:
        return "no clear gain", "nothing was found on the held-out pages"
    if judged.together < STRANGER and not boxed:
        return "worse, kept the source", f"it agrees with its source by {judged.together:.0%} alone"
    low, high = judged.interval
    lead = (
        f"finds agree between two sizes by {judged.adapted:.1%}, those of the source by {judged.source:.1%} "
        f"(lead {low:+.1%} to {high:+.1%}, {telling} pages)"
    )
    if high < 0 and not boxed:
        return "worse, kept the source", lead
    return ("adapted" if low > 0 and telling >= ENOUGH else "no clear gain"), lead


def _looks(detector: PageDetector, page: TargetPage) -> tuple[Detections, Detections]:
    """Return what a detector finds on a page, and on the page made smaller, both in the page's own pixels."""
    seen = page.read()
    smaller = shrink(seen.pixels, max(32, round(SMALLER * max(seen.pixels.shape[:2]))))
    return detector.detect(seen), detector.detect(dataclasses.replace(seen, pixels=smaller))


def agreement(one: Detections, other: Detections) -> tuple[float, float]:
    """Return how much of two sets of finds on a page agrees, and how much there is: the sum of all scores.

    Two boxes of a class that are each other's best agree by twice the lower score times their IoU.
    """
    one, other = worth_it(one), worth_it(other)
    there = float(one.scores.sum() + other.scores.sum())
    partner, overlap = partners(one, other)
    same = partner >= 0
    lower = np.minimum(one.scores[same], other.scores[partner[same]])
    return float((2 * lower * overlap[same]).sum()), there


def partners(one: Detections, other: Detections) -> tuple[np.ndarray, np.ndarray]:
    """Return which find of ``other`` each find of ``one`` is, and how much they overlap.

    Two boxes are one find if they are of a class, each other's best, and overlap by :data:`SAME` or more.

    Returns:
        Numbers of finds of ``other`` [N], -1 where there is none, and IoU [N].
    """
    overlap = box_iou(one.boxes, other.boxes) * (one.labels[:, None] == other.labels[None])
    if not overlap.size:
        return np.full(len(overlap), -1), np.zeros(len(overlap))
    partner = overlap.argmax(axis=1)
    rows = np.arange(len(partner))
    best = overlap[rows, partner]
    mutual = (overlap.argmax(axis=0)[partner] == rows) & (best >= SAME)
    return np.where(mutual, partner, -1), best


def worth_it(found: Detections) -> Detections:
    """Return the finds that score :data:`LEAST_SCORE` or more."""
    kept = found.scores >= LEAST_SCORE
    return Detections(found.boxes[kept], found.scores[kept].astype(np.float64), found.labels[kept])


@torch.no_grad()
def labelled_loss(detector: Detector, pages: CocoSet, limit: int) -> float:
    """Return the mean loss of a detector on the first ``limit`` labelled pages, as it looks at them in use.

    Args:
        detector: In evaluation.
        pages: Of the world that it was trained on.
        limit: How many pages.
    """
    device = next(detector.parameters()).device
    unlabelled = tuple(i for i, label in enumerate(detector.labels) if label not in pages.labelled)
    losses = []
    for page in pages.pages[:limit]:
        seen, truth = read_labelled(pages, page, detector.config.size, detector.config.trim)
        own = own_labels(truth.labels, detector.labels)
        boxes, ignored = seen.to_seen(truth.boxes), truth.labels < 0
        target = Target(
            torch.from_numpy(boxes[own >= 0]).float(),
            torch.from_numpy(own[own >= 0]),
            torch.from_numpy(boxes[ignored]).float(),
            unlabelled,
        )
        parts = detector.fit_step([to_tensor(seen.pixels).to(device)], [target.to(device)])
        losses.append(float(torch.stack(list(parts.values())).sum()))
    return float(np.mean(losses))


def judged_rows(judgement: Judgement, model: str, seed: int, dataset: str) -> tuple[Row, ...]:
    """Return the figures of a judgement as rows of a table; none where nothing was judged."""
    if not judgement.pages or (judgement.interval is None and not judgement.finds):
        return ()
    row = Row("", dataset, "held-out", "", 0.0, n=judgement.pages, seeds=(seed,), engine="torchvision")

    def made(name: str, metric: str, value: float, **more: Any) -> Row:
        return dataclasses.replace(row, model=name, metric=metric, value=value, **more)

    before, after = "source-only", model
    rows = [
        made(before, "agreement", judgement.source),
        made(after, "agreement", judgement.adapted),
        made(after, "agreement_with_source", judgement.together),
    ]
    if judgement.interval is not None:
        low, high = judgement.interval
        lead = judgement.adapted - judgement.source
        rows.append(made(after, "agreement_difference", lead, ci_low=low, ci_high=high, baseline=before))
    for label, counts in judgement.finds.items():
        rows += [
            made(name, "sure_finds", float(count), label=label)
            for name, count in zip((before, after), counts, strict=True)
        ]
    for name, loss in zip((before, after), judgement.losses or (), strict=False):
        rows.append(made(name, "synthetic_loss", loss))
    return tuple(r for r in rows if math.isfinite(r.value))
