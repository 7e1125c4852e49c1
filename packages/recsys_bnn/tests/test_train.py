import dataclasses
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from recsys_bnn.data.dataset import Dataset
from recsys_bnn.model.trained import build_model, kept_rows, load_model
from recsys_bnn.prepare import prepare
from recsys_bnn.settings.prepare import PrepareConfig
from recsys_bnn.settings.training import ModelConfig, OptimizationConfig, TrainSettings, smoke
from recsys_bnn.train import (
    Trainer,
    distillation_targets,
    embedding_schedule,
    make_optimizers,
    train,
)
from seminar_common import seeds
from seminar_common.checkpoints import load_tensors
from seminar_common.device import DeviceConfig
from seminar_common.errors import UserError
from seminar_common.runs import Run
from seminar_common.training import RESUME


def settings(data: Dataset, out: Path, **changes) -> TrainSettings:
    # One thread: several on a busy machine are slower than one.
    return dataclasses.replace(smoke(), data=data.folder, out=out, device=DeviceConfig(threads=1), **changes)


def binary(**changes) -> ModelConfig:
    return dataclasses.replace(smoke().model, embedding_bits=1, mlp_bits=1, dropout=0.2, **changes)


def four_bit() -> ModelConfig:
    return dataclasses.replace(smoke().model, embedding_bits=4, mlp_bits=4)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_tensors(run / "checkpoints" / "model.safetensors")[0]


@pytest.fixture(scope="module")
def trained(prepared: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An ended run, which tests only read."""
    return train(settings(prepared, tmp_path_factory.mktemp("trained") / "run"))


def test_a_run_holds_exactly_these_files(prepared: Dataset, trained: Run) -> None:
    run = trained
    assert sorted(str(path.relative_to(run.folder)) for path in run.folder.rglob("*.*")) == [
        "checkpoints/model.safetensors",
        "config.json",
        "environment.json",
        "metrics.jsonl",
    ]
    assert run.config()["data_fingerprint"] == prepared.fingerprint
    assert run.config()["vocabulary"] == prepared.vocabulary
    assert run.environment()["data"] == {"synthetic": prepared.fingerprint}


def test_the_loss_falls(prepared: Dataset, tmp_path: Path) -> None:
    optimization = OptimizationConfig(epochs=6, batch_size=128, learning_rate=3e-3)
    run = train(settings(prepared, tmp_path / "run", optimization=optimization))
    losses = [record["loss"] for record in run.logged() if "loss" in record]
    assert losses[-1] < losses[0] - 0.05
    assert [record["epoch"] for record in run.logged() if "val_log_loss" in record] == [1, 2, 3, 4, 5, 6]


class Killed(Exception):
    """Stands for a kill signal between two steps."""


TO_BE_KILLED = {
    "float": (smoke().model, {}),
    "fresh tables": (smoke().model, {"fresh_tables": "yes"}),
    "row-wise Adagrad": (smoke().model, {"embedding_optimizer": "rowwise-adagrad"}),
    "binary": (binary(), {}),
    "4-bit": (four_bit(), {}),
}
"""Model and what is changed in its optimization: each has a state of its own to go on with."""


@pytest.fixture(scope="module")
def two_epochs(
    prepared: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[TrainSettings, Run]]:
    """What trains one of ``TO_BE_KILLED`` without a kill, once; returns its settings and its run."""

    @functools.cache
    def unbroken(name: str) -> tuple[TrainSettings, Run]:
        model, changes = TO_BE_KILLED[name]
        # 21 steps an epoch and a checkpoint every 20
        optimization = OptimizationConfig(epochs=2, batch_size=128, **changes)
        folder = tmp_path_factory.mktemp("unbroken") / "run"
        chosen = settings(prepared, folder, model=model, optimization=optimization)
        return chosen, train(chosen)

    return unbroken


@pytest.mark.parametrize(
    ("name", "step"),
    # Before the first checkpoint, on one, inside an epoch and near an epoch's end. What else has a state of its own is
    # killed between the checkpoints of both epochs.
    [("float", 1), ("float", 20), ("float", 33), ("float", 41)]
    + [(name, step) for name in ("fresh tables", "binary", "4-bit") for step in (33, 41)]
    + [("row-wise Adagrad", 33)],
)
def test_a_killed_run_ends_with_the_same_bits(
    two_epochs: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, step: int
) -> None:
    chosen, unbroken = two_epochs(name)
    original = Trainer._train_step

    def killed_at(self: Trainer, batch) -> float:
        if self.shell.step == step:
            raise Killed
        return original(self, batch)

    monkeypatch.setattr(Trainer, "_train_step", killed_at)
    with pytest.raises(Killed):
        train(dataclasses.replace(chosen, out=tmp_path / "killed"))
    monkeypatch.undo()
    resumed = train(dataclasses.replace(smoke(), resume=tmp_path / "killed"))
    first, second = weights(unbroken.folder), weights(resumed.folder)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert [r["loss"] for r in unbroken.logged() if "loss" in r] == [
        r["loss"] for r in resumed.logged() if "loss" in r
    ]
    assert not (resumed.checkpoints / RESUME).exists()


@pytest.mark.slow
def test_a_process_killed_by_a_signal_goes_on(prepared: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "recsys_bnn.cli", "train", "--data", prepared.folder, "--out", out]
    process = subprocess.Popen([*command, *SMOKE, "--epochs", "8", "--batch-size", "128"])
    while not (out / "checkpoints" / RESUME).exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "checkpoints" / "model.safetensors").exists()
    train(dataclasses.replace(smoke(), resume=out))
    assert (out / "checkpoints" / "model.safetensors").exists()
    steps = [record["step"] for record in map(json.loads, (out / "metrics.jsonl").read_text().splitlines())]
    assert steps == sorted(steps)


def test_an_ended_run_is_left_alone(
    prepared: Dataset, trained: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    before = os.stat(trained.checkpoints / "model.safetensors").st_mtime_ns  # noqa: PTH116
    train(dataclasses.replace(smoke(), resume=trained.folder))
    assert "ended already" in capsys.readouterr().err
    with pytest.raises(UserError, match="--resume"):
        train(settings(prepared, trained.folder))
    assert os.stat(trained.checkpoints / "model.safetensors").st_mtime_ns == before  # noqa: PTH116


def killed_run(settings: TrainSettings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Start a run that is killed at its second step; return its folder."""
    original = Trainer._train_step

    def killed(self: Trainer, batch) -> float:
        if self.shell.step:
            raise Killed
        return original(self, batch)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Trainer, "_train_step", killed)
        train(settings)
    assert settings.out is not None
    return settings.out


def test_changed_data_under_a_resumed_run_are_refused(
    prepared: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    shutil.copytree(prepared.folder, data)
    run = killed_run(dataclasses.replace(settings(prepared, tmp_path / "run"), data=data), monkeypatch)
    shutil.rmtree(data)
    prepare(PrepareConfig(format="synthetic", rows=1000, out=data))
    with pytest.raises(UserError, match="run: was computed from another data fingerprint .*start a new run"):
        train(dataclasses.replace(smoke(), resume=run))


def test_a_teacher_trained_anew_under_a_resumed_run_is_refused(
    prepared: Dataset, trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = tmp_path / "teacher"
    shutil.copytree(trained.folder, teacher)
    run = killed_run(settings(prepared, tmp_path / "run", teacher=teacher), monkeypatch)
    shutil.rmtree(teacher)
    train(settings(prepared, teacher, seed=1))
    with pytest.raises(UserError, match="run: was computed from another teacher weights"):
        train(dataclasses.replace(smoke(), resume=run))


def test_resume_takes_no_other_option(prepared: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="leave out the other options"):
        train(dataclasses.replace(smoke(), resume=tmp_path, seed=1))


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(
    prepared: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Trainer._train_step

    def broken(self: Trainer, batch) -> float:
        loss = original(self, batch)
        return float("nan") if self.shell.step > 24 else loss

    monkeypatch.setattr(Trainer, "_train_step", broken)
    with pytest.raises(UserError, match="the loss is nan at step 26; lower --learning-rate"):
        train(settings(prepared, tmp_path / "run", optimization=OptimizationConfig(epochs=2, batch_size=128)))
    _, facts = load_tensors(tmp_path / "run" / "checkpoints" / RESUME)
    assert facts["step"] == 20


def test_a_loss_that_is_not_finite_is_found_at_the_next_step(
    prepared: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "_targets", lambda self, batch, mine, features: batch.labels * float("nan"))
    optimization = OptimizationConfig(batch_size=128)  # 21 steps, none of them logged or kept
    chosen = dataclasses.replace(
        settings(prepared, tmp_path / "run", optimization=optimization), log_every=1000
    )
    with pytest.raises(UserError, match="the loss is nan at step 1; .* There was no checkpoint yet"):
        train(dataclasses.replace(chosen, checkpoint_every=1000))


def test_a_loss_that_explodes_ends_the_run(prepared: Dataset, tmp_path: Path) -> None:
    config = OptimizationConfig(batch_size=128, learning_rate=1e4)
    chosen = dataclasses.replace(settings(prepared, tmp_path / "run", optimization=config), log_every=1000)
    with pytest.raises(UserError, match=r"the loss is \S+ at step \d+; lower --learning-rate or --emb"):
        train(chosen)
    assert not (tmp_path / "run" / "checkpoints" / "model.safetensors").exists()


def test_missing_data_and_too_few_rows_are_refused_before_a_folder_is_made(
    prepared: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="--data is missing"):
        train(dataclasses.replace(smoke(), out=tmp_path / "run"))
    with pytest.raises(UserError, match="lower --batch-size"):
        train(settings(prepared, tmp_path / "run", optimization=OptimizationConfig(batch_size=4000)))
    assert not (tmp_path / "run").exists()


def test_the_frequency_threshold_shortens_the_tables(prepared: Dataset) -> None:
    full, cut = kept_rows(prepared, 0), kept_rows(prepared, 20)
    assert full == tuple(prepared.cardinalities)
    assert sum(cut) < sum(full) / 2
    for field, rows in enumerate(cut):
        counts = prepared.counts(field)[2:]
        assert rows == 2 + sum(count >= 20 for count in counts)


@pytest.mark.parametrize(
    ("optimizer", "bits", "asked", "schedule"),
    [
        ("rowwise-adagrad", 32, "auto", "constant"),
        ("rowwise-adagrad", 1, "auto", "cosine"),
        ("adam", 32, "auto", "cosine"),
        ("rowwise-adagrad", 1, "constant", "constant"),
    ],
)
def test_only_float_tables_under_adagrad_keep_their_rate(
    optimizer: str, bits: int, asked: str, schedule: str
) -> None:
    given = dataclasses.replace(
        smoke(),
        model=ModelConfig(embedding_bits=bits),
        optimization=OptimizationConfig(embedding_optimizer=optimizer, embedding_schedule=asked),
    )
    assert embedding_schedule(given) == schedule


def test_each_pass_may_begin_with_new_tables(prepared: Dataset, tmp_path: Path) -> None:
    config = OptimizationConfig(epochs=2, batch_size=128, embedding_learning_rate=1e-12, fresh_tables="yes")
    run = train(settings(prepared, tmp_path / "run", optimization=config))
    model = load_model(run, prepared)
    model.embedding.reset_parameters(seeds.torch_generator(0, "tables", 1))
    torch.testing.assert_close(weights(run.folder)["embedding.weight"], model.embedding.weight.detach())


def test_only_the_rate_of_the_tables_restarts_with_new_tables(
    prepared: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[list[float]] = []
    original = Trainer._set_learning_rates

    def recorded(self: Trainer) -> None:
        original(self)
        rates.append([group["lr"] for o in self.optimizers for group in o.param_groups])

    monkeypatch.setattr(Trainer, "_set_learning_rates", recorded)
    config = OptimizationConfig(epochs=2, batch_size=128, embedding_learning_rate=0.1, fresh_tables="yes")
    train(settings(prepared, tmp_path / "run", optimization=config))
    first, second = rates[:21], rates[21:]
    assert [each[-1] for each in second] == [each[-1] for each in first]
    assert first[0][-1] == pytest.approx(0.1 / 2) and first[-1][-1] < 0.01  # a whole warm-up and cosine
    assert second[0][0] < first[-1][0] < max(each[0] for each in first)  # the MLPs' goes on falling


def test_scales_learn_ten_times_faster_and_never_decay(prepared: Dataset) -> None:
    chosen = dataclasses.replace(smoke(), model=four_bit())
    model = build_model(chosen, prepared)
    config = OptimizationConfig(learning_rate=2e-3, weight_decay=0.05, embedding_learning_rate=0.1)
    groups = [group for optimizer in make_optimizers(model, config) for group in optimizer.param_groups]
    of = {id(p): group for group in groups for p in group["params"]}
    assert len(of) == sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    scales = {id(scale) for scale in model.scales()}
    first_order = {id(model.get_parameter(f"first_order.{name}")) for name in ("weight", "integer_weight")}
    assert scales
    for parameter in model.parameters():
        group = of[id(parameter)]
        if parameter is model.embedding.weight:
            assert group["lr"] == 0.1
        elif id(parameter) in first_order:
            assert (group["lr"], group["rows"]) == (config.first_order_rate, config.batch_size)
        elif id(parameter) in scales:
            assert (group["lr"], group["weight_decay"]) == (pytest.approx(2e-2), 0.0)
        else:
            assert (group["lr"], group["weight_decay"]) == (2e-3, 0.05)


def test_a_second_stage_starts_where_the_first_one_ended(prepared: Dataset, tmp_path: Path) -> None:
    first = train(
        settings(prepared, tmp_path / "first", optimization=OptimizationConfig(epochs=3, batch_size=128))
    )
    tiny = OptimizationConfig(
        batch_size=128, learning_rate=1e-9, embedding_learning_rate=1e-9, weight_decay=0
    )
    second = train(settings(prepared, tmp_path / "second", init=first.folder, optimization=tiny))
    before, after = weights(first.folder), weights(second.folder)
    for name in ("embedding.weight", "top.1.weight", "bottom.1.weight"):
        torch.testing.assert_close(before[name], after[name], atol=1e-5, rtol=0)


def test_no_epochs_quantize_the_weights_of_another_run(
    prepared: Dataset, trained: Run, tmp_path: Path
) -> None:
    none = OptimizationConfig(epochs=0, batch_size=128)
    second = train(
        settings(prepared, tmp_path / "second", init=trained.folder, model=four_bit(), optimization=none)
    )
    before, after = weights(trained.folder), weights(second.folder)
    assert torch.equal(before["embedding.weight"], after["embedding.weight"])
    assert second.config()["model"] == "4-bit"
    with pytest.raises(UserError, match="--init"):
        settings(prepared, tmp_path / "third", optimization=none)


def test_a_share_of_the_rows_keeps_the_most_frequent_values(prepared: Dataset) -> None:
    full, kept = sum(kept_rows(prepared, 0)), kept_rows(prepared, 0, 0.1)
    assert 0.05 * full < sum(kept) <= 0.1 * full
    counts = [prepared.counts(field)[2:] for field in range(len(kept))]
    least = min(each[rows - 3] for each, rows in zip(counts, kept, strict=True) if rows > 2)
    assert all((each[rows - 2 :] < least).all() for each, rows in zip(counts, kept, strict=True))


def test_validation_changes_nothing_of_the_training(two_epochs, tmp_path: Path, monkeypatch) -> None:
    # Validation settles the batch norms for its own use; a run that never validates must end the same.
    chosen, validated = two_epochs("binary")
    monkeypatch.setattr(Trainer, "_validate", lambda self, epoch: None)
    train(dataclasses.replace(chosen, out=tmp_path / "without"))
    first, second = weights(validated.folder), weights(tmp_path / "without")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_targets_are_clicks_mixed_with_the_teachers_probabilities() -> None:
    labels, logits = torch.tensor([0.0, 1.0]), torch.tensor([0.0, 0.0])  # a probability of one half each
    assert distillation_targets(labels, logits, 0.0).tolist() == [0, 1]
    assert distillation_targets(labels, logits, 0.5).tolist() == [0.25, 0.75]
    assert distillation_targets(labels, logits, 1.0).tolist() == [0.5, 0.5]


def test_a_student_that_follows_its_teacher_alone_never_reads_the_clicks(
    prepared: Dataset, trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    optimization = OptimizationConfig(batch_size=128, distillation=1.0)
    train(settings(prepared, tmp_path / "student", teacher=trained.folder, optimization=optimization))
    original = Trainer._targets

    def flipped(self: Trainer, batch, mine: slice, features) -> torch.Tensor:
        return original(self, dataclasses.replace(batch, labels=1 - batch.labels), mine, features)

    monkeypatch.setattr(Trainer, "_targets", flipped)
    train(settings(prepared, tmp_path / "flipped", teacher=trained.folder, optimization=optimization))
    first, second = weights(tmp_path / "student"), weights(tmp_path / "flipped")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_teacher_of_another_topic_is_named_so(prepared: Dataset, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"topic": "other", "command": "train", "settings": {}}')
    with pytest.raises(UserError, match="--teacher .*but `other train` made this one"):
        train(settings(prepared, tmp_path / "run", teacher=tmp_path))


def test_a_missing_teacher_is_refused_before_a_folder_is_made(prepared: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--teacher .*not a run folder"):
        train(settings(prepared, tmp_path / "run", teacher=tmp_path))
    assert not (tmp_path / "run").exists()


TRAININGS = """
import json
import os
import sys
from pathlib import Path

from recsys_bnn import cli
from recsys_bnn.train import Trainer

original = Trainer._targets

def targets(self, batch, mine, features):
    bad = self.fabric.global_rank == 1 and self.shell.step == 39
    return original(self, batch, mine, features) * (float("nan") if bad else 1)

Trainer._targets = targets
for out, options in json.loads(sys.argv[1]).items():
    said = os.open(f"{out}-said-{os.environ['RANK']}", os.O_WRONLY | os.O_CREAT)
    os.dup2(said, 2)
    sys.argv[1:] = ["train", "--out", out, *options]
    code = 0
    try:
        cli.main()
    except SystemExit as end:
        code = end.code or 0
    os.write(said, f"ended with {code}".encode())
sys.exit(code)
"""
"""Trainings in processes that start once. In step 40 the loss of the second process is not finite. That of the first one
is, but its weights are not."""
SMOKE = ["--preset", "smoke", "--device", "cpu", "--threads", "1"]


def bits_of(bits: str) -> list[str]:
    return ["--embedding-bits", bits, "--mlp-bits", bits, "--log-every", "1"]


@pytest.fixture(scope="module")
def by_two(prepared: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of trainings by two processes on this machine, which must not hang: of two models, of a batch that can't
    be shared, and of a loss that is not finite."""
    folder = tmp_path_factory.mktemp("by-two")
    common = ["--data", str(prepared.folder), *SMOKE]
    small_steps = ["--batch-size", "128", "--epochs", "3", "--log-every", "1000", "--checkpoint-every", "20"]
    trainings = {
        "uneven": [*common, "--batch-size", "129"],
        "32": [*common, *bits_of("32")],
        "1": [*common, *bits_of("1")],
        "bad": [*common, *small_steps],
    }
    (folder / "program.py").write_text(TRAININGS)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, "program.py", json.dumps(trainings)], cwd=folder, check=False, timeout=300
    )
    assert done.returncode != 0, "the last of them failed"
    return folder


def said(folder: Path, name: str) -> list[str]:
    """Return what each of two processes said of a training, and how it ended."""
    return [(folder / f"{name}-said-{rank}").read_text() for rank in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("bits", ["32", "1"])
def test_two_processes_train_as_one_does(prepared: Dataset, by_two: Path, tmp_path: Path, bits: str) -> None:
    # The same rows in each step, batch norms over both halves, gradients averaged: the same curve.
    first, second = said(by_two, bits)
    assert first.endswith("ended with 0") and second.endswith("ended with 0")
    assert first.count("device: cpu (") == 1 and "device" not in second, "the choice is printed once"
    model = dataclasses.replace(smoke().model, embedding_bits=int(bits), mlp_bits=int(bits))
    train(settings(prepared, tmp_path / "one", model=model, log_every=1))
    losses = [
        [r["loss"] for r in run.logged() if "loss" in r]
        for run in (Run(tmp_path / "one"), Run(by_two / bits))
    ]
    assert len(losses[0]) == 21
    # A sign turns a rounding error into a flip, so the binary curves part by more than rounding errors.
    assert losses[1] == pytest.approx(losses[0], rel=1e-4 if bits == "32" else 2e-2)


@pytest.mark.slow
def test_a_batch_that_processes_cannot_share_evenly_is_refused(by_two: Path) -> None:
    first, second = said(by_two, "uneven")
    assert "must be a multiple of the 2 processes" in first + second
    assert first.endswith("ended with 2") and second.endswith("ended with 2")
    assert not (by_two / "uneven").exists()


@pytest.mark.slow
def test_one_process_whose_loss_is_not_finite_stops_both(by_two: Path) -> None:
    for each in said(by_two, "bad"):
        assert each.count("at step 40; lower --learning-rate") == 1 and each.endswith("ended with 2")
    checkpoints = Run(by_two / "bad").checkpoints
    tensors, facts = load_tensors(checkpoints / RESUME)
    assert facts["step"] == 20 and all(torch.isfinite(tensor).all() for tensor in tensors.values())
    assert [path.name for path in checkpoints.iterdir()] == [RESUME]


def test_chosen_passes_are_those_of_a_run_that_was_given_them(
    prepared: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def twice(first: int, labels, train_and_measure) -> int:
        tried.extend(train_and_measure(passes) for passes in (first, 2 * first))
        assert all(losses.shape == labels.shape and np.isfinite(losses).all() for losses in tried)
        return 2 * first

    choosing = OptimizationConfig(epochs=1, batch_size=128, choose_passes="yes", fit_on="train+val")
    given = dataclasses.replace(choosing, epochs=2, choose_passes="no")
    monkeypatch.setattr("recsys_bnn.train.choose_passes", twice)
    original = Trainer._train_step

    def killed_at(self: Trainer, batch) -> float:
        if len(tried) == 2 and self.shell.step == 25:
            raise Killed
        return original(self, batch)

    monkeypatch.setattr(Trainer, "_train_step", killed_at)
    with pytest.raises(Killed):
        train(settings(prepared, tmp_path / "chosen", optimization=choosing))
    monkeypatch.undo()
    run = train(dataclasses.replace(smoke(), resume=tmp_path / "chosen"))
    assert run.config()["passes"] == 2
    assert (tried[0] != tried[1]).any()
    other = train(settings(prepared, tmp_path / "given", optimization=given))
    first, second = weights(run.folder), weights(other.folder)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_training_rows_that_fill_no_batch_alone_choose_nothing(prepared: Dataset, tmp_path: Path) -> None:
    batch = len(prepared.rows("train")) + 2
    choosing = OptimizationConfig(batch_size=batch, choose_passes="yes", fit_on="train+val")
    assert (
        train(settings(prepared, tmp_path / "run", optimization=choosing)).config()["passes"]
        == choosing.epochs
    )
