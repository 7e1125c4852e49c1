"""What an adaptation brings, measured: models, seeds, folds, labelled pages."""

import pytest

pytest.importorskip("torch")

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from doc_detect import adapt_study as command
from doc_detect.adapt import ONNX, REJECTED
from doc_detect.adapt_study import adapt_study
from doc_detect.adaptation.budgets import write_budget
from doc_detect.adaptation.planned import Fold, planned
from doc_detect.cli import COMMANDS
from doc_detect.coco import CocoPage, read_coco
from doc_detect.detectors.onnx import OnnxDetector
from doc_detect.detectors.scoring import Scoring, write_scoring
from doc_detect.figures.calibration import fit_margin
from doc_detect.figures.findings import as_drawn
from doc_detect.figures.kept import kept_findings
from doc_detect.figures.label_curve import pretrained_curve
from doc_detect.figures.measured import Measured
from doc_detect.pretrain import pretrain
from doc_detect.select import select
from doc_detect.settings.adapt_study import (
    ADAPT_STUDY_PRESETS,
    FACTORS,
    MIXED_FACTORS,
    AdaptStudySettings,
    changed_text,
)
from doc_detect.settings.adaptation import AdaptSettings, SelfTrainingConfig
from doc_detect.settings.pretraining import PRETRAIN_PRESETS, FittingConfig
from doc_detect.settings.selection import SelectSettings
from doc_detect.settings.training import OptimizationConfig
from seminar_common.cli import parse
from seminar_common.errors import UserError
from seminar_common.results import Results, Row, read_results
from seminar_common.runs import Run
from seminar_common.work import WorkConfig

LABELS = ("graphic", "drop_capital")
NAMES = ("self-training", "oracle", "labelled-25", "selected-25")
RESAMPLES = 100


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, write_toy_pages: Callable[..., Path]) -> Path:
    return write_toy_pages(tmp_path_factory.mktemp("toy") / "data", train=28, val=8, height=192)


@pytest.fixture(scope="module")
def scans(data: Path) -> Path:
    """The same pages, taken for finished scans."""
    folder = data.parent / "scans"
    shutil.copytree(data, folder)
    for name in ("train.json", "val.json"):
        document = json.loads((folder / name).read_text())
        document["info"] = {"name": "toy"}
        (folder / name).write_text(json.dumps(document))
    return folder


@pytest.fixture(scope="module")
def source(toy_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(shutil.copytree(toy_source, tmp_path_factory.mktemp("runs") / "source"))
    write_scoring(Scoring({}, 0.01), run.folder)
    return run


def settings(source: Run, scans: Path, out: Path, **changes) -> AdaptStudySettings:
    slow = {"learning_rate": 1e-4, "backbone_learning_rate": 1e-4}  # the toy detector is easily upset
    chosen = dataclasses.replace(
        ADAPT_STUDY_PRESETS["smoke"](),
        run=source.folder,
        target=(scans / "train.json",),
        test=(scans / "val.json",),
        out=out,
        seeds=(0,),
        oracle_steps=3,
        margin_pages=6,
        pages=12,
        resamples=RESAMPLES,
        optimization=OptimizationConfig(steps=2, batch_size=2, sizes=(96,), ema_decay=0.5, **slow),
        self_training=SelfTrainingConfig(sure=0.2, doubt=0.1, fewest=1),
        page_timeout=0.0,
        work=WorkConfig(workers=1),
    )
    return dataclasses.replace(chosen, **changes)


@pytest.fixture(scope="module")
def whole(source: Run, scans: Path, tmp_path_factory: pytest.TempPathFactory) -> AdaptStudySettings:
    """A study of everything."""
    return settings(
        source,
        scans,
        tmp_path_factory.mktemp("studies") / "whole",
        seeds=(0, 1),
        labelled=scans / "train.json",
        budgets=(25,),
        selected=(25,),
        swap=True,
        factors=("kept-0",),
    )


@pytest.fixture(scope="module")
def results(whole: AdaptStudySettings) -> Results:
    with pytest.MonkeyPatch.context() as patch:  # reports of single runs take longer than these runs
        for name in ("publish", "write_changes"):
            patch.setattr(f"doc_detect.adapt.{name}", lambda *args: None)
        # A margin of six pages is as good as one of all.
        patch.setattr(
            "doc_detect.adapt.fit_margin", lambda of, pages, n, seed: fit_margin(of, pages, 6, seed)
        )
        return adapt_study(whole)


def found(study: AdaptStudySettings, run: str, test: Path, margin_of: Path) -> list[CocoPage]:
    """Return what a detector finds on the pages of ``test``, boxes as drawn, its margin fitted on six pages."""
    assert study.out is not None
    file = study.out / run
    detector, pages = OnnxDetector(file), read_coco(test)
    margin = fit_margin(detector, read_coco(margin_of), 6)
    return as_drawn(kept_findings(detector, pages, study.out / "found", run), Scoring(margin=margin))


def by_hand(truth: list[CocoPage], pages: list[CocoPage], metric: str, label: str | None) -> float:
    rows = Measured(truth, pages, Row("m", "d", "s", "ap", 0.0), RESAMPLES, 0).rows(LABELS)
    (row,) = [
        row for row in rows if row.metric == metric and row.label == label and row.subset in (None, "all")
    ]
    return row.value


def test_all_models_are_there_on_all_pages(results: Results, whole: AdaptStudySettings) -> None:
    assert whole.out is not None
    rows = [row for row in results.rows if row.metric == "ap50" and row.label is None]
    everywhere = {"source-only", "self-training"}
    assert {row.model for row in rows if row.split == "val"} == {
        *everywhere,
        "oracle",
        "labelled-25",
        "selected-25",
        "kept-0",
    }
    for split, n in (("train", 28), ("all", 36)):
        assert {row.model for row in rows if row.split == split} == everywhere
        assert {row.n for row in rows if row.split == split and row.subset == "all"} == {n}
    assert {row.facts["boxes"] for row in rows} == {"ink", "drawn"}
    assert {row.subset for row in rows if row.split == "val"} == {"all", "printed", "manuscript"}
    assert results.one(
        model="kept-0", metric="ap50", label=None, split="val", subset="all", boxes="ink"
    ).ablation == ("kept=0.0")
    folders = {path.name for path in (whole.out / "runs").iterdir()}
    assert folders == {
        *(f"{name}-seed{seed}" for seed in (0, 1) for name in NAMES),
        *(f"self-training-seed{seed}-swapped" for seed in (0, 1)),
        "kept-0-seed0",
    }


@pytest.mark.parametrize("label", [None, "drop_capital"])
def test_a_paired_difference_is_that_of_the_figures(
    results: Results, whole: AdaptStudySettings, scans: Path, label: str | None
) -> None:
    truth = list(read_coco(scans / "val.json").pages)
    files = [f"runs/self-training-seed{seed}/{ONNX}" for seed in (0, 1)]
    ours, before = (
        [
            by_hand(truth, found(whole, file, scans / "val.json", scans / "train.json"), "ap", label)
            for file in of
        ]
        for of in (files, ["source.onnx"])
    )
    where = {"split": "val", "subset": "all", "boxes": "drawn", "label": label, "model": "self-training"}
    assert results.one(metric="ap", **where).value == pytest.approx(np.mean(ours), abs=1e-9)
    difference = results.one(metric="ap_difference", baseline="source-only", **where)
    assert difference.value == pytest.approx(np.mean(ours) - before[0], abs=1e-9)
    assert difference.seeds == (0, 1) and difference.n == 8


def test_swapped_folds_are_measured_each_by_the_other_and_pooled(
    results: Results, whole: AdaptStudySettings, scans: Path
) -> None:
    test, target = scans / "val.json", scans / "train.json"
    truth = [*read_coco(test).pages, *read_coco(target).pages]
    for model, files in (
        ("source-only", [("source.onnx", "source.onnx")]),
        (
            "self-training",
            [
                (f"runs/self-training-seed{s}/{ONNX}", f"runs/self-training-seed{s}-swapped/{ONNX}")
                for s in (0, 1)
            ],
        ),
    ):
        pooled = [
            by_hand(
                truth,
                [*found(whole, first, test, target), *found(whole, second, target, test)],
                "ap50",
                "drop_capital",
            )
            for first, second in files
        ]
        row = results.one(
            model=model, split="all", subset="all", boxes="drawn", metric="ap50", label="drop_capital"
        )
        assert row.value == pytest.approx(np.mean(pooled), abs=1e-9)
    assert results.one(
        model="self-training", split="all", subset="all", boxes="drawn", metric="ap50_difference", label=None
    )


def test_verdicts_counts_and_time_are_told_of_every_run(results: Results, whole: AdaptStudySettings) -> None:
    assert whole.out is not None
    told = [row for row in results.rows if "verdict" in row.facts and row.metric == "adapt_cpu_min"]
    assert len(told) == len(list((whole.out / "runs").iterdir())) and all(row.value > 0 for row in told)
    facts = json.loads((whole.out / "runs" / "self-training-seed1" / "adaptation.json").read_text())
    where = {"model": "self-training", "seeds": (1,), "split": "val", "verdict": facts["verdict"]}
    assert results.one(metric="adapt_cpu_min", **where).value == pytest.approx(facts["cpu_s"] / 60)
    for label, counts in facts["learned"].items():
        assert results.one(metric="pseudo_labels", label=label, **where).value == counts["sure"]
    assert results.one(metric="ap50_change", label=None, **where).ci_low is not None
    oracle = json.loads((whole.out / "runs" / "oracle-seed0" / "adaptation.json").read_text())
    assert oracle["trained_on_labelled"] and oracle["labelled_pages"] == 28 and oracle["steps"] == 3
    assert (
        results.one(model="oracle", metric="ap", label=None, split="val", subset="all", boxes="ink").facts[
            "labels"
        ]
        == 28
    )


def test_labelled_pages_are_drawn_with_each_seed_and_draw(
    source: Run, scans: Path, tmp_path: Path, whole: AdaptStudySettings, results: Results
) -> None:
    assert whole.out is not None
    names = {path.name for path in (whole.out / "labelled").iterdir()}
    assert names == {"labelled-25-seed0.json", "labelled-25-seed1.json", "selected-25.json", "all.json"}
    assert "Precision against labelled pages" in (whole.out / "report.html").read_text()
    facts = json.loads((whole.out / "runs" / "labelled-25-seed0" / "adaptation.json").read_text())
    assert facts["labelled_pages"] == 25 and facts["trained_on_labelled"]
    pages = read_coco(scans / "train.json")
    fold = Fold("", (), (), pages, None)
    chosen = settings(source, scans, tmp_path / "s", labelled=scans / "train.json", budgets=(5, 9), draws=2)
    drawn = {}
    every = [one.model for one in planned(chosen, [fold], {})]
    without = [one.model for one in planned(dataclasses.replace(chosen, oracle=False), [fold], {})]
    assert "oracle" in every and without == [model for model in every if model != "oracle"]
    for one in planned(chosen, [fold], {}):
        write_budget(one, LABELS, lambda pool, budget: [])
        if one.model.startswith("labelled"):
            assert one.settings.labelled is not None
            drawn[one.model, one.draw] = {page.file_name for page in read_coco(one.settings.labelled).pages}
    assert {key: len(of) for key, of in drawn.items()} == {
        (f"labelled-{budget}", draw): budget for budget in (5, 9) for draw in (0, 1)
    }
    assert (
        drawn["labelled-5", 0] < drawn["labelled-9", 0] and drawn["labelled-5", 0] != drawn["labelled-5", 1]
    )


def test_chosen_pages_are_those_of_select_and_compared_with_random_ones(
    results: Results, whole: AdaptStudySettings, scans: Path, source: Run, tmp_path: Path
) -> None:
    assert whole.out is not None
    of = {"target": (scans / "train.json",), "budget": 25, "run": source.folder}
    best = [each.ref.path.name for each in select(SelectSettings(out=tmp_path / "chosen", **of))]
    pages = read_coco(whole.out / "labelled" / "selected-25.json").pages
    assert [Path(page.file_name).name for page in pages] == best and len(pages[0].boxes)
    where = {"model": "selected-25", "metric": "ap_difference", "label": None, "split": "val"}
    rows = [r for r in results.rows if all(getattr(r, name) == value for name, value in where.items())]
    assert {row.baseline for row in rows} == {"source-only", "labelled-25"} and rows[0].seeds == (0, 1)


def test_the_same_command_adapts_no_more_and_looks_at_no_page(
    whole: AdaptStudySettings, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "adapt", None)
    monkeypatch.setattr(OnnxDetector, "detect", None)
    monkeypatch.setattr(command, "StudyFigures", lambda *args: 1 / 0)  # what it has to measure is at hand
    with pytest.raises(ZeroDivisionError):
        adapt_study(whole)
    assert whole.out is not None and read_results(whole.out).rows == results.rows
    with pytest.raises(UserError, match="computed from another margin pages .*choose another --out"):
        adapt_study(dataclasses.replace(whole, margin_pages=7))
    with pytest.raises(UserError, match="computed from another oracle"):
        adapt_study(dataclasses.replace(whole, oracle_steps=4))


def test_a_killed_study_goes_on_with_the_run_that_was_killed_and_then_measures_the_same(
    source: Run, scans: Path, tmp_path: Path, without_reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings(source, scans, tmp_path / "study")
    with monkeypatch.context() as patch:
        patch.setattr("doc_detect.adapt.judge", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            adapt_study(chosen)
    assert not (tmp_path / "study" / "results.json").exists()
    real, calls = command.adapt, []
    monkeypatch.setattr(command, "adapt", lambda given: calls.append(given) or real(given))
    results = adapt_study(chosen)
    assert [given.resume for given in calls] == [tmp_path / "study" / "runs" / "self-training-seed0"]
    rows = [row for row in results.rows if row.metric == "ap50" and row.label is None and row.subset == "all"]
    assert [row.model for row in rows] == ["source-only", "self-training"]
    assert not any("boxes" in row.facts for row in rows)  # no margin is known
    assert not any(row.metric.startswith("gap_closed") for row in results.rows)
    monkeypatch.setattr(command, "adapt", None)
    monkeypatch.setattr(OnnxDetector, "detect", None)
    assert adapt_study(chosen).rows == results.rows == read_results(tmp_path / "study").rows


def pretrained(source: Run, scans: Path, out: Path, seed: int = 0) -> Run:
    """Pretrain the same detector on the same pages."""
    chosen = dataclasses.replace(
        PRETRAIN_PRESETS["smoke"](),
        images=(scans / "train.json",),
        init=source.folder,
        name="seen",
        out=out,
        seed=seed,
        pages=12,
        fitting=FittingConfig(steps=2, batch_size=2, window=64),
        page_timeout=0.0,
        work=WorkConfig(workers=1),
    )
    return pretrain(chosen)


def test_pretrained_starts_join_a_study_and_are_compared_with_the_same_without(
    source: Run,
    scans: Path,
    tmp_path: Path,
    whole: AdaptStudySettings,
    results: Results,
    without_reports,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen, other = (pretrained(source, scans, tmp_path / f"seen{seed}", seed) for seed in (0, 1))
    instead = {  # runs of the study above, in place of adaptations that take longer
        "self-training": "self-training-seed0",
        "labelled-25": "labelled-25-seed0",
        "seen+self-training": "self-training-seed1",
        "seen+labelled-25": "labelled-25-seed1",
    }
    calls = []

    def adapted(given: AdaptSettings) -> Run:
        calls.append(given)
        assert whole.out is not None and given.out is not None
        return Run(shutil.copytree(whole.out / "runs" / instead[given.name], given.out))

    monkeypatch.setattr(command, "adapt", adapted)
    given = {"labelled": scans / "train.json", "budgets": (25,), "oracle": False}
    chosen = settings(source, scans, tmp_path / "study", pretrained=(seen.folder,), **given)
    results = adapt_study(chosen)
    assert [given.name for given in calls] == list(instead)
    assert [given.run for given in calls] == [source.folder] * 2 + [seen.folder] * 2
    assert {given.labelled for given in calls[1::2]} == {
        tmp_path / "study" / "labelled" / "labelled-25-seed0.json"
    }

    where = {"split": "val", "subset": "all", "label": None, "boxes": "drawn", "pretrained": "seen"}
    differences = {
        (row.model, row.baseline): row.value
        for row in results.rows
        if row.metric == "ap50_difference" and all(row.get(k) == v for k, v in where.items())
    }
    assert set(differences) == {
        ("seen", "source-only"),
        ("seen+self-training", "source-only"),
        ("seen+self-training", "self-training"),
        ("seen+labelled-25", "source-only"),
        ("seen+labelled-25", "labelled-25"),
    }
    after = results.one(metric="ap50", model="seen+labelled-25", **where)
    without = results.one(metric="ap50", model="labelled-25", **{**where, "pretrained": None})
    difference = differences["seen+labelled-25", "labelled-25"]
    assert difference == pytest.approx(after.value - without.value, abs=1e-9)
    assert after.facts["labels"] == 25
    (axes,) = pretrained_curve(
        [row for row in results.rows if row.baseline in ("self-training", "labelled-25")], "pretrained"
    ).axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "25"]
    (line,) = [line for line in axes.lines if line.get_label() == "seen"]
    assert 100 * difference in line.get_ydata()

    with pytest.raises(UserError, match=r"computed from another run of this name .*choose another --out"):
        adapt_study(dataclasses.replace(chosen, pretrained=(other.folder,)))
    with pytest.raises(UserError, match="is another detector than that of this study"):
        adapt_study(dataclasses.replace(chosen, run=other.folder, pretrained=(seen.folder,)))
    with pytest.raises(UserError, match="is called 'seen', which can't tell it from"):
        adapt_study(dataclasses.replace(chosen, pretrained=(seen.folder, other.folder)))


def test_a_refused_detector_is_measured_beside_what_a_user_gets(
    source: Run, scans: Path, tmp_path: Path, without_reports
) -> None:
    fast = OptimizationConfig(steps=4, batch_size=2, sizes=(96,), ema_decay=0.1, learning_rate=3e-3)
    chosen = settings(source, scans, tmp_path / "study", optimization=fast, kept=0.0)
    results = adapt_study(chosen)
    assert (tmp_path / "study" / "runs" / "self-training-seed0" / REJECTED).exists()
    where = {"model": "self-training", "split": "val", "subset": "all", "label": None}
    assert abs(results.one(metric="ap50_difference", **where).value) < 0.02  # weights are halves in a file
    change = results.one(metric="ap50_change", **where)
    assert change.facts["verdict"] == "worse, kept the source" and abs(change.value) > 0.02
    assert any("self-training-seed0: worse, kept the source: it " in note for note in results.notes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": ()}, "--target, --test and --out: say"),
        ({"methods": ("continued",)}, "--source is missing: continued learns"),
        ({"labelled": Path("val.json")}, "its page val-000.png is in --labelled, too"),
        ({"labelled": Path("train.json"), "budgets": (29,)}, "--budgets 29: .* has 28 pages with an object"),
        ({"run": Path("nowhere")}, "nowhere: not a run folder"),
        ({"pretrained": ()}, "a run of `doc-detect pretrain` is needed"),
    ],
)
def test_unusable_settings_are_refused_before_anything_is_made(
    source: Run, scans: Path, tmp_path: Path, changes: dict, message: str
) -> None:
    if "pretrained" in changes:
        changes = {"pretrained": (source.folder,)}
    if "labelled" in changes:
        changes = {**changes, "labelled": scans / changes["labelled"]}
    with pytest.raises(UserError, match=message) as caught:
        adapt_study(settings(source, scans, tmp_path / "study", **changes))
    assert "\n" not in str(caught.value) and not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--methods magic", "--methods magic: no such method; choose"),
        ("--factors kept-9", "--factors kept-9: no such factor; choose"),
        ("--factors mixed-0.5", "--factors mixed-0.5: goes with --source"),
        ("--budgets 25", "--budgets: goes with --labelled"),
        ("--labelled a.json --budgets 3", "5 labelled pages or more"),
        ("--selected 25", "--selected: goes with --labelled"),
        ("--labelled a.json --selected 3", "--selected: 5 labelled pages or more"),
        ("--seeds 1 1", "--seeds: one of them is there twice"),
        ("--swap --test a.json b.json", "--swap: goes with one --target and one --test"),
        ("--resamples 9", "an interval needs 100 or more"),
        ("--oracle-kept 1", "must lie in"),
        ("--kept 1", "--kept 1.0: must lie in"),
    ],
)
def test_options_are_checked(options: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse("doc-detect", "", COMMANDS, ["adapt-study", "--out", "x", *options.split()])


def test_factors_change_one_thing() -> None:
    recipe = AdaptStudySettings().recipe()
    mixing = dataclasses.replace(recipe, source=Path("pages"))
    before = {name: mixing if name in MIXED_FACTORS else recipe for name in FACTORS}
    changed = {name: changed_text(before[name], change(before[name])) for name, change in FACTORS.items()}
    assert changed["mixed-0.5"] == "mixed_share=0.5"
    assert changed["kept-0"] == "kept=0.0" and changed["steps-x2"] == "steps=200"
    assert changed["not-painted"] == "painted=()" and "learning_rate=0.00015" in changed["rate-half"]
    assert len(set(changed.values())) == len(FACTORS) and all(changed.values())
    every = AdaptStudySettings(factors=("all",))
    assert every.chosen_factors() == tuple(name for name in FACTORS if name not in MIXED_FACTORS)
    assert dataclasses.replace(every, source=Path("pages")).chosen_factors() == tuple(FACTORS)
