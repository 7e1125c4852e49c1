"""The labelled pages of a study's models: drawn at random, or ranked by `select`, among the same pages."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from doc_detect.adaptation.labelled import refs_of
from doc_detect.adaptation.planned import SELECTED, Planned
from doc_detect.coco import CocoPage, CocoSet, write_coco
from doc_detect.figures.calibration import draw_pages
from doc_detect.figures.label_curve import LABELS
from doc_detect.figures.paired import ORACLE
from seminar_common.progress import say

POOL = "all.json"
"""Beside the pages of the budgets: all that `select` ranks, without their boxes."""
Rank = Callable[[Path, int], Sequence[Path]]
"""Of the pages of a COCO file, returns the files of those that are most worth labelling, as many as are asked for."""


def write_budget(one: Planned, labels: tuple[str, ...], rank: Rank) -> None:
    """Write the labelled pages of a model that has a few, if they are not there; does nothing for other models.

    Pages are drawn at random, one of each book in turn, those of a smaller budget being among those of a larger one
    with the same seed and draw, or they are those that `select` ranks first.

    Args:
        one: The adaptation.
        labels: Classes of the detector.
        rank: What `select` does.
    """
    file, pages = one.settings.labelled, one.fold.labelled
    budget = one.facts.get(LABELS)
    if one.model == ORACLE or file is None or pages is None or budget is None or file.exists():
        return
    if one.model.startswith(SELECTED):
        chosen, how = _selected(pages, file.parent / POOL, int(budget), rank), "`select` chose"
    else:
        chosen = draw_pages(pages, labels, int(budget), one.seed, f"labelled-{one.draw}")
        how = f"drew with seed {one.seed}"
    _write(file, chosen, chosen.pages)
    say(f"{one.model}: {how} {len(chosen.pages)} labelled pages: {file}")


def _selected(pages: CocoSet, pool: Path, budget: int, rank: Rank) -> CocoSet:
    unboxed = [
        dataclasses.replace(page, boxes=page.boxes[:0], labels=page.labels[:0]) for page in pages.pages
    ]
    _write(pool, pages, unboxed)
    by_path = {ref.path: page for ref, page in zip(refs_of(pages), pages.pages, strict=True)}
    return dataclasses.replace(pages, pages=tuple(by_path[path] for path in rank(pool, budget)))


def _write(file: Path, of: CocoSet, pages: Sequence[CocoPage]) -> None:
    """Write pages of ``of`` into a file that lies elsewhere, so that they need their whole paths."""
    places = refs_of(dataclasses.replace(of, pages=tuple(pages)))
    named = [
        dataclasses.replace(page, file_name=str(ref.path)) for page, ref in zip(pages, places, strict=True)
    ]
    write_coco(file, named, {"name": of.name}, of.labelled)
