"""Which precision features are computed in where nobody says it."""

import dataclasses
from types import SimpleNamespace

import pytest

pytest.importorskip("torch")

from gcd_longtail.backbones import cpu_network, precision
from gcd_longtail.backbones.cache import feature_facts
from gcd_longtail.backbones.precision import with_precision
from gcd_longtail.settings.commands import FeatureConfig
from seminar_common.device import PlaceConfig

LARGE = FeatureConfig(size=224, mirror=False)
CPU = PlaceConfig("cpu")


@pytest.fixture
def amx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_network, "is_quicker_in_bfloat16", lambda: True)


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ({}, "bf16-mixed"),
        ({"size": 256}, "bf16-mixed"),
        ({"precision": "32-true"}, "32-true"),
        ({"size": 160}, "32-true"),  # where it loses half a point
        ({"backbone": "efficientnet-lite2"}, "32-true"),  # of which nothing was measured
        ({"layers": 2}, "32-true"),
        ({"backbone": "pixels", "size": 8}, "32-true"),
    ],
)
def test_bfloat16_is_taken_where_it_is_quick_and_was_measured(
    amx, changes: dict, taken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = with_precision(dataclasses.replace(LARGE, **changes), CPU)
    assert chosen.precision == taken == feature_facts(chosen)["precision"]
    said = "--precision 32-true takes 32 bits" in capsys.readouterr().err
    assert said == (taken == "bf16-mixed")


def test_other_processors_take_32_bits_unless_they_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_network, "is_quicker_in_bfloat16", lambda: False)
    assert with_precision(LARGE, CPU).precision == "32-true"
    asked = dataclasses.replace(LARGE, precision="bf16-mixed")
    assert with_precision(asked, CPU) == asked


def test_a_gpu_takes_32_bits(amx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "choose", lambda place: SimpleNamespace(accelerator="cuda"))
    assert with_precision(LARGE, PlaceConfig("auto")).precision == "32-true"
