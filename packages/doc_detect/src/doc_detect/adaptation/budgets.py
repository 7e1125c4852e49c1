"""The labelled pages of a study's models: drawn at random, or chosen by `select`, among the same pages."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from doc_detect.adaptation.labelled import refs_of
from doc_detect.adaptation.planned import SELECTED, Planned
from doc_detect.coco import CocoPage, CocoSet, write_coco
from doc_detect.figures.calibration import draw_pages
from doc_detect.figures.label_curve import LABELS
from doc_detect.figures.paired import ORACLE
from doc_detect.select import WORK, select
from doc_detect.settings.adapt_study import AdaptStudySettings
from doc_detect.settings.selection import SelectSettings
from seminar_common import files
from seminar_common.progress import say


def write_budget(
    one: Planned, labels: tuple[str, ...], settings: AdaptStudySettings, start: Mapping[str, Any]
) -> None:
    """Write the labelled pages of a model that has a few, if they are not there; does nothing for other models.

    Pages are drawn at random, one of each book in turn, those of a smaller budget being among those of a larger one
    with the same seed and draw, or they are those that `select` ranks first.

    Args:
        one: The adaptation.
        labels: Classes of the detector.
        settings: Of the study.
        start: Of :class:`AdaptSettings`: which detector is adapted, and looks at the pages.
    """
    file, pages = one.settings.labelled, one.fold.labelled
    budget = one.facts.get(LABELS)
    if one.model == ORACLE or file is None or pages is None or budget is None or file.exists():
        return
    if one.model.startswith(SELECTED):
        chosen, how = _selected(pages, int(budget), settings, start), "`select` chose"
    else:
        chosen = draw_pages(pages, labels, int(budget), one.seed, f"labelled-{one.draw}")
        how = f"drew with seed {one.seed}"
    _write(file, chosen, chosen.pages)
    say(f"{one.model}: {how} {len(chosen.pages)} labelled pages: {file}")


def _selected(pages: CocoSet, budget: int, settings: AdaptStudySettings, start: Mapping[str, Any]) -> CocoSet:
    """Return those of ``pages`` that `select` ranks first; what it shows people is kept in the study's folder."""
    assert settings.out is not None
    pool, out = settings.out / "labelled" / "all.json", settings.out / "chosen" / str(budget)
    unboxed = [
        dataclasses.replace(page, boxes=page.boxes[:0], labels=page.labels[:0]) for page in pages.pages
    ]
    _write(pool, pages, unboxed)
    if not (out / WORK).exists():
        files.remove(out)  # chosen before, by a study that was stopped before it wrote the pages down
    made = select(
        SelectSettings(
            target=(pool,),
            out=out,
            budget=budget,
            pages=len(pages.pages),
            page_timeout=settings.page_timeout,
            work=settings.work,
            device=settings.device,
            **start,
        )
    )
    by_path = {ref.path: page for ref, page in zip(refs_of(pages), pages.pages, strict=True)}
    return dataclasses.replace(pages, pages=tuple(by_path[each.ref.path] for each in made))


def _write(file: Path, of: CocoSet, pages: Sequence[CocoPage]) -> None:
    """Write pages of ``of`` into a file that lies elsewhere, so that they need their whole paths."""
    places = refs_of(dataclasses.replace(of, pages=tuple(pages)))
    named = [
        dataclasses.replace(page, file_name=str(ref.path)) for page, ref in zip(pages, places, strict=True)
    ]
    write_coco(file, named, {"name": of.name}, of.labelled)
