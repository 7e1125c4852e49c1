import subprocess
import sys
from pathlib import Path

import pytest
import torch

from seminar_common.device import DeviceConfig, choose, launch, usable_cores
from seminar_common.errors import UserError


def test_the_choice_carries_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    choice = choose(DeviceConfig(device="cpu"))
    assert (choice.accelerator, choice.precision, choice.processes) == ("cpu", "32-true", 1)
    assert choice.reason.startswith("cpu (asked for), 32-true (")
    assert choice.threads == usable_cores()


@pytest.mark.parametrize(("variable", "threads"), [("3", 3), ("", usable_cores()), ("0", usable_cores())])
def test_threads_follow_the_environment_unless_asked_for(monkeypatch, variable: str, threads: int) -> None:
    # Test workers and torchrun set OMP_NUM_THREADS so that processes don't fight for the cores.
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert choose(DeviceConfig(device="cpu")).threads == threads
    assert choose(DeviceConfig(device="cpu", threads=2)).threads == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_auto_takes_the_cpu_and_says_why_where_there_is_no_gpu() -> None:
    assert "PyTorch finds no CUDA GPU" in choose(DeviceConfig()).reason


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_is_refused_where_there_is_none() -> None:
    with pytest.raises(UserError, match="no CUDA GPU"):
        choose(DeviceConfig(device="cuda"))


def test_half_precision_is_refused_on_the_cpu() -> None:
    with pytest.raises(UserError, match="needs a GPU"):
        choose(DeviceConfig(device="cpu", precision="16-mixed"))


def test_bf16_computes_in_bf16() -> None:
    fabric = launch(DeviceConfig(device="cpu", precision="bf16-mixed", threads=1))
    layer = fabric.setup(torch.nn.Linear(8, 8))
    with fabric.autocast():
        assert layer.module(torch.ones(1, 8)).dtype == torch.bfloat16


def test_the_thread_count_is_set() -> None:
    launch(DeviceConfig(device="cpu", threads=1))
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("threads", [-1])
def test_nonsense_is_refused(threads: int) -> None:
    with pytest.raises(UserError, match="--threads"):
        DeviceConfig(threads=threads)


DISTRIBUTED = """
import torch
from seminar_common.device import DeviceConfig, launch
def step():
    fabric = launch(DeviceConfig(device="cpu", threads=1))
    layer = torch.nn.Linear(2, 1, bias=False)
    torch.nn.init.zeros_(layer.weight)
    model, optimizer = fabric.setup(layer, torch.optim.SGD(layer.parameters(), lr=1.0))
    fabric.backward(model(torch.full((1, 2), float(fabric.global_rank + 1))).sum())
    optimizer.step()
    assert fabric.world_size == 2
    print("weight", layer.weight.tolist(), flush=True)
step()
"""


@pytest.mark.slow
def test_two_processes_average_their_gradients(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(DISTRIBUTED)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(script),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # The inputs are 1 and 2, so the mean gradient is 1.5 in both processes.
    # Their lines may interleave on the shared output, so the numbers are counted, not whole lines.
    assert done.stdout.count("[[-1.5, -1.5]]") == 2
    assert done.stderr.count("device: cpu (") == 1, "the choice is printed once, not by every process"
