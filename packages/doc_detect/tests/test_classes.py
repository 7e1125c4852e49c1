"""The class list and the names of other data sets."""

import pytest

from doc_detect.classes import CLASSES, IGNORE, Names, class_of, parse_map
from seminar_common.errors import UserError

SETS = {
    "ours": " ".join((*CLASSES, IGNORE)),
    "PubLayNet": "text title list table figure",
    "DocLayNet": "Caption Footnote Formula List-item Page-footer Page-header Picture Section-header Table Text Title",
    "SegmOnto": """CustomZone DamageZone DigitizationArtefactZone DropCapitalZone GraphicZone MainZone MarginTextZone
        MusicZone NumberingZone QuireMarksZone RunningTitleZone SealZone StampZone TableZone TitlePageZone""",
    "LADaS": """AdvertisementZone FigureZone FigureZone-FigDesc FigureZone-Head FormZone GraphicZone-Decoration
        GraphicZone-FigDesc GraphicZone-Head GraphicZone-Maths GraphicZone-Part GraphicZone-TextualContent
        MainZone-Continued MainZone-Date MainZone-Entry-Continued MainZone-Head MainZone-Lg MainZone-List-Continued
        MainZone-ListItem MainZone-P-Continued MainZone-Signature MainZone-Sp MarginTextZone-ManuscriptAddendum
        MarginTextZone-Notes-Continued PageTitleZone PageTitleZone-Index StampZone-Sticker TableZone-Continued
        TableZone-Head TitlePageZone-Index""",
    "PAGE": """paragraph heading caption header footer page-number drop-capital credit floating signature-mark catch-word
        marginalia footnote footnote-continued endnote TOC-entry list-label other ImageRegion LineDrawingRegion
        GraphicRegion TableRegion ChartRegion MapRegion SeparatorRegion MathsRegion ChemRegion MusicRegion AdvertRegion
        NoiseRegion CustomRegion UnknownRegion logo letterhead decoration frame handwritten-annotation stamp signature
        barcode paper-grow punch-hole""",
    "Newspaper Navigator": "Photograph Illustration Map Comics/Cartoon Editorial_Cartoon Headline Advertisement",
    "IIIT-AR-13K": "table figure natural_image logo signature",
    "TableBank": "table",
    "DocBank": "abstract author caption date equation figure footer list paragraph reference section table title",
    "DocLayout-YOLO": """title plain_text abandon figure figure_caption table table_caption table_footnote isolate_formula
        formula_caption""",
    "M6Doc": """_background_ QR_code advertisement algorithm answer author barcode bill blank bracket breakout byline
        caption catalogue chapter_title code correction credit dateline drop_cap editor's_note endnote
        examinee_information fifth-level_title figure first-level_question_number first-level_title flag folio footer
        footnote formula fourth-level_section_title fourth-level_title header headline index inside institute jump_line
        kicker lead marginal_note matching mugshot option ordered_list other_question_number page_number paragraph part
        play poem reference sealing_line second-level_question_number second-level_title section section_title sidebar
        sub_section_title subhead subsub_section_title supplementary_note table table_caption table_note teasers
        third-level_question_number third-level_title title translator underscore unordered_list weather_forecast""",
    "Gallicorpora": "title_page damage quire_mark music",
}


@pytest.mark.parametrize("source", SETS)
def test_every_name_of_the_known_sets_has_a_class(source: str) -> None:
    unknown = [name for name in SETS[source].split() if class_of(name.replace("_", " ")) is None]
    assert not unknown


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, name) for name in (*CLASSES, IGNORE)),
        ("figure", "graphic"),
        ("Picture", "graphic"),
        ("illustration", "graphic"),
        ("Image", "graphic"),
        ("Text", "main_text"),
        ("Editorial Cartoon", "graphic"),
        ("Headline", "title"),
        ("Advertisement", IGNORE),
        ("GraphicZone", "graphic"),
        ("GraphicZone#1", "graphic"),
        ("GraphicZone:figure", "graphic"),
        ("GraphicZone-figure", "graphic"),
        ("GraphicZone:illustration#2", "graphic"),
        ("GraphicZone-FigDesc", "caption"),
        ("MainZone-Head--Book", "title"),
        ("MainZone-P-Continued", "main_text"),
        ("CustomZone:caption", "caption"),
        ("CustomZone:parchment", IGNORE),
        ("Page-header", "running_title"),
        ("page_header", "running_title"),
        ("table-of-contents", "list"),
        ("table top", None),
        ("cat", None),
        ("", None),
    ],
)
def test_names_of_other_sets(name: str, expected: str | None) -> None:
    assert class_of(name) == expected


def test_what_becomes_ignore_is_counted_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    names = Names()
    for name, count in (("illustration", 3), ("Advert block", 4), ("DamageZone", 2), ("ignore", 1)):
        for _ in range(count):
            names.label(name)
    names.report("a.json")
    (said,) = capsys.readouterr().err.splitlines()
    assert said == (
        "a.json: 2 names, 6 of 10 regions become `ignore`: Advert block (4), DamageZone (2): "
        "map them with --map NAME=CLASS"
    )


def test_a_map_goes_before_the_table_and_the_first_known_name_counts() -> None:
    names = Names(["Advert=graphic", "table=ignore", "a=b=caption"])
    assert [names.label(name) for name in ("Advert", "table", "a=b", "Table")] == [
        "graphic",
        IGNORE,
        "caption",
        "table",
    ]
    assert names.label("unheard of", "marginalia") == "margin_text"
    names.report("a.json")


@pytest.mark.parametrize("entry", ["Advert", "=graphic", "Advert=", "Advert=picture"])
def test_a_map_without_a_class_is_refused(entry: str) -> None:
    with pytest.raises(UserError, match=f"--map {entry}: write NAME=CLASS"):
        parse_map([entry])


def test_a_map_with_two_classes_for_one_name_is_refused() -> None:
    with pytest.raises(UserError, match="Advert is also graphic"):
        parse_map(["Advert=graphic", "Advert=table"])


def test_a_map_of_a_name_that_is_nowhere_is_refused() -> None:
    names = Names(["Adverts=graphic"])
    names.label("Advert")
    names.label("table")
    with pytest.raises(UserError, match="--map Adverts=...: no such name; it has Advert, table"):
        names.report("a.json")


def test_unknown_names_alone_are_refused_with_the_list() -> None:
    names = Names()
    names.label("cat")
    with pytest.raises(UserError, match="the names cat: none is known; map them .* graphic"):
        names.report("a.json")
