"""What holds for the names of metrics: each topic brings its own, and the shared package knows none of them."""

import json
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from seminar_common.display import CONDITIONS_GROUP, METRICS_GROUP, metrics

ROOT = Path(__file__).parents[1]
BROUGHT = sorted(
    (entry for group in (METRICS_GROUP, CONDITIONS_GROUP) for entry in entry_points(group=group)),
    key=lambda entry: (entry.name, entry.group),
)


def test_every_topic_names_its_metrics() -> None:
    topics = sorted(path.name for path in (ROOT / "packages").iterdir() if path.name != "common")
    assert [entry.name for entry in BROUGHT if entry.group == METRICS_GROUP] == topics


@pytest.mark.parametrize("entry", BROUGHT, ids=lambda entry: f"{entry.name}-{entry.group}")
def test_names_cost_nothing_to_read(entry) -> None:
    code = (
        f"import sys, {entry.module}; print(*{{'torch', 'matplotlib', 'pyarrow', 'PIL'}} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_shared_package_knows_no_metric_of_a_topic() -> None:
    brought = {name for entry in BROUGHT if entry.group == METRICS_GROUP for name in entry.load()}
    telling = "|".join(sorted(name for name in brought if "_" in name))  # "rows" is a word like any other
    for file in (ROOT / "packages" / "common" / "src").rglob("*.py"):
        assert not re.findall(rf"\b({telling})\b", file.read_text(encoding="utf-8")), file


@pytest.mark.parametrize("topic", [entry.name for entry in BROUGHT if entry.group == METRICS_GROUP])
def test_accuracies_and_precisions_of_committed_results_print_in_percent(topic: str) -> None:
    found = set()
    for file in (ROOT / "docs" / "results" / topic).rglob("results.json"):
        found |= {row["metric"] for row in json.loads(file.read_text(encoding="utf-8"))["rows"]}
    fractions = {name for name in found if re.match("(macro|acc|ap|page|crop)_?(?!.*difference)", name)}
    assert fractions
    assert {name for name in fractions if name not in metrics() or metrics()[name].scale != 100} == set()
