"""A collection of scans in, a detector for it out."""

import pytest

pytest.importorskip("torch")

import dataclasses
import importlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from doc_detect import adapt as adapt_command
from doc_detect.adapt import FACTS, ONNX, adapt
from doc_detect.adaptation.changes_page import CHANGES
from doc_detect.adaptation.criterion import Judgement
from doc_detect.adaptation.pseudo_labels import PSEUDO_LABELS
from doc_detect.coco import CocoPage, read_coco
from doc_detect.detectors.onnx import OnnxDetector, default_model
from doc_detect.detectors.scoring import Scoring, read_scoring, write_scoring
from doc_detect.detectors.torch import open_torch
from doc_detect.detectors.trained import load_detector, trained_as
from doc_detect.evaluate import evaluate
from doc_detect.export import export
from doc_detect.pages import read_page
from doc_detect.pages.page import PageRef
from doc_detect.predict import predict
from doc_detect.settings.adaptation import AdaptSettings, SelfTrainingConfig, smoke
from doc_detect.settings.job import PredictSettings
from doc_detect.settings.training import (
    EvaluateSettings,
    ExportSettings,
    ModelConfig,
    OptimizationConfig,
)
from doc_detect.settings.training import smoke as smoke_training
from doc_detect.train import train
from seminar_common import failures
from seminar_common.checkpoints import load_tensors
from seminar_common.errors import UserError
from seminar_common.results import read_results
from seminar_common.runs import Run
from seminar_common.work import WorkConfig

LABELS = ("graphic", "drop_capital")
SCORING = Scoring({"graphic": (1.0, 0.0)}, 0.01, {"graphic": 0.004, "drop_capital": 0.003})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, write_toy_pages: Callable[..., Path]) -> Path:
    return write_toy_pages(tmp_path_factory.mktemp("toy") / "data", train=16, val=6, height=192)


@pytest.fixture(scope="module")
def source(toy_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(shutil.copytree(toy_source, tmp_path_factory.mktemp("runs") / "source"))
    write_scoring(SCORING, run.folder)
    return run


def settings(source: Run, data: Path, out: Path, **changes) -> AdaptSettings:
    slow = {"learning_rate": 1e-4, "backbone_learning_rate": 1e-4}  # the toy detector is easily upset
    optimization = OptimizationConfig(steps=4, batch_size=2, sizes=(96, 128), ema_decay=0.5, **slow)
    learned = SelfTrainingConfig(sure=0.2, doubt=0.1, fewest=1)
    chosen = dataclasses.replace(
        smoke(), run=source.folder, target=(data / "images",), out=out, optimization=optimization
    )
    chosen = dataclasses.replace(chosen, self_training=learned, page_timeout=0.0, work=WorkConfig(workers=1))
    return dataclasses.replace(chosen, **changes)


@pytest.fixture(scope="module")
def adapted(source: Run, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return adapt(settings(source, data, tmp_path_factory.mktemp("runs") / "adapted"))


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_tensors(run.checkpoints / "model.safetensors")[0]


def test_a_run_leaves_exactly_these_files(adapted: Run) -> None:
    files = {str(path.relative_to(adapted.folder)) for path in adapted.folder.rglob("*") if path.is_file()}
    assert files == {
        "config.json",
        "environment.json",
        "metrics.jsonl",
        "scoring.json",
        "checkpoints/model.safetensors",
        "results.json",
        "report.html",
        ONNX,
        FACTS,
        PSEUDO_LABELS,
        CHANGES,
    }
    assert read_scoring(adapted.folder) == SCORING
    assert trained_as(adapted).model.folded and trained_as(adapted).name == "adapted"


def test_what_was_learned_from_and_the_verdict_are_written_down(adapted: Run) -> None:
    facts = json.loads((adapted.folder / FACTS).read_text())
    assert facts["verdict"] in ("adapted", "no clear gain", "worse, kept the source") and facts["reason"]
    first = adapted.logged()[0]
    assert first["step"] == 0
    pages = read_coco(adapted.folder / PSEUDO_LABELS).pages
    assert len(pages) == 18  # of 22 pages a fifth is kept apart
    for label, counts in facts["learned"].items():
        assert first[f"sure_{label}"] == counts["sure"]
    total = sum(counts["sure"] + counts["doubtful"] for counts in facts["learned"].values())
    assert total == sum(len(page.boxes) for page in pages) > 0
    results = read_results(adapted.folder)
    assert any(facts["verdict"] in note for note in results.notes)
    assert 0 <= results.one(metric="agreement", model="adapted").value <= 1
    assert results.one(metric="agreement", model="adapted").n == 4


def test_how_many_sure_finds_there_are_is_logged_at_every_checkpoint(adapted: Run) -> None:
    label = next(
        key.removeprefix("held_out_") for key in adapted.logged()[0] if key.startswith("held_out_sure_")
    )
    records = [record for record in adapted.logged() if f"held_out_{label}" in record]
    assert [record["step"] for record in records] == [0, 2, 4]
    (curve,) = [
        curve
        for curve in read_results(adapted.folder).curves
        if curve.y_label == "sure finds on held-out pages" and f"sure_{curve.split}" == label
    ]
    assert curve.x == (0, 2, 4) and curve.y == tuple(record[f"held_out_{label}"] for record in records)
    assert "changes.html" in (adapted.folder / "report.html").read_text(encoding="utf-8")


def test_to_watch_changes_no_bit(
    source: Run, data: Path, adapted: Run, tmp_path: Path, without_files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("doc_detect.adaptation.watch.Watch.look", lambda *_: {})
    ours, theirs = weights(adapt(settings(source, data, tmp_path / "unwatched"))), weights(adapted)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_weights_lie_half_way_and_early_stages_stay(
    source: Run, adapted: Run, data: Path, tmp_path: Path, without_files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("doc_detect.adapt.judge", lambda *args: Judgement("adapted", "always", 1))
    whole = adapt(settings(source, data, tmp_path / "whole", kept=0.0))
    before = adapt_command.open_source(settings(source, data, tmp_path / "none")).detector.state_dict()
    ours, end = weights(adapted), weights(whole)
    moved = [name for name in end if not torch.equal(end[name], before[name])]
    assert any("head" in name for name in moved) and any("blocks.4" in name for name in moved)
    assert not any(
        part in name for name in moved for part in ("conv_stem", "network.blocks.0.", "network.blocks.1.")
    )
    for name in moved:
        torch.testing.assert_close(ours[name], (end[name] + before[name]) / 2, atol=1e-6, rtol=1e-5)


def test_a_killed_run_ends_with_the_bits_of_an_unbroken_one(
    source: Run, data: Path, adapted: Run, tmp_path: Path, without_files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is killed while it decodes, as it looks at the pages, in a step, as it judges, and as it writes."""
    chosen = settings(source, data, tmp_path / "killed")
    places = [
        ("doc_detect.adaptation.target.results_as_completed", 1),
        ("doc_detect.adaptation.pseudo_labels.write_coco", 1),
        ("doc_detect.adaptation.steps.update_average", 4),
        ("doc_detect.adapt.judge", 1),
        ("doc_detect.adapt.publish", 1),
    ]
    for place, call in places:
        with monkeypatch.context() as patch:
            patch.setattr(place, killed_at(place, call))
            with pytest.raises(KeyboardInterrupt):
                adapt(chosen)
        with pytest.raises(UserError, match="has not ended; go on with `adapt --resume"):
            load_detector(Run(tmp_path / "killed"))
        chosen = dataclasses.replace(smoke(), resume=tmp_path / "killed")
    run = adapt(chosen)
    ours, theirs = weights(run), weights(adapted)
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    facts = [json.loads((each.folder / FACTS).read_text()) for each in (run, adapted)]
    assert facts[0]["judged"] == facts[1]["judged"] and facts[0]["verdict"] != "worse, kept the source"
    assert [r["loss"] for r in run.logged() if "loss" in r] == [
        r["loss"] for r in adapted.logged() if "loss" in r
    ]
    assert adapt(chosen).folder == run.folder  # it has ended


def killed_at(place: str, call: int) -> Callable:
    """Return the function at ``place``, but such that a call of it ends the process."""
    module, _, name = place.rpartition(".")
    real, left = getattr(importlib.import_module(module), name), [call]

    def killed(*args, **kwargs):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    return killed


def test_every_command_takes_the_run_and_its_file(
    adapted: Run, data: Path, tmp_path: Path, without_reports
) -> None:
    page = read_page(PageRef(data / "images" / "val-000.png"), 128)
    torch_found, onnx_found = (
        open_torch(adapted.folder).detect(page),
        OnnxDetector(adapted.folder / ONNX).detect(page),
    )
    np.testing.assert_allclose(
        torch_found.scores[:5], onnx_found.scores[:5], atol=2e-3
    )  # weights are halves there
    card = OnnxDetector(adapted.folder / ONNX).facts
    assert card.size == 128 and card.scoring == SCORING
    for name, detector in (("run", {"run": adapted.folder}), ("file", {"model": adapted.folder / ONNX})):
        given = PredictSettings(
            (data / "images",), tmp_path / name, **detector, page_timeout=0.0, work=WorkConfig(workers=1)
        )
        assert predict(given).pages == 22
    export(ExportSettings(run=adapted.folder, out=tmp_path / "again.onnx", data=data))
    for number, detector in enumerate(({"run": adapted.folder}, {"model": adapted.folder / ONNX})):
        out = tmp_path / f"figures-{number}"
        results = evaluate(EvaluateSettings(data=data, out=out, resamples=100, **detector))
        assert {row.model for row in results.rows} == {"adapted"}
    again = adapt(settings(adapted, data, tmp_path / "again"))  # a second round
    assert trained_as(again).model.folded


def looked_at(chosen: AdaptSettings) -> tuple[Sequence[CocoPage], list[failures.Failure]]:
    """Return the pages that an adaptation learns from and what it could not read; it goes no further."""
    place = "doc_detect.adapt.Watch"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, killed_at(place, 1))
        with pytest.raises(KeyboardInterrupt):
            adapt(chosen)
    assert chosen.out is not None
    table = chosen.out / "failures.csv"
    return read_coco(chosen.out / PSEUDO_LABELS).pages, failures.read(table) if table.exists() else []


def test_pages_come_out_of_everything_that_holds_some(source: Run, data: Path, tmp_path: Path) -> None:
    scans = [Image.open(path) for path in sorted((data / "images").iterdir())[:12]]
    folder = tmp_path / "scans" / "a book"
    folder.mkdir(parents=True)
    scans[0].save(folder / "book.pdf", save_all=True, append_images=scans[1:5])
    scans[5].save(folder / "book.tif", save_all=True, append_images=scans[6:9])
    scans[9].save(folder / "single.jpg")
    (folder / "broken.jpg").write_bytes((folder / "single.jpg").read_bytes()[:200])
    pages, (failed,) = looked_at(settings(source, data, tmp_path / "run", target=(tmp_path / "scans",)))
    assert len(pages) == 8  # 5 of the PDF, 4 of the TIFF and 1, less two
    assert failed.file.endswith("broken.jpg") and failed.reason


def test_of_a_coco_file_the_images_alone_are_taken(source: Run, data: Path, tmp_path: Path) -> None:
    document = json.loads((data / "train.json").read_text())
    document["annotations"] = "nobody looks here"
    document["categories"] = []
    document["images"].append({"id": 99, "file_name": "gone.png", "width": 9, "height": 9})
    (data / "target.json").write_text(json.dumps(document))
    pages, (failed,) = looked_at(settings(source, data, tmp_path / "run", target=(data / "target.json",)))
    assert len(pages) == 13 and failed.file == "gone.png"
    (data / "target.json").unlink()


def test_a_page_that_is_named_twice_is_one_page(source: Run, data: Path, tmp_path: Path) -> None:
    target = (data / "images", data / "train.json", data / "images" / "val-000.png")
    pages, _ = looked_at(settings(source, data, tmp_path / "run", target=target))
    assert len(pages) == 18


def test_a_manifest_whose_images_are_on_disk_is_a_target(source: Run, data: Path, tmp_path: Path) -> None:
    images = sorted((data / "images").iterdir())[:6]
    canvases = [
        {
            "id": f"https://example.org/canvas/{i}",
            "type": "Canvas",
            "width": 1340,
            "height": 1920,
            "items": [
                {
                    "type": "AnnotationPage",
                    "items": [
                        {
                            "type": "Annotation",
                            "motivation": "painting",
                            "target": f"https://example.org/canvas/{i}",
                            "body": {"id": f"https://example.org/{path.name}", "type": "Image"},
                        }
                    ],
                }
            ],
        }
        for i, path in enumerate([*images, Path("gone.png")])
    ]
    context = "http://iiif.io/api/presentation/3/context.json"
    manifest = {"@context": context, "id": "https://example.org/m", "type": "Manifest", "items": canvases}
    for path in images:
        shutil.copy(path, tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    pages, failed = looked_at(settings(source, data, tmp_path / "run", target=(tmp_path / "manifest.json",)))
    assert len(pages) == 5 and {(page.width, page.height) for page in pages} == {(1340, 1920)}
    assert len(failed) == 1


def test_a_detector_that_forgets_its_world_is_not_kept(
    source: Run, data: Path, tmp_path: Path, without_files, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = adapt(dataclasses.replace(settings(source, data, tmp_path / "run"), source=data))
    before, after = json.loads((run.folder / FACTS).read_text())["judged"]["losses"]
    assert 0 < before and 0 < after and before != after
    figures = read_results(run.folder)
    assert figures.one(metric="synthetic_loss", model="adapted").value == after
    monkeypatch.setattr("doc_detect.adaptation.criterion.FORGOTTEN", 0.5 * after / before)
    other = adapt(dataclasses.replace(settings(source, data, tmp_path / "other"), source=data))
    facts = json.loads((other.folder / FACTS).read_text())
    assert facts["verdict"] == "worse, kept the source" and "loss on the source's pages" in facts["reason"]


def test_of_many_pages_some_of_every_file_are_drawn(source: Run, data: Path, tmp_path: Path) -> None:
    chosen = settings(source, data, tmp_path / "run", pages=7)
    first, other = (
        [page.file_name for page in looked_at(each)[0]]
        for each in (chosen, dataclasses.replace(chosen, seed=1, out=tmp_path / "other"))
    )
    assert len(first) == 6 and first != other


def noise(folder: Path, count: int = 12) -> Path:
    folder.mkdir()
    generator = np.random.default_rng(5)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number}.png"), generator.integers(0, 256, (192, 134, 3)).astype(np.uint8))
    return folder


@pytest.mark.parametrize("strict", [True, False])
def test_on_noise_the_source_is_kept(
    source: Run, data: Path, tmp_path: Path, without_files, strict: bool
) -> None:
    """Where nothing is found there is nothing to learn; what is learned from accidents is refused."""
    learned = SelfTrainingConfig() if strict else SelfTrainingConfig(sure=0.06, doubt=0.05, fewest=1)
    chosen = settings(
        source, data, tmp_path / "run", target=(noise(tmp_path / "noise"),), self_training=learned
    )
    rates = dataclasses.replace(chosen.optimization, steps=4 if strict else 10, learning_rate=3e-3)
    run = adapt(dataclasses.replace(chosen, optimization=rates))
    facts = json.loads((run.folder / FACTS).read_text())
    assert facts["verdict"] == ("nothing to learn" if strict else "worse") + ", kept the source"
    kept, before = load_detector(run), adapt_command.open_source(chosen).detector
    for name, tensor in kept.state_dict().items():
        assert torch.equal(tensor, before.state_dict()[name])


def test_the_detector_that_ships_is_adapted_by_default(data: Path, tmp_path: Path, without_reports) -> None:
    optimization = OptimizationConfig(steps=1, batch_size=1, sizes=(96,))
    chosen = dataclasses.replace(
        smoke(), target=(data / "images",), out=tmp_path / "run", pages=5, optimization=optimization
    )
    run = adapt(chosen)
    assert run.config()["settings"]["model"] == str(default_model())
    assert OnnxDetector(run.folder / ONNX).labels == OnnxDetector().labels


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": ()}, "--target is missing"),
        ({"target": (Path("https://example.org/manifest.json"),)}, "on the network; fetch its images"),
        ({"run": Path("nowhere")}, "nowhere: not a run folder"),
        ({"run": None, "model": Path("nowhere.onnx")}, "nowhere.onnx: no such file"),
    ],
)
def test_unusable_settings_are_refused_in_one_line(
    source: Run, data: Path, tmp_path: Path, changes: dict, message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        adapt(settings(source, data, tmp_path / "run", **changes))
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


def test_an_unusable_source_world_is_refused_before_the_work(source: Run, data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        adapt(dataclasses.replace(settings(source, data, tmp_path / "run"), source=Path("nowhere")))
    assert not (tmp_path / "run").exists()


def test_too_few_pages_are_refused(source: Run, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "few"
    folder.mkdir()
    for path in sorted((data / "images").iterdir())[:4]:
        shutil.copy(path, folder)
    with pytest.raises(UserError, match="4 pages that can be read; 5 or more are needed"):
        adapt(settings(source, data, tmp_path / "run", target=(folder,)))
    (folder / "words.json").write_text("[]")
    with pytest.raises(UserError, match="neither a COCO file with images nor a IIIF manifest"):
        adapt(settings(source, data, tmp_path / "run", target=(folder / "words.json",)))
    assert not (tmp_path / "run").exists()


def test_another_architecture_is_one_line(data: Path, tmp_path: Path) -> None:
    model = ModelConfig(architecture="faster-rcnn", size=96, labels=LABELS)
    optimization = OptimizationConfig(steps=1, batch_size=1, sizes=(96,))
    run = train(
        dataclasses.replace(
            smoke_training(),
            data=data,
            out=tmp_path / "rcnn",
            model=model,
            optimization=optimization,
            validate_every=0,
        )
    )
    with pytest.raises(UserError, match="is a faster-rcnn; adapt works with fcos alone"):
        adapt(settings(run, data, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_resumed_on_other_pages(source: Run, data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "images", tmp_path / "images")
    chosen = settings(source, data, tmp_path / "run", target=(tmp_path / "images",))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("doc_detect.adapt.judge", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            adapt(chosen)
    (tmp_path / "images" / "val-000.png").unlink()
    with pytest.raises(UserError, match="another data fingerprint .* bring back the pages"):
        adapt(dataclasses.replace(smoke(), resume=tmp_path / "run"))
