import pytest

from seminar_common.errors import UserError
from seminar_common.reporting.markdown import plain
from seminar_common.reporting.words import read_words, section_named

PNG = b"\x89PNG\r\n\x1a\n"


def write(tmp_path, text):
    path = tmp_path / "report.md"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("heading", "section"),
    [
        ("Introduction", "Introduction"),
        ("1. INTRODUCTION", "Introduction"),
        ("Limitations", "Limits"),
        ("Set-up", "Set-up"),
        ("Setup", "Set-up"),
        ("3.2 Failure cases", "Failure cases"),
        ("What my supervisor asked", "What my supervisor asked"),
    ],
)
def test_a_heading_names_a_section_of_reports_or_one_of_its_own(heading, section):
    assert section_named(heading) == section


def test_text_is_kept_by_section(tmp_path):
    path = write(
        tmp_path, "# Mine\n\n## Discussion\n\nIt is so.\n\n## My aside\n\nToo.\n\n## Discussion\n\nStill."
    )
    words = read_words(path)
    assert words.title == "Mine"
    assert [plain(block["runs"]) for block in words.of("Discussion")] == ["It is so.", "Still."]
    assert list(words.extra) == ["My aside"]
    assert words.of("Conclusion") == []


def test_what_stands_before_any_heading_is_the_introduction(tmp_path):
    assert len(read_words(write(tmp_path, "Just a paragraph.")).of("Introduction")) == 1


def test_a_picture_beside_the_text_is_taken_in(tmp_path):
    (tmp_path / "page.png").write_bytes(PNG)
    (block,) = read_words(write(tmp_path, "## Results\n\n![a page](page.png)")).of("Results")
    assert (block["kind"], block["image"], block["format"]) == ("picture", PNG, "png")


@pytest.mark.parametrize(
    ("name", "message"), [("none.png", "no picture none.png beside it"), ("page.gif", r"is no .jpg or .png")]
)
def test_a_picture_that_cannot_be_shown_is_an_error_that_names_it(tmp_path, name, message):
    with pytest.raises(UserError, match=message):
        read_words(write(tmp_path, f"![a]({name})"))


def test_a_picture_is_one_by_its_content(tmp_path):
    (tmp_path / "page.png").write_bytes(b"GIF89a")
    with pytest.raises(UserError, match="neither PNG nor JPEG"):
        read_words(write(tmp_path, "![a](page.png)"))


def test_a_text_that_is_no_text_is_an_error(tmp_path):
    path = tmp_path / "report.md"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="report.md"):
        read_words(path)
