"""Sentences say what the rows and their intervals say, with the verdicts of the tables."""

import pytest

from seminar_common.reporting import answers
from seminar_common.results import Row
from seminar_common.tables import difference_table


def row(model, metric, value, low=None, high=None, **more):
    return Row(model, "clicks", "test", metric, value, low, high, n=2000, **more)


def difference(value, low=None, high=None, metric="roc_auc_difference", model="binary"):
    return row(model, metric, value, low, high, baseline="float")


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (difference(0.0005, 0.0003, 0.0007), "no loss of ROC AUC (+0.0005 [+0.0003, +0.0007])"),
        # The interval holds zero and leaves no room for a loss of 0.001.
        (difference(-0.0002, -0.0008, 0.0004), "no loss of ROC AUC (−0.0002 [−0.0008, +0.0004])"),
        # It holds zero, too, and a loss of 0.0119: that is no proof of no loss.
        (
            difference(-0.0029, -0.0119, 0.0054),
            "a difference in ROC AUC that 2,000 examples cannot tell from zero (−0.0029 [−0.0119, +0.0054])",
        ),
        (difference(-0.0018, -0.0021, -0.0015), "a loss of 0.0018 [0.0015, 0.0021] ROC AUC"),
        # Of the log loss more is worse.
        (
            difference(0.0200, 0.0100, 0.0300, "log_loss_difference"),
            "a loss of 0.0200 [0.0100, 0.0300] Log loss",
        ),
        (
            difference(-0.0200, -0.0300, -0.0100, "log_loss_difference"),
            "no loss of Log loss (−0.0200 [−0.0300, −0.0100])",
        ),
        # Without an interval nothing is told.
        (difference(0.01), "a difference in ROC AUC that 2,000 examples cannot tell from zero (+0.0100)"),
    ],
)
def test_no_loss_is_said_only_where_the_interval_says_so(one, text):
    assert answers.cost(one, 0.001) == text


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (difference(0.02, 0.01, 0.03), "better by +0.0200 [+0.0100, +0.0300] ROC AUC"),
        (difference(-0.02, -0.03, -0.01), "worse by 0.0200 [0.0100, 0.0300] ROC AUC"),
        (difference(-0.02, -0.05, 0.01), "not told apart in ROC AUC (−0.0200 [−0.0500, +0.0100])"),
        (difference(-0.02), "of an unknown interval in ROC AUC (−0.0200)"),
        (
            difference(0.031, 0.001, 0.058, "accuracy_difference"),
            "better by +3.10\u00a0points [+0.10, +5.80] Accuracy",
        ),
    ],
)
def test_a_comparison_says_better_or_worse_only_without_zero(one, text):
    assert answers.compared(one) == text


def test_what_is_counted_is_what_the_table_shows():
    rows = [
        difference(0.02, 0.01, 0.03, model="a"),
        difference(-0.02, -0.03, -0.01, model="b"),
        difference(-0.02, -0.03, -0.01, model="c"),
        difference(0.0, -0.01, 0.01, model="d"),
        difference(0.5, model="e"),
    ]
    assert answers.tally(rows) == "1 better, 2 worse, 1 not told apart, 1 without an interval"
    shown = [line["cells"][0][0]["tone"] for line in difference_table(rows)["groups"][0]["lines"]]
    assert shown == ["better", "worse", "worse", "level", "open"]


def test_figures_that_are_not_paired_are_compared_by_their_intervals():
    one, other = row("a", "roc_auc", 0.7, 0.68, 0.72), row("b", "roc_auc", 0.74, 0.71, 0.77)
    far, bare = row("c", "roc_auc", 0.8, 0.78, 0.82), row("d", "roc_auc", 0.8)
    assert answers.overlap(one, other) is True and answers.overlap(other, one) is True
    assert answers.overlap(one, far) is False and answers.overlap(far, one) is False
    assert answers.overlap(one, bare) is None


def test_rows_are_chosen_by_fields_and_facts():
    rows = [row("a", "size_mb", 1.0, facts={"boxes": "ink"}), row("b", "size_mb", 2.0)]
    assert answers.where(rows, model=("a", "b")) == rows
    assert answers.where(rows, boxes="ink") == rows[:1]
    assert answers.first(rows, boxes=None) == rows[1]
    assert answers.first(rows, model="c") is None
    assert answers.names(rows, "boxes") == ["ink"]


def test_a_list_reads_as_a_sentence():
    assert answers.listed(["a"]) == "a"
    assert answers.listed(["a", "b", "c"]) == "a, b and c"
    assert (answers.times(3.14159), answers.times(19.3)) == ("3.1", "19")
