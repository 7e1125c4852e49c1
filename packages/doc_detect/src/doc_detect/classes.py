"""The one list of classes, and how the names of others map onto it.

A data set labels some classes only. What it does not label may still be on its pages: there a detector must
neither be rewarded nor punished, so an object without a class of ours becomes an *ignore region*, and a class
that a set does not label is no negative.

One table holds the names of all lists, since files mix them. Names are compared without case, spaces and signs.
Sources: PubLayNet (Zhong et al. 2019), DocLayNet (Pfitzmann et al. 2022), SegmOnto (Gabay et al. 2021, "SegmOnto:
common vocabulary and practices for analysing the layout of manuscripts"), LADaS (Clerice et al. 2024), the PAGE schema
of 2019-07-15 (also Transkribus, READ and cBAD), the BnF's ALTO, Newspaper Navigator (Lee et al. 2020), M6Doc (Cheng et al. 2023),
DocBank and TableBank (Li et al. 2020), IIIT-AR-13K (Mondal et al. 2020), DocLayout-YOLO (Zhao et al. 2024).
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from seminar_common.errors import UserError, choices
from seminar_common.progress import say

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

_NAMES: Mapping[str, str] = {
    "graphic": """
        graphic graphics graphic_region figure figures fig image images image_region picture pictures photo photos
        photograph photographs illustration illustrations content_illustration drawing line_drawing line_drawing_region engraving etching
        lithograph woodcut miniature painting plate halftone cartoon comic comics comics/cartoon editorial_cartoon
        diagram chart chart_region graph plot map maps map_region natural_image mugshot logo printers_mark printers_device
        ornament ornamentation decoration vignette headpiece tailpiece fleuron emblem coat_of_arms
        GraphicZone FigureZone IllustrationZone""",
    "drop_capital": """
        drop_capital drop_capitals drop_cap initial initials decorated_initial historiated_initial
        inhabited_initial lettrine DropCapitalZone InitialZone""",
    "table": "table tables table_region tabular wired_table wireless_table TableZone GraphicZone-Table",
    "stamp": "stamp stamps text_stamped seal seals library_stamp StampZone SealZone",
    "main_text": """
        main_text text text_region text_block text_paragraph paragraph paragraphs plain_text body body_text para
        poem play lead MainZone MainZone-P MainZone-Lg MainZone-Sp MainZone-Entry MainZone-Other MainZone-Date""",
    "margin_text": """
        margin_text marginalia margin marginal marginal_note marginal_notes side_note footnote footnotes
        footnote_continued endnote endnotes MarginTextZone""",
    "running_title": "running_title running_head header headers page_header RunningTitleZone",
    "page_number": "page_number page_numbers page_no folio foliation NumberingZone",
    "caption": """
        caption captions figure_caption figure_title table_caption table_title image_caption chart_title
        FigureZone-FigDesc FigureZone-Head GraphicZone-FigDesc GraphicZone-Head TableZone-Head""",
    "title": """
        title titles titre titre_1 titre_2 titre_3 heading headings headline headlines section_header section_heading section_title section
        sub_section_title subsub_section_title fourth_level_section_title chapter_title doc_title document_title
        paragraph_title part first_level_title second_level_title third_level_title fourth_level_title
        fifth_level_title title_region subtitle subhead credit MainZone-Head PageTitleZone""",
    "list": """
        list lists list_item list_items list_label ordered_list unordered_list toc_entry table_of_contents
        MainZone-List MainZone-ListItem""",
    "quire_mark": "quire_mark quire_marks signature_mark catch_word catchwords QuireMarksZone QuireMarkZone",
    "music": "music music_region sheet_music music_score notation staff score MusicZone",
    IGNORE: """
        ignore ignored other others unknown unknown_region unlabelled unlabeled abandon floating
        footer footers page_footer
        title_page TitlePageZone
        damage DamageZone CustomZone DigitizationArtefactZone artefact noise noise_region paper_grow punch_hole
        AdvertisementZone advertisement advertisements advert advert_region ad FormZone form
        footnote_sep manuscript missing illegible transition separator separators separator_region separator_zone graphical_element rule
        formula isolate_formula formula_caption equation maths maths_region chem_region custom_region
        table_footnote table_note signature barcode qr_code letterhead frame handwritten_annotation
        author abstract reference references date byline dateline algorithm code index institute answer option bill
        blank bracket breakout catalogue correction editors_note examinee_information
        first_level_question_number second_level_question_number third_level_question_number other_question_number
        flag inside jump_line kicker matching sealing_line sidebar supplementary_note teasers translator underscore
        weather_forecast background GraphicZone-TextualContent GraphicZone-Maths MainZone-Maths
        MainZone-Signature StampZone-Sticker TableZone-Row TableZone-Column TableZone-Corner TableZone-Headers
        TableZone-SectionDiv""",
}
"""Names of each class, in the words of all sources; ``_`` stands for any sign or none.

A page's footer is a page number, a running title or both; a title page zone holds titles and main text.
"""


def _key(name: str) -> str:
    """Return what two spellings of a name share: its letters and digits without case."""
    return re.sub(r"[^\w]|_", "", name.casefold())


@cache
def _table() -> Mapping[str, str]:
    return {_key(name): label for label, names in _NAMES.items() for name in names.split()}


def _spellings(name: str) -> Iterable[str]:
    """Yield a name, and then with fewer subtypes: ``MainZone-P#2``, ``MainZone-P``, ``MainZone``; all as keys.

    ``:`` and ``#`` begin a subtype anywhere, ``-`` after a SegmOnto zone alone: DocLayNet's Page-header is no page.
    """
    yield _key(name)
    whole = re.split(r"[:#]", name, maxsplit=1)[0]
    yield _key(whole)
    zone, *subtypes = whole.split("-")
    if _key(zone).endswith("zone"):
        for count in range(len(subtypes) - 1, -1, -1):
            yield _key("-".join((zone, *subtypes[:count])))


def class_index(name: str) -> int:
    """Return the number of a class.

    Raises:
        UserError: there is no such class.
    """
    if name not in CLASSES:
        raise UserError(f"{name!r}: no such class; choose {choices(CLASSES)}")
    return CLASSES.index(name)


@cache
def class_of(name: str) -> str | None:
    """Return the class (or :data:`IGNORE`) that a name of any list stands for, None if no list has it."""
    head, _, subtype = name.partition(":")
    if (
        _key(head) == "customzone" and subtype in CLASSES
    ):  # what SegmOnto has no zone for, as our ALTO writes it
        return subtype
    table = _table()
    return next((table[key] for key in _spellings(name) if key in table), None)


def parse_map(entries: Sequence[str]) -> dict[str, str]:
    """Return ``--map`` options, ``OLD=NEW``, as names to classes.

    Raises:
        UserError: one has no ``=``, its class is unknown, or one name is given two classes.
    """
    found: dict[str, str] = {}
    for entry in entries:
        old, sign, new = entry.rpartition("=")
        if not sign or not old.strip() or new not in (*CLASSES, IGNORE):
            raise UserError(f"--map {entry}: write NAME=CLASS; CLASS is one of {choices((*CLASSES, IGNORE))}")
        if found.setdefault(old.strip(), new) != new:
            raise UserError(f"--map {entry}: {old.strip()} is also {found[old.strip()]}; give it one class")
    return found


class Names:
    """Turns the names of a file into classes, and counts what becomes :data:`IGNORE`.

    Args:
        given: Classes of names that go before the table, as ``OLD=NEW``.
        strict: Whether each of them must be in the file.
    """

    def __init__(self, given: Sequence[str] = (), strict: bool = True):
        self.given, self.strict = parse_map(given), strict
        self.regions = 0
        self.ignored: Counter[str] = Counter()
        self.seen: set[str] = set()
        self.known = False

    def find(self, *names: str) -> str | None:
        """Return the class of the first of an object's ``names`` that is known, None if none is; counts nothing."""
        self.seen.update(names)
        found = next((self.given[name] for name in names if name in self.given), None)
        found = found or next((label for name in names if (label := class_of(name))), None)
        self.known = self.known or found is not None
        return found

    def label(self, *names: str) -> str:
        """Return the class of a region that has ``names``, the most telling first; unknown ones are ``ignore``."""
        found = self.find(*names) or IGNORE
        self.count(names[0], found)
        return found

    def count(self, name: str, label: str) -> None:
        """Count a region; if it is ignored, under its ``name``."""
        self.regions += 1
        if label == IGNORE and _key(name.rpartition(":")[2]) != IGNORE:  # what was ignored before is no loss
            self.ignored[name] += 1

    def part(self) -> "Names":
        """Return one that counts a file's regions by themselves; :meth:`add` takes them up if the file is used."""
        part = Names()
        part.given, part.seen = self.given, self.seen
        return part

    def add(self, part: "Names") -> None:
        """Take up what a part has counted."""
        self.regions += part.regions
        self.ignored += part.ignored
        self.known = self.known or part.known

    def report(self, what: object) -> None:
        """Say in one line what is left out of ``what``.

        Raises:
            UserError: no name is known, or a name of ``--map`` is nowhere.
        """
        missing = sorted(set(self.given) - self.seen)
        if missing and self.strict:
            raise UserError(
                f"{what}: --map {missing[0]}=...: no such name; it has {_some(sorted(self.seen))}"
            )
        if self.seen and not self.known:
            raise UserError(
                f"{what}: the names {_some(sorted(self.seen))}: none is known; map them with --map NAME=CLASS, "
                f"where CLASS is one of {choices(CLASSES)}"
            )
        if self.ignored:
            names = _some([f"{name} ({count:,})" for name, count in self.ignored.most_common()])
            say(
                f"{what}: {len(self.ignored):,} name{'s' * (len(self.ignored) > 1)}, {self.ignored.total():,} of {self.regions:,} regions become "
                f"`ignore`: {names}: map them with --map NAME=CLASS"
            )


def _some(names: Sequence[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
