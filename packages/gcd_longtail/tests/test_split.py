import dataclasses
import json
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from gcd_longtail.images.sources.base import Listing, Source
from gcd_longtail.protocol.planning import choose_known, plan, terciles, thin_out
from gcd_longtail.protocol.split_file import read_source, read_split
from gcd_longtail.settings.commands import SourceConfig, SplitSettings
from gcd_longtail.split import split
from seminar_common import failures
from seminar_common.errors import UserError


def settings(images: Path, out: Path, **changes) -> SplitSettings:
    return dataclasses.replace(SplitSettings(out, SourceConfig(images)), **changes)


def listed(counts: dict[str, int], group_size: int = 0) -> Source:
    """Return a source that only has a listing: some images a class, in groups of ``group_size``."""
    source = Source()
    source.path = Path("images")
    rows = [(name, i) for name, n in counts.items() for i in range(n)]
    groups = [f"track{i // group_size}" if group_size else "" for _, i in rows]
    keys, labels = [f"{name}/{i}" for name, i in rows], [name for name, _ in rows]
    source.listing = Listing(keys, labels, ["train"] * len(rows), groups)
    return source


def planned(source: Source, **changes):
    hashes = {i: f"{i:032x}" for i in range(len(source.listing))}
    return plan(source, hashes, settings(Path("images"), Path("out"), **changes))


LONG_TAIL = {f"c{i}": 100 - 9 * i for i in range(10)}


def test_every_image_has_one_role_and_only_known_classes_are_labelled() -> None:
    made = planned(listed(LONG_TAIL))
    roles = Counter(zip(made.labels.tolist(), made.roles, strict=True))
    assert made.known == 5
    assert sum(roles.values()) == len(made.keys) == sum(LONG_TAIL.values())
    for number, one in enumerate(made.classes):
        labelled, unlabelled, test = (roles[number, role] for role in "LUT")
        assert one.train_images == labelled + unlabelled
        assert test == pytest.approx(0.2 * LONG_TAIL[one.name], abs=0.5)
        assert labelled == (pytest.approx(one.train_images / 2, abs=0.5) if one.known else 0)


def test_known_classes_come_first_in_order_of_frequency() -> None:
    made = planned(listed(LONG_TAIL))
    assert [one.known for one in made.classes] == [True] * 5 + [False] * 5
    for part in (made.classes[:5], made.classes[5:]):
        counts = [one.train_images for one in part]
        assert counts == sorted(counts, reverse=True)


def test_the_same_seed_gives_the_same_split_and_another_one_another() -> None:
    source = listed(LONG_TAIL)
    assert planned(source).hash == planned(source).hash != planned(source, seed=1).hash


@pytest.mark.parametrize(("fraction", "count"), [(0.5, 10), (0.25, 5), (0.8, 16), (0.01, 1), (0.99, 19)])
def test_interleaved_known_classes_are_spread_over_frequency(fraction: float, count: int) -> None:
    order = [f"c{i:02d}" for i in range(20)]
    for seed in range(5):
        known = choose_known(order, settings(Path("x"), Path("y"), known_fraction=fraction, seed=seed))
        assert len(known) == count
        minority = known if count <= 10 else set(order) - known
        places = sorted(order.index(name) for name in minority)
        run = 20 / len(places)
        assert all(run * i - 0.5 <= place < run * (i + 1) + 0.5 for i, place in enumerate(places))


def test_the_frequent_half_can_be_known() -> None:
    made = planned(listed(LONG_TAIL), known="frequent")
    assert {one.name for one in made.classes[: made.known]} == {f"c{i}" for i in range(5)}


def test_listed_classes_are_known() -> None:
    made = planned(listed(LONG_TAIL), known_classes=("c7", "c1"))
    assert {one.name for one in made.classes[: made.known]} == {"c1", "c7"}
    with pytest.raises(UserError, match="nowhere: no such class"):
        planned(listed(LONG_TAIL), known_classes=("nowhere",))
    with pytest.raises(UserError, match="10 of 10 classes are known"):
        planned(listed(LONG_TAIL), known_classes=tuple(LONG_TAIL))


def test_images_of_one_group_stay_together() -> None:
    made = planned(listed({"a": 120, "b": 90, "c": 60, "d": 30}, group_size=10))
    roles: dict[tuple[str, int], set[str]] = {}
    for key, role in zip(made.keys, made.roles, strict=True):
        name, i = key.split("/")
        roles.setdefault((name, int(i) // 10), set()).add(role)
    assert all(len(some) == 1 for some in roles.values())
    assert {"L", "U", "T"} <= set().union(*roles.values())


def test_a_known_class_of_one_group_is_labelled_as_a_whole() -> None:
    made = planned(listed({"a": 40, "b": 40}, group_size=40), known_classes=("a",))
    assert set(made.roles[i] for i in range(len(made.keys)) if made.keys[i].startswith("a/")) == {"L"}


def test_frequency_groups_are_thirds_of_the_classes() -> None:
    groups = terciles([f"c{i}" for i in range(10)])
    assert Counter(groups.values()) == {"many": 3, "medium": 4, "few": 3}
    made = planned(listed(LONG_TAIL))
    smallest_many = min(one.train_images for one in made.classes if one.frequency == "many")
    assert smallest_many >= max(one.train_images for one in made.classes if one.frequency == "medium")


def test_an_exponential_tail_has_its_ratio_and_a_constant_factor() -> None:
    source = listed({f"c{i}": 1000 for i in range(5)})
    train = {f"c{i}": list(range(1000 * i, 1000 * i + 1000)) for i in range(5)}
    counts = sorted((len(v) for v in thin_out(train, source.listing.groups, 16, 0).values()), reverse=True)
    assert counts == [1000, 500, 250, 125, 62]


def test_classes_with_one_image_are_left_out_and_said(capsys: pytest.CaptureFixture) -> None:
    made = planned(listed({**LONG_TAIL, "single": 1}))
    assert "single" not in {one.name for one in made.classes}
    assert "1 classes with fewer than 2 training images are left out: single" in capsys.readouterr().err


def test_classes_can_be_excluded_and_drawn() -> None:
    made = planned(listed(LONG_TAIL), exclude=("c0", "c9"), class_count=6)
    names = {one.name for one in made.classes}
    assert len(names) == 6 and names < set(LONG_TAIL) - {"c0", "c9"} and made.known == 3
    assert {key.split("/")[0] for key in made.keys} == names
    assert made.choices["class_count"] == 6 and made.choices["exclude"] == ["c0", "c9"]
    drawn = {
        frozenset(c.name for c in planned(listed(LONG_TAIL), class_count=6, seed=s).classes) for s in range(4)
    }
    assert len(drawn) > 1


def test_classes_that_are_not_there_can_not_be_excluded_or_drawn() -> None:
    with pytest.raises(UserError, match="--exclude nothing: images has no such class"):
        planned(listed(LONG_TAIL), exclude=("nothing",))
    with pytest.raises(UserError, match="--class-count 11: images has only 10 classes"):
        planned(listed(LONG_TAIL), class_count=11)


def test_images_without_any_label_are_refused() -> None:
    with pytest.raises(UserError, match="no training image has a label"):
        planned(listed({"": 12}))


def test_one_class_is_not_enough() -> None:
    with pytest.raises(UserError, match="one must be known and one novel"):
        planned(listed({"a": 12}))


def test_split_files_survive_the_disk_and_find_their_images(images: Path, tmp_path: Path) -> None:
    made = split(settings(images, tmp_path / "data", name="colours"))
    read = read_split(tmp_path / "data")
    assert read.hash == made.hash and read.name == "colours"
    assert read.labels.tolist() == made.labels.tolist()
    assert read_source(tmp_path / "data").images == images
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"split.json", "source.json"}


def test_a_changed_split_file_is_refused(images: Path, tmp_path: Path) -> None:
    split(settings(images, tmp_path / "data"))
    file = tmp_path / "data" / "split.json"
    document = json.loads(file.read_text())
    document["images"]["role"] = document["images"]["role"].replace("U", "L", 1)
    file.write_text(json.dumps(document))
    with pytest.raises(UserError, match=r"split\.json: was changed since it was made"):
        read_split(tmp_path / "data")


@pytest.mark.parametrize("text", ["[]", '{"schema": 7}', '{"schema": 1, "name": "x", "hash": ""}', "{"])
def test_a_damaged_split_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(UserError, match=r"split\.json"):
        read_split(tmp_path)


def test_a_missing_split_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="make it with `gcd-longtail split`"):
        read_split(tmp_path / "nothing")


def test_a_shared_split_is_the_same_on_renamed_images(images: Path, tmp_path: Path) -> None:
    made = split(settings(images, tmp_path / "mine"))
    copy = tmp_path / "copy"
    images.rename(copy)
    for folder in list(copy.iterdir()):
        folder.rename(copy / f"renamed-{folder.name}")
    theirs = split(settings(copy, tmp_path / "theirs", reuse=tmp_path / "mine" / "split.json", seed=5))
    assert theirs.hash == made.hash == read_split(tmp_path / "theirs").hash
    assert all(key.startswith("renamed-") for key in theirs.keys)
    labels = {key: made.classes[n].name for key, n in zip(made.keys, made.labels, strict=True)}
    for key, number in zip(theirs.keys, theirs.labels, strict=True):
        assert labels[key.removeprefix("renamed-")] == theirs.classes[number].name


def test_a_shared_split_needs_the_very_same_images(images: Path, tmp_path: Path) -> None:
    split(settings(images, tmp_path / "mine"))
    Image.new("RGB", (8, 8)).save(images / "a" / "000.png")
    with pytest.raises(
        UserError, match=r"lacks 1 of the images of .*mine, or they differ \(first: a/000\.png\)"
    ):
        split(settings(images, tmp_path / "theirs", reuse=tmp_path / "mine"))
    assert not (tmp_path / "theirs").exists()


def test_unreadable_images_are_recorded_and_left_out(images: Path, tmp_path: Path) -> None:
    (images / "a" / "000.png").write_text("no image")
    (images / "b" / "000.png").write_bytes(b"")
    made = split(settings(images, tmp_path / "data"))
    reasons = {one.file: one.reason for one in failures.read(tmp_path / "data" / failures.FILE)}
    assert reasons == {
        "a/000.png": "not an image in a known format",
        "b/000.png": "the file is empty (0 bytes)",
    }
    assert not set(reasons) & set(made.keys)


def test_an_existing_folder_is_not_overwritten(images: Path, tmp_path: Path) -> None:
    split(settings(images, tmp_path / "data"))
    with pytest.raises(UserError, match="exists already"):
        split(settings(images, tmp_path / "data"))


@pytest.mark.parametrize(
    "changes",
    [
        {"known_fraction": 1.0},
        {"labelled_fraction": 0.0},
        {"test_fraction": -0.1},
        {"imbalance_ratio": 0.5},
        {"min_images": 1},
        {"class_count": 1},
    ],
)
def test_settings_that_make_no_sense_name_the_option(changes: dict) -> None:
    with pytest.raises(UserError, match=f"--{next(iter(changes)).replace('_', '-')}"):
        settings(Path("x"), Path("y"), **changes)


def test_a_source_with_test_images_keeps_them(tmp_path: Path, make_images) -> None:
    folder = tmp_path / "images"
    make_images(folder / "train", {"a": 9, "b": 7, "c": 5})
    make_images(folder / "test", {"a": 3, "b": 3, "c": 3})
    made = split(settings(folder, tmp_path / "data"))
    tests = [key for key, role in zip(made.keys, made.roles, strict=True) if role == "T"]
    assert len(tests) == 9 and all(key.startswith("test/") for key in tests)


# ----------------------------------------------------------------------------------------------------- copies


def with_copies(source: Source, copies: dict[int, int]) -> dict[int, str]:
    """Return hashes in which each image of ``copies`` has the bytes of another one."""
    return {i: f"{copies.get(i, i):032x}" for i in range(len(source.listing))}


def test_images_with_the_same_bytes_never_have_two_roles() -> None:
    source = listed({"a": 60, "b": 40, "c": 30, "d": 20})
    hashes = with_copies(source, {i + 1: i for i in range(0, 150, 2)})  # each picture is there twice
    for seed in range(3):
        made = plan(source, hashes, settings(Path("images"), Path("out"), seed=seed, imbalance_ratio=4))
        roles: dict[str, set[str]] = {}
        for digest, role in zip(made.hashes, made.roles, strict=True):
            roles.setdefault(digest, set()).add(role)
        assert all(len(some) == 1 for some in roles.values())
        assert Counter(made.hashes).most_common()[-1][1] == 2  # both copies stay
        assert {"L", "U", "T"} == set().union(*roles.values())


def test_a_copy_ties_the_groups_that_it_stands_in() -> None:
    source = listed({"a": 60, "b": 60}, group_size=10)
    made = plan(source, with_copies(source, {10: 9, 20: 19}), settings(Path("images"), Path("out")))
    roles = dict(zip(made.keys, made.roles, strict=True))
    assert len({roles[f"a/{i}"] for i in range(30)}) == 1
    assert len({role for key, role in roles.items() if key.startswith("a/")}) > 1


def test_a_source_without_copies_is_split_as_ever() -> None:
    """The hashes of splits that people share must not change."""
    assert planned(listed(LONG_TAIL)).hash == "c9362efc9e3bb54c7c1d1eb0fc00b5f0"
    assert planned(listed(LONG_TAIL, group_size=4)).hash == "d1514461b2369558081f1ac574b54348"


def test_copies_in_two_classes_are_left_out_and_named(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (images / "b" / "copy.png").write_bytes((images / "a" / "000.png").read_bytes())
    (images / "a" / "again.png").write_bytes((images / "a" / "001.png").read_bytes())
    made = split(settings(images, tmp_path / "data"))
    reasons = {one.file: one.reason for one in failures.read(tmp_path / "data" / failures.FILE)}
    assert reasons == {
        "a/000.png": "has the same bytes as b/copy.png, which is of another class",
        "b/copy.png": "has the same bytes as a/000.png, which is of another class",
    }
    roles = dict(zip(made.keys, made.roles, strict=True))
    assert roles["a/again.png"] == roles["a/001.png"] and not set(reasons) & set(roles)
    said = capsys.readouterr().err
    assert "1 images have the same bytes as another one and share its role" in said
    assert "2 images with the same bytes in two classes, or in training and test, are left out" in said


def test_a_training_image_that_is_a_test_image_too_is_left_out(tmp_path: Path, make_images) -> None:
    folder = tmp_path / "images"
    make_images(folder / "train", {"a": 9, "b": 7, "c": 5})
    make_images(folder / "test", {"a": 3, "b": 3, "c": 3}, 12)
    (folder / "train" / "a" / "leak.png").write_bytes((folder / "test" / "a" / "001.png").read_bytes())
    made = split(settings(folder, tmp_path / "data"))
    (lost,) = failures.read(tmp_path / "data" / failures.FILE)
    assert (lost.file, lost.reason) == (
        "train/a/leak.png",
        "has the same bytes as the test image test/a/001.png",
    )
    assert made.roles.count("T") == 9 and "train/a/leak.png" not in made.keys


def test_a_shared_split_keeps_its_copies(images: Path, tmp_path: Path) -> None:
    (images / "a" / "again.png").write_bytes((images / "a" / "001.png").read_bytes())
    made = split(settings(images, tmp_path / "mine"))
    assert split(settings(images, tmp_path / "theirs", reuse=tmp_path / "mine")).hash == made.hash
