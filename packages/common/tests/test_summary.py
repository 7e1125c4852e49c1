import pytest

from seminar_common import display, summary
from seminar_common.display import percent
from seminar_common.results import Row
from seminar_common.summary import print_summary

ROWS = (
    Row("float", "criteo-10k", "test", "roc_auc", 0.73891, 0.7123, 0.7654, n=2000),
    Row("binary", "criteo-10k", "test", "roc_auc", 0.73012, 0.7034, 0.7567, n=2000),
    Row("float", "criteo-10k", "test", "accuracy", 0.78154, n=2000),
    Row("float", "criteo-10k", "", "size_mb", 8.2, unit="MB"),
    Row(
        "binary", "criteo-10k", "test", "roc_auc_difference", -0.0088, -0.0171, -0.0012, n=9, baseline="float"
    ),
)


def printed(capsys, *arguments) -> list[str]:
    print_summary(*arguments)
    answer = capsys.readouterr()
    assert answer.err == ""
    return [line.rstrip() for line in answer.out.splitlines()]


def test_figures_stand_under_the_names_that_people_read_with_unit_and_interval(capsys):
    lines = printed(capsys, ROWS)
    assert lines[0] == "Results: criteo-10k, test"
    assert lines[1].split() == ["Model", "ROC", "AUC", "Accuracy", "(%)", "Size", "(MB)", "n"]
    assert lines[3].split() == ["float", "0.7389", "[0.7123,", "0.7654]", "78.15", "8.20", "2,000"]
    assert lines[4].split() == ["binary", "0.7301", "[0.7034,", "0.7567]", "2,000"]
    assert lines[5:7] == ["", "Paired differences"]
    assert " ".join(lines[-1].split()) == (
        "criteo-10k, test binary \u2212 float ROC AUC \u22120.0088 [\u22120.0171, \u22120.0012] excludes zero: worse 9"
    )


def test_metrics_asked_for_are_the_columns_in_their_order(capsys):
    heading = printed(capsys, ROWS, ["size_mb", "roc_auc"])[1]
    assert heading.split() == ["Model", "Size", "(MB)", "ROC", "AUC", "n"]


def test_nothing_to_say_prints_nothing(capsys):
    assert printed(capsys, ROWS, ["log_loss"]) == []


def test_a_log_has_every_name_in_full_however_wide_and_whatever_the_environment(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")  # what a scheduler may leave set
    names = {f"metric_{i}": f"A rather long name of metric number {i}" for i in range(12)}
    known = {name: percent(text, text) for name, text in names.items()}
    monkeypatch.setattr(display, "metrics", lambda: known)
    lines = printed(capsys, [Row("m", "d", "test", name, 0.5, 0.4, 0.6) for name in names])
    assert len(lines) == 4
    assert all(f"{text} (%)" in lines[1] for text in names.values())
    assert lines[3].count("50.0 [40.0, 60.0]") == 12


@pytest.mark.parametrize("width", [60, 40])
def test_a_narrow_terminal_gets_more_lines_and_no_cut_name(capsys, monkeypatch, width):
    from rich.console import Console

    monkeypatch.setattr(summary, "_console", lambda: Console(width=width, highlight=False))
    rows = [row for row in ROWS if row.metric in ("roc_auc", "accuracy")]
    lines = printed(capsys, [*rows, Row("a [bold] name", "criteo-10k", "test", "accuracy", 0.5)])
    assert max(map(len, lines)) <= width
    assert "\u2026" not in "".join(lines)
    assert "0.7389" in " ".join(lines) and "[0.7123," in " ".join(lines)
    assert "".join("".join(lines).split()).count("[bold]") == 1  # text, not markup


def test_intervals_get_lines_of_their_own_where_a_table_is_too_wide_for_the_terminal(capsys, monkeypatch):
    from rich.console import Console

    monkeypatch.setattr(summary, "_console", lambda: Console(width=50, highlight=False))
    lines = printed(
        capsys, [Row("float", "d", "test", name, 0.5, 0.4, 0.6) for name in ("roc_auc", "accuracy")]
    )
    assert [line.split() for line in lines[3:]] == [
        ["float", "0.5000", "50.00"],
        ["[0.4000,", "0.6000]", "[40.00,", "60.00]"],
    ]


def test_conditions_that_all_lines_share_are_said_once(capsys):
    rows = [Row("m", "d", split, "accuracy", 0.5) for split in ("val", "test")]
    lines = printed(capsys, rows)
    assert lines[0] == "Results: d"
    assert [line.split()[0] for line in lines[3:]] == ["val", "test"]


def test_only_the_first_process_prints(capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert printed(capsys, ROWS) == []
