import pytest

pytest.importorskip("torch")

import subprocess
import sys
from pathlib import Path

import torch
from threadpoolctl import threadpool_info, threadpool_limits

from seminar_common import device
from seminar_common.device import (
    DeviceConfig,
    PlaceConfig,
    cgroup_quota,
    choose,
    choose_threads,
    free_cores,
    launch,
    usable_cores,
)
from seminar_common.errors import UserError


def test_the_choice_carries_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    choice = choose(DeviceConfig(device="cpu"))
    assert (choice.accelerator, choice.precision, choice.processes) == ("cpu", "32-true", 1)
    assert choice.reason.startswith("cpu (asked for), 32-true (")
    assert 1 <= choice.threads <= usable_cores()


@pytest.mark.parametrize(("variable", "threads"), [("3", 3), ("", 7), ("0", 7)])
def test_threads_follow_the_environment_unless_asked_for(monkeypatch, variable: str, threads: int) -> None:
    # Test workers and torchrun set OMP_NUM_THREADS so that processes don't fight for the cores.
    monkeypatch.setattr(device, "free_cores", lambda: 7)
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert choose(DeviceConfig(device="cpu")).threads == threads
    assert choose(DeviceConfig(device="cpu", threads=2)).threads == 2


def test_processes_of_one_run_share_the_cores_without_looking_at_each_others_load(monkeypatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr(device, "_cores", lambda: set(range(8)))
    monkeypatch.setattr(device, "cgroup_quota", lambda: None)
    monkeypatch.setattr(device, "free_cores", lambda: pytest.fail("looked"))
    assert choose_threads() == (4, "an equal share of the cores")


@pytest.mark.parametrize(
    ("busy", "free"),
    [
        ((0, 0, 0, 0), 4),
        ((100, 0, 0, 0), 3),
        ((100, 100, 100, 100), 1),
        ((10, 5, 0, 8), 4),
        ((60, 60, 0, 0), 3),
    ],
    ids=["idle", "one busy loop", "all busy", "a little", "two half busy"],
)
def test_cores_that_others_use_are_left_to_them(
    tmp_path: Path, monkeypatch, busy: tuple[int, ...], free: int
) -> None:
    stat = tmp_path / "stat"

    def write(ticks: tuple[int, ...]) -> None:
        # A fifth core, which is idle but not ours, and a line that is no core stand in the file, too.
        lines = [
            f"cpu{core} {t} 0 0 {10_000 if core == 4 else 100 - t} 0 0 0 0 0 0"
            for core, t in enumerate((*ticks, 0))
        ]
        stat.write_text("\n".join(["cpu  1 2 3 4 5 6 7 8 9 10", *lines, "intr 1 2"]))

    write((0, 0, 0, 0))
    stat.write_text(stat.read_text().replace(" 100 0 0 0", " 0 0 0 0"))
    monkeypatch.setattr(device, "_cores", lambda: {0, 1, 2, 3})
    monkeypatch.setattr(device, "cgroup_quota", lambda: None)
    monkeypatch.setattr(device.time, "sleep", lambda seconds: write(busy))
    assert free_cores(stat=stat) == free


@pytest.mark.parametrize("text", [None, "", "cpu0 1 0 0 5 0 0 0 0 0 0"])
def test_all_cores_are_free_where_the_system_does_not_say(
    tmp_path: Path, monkeypatch, text: str | None
) -> None:
    if text is not None:
        (tmp_path / "stat").write_text(text)
    monkeypatch.setattr(device, "_cores", lambda: {0, 1, 2})
    monkeypatch.setattr(device, "cgroup_quota", lambda: None)
    assert free_cores(seconds=0, stat=tmp_path / "stat") == 3


@pytest.mark.parametrize(
    ("member", "limits", "quota"),
    [
        ("0::/", {"cpu.max": "150000 100000"}, 1.5),
        (
            "0::/a/b",
            {"cpu.max": "max 100000", "a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"},
            3.0,
        ),
        ("0::/", {"cpu.max": "max 100000"}, None),
        ("4:cpu,cpuacct:/x", {"cpu/x/cpu.cfs_quota_us": "50000", "cpu/x/cpu.cfs_period_us": "100000"}, 0.5),
        ("4:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ("3:memory:/x", {"cpu/x/cpu.cfs_quota_us": "50000", "cpu/x/cpu.cfs_period_us": "100000"}, None),
    ],
    ids=[
        "version 2",
        "an outer group binds, too",
        "no limit",
        "version 1",
        "version 1, no limit",
        "not of the CPU",
    ],
)
def test_the_quota_of_a_control_group_is_read(
    tmp_path: Path, monkeypatch, member: str, limits: dict[str, str], quota: float | None
) -> None:
    (tmp_path / "member").write_text(member + "\n")
    for name, text in limits.items():
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(text + "\n")
    assert cgroup_quota(tmp_path / "root", tmp_path / "member") == quota
    monkeypatch.setattr(device, "_cores", lambda: set(range(8)))
    monkeypatch.setattr(device, "cgroup_quota", lambda: quota)
    assert usable_cores() == (8 if quota is None else max(1, int(quota)))


def test_no_control_groups_are_no_limit(tmp_path: Path) -> None:
    assert cgroup_quota(tmp_path, tmp_path / "absent") is None


def test_the_module_needs_no_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; from seminar_common.device import choose_threads; choose_threads()"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


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


def test_what_has_no_choice_of_precision_computes_in_32_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    assert choose(DeviceConfig()).precision == "bf16-mixed"
    assert choose(PlaceConfig()).precision == "32-true"


def test_bf16_computes_in_bf16() -> None:
    fabric = launch(DeviceConfig(device="cpu", precision="bf16-mixed", threads=1))
    layer = fabric.setup(torch.nn.Linear(8, 8))
    with fabric.autocast():
        assert layer.module(torch.ones(1, 8)).dtype == torch.bfloat16


@pytest.mark.parametrize("threads", [1, 2])
def test_the_thread_count_is_that_of_pytorch_and_of_every_library_below_numpy(threads: int) -> None:
    with threadpool_limits(3 - threads):
        launch(DeviceConfig(device="cpu", threads=threads))
        assert torch.get_num_threads() == threads
        assert {pool["num_threads"] for pool in threadpool_info()} == {threads}


@pytest.mark.parametrize("threads", [-1])
def test_nonsense_is_refused(threads: int) -> None:
    with pytest.raises(UserError, match="--threads"):
        DeviceConfig(threads=threads)
