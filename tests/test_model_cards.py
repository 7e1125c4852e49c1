"""What the card of the model that ships says is so."""

import hashlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CARD = ROOT / "packages/doc_detect/src/doc_detect/models/default.md"


def test_the_card_is_of_the_file_that_ships() -> None:
    digest = hashlib.sha256(CARD.with_suffix(".onnx").read_bytes()).hexdigest()
    assert f"| sha256 | `{digest}` |" in CARD.read_text(encoding="utf-8")


@pytest.mark.parametrize("label", ["graphic", "drop_capital", "stamp"])
def test_the_card_gives_the_figures_that_were_measured(label: str) -> None:
    results = json.loads((ROOT / "docs/results/doc_detect/historical-all/results.json").read_text("utf-8"))
    of = {"model": "source-only", "subset": "all", "split": "all", "boxes": "drawn", "label": label}
    rows = {row["metric"]: row for row in results["rows"] if of.items() <= row.items()}
    texts = [
        "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * rows[metric][key] for key in ("value", "ci_low", "ci_high")))
        for metric in ("ap", "ap50")
    ]
    (line,) = re.findall(rf"^\| {label} \| (.*) \| (.*) \|$", CARD.read_text("utf-8"), flags=re.M)
    assert list(line) == texts
