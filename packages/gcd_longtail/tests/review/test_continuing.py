import csv
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from gcd_longtail import discover as module
from gcd_longtail.cli import COMMANDS
from gcd_longtail.discover import discover
from gcd_longtail.reviewing.decisions import head, run_identity
from gcd_longtail.settings.commands import DiscoverSettings, FeatureConfig
from seminar_common import cli, failures
from seminar_common.errors import UserError


def rows(run: Path) -> dict[str, dict[str, str]]:
    with (run / "assignments.csv").open(newline="") as stream:
        return {row["image"]: row for row in csv.DictReader(stream)}


def classes(run: Path) -> dict[str, str]:
    return {key: row["name"] for key, row in rows(run).items()}


def decide(run: Path, *lines: dict[str, Any]) -> Path:
    """Write decisions beside a run as its page does."""
    first = head(run_identity(json.loads((run / "config.json").read_text())), len(rows(run)))
    numbered = [
        {"id": f"i{number}", "time": "2026-01-02T03:04:05Z", **line} for number, line in enumerate(lines)
    ]
    file = run / "decisions.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in (first, *numbered)))
    return file


def go_on(file: Path, out: Path, **changes) -> Path:
    discover(DiscoverSettings(out=out, decisions=file, **changes))
    return out


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, colours: dict[str, int], make_images) -> Path:
    """A discovery in six colours, of which a and c have labels."""
    folder = tmp_path_factory.mktemp("continue")
    make_images(folder / "images", colours)
    labels = [f"{name}/{i:03d}.png,{name}" for name in "ac" for i in range(3)]
    (folder / "labels.csv").write_text("\n".join(["path,label", *labels]) + "\n")
    features = FeatureConfig("pixels", 8)
    given = DiscoverSettings(folder / "images", folder / "labels.csv", folder / "found", "ss-kmeans", 6)
    discover(dataclasses.replace(given, features=features, seed=3, per_class=6))
    return folder / "found"


def class_of(run: Path, letter: str) -> str:
    """Return the class in which most images of a colour lie."""
    names = [name for key, name in classes(run).items() if key[0] == letter]
    return max(set(names), key=names.count)


def test_what_was_named_is_a_known_class_and_what_was_rejected_is_left_out(
    found: Path, tmp_path: Path
) -> None:
    file = decide(
        found,
        {
            "action": "name",
            "cluster": class_of(found, "b"),
            "name": "beech",
            "shown": ["b/000.png", "b/001.png"],
        },
        {"action": "reject", "cluster": class_of(found, "d")},
        {"action": "keep", "cluster": class_of(found, "e"), "shown": ["e/000.png"]},
        {"action": "is", "images": ["f/003.png"], "name": "a"},
        {"action": "is", "images": ["a/019.png"], "name": "ash"},
    )
    new = go_on(file, tmp_path / "new")
    table, kept = rows(new), class_of(found, "e")
    assert {key for key, row in table.items() if row["labelled"] == "yes"} == {
        *(f"{name}/{i:03d}.png" for name in "ac" for i in range(3)),
        *("b/000.png", "b/001.png", "e/000.png", "f/003.png", "a/019.png"),
    }
    assert {table[f"b/{i:03d}.png"]["name"] for i in range(16)} == {"beech"}
    assert (table["f/003.png"]["name"], table["a/019.png"]["name"]) == ("a", "ash")
    assert {row["name"] for row in table.values() if row["settled"] == "yes"} == {"beech", kept, "rejected"}
    gone = [row for key, row in table.items() if row["name"] == "rejected"]
    assert len(gone) == 8 and {(row["class"], row["known"]) for row in gone} == {("-1", "no")}
    # 6 classes, one rejected, one made of a single image
    known = [
        row["name"]
        for row in sorted(table.values(), key=lambda row: int(row["class"]))
        if row["known"] == "yes"
    ]
    assert list(dict.fromkeys(known)) == ["a", "c", "beech", kept, "ash"]
    config = json.loads((new / "config.json").read_text())
    chosen = config["settings"]
    assert (config["model"], chosen["seed"], chosen["per_class"]) == ("ss-kmeans", 3, 6)
    assert (new / "decisions-learned.jsonl").read_text() == file.read_text()
    page = (new / "gallery.html").read_text()
    assert "6 classes, 5 of them labelled and 2 of these settled by decisions about" in page
    assert "8 images of rejected classes are left out." in page


def test_learning_twice_is_learning_once(found: Path, tmp_path: Path) -> None:
    named = {"action": "name", "cluster": class_of(found, "b"), "name": "beech", "shown": ["b/000.png"]}
    file = decide(found, named, {"action": "reject", "cluster": class_of(found, "d")})
    one, two = go_on(file, tmp_path / "one"), go_on(file, tmp_path / "two")
    assert rows(one) == rows(two)
    assert run_identity(json.loads((one / "config.json").read_text())) == run_identity(
        json.loads((two / "config.json").read_text())
    )
    again = go_on(decide(one), tmp_path / "again")  # nothing new was decided
    before, after = rows(one), rows(again)
    assert {key: (row["name"], row["labelled"], row["settled"]) for key, row in before.items()} == {
        key: (row["name"], row["labelled"], row["settled"]) for key, row in after.items()
    }


def test_what_was_settled_keeps_name_and_number_over_several_rounds(found: Path, tmp_path: Path) -> None:
    first = go_on(
        decide(
            found, {"action": "keep", "cluster": class_of(found, "e"), "shown": ["e/000.png", "e/001.png"]}
        ),
        tmp_path / "first",
    )
    kept, fresh = class_of(found, "e"), class_of(first, "b")
    assert class_of(first, "e") == kept and fresh != kept
    second = go_on(
        decide(first, {"action": "name", "cluster": fresh, "name": "alder", "shown": ["b/002.png"]}),
        tmp_path / "second",
    )
    assert class_of(second, "e") == kept and class_of(second, "b") == "alder"
    numbers = {row["name"]: row["class"] for row in rows(second).values()}
    assert (numbers["a"], numbers["c"], numbers[kept], numbers["alder"]) == ("0", "1", "2", "3")
    assert {row["name"] for row in rows(second).values() if row["settled"] == "yes"} == {kept, "alder"}


def test_an_image_never_comes_back_to_a_class_that_it_is_not_of(found: Path, tmp_path: Path) -> None:
    beech = class_of(found, "b")
    file = decide(
        found,
        {"action": "not", "cluster": "a", "images": ["a/010.png"]},
        {"action": "not", "cluster": beech, "images": ["b/010.png"]},
    )
    first = go_on(file, tmp_path / "first")
    assert class_of(first, "a") == "a" != classes(first)["a/010.png"]
    assert class_of(first, "b") != classes(first)["b/010.png"]
    second = go_on(decide(first), tmp_path / "second")
    assert classes(second)["a/010.png"] != "a" and class_of(second, "b") != classes(second)["b/010.png"]


def test_options_that_are_given_count_more_than_those_of_the_run(found: Path, tmp_path: Path) -> None:
    new = go_on(decide(found), tmp_path / "new", method="ward", k=8)
    config = json.loads((new / "config.json").read_text())
    assert (config["model"], config["settings"]["seed"]) == ("ward", 3)
    assert len({row["class"] for row in rows(new).values()}) == 8


def test_images_that_are_gone_are_named_and_the_others_learned_from(found: Path, tmp_path: Path) -> None:
    file = decide(found, {"action": "is", "images": ["f/000.png"], "name": "fir"})
    shutil.copytree(found.parent / "images", tmp_path / "images")
    for key in ("f/000.png", "a/000.png"):
        (tmp_path / "images" / key).unlink()
    new = go_on(file, tmp_path / "new", images=tmp_path / "images")
    assert {one.file: one.reason for one in failures.read(new / failures.FILE)} == dict.fromkeys(
        ["a/000.png", "f/000.png"], "has a label, but is not in the folder"
    )
    assert "fir" not in set(classes(new).values())
    for path in (tmp_path / "images").rglob("*.png"):
        path.rename(path.with_name(f"other-{path.name}"))
    with pytest.raises(UserError, match="none of the 7 labelled images of .* is there; check --images"):
        go_on(file, tmp_path / "none", images=tmp_path / "images")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decisions": None}, "--images: must be given, or --continue DECISIONS"),
        ({"decisions": None, "images": Path("i")}, "--labels: must be given, or --continue DECISIONS"),
        ({"labels": Path("l.csv")}, "--labels: with --continue the labels are those of the run"),
        (
            {"decisions": None, "images": Path("i"), "labels": Path("l"), "run": Path("r")},
            "--from: goes with",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        DiscoverSettings(**{"out": Path("out"), "decisions": Path("d.jsonl"), **change})


def test_decisions_that_can_not_be_used_are_refused_before_the_images_are_read(
    found: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "read_folder", lambda *_: pytest.fail("the images were read"))
    file = decide(found)
    shutil.copy(file, tmp_path / "d.jsonl")
    with pytest.raises(UserError, match="not a run of `discover`; say with --from which run .* is about"):
        go_on(tmp_path / "d.jsonl", tmp_path / "new")
    (tmp_path / "d.jsonl").write_text(json.dumps(head("0" * 32, 66)) + "\n")
    with pytest.raises(UserError, match="decisions about another run"):
        go_on(tmp_path / "d.jsonl", tmp_path / "new", run=found)
    with pytest.raises(UserError, match="the run has no class 'novel-99'"):
        go_on(decide(found, {"action": "reject", "cluster": "novel-99"}), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_command_line_names_its_options_as_they_are_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main(
            "gcd-longtail", "", COMMANDS, ["discover", "--continue", "no.jsonl", "--out", str(tmp_path / "o")]
        )
    assert "--continue no.jsonl: no such file or folder" in capsys.readouterr().err
