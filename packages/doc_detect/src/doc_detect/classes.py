"""The one list of classes, and how other data sets' names map onto it.

A data set labels some classes only. What it does not label may still be on its pages: there a detector must
neither be rewarded nor punished, so an object without a class of ours becomes an *ignore region*, and a class
that a set does not label is no negative (:func:`labelled_classes`).

Sources of the names: PubLayNet (Zhong et al. 2019), DocLayNet (Pfitzmann et al. 2022), SegmOnto (Gabay et al.
2021, "SegmOnto: common vocabulary and practices for analysing the layout of manuscripts").
"""

from collections.abc import Iterable, Mapping

from seminar_common.errors import UserError, choices

CLASSES = (
    "graphic",
    "drop_capital",
    "table",
    "stamp",
    "main_text",
    "margin_text",
    "running_title",
    "page_number",
    "caption",
    "title",
    "list",
    "quire_mark",
    "music",
)
"""Class names in the order of a detector's outputs; number 0 is the first.

``graphic`` is whatever is drawn, not written: illustrations with their frame, headpieces, tailpieces, vignettes,
printer's devices and ornament bands (SegmOnto's GraphicZone). ``quire_mark`` holds signatures and catchwords.
"""

TEXT_CLASSES = frozenset(CLASSES[CLASSES.index("main_text") : CLASSES.index("music")])
"""The classes that are set in type or written."""

IGNORE = "ignore"
"""What an object becomes whose class this list lacks: its place is neither object nor background.

It hides the text classes alone: what is drawn inside such a zone (the vignette of a title page) is labelled by
itself, and a zone that covers a page would otherwise hide all of it.
"""

PUBLAYNET: Mapping[str, str] = {
    "text": "main_text",
    "title": "title",
    "list": "list",
    "table": "table",
    "figure": "graphic",
}

DOCLAYNET: Mapping[str, str] = {
    "Caption": "caption",
    "Footnote": "margin_text",
    "Formula": IGNORE,
    "List-item": "list",
    "Page-footer": IGNORE,  # a page number, a running title or both
    "Page-header": "running_title",
    "Picture": "graphic",
    "Section-header": "title",
    "Table": "table",
    "Text": "main_text",
    "Title": "title",
}

SEGMONTO: Mapping[str, str] = {
    "CustomZone": IGNORE,
    "DamageZone": IGNORE,
    "DigitizationArtefactZone": IGNORE,
    "DropCapitalZone": "drop_capital",
    "FigureZone": "graphic",
    "GraphicZone": "graphic",
    "MainZone": "main_text",
    "MarginTextZone": "margin_text",
    "MusicZone": "music",
    "NumberingZone": "page_number",
    "QuireMarksZone": "quire_mark",
    "RunningTitleZone": "running_title",
    "SealZone": "stamp",
    "StampZone": "stamp",
    "TableZone": "table",
    "TitlePageZone": IGNORE,  # the whole page's text; its lines are titles and main text
}

HISTORICAL: Mapping[str, str] = {
    **{name: name for name in ("graphic", "drop_capital", "table", "stamp", "main_text", "margin_text")},
    **{name: name for name in ("running_title", "page_number", "quire_mark", "music")},
    "title_page": IGNORE,
    "damage": IGNORE,
}
"""The 12 zone names of the Gallicorpora pages in `docs/data.md` (SegmOnto's, shortened)."""

SOURCES: Mapping[str, Mapping[str, str]] = {
    "own": {**{name: name for name in CLASSES}, IGNORE: IGNORE},
    "publaynet": PUBLAYNET,
    "doclaynet": DOCLAYNET,
    "segmonto": SEGMONTO,
    "historical": HISTORICAL,
}
"""Every known list of names, by the name of its source."""


def class_index(name: str) -> int:
    """Return the number of a class.

    Raises:
        UserError: there is no such class.
    """
    if name not in CLASSES:
        raise UserError(f"{name!r}: no such class; choose {choices(CLASSES)}")
    return CLASSES.index(name)


def map_name(name: str, source: str) -> str:
    """Return the class of ours (or :data:`IGNORE`) for the name that ``source`` uses.

    Names are compared without case, and SegmOnto's subtypes (``MainZone:column#1``) by their zone.
    """
    table = {key.lower(): value for key, value in SOURCES[source].items()}
    return table.get(name.split(":")[0].strip().lower(), IGNORE)


def guess_source(names: Iterable[str]) -> str:
    """Return the source whose list knows most of ``names``; ours wins a draw.

    Raises:
        UserError: no list knows any of them.
    """
    given = {name.split(":")[0].strip().lower() for name in names}
    known = {source: len(given & {key.lower() for key in table}) for source, table in SOURCES.items()}
    best = max(known, key=lambda source: known[source])
    if not known[best]:
        raise UserError(
            f"categories {', '.join(sorted(given)) or '(none)'}: none is known; "
            f"rename them to {choices(CLASSES)}"
        )
    return best


def labelled_classes(names: Iterable[str], source: str) -> frozenset[str]:
    """Return the classes that a set with the category ``names`` labels.

    The others may be on its pages without a box: leave them out of that set's loss and of its figures.
    """
    return frozenset(map_name(name, source) for name in names) - {IGNORE}
