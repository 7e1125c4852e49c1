"""A page that shows what each class of a discovery looks like: its most central images."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gcd_longtail.discovery.problem import LinearPredictor
from gcd_longtail.images.sources.base import Source
from seminar_common import files
from seminar_common.images import BadImage

_TEMPLATES = Path(__file__).parents[1] / "templates"
THUMBNAIL = 112
"""Side of a thumbnail in pixels."""


@dataclass(frozen=True)
class Shown:
    """The images of a discovery, to be shown."""

    source: Source
    numbers: np.ndarray
    """Number of each image in the source, int64 [N]."""
    features: np.ndarray
    """float32 [N, D]."""
    classes: np.ndarray
    """Class of each image, int64 [N]: as labelled, or as discovered."""
    labelled: np.ndarray
    """Whether a person named its class, bool [N]."""


def centrality(predictor: LinearPredictor, features: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return how near each image is to its class's mean in the space of the predictor, float64 [N], at most 0."""
    embedded = predictor.embed(features).astype(np.float64)
    found = np.full(len(classes), -np.inf)
    for number in np.unique(classes):
        members = np.flatnonzero(classes == number)
        found[members] = -np.linalg.norm(embedded[members] - embedded[members].mean(0), axis=1)
    return found


def write_gallery(
    out: Path,
    shown: Shown,
    predictor: LinearPredictor,
    names: Sequence[str],
    known: int,
    *,
    title: str,
    summary: Sequence[str] = (),
    notes: Sequence[str] = (),
    per_class: int = 12,
) -> None:
    """Write the gallery as one HTML page that needs nothing else.

    Args:
        out: the file to write.
        shown: the images.
        predictor: whose space says which images are central.
        names: of all classes.
        known: the first of them are known, the others discovered.
        title: heading.
        summary: sentences on top.
        notes: what a reader must know.
        per_class: images of each class.
    """
    import jinja2

    central = centrality(predictor, shown.features, shown.classes)
    cards = [_card(number, names[number], shown, central, per_class) for number in range(len(names))]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template("gallery.html").render(
        title=title,
        summary=summary,
        notes=notes,
        novel=[card for card in cards[known:] if card["size"]],
        known=[card for card in cards[:known] if card["size"]],
        side=THUMBNAIL,
    )
    files.write_text(out, page)


def _card(number: int, name: str, shown: Shown, central: np.ndarray, per_class: int) -> dict[str, Any]:
    members = np.flatnonzero(shown.classes == number)
    order = members[np.argsort(-central[members], kind="stable")]
    labelled = int(shown.labelled[members].sum())
    # Labelled images say nothing new: those that were found for the class come first.
    order = np.concatenate([order[~shown.labelled[order]], order[shown.labelled[order]]])
    pictures = [picture for i in order[:per_class] if (picture := _picture(shown, int(i))) is not None]
    return {"name": name, "size": len(members), "labelled": labelled, "pictures": pictures}


def _picture(shown: Shown, i: int) -> dict[str, Any] | None:
    """Return an image as a data URI with its name; None if it can't be read any more."""
    from PIL.Image import Resampling

    number = int(shown.numbers[i])
    try:
        image = shown.source.decode(shown.source.read(number))
    except BadImage:
        return None
    scale = THUMBNAIL / max(image.size)
    size = tuple(max(1, round(extent * scale)) for extent in image.size)
    resampling = Resampling.NEAREST if max(image.size) <= 32 else Resampling.BICUBIC
    buffer = io.BytesIO()
    image.resize((size[0], size[1]), resampling).save(buffer, "JPEG", quality=82)
    uri = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
    return {"uri": uri, "key": shown.source.listing.keys[number], "labelled": bool(shown.labelled[i])}
