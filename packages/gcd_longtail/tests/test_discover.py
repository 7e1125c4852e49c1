import csv
import dataclasses
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from gcd_longtail import discover as discovery
from gcd_longtail.backbones.extract import Extractor
from gcd_longtail.checks import checks
from gcd_longtail.discover import discover
from gcd_longtail.discovery.number_of_classes import KEstimate
from gcd_longtail.discovery.predictors import nearest_centroid
from gcd_longtail.discovery.problem import Discovered, Problem
from gcd_longtail.discovery.run import load_found, save
from gcd_longtail.evaluate import evaluate
from gcd_longtail.figures.gallery import centrality
from gcd_longtail.predict import predict
from gcd_longtail.reviewing.decisions import run_identity
from gcd_longtail.settings.commands import DiscoverSettings, EvaluateSettings, FeatureConfig, PredictSettings
from seminar_common import failures, files
from seminar_common.errors import UserError


def label(images: Path, rows: list[str]) -> Path:
    """Write the labels of classes a, c and e's first images, and more rows."""
    first = [f"{name}/{i:03d}.png,{name}" for name in "ace" for i in range(3)]
    file = images.parent / "labels.csv"
    file.write_text("\n".join(["path,label", *first, *rows]) + "\n")
    return file


def settings(images: Path, labels: Path, **changes) -> DiscoverSettings:
    given = {"method": "ss-kmeans", "k": 6, "features": FeatureConfig("pixels", 8), **changes}
    return DiscoverSettings(images, labels, images.parent / "found", **given)


def read(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, colours: dict[str, int], make_images) -> Path:
    """A discovery in the coloured images."""
    images = tmp_path_factory.mktemp("discovery") / "images"
    make_images(images, colours)
    (images / "broken.png").write_text("no image")
    discover(settings(images, label(images, ["gone/000.png,a", f"{images}/a/004.png,a"])))
    return images.parent / "found"


def test_every_readable_image_has_a_class(found: Path) -> None:
    rows = read(found / "assignments.csv")
    assert len({row["image"] for row in rows}) == len(rows) == 66
    labelled = [row for row in rows if row["labelled"] == "yes"]
    assert len(labelled) == 10  # nine relative paths and an absolute one
    assert all(row["name"] == row["image"][0] for row in labelled)
    assert {row["name"] for row in rows} == {"a", "c", "e", "novel-1", "novel-2", "novel-3"}


def test_images_of_a_class_stand_together_and_the_central_ones_first(found: Path) -> None:
    rows = read(found / "assignments.csv")
    order = [(int(row["class"]), -float(row["centrality"])) for row in rows]
    assert order == sorted(order)


def test_colours_that_nobody_labelled_are_found(found: Path) -> None:
    rows = [row for row in read(found / "assignments.csv") if row["image"][0] in "bdf"]
    names = {letter: {row["name"] for row in rows if row["image"][0] == letter} for letter in "bdf"}
    assert all(len(some) == 1 and "novel" in min(some) for some in names.values())
    assert len(set().union(*names.values())) == 3


def test_what_was_left_out_is_recorded(found: Path) -> None:
    reasons = {one.file: one.reason for one in failures.read(found / failures.FILE)}
    assert reasons == {
        "broken.png": "not an image in a known format",
        "gone/000.png": "has a label, but is not in the folder",
    }


def test_the_gallery_opens_offline_and_knows_every_image(found: Path) -> None:
    page = (found / "gallery.html").read_text()
    assert "66 images, 10 of them labelled" in page
    assert "6 classes were asked for, 3 of them labelled." in page
    assert "Features are the pixels themselves" in page
    assert (
        not re.findall(r'(?:src|href)="(?!data:)', page) and "http://" not in page and "https://" not in page
    )
    assert page.count('<script type="text/plain" id="t') == 66
    facts = json.loads((found / "gallery.json").read_text())
    assert facts["names"] == ["a", "c", "e", "novel-1", "novel-2", "novel-3"] and facts["known"] == 3
    rows = read(found / "assignments.csv")
    assert facts["keys"] == [row["image"] for row in rows]
    assert facts["sizes"] == [sum(row["name"] == name for row in rows) for name in facts["names"]]
    assert facts["labelled"] == [i for i, row in enumerate(rows) if row["labelled"] == "yes"]
    assert facts["run"] == run_identity(json.loads((found / "config.json").read_text()))


def test_a_discovery_says_what_it_was_made_from(found: Path) -> None:
    config = json.loads((found / "config.json").read_text())
    assert (config["command"], config["model"], config["dataset"]) == ("discover", "ss-kmeans", "images")
    assert config["identity"].keys() >= {"images", "labels", "backbone", "weights", "image_size"}
    assert config["features"]["fit"] == "crop"  # what the shapes of the pictures decided
    with pytest.raises(
        UserError, match="a run of `gcd-longtail train` is needed, but `gcd-longtail discover` made this one"
    ):
        evaluate(EvaluateSettings(found))


def test_an_output_that_exists_is_refused_without_advice_to_resume(found: Path) -> None:
    images = found.parent / "images"
    with pytest.raises(UserError, match="exists already") as caught:
        discover(settings(images, images.parent / "labels.csv"))
    assert "--resume" not in str(caught.value)


def test_a_discovery_sorts_further_images(found: Path) -> None:
    predict(PredictSettings(found, found.parent / "images" / "b", found.parent / "more"))
    rows = read(found.parent / "more" / "predictions.csv")
    assert len(rows) == 16 and {row["known"] for row in rows} == {"no"}


def test_images_of_a_class_that_nobody_saw_are_told(
    found: Path, make_images, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    make_images(tmp_path / "more", {name: 5 for name in "abcdefghi"})  # g, h and i have colours of their own
    predict(PredictSettings(found, tmp_path / "more", tmp_path / "sorted", none_above=0.98))
    rows = read(tmp_path / "sorted" / "predictions.csv")
    strange = [row["image"] for row in rows if row["none_of_these"] == "yes"]
    assert sum(name[0] in "ghi" for name in strange) == 15 and len(strange) <= 17
    assert all(0 <= float(row["unlike"]) <= 1 for row in rows)
    assert (
        f"{len(strange)} of them may belong to none of these classes: they lie farther from all than 98% of the run's "
        "own images (column none_of_these)" in capsys.readouterr().err
    )
    with pytest.raises(UserError, match="--none-above 1.5: is a share"):
        PredictSettings(found, tmp_path, tmp_path / "x", none_above=1.5)


def test_a_run_of_before_says_nothing_of_strangers(found: Path, tmp_path: Path) -> None:
    old = shutil.copytree(found, tmp_path / "old")
    run, stored = load_found(old)
    (run.checkpoints / "model.safetensors").unlink()
    save(run, dataclasses.replace(stored, surroundings=None))
    predict(PredictSettings(old, found.parent / "images" / "b", tmp_path / "sorted"))
    assert not {"unlike", "none_of_these"} & read(tmp_path / "sorted" / "predictions.csv")[0].keys()


def test_an_estimate_is_told_with_its_doubt(
    images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    guess = KEstimate(5, 4, 12, 2.5, {})
    monkeypatch.setattr(discovery, "estimate", lambda problem, seed: guess)
    discover(settings(images, label(images, []), k="estimated"))
    page = (images.parent / "found" / "gallery.html").read_text()
    assert "estimated at 5, of which 3 are labelled; 4 to 12 are plausible. Do not rely on it" in page
    assert "4 to 12 are plausible. Do not rely on it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("path,label\n", "no rows"),
        ("path,label\na/000.png,\n", "labels no readable image"),
        ("path,label\nx/1.png,x\n", r"first: x/1\.png has a label, but is not in the folder"),
        ("path,label\na/000.png,x\na/000.png,y\n", r"line 3: a/000\.png is labelled 'x' above and 'y' here"),
        ("picture,label\na/000.png,x\n", "has no column 'path', or image, file"),
    ],
)
def test_labels_that_can_not_be_used_name_the_file(images: Path, rows: str, message: str) -> None:
    file = images.parent / "labels.csv"
    file.write_text(rows)
    with pytest.raises(UserError, match=message) as caught:
        discover(settings(images, file))
    assert "labels.csv" in str(caught.value)
    assert not (images.parent / "found").exists()


def test_a_folder_that_is_labelled_throughout_is_refused(images: Path) -> None:
    keys = [path.relative_to(images).as_posix() for path in images.rglob("*.png")]
    file = images.parent / "labels.csv"
    file.write_text("path,label\n" + "".join(f"{key},{key[0]}\n" for key in keys))
    with pytest.raises(UserError, match="there is nothing to discover"):
        discover(settings(images, file))


@pytest.mark.parametrize(
    ("rows", "k", "message"),
    [
        (["gone/000.png,x,y"], 6, r"labels\.csv, line 11: has 3 cells"),
        (
            [],
            61,
            "--k 61: more classes than images; 57 unlabelled images and 3 known classes make at most 60",
        ),
        ([], 2, "K = 2 is fewer than the 3 known classes"),
    ],
)
def test_what_can_be_refused_is_refused_before_the_images_are_read(
    images: Path, monkeypatch: pytest.MonkeyPatch, rows: list[str], k: int, message: str
) -> None:
    monkeypatch.setattr(discovery, "read_folder", lambda *_: pytest.fail("the images were read"))
    with pytest.raises(UserError, match=message):
        discover(settings(images, label(images, rows), k=k))


def test_a_place_that_can_not_be_written_is_refused_before_the_images_are_read(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "read_folder", lambda *_: pytest.fail("the images were read"))
    (images.parent / "file").touch()
    given = settings(images, label(images, []))
    with pytest.raises(UserError, match="can't be written .Not a directory"):
        discover(dataclasses.replace(given, out=images.parent / "file" / "found"))
    with files.reserved(given.out), pytest.raises(UserError, match="found: another run is writing to it"):
        discover(given)


def test_a_cache_that_can_not_be_written_is_refused_before_the_features(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (images.parent / "file").touch()
    monkeypatch.setattr(Extractor, "extract", lambda *_: pytest.fail("features were extracted"))
    with pytest.raises(UserError, match="--cache .*can't be written"):
        discover(settings(images, label(images, []), cache=images.parent / "file" / "cache"))


def test_names_of_any_bytes_go_through_to_the_tables(images: Path) -> None:
    odd = images / os.fsdecode(b"gr\xfcn")
    (images / "b").rename(odd)
    folder = images.rename(images.with_name(os.fsdecode(b"f\xfcr")))
    labels = label(folder, ["gr\\xfcn/000.png,gr\xfcn"])
    run = discover(settings(folder, labels))
    rows = read(run.folder / "assignments.csv")
    assert sum(row["image"].startswith(r"gr\xfcn/") for row in rows) == 16
    assert {row["name"] for row in rows if row["labelled"] == "yes"} == {"a", "c", "e", "grün"}
    predict(PredictSettings(run.folder, folder, folder.parent / "more"))
    assert len(read(folder.parent / "more" / "predictions.csv")) == 66
    assert json.loads((run.folder / "config.json").read_text())["dataset"] == r"f\xfcr"


def test_images_with_the_same_bytes_have_one_answer_and_contradictions_are_named(
    images: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, of in (("b/x.png", "a/000.png"), ("b/y.png", "b/000.png"), ("b/z.png", "c/000.png")):
        (images / name).write_bytes((images / of).read_bytes())
    rows = ["b/z.png,a"]

    class Torn:
        def fit(self, problem: Problem, k: int, seed: int) -> Discovered:
            count = len(problem.unlabelled)
            return Discovered(np.arange(count) % k, nearest_centroid(np.eye(k, problem.unlabelled.shape[1])))

    monkeypatch.setattr(discovery, "make_method", lambda name: Torn())
    discover(settings(images, label(images, rows)))
    found = {row["image"]: row["name"] for row in read(images.parent / "found" / "assignments.csv")}
    assert found["b/x.png"] == found["a/000.png"] == "a"
    assert found["b/y.png"] == found["b/000.png"]
    assert (found["b/z.png"], found["c/000.png"]) == ("a", "c")
    assert (
        "1 pictures have copies with other labels (first: b/z.png is a and c/000.png is c); mend the labels"
        in capsys.readouterr().err
    )
    again = label(images, ["b/z.png,c"])
    discover(dataclasses.replace(settings(images, again), out=images.parent / "again"))
    assert "copies with other labels" not in capsys.readouterr().err


def test_a_folder_without_a_readable_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "images" / name).write_text("x")
    (tmp_path / "labels.csv").write_text("path,label\na.png,x\n")
    with pytest.raises(
        UserError, match=r"none of its 2 images can be read \(not an image in a known format: a\.png\)"
    ):
        discover(settings(tmp_path / "images", tmp_path / "labels.csv", k=2))


def test_central_images_are_near_their_class() -> None:
    features = np.array([[0.0], [1.0], [5.0], [10.0], [12.0]], np.float32)
    got = centrality(nearest_centroid(np.array([[0.0], [11.0]])), features, np.array([0, 0, 0, 1, 1]))
    assert got == pytest.approx([-2, -1, -3, -1, -1])


def test_the_doctor_finds_the_backbone_and_misses_the_data(tmp_path: Path) -> None:
    found = {check.name: check.found for check in checks(tmp_path)}
    assert found == {"efficientnet-lite0": True, "Caltech-101": False, "CIFAR-100-LT": False}
