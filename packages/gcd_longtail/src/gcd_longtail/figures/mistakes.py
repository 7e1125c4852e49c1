"""Pictures of what a run got wrong: images of a class that lie in the cluster of another."""

import io
from collections import Counter
from collections.abc import Sequence

import numpy as np
from PIL import Image

from gcd_longtail.figures.metrics import Scored
from gcd_longtail.images.sources import open_source
from gcd_longtail.images.sources.base import Source
from gcd_longtail.protocol.data import Data
from gcd_longtail.protocol.split_file import read_source
from seminar_common.errors import UserError
from seminar_common.images import BadImage
from seminar_common.progress import say
from seminar_common.report import Picture

CLASSES, IMAGES = 6, 8
"""Classes that are shown, and images of each."""
_TILE, _GAP = 96, 4


def mistakes(clusters: np.ndarray, scored: Scored, data: Data) -> list[Picture]:
    """Return a strip for each of the classes with most unlabelled images in a cluster that is not theirs.

    Args:
        clusters: cluster of each unlabelled image, int64 [U].
        scored: the same, scored.
        data: the split of the images. If its images are gone, nothing is shown and a line says so.
    """
    numbers, labels = data.where("U"), data.unlabelled_labels
    wrong = clusters != scored.matching[labels]
    counts = np.bincount(labels[wrong], minlength=len(data.split.classes))
    worst = [int(c) for c in np.argsort(-counts, kind="stable")[:CLASSES] if counts[c]]
    try:
        source = open_source(read_source(data.folder))
        return [_of_class(c, numbers[wrong & (labels == c)], clusters, scored, data, source) for c in worst]
    except (UserError, BadImage, KeyError) as error:
        say(f"no pictures of mistakes: {error}")
        return []


def _of_class(
    number: int, images: np.ndarray, clusters: np.ndarray, scored: Scored, data: Data, source: Source
) -> Picture:
    """Return some of a class's ``images``, numbers of the split, that lie in clusters of others."""
    one, unlabelled = data.split.classes[number], data.where("U")
    place = {int(image): int(cluster) for image, cluster in zip(unlabelled, clusters, strict=True)}
    owner = {int(cluster): c for c, cluster in enumerate(scored.matching) if cluster >= 0}
    taken = Counter(owner.get(place[int(image)]) for image in images)
    others = [
        f"{count} with {'no class' if c is None else data.split.classes[c].name}"
        for c, count in taken.most_common(3)
    ]
    shown = images[np.unique(np.linspace(0, len(images) - 1, min(IMAGES, len(images))).astype(int))]
    strip = _strip([source.decode(source.read(source.numbers[data.split.keys[i]])) for i in shown])
    kind = "known" if one.known else "novel"
    total = int(scored.totals[number])
    return Picture(
        strip, f"{one.name} ({kind}): {len(images)} of {total} images grouped wrongly, {', '.join(others)}"
    )


def _strip(images: Sequence[Image.Image]) -> bytes:
    """Return images side by side as a JPEG; a small one is enlarged without smoothing."""
    picture = Image.new("RGB", (IMAGES * (_TILE + _GAP) - _GAP, _TILE), "white")  # all strips are of one size
    for number, image in enumerate(images):
        scale = _TILE / max(image.size)
        size = [max(1, round(scale * side)) for side in image.size]
        how = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
        picture.paste(image.convert("RGB").resize(size, how), (number * (_TILE + _GAP), 0))
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=80)
    return data.getvalue()
