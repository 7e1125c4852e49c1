"""``discover``: the practitioner's job, from a folder of images and a few labels to named and discovered categories."""

import csv
import dataclasses
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gcd_longtail.backbones.backbones import caveat
from gcd_longtail.backbones.folder import ImageFolder, read_folder
from gcd_longtail.backbones.precision import with_precision
from gcd_longtail.discovery.methods import make_method
from gcd_longtail.discovery.number_of_classes import estimate
from gcd_longtail.discovery.problem import Discovered, Method, Problem
from gcd_longtail.discovery.run import Found, class_names, envelope, save, sort_novel
from gcd_longtail.discovery.strangers import Surroundings
from gcd_longtail.discovery.trust import trust
from gcd_longtail.figures.gallery import About, Shown, centrality, write_gallery
from gcd_longtail.images.copies import contradictions, one_answer
from gcd_longtail.images.labels_file import KnownLabels, read_labels
from gcd_longtail.images.shapes import fitted
from gcd_longtail.images.sources.folder import open_unlabelled
from gcd_longtail.reviewing.continuing import (
    ASSIGNMENTS,
    NO_CLASS,
    REJECTED,
    Continued,
    continued,
    write_learned,
)
from gcd_longtail.reviewing.decisions import run_identity
from gcd_longtail.reviewing.learning import obey
from gcd_longtail.settings.commands import DiscoverSettings
from gcd_longtail.train import check_room
from seminar_common import failures, files, runs
from seminar_common.device import launch
from seminar_common.identity import digest
from seminar_common.progress import say
from seminar_common.runs import Run

HEADER = ("image", "class", "name", "known", "labelled", "centrality", "confidence", "novel", "settled")


@dataclass(frozen=True)
class Outcome:
    """A discovery over a folder."""

    found: Found
    classes: np.ndarray
    """Class of each readable image, int64 [N]; a labelled one keeps its label."""
    remark: str
    """What was said of the number of classes."""
    rejected: tuple[str, ...] = ()
    """Images of classes that were rejected; they are no part of the discovery."""
    settled: tuple[str, ...] = ()
    """Names of the classes that nobody needs to look at again."""
    forbidden: tuple[tuple[str, str], ...] = ()
    """Pairs of an image and the name of a class that it does not belong to."""


def discover(settings: DiscoverSettings) -> Run:
    """Discover categories in a folder; write a run folder with ``assignments.csv`` and ``gallery.html``.

    Images that can't be read, and labels of images that are not there, are listed in ``failures.csv``. `predict`
    takes the run for further images.

    With ``settings.decisions`` it goes on from a run: what people decided about its classes are labels of the new one.

    Raises:
        UserError: no images, no usable label, nothing unlabelled, K below the labelled classes or above the images, or a
            folder that exists or that another run is making; decisions that are damaged or about another run.
    """
    before = continued(settings) if settings.decisions else None
    settings = before.settings if before else settings
    settings = dataclasses.replace(settings, method=settings.method_name)
    method = make_method(settings.method_name)
    with files.reserved(settings.out):
        return _discover(settings, method, before)


def _discover(settings: DiscoverSettings, method: Method, before: Continued | None) -> Run:
    cache = settings.cache or settings.out.absolute().parent / "features"
    source = open_unlabelled(settings.folder)
    _known_labels(settings, source.listing.keys, (), before)  # before the work, what can be said then
    chosen = with_precision(fitted(settings.features, source), settings.extraction.device)
    settings = dataclasses.replace(settings, features=chosen)
    images = read_folder(settings.folder, settings.features, cache, settings.extraction)
    rejected: tuple[str, ...] = ()
    if before:
        images, rejected = _without(images, before.lesson.left_out)
    known = _known_labels(settings, images.keys, [one.file for one in images.failures], before)
    _warn_of_contradictions(images, known)
    problem = _problem(images, known, str(launch(settings.extraction.device).device))
    k, interval, remark = _number_of_classes(settings, problem, before)
    say(remark)
    say(f"{settings.method}: {problem.known} labelled classes, {k} in all")
    discovery = _same_for_copies(method.fit(problem, k, settings.seed), images, known)
    discovery, names = sort_novel(discovery, problem.known), class_names(known.classes, k)
    forbidden: tuple[tuple[str, str], ...] = ()
    if before:
        free = [key for key, label in zip(images.keys, known.labels.tolist(), strict=True) if label < 0]
        discovery, forbidden = obey(discovery, problem.unlabelled, free, before.lesson, names)
    classes = _with_labels(known, discovery.assignments)
    surroundings = Surroundings.of(images.features, classes)
    found = Found(discovery, names, problem.known, settings.features, interval, surroundings)
    settled = tuple(name for name in known.classes if before and name in before.lesson.settled)
    outcome = Outcome(found, classes, remark, rejected, settled, forbidden)
    run = _write(settings, images, known, outcome, before)
    say(f"open {settings.out / 'gallery.html'}")
    return run


def _known_labels(
    settings: DiscoverSettings, keys: Sequence[str], unreadable: Sequence[str], before: Continued | None
) -> KnownLabels:
    """Return the labels of the images ``keys``; raise a UserError if they or K do not fit these images."""
    if before:
        known = before.known(keys, unreadable)
    else:
        assert settings.labels is not None
        known = read_labels(settings.labels, settings.folder, keys, unreadable)
    if isinstance(settings.k, int):
        check_room(settings.method_name, settings.k, len(known.classes), int((known.labels < 0).sum()))
    return known


def _without(images: ImageFolder, keys: Collection[str]) -> tuple[ImageFolder, tuple[str, ...]]:
    """Return the images without those called ``keys``, and the names of these that are there."""
    gone = np.array([key in keys for key in images.keys])
    kept = np.flatnonzero(~gone)
    hashes = tuple(images.hashes[i] for i in kept)
    rest = dataclasses.replace(
        images, numbers=images.numbers[kept], features=images.features[kept], hashes=hashes
    )
    return rest, tuple(key for key, out in zip(images.keys, gone, strict=True) if out)


def _with_labels(known: KnownLabels, assignments: np.ndarray) -> np.ndarray:
    """Return the class of each image, int64 [N]: its label, or what was found."""
    classes = known.labels.copy()
    classes[known.labels < 0] = assignments
    return classes


def _same_for_copies(discovery: Discovered, images: ImageFolder, known: KnownLabels) -> Discovered:
    """Return ``discovery`` with one answer for all images with the same bytes."""
    answers = one_answer(images.hashes, known.labels, _with_labels(known, discovery.assignments))
    return Discovered(answers[known.labels < 0], discovery.predictor)


def _warn_of_contradictions(images: ImageFolder, known: KnownLabels) -> None:
    pictures = contradictions(images.hashes, known.labels)
    if pictures:
        keys = images.keys
        named = " and ".join(f"{keys[i]} is {known.classes[known.labels[i]]}" for i in pictures[0][:3])
        say(f"{len(pictures)} pictures have copies with other labels (first: {named}); mend the labels")


def _problem(images: ImageFolder, known: KnownLabels, device: str) -> Problem:
    labelled = known.labels >= 0
    features, labels = images.features, known.labels[labelled]
    return Problem(features[labelled], labels, features[~labelled], len(known.classes), device=device)


def _number_of_classes(
    settings: DiscoverSettings, problem: Problem, before: Continued | None
) -> tuple[int, tuple[int, int | None] | None, str]:
    """Return the number of classes to look for, its interval, and a sentence about it."""
    if isinstance(settings.k, int):
        return settings.k, None, f"{settings.k} classes were asked for, {problem.known} of them labelled."
    if before:
        most = problem.known + len(problem.unlabelled)
        return min(max(before.lesson.k, problem.known), most), None, before.remark
    guess = estimate(problem, seed=settings.seed)
    sentence = (
        f"The number of classes is estimated at {guess.k}, of which {problem.known} are labelled; {guess.interval} "
        "are plausible."
    )
    doubt = f" Do not rely on it: {guess.doubt}." if guess.doubt else ""
    return guess.k, (guess.low, guess.high), sentence + doubt


def _write(
    settings: DiscoverSettings,
    images: ImageFolder,
    known: KnownLabels,
    outcome: Outcome,
    before: Continued | None,
) -> Run:
    """Make the run folder at once: it is there in full or not at all."""
    import torch

    name, identity = files.encodable(settings.folder.resolve().name), _identity(images, known)
    identity |= before.facts if before else {}
    classes = digest({"names": outcome.found.names, "classes": outcome.classes})
    config = envelope("discover", name, identity, settings.features, settings) | {"found": classes}
    facts = runs.environment(torch.get_num_threads(), images=len(images.numbers))
    with files.atomic_path(settings.out) as folder:
        run = runs.create(folder, config, facts)
        save(run, outcome.found)
        files.write_text(folder / ASSIGNMENTS, _table(images, known, outcome))
        if before:
            write_learned(folder, before, outcome.forbidden)
        left_out = (*images.failures, *known.failures)
        if left_out:
            failures.add(folder / failures.FILE, left_out)
            say(f"{len(left_out)} images are left out: see {settings.out / failures.FILE}")
        _write_gallery(folder / "gallery.html", settings, images, known, outcome, run_identity(config))
    return dataclasses.replace(run, folder=settings.out)


def _identity(images: ImageFolder, known: KnownLabels) -> dict[str, Any]:
    """Return what the discovery depends on: its images, the labels and the features."""
    labels = {"classes": known.classes, "labels": known.labels}
    return {"images": digest({"hashes": images.hashes}), "labels": digest(labels), **images.facts}


def _table(images: ImageFolder, known: KnownLabels, outcome: Outcome) -> str:
    """Return a line for each image, those of a class together, the most central first; rejected ones come last."""
    found, classes = outcome.found, outcome.classes
    central = centrality(found.discovery.predictor, images.features, classes)
    trusted = trust(found.discovery.predictor, images.features)
    keys, text = images.keys, io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for i in np.lexsort((-central, classes)).tolist():
        number = int(classes[i])
        sure = ("yes" if number < found.known else "no", "yes" if known.labels[i] >= 0 else "no")
        settled = "yes" if found.names[number] in outcome.settled else "no"
        # A label is not a guess, and not every method can say how sure it is.
        guessed = trusted is not None and known.labels[i] < 0
        chances = [f"{part[i]:.4f}" for part in trusted] if trusted and guessed else ["", ""]
        writer.writerow([keys[i], number, found.names[number], *sure, f"{central[i]:.4f}", *chances, settled])
    for key in outcome.rejected:
        writer.writerow([key, NO_CLASS, REJECTED, "no", "no", "0.0000", "", "", "yes"])
    return text.getvalue()


def _write_gallery(
    out: Path, settings: DiscoverSettings, images: ImageFolder, known: KnownLabels, outcome: Outcome, run: str
) -> None:
    found, labelled = outcome.found, known.labels >= 0
    novel = int((outcome.classes >= found.known).sum())
    counted = (
        f"{len(images.numbers):,} images, {int(labelled.sum()):,} of them labelled. {novel:,} of the others lie in "
        f"discovered categories, {int((~labelled).sum()) - novel:,} in known classes."
    )
    if outcome.rejected:
        counted += f" {len(outcome.rejected):,} images of rejected classes are left out."
    trusted = trust(found.discovery.predictor, images.features)
    shown = Shown(
        images.source,
        images.numbers,
        images.features,
        outcome.classes,
        labelled,
        None if trusted is None else np.where(labelled, 1, trusted[0]),
        settled=outcome.settled,
    )
    about = About(
        f"Categories in {files.encodable(settings.folder.resolve().name)}",
        (counted, outcome.remark),
        (caveat(settings.features.backbone),),
        run,
        settings.per_class,
    )
    write_gallery(out, shown, found.discovery.predictor, found.names, found.known, about, settings.thumbnails)
