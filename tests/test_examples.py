"""The examples run as they are, at a small size, and make the pictures that they promise."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
PICTURES = {
    "doc_page": "broadsides.png",
    "gcd_method": "methods.png",
    "recsys_quantizer": "quality-against-bytes.png",
}
SMALL = {"EXAMPLES_ROWS": "12000", "EXAMPLES_PAGES": "4"}


def run(name: str, out: Path) -> str:
    """Run an example; return what it printed."""
    environment = {**os.environ, **SMALL, "EXAMPLES_OUT": str(out)}
    command = [sys.executable, str(EXAMPLES / f"{name}.py")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=out)
    assert done.returncode == 0, done.stderr
    assert (out / PICTURES[name]).stat().st_size > 5_000
    return done.stdout


def test_every_example_is_tried() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(PICTURES)


def test_a_new_quantizer_is_trained_beside_those_of_the_package(tmp_path: Path) -> None:
    rows = re.findall(
        r"^(\S+) +AUC (0\.\d+) \[.*\] +([\d.]+) MB$", run("recsys_quantizer", tmp_path), flags=re.M
    )
    assert [name for name, _, _ in rows] == ["float", "2-bit", "ternary", "1-bit"]
    sizes = [float(size) for _, _, size in rows]
    assert sizes[0] > 2 * sizes[1] == 2 * sizes[2] > 2 * sizes[3] and all(
        float(auc) > 0.5 for _, auc, _ in rows
    )


def test_a_new_kind_of_page_is_drawn_and_looked_at(tmp_path: Path) -> None:
    (seen,) = re.findall(r"a woodcut was found on (\d) of 4 broadsides", run("doc_page", tmp_path))
    assert int(seen) >= 2 and len(list((tmp_path / "pages").glob("*.png"))) == 4


def test_a_new_method_is_scored_beside_those_of_the_package(tmp_path: Path) -> None:
    rows = re.findall(
        r"^(.+?) +all +([\d.]+) known +([\d.]+) novel +([\d.]+)$", run("gcd_method", tmp_path), flags=re.M
    )
    assert [name for name, *_ in rows] == ["average linkage", "k-means", "Ward"]
    assert all(30 < float(value) < 100 for _, *values in rows for value in values)


@pytest.mark.parametrize("name", PICTURES)
def test_an_example_is_a_notebook_in_plain_python(name: str) -> None:
    text = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    assert text.count("# %% [markdown]") >= 5 and "**TRY**" in text and "# TRY" in text
