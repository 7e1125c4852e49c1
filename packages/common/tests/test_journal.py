import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from seminar_common.errors import UserError
from seminar_common.journal import keep_records, open_journal, read_at, records, stored_facts

FACTS = {"model": "publaynet", "min_score": 0.05, "file": Path("a")}


def _contents(path: Path) -> list:
    return [record for _, record in records(path)]


def test_a_journal_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "new" / "journal.jsonl"
    with open_journal(path, FACTS) as journal:
        journal.append({"page": 1, "boxes": np.array([1.5])})
    with open_journal(path, FACTS) as journal:
        assert [record for _, record in journal.records()] == [{"page": 1, "boxes": [1.5]}]
        journal.append([2, None])
        assert _contents(path) == [{"page": 1, "boxes": [1.5]}, [2, None]]  # readable while it is written
    assert stored_facts(path) == {"model": "publaynet", "min_score": 0.05, "file": "a"}


def test_a_journal_of_something_else_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with open_journal(path, FACTS) as journal:
        journal.append(1)
    before = path.read_bytes()
    with (
        pytest.raises(UserError, match=r"another min score \(0.05 there, 0.5 here\); give the same again"),
        open_journal(path, {**FACTS, "min_score": 0.5}),
    ):
        pass
    assert path.read_bytes() == before


def test_plain_json_lines_have_no_facts_and_can_not_be_gone_on_with_for_any(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with open_journal(path) as journal:
        journal.append({"step": 1})
    assert path.read_text() == '{"step": 1}\n'
    assert stored_facts(path) is None
    with pytest.raises(UserError, match="does not say what it was computed from"), open_journal(path, FACTS):
        pass


KILLED = """
import os, signal, sys
from pathlib import Path
from seminar_common.journal import open_journal
with open_journal(Path(sys.argv[1]), {"of": 1}) as journal:
    for number in range(1000):
        journal.append(number)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_appended_outlives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)])
    assert done.returncode == -signal.SIGKILL
    assert _contents(path) == list(range(1000))


@pytest.mark.parametrize("torn", ['{"page": 2, "bo', "x" * 200_000, "\0" * 4096])
@pytest.mark.parametrize("facts", [None, FACTS])
def test_an_unfinished_last_line_is_dropped_and_written_over(tmp_path: Path, torn: str, facts) -> None:
    path = tmp_path / "journal.jsonl"
    with open_journal(path, facts) as journal:
        journal.append({"page": 1})
    with path.open("a") as file:
        file.write(torn)
    assert _contents(path) == [{"page": 1}]
    with open_journal(path, facts) as journal:
        journal.append({"page": 2})
    assert _contents(path) == [{"page": 1}, {"page": 2}]


def test_a_header_that_was_torn_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"journal_of": {"mo')
    with open_journal(path, FACTS) as journal:
        journal.append(1)
    assert _contents(path) == [1] and stored_facts(path) is not None


def test_two_runs_can_not_write_into_one_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with (
        open_journal(path),
        pytest.raises(UserError, match="another run is writing to it"),
        open_journal(path),
    ):
        pass
    with open_journal(path):
        pass


def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with open_journal(path) as journal:
            journal.append("short")
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
            with pytest.raises(OSError):
                journal.append("long" * 100)
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            journal.append("after")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_text() == '"short"\n"after"\n'


def test_records_are_found_again_by_their_position(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with open_journal(path, FACTS) as journal:
        positions = [journal.append({"page": number}) for number in range(5)]
    assert [position for position, _ in records(path)] == positions
    assert list(read_at(path, [positions[3], positions[0]])) == [{"page": 3}, {"page": 0}]


@pytest.mark.parametrize("facts", [None, FACTS])
def test_records_after_a_checkpoint_are_dropped(tmp_path: Path, facts) -> None:
    path = tmp_path / "metrics.jsonl"
    with open_journal(path, facts) as journal:
        for step in range(6):
            journal.append({"step": step})
    keep_records(path, lambda record: record["step"] <= 2)
    assert [record["step"] for record in _contents(path)] == [0, 1, 2]
    assert stored_facts(path) == (json.loads(json.dumps(FACTS, default=str)) if facts else None)


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('1\n{"page"\n3\n')
    with pytest.raises(UserError, match="journal.jsonl, line 2: damaged"):
        _contents(path)
    assert list(records(tmp_path / "none.jsonl")) == []


def test_nan_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with open_journal(tmp_path / "journal.jsonl") as journal, pytest.raises(ValueError):
        journal.append({"loss": float("nan")})
    assert (tmp_path / "journal.jsonl").read_bytes() == b""
