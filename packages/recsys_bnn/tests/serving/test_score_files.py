from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys_bnn.serving.score_files import Part, unfinished, write_table
from seminar_common.errors import UserError

FACTS = {"model": "m"}


def part(first: int, rows: int) -> Part:
    numbers = np.arange(first, first + rows)
    columns = {
        "id": pa.array([f"r{n}" for n in numbers]),
        "probability": pa.array(numbers / 100, pa.float64(), mask=numbers % 7 == 3),
        "click": pa.array(numbers % 2, pa.uint8()),
    }
    return Part(pa.RecordBatch.from_pydict(columns), {"good": rows})


PARTS = [part(0, 10), part(10, 1), part(11, 30)]
EXPECTED = pa.Table.from_batches([p.batch for p in PARTS])


@pytest.mark.parametrize("suffix", [".csv", ".txt", ".parquet", ".arrow"])
def test_parts_become_a_table_with_row_numbers_and_without_clicks(suffix: str, tmp_path: Path) -> None:
    out = tmp_path / f"scores{suffix}"
    with unfinished(out, FACTS) as parts:
        for each in PARTS:
            parts.add(each)
        write_table(out, parts.batches())
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    if suffix in (".csv", ".txt"):
        lines = out.read_text().splitlines()
        assert lines[:5] == ["row,id,probability", '1,"r0",0', '2,"r1",0.01', '3,"r2",0.02', '4,"r3",']
        assert len(lines) == 42
        return
    table = pq.read_table(out) if suffix == ".parquet" else pa.ipc.open_file(out.read_bytes()).read_all()
    assert table.column_names == ["row", "id", "probability"]
    assert table["row"].to_pylist() == list(range(1, 42))
    assert table["probability"].to_pylist() == EXPECTED["probability"].to_pylist()


def kill_after(count: int, out: Path, facts: dict[str, str] = FACTS) -> list[int]:
    """Add parts as a run does that is interrupted after ``count`` of them; return the rows that were done before."""
    with pytest.raises(KeyboardInterrupt), unfinished(out, facts) as parts:
        before = [parts.rows]
        for each in PARTS[len(parts.facts) : len(parts.facts) + count]:
            parts.add(each)
        raise KeyboardInterrupt
    return before


def finish(out: Path, facts: dict[str, str] = FACTS) -> tuple[int, bytes]:
    with unfinished(out, facts) as parts:
        before = parts.rows
        for each in PARTS[len(parts.facts) :]:
            parts.add(each)
        assert [fact["good"] for fact in parts.facts] == [10, 1, 30]
        write_table(out, parts.batches())
    return before, out.read_bytes()


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".arrow"])
def test_a_run_that_was_killed_ends_with_the_same_bytes(suffix: str, tmp_path: Path) -> None:
    _, whole = finish(tmp_path / f"whole{suffix}")
    out = tmp_path / f"scores{suffix}"
    assert kill_after(1, out) == [0] and kill_after(1, out) == [10]
    stored = tmp_path / f".{out.name}.unfinished" / "parts.arrows"
    with stored.open("ab") as file:
        file.write(b"half a part")  # whose line in the journal was not written
    assert finish(out) == (11, whole)


def test_parts_of_another_model_are_dropped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "scores.csv"
    kill_after(2, out)
    assert finish(out, {"model": "another"})[0] == 0
    assert "beginning anew" in capsys.readouterr().err


def test_an_error_of_the_input_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    with pytest.raises(UserError), unfinished(out, FACTS) as parts:
        parts.add(PARTS[0])
        raise UserError("row 11 is bad")
    assert not list(tmp_path.iterdir())


def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    with unfinished(out, FACTS) as parts:
        parts.add(PARTS[0])
        with pytest.raises(UserError, match="another run is writing"), unfinished(out, FACTS):
            pass
        assert parts.rows == 10 and len(list(parts.batches())) == 1
