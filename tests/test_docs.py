"""What holds for the documentation: its figures are those of the committed results."""

from pathlib import Path

from doc_tables import check

ROOT = Path(__file__).parents[1]


def test_tables_are_those_that_the_committed_results_make() -> None:
    assert check(ROOT) == [], "run `uv run python tools/doc_tables.py`"
