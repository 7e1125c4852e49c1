"""A model reads ids and numbers of the vocabulary that it was trained on, and no others."""

import dataclasses
import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")  # a run is trained

from recsys_bnn.data.dataset import SPLITS, Dataset, open_dataset
from recsys_bnn.evaluate import evaluate
from recsys_bnn.prepare import prepare
from recsys_bnn.settings.prepare import PrepareConfig
from recsys_bnn.settings.training import EvaluateSettings, OptimizationConfig, smoke
from recsys_bnn.train import train
from seminar_common import files
from seminar_common.errors import UserError
from seminar_common.runs import Run


def write_log(path: Path, frequent: str, rows: int = 3000) -> Path:
    """Write a log whose clicks follow from u = a; the ``frequent`` value of u gets the first id."""
    draw = random.Random(0)
    rare = "b" if frequent == "a" else "a"
    lines = ["label,n,u,v"]
    for _ in range(rows):
        u = frequent if draw.random() < 0.7 else rare
        clicked = draw.random() < (0.9 if u == "a" else 0.1)
        lines.append(f"{int(clicked)},{draw.randint(0, 9)},{u},{draw.choice('xy')}")
    path.write_text("\n".join(lines) + "\n")
    return path


def prepared_table(log: Path, out: Path, **changes: Any) -> Dataset:
    schema = log.parent / "schema.toml"
    schema.write_text('label = "label"\nintegers = ["n"]\ncategoricals = ["u", "v"]\n')
    return open_dataset(
        prepare(PrepareConfig(format="table", input=(log,), schema=schema, out=out, **changes))
    )


@dataclasses.dataclass(frozen=True)
class Logs:
    folder: Path
    one: Dataset
    two: Dataset
    run: Run


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Logs:
    """Two logs of one schema, in which the frequencies of two values are swapped, and a model of the first."""
    folder = tmp_path_factory.mktemp("logs")
    one, two = (
        prepared_table(write_log(folder / f"{name}.csv", frequent), folder / name)
        for name, frequent in (("one", "a"), ("two", "b"))
    )
    optimization = OptimizationConfig(
        epochs=8, batch_size=128, learning_rate=0.01, embedding_learning_rate=0.05
    )
    settings = dataclasses.replace(smoke(), data=one.folder, out=folder / "run", optimization=optimization)
    return Logs(folder, one, two, train(settings))


def auc(run: Run, data: Path) -> float:
    results = evaluate(EvaluateSettings(run=run.folder, data=data, resamples=100))
    return results.one(split="test", metric="roc_auc").value


def test_data_of_another_vocabulary_are_refused_until_they_are_encoded_with_the_runs_own(logs: Logs) -> None:
    assert logs.one.cardinalities == logs.two.cardinalities  # so that sizes alone would not tell
    before = files.fingerprint(logs.run.folder / "config.json")
    with pytest.raises(UserError, match=r"run: was computed from another vocabulary .*--vocabulary .*run`$"):
        auc(logs.run, logs.two.folder)
    assert not (logs.run.folder / "results.json").exists()
    for source in (logs.run.folder, logs.one.folder):
        out = logs.folder / f"two-as-{source.name}"
        encoded = prepared_table(logs.folder / "two.csv", out, vocabulary=source)
        assert encoded.vocabulary == logs.one.vocabulary != logs.two.vocabulary
        assert auc(logs.run, out) > 0.8
    assert files.fingerprint(logs.run.folder / "config.json") == before


@pytest.mark.parametrize("option", ["init", "teacher"])
def test_a_run_of_another_vocabulary_is_no_start_and_no_teacher(
    logs: Logs, tmp_path: Path, option: str
) -> None:
    settings = dataclasses.replace(smoke(), data=logs.two.folder, out=tmp_path / "run")
    with pytest.raises(UserError, match=f"--{option} .*another vocabulary"):
        train(dataclasses.replace(settings, **{option: logs.run.folder}))
    assert not (tmp_path / "run").exists()


def test_a_baseline_of_another_vocabulary_is_refused(logs: Logs, tmp_path: Path) -> None:
    other = train(dataclasses.replace(smoke(), data=logs.two.folder, out=tmp_path / "other"))
    with pytest.raises(UserError, match="other: was computed from another vocabulary"):
        evaluate(EvaluateSettings(run=logs.run.folder, baseline=other.folder, resamples=100))


def test_a_run_without_a_stored_vocabulary_is_refused(logs: Logs, tmp_path: Path) -> None:
    old = shutil.copytree(logs.run.folder, tmp_path / "old")
    config = {name: v for name, v in logs.run.config().items() if name != "vocabulary"}
    (old / "config.json").write_text(json.dumps(config))
    for data in (None, logs.one.folder):
        with pytest.raises(UserError, match=r"config\.json: an earlier version wrote it, .*; train it again"):
            evaluate(EvaluateSettings(run=old, data=data, resamples=100))
    with pytest.raises(UserError, match="train it again"):
        prepared_table(logs.folder / "two.csv", tmp_path / "out", vocabulary=old)


def test_a_run_whose_data_have_moved_says_what_to_give(logs: Logs, tmp_path: Path) -> None:
    moved = shutil.copytree(logs.run.folder, tmp_path / "moved")
    config = logs.run.config()
    config["settings"]["data"] = str(tmp_path / "gone")
    (moved / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"no longer at .*gone; give their folder as --vocabulary"):
        prepared_table(logs.folder / "two.csv", tmp_path / "out", vocabulary=moved)
    config["settings"]["data"] = str(logs.two.folder)
    (moved / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="another vocabulary"):
        prepared_table(logs.folder / "two.csv", tmp_path / "out", vocabulary=moved)


@pytest.mark.parametrize("buckets", [None, 1])
def test_a_log_encoded_with_its_own_vocabulary_is_the_same_bytes(
    tmp_path: Path, logs: Logs, buckets: int | None
) -> None:
    # Fields that are hashed keep their hash, and the others their ids.
    first = prepared_table(logs.folder / "one.csv", tmp_path / "first", hash_buckets=buckets, min_count=3)
    again = prepared_table(logs.folder / "one.csv", tmp_path / "again", vocabulary=first.folder)
    names = sorted(path.name for path in first.folder.iterdir())
    assert names == sorted(path.name for path in again.folder.iterdir())
    for name in names:
        assert (first.folder / name).read_bytes() == (again.folder / name).read_bytes(), name


def test_a_new_value_is_out_of_vocabulary_and_integers_keep_their_normalisation(
    logs: Logs, tmp_path: Path
) -> None:
    log = tmp_path / "new.csv"
    lines = "".join(f"{i % 2},1000,{'new' if i % 3 else 'a'},\n" for i in range(100))
    log.write_text("label,n,u,v\n" + lines)
    data = prepared_table(log, tmp_path / "out", vocabulary=logs.one.folder)
    batch = data.rows(*SPLITS).columns()
    assert batch.categoricals[:, 0].tolist() == [0 if i % 3 else 2 for i in range(100)]
    assert batch.categoricals[:, 1].tolist() == [1] * 100
    fitted = logs.one.description["normalisation"]
    expected = (np.log(1001) - fitted["mean"][0]) / fitted["std"][0]
    assert batch.integers.flatten().tolist() == pytest.approx([expected] * 100)
    assert data.counts(0).tolist() == logs.one.counts(0).tolist()


def test_a_log_of_other_features_is_refused_before_it_is_read(logs: Logs, tmp_path: Path) -> None:
    schema, log = tmp_path / "schema.toml", tmp_path / "log.csv"
    schema.write_text('label = "label"\nintegers = ["n"]\ncategoricals = ["u"]\n')
    log.write_text("label,n,u\nnonsense\n")
    with pytest.raises(UserError, match="one: was computed from another list of categoricals"):
        prepare(
            PrepareConfig(
                format="table", input=(log,), schema=schema, out=tmp_path / "out", vocabulary=logs.one.folder
            )
        )


def test_the_vocabulary_does_not_depend_on_the_order_in_which_values_come(tmp_path: Path) -> None:
    # Keys of texts are numbered as they come; equal maps from text to id are one vocabulary all the same.
    lines = [f"{i % 2},5,{'aab'[i % 3]},x" for i in range(42)]
    found = []
    for name, order in (("plain", lines), ("turned", lines[::-1])):
        log = tmp_path / f"{name}.csv"
        log.write_text("\n".join(["label,n,u,v", *order]) + "\n")
        whole = dict(val_fraction=0.0, test_fraction=0.0)
        found.append(prepared_table(log, tmp_path / name, **whole))
    assert found[0].description["normalisation"] == found[1].description["normalisation"]
    assert found[0].vocabulary == found[1].vocabulary and found[0].fingerprint != found[1].fingerprint


def test_a_constant_integer_is_not_missing(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    rows = "".join(f"{i % 2},{'' if i == 2 else 5},{'ab'[i % 3 > 0]},x\n" for i in range(100))
    log.write_text("label,n,u,v\n" + rows)
    data = prepared_table(log, tmp_path / "out")
    integers = data.rows("train").columns().integers[:4, 0]
    assert np.isnan(integers).tolist() == [False, False, True, False]
    assert integers[[0, 1, 3]].tolist() == pytest.approx([0, 0, 0], abs=1e-12)
