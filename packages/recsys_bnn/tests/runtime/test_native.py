"""The C engine against whole numbers, against the NumPy engine, and against itself."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_bnn.compiled import build
from recsys_bnn.runtime.engines import EngineUnavailable, choose
from recsys_bnn.runtime.native import probe, summary, tables
from recsys_bnn.runtime.native.engine import NativeEngine
from recsys_bnn.runtime.native.kernels import KERNELS, REFERENCES, candidates, prepare
from recsys_bnn.runtime.numpy_engine import NumpyEngine, look_up, quantized
from recsys_bnn.runtime.random_spec import Shape, random_rows, random_spec
from recsys_bnn.runtime.spec import LayerSpec, ModelSpec
from seminar_common.errors import UserError

SHAPES = {
    "float": Shape(dim=13, top=(40, 20)),
    "flags, wide part": Shape(missing_flags=True, first_order=True),
    "no integers, 1 bit": Shape(integers=0, embedding_bits=1, top_bits=(1, 1), first_order=True),
    "no fields": Shape(cardinalities=()),
    "8 bits": Shape(embedding_bits=8, scale_kind="field", top_bits=(8, 8), bottom_bits=(8, 8)),
    "4 bits, groups": Shape(embedding_bits=4, scale_kind="group", top_bits=(4, 4), dim=5),
    "2 bits, rows": Shape(embedding_bits=2, scale_kind="row", top_bits=(2, 2), dim=3),
    "1 bit, rows": Shape(embedding_bits=1, scale_kind="row", top_bits=(1, 4), dim=9, top=(70,)),
    "binary": Shape(embedding_bits=1, scale_kind="field", top_bits=(1, 1), top=(70, 33)),
    "binary, D 4": Shape(embedding_bits=1, dim=4, top_bits=(1, 1)),
    "binary, D 64": Shape(embedding_bits=1, scale_kind="group", dim=64, top_bits=(1, 1), thresholds=3),
    "1 bit, D 150": Shape(embedding_bits=1, dim=150),
    "hot": Shape(embedding_bits=1, scale_kind="group", hot_share=0.4, top_bits=(1, 4), bottom_bits=(8, 8)),
    "hot signs": Shape(embedding_bits=1, scale_kind="field", hot_share=0.4, hot_bits=1),
    "hashed, hot floats": Shape(
        embedding_bits=4, scale_kind="field", rows=(4, 7, 3), hot_share=0.5, hot_bits=32
    ),
    "40 fields of 8 bits": Shape(cardinalities=[9] * 40, embedding_bits=8, scale_kind="group"),
    "70 fields of 1 bit": Shape(cardinalities=[9] * 70, embedding_bits=1, integers=0),
    "40 float fields": Shape(cardinalities=[9] * 40),
    "DoReFa": Shape(embedding_bits=8, scale_kind="field", top_bits=(8, 8), symmetric=True),
    "few bits on one side": Shape(top_bits=(1, 32), bottom_bits=(32, 4)),
}


@pytest.fixture(scope="module")
def library() -> probe.Library:
    try:
        return probe.library()
    except EngineUnavailable as error:
        pytest.skip(str(error))


def layer(count: int, outputs: int, bits: tuple[int, int], seed: int, **choice: object) -> LayerSpec:
    """A layer from ``count`` products of ones and zeros."""
    shape = Shape(integers=count, cardinalities=(), dim=outputs, bottom=(), bottom_bits=bits, **choice)
    bottom = random_spec(shape, np.random.default_rng(seed)).bottom
    assert bottom is not None
    return bottom[0]


def in_whole_numbers(spec: LayerSpec, x: np.ndarray) -> np.ndarray:
    """The layer in 64-bit integers and then, step by step, in float32."""
    acc = quantized(spec.inputs, x).astype(np.int64) @ spec.weights.ints().astype(np.int64).T
    y = acc.astype(np.float32) * spec.gain + spec.bias
    return y if spec.slope is None else np.where(y >= 0, y, np.float32(spec.slope) * y)


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(1, 150),
    outputs=st.integers(1, 70),
    bits=st.sampled_from([(1, 1), (1, 2), (1, 4), (1, 8), (2, 2), (4, 1), (4, 4), (8, 4), (8, 8)]),
    rows=st.integers(1, 9),
    thresholds=st.integers(1, 3),
    symmetric=st.booleans(),
    narrow=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_kernel_gives_the_sums_of_an_integer_loop(
    library, count, outputs, bits, rows, thresholds, symmetric, narrow, seed
):
    spec = layer(count, outputs, bits, seed, thresholds=thresholds, symmetric=symmetric)
    if narrow and bits[0] == 8:  # as trained weights are, whose sums int16 can hold for a while
        near_zero = 120 + spec.weights.data % 16
        spec = replace(spec, weights=replace(spec.weights, data=near_zero))
    x = (2 * np.random.default_rng(seed).standard_normal((rows, count))).astype(np.float32)
    expected = in_whole_numbers(spec, x)
    ready = prepare(spec)
    for kernel in library.usable(candidates(ready)):
        np.testing.assert_array_equal(probe.run_layer(library, ready, kernel, x), expected, kernel)


def test_extreme_codes_do_not_overflow(library):
    """All weights and all codes at their ends, in layers as long as any kernel takes."""
    for bits, count in (((1, 1), 3000), ((1, 4), 4000), ((4, 4), 2000), ((8, 8), 1500)):
        spec = layer(count, 33, bits, 0)
        full = replace(spec.weights, data=np.full_like(spec.weights.data, 255))
        spec = replace(spec, weights=full)
        x = np.full((5, count), 1e9, np.float32)
        x[1::2] *= -1
        ready = prepare(spec)
        for kernel in library.usable(candidates(ready)):
            np.testing.assert_array_equal(
                probe.run_layer(library, ready, kernel, x), in_whole_numbers(spec, x), kernel
            )


def test_a_float_layer_is_the_matrix_product(library):
    for count, outputs in ((1, 1), (70, 1), (37, 16), (26, 130)):
        spec = layer(count, outputs, (32, 32), 1)
        x = np.random.default_rng(0).standard_normal((13, count)).astype(np.float32)
        y = (x @ spec.float_weights().T) * spec.gain + spec.bias
        expected = y if spec.slope is None else np.where(y >= 0, y, spec.slope * y)
        np.testing.assert_allclose(
            probe.run_layer(library, prepare(spec), "f32", x), expected, rtol=1e-4, atol=1e-5
        )


def engines() -> Iterator[tuple[str, ModelSpec, NativeEngine]]:
    for number, (name, shape) in enumerate(SHAPES.items()):
        spec = random_spec(shape, np.random.default_rng(number))
        yield name, spec, NativeEngine(spec)


@pytest.fixture(scope="module")
def models(library) -> dict[str, tuple[ModelSpec, NativeEngine]]:
    return {name: (spec, engine) for name, spec, engine in engines()}


@pytest.mark.parametrize("name", SHAPES)
def test_whole_models_agree_with_numpy(models, name):
    """A value halfway between two codes may fall on either side, so that a row in a hundred may differ."""
    spec, engine = models[name]
    integers, ids = random_rows(spec, 200, np.random.default_rng(1))
    expected = NumpyEngine(spec).logits(integers, ids)
    close = np.isclose(engine.logits(integers, ids), expected, rtol=1e-4, atol=1e-4)
    assert close.mean() >= 0.98
    assert np.ptp(expected) > 0


@pytest.mark.parametrize("name", SHAPES)
def test_a_row_does_not_depend_on_its_batch(models, name):
    spec, engine = models[name]
    integers, ids = random_rows(spec, 129, np.random.default_rng(2))
    whole = engine.logits(integers, ids)
    for size in (1, 7):
        parts = [engine.logits(integers[i : i + size], ids[i : i + size]) for i in range(0, 129, size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert engine.logits(integers[:0], ids[:0]).shape == (0,)


@pytest.mark.parametrize("name", [name for name, shape in SHAPES.items() if not shape.first_order])
def test_what_a_trace_sees_gives_the_logits(models, name):
    spec, engine = models[name]
    integers, ids = random_rows(spec, 60, np.random.default_rng(4))
    logits, seen = engine.traced(integers, ids)
    np.testing.assert_array_equal(logits, engine.logits(integers, ids))
    assert [values.shape[1] for values in seen] == [layer.weights.count for layer in spec.layers()]
    last = spec.top[-1]
    sums = (seen[-1].astype(np.float64) @ last.float_weights().T.astype(np.float64)).astype(np.float32)
    expected = (sums * last.gain + last.bias)[:, 0]
    if last.exact:
        np.testing.assert_array_equal(logits, expected)
    else:
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["float", "flags, wide part", "8 bits"])
def test_rows_that_share_their_integers_share_a_dense_vector(models, name):
    spec, engine = models[name]
    integers, ids = random_rows(spec, 70, np.random.default_rng(3))
    shared = np.repeat(integers[:1], 70, axis=0)
    one_by_one = np.concatenate([engine.logits(shared[i : i + 1], ids[i : i + 1]) for i in range(70)])
    np.testing.assert_array_equal(engine.logits(shared, ids), one_by_one)
    shared[69] = integers[1]  # but for the last one
    changed = engine.logits(shared, ids)
    np.testing.assert_array_equal(changed[:69], one_by_one[:69])
    assert changed[69] == engine.logits(shared[69:], ids[69:])[0] != one_by_one[69]


@pytest.mark.parametrize("name", ["float", "flags, wide part", "8 bits"])
def test_a_dense_vector_is_kept_no_longer_than_its_integers_last(models, name):
    spec, engine = models[name]
    integers, ids = random_rows(spec, 500, np.random.default_rng(5))
    mixed = integers.copy()
    mixed[:150], mixed[150:310], mixed[400:] = integers[0], integers[1], integers[0]
    whole = engine.logits(mixed, ids)
    rows = [engine.logits(mixed[i : i + 1], ids[i : i + 1])[0] for i in range(500)]
    np.testing.assert_array_equal(whole, rows)
    mixed[:] = integers[1]  # at the same address as in the call before
    np.testing.assert_array_equal(engine.logits(mixed, ids)[150:310], whole[150:310])


@pytest.mark.parametrize("name", SHAPES)
def test_all_ways_to_multiply_rows_agree(models, library, name):
    spec, engine = models[name]
    rng = np.random.default_rng(3)
    _, ids = random_rows(spec, 12, rng)
    dim = spec.table.dim if spec.bottom else 0
    dense = rng.standard_normal((12, dim)).astype(np.float32)
    known = np.where((ids >= 0) & (ids < spec.table.cardinalities), ids, 0)
    vectors = look_up(spec.table, known.astype(np.int64))
    if dim:
        vectors = np.concatenate([dense[:, None], vectors], axis=1)
    rows, columns = np.tril_indices(spec.vectors, -1)
    products = (vectors.astype(np.float64) @ vectors.transpose(0, 2, 1))[:, rows, columns]
    expected = np.concatenate([dense, products], axis=1)
    for method in library.interactions(tables.interactions(spec.table)):
        found, _ = engine._interact(engine._model, method, ids, dense)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4, err_msg=method)


def test_flipping_the_same_bits_of_all_rows_changes_no_product(library):
    """A Hamming distance stays when both sides are flipped alike, and so does the score of a model of rows alone."""
    rng = np.random.default_rng(4)
    spec = random_spec(Shape(integers=0, cardinalities=[50] * 9, embedding_bits=1, scale_kind="field"), rng)
    mask = rng.integers(0, 256, spec.table.cold.data.shape[1], np.uint8)
    cold = replace(spec.table.cold, data=spec.table.cold.data ^ mask)
    flipped = replace(spec, table=replace(spec.table, cold=cold))
    integers, ids = random_rows(spec, 50, rng)
    before = NativeEngine(spec).logits(integers, ids)
    np.testing.assert_array_equal(NativeEngine(flipped).logits(integers, ids), before)
    assert np.ptp(before) > 0


def test_tiny_numbers_count_as_zero_and_only_within_the_call(models):
    spec, engine = models["float"]
    integers, ids = random_rows(spec, 40, np.random.default_rng(5))
    zeros, tiny = np.zeros_like(integers), np.full_like(integers, 1e-41)
    np.testing.assert_array_equal(engine.logits(tiny, ids), engine.logits(zeros, ids))
    assert (tiny * np.float32(1)).all()


def test_threads_share_a_batch_and_give_the_same_bits(models):
    spec, engine = models["binary"]
    integers, ids = random_rows(spec, 1000, np.random.default_rng(6))
    expected, shared, found = engine.logits(integers, ids), NativeEngine(spec, threads=3), {}

    def run(number: int) -> None:
        found[number] = [shared.logits(integers, ids) for _ in range(10)]

    callers = [threading.Thread(target=run, args=(number,)) for number in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    for logits in (each for all_of_one in found.values() for each in all_of_one):
        np.testing.assert_array_equal(logits, expected)
    assert len(found) == 3


@pytest.mark.parametrize("march", ["x86-64-v2", pytest.param("x86-64-v3", marks=pytest.mark.slow)])
def test_older_processors_give_the_same_scores(models, library, march):
    if "x86_64" not in build.processor():
        pytest.skip("levels of x86-64")
    for name in ("binary", "hot", "8 bits", "float"):
        spec, engine = models[name]
        integers, ids = random_rows(spec, 60, np.random.default_rng(7))
        older = NativeEngine(spec, march=march).logits(integers, ids)
        close = np.isclose(older, engine.logits(integers, ids), rtol=1e-4, atol=1e-4)
        assert close.mean() > 0.96, name


@pytest.mark.slow
def test_kernels_for_other_processors_are_exact_where_their_instructions_are_emulated(library, monkeypatch):
    """What AVX-512 and AMX compute, in plain C: it shows that the kernels are right, not that a processor runs them."""
    if "x86_64" not in build.processor():
        pytest.skip("instructions of x86-64")
    header = str(Path(__file__).parent / "emulated.h")
    flags = [flag for flag in build.FLAGS if flag != "-O3"]  # which takes a minute for so much inlined code
    monkeypatch.setattr(build, "FLAGS", (*flags, "-Wno-psabi", "-include", header))
    emulated = probe.Library(build.build(probe.ENGINE, "x86-64-v3"))
    for kernel in ("int8 VNNI", "int8 AMX", "VPOPCNTDQ"):
        assert emulated.can(kernel)
        assert emulated.reasons[kernel] == ""
    ready = prepare(layer(100, 70, (32, 32), 0))
    x = np.random.default_rng(0).standard_normal((9, 100)).astype(np.float32)
    y = probe.run_layer(library, ready, "f32", x)
    np.testing.assert_allclose(probe.run_layer(emulated, ready, "f32", x), y, rtol=1e-5, atol=1e-6)


def test_rows_in_other_forms_are_read_and_wrong_shapes_refused(models):
    spec, engine = models["8 bits"]
    integers, ids = random_rows(spec, 4, np.random.default_rng(8))
    with pytest.raises(ValueError, match="ids of shape"):
        engine.logits(integers, ids[:, :1])
    other = engine.logits(integers.astype(np.float64), np.asfortranarray(ids.astype(np.int64)))
    expected = engine.logits(integers, ids)
    np.testing.assert_array_equal(other, expected)
    np.testing.assert_array_equal(engine.logits(integers[::2], ids[::2]), expected[::2])
    np.testing.assert_array_equal(engine.logits(integers.tolist(), ids.tolist()), expected)
    np.testing.assert_array_equal(engine._checked(integers, ids), expected)


def test_calls_are_timed_inside_the_engine(models):
    spec, engine = models["binary"]
    integers, ids = random_rows(spec, 64, np.random.default_rng(9))
    times = engine.call_times(integers, ids, batch=16, seconds=0.001, most=50)
    assert 3 <= len(times) <= 50
    assert times.min() > 0
    with pytest.raises(ValueError, match="less than a batch"):
        engine.call_times(integers, ids, batch=65, seconds=0.001)


def test_the_engine_says_what_it_chose(models, library):
    spec, engine = models["binary"]
    chosen = engine.choices()
    assert len(chosen) == 3 * len(spec.layers()) + 1
    for choice in chosen:
        assert choice.nanoseconds[choice.kernel] == min(choice.nanoseconds.values())


def test_it_is_the_first_choice(library):
    assert choose(random_spec(Shape(), np.random.default_rng(0))).name == "native"


def test_a_kernel_that_crashes_is_left_out_with_its_reason(library, monkeypatch):
    crashed = "failed in a process of its own (SIGILL)"

    def call(built: build.Built, names: list[str]) -> dict[str, str]:
        if "sign lookup" in names:
            raise UserError(crashed)
        return dict.fromkeys(names, "")

    monkeypatch.setattr(probe, "_call", call)
    reasons = probe._probe_all(library.built, ["int8 maddubs", "sign lookup"])
    assert reasons == {"int8 maddubs": "", "sign lookup": crashed}
    careful = object.__new__(probe.Library)
    careful.compiled, careful.has_amx, careful.reasons = library.compiled, False, reasons
    assert "sign lookup" not in careful.usable(KERNELS)
    assert set(careful.usable(KERNELS)) >= REFERENCES


def test_a_lack_of_time_is_not_remembered_as_a_fault_of_the_kernel(library, monkeypatch, tmp_path):
    careful = object.__new__(probe.Library)
    careful.built = replace(library.built, path=tmp_path / "engine.so")
    careful.compiled, careful.has_amx = library.compiled, library.has_amx
    names = [name for name in KERNELS if library.can(name) and name not in REFERENCES]
    if not names:
        pytest.skip("loops only")
    for reason, remembered in (("took longer than 120 s", False), ("failed (SIGILL)", True)):
        monkeypatch.setattr(
            probe, "_probe_all", lambda built, names, reason=reason: dict.fromkeys(names, reason)
        )
        assert careful._reasons() == dict.fromkeys(names, reason)
        assert (tmp_path / "engine.probe.json").exists() == remembered


def test_a_kernel_with_wrong_sums_is_found_out(library, monkeypatch):
    right = probe.run_layer
    monkeypatch.setattr(
        probe,
        "run_layer",
        lambda found, ready, kernel, x: right(found, ready, kernel, x) + (kernel == "int8 madd16"),
    )
    ready = [prepare(layer(9, 5, (8, 8), 0))]
    assert "wrong sums for 1 rows of 9x5" in probe._wrong(
        library, ready, "int8 madd16", np.random.default_rng(0)
    )
    assert probe._wrong(library, ready, "int8 loops", np.random.default_rng(0)) == ""


class TestWithoutACompiler:
    @pytest.fixture(autouse=True)
    def fresh(self, monkeypatch, tmp_path):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        build._compiler.cache_clear()
        yield
        build._compiler.cache_clear()

    def test_the_reason_is_said(self, monkeypatch, tmp_path):
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv("CC", raising=False)
        with pytest.raises(EngineUnavailable, match="no C compiler was found"):
            build.build(probe.ENGINE)

    def test_a_compiler_that_fails_is_quoted(self, monkeypatch, tmp_path):
        broken = tmp_path / "cc"
        broken.write_text("#!/bin/sh\necho 'x.c:1: error: no luck' >&2\nexit 1\n")
        broken.chmod(0o755)
        monkeypatch.setenv("CC", str(broken))
        with pytest.raises(EngineUnavailable, match="no luck"):
            build.build(probe.ENGINE)
        assert not list((tmp_path / "cache" / "recsys-bnn").iterdir())

    def test_a_cache_that_others_write_to_is_not_used(self, monkeypatch, tmp_path):
        shared = tmp_path / "cache" / "recsys-bnn"
        shared.mkdir(parents=True)
        shared.chmod(0o777)
        assert not build._own(shared)
        assert build._cache() != shared


def test_the_doctor_names_engine_and_kernels(library):
    engine, *kernels = summary.lines()
    assert library.built.compiler in engine.state
    assert {line.name for line in kernels} > set(KERNELS) - REFERENCES
    for line in kernels[:-1]:
        assert line.good == bool(library.usable([line.name]))
    assert "binary-a4 " in kernels[-1].state


def test_the_doctor_says_why_the_engine_does_not_run(monkeypatch):
    def fail() -> None:
        raise EngineUnavailable("no C compiler was found")

    monkeypatch.setattr(probe, "library", fail)
    (line,) = summary.lines()
    assert not line.good
    assert "no C compiler" in line.state
