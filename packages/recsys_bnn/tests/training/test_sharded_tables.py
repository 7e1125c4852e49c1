import dataclasses
import subprocess
import sys
import types
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from recsys_bnn.data.dataset import Dataset
from recsys_bnn.settings.training import OptimizationConfig, TrainSettings, smoke
from recsys_bnn.training.sharded_tables import check
from seminar_common.checkpoints import load_tensors
from seminar_common.errors import UserError
from seminar_common.runs import Run

CPU = torch.device("cpu")


def settings(**changes) -> TrainSettings:
    config = OptimizationConfig(embedding_optimizer="rowwise-adagrad", **changes)
    return dataclasses.replace(smoke(), tables="torchrec", optimization=config)


def test_what_is_missing_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchrec", None)
    with pytest.raises(UserError, match="TorchRec can't be loaded .*--project tools/sharded"):
        check(settings(), 2, CPU)


def test_settings_that_dont_go_with_divided_tables_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchrec", types.ModuleType("torchrec"))
    good = settings()
    check(good, 2, CPU)
    narrow = dataclasses.replace(good.model, embedding_dim=6)
    for bad, processes, device, message in (
        (good, 1, CPU, "start it with torchrun"),
        (good, 2, torch.device("cuda"), "--device cpu"),
        (
            dataclasses.replace(good, optimization=OptimizationConfig(embedding_optimizer="adam")),
            2,
            CPU,
            "adagrad",
        ),
        (dataclasses.replace(good, model=narrow), 2, CPU, "multiple of 4"),
        (dataclasses.replace(good, init=Path("run")), 2, CPU, "leave out --init"),
    ):
        with pytest.raises(UserError, match=message):
            check(bad, processes, device)


@pytest.mark.slow
@pytest.mark.parametrize(("bits", "tolerance"), [("32", 1e-4), ("4", 2e-2)])
def test_divided_tables_learn_as_those_of_one_process(
    prepared: Dataset, tmp_path: Path, bits: str, tolerance: float
) -> None:
    pytest.importorskip("torchrec", exc_type=ImportError)
    options = (
        "--preset smoke --device cpu --threads 1 --log-every 1 --epochs 2 --fresh-tables yes --mlp-bits 32 "
        "--embedding-optimizer rowwise-adagrad --embedding-learning-rate 0.05"
    )
    common = [
        "-m",
        "recsys_bnn.cli",
        "train",
        "--data",
        prepared.folder,
        *options.split(),
        "--embedding-bits",
        bits,
    ]
    two = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for start, out in (([], ["one"]), (two, ["two", "--tables", "torchrec"])):
        out[0] = str(tmp_path / out[0])
        subprocess.run([sys.executable, *start, *common, "--out", *out], check=True, timeout=300)
    losses = [[r["loss"] for r in Run(tmp_path / name).logged() if "loss" in r] for name in ("one", "two")]
    assert len(losses[0]) == 42
    assert losses[1] == pytest.approx(losses[0], rel=tolerance)
    one, other = (
        load_tensors(tmp_path / name / "checkpoints" / "model.safetensors")[0] for name in ("one", "two")
    )
    assert one.keys() == other.keys()
    if bits == "32":
        torch.testing.assert_close(one["embedding.weight"], other["embedding.weight"], rtol=1e-3, atol=1e-3)
    assert [path.name for path in (tmp_path / "two" / "checkpoints").iterdir()] == ["model.safetensors"]
