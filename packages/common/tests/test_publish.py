import dataclasses
import json
from pathlib import Path

import pytest

from seminar_common.errors import UserError
from seminar_common.publish import publish
from seminar_common.report import Section
from seminar_common.results import Results, Row, read_results

ROW = Row("float", "criteo-10k", "test", "accuracy", 0.75, 0.7, 0.8, n=2000)


def section(value: float) -> Section:
    results = Results("a bench", (dataclasses.replace(ROW, value=value),))
    return Section("Speed", results, {"repeats": 3}, {"threads": value})


def test_table_report_and_environment_are_there_and_the_figures_are_printed(tmp_path: Path, capsys) -> None:
    out = tmp_path / "new" / "out"
    data = Section("Rows", Results("prepare", (dataclasses.replace(ROW, metric="rows", value=9.0),)))
    assert publish(out, "Benchmark", section(0.75), data, shown=("accuracy",)) == section(0.75).results
    assert sorted(path.name for path in out.iterdir()) == ["environment.json", "report.html", "results.json"]
    assert read_results(out) == section(0.75).results
    assert json.loads((out / "environment.json").read_text()) == {"threads": 0.75}
    page = (out / "report.html").read_text()
    assert "<title>Benchmark</title>" in page and "Speed" in page and "Rows" in page
    answer = capsys.readouterr()
    assert "Accuracy (%)" in answer.out and "75.00 [70.00, 80.00]" in answer.out
    assert answer.err == f"wrote {out / 'results.json'} and report.html\n"


def test_an_environment_that_is_not_said_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "environment.json").write_text("{}")
    publish(tmp_path, "t", section(0.5)._replace(environment=None))
    assert (tmp_path / "environment.json").read_text() == "{}"


def state(folder: Path) -> tuple[str, ...]:
    """Return which publication each file is of, "" where there is none."""
    table = folder / "results.json"
    report, environment = ((folder / name).read_text() for name in ("report.html", "environment.json"))
    value = str(read_results(folder).rows[0].value) if table.exists() else ""
    return value, "0.5" if "50.00" in report else "0.75", str(json.loads(environment)["threads"])


def test_a_kill_at_any_moment_leaves_no_table_beside_another_report(tmp_path: Path, monkeypatch) -> None:
    rename, seen = Path.replace, set()
    for moment in range(20):
        folder = tmp_path / str(moment)
        publish(folder, "t", section(0.5))
        left = iter(range(moment))

        def replace(self: Path, target: Path, left=left) -> Path:
            if next(left, None) is None:
                raise KeyboardInterrupt
            return rename(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", replace)
            try:
                publish(folder, "t", section(0.75))
            except KeyboardInterrupt:
                seen.add(state(folder))
            else:
                seen.add(state(folder))
                break
        assert not list(folder.glob(".*"))
    for table, report, environment in seen:
        assert not table or table == report == environment, seen
    assert {table for table, *_ in seen} == {"0.5", "", "0.75"}  # before, while and after the files change


def test_figures_that_json_cannot_hold_leave_what_was_there(tmp_path: Path) -> None:
    publish(tmp_path, "t", section(0.5))
    with pytest.raises(ValueError, match="JSON"):
        publish(tmp_path, "t", section(0.75)._replace(environment={"load": float("nan")}))
    assert state(tmp_path) == ("0.5", "0.5", "0.5")


def test_a_folder_in_the_place_of_the_report_leaves_the_table(tmp_path: Path) -> None:
    publish(tmp_path, "t", section(0.5))
    (tmp_path / "report.html").unlink()
    (tmp_path / "report.html").mkdir()
    with pytest.raises(UserError, match="report.html: is a folder"):
        publish(tmp_path, "t", section(0.75))
    assert read_results(tmp_path) == section(0.5).results


def test_one_process_of_several_writes(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("RANK", "1")
    publish(tmp_path, "t", section(0.5))
    assert not list(tmp_path.iterdir())
