import dataclasses
import os
from pathlib import Path

import pytest

from seminar_common.demos import DemoPage, DemoSettings, run_demos
from seminar_common.device import choose_threads
from seminar_common.errors import UserError
from seminar_common.results import Results, Row, read_results


def small_demo(folder: Path, data: Path | None) -> DemoPage:
    folder.mkdir(parents=True)
    return DemoPage("A topic", Results("demo", (Row("float", str(data), "test", "roc_auc", 0.7123),)))


def test_every_topic_gets_a_folder_and_one_page_shows_them_all(tmp_path: Path) -> None:
    index = run_demos({"one": small_demo, "two": small_demo}, DemoSettings(out=tmp_path / "out"))
    names = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*"))
    assert names == ["index.html", "one/results.json", "two/results.json"]
    assert read_results(tmp_path / "out" / "two").one(metric="roc_auc").value == 0.7123
    assert index.read_text().count("0.7123") >= 2


def test_a_demo_links_what_else_it_made(tmp_path: Path) -> None:
    def linked(folder: Path, data: Path | None) -> DemoPage:
        return dataclasses.replace(small_demo(folder, data), links=(("Gallery & more", "a/gallery.html"),))

    index = run_demos({"one": linked}, DemoSettings(out=tmp_path / "out"))
    assert '<a href="one/a/gallery.html">Gallery &amp; more</a>' in index.read_text()


def test_real_data_is_handed_on(tmp_path: Path) -> None:
    run_demos({"one": small_demo}, DemoSettings(out=tmp_path / "out", data=tmp_path))
    assert read_results(tmp_path / "out" / "one").rows[0].dataset == str(tmp_path)


def test_one_number_of_threads_is_for_all_demos_and_for_them_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    seen = []

    def demo(folder: Path, data: Path | None) -> DemoPage:
        seen.append((choose_threads()[0], os.environ["OMP_NUM_THREADS"]))
        return small_demo(folder, data)

    run_demos({"one": demo, "two": demo}, DemoSettings(out=tmp_path / "out", threads=3))
    assert seen == [(3, "3"), (3, "3")]
    assert "OMP_NUM_THREADS" not in os.environ
    assert "demo: 3 threads (asked for)" in capsys.readouterr().err
    with pytest.raises(UserError, match="--threads -1"):
        DemoSettings(threads=-1)


def test_an_existing_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    with pytest.raises(UserError, match="not overwritten"):
        run_demos({"one": small_demo}, DemoSettings(out=tmp_path))


def test_a_missing_data_folder_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        run_demos({"one": small_demo}, DemoSettings(out=tmp_path / "out", data=tmp_path / "absent"))
    assert not (tmp_path / "out").exists()
