"""A topic that tells a story, for the tests: no installed topic is needed, and none takes part."""

from types import SimpleNamespace

import pytest

from seminar_common.reporting import stories
from seminar_common.reporting.answers import all_rows, cost, first, where
from seminar_common.reporting.stories import Answer, Drawing, Question, Story
from seminar_common.results import Results, Row

TEXT = """# Title

Small clicks

# Abstract

Clicks are made small.

# Task

Say how likely a click is [@one2020].

# Related work

Others did it, too [@two2021; @one2020].

# Method

Fewer bits.

# Data

## clicks

- **Source**: a log of ours
- **Licence**: Apache-2.0

# Limits

- CUDA has not been run yet.

# Pictures

No pictures here: `tool draw` makes some.

# How to reproduce

Run this:

# References

- **one2020**: A. One. First of all. 2020.
- **two2021**: B. Two. And then. 2021.
- **never2022**: C. Three. Never cited. 2022.
"""


def row(model, metric, value, low=None, high=None, split="test", **more):
    return Row(model, "clicks", split, metric, value, low, high, n=2000, **more)


ROWS = (
    row("float", "roc_auc", 0.73891, 0.7123, 0.7654),
    row("binary", "roc_auc", 0.73912, 0.7134, 0.7667),
    row("float", "size_mb", 8.2, split="", unit="MB"),
    row("binary", "size_mb", 0.41, split="", unit="MB"),
    row("float", "accuracy", 0.7, 0.6, 0.8),
    row("binary", "roc_auc_difference", 0.0002, -0.0004, 0.0008, baseline="float"),
    row("binary", "accuracy_difference", -0.02, -0.03, -0.01, baseline="float"),
)
RESULTS = Results("tool study --data clicks --seeds 0 1", ROWS, notes=("A note to read.",))


def smaller(runs):
    rows = all_rows(runs)
    paired = first(rows, metric="roc_auc_difference", model="binary")
    if paired is None:
        return None

    def draw():
        from seminar_common import plots

        return plots.bars(where(rows, metric="roc_auc"), "ROC AUC")

    shown = tuple(where(rows, metric=("roc_auc", "size_mb")))
    return Answer(
        f"20 times smaller at {cost(paired, 0.001)}.",
        ("It is one set.",),
        (*shown, paired),
        ("roc_auc", "size_mb", "roc_auc_difference"),
        "Both models.",
        Drawing("The two models.", draw),
    )


def failing(runs):
    return Answer("Accuracy falls.") if all_rows(runs) else None


@pytest.fixture
def told(monkeypatch, tmp_path_factory):
    """A story of the program ``tool``, the only one that is installed, with results that it can tell of."""
    text = tmp_path_factory.mktemp("story") / "story.md"
    text.write_text(TEXT, encoding="utf-8")
    questions = (Question("How small?", smaller), Question("What fails?", failing, "Failure cases"))
    story = Story("tool", questions, text)
    entry = SimpleNamespace(name="tool", load=lambda: story)
    monkeypatch.setattr(stories, "entry_points", lambda group: [entry])
    stories.stories.cache_clear()
    yield SimpleNamespace(story=story, results=RESULTS, row=row)
    stories.stories.cache_clear()  # those that are installed are looked up again
