import pytest

pytest.importorskip("torch")

import dataclasses
from pathlib import Path

from doc_detect import demo as module
from doc_detect.demo import main, real_pages
from doc_detect.predictions import open_predictions
from doc_detect.settings.training import ModelConfig, OptimizationConfig
from seminar_common.demos import DemoSettings
from seminar_common.errors import UserError
from seminar_common.results import read_results
from seminar_common.work import WorkConfig


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    """A demo of a dozen small pages and a few steps, with everything else as it is."""
    pages = dataclasses.replace(module.PAGES, pages=16, long_side=320, val_share=0.4, work=WorkConfig(1))
    training = dataclasses.replace(
        module.TRAINING,
        model=ModelConfig(size=128, head_convs=1),
        optimization=OptimizationConfig(steps=4, batch_size=2, sizes=(128,), ema_decay=0.5),
    )
    monkeypatch.setattr(module, "PAGES", pages)
    monkeypatch.setattr(module, "TRAINING", training)
    monkeypatch.setattr(module, "default_model", lambda: tiny_model)


@pytest.mark.slow
def test_the_demo_goes_from_nothing_to_a_gallery_and_a_report(quick, tmp_path: Path) -> None:
    main(DemoSettings(out=tmp_path / "demo"))
    folder = tmp_path / "demo" / "doc_detect"
    rows = read_results(folder).rows
    assert {row.ablation for row in rows} == {module.SHORT, None}
    assert {row.dataset for row in rows} == {"synthetic"} and {row.split for row in rows} == {"val"}
    names = [page.name for page in open_predictions(folder / "found")]
    scans = [name for name in names if name.startswith("scans/")]
    assert len(scans) > 1 and f"book.pdf#page={len(scans) // 2}" in names
    assert len(names) == len(scans) + len(scans) // 2
    assert "<title>What was found" in (folder / "found" / "gallery.html").read_text(encoding="utf-8")
    page = (tmp_path / "demo" / "index.html").read_text(encoding="utf-8")
    assert "source-only" in page and "found/gallery.html" in page


def test_a_folder_without_pages_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="chapbooks_unlabelled"):
        real_pages(tmp_path)


def test_real_pages_are_spread_over_the_set(seminar_data: Path) -> None:
    pages = real_pages(seminar_data)
    assert len(pages) == 40 and len(set(pages)) == 40
