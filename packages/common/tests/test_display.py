from importlib.metadata import EntryPoint

import pytest

from seminar_common import display
from seminar_common.display import Metric, in_column_order, metric_named, percent
from seminar_common.results import Results, Row
from seminar_common.tables import figure_tables, markdown_table

FOUND = percent("Found", "Share of needles found")
NEEDLES = Metric("Needles", "Needles in the haystack", decimals=0)
SIZE_IN_GB = Metric("Size", "Size of the model", unit="GB")


@pytest.fixture
def topics(monkeypatch):
    """Install topics, given as mappings by group; forget them afterwards."""

    def install(**groups):
        entries = {
            f"seminar.{group}": [EntryPoint(name, "haystack:unused", f"seminar.{group}") for name in by_topic]
            for group, by_topic in groups.items()
        }
        monkeypatch.setattr(display, "entry_points", lambda group: entries.get(group, []))
        monkeypatch.setattr(EntryPoint, "load", lambda self: groups[self.group.split(".")[1]][self.name])
        display.metrics.cache_clear()
        display.conditions.cache_clear()

    yield install
    display.metrics.cache_clear()
    display.conditions.cache_clear()


def test_a_topic_brings_the_names_and_formats_of_its_metrics(topics):
    topics(metrics={"haystack": {"found": FOUND, "needles": NEEDLES}})
    assert metric_named("found").text(0.5) == "50.0%"
    assert metric_named("found_difference").text(-0.012) == "\u22121.2\u00a0points"
    assert metric_named("needles").text(1234.4) == "1,234"


def test_a_topics_quality_stands_after_what_all_share_and_before_costs(topics):
    topics(metrics={"haystack": {"needles": NEEDLES, "found": FOUND}})
    names = ["peak_rss_mb", "unheard_of", "needles", "size_mb", "found", "roc_auc", "found"]
    assert in_column_order(names) == ["roc_auc", "found", "size_mb", "peak_rss_mb", "needles", "unheard_of"]


def test_a_name_means_one_thing(topics):
    topics(metrics={"one": {"found": FOUND}, "two": {"found": FOUND}})
    assert metric_named("found") == FOUND
    topics(metrics={"haystack": {"size_mb": SIZE_IN_GB}})
    with pytest.raises(ValueError, match="haystack: size_mb means something else"):
        metric_named("size_mb")


def rows() -> tuple[Row, ...]:
    one, other = {"straw": 9000, "tool": "fork"}, {"straw": 20, "tool": "hands"}
    return (
        Row("a", "barn", "test", "accuracy", 0.5, facts=one),
        Row("b", "barn", "test", "accuracy", 0.6, facts=other),
    )


def test_figures_compare_only_under_the_same_conditions_of_a_topic(topics):
    topics(conditions={"haystack": {"straw": "{:,} straws"}})
    table = markdown_table(Results("", rows()))
    assert "| barn, test, 9,000 straws | a | fork | 50.00 |" in table
    assert "**" not in table


def test_a_key_that_is_no_condition_tells_models_apart(topics):
    topics()
    (table,) = figure_tables(rows())
    assert table["traits"] == ["Straw", "Tool"]
    assert "| barn, test | b | 20 | hands | **60.00** |" in markdown_table(Results("", rows()))
