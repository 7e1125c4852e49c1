"""What holds for the pages that a reader follows: they run as written, and say what comes out.

The blocks of a page run in order, in one fresh folder. A ``bash`` block runs; a ``sh`` block is only read. A block with ``title="NAME"`` is written to
the file NAME. A ``text`` block holds lines that the last ``bash`` block prints. In them ``…`` stands for anything, and
figures may differ by a twentieth, as they do between machines.
"""

import csv
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
HOW_TO = [
    page for page in sorted((ROOT / "docs" / "how-to").glob("*.md")) if "```text" in page.read_text("utf-8")
]
"""Recipes that promise what comes out; the other pages explain, with commands of hours among them."""
START = sorted((ROOT / "docs" / "start").glob("*.md"))
FIGURE = r"[+−-]?\d+(?:,\d{3})*(?:\.\d+)?"


def blocks(page: Path) -> Iterator[tuple[str, str, str]]:
    """Yield language, title and content of each block of code of a page."""
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```', text, flags=re.M | re.S):
        yield found[1], found[2] or "", found[3]


def value(text: str) -> float:
    return float(text.replace(",", "").replace("−", "-"))


def says(expected: str, line: str) -> bool:
    """Say whether ``line`` is what a page expects: equal words, and figures that lie near."""
    parts = re.split(rf"({FIGURE}|…)", " ".join(expected.split()))
    pattern = "".join(
        ".*" if part == "…" else f"({FIGURE})" if re.fullmatch(FIGURE, part) else re.escape(part)
        for part in parts
    )
    found = re.fullmatch(pattern, " ".join(line.split()))
    promised = [value(part) for part in parts if re.fullmatch(FIGURE, part)]
    return found is not None and all(
        math.isclose(value(is_), was, rel_tol=0.05, abs_tol=0.01)
        for is_, was in zip(found.groups(), promised, strict=True)
    )


@pytest.mark.parametrize(
    ("expected", "line", "same"),
    [
        ("float   0   0.7343 …", "float 0  0.7350 [0.72, 0.75]", True),
        ("float   0   0.7343 …", "float 0  0.6350 [0.72, 0.75]", False),
        ("8 decisions", "9 decisions", False),
        ("1,000 rows", "1,010 rows", True),
        ("a − b −0.02 x", "a − b −0.021 x", True),
        ("a − b −0.20 x", "a − b +0.20 x", False),
        ("a", "a b", False),
    ],
)
def test_figures_may_lie_a_little_apart_and_words_may_not(expected: str, line: str, same: bool) -> None:
    assert says(expected, line) is same


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of all blocks. Where it can be, Python starts once for all of them (``warm_python.py``)."""
    folder = tmp_path_factory.mktemp("warm")
    common = {"OMP_NUM_THREADS": "1"} | os.environ  # as .ci/run has it
    common |= {"COLUMNS": "250", "PYTHONIOENCODING": "utf-8"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    if not hasattr(os, "pidfd_open"):
        yield common | {"PATH": path}
        return
    command = [sys.executable, ROOT / "tests" / "warm_python.py", folder / "socket", folder / "bin"]
    with subprocess.Popen(command, env=common, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as warm:
        while not (folder / "bin").exists() and warm.poll() is None:
            time.sleep(0.05)
        shared = (
            warm.poll() is None
        )  # else something that it imports has started a thread, and each block starts Python
        yield common | {"PATH": f"{folder / 'bin'}{os.pathsep}{path}" if shared else path}
        assert not shared or warm.poll() is None


def run(script: str, folder: Path, environment: dict[str, str]) -> str:
    """Run a block as a person would who pastes it, and return all that it prints."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}"
    return done.stdout


def follow(page: Path, folder: Path, environment: dict[str, str]) -> None:
    """Do what a page says in ``folder``, and hold it to what it promises."""
    printed = ""
    for language, title, content in blocks(page):
        if title:
            (folder / title).write_text(content, encoding="utf-8")
        elif language == "bash":
            printed = run(content, folder, environment)
        elif language == "text":
            for expected in filter(None, content.splitlines()):
                assert any(says(expected, line) for line in printed.splitlines()), f"{expected}\n\n{printed}"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", START, ids=lambda page: page.stem)
def test_a_tutorial_runs_as_written(page: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    follow(page, tmp_path, environment)
    for folder, part in WRITTEN[page.stem].items():
        written = {path.name for path in (tmp_path / folder).iterdir()}
        assert written and not written - explained(part), part


WRITTEN = {
    "recommender": {"data": "recsys-bnn prepare", "study": "recsys-bnn study"},
    "pages": {
        "pages": "doc-detect synth",
        "found": "doc-detect predict",
        "quality": "Every run",
        "adapted": "doc-detect adapt",
    },
    "categories": {"found": "gcd-longtail discover", "runs/ward": "gcd-longtail train"},
}
"""By tutorial: the folders that are left, and the part of the reference that says what is in them."""


def explained(part: str) -> set[str]:
    """Return the files that a part of the page on folders names, and those of every run."""
    text = (ROOT / "docs" / "reference" / "folders.md").read_text(encoding="utf-8")
    parts = {head: body for head, body in re.findall(r"^##+ (.*)$([^#]*)", text, flags=re.M)}
    return {name.split("/")[0] for name in re.findall(r"`([^`]+)`", parts[part] + parts["Every run"])}


def put_clicks(folder: Path) -> None:
    """Write a log of users who click in some shops."""
    g = np.random.default_rng(0)
    with (folder / "clicks.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["when", "user", "shop", "city", "age", "clicked"])
        for row in range(3000):
            user, shop = g.integers(100), g.integers(20)
            clicked = int(g.random() < (0.8 if (user + shop) % 3 == 0 else 0.2))
            table.writerow([row, f"u{user}", f"s{shop}", f"c{user % 7}", 20 + user % 50, clicked])


def put_scans(folder: Path) -> None:
    """Write pages with a picture, and a file that is none."""
    (folder / "scans").mkdir()
    for number in range(4):
        page = np.full((900, 600), 235, np.uint8)
        page[100:400, 80:520] = np.random.default_rng(number).integers(0, 255, (300, 440), np.uint8)
        Image.fromarray(page).save(folder / "scans" / f"{number}.jpg")
    (folder / "scans" / "broken.png").write_bytes(b"no picture")


def put_photos(folder: Path) -> None:
    """Write pictures of eight colours, four of them with labels."""
    (folder / "photos").mkdir()
    lines = ["path,label"]
    for number in range(64):
        colour = 255 * np.array([number % 2, number // 2 % 2, number // 4 % 2])
        noise = np.random.default_rng(number).normal(0, 12, (48, 48, 3))
        pixels = (colour + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / f"{number}.png")
        if number % 8 < 4 and number < 32:
            lines.append(f"{number}.png,{number % 8}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")


READERS_OWN = {"clicks.csv": put_clicks, "scans": put_scans, "photos": put_photos}
"""What a page takes for granted that its reader has, and what makes a small one."""


@pytest.mark.slow
@pytest.mark.parametrize("page", HOW_TO, ids=lambda page: page.stem)
def test_a_recipe_runs_as_written(page: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    scripts = "\n".join(content for language, _, content in blocks(page) if language == "bash")
    for name, put in READERS_OWN.items():
        if re.search(rf"(?<![\w/]){re.escape(name)}\b", scripts):
            put(tmp_path)
    follow(page, tmp_path, environment)
