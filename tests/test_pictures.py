"""The README's pictures: small enough for a page that loads at once, and saying what the results say."""

import dataclasses
import shutil
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

import pictures
from pictures import FOLDER, ROOT, recommender_svg, recommender_words, stale
from seminar_common.results import read_results, write_results

NAMES = ("recsys_bnn.svg", "doc_detect.png", "gcd_longtail.png")


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_small(name: str) -> None:
    assert 1000 < (ROOT / FOLDER / name).stat().st_size < 150_000


def test_pictures_say_what_the_results_say() -> None:
    assert stale() == [], "run: python tools/pictures.py"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A repository with the pictures and the results that they are made of."""
    shutil.copytree(ROOT / FOLDER, tmp_path / FOLDER)
    for study in ("recsys_bnn/synthetic-5m-fresh", "doc_detect/historical-test", "gcd_longtail/study"):
        shutil.copytree(ROOT / "docs" / "results" / study, tmp_path / "docs" / "results" / study)
    return tmp_path


@pytest.mark.parametrize(
    ("study", "metric", "name"),
    [
        ("recsys_bnn/synthetic-5m-fresh", "size_mb", "recsys_bnn.svg"),
        ("doc_detect/historical-test", "page_ap", "doc_detect.png"),
        ("gcd_longtail/study", "macro_all", "gcd_longtail.png"),
    ],
)
def test_a_new_figure_makes_a_picture_stale(copy: Path, study: str, metric: str, name: str) -> None:
    change(copy, study, metric, lambda value: 0.9 * value)
    assert stale(copy) == [name]


def test_a_loss_is_said(copy: Path) -> None:
    study = "recsys_bnn/synthetic-5m-fresh"
    change(copy, study, "roc_auc_difference", lambda value: -0.01, ci_low=-0.02, ci_high=-0.005)
    assert recommender_words(copy).title == "25 times smaller, AUC \u22120.0100 [\u22120.0200, \u22120.0050]"
    assert "no AUC lost" not in recommender_svg(copy)


def change(root: Path, study: str, metric: str, new, **more) -> None:
    file = root / "docs" / "results" / study / "results.json"
    results = read_results(file)
    rows = tuple(
        dataclasses.replace(row, value=new(row.value), **more) if row.metric == metric else row
        for row in results.rows
    )
    write_results(file, dataclasses.replace(results, rows=rows))


def test_the_letters_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    long = "a title that is far too long for a third of a page " * 2
    font = pictures._fitting(long, pictures.TITLE, bold=True)
    assert font.size < pictures.TITLE
    assert font.getlength(long) <= pictures.WIDTH - 2 * pictures.MARGIN
