"""Faces of typewriters: found, kept out of running text, and replaced where there is none."""

import numpy as np

from doc_detect.synthesis import fonts


def test_matplotlibs_typewriter_faces_are_found_upright() -> None:
    found = [face for face in fonts.find_faces(None, False) if face.style == "typewriter"]
    assert "DejaVu Sans Mono" in {face.family for face in found}
    assert not [face for face in found if "oblique" in face.path.lower() or "italic" in face.path.lower()]
    widths = {
        fonts.load(face.path, 40).getlength("i") == fonts.load(face.path, 40).getlength("W") for face in found
    }
    assert widths == {True}, "all letters of a typewriter are equally wide"


def test_running_text_is_set_in_no_typewriter_face() -> None:
    book = fonts.FontBook(fonts.find_faces(None, False), "train")
    others = [style for style in fonts.STYLES if style != "typewriter"]
    assert not [face for style in others for face in book.faces(style) if face.style == "typewriter"]


def test_a_sans_stands_in_for_a_typewriter() -> None:
    book = fonts.FontBook([fonts.Face("/plain.ttf", "Plain", "sans", False)], "train")
    assert book.choose(np.random.default_rng(0), "typewriter").family == "Plain"


def test_text_is_set_upright_in_sans_and_typewriter() -> None:
    """The slanted cut of a family without serifs stood for it, as its file comes first."""
    found = [
        face.path.lower() for face in fonts.find_faces(None, False) if face.style in ("sans", "typewriter")
    ]
    assert found and not [path for path in found if "oblique" in path or "italic" in path]
