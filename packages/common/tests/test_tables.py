import pytest

from seminar_common.display import metric_named
from seminar_common.results import Results, Row
from seminar_common.tables import difference_table, markdown_table, summary


def figure(model, metric, value, low=None, high=None, split="test", **more):
    return Row(model, "criteo-10k", split, metric, value, low, high, **more)


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("roc_auc", 0.73894, "0.7389"),
        ("accuracy", 0.78154, "78.15%"),
        ("log_loss", 0.5, "0.5000"),
        ("size_mb", 9.999, "10.0 MB"),  # rounding adds a digit before the point
        ("size_mb", 0.0456789, "0.0457 MB"),
        ("size_mb", 33822.0, "33,800 MB"),
        ("size_mb", 0.0, "0 MB"),
        ("throughput_per_s", 123456.0, "123,000 1/s"),
        ("roc_auc_difference", 0.00001, "0.0000"),  # no sign where nothing is left of the figure
        ("roc_auc_difference", 0.0012, "+0.0012"),
        ("accuracy_difference", -0.0012, "−0.12 points"),
        ("something_new", 1234.5, "1,230"),
    ],
)
def test_metrics_print_as_in_the_literature(metric, value, text):
    assert metric_named(metric).text(value).replace("\u00a0", " ") == text


def test_figures_that_print_alike_are_marked_alike():
    rows = (figure("a", "roc_auc", 0.70001), figure("b", "roc_auc", 0.70002), figure("c", "roc_auc", 0.6))
    assert markdown_table(Results("", rows)).count("**0.7000**") == 2


def test_a_model_that_learned_nothing_is_no_rival():
    chance, good, better = (
        (figure(name, "roc_auc", auc, auc - 0.05, auc + 0.05), figure(name, "size_mb", size, split=""))
        for name, auc, size in (("nothing", 0.52, 1.0), ("good", 0.7, 2.0), ("better", 0.8, 3.0))
    )
    table = markdown_table(Results("", (*chance, *good, *better)))
    assert "**0.8000**" in table and "**2.00**" in table and "**1.00**" not in table
    assert summary([*chance, *good])[0].startswith("criteo-10k, test: good has the highest ROC AUC")
    assert "which chance alone gives as well" in summary(chance)[0]


def test_nothing_is_best_without_a_rival_or_across_data_sets():
    alone = figure("a", "roc_auc", 0.7)
    elsewhere = Row("b", "synthetic", "test", "roc_auc", 0.9)
    assert "**" not in markdown_table(Results("", (alone, elsewhere)))


def test_size_has_no_split_and_stands_in_the_line_of_every_split():
    rows = (
        figure("a", "roc_auc", 0.7),
        figure("a", "roc_auc", 0.8, split="val"),
        figure("a", "size_mb", 5.0, split=""),
    )
    table = markdown_table(Results("", rows))
    assert "| criteo-10k, test | a | 0.7000 | 5.00 |" in table
    assert "| criteo-10k, val | a | 0.8000 | 5.00 |" in table


def test_a_trait_given_on_one_row_only_does_not_tear_a_line_apart():
    rows = (figure("a", "roc_auc", 0.7, seeds=(0, 1)), figure("a", "size_mb", 5.0, split="", bits=1))
    assert "| criteo-10k, test | a | 0.7000 | 5.00 |" in markdown_table(Results("", rows))


def test_rows_that_contradict_each_other_stand_in_lines_of_their_own():
    rows = (
        figure("a", "roc_auc", 0.7),
        figure("a", "size_mb", 5.0, split="", engine="native"),
        figure("a", "size_mb", 40.0, split="", engine="bitorch"),
    )
    table = markdown_table(Results("", rows))
    assert "| criteo-10k, test | a |  | 0.7000 |  |" in table
    assert "| criteo-10k | a | native |  | **5.00** |" in table
    assert "| criteo-10k | a | bitorch |  | 40.0 |" in table


@pytest.mark.parametrize(
    ("metric", "value", "verdict"),
    [
        ("roc_auc_difference", 0.01, "excludes zero: better"),
        ("log_loss_difference", 0.01, "excludes zero: worse"),  # lower is better
        ("odd_difference", 0.01, "excludes zero"),  # nobody knows which way is better
        ("roc_auc_difference", 1e-5, "below the last digit"),
        ("roc_auc_difference", -1e-5, "below the last digit"),
    ],
)
def test_verdict_follows_the_direction_of_the_metric(metric, value, verdict):
    row = figure("binary", metric, value, *sorted((value / 2, 2 * value)), baseline="float")
    assert f" {verdict} |" in markdown_table(Results("", (row,)))


def test_summary_speaks_of_the_test_split_where_there_is_one():
    rows = (figure("a", "roc_auc", 0.9, split="val"), figure("a", "roc_auc", 0.7))
    assert summary(rows) == ["criteo-10k, test: a reaches ROC AUC 0.7000."]


PAIRED = (
    figure("a", "roc_auc_difference", -0.02, -0.03, -0.01, baseline="float"),
    figure("b", "roc_auc_difference", 0.01, -0.01, 0.03, baseline="float"),
    figure("a", "log_loss_difference", 0.2, 0.1, 0.3, baseline="float"),  # another metric, counted as well
    figure("a", "log_loss_difference", -0.2, -0.3, -0.1, "val", baseline="float"),  # and another split
    figure("b", "odd_difference", 0.2, 0.1, 0.3, baseline="float"),  # nobody knows which way is better
)


def test_summary_counts_every_difference_that_the_table_shows():
    rows = (figure("float", "roc_auc", 0.73), *PAIRED)
    assert summary(rows)[1:] == [
        "5 paired differences, with float: 1 better, 2 worse, 1 not told apart at 95%, 1 without a verdict."
    ]
    cells = [
        figure["tone"]
        for group in difference_table(rows)["groups"]
        for line in group["lines"]
        for cell in line["cells"]
        for figure in cell
    ]
    assert sorted(cells) == ["better", "level", "open", "worse", "worse"]


def test_differences_have_a_line_for_each_comparison_and_a_column_for_each_metric():
    table = difference_table(PAIRED)
    assert [metric["name"] for metric in table["metrics"]] == ["ROC AUC", "Log loss", "Odd"]
    groups = {group["name"]: [line["model"] for line in group["lines"]] for group in table["groups"]}
    assert groups == {
        "criteo-10k, test": ["a \u2212 float", "b \u2212 float"],
        "criteo-10k, val": ["a \u2212 float"],
    }
    assert difference_table([figure("float", "roc_auc", 0.73)]) is None


def test_comparisons_that_would_read_alike_name_what_tells_them_apart():
    rows = [
        figure("float", "roc_auc_difference", 0.1, baseline="float", ablation="no first-order term"),
        figure("a", "roc_auc_difference", 0.1, baseline="float", engine="torch"),
        figure("a", "roc_auc_difference", 0.2, baseline="float", engine="native"),
    ]
    names = [line["model"] for line in difference_table(rows)["groups"][0]["lines"]]
    assert names == [
        "float, no first-order term \u2212 float",
        "a \u2212 float (torch)",
        "a \u2212 float (native)",
    ]


def test_markdown_table_has_the_metrics_asked_for_in_their_order():
    rows = (
        figure("float", "roc_auc", 0.73891, 0.7123, 0.7654, n=2000),
        figure("binary", "roc_auc", 0.73012, 0.7034, 0.7567, n=2000),
        figure("binary", "log_loss", 0.48012, n=2000),  # not asked for
        figure("float", "size_mb", 8.2, split="", unit="MB"),
        figure("binary", "size_mb", 0.9041, split="", unit="MB"),
    )
    assert markdown_table(Results("", rows), ["size_mb", "roc_auc"]).splitlines() == [
        "| Data | Model | Size (MB) ↓ | ROC AUC ↑ | n |",
        "| --- | --- | ---: | ---: | ---: |",
        "| criteo-10k, test | float | 8.20 | **0.7389** [0.7123, 0.7654] | 2,000 |",
        "| criteo-10k, test | binary | **0.904** | 0.7301 [0.7034, 0.7567] | 2,000 |",
    ]


def test_markdown_differences_read_as_what_was_subtracted_and_what_its_interval_says():
    rows = (
        figure("binary", "roc_auc", 0.73012, n=2000),
        figure("binary", "roc_auc_difference", -0.00879, -0.0171, -0.0012, n=2000, baseline="float"),
        figure("binary", "accuracy_difference", -0.00529, -0.0141, 0.0032, n=2000, baseline="float"),
        figure("4-bit", "accuracy_difference", 0.001, baseline="float"),  # measured without an interval
    )
    assert markdown_table(Results("", rows)).splitlines()[-6:] == [
        "",  # Markdown needs it between two tables
        "| Data | Comparison | Metric | Difference | 95% interval | n |",
        "| --- | --- | --- | --- | --- | ---: |",
        "| criteo-10k, test | binary − float | ROC AUC | −0.0088 | [−0.0171, −0.0012] excludes zero: worse | 2,000 |",
        "| criteo-10k, test | binary − float | Accuracy | −0.53 points | [−1.41, +0.32] includes zero | 2,000 |",
        "| criteo-10k, test | 4-bit − float | Accuracy | +0.10 points | no interval |  |",
    ]


def test_markdown_names_cannot_break_the_table():
    table = markdown_table(Results("", (figure("a|b*c\nd", "roc_auc", 0.7),)))
    assert r"| a\|b\*c d |" in table


def test_markdown_table_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="none of the metrics"):
        markdown_table(Results("", (figure("a", "roc_auc", 0.7),)), ["ap50"])
