"""The shell of a training, around a trainer of a few lines."""

import pytest

pytest.importorskip("torch")

import math
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import torch
from lightning_fabric import Fabric

from seminar_common import runs
from seminar_common.checkpoints import save_tensors
from seminar_common.device import DeviceConfig
from seminar_common.errors import UserError
from seminar_common.training import (
    RESUME,
    WEIGHTS,
    DivergedError,
    TrainingShell,
    final_weights,
    has_ended,
    learning_rate_factor,
    open_or_resume,
)


def new_shell(folder: Path, steps: int = 10) -> TrainingShell:
    if not folder.exists():
        runs.create(folder, {}, {})
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    return TrainingShell(
        Fabric(accelerator="cpu"), runs.open_run(folder), steps, {"model": model}, [optimizer]
    )


def train(shell: TrainingShell, until: int, checkpoint_every: int = 3) -> None:
    """Take steps whose data depend on the step alone."""
    (optimizer,) = shell.optimizers
    while shell.step < until:
        shell.set_learning_rates(learning_rate_factor(shell.step, shell.steps, 0.2))
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(shell.step))
        loss = shell.modules["model"](x).pow(2).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        shell.end_step({"loss": loss.item()})
        if shell.step % 2 == 0:
            shell.log(shell.mean_losses())
        if shell.step % checkpoint_every == 0:
            shell.checkpoint()


def test_a_resumed_training_ends_with_the_weights_and_the_log_of_an_unbroken_one(tmp_path: Path) -> None:
    unbroken = new_shell(tmp_path / "unbroken")
    train(unbroken, 10)
    unbroken.finish("model")
    train(new_shell(tmp_path / "killed"), 7)  # its last checkpoint is of step 6
    resumed = new_shell(tmp_path / "killed")
    resumed.restore()
    assert resumed.step == 6
    train(resumed, 10)
    resumed.finish("model")
    one, other = (final_weights(shell.run)[0] for shell in (unbroken, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert resumed.run.logged() == unbroken.run.logged()
    assert [path.name for path in sorted(resumed.run.checkpoints.iterdir())] == [WEIGHTS]


def test_what_a_kill_left_half_written_is_removed_as_the_training_goes_on(tmp_path: Path) -> None:
    shell = new_shell(tmp_path / "run")
    train(shell, 3)
    (shell.run.checkpoints / f".{RESUME}.0123abcd.tmp").write_bytes(b"half")
    new_shell(tmp_path / "run").restore()
    assert [path.name for path in shell.run.checkpoints.iterdir()] == [RESUME]


def test_a_resumed_training_knows_the_cpu_time_before_its_last_checkpoint(tmp_path: Path) -> None:
    shell = new_shell(tmp_path / "run")
    train(shell, 2)
    shell.log({"cpu_s": 12.5})
    shell.checkpoint()
    shell.step += 1
    shell.log({"cpu_s": 20.0})  # of steps that the kill undoes
    resumed = new_shell(tmp_path / "run")
    assert resumed.earlier_cpu_s == 0
    resumed.restore()
    assert resumed.earlier_cpu_s == 12.5


def test_a_checkpoint_of_another_version_is_refused_in_one_line(tmp_path: Path) -> None:
    shell = new_shell(tmp_path / "run")
    save_tensors(shell.run.checkpoints / RESUME, {"x": torch.zeros(1)}, {"step": 3, "losses": [0.1]})
    with pytest.raises(UserError, match="another version wrote it"):
        shell.restore()


def test_only_an_ended_training_has_weights(tmp_path: Path) -> None:
    shell = new_shell(tmp_path / "run")
    train(shell, 3)
    assert not has_ended(shell.run)
    with pytest.raises(UserError, match="has not ended; go on with `train --resume"):
        final_weights(shell.run)
    shell.finish("model")
    assert has_ended(shell.run)


@pytest.mark.parametrize("loss", [math.nan, math.inf, 100.1])
def test_a_loss_out_of_bounds_ends_the_run_at_its_step_and_keeps_the_last_good_checkpoint(
    loss: float, tmp_path: Path
) -> None:
    shell = new_shell(tmp_path / "run")
    shell.largest_loss = 100.0
    with pytest.raises(DivergedError, match="no checkpoint yet"):
        shell.end_step({"loss": loss, "other": 1.0})
    shell = new_shell(tmp_path / "run")
    shell.largest_loss = 100.0
    train(shell, 3)
    good = (shell.run.checkpoints / RESUME).read_bytes()
    shell.end_step({"loss": 100.0, "other": 1.0})
    with pytest.raises(
        DivergedError, match=f"{loss:.3g} at step 5; lower .* The last good checkpoint was kept"
    ):
        shell.end_step({"loss": loss, "other": 1.0})
    assert (shell.run.checkpoints / RESUME).read_bytes() == good
    assert not (shell.run.checkpoints / WEIGHTS).exists()


def test_settings_that_were_changed_after_the_training_are_noticed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = new_shell(tmp_path / "run")
    shell.finish("model")
    final_weights(shell.run)
    assert not capsys.readouterr().err
    (tmp_path / "run" / runs.MARKER).write_text('{"a": 1}')
    with pytest.raises(UserError, match=r"config.json: was changed after the training"):
        final_weights(shell.run)
    save_tensors(shell.run.checkpoints / WEIGHTS, shell.modules["model"].state_dict(), {"step": 1})
    final_weights(shell.run)
    assert "stored no digests" in capsys.readouterr().err


def test_weights_that_are_not_finite_are_never_written(tmp_path: Path) -> None:
    # The last step's loss is finite, but its update was not.
    shell = new_shell(tmp_path / "run")
    train(shell, 3)
    torch.nn.init.constant_(shell.modules["model"].weight, math.inf)
    with pytest.raises(DivergedError, match="weights are not finite at step 3"):
        shell.finish("model")
    assert not (shell.run.checkpoints / WEIGHTS).exists()


TWO_PROCESSES = """
import math, sys
from pathlib import Path
import torch
from seminar_common import runs
from seminar_common.device import DeviceConfig, launch
from seminar_common.errors import UserError
from seminar_common.training import TrainingShell, start_run

fabric = launch(DeviceConfig(device="cpu", threads=1))
assert fabric.world_size == 2

def average():
    layer = torch.nn.Linear(2, 1, bias=False)
    torch.nn.init.zeros_(layer.weight)
    model, optimizer = fabric.setup(layer, torch.optim.SGD(layer.parameters(), lr=1.0))
    fabric.backward(model(torch.full((1, 2), float(fabric.global_rank + 1))).sum())
    optimizer.step()
    Path(f"{sys.argv[1]}-weight-{fabric.global_rank}").write_text(str(layer.weight.tolist()))

average()
run = start_run(fabric, Path(sys.argv[1]), {})
model = torch.nn.Linear(3, 1)
shell = TrainingShell(fabric, run, 10, {"model": model}, [torch.optim.SGD(model.parameters(), lr=0.1)])
try:
    for step in range(10):
        bad = step == 4 and fabric.global_rank == 1  # the losses of the first process stay finite
        shell.end_step({"loss": math.nan if bad else 1.0})
        if shell.step % 2 == 1:
            shell.checkpoint()
except UserError as error:
    Path(f"{sys.argv[1]}-ended-{fabric.global_rank}").write_text(str(shell.step))
"""


@pytest.fixture(scope="module")
def by_two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The run of two processes, with files beside it, and what they said."""
    folder = tmp_path_factory.mktemp("by-two")
    (folder / "train.py").write_text(TWO_PROCESSES)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, folder / "train.py", folder / "run"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder / "run", done.stderr


@pytest.mark.slow
def test_two_processes_average_their_gradients(by_two: tuple[Path, str]) -> None:
    run, said = by_two
    # The inputs are 1 and 2, so the mean gradient is 1.5 in both processes.
    weights = [run.with_name(f"run-weight-{rank}").read_text() for rank in (0, 1)]
    assert weights == ["[[-1.5, -1.5]]"] * 2
    assert said.count("device: cpu (") == 1, "the choice is printed once, not by every process"


@pytest.mark.slow
def test_a_loss_of_another_process_that_is_not_finite_ends_all_of_them(by_two: tuple[Path, str]) -> None:
    folder, _ = by_two
    assert [folder.with_name(f"run-ended-{rank}").read_text() for rank in (0, 1)] == ["5", "5"]
    shell = new_shell(folder)
    shell.restore()
    assert shell.step == 3  # the last good checkpoint


@pytest.mark.parametrize(
    ("step", "schedule", "factor"),
    [(0, "cosine", 0.5), (1, "cosine", 1.0), (2, "cosine", 1.0), (6, "cosine", 0.5), (6, "constant", 1.0)],
)
def test_the_learning_rate_rises_and_falls(step: int, schedule: str, factor: float) -> None:
    assert learning_rate_factor(step, 10, 0.2, schedule) == pytest.approx(factor)


@dataclass(frozen=True)
class Settings:
    """Settings of a made-up train command."""

    preset: str = "small"
    steps: int = 10
    resume: Path | None = None
    device: DeviceConfig = field(default_factory=DeviceConfig)


PRESETS = {"small": Settings}


def stored(run: runs.Run) -> Settings:
    return runs.stored_settings(run, Settings, "made-up", "train")


def test_a_resumed_run_has_its_own_settings_and_threads(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    runs.create(folder, runs.envelope("made-up", "train", Settings(steps=7)), runs.environment(threads=3))
    run, settings = open_or_resume(Settings(resume=folder), PRESETS, stored)
    assert run == runs.Run(folder)
    assert settings == Settings(steps=7, device=DeviceConfig(threads=3))
    with pytest.raises(UserError, match="leave out the other options"):
        open_or_resume(Settings(resume=folder, steps=3), PRESETS, stored)


def test_what_has_moved_may_be_named_anew(tmp_path: Path) -> None:
    def resumed(**given: Path | int) -> NoPreset:
        return open_or_resume(NoPreset(resume=folder, **given), {"": NoPreset}, own, movable=("data",))[1]  # ty: ignore

    def own(run: runs.Run) -> NoPreset:
        return runs.stored_settings(run, NoPreset, "made-up", "train")

    folder, old = tmp_path / "run", tmp_path / "old"
    runs.create(
        folder, runs.envelope("made-up", "train", NoPreset(old, steps=7)), runs.environment(threads=1)
    )
    assert (resumed().data, resumed(data=tmp_path).data, resumed(data=tmp_path).steps) == (old, tmp_path, 7)
    with pytest.raises(UserError, match="leave out the other options but --data"):
        resumed(data=tmp_path, steps=7)


@dataclass(frozen=True)
class NoPreset:
    """Settings of a made-up train command without presets."""

    data: Path | None = None
    steps: int = 10
    resume: Path | None = None
    device: DeviceConfig = field(default_factory=DeviceConfig)


def test_a_new_run_keeps_the_given_settings() -> None:
    assert open_or_resume(Settings(steps=3), PRESETS, stored) == (None, Settings(steps=3))
