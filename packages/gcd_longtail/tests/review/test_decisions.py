import json
from pathlib import Path
from typing import Any

import pytest

from gcd_longtail.reviewing.decisions import (
    Decision,
    Reviewed,
    decision,
    head,
    read_decisions,
    replay,
    run_identity,
)
from seminar_common.errors import UserError

CASES = json.loads((Path(__file__).parent / "cases.json").read_text(encoding="utf-8"))
RUN = CASES["run"]


def replayed(lines: list[dict[str, Any]]) -> Reviewed:
    return replay(tuple(map(decision, lines)), RUN["names"], RUN["assignments"], RUN["known"])


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda case: case["what"])
def test_decisions_come_to(case: dict[str, Any]) -> None:
    got, expected = replayed(case["decisions"]), case["expected"]
    classes = [[one.cluster, one.name, one.named, one.settled, one.rejected] for one in got.classes]
    assert classes == expected["classes"]
    assert got.images == RUN["assignments"] | expected["images"]
    assert got.labels == expected["labels"]
    assert [list(pair) for pair in got.forbidden] == expected["forbidden"]


def write(path: Path, *lines: dict[str, Any] | str) -> Path:
    first = head("r" * 32, 15)
    texts = [line if isinstance(line, str) else json.dumps(line) for line in (first, *lines)]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


NAME = {"id": "1", "time": "2026-01-02T03:04:05Z", "action": "name", "cluster": "novel-1", "name": "fox"}


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = write(tmp_path / "d.jsonl", {**NAME, "shown": ["c1"]}, {"id": "2", "action": "undo", "of": "1"})
    first, second = read_decisions(file, "r" * 32)
    assert first == Decision("1", "name", "novel-1", name="fox", shown=("c1",), where=f"{file}, line 2")
    assert (second.action, second.of) == ("undo", "1")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 3: not JSON"),
        ("[1]", "line 3: must be a JSON object, not list"),
        ({**NAME, "action": "nam"}, "line 3: 'nam' is no action; there are"),
        ({"id": "1", "action": "name", "cluster": "c"}, "line 3: name needs 'name', a text"),
        ({**NAME, "name": " "}, "line 3: name needs 'name', a text"),
        ({**NAME, "shown": "c1"}, "line 3: name needs 'shown', a list of texts"),
        (
            {"id": "1", "action": "is", "images": [], "name": "x"},
            "line 3: is needs 'images', a list of texts",
        ),
        ({**NAME, "id": 1}, "line 3: name needs 'id', a text"),
        ({**NAME, "id": "0"}, "line 3: the id '0' stands above already"),
        ({"id": "1", "action": "undo", "of": "9"}, "line 3: takes back '9', which does not stand above"),
        (head("s" * 32, 15), r"decisions about another run \(s+ there, r+ here\)"),
    ],
)
def test_a_line_that_can_not_be_used_is_named(tmp_path: Path, line: dict | str, message: str) -> None:
    file = write(
        tmp_path / "d.jsonl", {"id": "0", "action": "keep", "cluster": "cat"}, line, NAME | {"id": "z"}
    )
    with pytest.raises(UserError, match=message):
        read_decisions(file, "r" * 32)


def test_decisions_about_another_run_are_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "d.jsonl", NAME)
    with pytest.raises(UserError, match=r"decisions about another run \(r+ there, s+ here\)"):
        read_decisions(file, "s" * 32)
    assert len(read_decisions(file)) == 1


@pytest.mark.parametrize("text", ["\n", '{"id": "1", "action": "keep", "cluster": "cat"}\n'])
def test_a_file_that_does_not_name_its_run_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "d.jsonl").write_text(text)
    with pytest.raises(UserError, match="does not begin by naming its run"):
        read_decisions(tmp_path / "d.jsonl")


def test_a_file_of_tomorrow_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text(json.dumps({**head("r", 1), "version": 2}) + "\n")
    with pytest.raises(UserError, match="of version 2, but 1 is read here"):
        read_decisions(tmp_path / "d.jsonl")


def test_a_last_line_that_was_never_finished_does_not_count(tmp_path: Path) -> None:
    file = write(tmp_path / "d.jsonl", NAME)
    file.write_text(file.read_text() + '{"id": "2", "action": "na')
    assert [one.id for one in read_decisions(file)] == ["1"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"id": "1", "action": "keep", "cluster": "novel-9"}, "the run has no class 'novel-9'"),
        ({"id": "1", "action": "not", "cluster": "cat", "images": ["z1"]}, "the run has no image 'z1'"),
        ({"id": "1", "action": "keep", "cluster": "cat", "shown": ["z2"]}, "the run has no image 'z2'"),
    ],
)
def test_what_the_run_does_not_have_is_named(line: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        replayed([line])


def test_members_are_those_of_the_classes_that_are_there() -> None:
    got = replayed([{"id": "1", "action": "not", "cluster": "novel-4", "images": ["f1"]}])
    assert got.members()["novel-4"] == [] and got.members()["dog"] == ["b1", "b2"]


def test_a_run_is_known_by_what_it_found_and_not_by_where_it_lies() -> None:
    config = {"identity": {"images": "i"}, "found": "f", "settings": {"out": "here"}}
    assert run_identity(config) == run_identity({**config, "settings": {"out": "there"}})
    assert run_identity(config) != run_identity({**config, "found": "g"})
    with pytest.raises(UserError, match="does not say which classes were found.*make the run again"):
        run_identity({"identity": {}})
