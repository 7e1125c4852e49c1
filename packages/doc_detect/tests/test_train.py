import pytest

pytest.importorskip("torch")

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from doc_detect.classes import class_index
from doc_detect.coco import CocoPage, read_coco, write_coco
from doc_detect.detectors.from_onnx import load_onnx
from doc_detect.detectors.scoring import Scoring, read_scoring
from doc_detect.detectors.trained import load_detector, trained_as
from doc_detect.export import export
from doc_detect.settings.synth import DegradeSettings
from doc_detect.settings.training import (
    DETECTED,
    ExportSettings,
    ModelConfig,
    OptimizationConfig,
    TrainSettings,
    smoke,
)
from doc_detect.train import Trainer, recalibrated, train, update_average
from doc_detect.training.pages import (
    TrainingPages,
    open_training,
    read_labelled,
    repeat_factors,
    training_size,
)
from seminar_common.checkpoints import load_tensors
from seminar_common.device import DeviceConfig
from seminar_common.errors import UserError
from seminar_common.runs import Run

LABELS = ("graphic", "drop_capital")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, write_toy_pages: Callable[..., Path]) -> Path:
    return write_toy_pages(tmp_path_factory.mktemp("toy") / "data", train=8, val=3, height=128)


def settings(data: Path, out: Path, steps: int = 4, **changes) -> TrainSettings:
    model = ModelConfig(size=96, head_convs=1, labels=LABELS)
    optimization = OptimizationConfig(steps=steps, batch_size=2, sizes=(64, 96))
    # One thread: how many cores others leave free may change between two runs whose bits are compared.
    every = {"log_every": 2, "checkpoint_every": 2, "validate_every": 0, "device": DeviceConfig(threads=1)}
    return dataclasses.replace(
        smoke(), data=data, out=out, model=model, optimization=optimization, **every, **changes
    )


@pytest.fixture(scope="module")
def unbroken(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(settings(data, tmp_path_factory.mktemp("runs") / "unbroken"))


def test_a_run_leaves_exactly_these_files(unbroken: Run) -> None:
    files = {str(path.relative_to(unbroken.folder)) for path in unbroken.folder.rglob("*") if path.is_file()}
    written = {"config.json", "environment.json", "metrics.jsonl", "scoring.json"}
    assert files == written | {"checkpoints/model.safetensors"}
    records = unbroken.logged()
    assert [record["step"] for record in records] == [2, 4]
    assert {"loss", "loss_box", "loss_classification", "loss_quality"} < set(records[0])
    assert load_detector(unbroken).labels == LABELS


def test_a_killed_run_ends_with_the_bits_of_an_unbroken_one(
    data: Path, unbroken: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings(data, tmp_path / "killed")
    step = Trainer._train_step

    def killed(self, images, targets):
        if self.shell.step == 3:
            raise KeyboardInterrupt
        return step(self, images, targets)

    monkeypatch.setattr(Trainer, "_train_step", killed)
    with pytest.raises(KeyboardInterrupt):
        train(chosen)
    monkeypatch.undo()
    with pytest.raises(UserError, match="has not ended"):
        load_detector(Run(tmp_path / "killed"))
    run = train(dataclasses.replace(smoke(), resume=tmp_path / "killed"))
    weights = [load_tensors(each.folder / "checkpoints" / "model.safetensors")[0] for each in (run, unbroken)]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())
    losses = [[r["loss"] for r in each.logged()] for each in (run, unbroken)]
    assert losses[0] == losses[1]


def test_a_second_stage_starts_from_the_weights_of_the_first(
    data: Path, unbroken: Run, tmp_path: Path
) -> None:
    chosen = settings(data, tmp_path / "second", steps=1, init=unbroken.folder)
    slow = dataclasses.replace(chosen.optimization, learning_rate=1e-9, backbone_learning_rate=1e-9)
    run = train(dataclasses.replace(chosen, optimization=slow))
    first, second = load_detector(unbroken), load_detector(run)
    for ours, theirs in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)
    other = dataclasses.replace(chosen, model=dataclasses.replace(chosen.model, labels=("graphic",)))
    with pytest.raises(UserError, match="--init .* detects other classes"):
        train(dataclasses.replace(other, out=tmp_path / "third"))


def test_a_second_stage_starts_from_an_exported_file(data: Path, unbroken: Run, tmp_path: Path) -> None:
    file = tmp_path / "first.onnx"
    scoring = Scoring({"graphic": (1.1, 0.1)}, 0.02, {"graphic": 0.004, "drop_capital": 0.003})
    load_detector(unbroken).export(
        file, {"architecture": "fcos", "backbone": "tf_efficientnet_lite0", **scoring.facts()}
    )
    chosen = settings(data, tmp_path / "second", steps=1, init=file)
    model = dataclasses.replace(chosen.model, head_convs=4, size=128)  # the layers are those of the file
    slow = dataclasses.replace(chosen.optimization, learning_rate=1e-9, backbone_learning_rate=1e-9)
    run = train(dataclasses.replace(chosen, model=model, optimization=slow))
    stored = run.config()["settings"]["model"]
    assert stored["folded"] and stored["head_convs"] == 1 and stored["size"] == 128
    detector, loaded = load_detector(run), load_onnx(file)
    for ours, theirs in zip(detector.parameters(), loaded.detector.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)
    assert read_scoring(run.folder).margin == scoring.margin
    export(ExportSettings(run=run.folder, out=tmp_path / "second.onnx", data=data, pages=2))
    third = train(settings(data, tmp_path / "third", steps=1, init=run.folder))
    assert trained_as(third).model.folded


def test_a_second_stage_keeps_a_class_and_what_its_scores_mean(
    data: Path, unbroken: Run, tmp_path: Path
) -> None:
    file = tmp_path / "first.onnx"
    scoring = Scoring({"graphic": (1.1, 0.1), "drop_capital": (1.2, -0.1)}, 0.02, {"graphic": 0.004})
    load_detector(unbroken).export(
        file, {"architecture": "fcos", "backbone": "tf_efficientnet_lite0", **scoring.facts()}
    )
    chosen = settings(data, tmp_path / "second", steps=1, init=file)
    kept = dataclasses.replace(chosen.model, kept=("drop_capital",), kept_levels=2)
    run = train(dataclasses.replace(chosen, model=kept))
    assert trained_as(run).model.kept == ("drop_capital",)
    assert read_scoring(run.folder).calibration["drop_capital"] == (1.2, -0.1)
    with torch.inference_mode():
        page = torch.rand(1, 3, 96, 64)
        scores = [d.eval().dense(page)[1] for d in (load_onnx(file).detector, load_detector(run))]
    kept_rows = scores[1][:, scores[0].shape[1] :, 1]
    torch.testing.assert_close(kept_rows, scores[0][:, : kept_rows.shape[1], 1], atol=1e-6, rtol=0)
    third = settings(data, tmp_path / "third", steps=1, init=run.folder)
    assert trained_as(train(third)).model.kept_levels == 2
    other = dataclasses.replace(third.model, kept=("graphic",))
    with pytest.raises(UserError, match="keeps drop_capital at 2 levels already; leave --kept"):
        train(dataclasses.replace(third, model=other, out=tmp_path / "fourth"))
    assert not (tmp_path / "fourth").exists()


def test_what_kept_scores_mean_is_not_fitted_anew() -> None:
    earlier = Scoring({"a": (1.0, 0.0), "b": (2.0, 0.1)}, 0.0, {"a": 0.01})
    fitted = Scoring({"a": (3.0, 0.5), "c": (1.5, 0.0)}, 0.01)
    expected = Scoring({"a": (3.0, 0.5), "b": (2.0, 0.1), "c": (1.5, 0.0)}, 0.01, {"a": 0.01})
    assert recalibrated(earlier, fitted, ("b",)) == expected
    assert recalibrated(Scoring(), fitted, ("a",)).calibration == {"c": (1.5, 0.0)}


def test_a_killed_second_stage_ends_with_the_bits_of_an_unbroken_one(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings(data, tmp_path / "whole", init=Path("default"))
    chosen = dataclasses.replace(chosen, model=dataclasses.replace(chosen.model, labels=DETECTED))
    whole = train(chosen)
    monkeypatch.setattr(Trainer, "_log_losses", lambda self: 1 / 0 if self.shell.step == 4 else None)
    with pytest.raises(ZeroDivisionError):
        train(dataclasses.replace(chosen, out=tmp_path / "killed"))
    monkeypatch.undo()
    run = train(dataclasses.replace(smoke(), resume=tmp_path / "killed"))
    ours, theirs = (
        load_tensors(each.folder / "checkpoints" / "model.safetensors")[0] for each in (run, whole)
    )
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_what_can_not_be_started_from_is_one_line(data: Path, tmp_path: Path, tiny_model: Path) -> None:
    with pytest.raises(UserError, match="detects other classes; give --labels graphic drop_capital table"):
        train(settings(data, tmp_path / "run", init=Path("default")))
    with pytest.raises(UserError, match="tiny.onnx: not a detector that can be trained further"):
        train(settings(data, tmp_path / "run", init=tiny_model))
    with pytest.raises(UserError, match="not a run folder"):
        train(settings(data, tmp_path / "run", init=tmp_path))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "changes,message",
    [
        ({"data": None}, "--data is missing"),
        ({"data": Path("nowhere")}, "nowhere: no such file"),
    ],
)
def test_unusable_settings_are_refused(data: Path, tmp_path: Path, changes: dict, message: str) -> None:
    chosen = dataclasses.replace(settings(data, tmp_path / "run"), **changes)
    with pytest.raises(UserError, match=message):
        train(chosen)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_something_is_refused(data: Path, unbroken: Run) -> None:
    with pytest.raises(UserError, match="exists already"):
        train(settings(data, unbroken.folder))


def test_a_run_is_not_resumed_on_other_pages(data: Path, tmp_path: Path, unbroken: Run) -> None:
    import shutil

    shutil.copytree(unbroken.folder, tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["data_fingerprint"] = "0" * 32
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="computed from another data fingerprint .*start a new run"):
        train(dataclasses.replace(smoke(), resume=tmp_path / "run"))


def test_a_validation_set_without_pages_is_refused_before_the_training(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "data")
    write_coco(tmp_path / "data" / "val.json", [], {"name": "synthetic", "ink": True})
    chosen = settings(tmp_path / "data", tmp_path / "run")
    with pytest.raises(UserError, match="val.json: lists no page; make more pages"):
        train(dataclasses.replace(chosen, validate_every=500))
    assert not (tmp_path / "run").exists()


def test_a_set_that_labels_none_of_the_classes_is_refused(tmp_path: Path) -> None:
    write_coco(tmp_path / "a.json", [CocoPage("a.png", 9, 9, np.zeros((0, 4)), np.zeros(0, np.int64))])
    document = json.loads((tmp_path / "a.json").read_text())
    document["categories"] = [{"id": 1, "name": "Footnote"}]
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match="labels none of graphic, drop_capital"):
        train(settings(tmp_path / "a.json", tmp_path / "run"))


@pytest.mark.slow
def test_two_processes_train_together(data: Path, tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from doc_detect.settings.training import ModelConfig, OptimizationConfig, TrainSettings
from doc_detect.train import train

model = ModelConfig(size=96, head_convs=1, labels=("graphic", "drop_capital"))
optimization = OptimizationConfig(steps=2, batch_size=2, sizes=(64,))
train(TrainSettings(
    data=Path(sys.argv[1]), out=Path(sys.argv[2]), log_every=2, validate_every=0, model=model, optimization=optimization
))
"""
    script = tmp_path / "go.py"
    script.write_text(program)
    arguments = [str(data), str(tmp_path / "run")]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(script), *arguments], capture_output=True, text=True, env=environment, timeout=280
    )
    assert done.returncode == 0, done.stderr[-2000:]
    run = Run(tmp_path / "run")
    assert [record["step"] for record in run.logged()] == [2]
    assert load_detector(run).labels == LABELS


def test_samples_depend_on_their_number_alone(data: Path) -> None:
    config = OptimizationConfig(steps=4, batch_size=2, sizes=(64, 96))
    one, two = (TrainingPages(open_training(data), LABELS, config, DegradeSettings(), 5) for _ in range(2))
    assert len(one) == 8
    two[0], two[1]
    for number in (3, 6):
        assert torch.equal(one[number].image, two[number].image)
        assert torch.equal(one[number].target.boxes, two[number].target.boxes)
    other = TrainingPages(open_training(data), LABELS, config, DegradeSettings(), 6)
    assert not torch.equal(one[3].image, other[3].image)


def test_sizes_grow_and_are_those_of_the_whole_batch() -> None:
    config = OptimizationConfig(steps=30, batch_size=2, sizes=(100, 200, 300), size_jitter=0.1)
    sizes = [training_size(config, step, 0) for step in range(30)]
    for phase, expected in enumerate(config.sizes):
        part = sizes[10 * phase : 10 * phase + 10]
        assert all(0.9 * expected - 1 <= size <= 1.1 * expected for size in part) and len(set(part)) > 1


def test_boxes_lie_on_their_objects_after_degradation(data: Path) -> None:
    calm = DegradeSettings(binarized=0, bleed_through=0, stains=0, neighbour=0, strength=0)
    config = OptimizationConfig(steps=10, batch_size=1, sizes=(128,))
    pages = TrainingPages(open_training(data), LABELS, config, calm, 0)
    for number in range(10):
        sample = pages[number]
        for box, label in zip(sample.target.boxes.round().int().tolist(), sample.target.labels, strict=True):
            if label == 1:  # a black disc in a white square
                inner = sample.image[:, box[1] : box[3], box[0] : box[2]].mean()
                outer = sample.image[
                    :, max(0, box[1] - 3) : box[3] + 3, max(0, box[0] - 3) : box[2] + 3
                ].mean()
                assert inner < outer


def test_a_further_stage_can_keep_a_share_of_what_it_started_with(
    data: Path, unbroken: Run, tmp_path: Path
) -> None:
    chosen = settings(data, tmp_path / "all", steps=2, init=unbroken.folder)
    every = load_detector(train(chosen)).state_dict()
    part = dataclasses.replace(chosen, out=tmp_path / "part", init_share=0.25)
    first = load_detector(unbroken).state_dict()
    for name, value in load_detector(train(part)).state_dict().items():
        if value.dtype.is_floating_point:
            torch.testing.assert_close(value, every[name].lerp(first[name], 0.25))
    with pytest.raises(UserError, match="goes with --init"):
        dataclasses.replace(chosen, init=None, init_share=0.5)


def test_rare_classes_are_shown_more_often() -> None:
    def page(*labels: str) -> CocoPage:
        numbers = np.array([class_index(label) for label in labels], np.int64)
        return CocoPage("a", 9, 9, np.zeros((len(labels), 4)), numbers)

    pages = [page("graphic")] * 64 + [page("graphic", "table")] * 4 + [page()] * 32
    factors = repeat_factors(pages, ("graphic", "table"), threshold=0.36)
    assert factors[:64].tolist() == [1] * 64 and factors[68:].tolist() == [1] * 32
    assert factors[64:68] == pytest.approx(np.sqrt(0.36 / 0.04))


def test_unlabelled_classes_and_ignored_regions_reach_the_target(tmp_path: Path, data: Path) -> None:
    document = json.loads((data / "train.json").read_text())
    document["categories"] = [c for c in document["categories"] if c["name"] in (*LABELS, "ignore")]
    ignore = next(c["id"] for c in document["categories"] if c["name"] == "ignore")
    for annotation in document["annotations"]:
        if annotation["category_id"] == class_index("drop_capital") + 1:
            annotation["category_id"] = ignore
    document["info"]["ink"] = False
    (tmp_path / "train.json").write_text(json.dumps(document))
    (tmp_path / "images").symlink_to(data / "images")
    config = OptimizationConfig(steps=1, batch_size=1, sizes=(64,), size_jitter=0)
    labels = (*LABELS, "caption")
    sample = TrainingPages(read_coco(tmp_path / "train.json"), labels, config, DegradeSettings(), 0)[0]
    assert sample.target.unlabelled == (2,) and len(sample.target.ignore) == 1
    assert 1 not in sample.target.labels and 60 <= max(sample.image.shape) <= 64


def test_no_training_page_is_enlarged(data: Path) -> None:
    pages = read_coco(data / "train.json")
    largest = max(max(page.width, page.height) for page in pages.pages)
    for facts in ({"ink": False}, {"ink": True}):
        config = OptimizationConfig(steps=8, batch_size=1, sizes=(4 * largest,), size_jitter=0)
        chosen = dataclasses.replace(pages, facts=facts)
        samples = TrainingPages(chosen, LABELS, config, DegradeSettings(), 0)
        assert max(max(samples[i].image.shape) for i in range(8)) <= largest


def test_trimmed_samples_keep_their_boxes_on_the_ink(tmp_path: Path) -> None:
    """A speckled block on a wide white film, whose box is the truth: after the cut it must still fit."""
    picture = np.full((400, 300, 3), 255, np.uint8)
    noise = np.random.default_rng(0).random((25, 25, 1)) < 0.5
    noise[[0, -1]] = noise[:, [0, -1]] = True
    picture[150:250, 100:200] = np.where(noise, 0, 255).repeat(4, 0).repeat(4, 1)
    cv2.imwrite(str(tmp_path / "page.png"), picture)
    page = {"id": 1, "file_name": "page.png", "width": 300, "height": 400}
    thing = {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "bbox": [100, 150, 100, 100],
        "area": 10_000,
        "iscrowd": 0,
    }
    names = [{"id": 1, "name": "graphic"}]
    text = json.dumps({"images": [page], "annotations": [thing], "categories": names})
    (tmp_path / "train.json").write_text(text)
    config = OptimizationConfig(steps=1, batch_size=1, sizes=(200,), size_jitter=0)
    pages = read_coco(tmp_path / "train.json")
    whole, cut = (
        TrainingPages(pages, LABELS, config, DegradeSettings(), 0, trim)[0] for trim in (False, True)
    )
    (small,), (large,) = whole.target.boxes.numpy(), cut.target.boxes.numpy()
    assert large[2] - large[0] > 1.7 * (small[2] - small[0]), "the cut makes it larger"
    dark = np.argwhere(cut.image.numpy()[0] < 0.8)
    np.testing.assert_allclose(large, [*dark.min(0)[::-1], *(dark.max(0)[::-1] + 1)], atol=3)


def test_validation_ink_is_degraded_always_alike(data: Path) -> None:
    pages = read_coco(data / "val.json")
    (first, truth), (second, _) = (read_labelled(pages, pages.pages[0], 96) for _ in range(2))
    np.testing.assert_array_equal(first.pixels, second.pixels)
    assert 95 <= max(first.pixels.shape) <= 96  # a page that was cut close may lose a pixel to rounding
    assert (truth.width, truth.height) == first.pixels.shape[1::-1] == (first.width, first.height)
    assert (truth.boxes <= [truth.width, truth.height] * 2).all()


def test_the_average_follows_the_weights_at_its_decay() -> None:
    average, model = torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2)
    torch.nn.init.constant_(model.weight, 3.0)
    model.num_batches_tracked += 7
    update_average(average, model, step=10_000, decay=0.9)
    torch.testing.assert_close(average.weight.data, torch.full((2,), 1.2))
    assert average.num_batches_tracked == 7
    update_average(average, model, step=0, decay=0.9)  # at first nearly all of it is new
    torch.testing.assert_close(average.weight.data, torch.full((2,), 0.1 * 1.2 + 0.9 * 3))
