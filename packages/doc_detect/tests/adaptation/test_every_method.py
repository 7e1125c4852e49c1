"""Every method from the command's settings to its weights, on toy pages."""

import pytest

pytest.importorskip("torch")

import dataclasses
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import torch

from doc_detect.adapt import FACTS, adapt, open_source
from doc_detect.adaptation.base import METHODS, method_class
from doc_detect.adaptation.criterion import Judgement
from doc_detect.adaptation.pseudo_labels import PSEUDO_LABELS
from doc_detect.detectors.fcos import FCOSDetector
from doc_detect.settings.adaptation import (
    AdaptSettings,
    AdversarialConfig,
    CompositionConfig,
    MethodName,
    SelfTrainingConfig,
    StatisticsConfig,
    StyleConfig,
    smoke,
)
from doc_detect.settings.training import OptimizationConfig
from seminar_common.checkpoints import load_tensors
from seminar_common.errors import UserError
from seminar_common.runs import Run
from seminar_common.work import WorkConfig

LEARNED = SelfTrainingConfig(sure=0.2, doubt=0.1, fewest=1)
ALL = {"mixed_share": 0.5, "self_training": dataclasses.replace(LEARNED, agree=True, rounds=2)}
WAYS: dict[str, dict[str, Any]] = {name: {"method": name} for name in METHODS} | {
    "all of self-training": ALL,
    "mixed teacher": {"method": "mean-teacher", "mixed_share": 0.5},
}


@pytest.fixture
def chosen(toy_source: Path, toy_data: Path, tmp_path: Path) -> AdaptSettings:
    slow = {"learning_rate": 1e-4, "backbone_learning_rate": 1e-4}  # the toy detector is easily upset
    return dataclasses.replace(
        smoke(),
        run=toy_source,
        target=(toy_data / "images",),
        source=toy_data,
        out=tmp_path / "run",
        pages=10,
        optimization=OptimizationConfig(steps=3, batch_size=2, sizes=(96, 128), ema_decay=0.5, **slow),
        self_training=LEARNED,
        page_timeout=0.0,
        work=WorkConfig(workers=1),
    )


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_tensors(run.checkpoints / "model.safetensors")[0]


def without_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes time and is the same for all methods."""
    monkeypatch.setattr("doc_detect.adapt.judge", lambda *args: Judgement("adapted", "always", 1))
    monkeypatch.setattr("doc_detect.adapt.labelled_loss", lambda *args: 1.0)
    for name in ("publish", "write_changes"):
        monkeypatch.setattr(f"doc_detect.adapt.{name}", lambda *args: None)
    monkeypatch.setattr(FCOSDetector, "export", lambda *args: None)


def killed_at(place: str, call: int) -> Callable:
    """Return the function at ``place``, but such that a call of it ends the process."""
    module, _, name = place.rpartition(".")
    real, left = getattr(importlib.import_module(module), name), [call]

    def killed(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    return killed


@pytest.mark.parametrize("way", WAYS)
def test_it_changes_the_weights_labels_anew_in_rounds_and_resumes_to_the_same_bits(
    way: str, chosen: AdaptSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_verdict(monkeypatch)
    chosen = dataclasses.replace(chosen, **WAYS[way])
    run = adapt(chosen)
    facts = json.loads((run.folder / FACTS).read_text())
    ours, before = weights(run), open_source(chosen).detector.state_dict()
    changed = {name for name in ours if not torch.equal(ours[name], before[name])}
    heads = [name for name in changed if "head" in name]
    if chosen.method == "statistics":
        assert facts["steps"] == 0 and not heads and "backbone.network.conv_stem.bias" in changed
    else:
        assert facts["steps"] == 3 and heads and not any("conv_stem" in name for name in changed)
        losses = [record["loss"] for record in run.logged() if "loss" in record]
        assert len(losses) == 2 and all(loss > 0 for loss in losses)
    labelled = sorted(path.name for path in run.folder.glob("pseudo-labels*"))
    if chosen.self_training.rounds > 1:
        assert labelled == ["pseudo-labels-2.json", PSEUDO_LABELS]
        second, first = (json.loads((run.folder / name).read_text()) for name in labelled)
        assert first["images"] == second["images"] and first["annotations"] != second["annotations"]
    place, call = ("adaptation.steps.update_average", 3) if facts["steps"] else ("adapt.judge", 1)
    with monkeypatch.context() as patch:
        patch.setattr(f"doc_detect.{place}", killed_at(f"doc_detect.{place}", call))
        with pytest.raises(KeyboardInterrupt):
            adapt(dataclasses.replace(chosen, out=tmp_path / "killed"))
    again = weights(adapt(dataclasses.replace(smoke(), resume=tmp_path / "killed")))
    assert all(torch.equal(ours[name], again[name]) for name in ours)


def test_what_needs_the_source_is_refused_without_it_before_the_work(
    chosen: AdaptSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("doc_detect.adapt.list_pages", lambda *args: pytest.fail("pages were listed"))
    needing = [name for name in METHODS if method_class(name).needs_source]
    assert set(needing) == set(get_args(MethodName)) - {"self-training", "mean-teacher"}
    for name in needing:
        with pytest.raises(UserError, match=f"--source is missing: --method {name} learns") as caught:
            adapt(dataclasses.replace(chosen, method=name, source=None))
        assert "\n" not in str(caught.value) and chosen.out is not None and not chosen.out.exists()


def test_settings_that_do_nothing_are_refused(chosen: AdaptSettings) -> None:
    other = dataclasses.replace(LEARNED, agree=True)
    for changes, message in (
        ({"mixed_share": 0.5, "source": None}, "--mixed-share: goes with --source"),
        ({"mixed_share": 0.5, "method": "style"}, "goes with --method self-training or mean-teacher"),
        ({"mixed_share": 1.0}, r"must lie in \[0, 1\)"),
        ({"self_training": other, "method": "mean-teacher"}, "--agree: goes with"),
        ({"self_training": dataclasses.replace(LEARNED, rounds=2), "method": "continued"}, "--rounds: goes"),
        ({"self_training": dataclasses.replace(LEARNED, rounds=5)}, "more than the steps"),
    ):
        with pytest.raises(UserError, match=message):
            dataclasses.replace(chosen, **changes)
    for kind, changes in (
        (SelfTrainingConfig, {"doubt": 0.5, "agree": True}),
        (SelfTrainingConfig, {"rounds": 0}),
        (StatisticsConfig, {"measured": 0}),
        (StyleConfig, {"paper_share": 1.1}),
        (StyleConfig, {"fourier_share": -0.1}),
        (StyleConfig, {"fourier_beta": 0.6}),
        (CompositionConfig, {"pasted": 0}),
        (AdversarialConfig, {"reversal": 0.0}),
    ):
        with pytest.raises(UserError, match=f"--{list(changes)[-1].replace('_', '-')}"):
            kind(**changes)


def test_a_source_that_labels_nothing_of_the_detector_is_refused(
    chosen: AdaptSettings, toy_data: Path, tmp_path: Path
) -> None:
    document = json.loads((toy_data / "train.json").read_text())
    document["categories"] = [dict(each, name="table") for each in document["categories"][:1]]
    document["annotations"] = [
        dict(a, category_id=document["categories"][0]["id"]) for a in document["annotations"]
    ]
    for image in document["images"]:
        image["file_name"] = str(toy_data / "images" / image["file_name"])
    (tmp_path / "tables.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match="labels none of graphic, drop_capital"):
        adapt(dataclasses.replace(chosen, method="continued", source=tmp_path / "tables.json"))
