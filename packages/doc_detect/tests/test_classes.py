"""The class list and the names of other data sets."""

import pytest

from doc_detect.classes import CLASSES, IGNORE, SOURCES, guess_source, labelled_classes, map_name
from seminar_common.errors import UserError


@pytest.mark.parametrize("source", SOURCES)
def test_every_name_maps_onto_the_list_or_is_ignored(source: str) -> None:
    assert set(SOURCES[source].values()) <= {*CLASSES, IGNORE}


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("figure", "publaynet", "graphic"),
        ("Picture", "doclaynet", "graphic"),
        ("GraphicZone:illustration#2", "segmonto", "graphic"),  # a subtype belongs to its zone
        ("DropCapitalZone", "segmonto", "drop_capital"),
        ("damage", "historical", IGNORE),
        ("something new", "historical", IGNORE),
    ],
)
def test_names_of_other_sets(name: str, source: str, expected: str) -> None:
    assert map_name(name, source) == expected


@pytest.mark.parametrize("source", ["publaynet", "doclaynet", "segmonto", "historical", "own"])
def test_a_set_is_known_by_its_names(source: str) -> None:
    assert guess_source(SOURCES[source]) == source


def test_a_class_that_a_set_does_not_label_is_no_negative() -> None:
    labelled = labelled_classes(["text", "title", "list", "table", "figure"], "publaynet")
    assert labelled == {"main_text", "title", "list", "table", "graphic"}  # and no drop_capital


def test_unknown_names_are_refused_with_the_list() -> None:
    with pytest.raises(UserError, match="graphic"):
        guess_source(["cat", "dog"])
