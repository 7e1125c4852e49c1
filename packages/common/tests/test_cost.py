import pytest

pytest.importorskip("torch")

import subprocess
import sys

import numpy as np
import torch

from seminar_common.cost import (
    Layer,
    TensorSize,
    measure_latency,
    mflops_per_sample,
    peak_rss_mb,
    size_mb,
)


def dlrm_layers(top_bits):
    """BITorch's DLRM on Criteo: 13-512-256-64-16, the full 27 x 27 product of 16 values, 367-512-256-1."""
    bottom, top = (13, 512, 256, 64, 16), (367, 512, 256, 1)
    layers = [Layer(f"bottom {i}", a * b) for i, (a, b) in enumerate(zip(bottom, bottom[1:], strict=False))]
    layers.append(Layer("interaction", 27 * 27 * 16))
    for i, (a, b) in enumerate(zip(top, top[1:], strict=False)):
        layers.append(Layer(f"top {i}", a * b, top_bits, top_bits))
    return layers


def test_the_reference_dlrm_takes_2430_mflops_for_5000_samples():
    assert mflops_per_sample(dlrm_layers(32)) == pytest.approx(0.486032, abs=1e-12)
    assert round(5000 * mflops_per_sample(dlrm_layers(32))) == 2430


def test_a_binary_top_mlp_leaves_884():
    assert round(5000 * mflops_per_sample(dlrm_layers(1))) == 884


def test_only_two_narrow_operands_make_an_operation_cheaper():
    assert mflops_per_sample([Layer("float", 32_000_000)]) == 32
    assert mflops_per_sample([Layer("weights alone", 32_000_000, weight_bits=1)]) == 32
    assert mflops_per_sample([Layer("1 x 4 bits", 32_000_000, weight_bits=1, activation_bits=4)]) == 4
    assert mflops_per_sample([Layer("binary", 32_000_000, weight_bits=1, activation_bits=1)]) == 1


def test_size_counts_every_tensor_at_its_own_bits():
    # A million 16-bit values are 2 MB, eight million single bits 1 MB.
    assert size_mb([TensorSize("scales", 1_000_000, 16), TensorSize("signs", 8_000_000, 1)]) == 3.0
    assert size_mb([TensorSize("odd", 3, 1)]) == pytest.approx(3 / 8 / 1e6)


@pytest.mark.parametrize(
    "cost", [lambda: Layer("a", -1), lambda: Layer("a", 1, 0), lambda: TensorSize("a", 1, 0)]
)
def test_impossible_costs_are_refused(cost):
    with pytest.raises(ValueError, match="bits must be at least 1"):
        cost()


def test_latency_counts_calls_and_pins_threads(monkeypatch):
    set_threads, seen = [], []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    monkeypatch.setattr(torch, "set_num_threads", set_threads.append)
    latency = measure_latency(lambda: seen.append(tuple(set_threads)), warmup=3, repeats=5, threads=2)
    assert seen == [(2,)] * 8  # every call, warm-up too, runs with two threads
    assert set_threads == [2, 7]  # and the old number is back afterwards
    assert (latency.repeats, latency.threads) == (5, 2)


def test_latency_restores_threads_after_an_error(monkeypatch):
    set_threads = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    monkeypatch.setattr(torch, "set_num_threads", set_threads.append)
    with pytest.raises(ZeroDivisionError):
        measure_latency(lambda: 1 / 0, warmup=0, repeats=1, threads=1)
    assert set_threads == [1, 7]


def test_latency_summarises_the_timed_calls_alone(monkeypatch):
    # A clock that only the calls move on: 1 ms for the warm-up, then 1 to 100 microseconds.
    now, steps = [0], iter([1_000_000, *range(1000, 101_000, 1000)])

    def call():
        now[0] += next(steps)

    monkeypatch.setattr("seminar_common.cost.perf_counter_ns", lambda: now[0])
    latency = measure_latency(call, warmup=1, repeats=100, threads=torch.get_num_threads())
    microseconds = np.arange(1, 101)
    assert latency.p50_us == pytest.approx(50.5)
    assert latency.p99_us == pytest.approx(np.percentile(microseconds, 99))
    assert latency.throughput_per_s == pytest.approx(1e6 / microseconds.mean())


@pytest.mark.parametrize("options", [{"repeats": 0}, {"threads": 0}, {"warmup": -1}])
def test_impossible_timings_are_refused(options):
    with pytest.raises(ValueError, match="need repeats >= 1"):
        measure_latency(lambda: None, **options)


def child_peak_mb(code):
    script = f"from seminar_common.cost import peak_rss_mb\n{code}\nprint(peak_rss_mb())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return float(done.stdout)


def test_peak_memory_remembers_what_was_freed():
    peak = child_peak_mb("block = bytearray(b'x') * 300_000_000\ndel block")
    assert 300 < peak < 450


def test_peak_memory_is_not_that_of_the_parent():
    ballast = np.ones(50_000_000)  # 400 MB, in this process alone
    assert peak_rss_mb() > ballast.nbytes / 1e6
    assert child_peak_mb("") < 200
