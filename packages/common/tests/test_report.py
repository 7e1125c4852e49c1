import pytest

pytest.importorskip("matplotlib")

import html
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

from seminar_common import plots, report
from seminar_common.errors import UserError
from seminar_common.results import Curve, Results, Row, merge, write_results

COMMAND = "some-tool evaluate --run runs/binary"  # of no topic that is installed


def figure(model, metric, value, low=None, high=None, split="test", **more):
    return Row(model, "criteo-10k", split, metric, value, low, high, **more)


ROWS = (
    figure("float", "roc_auc", 0.73891, 0.7123, 0.7654, n=2000),
    figure("binary", "roc_auc", 0.73012, 0.7034, 0.7567, n=2000),
    figure("float", "accuracy", 0.78154, 0.7635, 0.7996, n=2000),
    figure("binary", "accuracy", 0.77625, 0.7582, 0.7943, n=2000),
    figure("float", "log_loss", 0.47123, n=2000),
    figure("binary", "log_loss", 0.48012, n=2000),
    figure("float", "size_mb", 8.2, split="", unit="MB"),
    figure("binary", "size_mb", 0.9041, split="", unit="MB"),
    figure("float", "latency_us_p50", 812.4, split="", batch=256, threads=2),
    figure("binary", "roc_auc_difference", -0.00879, -0.0171, -0.0012, n=2000, baseline="float"),
    figure("binary", "accuracy_difference", -0.00529, -0.0141, 0.0032, n=2000, baseline="float"),
)
CURVES = tuple(
    Curve(kind, model, "criteo-10k", "test", (0.0, 0.4, 1.0), (0.0, 0.6, 1.0), y_label=y_label)
    for kind, y_label in (("learning", "Log loss"), ("roc", ""), ("calibration", ""))
    for model in ("float", "binary")
)
RESULTS = Results(COMMAND, ROWS, CURVES)


def write(tmp_path, sections, name="report.html", title="Binary recommenders"):
    out = tmp_path / name
    report.write_report(sections, out, title)
    return out


class Page(HTMLParser):
    """Collects what the tests ask for: attributes, visible text, and the cells of each table line."""

    def __init__(self, text):
        super().__init__()
        self.attributes, self.elements, self.lines, self.words = [], [], [], []
        self.in_cell = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]
        self.elements.append(tag)
        if tag == "tr":
            self.lines.append([])
        if tag in ("td", "th"):
            self.lines[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag):
        self.in_cell = self.in_cell and tag not in ("td", "th")

    def handle_data(self, data):
        self.words += data.split()
        if self.in_cell:
            self.lines[-1][-1] += data.replace("\n", " ")

    @property
    def text(self):
        return " ".join(self.words)

    def line(self, *start):
        return next(
            line for line in self.lines if tuple(cell.strip() for cell in line[: len(start)]) == start
        )


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """The page of one run."""
    return write(tmp_path_factory.mktemp("one"), [("one", RESULTS)]).read_text(encoding="utf-8")


def test_html_needs_nothing_but_itself(tmp_path):
    text = write(tmp_path, [("one", RESULTS, {"url": "https://example.org/data"}, None)]).read_text(
        encoding="utf-8"
    )
    page = Page(text)
    references = [
        value for _, name, value in page.attributes if name in ("src", "href", "xlink:href", "action")
    ]
    assert all(value.startswith(("#", "data:")) for value in references)
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))
    assert "@import" not in text
    assert not {"img", "iframe", "object", "embed", "base"} & set(page.elements)
    # Even if something slipped in, the page itself forbids the browser to load it.
    assert any(value and "default-src 'none'" in value for _, _, value in page.attributes)


def test_html_prints_every_figure_as_in_the_literature(one):
    page = Page(one)
    shown = ["0.7389", "0.7301", "78.15", "77.62", "0.4712", "0.4801", "8.20", "0.904", "812"]
    intervals = ["[0.7123, 0.7654]", "[75.82, 79.43]", "[−0.0171, −0.0012]", "[−1.41, +0.32]"]
    for text in (*shown, *intervals, "−0.0088", "−0.53", "Accuracy points", "2,000", COMMAND):
        assert text in page.text


def test_every_row_of_an_unknown_metric_is_printed_too(tmp_path):
    # Two rows of exactly the same thing: neither may hide the other.
    rows = (
        figure("float", "odd_ratio", 1.23456),
        figure("float", "odd_ratio", 12345.6),
        figure("float", "odd_time", 2e-9, unit="s"),
    )
    page = Page(write(tmp_path, [("one", Results("", rows))]).read_text(encoding="utf-8"))
    assert "Odd ratio" in page.text
    assert "Odd time s" in page.text  # with its unit
    for text in ("1.23", "12,300", "2.00e-09"):
        assert text in page.text


def test_best_of_each_column_is_bold_in_its_own_direction(one):
    assert re.findall(r"<strong>([^<]*)</strong>", one) == ["0.7389", "78.15", "0.4712", "0.904"]


def test_the_legend_names_only_the_marks_that_are_there(tmp_path):
    bold, brackets = "Bold: best of its column", "Brackets: 95% confidence interval"
    for rows, expected in (
        (ROWS, (True, True)),
        (ROWS[:1], (False, True)),
        (ROWS[4:6], (True, False)),
        (ROWS[4:5], (False, False)),
    ):
        text = Page(write(tmp_path, [("one", Results(COMMAND, rows))]).read_text(encoding="utf-8")).text
        assert (bold in text, brackets in text) == expected


def test_paired_differences_say_whether_the_interval_excludes_zero(one):
    page = Page(one)
    head = page.line("Comparison")
    auc, accuracy = page.line("binary − float")[1:3]
    assert head[1:3] == ["ROC AUC", "Accuracy points"]
    assert auc.strip().endswith("worse") and accuracy.strip().endswith("includes zero")


def test_summary_names_the_best_and_what_smaller_costs(one):
    page = Page(one)
    assert "criteo-10k, test: float has the highest ROC AUC: 0.7389 [0.7123, 0.7654], n = 2,000." in page.text
    assert "differs from float by −0.0088 ROC AUC [−0.0171, −0.0012], which excludes zero" in page.text
    assert "at 0.904 MB instead of 8.20 MB, 9.1 times smaller." in page.text


def captions_of(text):
    """Return the captions of plots, which are numbered in order."""
    found = re.findall(r"<figcaption><b>Figure (\d+)\.</b> ([^<]*)<", text)
    assert [int(number) for number, _ in found] == list(range(1, len(found) + 1))
    return [html.unescape(caption) for _, caption in found]


def test_plots_are_those_that_the_results_allow(one):
    captions = [caption.split(",")[0].split(":")[0] for caption in captions_of(one)]
    expected = [
        "ROC AUC against size",
        "Learning curves",
        "Receiver operating characteristic",
        "Calibration",
    ]
    assert captions == expected


def test_models_without_sizes_are_compared_by_quality_alone(tmp_path):
    rows = tuple(row for row in ROWS if row.metric == "roc_auc")
    text = write(tmp_path, [("one", Results("", rows))]).read_text(encoding="utf-8")
    assert captions_of(text) == ["ROC AUC, test. Lines: 95% intervals."]


def test_ids_are_unique_even_if_a_run_is_given_twice(tmp_path):
    page = Page(write(tmp_path, [("one", RESULTS), ("one", RESULTS)]).read_text(encoding="utf-8"))
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) > 10
    assert len(ids) == len(set(ids))


def test_names_are_escaped(tmp_path):
    evil = "<script>alert('hello')</script>"
    rows = (figure(evil, "roc_auc", 0.7), figure("{{ 7 * 7 }}", "roc_auc", 0.6, ablation=evil))
    curves = (Curve("roc", evil, "criteo-10k", "test", (0, 1), (0, 1)),)
    section = (evil, Results(evil, rows, curves), {evil: evil}, {"a": {evil: [evil]}})
    text = write(tmp_path, [section], title=evil).read_text(encoding="utf-8")
    page = Page(text)
    assert "<script>alert" not in text
    assert page.elements.count("script") == 1  # the one that sorts tables
    assert evil in page.text
    assert "{{ 7 * 7 }}" in page.text


def test_settings_are_flat_and_folded_away(tmp_path):
    config = {"seed": 0, "optimizer": {"name": "adagrad", "betas": [0.9, 0.99]}, "bits": None}
    page = Page(write(tmp_path, [("one", RESULTS, config, {"python": "3.11"})]).read_text(encoding="utf-8"))
    assert (
        "Settings seed 0 optimizer.name adagrad optimizer.betas [0.9, 0.99] Environment python 3.11"
        in page.text
    )
    assert "Environment python 3.11" in page.text
    assert page.elements.count("details") == 2
    assert not any(tag == "details" and name == "open" for tag, name, _ in page.attributes)


def test_notes_of_the_results_are_printed_once(tmp_path):
    note = "Weights were learned with <labels> of other images."
    noted = Results(COMMAND, ROWS, notes=(note,))
    results = merge([noted, noted], COMMAND)
    shown = html.unescape(write(tmp_path, [("Binary", results)]).read_text())
    assert shown.count(note) == 1
    with_note = write(tmp_path, [("Binary", noted)], "noted.pdf").read_bytes()
    assert with_note != write(tmp_path, [("Binary", Results(COMMAND, ROWS))], "plain.pdf").read_bytes()


def test_plots_of_a_topic_follow_its_data_set(tmp_path):
    figure = plots.bars(ROWS[:2], "AUC")
    section = report.Section(
        "Binary", Results(COMMAND, ROWS), figures=[("criteo-10k", "My own plot.", figure)]
    )
    assert "My own plot." in write(tmp_path, [section]).read_text()


def test_a_table_without_rows_says_so(tmp_path):
    page = Page(write(tmp_path, [("one", Results(""))]).read_text(encoding="utf-8"))
    assert "There are no figures in this table." in page.text
    assert write(tmp_path, [("one", Results(""))], "empty.pdf").stat().st_size > 1000


@pytest.mark.parametrize("name", ["report.html", "report.pdf"])
def test_same_results_give_the_same_bytes_and_replace_an_older_report(tmp_path, name):
    first = write(tmp_path, [("one", RESULTS)], name).read_bytes()
    write(tmp_path, [("another", Results(""))], name)
    assert write(tmp_path, [("one", RESULTS)], name).read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == [name]  # no temporary file is left


def test_pdf_has_pages_with_the_text_and_the_plots(tmp_path):
    data = write(tmp_path, [("first-run", RESULTS), ("second-run", RESULTS)], "report.pdf").read_bytes()
    assert data.startswith(b"%PDF-")
    assert b"Binary recommenders" in data  # its title
    assert b"first-run" in data and b"second-run" in data  # its outline
    pages = len(re.findall(rb"/Type\s*/Page\b", data))
    without_plots = write(
        tmp_path, [("a", Results("", ROWS)), ("b", Results("", ROWS))], "plain.pdf"
    ).read_bytes()
    assert pages > len(re.findall(rb"/Type\s*/Page\b", without_plots)) >= 1
    assert b"DejaVuSans" in data  # the text in the plots is text


def test_pdf_takes_any_text_as_text(tmp_path):
    # All of these mean something to typst, to XML or to neither UTF-8 nor XML.
    names = [
        '#import "x"',
        "$x_1$ *bold* @label",
        "größer 模型 نموذج",
        "<script>",
        "a\\b `c` // d",
        "bad\x00\ud800",
    ]
    rows = tuple(figure(name, metric, 0.5, 0.4, 0.6) for name in names for metric in ("roc_auc", "size_mb"))
    section = (names[2], Results(" ".join(names), rows), dict.fromkeys(names, names), None)
    data = write(tmp_path, [section], "report.pdf", title=names[2]).read_bytes()
    assert names[2].encode() in data  # the title, in the PDF's XML metadata
    html_text = write(tmp_path, [section], title=names[2]).read_text(encoding="utf-8")
    assert "bad\ufffd\ufffd" in html_text


@pytest.mark.parametrize("name", ["report.docx", "report", "report.html.gz"])
def test_unknown_suffix_names_the_two_that_work(tmp_path, name):
    with pytest.raises(UserError, match=r"report is either \.html or \.pdf"):
        write(tmp_path, [("one", RESULTS)], name)
    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_place_of_the_report_is_an_error(tmp_path):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(UserError, match="is a folder"):
        write(tmp_path, [("one", RESULTS)])


def make_run(folder, results=RESULTS, **documents):
    write_results(folder / "results.json", results)
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


def test_report_of_runs_has_a_section_for_each(tmp_path):
    one = make_run(
        tmp_path / "float-run", config={"embedding_bits": 32}, environment={"processor": "some CPU"}
    )
    two = make_run(tmp_path / "binary-run")  # a study that was kept has only its results
    report.report([one, two], tmp_path / "out" / "report.html")
    page = Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert "Results of 2 runs" in page.text
    assert "float-run" in page.text and "binary-run" in page.text
    assert "embedding_bits 32" in page.text and "some CPU" in page.text


def test_report_command_says_what_it_wrote(tmp_path, capsys):
    run = make_run(tmp_path / "run")
    report.main(report.ReportSettings(runs=(run,), out=tmp_path / "report.pdf"))
    assert "report.pdf" in capsys.readouterr().err
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF-")


def test_report_of_a_run_without_results_says_how_to_make_them(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(UserError, match=r"run: has no results.json yet; make it with `evaluate --run "):
        report.report([make_run(tmp_path / "other"), run], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_report_of_no_or_a_missing_run_is_an_error(tmp_path):
    with pytest.raises(UserError, match="at least one run"):
        report.report([], tmp_path / "report.html")
    with pytest.raises(UserError, match="no such run folder"):
        report.report([tmp_path / "nowhere"], tmp_path / "report.html")


def test_report_checks_the_suffix_before_it_reads(tmp_path):
    with pytest.raises(UserError, match=r"\.html or \.pdf"):
        report.report([tmp_path / "nowhere"], tmp_path / "report.txt")


def test_settings_that_are_no_object_are_an_error(tmp_path):
    run = make_run(tmp_path / "run", config=[1, 2])
    with pytest.raises(UserError, match=r"config.json: expected a JSON object, found a list"):
        report.report([run], tmp_path / "report.html")


@pytest.mark.parametrize(
    "module", ["bootstrap", "display", "metrics", "publish", "report", "summary", "tables"]
)
def test_importing_waits_for_no_heavy_library(module):
    heavy = {"jinja2", "lightning_fabric", "matplotlib", "torch", "typst"}
    code = f"import sys, seminar_common.{module}; print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_page_without_plots_needs_no_matplotlib(tmp_path, monkeypatch):
    for name in ("matplotlib", "torch", "typst"):
        monkeypatch.setitem(sys.modules, name, None)
    rows = (Row("train", "criteo-10k", "", "rows", 8000.0),)
    report.write_report([("Rows", Results("prepare", rows))], tmp_path / "card.html", "Data card")
    assert "8,000" in (tmp_path / "card.html").read_text()
