import json
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors

from recsys_bnn.runtime.numpy_engine import NumpyEngine
from recsys_bnn.runtime.packed_file import VERSION, _mapped, read_packed, write_packed
from recsys_bnn.runtime.random_spec import Shape, random_rows, random_spec
from recsys_bnn.runtime.spec import ModelSpec
from recsys_bnn.runtime.spec_check import check_spec
from seminar_common.errors import UserError

SHAPES = [
    Shape(),
    Shape(integers=0, embedding_bits=2, scale_kind="row"),
    Shape(
        embedding_bits=1,
        scale_kind="group",
        hot_share=0.4,
        top_bits=(1, 1),
        thresholds=2,
        bottom_bits=(8, 8),
        missing_flags=True,
        first_order=True,
    ),
    Shape(list_widths=(3, 2), first_order=True),
]


@pytest.fixture
def spec() -> ModelSpec:
    return random_spec(SHAPES[2], np.random.default_rng(0))


@pytest.fixture
def file(spec: ModelSpec, tmp_path: Path) -> Path:
    write_packed(tmp_path / "model.safetensors", spec, {"keys": np.arange(5, dtype=np.uint32)}, {"name": "x"})
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("shape", SHAPES)
def test_a_model_comes_back(shape: Shape, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    spec = random_spec(shape, rng)
    write_packed(tmp_path / "a", spec)
    rows = random_rows(spec, 20, rng)
    back = NumpyEngine(read_packed(tmp_path / "a").spec).logits(*rows)
    np.testing.assert_array_equal(back, NumpyEngine(spec).logits(*rows))


def test_large_tables_stand_where_no_row_crosses_a_cache_line(spec: ModelSpec, tmp_path: Path) -> None:
    rows = 2**16 + 3
    table = replace(spec.table, cold=replace(spec.table.cold, data=np.ones((rows, 17), np.uint8)))
    write_packed(tmp_path / "a", replace(spec, table=table))
    with safetensors.safe_open(tmp_path / "a", "np") as file:  # the format's own reader takes it
        assert file.get_tensor("model.table.cold.data").shape == (rows, 17)
    header, data = _mapped(tmp_path / "a")
    assert header["model.table.cold.data"]["data_offsets"][0] % 64 == 0
    assert np.frombuffer(data, np.uint8).ctypes.data % 64 == 0
    offsets = {name: info["data_offsets"][0] for name, info in header.items() if info.get("dtype") == "F32"}
    assert offsets and all(at % 4 == 0 for at in offsets.values())


def test_facts_and_encoding_come_back_and_bytes_are_counted(file: Path) -> None:
    packed = read_packed(file)
    assert packed.manifest == {"name": "x"} and packed.encoding["keys"].tolist() == [0, 1, 2, 3, 4]
    assert packed.encoding_bytes == 20 and packed.file_bytes == file.stat().st_size
    assert 0 < packed.model_bytes < packed.file_bytes
    assert not packed.spec.table.cold.data.flags.owndata  # it is mapped, not copied


def test_equal_content_is_equal_bytes(spec: ModelSpec, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_packed(tmp_path / name, spec)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    write_packed(tmp_path / "c", spec, manifest={"name": "other"})
    assert read_packed(tmp_path / "c").digest != read_packed(tmp_path / "a").digest


def test_a_changed_bit_is_noticed_wherever_it_is(file: Path) -> None:
    content = file.read_bytes()
    for place in range(0, len(content), 31):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        file.write_bytes(changed)
        with pytest.raises(UserError):
            read_packed(file)


def test_unchecked_tensors_may_be_altered_but_the_manifest_not(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    read_packed(file, verify=False)
    file.write_bytes(content.replace(b"LayerSpec", b"TableSpec"))
    with pytest.raises(UserError, match="its manifest"):
        read_packed(file, verify=False)


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_a_cut_file_is_one_line(file: Path, kept: int) -> None:
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(UserError, match="empty|cut short"):
        read_packed(file)


def test_what_is_no_packed_model_is_one_line(tmp_path: Path) -> None:
    header = json.dumps({"__metadata__": {"format": "pt"}}).encode()
    cases = {
        "text": b"label,I1\n0,1\n" * 9,
        "other": struct.pack("<Q", len(header)) + header,
        "list": b"\2" + bytes(7) + b"[]",
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match="not a packed model"):
            read_packed(tmp_path / name)
    with pytest.raises(UserError, match="no such file"):
        read_packed(tmp_path / "absent")
    with pytest.raises(UserError, match="is a folder"):
        read_packed(tmp_path)


def test_a_file_has_the_least_version_that_holds_its_model(tmp_path: Path) -> None:
    for shape, version in ((SHAPES[0], 1), (SHAPES[3], 2)):
        write_packed(tmp_path / "a", random_spec(shape, np.random.default_rng(0)))
        with safetensors.safe_open(tmp_path / "a", "np") as file:
            stored = json.loads(file.metadata()["recsys_bnn"])
        assert stored["version"] == version
        assert ("list_widths" in stored["structure"]["table"]) == (version == 2)


def test_a_newer_version_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys_bnn.runtime.packed_file.VERSION", VERSION + 1)
    write_packed(file, random_spec(Shape(list_widths=(2,)), np.random.default_rng(0)))
    monkeypatch.undo()
    with pytest.raises(UserError, match=f"format version {VERSION + 1}.*reads {VERSION}; upgrade"):
        read_packed(file)


def test_parts_that_do_not_fit_are_refused(spec: ModelSpec, tmp_path: Path) -> None:
    """Kernels in C trust the sizes, so a file that was made wrong, not altered, must not reach them."""
    table, [first, *others] = spec.table, spec.top
    wrong = [
        replace(spec, table=replace(table, rows=table.rows + 1)),
        replace(spec, table=replace(table, hot_rows=table.hot_rows + 9)),
        replace(spec, table=replace(table, scale=table.scale[:-1])),
        replace(spec, integers=spec.integers + 1),
        replace(spec, top=tuple(others)),
        replace(spec, top=(replace(first, gain=first.gain.astype(np.float16)), *others)),
        replace(
            spec,
            top=(replace(first, weights=replace(first.weights, data=first.weights.data[:, 1:])), *others),
        ),
        replace(spec, first_order=replace(spec.first_order, codes=spec.first_order.codes[1:])),
    ]
    check_spec(spec)
    for number, broken in enumerate(wrong):
        write_packed(tmp_path / str(number), broken)
        with pytest.raises(UserError, match="don't fit together"):
            read_packed(tmp_path / str(number))


def test_reading_needs_neither_torch_nor_numba(file: Path) -> None:
    code = f"import sys, recsys_bnn; recsys_bnn.load({str(file)!r}, engine='numpy'); print(*{{'torch', 'numba', 'scipy', 'pandas'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
