"""What is trained and measured on may be of any form; where nothing is left of it, nothing begins."""

import pytest

pytest.importorskip("torch")

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from doc_detect.convert import main
from doc_detect.evaluate import evaluate
from doc_detect.settings.job import ConvertSettings
from doc_detect.settings.training import (
    EvaluateSettings,
    ModelConfig,
    OptimizationConfig,
    StudySettings,
    TrainSettings,
    smoke,
)
from doc_detect.study import study
from doc_detect.train import train
from doc_detect.training.pages import open_held_out, open_test, open_training, read_labelled
from seminar_common.errors import UserError

LABELS = ("graphic", "drop_capital")


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory, write_toy_pages: Callable[..., Path]) -> Path:
    """Toy pages, taken for scans."""
    folder = write_toy_pages(tmp_path_factory.mktemp("toy") / "data", train=6, val=3, height=128)
    for name in ("train.json", "val.json"):
        document = json.loads((folder / name).read_text())
        document["info"] = {"name": "toy"}
        for image in document["images"]:
            image["split"] = name.removesuffix(".json")
        (folder / name).write_text(json.dumps(document))
    return folder


@pytest.fixture(scope="module")
def divided(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a YOLO set with two splits, under names of its own."""
    folder = tmp_path_factory.mktemp("yolo") / "set"
    both = json.loads((scans / "train.json").read_text())
    held_out = json.loads((scans / "val.json").read_text())
    for key in ("images", "annotations"):
        for entry in held_out[key]:
            entry["id"] += 1000
            entry |= {"image_id": entry["image_id"] + 1000} if "image_id" in entry else {}
        both[key] += held_out[key]
    (scans / "both.json").write_text(json.dumps(both))
    main(ConvertSettings(input=scans / "both.json", to="yolo", out=folder))
    shutil.copytree(scans / "images", folder / "images")
    (folder / "doc_detect.json").unlink()  # as any other program writes it
    names = (folder / "data.yaml").read_text()
    (folder / "data.yaml").write_text(
        names.replace(": graphic", ": woodcut block").replace("drop_capital", "initial")
    )
    return folder


def settings(data: Path, out: Path, **changes: object) -> TrainSettings:
    chosen = dataclasses.replace(
        smoke(),
        data=data,
        out=out,
        model=ModelConfig(size=96, head_convs=1, labels=LABELS),
        optimization=OptimizationConfig(steps=2, batch_size=2, sizes=(64,)),
        validate_every=2,
    )
    return dataclasses.replace(chosen, **changes)


def test_a_divided_set_is_trained_on_one_split_and_measured_on_the_other(
    divided: Path, tmp_path: Path
) -> None:
    given = ("woodcut block=graphic",)
    run = train(settings(divided / "data.yaml", tmp_path / "run", map=given))
    assert run.config()["pages"] == 6 and run.config()["settings"]["map"] == list(given)
    assert any("val_ap" in record for record in run.logged())
    results = evaluate(
        EvaluateSettings(data=divided, run=run.folder, out=tmp_path / "out", map=given, resamples=100)
    )
    assert {(row.dataset, row.split) for row in results.rows} == {("set", "val")}
    assert {row.metric for row in results.rows} >= {"ap", "ap50", "page_ap"}
    train(TrainSettings(resume=run.folder))  # a run knows its own names


@pytest.mark.parametrize("form", ["page-xml", "alto", "voc", "label-studio"])
def test_other_forms_give_the_pages_of_the_coco_file(form: str, scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "set" / ("a.json" if form == "label-studio" else "xml")
    main(ConvertSettings(input=scans / "train.json", to=form, out=out))
    shutil.copytree(scans / "images", out / "images" if out.is_dir() else out.parent / "images")
    found, expected = open_training(out), open_training(scans / "train.json")
    assert found.labelled == expected.labelled
    assert sorted(page.file_name.removeprefix("images/") for page in found.pages) == sorted(
        page.file_name for page in expected.pages
    )
    assert all(found.image_path(page).is_file() for page in found.pages)
    assert found.fingerprint == open_training(out).fingerprint != expected.fingerprint
    assert open_held_out(out) is None


def test_the_split_to_measure_on_is_the_test(divided: Path, tmp_path: Path) -> None:
    shutil.copytree(divided, tmp_path / "set")
    lines = (tmp_path / "set" / "val.txt").read_text().splitlines(keepends=True)
    (tmp_path / "set" / "val.txt").write_text("".join(lines[:1]))
    (tmp_path / "set" / "test.txt").write_text("".join(lines[1:]))
    text = (tmp_path / "set" / "data.yaml").read_text()
    (tmp_path / "set" / "data.yaml").write_text(text + "test: test.txt\n")
    names = ["woodcut block=graphic"]
    assert [len(opened(tmp_path / "set", names).pages) for opened in (open_training, open_test)] == [6, 2]
    held_out = open_held_out(tmp_path / "set", names)
    assert held_out is not None and len(held_out.pages) == 1


def without(scans: Path, path: Path, *, names: bool) -> Path:
    """Write the training pages without any object, or with objects of names that nobody knows."""
    document = json.loads((scans / "train.json").read_text())
    if names:
        document["categories"] = [
            {**entry, "name": "table" if entry["name"] == "table" else f"thing {entry['id']}"}
            for entry in document["categories"]
        ]
    else:
        document["annotations"] = []
    path.write_text(json.dumps(document))
    shutil.copytree(scans / "images", path.parent / "images")
    return path


@pytest.mark.parametrize("names", [False, True])
def test_a_training_on_nothing_is_refused(names: bool, scans: Path, tmp_path: Path) -> None:
    data = without(scans, tmp_path / "a.json", names=names)
    with pytest.raises(
        UserError, match="labels none of|has no object of graphic, drop_capital, so there is nothing"
    ):
        train(settings(data, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("names", [False, True])
@pytest.mark.parametrize("command", ["evaluate", "study"])
def test_measuring_on_nothing_is_refused(command: str, names: bool, scans: Path, tmp_path: Path) -> None:
    data = without(scans, tmp_path / "a.json", names=names)
    with pytest.raises(UserError, match="nothing to measure: the detector knows .*--map NAME=CLASS"):
        if command == "evaluate":
            evaluate(EvaluateSettings(data=data, out=tmp_path / "out", resamples=100))
        else:
            study(StudySettings(test=(data,), out=tmp_path / "out", resamples=100))
    assert not (tmp_path / "out" / "results.json").exists()


def test_a_study_takes_names_that_one_of_its_sets_has(scans: Path, divided: Path, tmp_path: Path) -> None:
    sets = (scans / "val.json", divided / "data.yaml")
    with pytest.raises(UserError, match="--map woodcut=...: no such name"):
        study(StudySettings(test=sets, out=tmp_path / "out", map=("woodcut=graphic",), resamples=100))


def resized(scans: Path, folder: Path, width: int, height: int) -> Path:
    """Return the validation pages with pictures of another size than their labels say."""
    (folder / "images").mkdir(parents=True)
    shutil.copy(scans / "val.json", folder / "val.json")
    for picture in sorted((scans / "images").glob("val-*")):
        Image.open(picture).resize((width, height)).save(folder / "images" / picture.name)
    return folder / "val.json"


def test_pictures_of_another_size_than_the_labels_say_count_the_pixels_of_the_labels(
    scans: Path, tmp_path: Path
) -> None:
    pages = open_test(resized(scans, tmp_path / "large", 180, 256))
    (page, *_) = pages.pages
    assert (page.width, page.height) == (90, 128)
    seen, truth = read_labelled(pages, page, 64)
    assert (seen.width, seen.height) == (truth.width, truth.height) == (90, 128) and seen.window_side == 128
    whole = seen.to_own(np.array([[0, 0, *seen.pixels.shape[1::-1]]], np.float32), seen.pixels.shape[1::-1])
    np.testing.assert_allclose(whole, [[0, 0, 90, 128]], atol=0.01)


def test_pictures_on_their_side_are_refused(scans: Path, tmp_path: Path) -> None:
    pages = open_test(resized(scans, tmp_path / "turned", 128, 90))
    with pytest.raises(
        UserError, match="is 128 x 90 pixels, but .* says 90 x 128: its boxes belong to another picture"
    ):
        read_labelled(pages, pages.pages[0], 64)
