import dataclasses
import html
import re
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")


from recsys_bnn import demo as module
from recsys_bnn.checks import checks
from recsys_bnn.data.criteo_log import criteo_log
from recsys_bnn.data.generator import SyntheticConfig
from recsys_bnn.demo import BEST, main, story
from recsys_bnn.reporting.demo_pictures import Measured, squares
from recsys_bnn.settings.training import TrainSettings
from seminar_common.demos import DemoSettings
from seminar_common.errors import UserError
from seminar_common.results import Results, Row, read_results


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo of a few thousand rows and passes, with everything else as it is."""

    def few_passes(preset: Callable[[], TrainSettings]) -> Callable[[], TrainSettings]:
        chosen = preset()
        optimization = dataclasses.replace(chosen.optimization, epochs=2)
        return lambda: dataclasses.replace(chosen, optimization=optimization)

    for name in ("small", "medium"):
        monkeypatch.setattr(module, name, few_passes(getattr(module, name)))
    monkeypatch.setattr(
        module, "LOG", SyntheticConfig(5000, main_share=0.2, dense_share=0.6, pairs=2, rank=2)
    )
    monkeypatch.setattr(module, "SECONDS", 0.02)


@pytest.mark.slow
def test_the_demo_needs_nothing_and_leads_with_bytes_microseconds_and_auc(quick, tmp_path: Path) -> None:
    main(DemoSettings(out=tmp_path / "demo"))
    results = read_results(tmp_path / "demo" / "recsys_bnn")
    auc = {row.model: row for row in results.rows if row.metric == "roc_auc" and row.split == "test"}
    assert set(auc) == {"logistic-regression", "float", "binary", "binary-a4", BEST}
    assert {row.n for row in auc.values()} == {1000} and all(row.value > 0.5 for row in auc.values())
    assert auc[BEST].value == max(row.value for row in auc.values())
    assert results.one(model="binary", metric="roc_auc_difference", split="test").baseline == "float"
    packed = [results.one(model=model, metric="packed_mb").value for model in ("float", "binary-a4")]
    assert packed[1] < packed[0]
    assert {row.batch for row in results.rows if row.metric == "latency_us_p50"} == {1, 128}
    page = (tmp_path / "demo" / "index.html").read_text()
    assert html.escape(story(results).answer) in page and "http://" not in page.replace(
        "http://www.w3.org", ""
    )
    links = re.findall(r'href="(recsys_bnn/[^"]+)"', page)
    assert len(links) == 2 and all((tmp_path / "demo" / link).is_file() for link in links)


def measured(low: float = -0.01, high: float = 0.02, best: bool = True) -> Results:
    """Figures of three models: packed ones a tenth of the bytes and a third of the time."""
    rows = [
        row
        for model, factor, auc in (("float", 10, 0.7), ("binary-a4", 1, 0.705), ("binary", 2, 0.6))
        for row in (
            Row(model, "synthetic", "", "packed_mb", 0.02 * factor),
            Row(model, "synthetic", "", "latency_us_p50", 3.0 * factor, batch=1),
            Row(model, "synthetic", "", "latency_us_p50", 40.0 * (3 if factor == 10 else 1), batch=128),
            Row(model, "synthetic", "test", "roc_auc", auc, auc - 0.01, auc + 0.01),
        )
    ]
    difference = Row(
        "binary-a4", "synthetic", "test", "roc_auc_difference", 0.005, low, high, baseline="float"
    )
    known = [Row(BEST, "synthetic", "test", "roc_auc", 0.8)] if best else []
    return Results("", (*rows, difference, *known))


def test_the_story_is_bytes_microseconds_and_auc_of_both_models() -> None:
    told = story(measured())
    assert told.gained == "10.0 times smaller, 3.0 times faster"
    for figure in ("20 kB in place of 200 kB", "40 \u00b5s in place of 120 \u00b5s", "0.7050", "+0.0050"):
        assert figure in told.answer
    size, speed, quality = told.bars
    assert [bar.value for bar in size.bars] == pytest.approx([200, 20, 40])
    assert [bar.ours for bar in speed.bars] == [False, True, False]
    assert (quality.start, quality.end) == (0.5, 0.8) and len(quality.bars) == 3


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(-0.01, 0.02, "no loss that can be told"), (-0.02, -0.01, "a loss"), (0.001, 0.02, "a gain")],
)
def test_the_interval_decides_what_is_said_of_a_difference(low: float, high: float, said: str) -> None:
    results = measured(low, high)
    rows = tuple(
        dataclasses.replace(row, value=(low + high) / 2) if row.baseline else row for row in results.rows
    )
    told = story(Results("", rows))
    assert told.answer.endswith(f", {said}.")
    assert ("AUC" in told.gained) == (said == "a loss")  # a card does not boast of bytes that cost quality


def test_rows_of_people_have_no_known_best() -> None:
    told = story(measured(best=False))
    assert told.bars[2].end is None and not told.bars[2].note and "known probabilities" not in told.notes[0]


def test_areas_are_like_bytes() -> None:
    drawn = squares(("full", Measured(400, 100, 0.7)), ("packed", Measured(100, 50, 0.7))).image.decode()
    full, packed = (float(side) for side in re.findall(r'<rect [^>]*width="([0-9.]+)"', drawn))
    assert (full / packed) ** 2 == pytest.approx(4, rel=0.01)


@pytest.mark.slow
def test_the_demo_takes_real_rows(quick, seminar_data: Path, tmp_path: Path, monkeypatch) -> None:
    for command in ("evaluate", "pack"):  # whose pages the demo of generated rows has
        monkeypatch.setattr(
            f"recsys_bnn.{command}.publish", lambda folder, title, section, *more, **options: section.results
        )
    main(DemoSettings(out=tmp_path / "demo", data=seminar_data))
    results = read_results(tmp_path / "demo" / "recsys_bnn")
    assert {row.dataset for row in results.rows} == {"criteo-10k"}
    assert results.one(model="binary", metric="roc_auc").n == 2000


def test_a_folder_without_a_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected one of recsys/criteo_kaggle_first_10000\.txt"):
        criteo_log(tmp_path)


def test_the_doctor_says_whether_the_log_is_there(tmp_path: Path) -> None:
    assert not checks(None)[0].found
    (tmp_path / "train.txt").touch()
    assert checks(tmp_path)[0].found
