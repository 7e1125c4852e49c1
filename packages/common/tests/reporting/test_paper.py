"""A whole report from the command line's function to the file, in both forms."""

import json
import re

import pytest

pytest.importorskip("matplotlib")

import subprocess
import sys
from html.parser import HTMLParser

from seminar_common import report
from seminar_common.errors import UserError
from seminar_common.report import Picture, ReportSettings, write_pictures
from seminar_common.results import Results, write_results

OWN = """# A title of my own

## Introduction

<script>alert(1)</script> and #import "x" and $x_1$ and \\textbf{bold} stay as they are.

## Discussion

It works [@mine2026; @nobody].

## Something else

AVeryLongWordThatNoLineCouldEverHoldBecauseItGoesOnAndOnAndOnAndOnAndOnAndOnAndOnAndOnAndOnAndOnAndOnAndOnAndOn

## References

- **mine2026**: D. Me. My own. 2026.
"""


class Words(HTMLParser):
    """The visible text of a page."""

    def __init__(self, page):
        super().__init__()
        self.parts, self.hidden = [], False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.hidden = self.hidden or tag in ("style", "script")

    def handle_endtag(self, tag):
        self.hidden = self.hidden and tag not in ("style", "script")

    def handle_data(self, data):
        self.parts += [] if self.hidden else data.split()

    @property
    def text(self):
        return " ".join(self.parts)


@pytest.fixture
def run(tmp_path, told):
    folder = tmp_path / "study"
    write_results(folder / "results.json", told.results)
    return folder


def make(run, name, **more):
    out = run.parent / name
    gaps = report.report([run], out, **more)
    return out, gaps


def pdf_pages(path):
    """Return the text of each page, and check that all of it lies inside the page."""
    pdfium = pytest.importorskip("pypdfium2")
    document = pdfium.PdfDocument(path)
    texts = []
    for page in document:
        words, (width, height) = page.get_textpage(), page.get_size()
        for index in range(words.count_chars()):
            left, bottom, right, top = words.get_charbox(index)
            assert 0 <= left <= right <= width + 0.1 and 0 <= bottom <= top <= height + 0.1, path
        texts.append(" ".join(words.get_text_bounded().replace("\u200b", "").replace("\ufffe", "").split()))
    return texts


HEADINGS = [
    "Abstract",
    "1 Task",
    "2 Related work",
    "3 Method",
    "4 Data",
    "5 Set-up",
    "6 Results",
    "6.1 How small?",
    "7 Failure cases",
    "7.1 What fails?",
    "8 Limits",
    "9 How to reproduce",
    "References",
    "A Figures of study",
]


def test_the_paper_has_every_section_in_order_with_numbers_and_captions(run):
    out, _ = make(run, "report.pdf", author=("A. Student", "B. Student"), date="1 May 2027")
    text = " ".join(pdf_pages(out))
    places = [text.index(heading) for heading in HEADINGS]
    assert places == sorted(places)
    assert "A. Student, B. Student · 1 May 2027" in text
    assert "20 times smaller at no loss of ROC AUC (+0.0002 [−0.0004, +0.0008])." in text
    numbers = re.findall(r"(Figure|Table) (\d+)\.", text)
    for kind in ("Figure", "Table"):
        counted = [int(number) for name, number in numbers if name == kind]
        assert sorted(counted) == list(range(1, len(counted) + 1)) and counted
    assert "tool study --data clicks --seeds 0 1" in text
    assert "A note to read." in text


def test_only_what_is_cited_is_listed_in_the_order_of_its_numbers(run):
    out, _ = make(run, "report.pdf")
    text = " ".join(pdf_pages(out))
    assert "how likely a click is [1]." in text and "Others did it, too [2, 1]." in text
    assert text.index("[1] A. One") < text.index("[2] B. Two")
    assert "Never cited" not in text


def test_a_run_without_pictures_says_in_a_line_which_command_makes_them(run):
    out, _ = make(run, "report.html")
    assert "No pictures here: tool draw makes some." in Words(out.read_text()).text
    write_pictures(run, [Picture(JPEG, "page 7: found nothing")])
    for name in ("report.html", "report.pdf"):
        out, _ = make(run, name)
        text = Words(out.read_text()).text if name.endswith("html") else " ".join(pdf_pages(out))
        assert "Figure 2. page 7: found nothing" in text
        assert "No pictures here" not in text


def test_pictures_replace_those_of_before(run):
    write_pictures(run, [Picture(JPEG, "one"), Picture(JPEG, "two")])
    write_pictures(run, [Picture(JPEG, "three")])
    assert sorted(path.name for path in (run / "pictures").iterdir()) == ["01.jpg", "captions.json"]
    write_pictures(run, [])  # nothing to show is no reason to forget
    assert (run / "pictures" / "01.jpg").exists()


def test_a_broken_picture_is_an_error_of_one_line(run):
    (run / "page.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing more")
    (run / "report.md").write_text("# Results\n\n![a](page.png)", encoding="utf-8")
    with pytest.raises(UserError, match="a picture of the report can't be read"):
        make(run, "report.pdf")
    assert not (run.parent / "report.pdf").exists()


@pytest.mark.parametrize("name", ["none.jpg", "../results.json"])
def test_captions_name_pictures_beside_them(run, name):
    write_pictures(run, [Picture(JPEG, "one")])
    (run / "pictures" / "captions.json").write_text(json.dumps({name: "a caption"}))
    with pytest.raises(UserError, match="which is no picture beside it"):
        make(run, "report.html")


def test_a_page_opens_with_the_answer_its_plot_and_its_rows(run):
    out, _ = make(run, "report.html")
    page = out.read_text()
    order = [
        "<h1>Small clicks</h1>",
        "How small?</b> 20 times smaller at no loss",
        "<svg",
        "Both models.",
        "<h3>Task</h3>",
    ]
    places = [page.index(part) for part in order]
    assert places == sorted(places)
    assert page.count("Both models.") == 2  # the caption, which is also the table's name for a screen reader
    assert "What fails?</b>" not in page  # a main question opens the page; failures have a section


def test_long_tables_are_folded_and_short_ones_open(run, told):
    rows = [told.row(f"model-{n}", "roc_auc", 0.7 + n / 1000) for n in range(40)]
    write_results(run / "results.json", Results("tool study", tuple(rows)))
    page = make(run, "report.html")[0].read_text()
    assert re.search(
        r'<details class="table">\s*<summary><b>Table \d+\.</b>[^<]*<span class="note">40 lines', page
    )


def test_gaps_are_named_in_the_report_and_on_the_terminal(run, capsys):
    report.main(ReportSettings(runs=(run,), out=run.parent / "report.html"))
    said = capsys.readouterr().err
    assert "still missing: Introduction, Discussion and Conclusion: write them under these headings" in said
    assert "still missing: the author: --author NAME" in said
    page = Words((run.parent / "report.html").read_text()).text
    assert "Still missing in this report Introduction, Discussion and Conclusion" in page


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("name", ["report.html", "report.pdf"])
def test_own_words_fill_their_sections_as_text(run, name, beside):
    path = run / "report.md" if beside else run.parent / "mine.md"
    path.write_text(OWN, encoding="utf-8")
    out, gaps = make(run, name, author=("Me",), text=None if beside else path)
    assert gaps == [
        "Conclusion: write them under these headings in a file for --text, or in RUN/report.md",
        "no entry under References has the key nobody, which the text cites",
    ]
    text = Words(out.read_text()).text if name.endswith("html") else " ".join(pdf_pages(out))
    assert "A title of my own" in text
    assert '<script>alert(1)</script> and #import "x" and $x_1$ and \\textbf{bold} stay' in text
    assert "[3, nobody?]" in text and "D. Me. My own. 2026." in text
    assert "AVeryLongWord" in text
    places = [
        text.index(f"{word}") for word in ("Limits", "Something else", "Discussion", "How to reproduce")
    ]
    html = name.endswith("html")
    assert html or places == sorted(places)


def test_an_own_abstract_replaces_the_other(run):
    (run / "report.md").write_text("# Abstract\n\nIn my words.", encoding="utf-8")
    text = " ".join(pdf_pages(make(run, "report.pdf")[0]))
    assert "Abstract In my words." in text and "Clicks are made small." not in text


def test_two_topics_have_a_section_each(run, told):
    other = run.parent / "other"
    write_results(other / "results.json", Results("some-program", (told.row("a", "roc_auc", 0.8),)))
    out = run.parent / "both.pdf"
    report.report([run, other], out)
    text = " ".join(pdf_pages(out))
    for heading in ("1 Small clicks", "1.1 Task", "1.6.1 How small?", "2 other", "2.1 Set-up", "2.2 Results"):
        assert heading in text
    out = run.parent / "both.html"
    report.report([run, other], out)
    titles = re.findall(r"<h2>([^<]*)</h2>", out.read_text())
    assert titles == ["Small clicks", "other"]


def test_a_topic_that_nobody_knows_has_its_tables_and_plots(run, told):
    write_results(run / "results.json", Results("who --knows", told.results.rows))
    text = " ".join(pdf_pages(make(run, "report.pdf")[0]))
    assert "binary has the highest ROC AUC" in text and "0.7391" in text and "who --knows" in text


def test_settings_that_differ_stand_in_the_body_and_all_others_in_the_appendix(run, monkeypatch):
    config = {"topic": "tool", "command": "study", "settings": {"epochs": 3, "rate": 0.25}}
    (run / "config.json").write_text(json.dumps(config))
    from seminar_common.reporting import paper
    from seminar_common.reporting.differing import Setting

    monkeypatch.setattr(paper, "changed", lambda config: config and [Setting("epochs", "3", "1")])
    text = " ".join(pdf_pages(make(run, "report.pdf")[0]))
    body, appendix = text.split("References", 1)
    assert "epochs 3 1" in body and "rate" not in body.split("Set-up")[1].split("Results")[0]
    assert "settings.rate" in appendix and "0.25" in appendix


def test_runs_of_one_environment_have_it_once_and_what_is_not_set_is_left_out(run, told):
    environment = {
        "command": "tool train --fast",
        "versions": {"numpy": "2.4", "torch": "2.15"},
        "cores": None,
    }
    other = run.parent / "other"
    write_results(other / "results.json", told.results)
    for folder in (run, other):
        (folder / "environment.json").write_text(json.dumps(environment))
    out = run.parent / "report.pdf"
    report.report([run, other], out)
    text = " ".join(pdf_pages(out))
    assert text.count("Environment of study and other") == 1
    assert "versions numpy 2.4, torch 2.15" in text and "null" not in text
    assert "tool train --fast" in text  # how to reproduce it


def test_wide_tables_stay_on_the_page(run, told):
    metrics = ["roc_auc", "accuracy", "log_loss", "size_mb", *(f"odd_metric_{n}" for n in range(14))]
    names = ["a", "a-model-with-quite-a-long-name-of-many-parts", "N" * 70]
    rows = [
        told.row(name, metric, 0.123456 * (1 + n), 0.1, 123.4 * n, facts={"setting": f"some-setting-{n % 3}"})
        for n, metric in enumerate(metrics)
        for name in names
    ]
    write_results(run / "results.json", Results("who --knows", tuple(rows)))
    text = " ".join(pdf_pages(make(run, "report.pdf")[0]))
    assert "Odd metric 13" in text


def test_the_command_needs_no_heavy_library_to_be_read():
    heavy = {"jinja2", "matplotlib", "torch", "typst", "numpy"}
    code = f"import sys, seminar_common.report, seminar_common.seminar; print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


JPEG = bytes.fromhex(  # a grey square
    "ffd8ffe000104a46494600010100000100010000ffdb004300100b0c0e0c0a100e0d0e1211101318281a181616183123251d"
    "283a333d3c3933383740485c4e404457453738506d51575f626768673e4d71797064785c656763ffc0000b08000800080101"
    "1100ffc4001f0000010501010101010100000000000000000102030405060708090a0bffc400b51000020103030204030505"
    "04040000017d01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a"
    "25262728292a3435363738393a434445464748494a535455565758595a636465666768696a737475767778797a8384858687"
    "88898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2"
    "e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9faffda0008010100003f002bffd9"
)
