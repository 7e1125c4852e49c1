"""Splits from the index files that BaCon published, on a made-up CIFAR-100 of the same layout."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from gcd_longtail.protocol.bacon_indices import FILES, read_indices
from gcd_longtail.protocol.split_file import read_split
from gcd_longtail.settings.commands import SourceConfig, SplitSettings
from gcd_longtail.split import split
from seminar_common.errors import UserError

COUNTS = {0: 12, 1: 8, 2: 5, 3: 9, 4: 4}
"""Training images of each class; 0 to 2 are known."""


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A CIFAR-100 of few images, as torchvision unpacks it; its MD5 sums are not compared."""
    from torchvision.datasets import CIFAR100

    folder, generator = tmp_path / "cifar" / CIFAR100.base_folder, np.random.default_rng(0)
    folder.mkdir(parents=True)
    labels = generator.permutation([c for c, n in COUNTS.items() for _ in range(n)])
    for name, own in (("train", labels), ("test", np.arange(5))):
        pixels = generator.integers(0, 255, (len(own), 3072), np.uint8)
        (folder / name).write_bytes(pickle.dumps({"data": pixels, "fine_labels": own.tolist()}))
    names = {"fine_label_names": ["apple", "bear", "crab", "dog", "elk"]}
    (folder / "meta").write_bytes(pickle.dumps(names))
    monkeypatch.setattr(CIFAR100, "train_list", [["train", None]])
    monkeypatch.setattr(CIFAR100, "test_list", [["test", None]])
    monkeypatch.setattr(CIFAR100, "meta", {**CIFAR100.meta, "md5": None})
    return tmp_path / "cifar"


def labels_of(cifar: Path) -> np.ndarray:
    return np.array(pickle.loads((cifar / "cifar-100-python" / "train").read_bytes())["fine_labels"])


@pytest.fixture
def indices(cifar: Path, tmp_path: Path) -> Path:
    """Half of the images of the known classes labelled, one training image in no list."""
    labels, folder = labels_of(cifar), tmp_path / "cifar100_k3_imb3"
    known, novel = np.flatnonzero(labels < 3), np.flatnonzero(labels >= 3)
    write(folder, labelled=known[::2], known=known[1::2], novel=novel[:-1])
    return folder


def write(folder: Path, **parts: np.ndarray) -> None:
    """Write index files as BaCon's are: PyTorch files of NumPy arrays."""
    folder.mkdir(exist_ok=True)
    for name, numbers in parts.items():
        torch.save(numbers, folder / FILES[name])


def test_the_index_files_say_every_role_and_class(cifar: Path, indices: Path, tmp_path: Path) -> None:
    made = split(SplitSettings(tmp_path / "out", SourceConfig(cifar), bacon=indices, seed=3))
    labels, parts = labels_of(cifar), read_indices(indices)
    listed = np.concatenate([parts.labelled, parts.known, parts.novel])
    assert made.name == "cifar100-k3-imb3" and made.choices == {"bacon": "cifar100_k3_imb3", "seed": 3}
    assert [one.name for one in made.classes] == [
        "apple",
        "bear",
        "crab",
        "dog",
        "elk",
    ]  # known first, then by size
    assert [one.known for one in made.classes] == [True] * 3 + [False] * 2
    assert sorted(made.train_images) == sorted(np.bincount(labels[listed]))
    place = {key: number for number, key in enumerate(made.keys)}
    for role, numbers in (("L", parts.labelled), ("U", parts.known), ("U", parts.novel)):
        rows = [place[f"train-{number:05d}"] for number in numbers]
        assert {made.roles[row] for row in rows} == {role}
        assert (made.labels[rows] == labels[numbers]).all()
    assert made.roles.count("T") == 5 and len(made.roles) == sum(COUNTS.values()) - 1 + 5
    assert read_split(tmp_path / "out").hash == made.hash


def test_images_that_are_not_cifar_are_refused_before_work(
    images: Path, indices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gcd_longtail.split.open_source", lambda config: pytest.fail("opened"))
    with pytest.raises(UserError, match="--bacon: its files number the images of CIFAR .* is read as folder"):
        split(SplitSettings(tmp_path / "out", SourceConfig(images), bacon=indices))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labelled": np.array([0, 999])}, "lists image 999, but .* has only 38 training images"),
        ({"labelled": np.array([0.5])}, "not an index file of BaCon"),
        ({"labelled": np.zeros((2, 2), np.int64)}, "not a list of image numbers"),
        ({"labelled": {"a": 1}}, "not a list of image numbers"),
        ({"novel": "known"}, "is listed twice"),
        ({"known": None}, "no such file; --bacon takes a folder with l_k_uq_idxs.pt"),
    ],
)
def test_files_that_make_no_sense_are_refused(
    cifar: Path, indices: Path, tmp_path: Path, changes: dict, message: str
) -> None:
    for name, value in changes.items():
        if value is None:
            (indices / FILES[name]).unlink()
        elif isinstance(value, str):
            (indices / FILES[name]).write_bytes((indices / FILES[value]).read_bytes())
        else:
            torch.save(value, indices / FILES[name])
    with pytest.raises(UserError, match=message):
        split(SplitSettings(tmp_path / "out", SourceConfig(cifar), bacon=indices))
    assert not (tmp_path / "out").exists()


def test_files_for_another_cifar_are_noticed(cifar: Path, indices: Path, tmp_path: Path) -> None:
    parts = read_indices(indices)
    write(indices, known=np.append(parts.known, parts.novel[0]), novel=parts.novel[1:])
    with pytest.raises(UserError, match="is listed as one of a known class, but .* has it as (dog|elk)"):
        split(SplitSettings(tmp_path / "out", SourceConfig(cifar), bacon=indices))


class Malicious:
    """Runs something when it is unpickled."""

    def __reduce__(self) -> tuple:
        return (pytest.fail, ("code ran",))


def test_reading_an_index_file_runs_no_code(indices: Path) -> None:
    torch.save(Malicious(), indices / FILES["known"], pickle_protocol=2)
    with pytest.raises(UserError, match="not an index file of BaCon"):
        read_indices(indices)
    (indices / FILES["known"]).write_text("no archive")
    with pytest.raises(UserError, match="not an index file of BaCon"):
        read_indices(indices)


@pytest.mark.parametrize(
    ("option", "value"), [("known_fraction", 0.8), ("imbalance_ratio", 50), ("reuse", Path("s.json"))]
)
def test_a_choice_that_the_files_make_already_is_refused(option: str, value: object) -> None:
    message = f"--{option.replace('_', '-')} does not go with --bacon"
    with pytest.raises(UserError, match=message):
        SplitSettings(Path("out"), SourceConfig(Path("cifar")), bacon=Path("b"), **{option: value})


def test_copies_with_two_roles_are_kept_and_told(
    cifar: Path, indices: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, parts = cifar / "cifar-100-python" / "train", read_indices(indices)
    stored = pickle.loads(file.read_bytes())
    stored["data"][parts.known[0]] = stored["data"][parts.labelled[0]]
    file.write_bytes(pickle.dumps(stored))
    made = split(SplitSettings(tmp_path / "out", SourceConfig(cifar), bacon=indices))
    assert made.roles.count("L") == len(parts.labelled)
    assert "2 images have the same bytes as one with another role" in capsys.readouterr().err
