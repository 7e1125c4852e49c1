import subprocess
import sys

import pytest

import doc_tables
from doc_tables import check, update
from seminar_common.errors import UserError
from seminar_common.results import Results, Row, write_results

COMMAND = "recsys-bnn study --data D --out docs/results/study"
START = "<!-- table: results/study roc_auc size_mb -->"
END = "<!-- end table -->"
TABLE = [
    "",
    "| Data | Model | ROC AUC ↑ | Size (MB) ↓ | n |",
    "| --- | --- | ---: | ---: | ---: |",
    "| criteo-10k, test | float | **0.7400** | 8.20 | 2,000 |",
    "| criteo-10k, test | binary | 0.7300 | **0.900** | 2,000 |",
    "",
    f"Made with `{COMMAND}`.",
    "",
]


def put_results(root, float_auc=0.74, command=COMMAND):
    rows = []
    for model, auc, size in (("float", float_auc, 8.2), ("binary", 0.73, 0.9)):
        rows.append(Row(model, "criteo-10k", "test", "roc_auc", auc, n=2000))
        rows.append(Row(model, "criteo-10k", "test", "log_loss", 0.5, n=2000))
        rows.append(Row(model, "criteo-10k", "", "size_mb", size, unit="MB"))
    write_results(root / "docs" / "results" / "study" / "results.json", Results(command, tuple(rows)))


def put_page(root, *lines, name="docs/page.md"):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def lines_of(path):
    return path.read_text(encoding="utf-8").splitlines()


def test_a_table_replaces_what_stands_between_its_markers_and_nothing_else(tmp_path):
    put_results(tmp_path)
    page = put_page(tmp_path, "# Title", START, "old figures", END, "", "the end")
    assert update(tmp_path) == ["docs/page.md"]
    assert lines_of(page) == ["# Title", START, *TABLE, END, "", "the end"]
    assert not list(page.parent.glob(".*"))  # no temporary file is left


def test_a_second_update_changes_nothing(tmp_path):
    put_results(tmp_path)
    page = put_page(tmp_path, START, END)
    update(tmp_path)
    first = page.read_bytes()
    assert check(tmp_path) == []
    assert update(tmp_path) == []
    assert page.read_bytes() == first


def test_check_finds_what_new_results_made_stale_and_leaves_it(tmp_path):
    put_results(tmp_path)
    page = put_page(tmp_path, START, END)
    put_page(tmp_path, "no table", name="README.md")
    update(tmp_path)
    put_results(tmp_path, float_auc=0.75)
    before = page.read_bytes()
    assert check(tmp_path) == ["docs/page.md"]
    assert page.read_bytes() == before


def test_check_finds_a_figure_changed_by_hand(tmp_path):
    put_results(tmp_path)
    page = put_page(tmp_path, START, END)
    update(tmp_path)
    page.write_text(page.read_text(encoding="utf-8").replace("0.7300", "0.7399"), encoding="utf-8")
    assert check(tmp_path) == ["docs/page.md"]


def test_a_file_may_hold_several_tables_and_stand_in_any_folder(tmp_path):
    # The first table grows by more lines than stand before the second, whose place must not slip.
    put_results(tmp_path)
    page = put_page(tmp_path, START, END, "between", START, END, name="packages/a/README.md")
    assert update(tmp_path) == ["packages/a/README.md"]
    assert lines_of(page) == [START, *TABLE, END, "between", START, *TABLE, END]


def test_all_metrics_stand_in_a_table_whose_marker_names_none(tmp_path):
    put_results(tmp_path)
    page = put_page(tmp_path, "<!-- table: results/study -->", END)
    update(tmp_path)
    assert "ROC AUC ↑ | Log loss ↓ | Size (MB) ↓" in page.read_text(encoding="utf-8")


def test_words_with_an_equals_sign_choose_rows(tmp_path):
    # A size has no split: the empty value takes it along.
    put_results(tmp_path)
    page = put_page(
        tmp_path, '<!-- table: results/study roc_auc size_mb "model=binary|no such" split=test| -->', END
    )
    update(tmp_path)
    assert "| criteo-10k, test | binary | 0.7300 | 0.900 | 2,000 |" in lines_of(page)
    assert (
        "float" not in page.read_text()
        and "Some rows of [study](results/study/results.json)." in lines_of(page)
    )


def test_a_figure_stands_in_a_sentence_with_its_unit_and_interval(tmp_path):
    rows = (
        Row("ward", "digits", "test", "macro_novel", 0.613, 0.58, 0.64),
        Row("kmeans", "digits", "test", "macro_novel", 0.5),
    )
    write_results(tmp_path / "docs" / "results" / "study" / "results.json", Results(COMMAND, rows))
    ward, kmeans = (f"<!-- figure: results/study macro_novel model={name} -->" for name in ("ward", "kmeans"))
    page = put_page(tmp_path, f"It is {ward}old<!-- end figure -->, not {kmeans}<!-- end figure -->.")
    assert update(tmp_path) == ["docs/page.md"] and check(tmp_path) == []
    whole = f"It is {ward}61.3% [58.0, 64.0]<!-- end figure -->, not {kmeans}50.0%<!-- end figure -->."
    assert lines_of(page) == [whole]
    page.write_text(whole.replace("58.0", "60.0") + "\n")
    assert check(tmp_path) == ["docs/page.md"]


@pytest.mark.parametrize("name", [".venv/a/x.md", "runs/x.md", ".git/x.md", "packages/a/runs/x.md"])
def test_installed_packages_and_runs_are_left_alone(tmp_path, name):
    put_page(tmp_path, START, name=name)  # would be an error
    assert check(tmp_path) == []


@pytest.mark.parametrize("fence", ["```", "~~~~", "   ```"])
def test_markers_in_a_code_block_are_an_example(tmp_path, fence):
    # The shorter fence inside the longer one, and the other kind, don't end the block.
    put_page(tmp_path, f"{fence}markdown", "``", "~~~" if "`" in fence else "```", START, fence)
    assert check(tmp_path) == []


@pytest.mark.parametrize("before", [["```", START, "```"], ["```code``` in a sentence"]])
def test_markers_after_code_count_again(tmp_path, before):
    put_results(tmp_path)
    put_page(tmp_path, *before, START, END)
    assert check(tmp_path) == ["docs/page.md"]


def test_an_empty_file_has_no_tables(tmp_path):
    (tmp_path / "empty.md").touch()
    assert check(tmp_path) == []


def test_backticks_in_a_command_do_not_end_its_code(tmp_path):
    put_results(tmp_path, command="train --name `x`")
    page = put_page(tmp_path, START, END)
    update(tmp_path)
    assert "Made with `` train --name `x` ``." in lines_of(page)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["text", START], r"page.md, line 2: this table has no end; add `<!-- end table -->`"),
        ([START, START, END], r"page.md, line 1: this table has no end"),
        (["text", "", END], r"page.md, line 3: no table starts above this end"),
        (["<!-- table: -->", END], r"page.md, line 1: expected `<!-- table: FOLDER METRIC... -->`"),
        (["<!-- table: results/study", END], r"page.md, line 1: expected `<!-- table: FOLDER"),
        ([f"{START} **old**", END], r"page.md, line 1: expected .*, alone on its line"),
        (["", "<!-- table: results/no -->", END], r"page.md, line 2: .*no.results.json does not exist; name"),
        (["<!-- table: results/study ap50 -->", END], r"line 1: .* has no ap50; choose log_loss, roc_auc or"),
        (["<!-- table: results/study model=x -->", END], r"line 1: .*has no such row; mend model=x"),
        (['<!-- table: results/study "model=x -->', END], r"line 1: expected FOLDER METRIC"),
        (
            ["<!-- figure: results/study roc_auc model=float -->x<!-- end figure -->"],
            r"line 1: a figure begins",
        ),
        (
            ["is <!-- figure: results/study roc_auc -->x<!-- end figure -->"],
            r"line 1: 2 figures fit; name one",
        ),
        (
            ["is <!-- figure: results/study model=float -->x<!-- end figure -->"],
            r"line 1: 0 figures fit; name one",
        ),
        (
            ["is <!-- figure: results/study roc_auc model=float --> x"],
            r"line 1: expected each figure between",
        ),
        (["x <!-- end figure -->"], r"line 1: expected each figure between"),
    ],
)
def test_a_broken_marker_is_an_error_and_no_file_changes(tmp_path, lines, message):
    put_results(tmp_path)
    stale = put_page(tmp_path, START, END, name="docs/a.md")  # comes first
    put_page(tmp_path, *lines)
    with pytest.raises(UserError, match=message):
        check(tmp_path)
    with pytest.raises(UserError, match=message):
        update(tmp_path)
    assert lines_of(stale) == [START, END]


@pytest.mark.parametrize(
    ("results", "message"),
    [
        (Results(""), "lacks figures"),
        (Results("", (Row("a", "d", "test", "roc_auc", 0.7),)), "lacks its command"),
    ],
)
def test_results_without_figures_or_their_command_make_no_table(tmp_path, results, message):
    put_page(tmp_path, "<!-- table: results/study -->", END)
    write_results(tmp_path / "docs" / "results" / "study" / "results.json", results)
    with pytest.raises(UserError, match=f"page.md, line 1: .*results.json {message}; make it again"):
        update(tmp_path)


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(UserError, match="nowhere: no such folder"):
        check(tmp_path / "nowhere")


def run(folder, *arguments):
    line = [sys.executable, doc_tables.__file__, *arguments]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)


def test_a_topics_figures_stand_under_the_names_that_the_topic_brings(tmp_path):
    rows = (
        Row("ward", "digits", "test", "macro_novel", 0.613, 0.58, 0.64),
        Row("x", "p", "test", "ap50", 0.5),
    )
    write_results(tmp_path / "docs" / "results" / "study" / "results.json", Results(COMMAND, rows))
    page = put_page(tmp_path, "<!-- table: results/study macro_novel ap50 -->", END)
    update(tmp_path)
    text = page.read_text()
    assert "| Macro acc. novel (%) \u2191 | AP50 (%) \u2191 |" in text and "61.3 [58.0, 64.0]" in text


def test_command_line_names_what_it_wrote_and_what_is_broken(tmp_path):
    put_results(tmp_path)
    page = put_page(tmp_path, START, END)
    done = run(tmp_path)  # the folder it runs in, if none is given
    assert (done.returncode, done.stderr) == (0, "wrote docs/page.md\n")
    assert lines_of(page) == [START, *TABLE, END]
    put_page(tmp_path, START)
    broken = run(tmp_path.parent, tmp_path.name)
    assert broken.returncode == 2
    assert "page.md, line 1: this table has no end" in broken.stderr and "Traceback" not in broken.stderr
