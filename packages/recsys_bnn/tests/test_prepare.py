import bz2
import csv
import gzip
import io
import json
import lzma
import os
import signal
import subprocess
import sys
import tarfile
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_bnn import cli, prepare
from recsys_bnn.data import chunks, dataset, formats, vocabulary
from recsys_bnn.data.dataset import open_dataset
from recsys_bnn.data.encoding import Moments, Normalisation, encode
from recsys_bnn.data.formats import text
from recsys_bnn.data.formats.bad_rows import BadRows
from recsys_bnn.data.formats.base import Format
from recsys_bnn.data.formats.criteo import CriteoKaggle
from recsys_bnn.data.formats.keys import HexKeys, TextKeys
from recsys_bnn.data.formats.text import Source
from recsys_bnn.data.vocabulary import Counter, Counts, read_vocabulary
from recsys_bnn.settings.prepare import PrepareConfig
from seminar_common import files
from seminar_common.errors import UserError

FILES = {"dataset.json", "train.arrow", "val.arrow", "test.arrow", "vocabulary.parquet", "report.html"}


def log_line(label=0, integers=(), categoricals=()):
    """A line with the given first features; the other integers are 0, the other categoricals missing."""
    cells = [str(label), *map(str, integers), *["0"] * (13 - len(integers))]
    return "\t".join([*cells, *categoricals, *[""] * (26 - len(categoricals))])


def write_log(path, lines):
    path.write_text("\n".join(lines) + "\n")
    return path


def random_lines(rows, seed=0):
    """Heavy-tailed integers, some negative or missing, and categoricals of very different cardinality."""
    generator = np.random.default_rng(seed)
    integers = np.floor(np.exp(2 * generator.standard_normal((rows, 13)))).astype(int) - 1
    values = np.floor(np.exp(generator.random((rows, 26)) * np.linspace(0, 7, 26))).astype(int)
    for i, row in enumerate(integers):
        counts = ["" if generator.random() < 0.2 else v for v in row]
        yield (
            log_line(i % 3 == 0, counts, ["" if v == 3 else f"{v:08x}" for v in values[i]])
            .replace("True", "1")
            .replace("False", "0")
        )


def run(path, out, **settings):
    prepare.prepare(PrepareConfig(format="criteo-kaggle", input=(path,), out=out, **settings))
    return open_dataset(out)


def arrays(rows):
    return list(rows.columns())


def test_prepare_writes_exactly_these_files(tmp_path):
    data = run(write_log(tmp_path / "log.txt", random_lines(200)), tmp_path / "out")
    assert {path.name for path in data.folder.iterdir()} == FILES
    assert {path.name for path in tmp_path.iterdir()} == {"log.txt", "out"}
    assert data.name == "criteo-200"
    assert {name: len(data.rows(name)) for name in dataset.SPLITS} == {"train": 140, "val": 20, "test": 40}


def test_rows_keep_their_order_and_labels(tmp_path):
    lines = list(random_lines(50))
    data = run(write_log(tmp_path / "log.txt", lines), tmp_path / "out")
    labels = data.rows("train", "val", "test").labels()
    assert labels.tolist() == [int(text[0]) for text in lines]


def test_vocabulary_is_fitted_to_training_rows_only(tmp_path):
    # aaaaaaaa fills the training rows, bbbbbbbb comes in the last two rows of ten alone
    lines = [log_line(i % 2, (), ["aaaaaaaa" if i < 8 else "bbbbbbbb"]) for i in range(10)]
    data = run(write_log(tmp_path / "log.txt", lines), tmp_path / "out")
    assert arrays(data.rows("train"))[2][:, 0].tolist() == [2] * 7
    assert arrays(data.rows("test"))[2][:, 0].tolist() == [0, 0]
    assert data.description["out_of_vocabulary_rate"]["C1"] == {"train": 0.0, "val": 0.0, "test": 1.0}
    assert data.cardinalities == (3, *[2] * 25)


def test_ids_fall_with_the_training_count_and_ties_rise_with_the_value(tmp_path):
    values = ["cccccccc"] * 2 + ["bbbbbbbb"] * 3 + ["aaaaaaaa"] * 2 + ["dddddddd", ""]
    lines = [log_line(i % 2, (), [value]) for i, value in enumerate(values)]
    data = run(write_log(tmp_path / "log.txt", lines), tmp_path / "out", val_fraction=0, test_fraction=0)
    ids = {"bbbbbbbb": 2, "aaaaaaaa": 3, "cccccccc": 4, "dddddddd": 0, "": 1}  # dddddddd is seen only once
    assert arrays(data.rows("train"))[2][:, 0].tolist() == [ids[value] for value in values]
    assert data.counts(0).tolist() == [1, 1, 3, 2, 2]
    stored = pq.read_table(data.folder / "vocabulary.parquet").filter(pc.field("field") == "C1")
    assert stored["value"].to_pylist() == [None, "", "bbbbbbbb", "aaaaaaaa", "cccccccc"]
    assert stored["id"].to_pylist() == [0, 1, 2, 3, 4]


def test_a_lower_threshold_only_appends_ids(tmp_path):
    path = write_log(tmp_path / "log.txt", random_lines(300))
    low, high = run(path, tmp_path / "low", min_count=2), run(path, tmp_path / "high", min_count=4)
    ids = arrays(low.rows("train"))[2]
    assert (np.where(ids < high.cardinalities, ids, 0) == arrays(high.rows("train"))[2]).all()
    for field, cardinality in enumerate(high.cardinalities):
        assert cardinality == 2 + (low.counts(field)[2:] >= 4).sum()


def test_fields_with_more_values_than_buckets_are_hashed(tmp_path):
    path = write_log(tmp_path / "log.txt", random_lines(500))
    plain, data = run(path, tmp_path / "plain"), run(path, tmp_path / "hashed", hash_buckets=30)
    hashed = data.description["hashed"]
    assert {f"C{i + 1}" for i, c in enumerate(plain.cardinalities) if c - 2 > 30} == hashed.keys() != set()
    for field, name in enumerate(data.categorical_names):
        ids, plain_ids = (arrays(d.rows("train", "val", "test"))[2][:, field] for d in (data, plain))
        if name not in hashed:
            assert (ids == plain_ids).all()
            continue
        assert data.cardinalities[field] == 32
        assert (np.bincount(ids[:350], minlength=32) == data.counts(field)).all()
        # equal values keep equal ids, missing stays apart, and nothing is out of vocabulary
        assert ((ids == 1) == (plain_ids == 1)).all()
        assert (ids > 0).all()
        seen = {
            plain_id: set(ids[plain_ids == plain_id].tolist()) for plain_id in set(plain_ids.tolist()) - {0}
        }
        assert all(len(images) == 1 for images in seen.values())
    assert data.description["out_of_vocabulary_rate"][max(hashed)] == {"train": 0, "val": 0, "test": 0}


def test_the_collision_rate_is_the_share_of_values_that_share_their_id(tmp_path):
    path = write_log(tmp_path / "log.txt", random_lines(500))
    data = run(path, tmp_path / "out", hash_buckets=150, min_count=1, val_fraction=0, test_fraction=0)
    values = {text.split("\t")[-1] for text in path.read_text().splitlines()} - {""}
    keys = HexKeys().keys(pa.array(sorted(values)))
    buckets = (HexKeys().hashes(keys) % np.uint64(150)).tolist()
    shared = sum(buckets.count(bucket) > 1 for bucket in buckets)
    assert data.description["hashed"]["C26"] == {
        "values": len(values),
        "collision_rate": pytest.approx(shared / len(values)),
    }
    assert 0 < shared < len(values)


def test_hashed_fields_encode_new_rows_alike(tmp_path):
    path = write_log(tmp_path / "log.txt", random_lines(300))
    data, layout = run(path, tmp_path / "out", hash_buckets=10), CriteoKaggle([path])
    stored = read_vocabulary(data.folder / "vocabulary.parquet", data.categorical_names, layout.keys)
    (chunk,) = layout.chunks([Source(path)], BadRows("fail"))
    encoded = encode(chunk, stored, Normalisation(**data.description["normalisation"]))
    assert (encoded.categoricals == arrays(data.rows("train", "val", "test"))[2]).all()


def test_click_rates_by_tenth_cover_the_log_in_order(tmp_path):
    lines = [log_line(int(i >= 60)) for i in range(103)]
    described = run(write_log(tmp_path / "log.txt", lines), tmp_path / "out").description
    assert [period["rows"] for period in described["periods"]] == [10, 10, 10, 11, 10, 10, 11, 10, 10, 11]
    rates = [period["click_rate"] for period in described["periods"]]
    assert rates == [0, 0, 0, 0, 0, 0.1, 1, 1, 1, 1]


def test_normalisation_equals_a_float64_reference(tmp_path):
    lines = list(random_lines(500))
    data = run(write_log(tmp_path / "log.txt", lines), tmp_path / "out")
    cells = [text.split("\t")[1:14] for text in lines]
    raw = np.array([[np.nan if c == "" else float(c) for c in row] for row in cells])
    assert np.nanmin(raw) < 0  # so the clamp matters
    logs = np.log(1 + np.maximum(raw, 0))
    expected = (logs - np.nanmean(logs[:350], axis=0)) / np.nanstd(logs[:350], axis=0)
    found = arrays(data.rows("train", "val", "test"))[1]
    np.testing.assert_allclose(
        found, expected, atol=1e-6
    )  # which takes NaN, a missing value, as equal to NaN
    missing = data.description["missing_rate"]["I3"]
    assert missing["test"] == pytest.approx(np.isnan(raw[400:, 2]).mean())


def test_many_rows_are_normalised_as_few_are():
    generator = np.random.default_rng(0)
    values = np.concatenate([generator.integers(-5, 70_000, 5000), [2**31 - 1, -(2**31), 65_535, 65_536]])
    normalisation = Normalisation((4.5, 2.0), (1.7, 0.3))
    for kind in (pa.int32(), pa.int64()):
        column = pa.array([None if value % 7 == 0 else value for value in values.tolist()], kind)
        parts = [normalisation.encode(1, column.slice(start, 1000)) for start in range(0, len(column), 1000)]
        np.testing.assert_array_equal(normalisation.encode(1, column), np.concatenate(parts))
        assert np.isnan(parts[0]).sum() == column.slice(0, 1000).null_count > 0


def test_features_without_spread_or_without_values_become_zero(tmp_path):
    # I1 is always 7 in training and then 8; I2 never has a value in training
    lines = [log_line(i % 2, (7, "") if i < 8 else (8, 5)) for i in range(10)]
    data = run(write_log(tmp_path / "log.txt", lines), tmp_path / "out")
    integers = arrays(data.rows("train", "val", "test"))[1]
    assert (integers[:8, [0, *range(2, 13)]] == 0).all()
    assert np.isnan(integers[:8, 1]).all()  # missing, which no constant is
    np.testing.assert_allclose(integers[8:, 0], np.log(9 / 8), atol=1e-7)
    np.testing.assert_allclose(integers[8:, 1], np.log(6), atol=1e-7)


def test_new_rows_are_encoded_by_what_the_folder_holds(tmp_path):
    path = write_log(tmp_path / "log.txt", random_lines(300))
    data, layout = run(path, tmp_path / "out"), CriteoKaggle([path])
    stored = read_vocabulary(data.folder / "vocabulary.parquet", data.categorical_names, layout.keys)
    normalisation = Normalisation(**data.description["normalisation"])
    (chunk,) = layout.chunks([Source(path)], BadRows("fail"))
    encoded = encode(chunk, stored, normalisation)
    _, integers, categoricals = arrays(data.rows("train", "val", "test"))
    np.testing.assert_array_equal(encoded.integers, integers)
    assert (encoded.categoricals == categoricals).all()


def test_small_blocks_give_the_same_rows_as_large_ones(tmp_path, monkeypatch):
    path = write_log(tmp_path / "log.txt", random_lines(700))
    whole = run(path, tmp_path / "whole")
    expected = {name: arrays(whole.rows(name)) for name in dataset.SPLITS}
    for module, name, size in (
        (text, "BLOCK_BYTES", 2000),
        (chunks, "STAGED_ROWS", 64),
        (dataset, "BLOCK_ROWS", 32),
        (prepare, "BLOCK_ROWS", 32),
        (vocabulary, "_MERGE", 10),
        (vocabulary, "_ROWS", 5),
    ):
        monkeypatch.setattr(module, name, size)
    parts = run(path, tmp_path / "parts")
    for name in dataset.SPLITS:
        for a, b in zip(expected[name], arrays(parts.rows(name)), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)  # sums of parts round differently
    assert parts.rows("train")._splits[0].reader.num_record_batches == -(-490 // 32)
    for field in range(26):
        assert (parts.counts(field) == whole.counts(field)).all()


def test_equal_input_gives_equal_files_and_other_input_another_fingerprint(tmp_path):
    path = write_log(tmp_path / "log.txt", random_lines(100))
    first, second = run(path, tmp_path / "first"), run(path, tmp_path / "second")
    for name in FILES:
        assert files.fingerprint(first.folder / name) == files.fingerprint(second.folder / name)
    assert run(path, tmp_path / "third", min_count=3).fingerprint != first.fingerprint
    write_log(path, random_lines(100, seed=1))
    assert run(path, tmp_path / "fourth").fingerprint != first.fingerprint


def test_several_files_are_one_log(tmp_path):
    lines = list(random_lines(100))
    paths = (write_log(tmp_path / "a", lines[:37]), write_log(tmp_path / "b", lines[37:]))
    whole = run(write_log(tmp_path / "log.txt", lines), tmp_path / "whole")
    prepare.prepare(PrepareConfig(format="criteo-kaggle", input=paths, out=tmp_path / "parts"))
    parts = open_dataset(tmp_path / "parts")
    for a, b in zip(arrays(whole.rows("train", "test")), arrays(parts.rows("train", "test")), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [(s["file"], s["digest"]) for s in parts.description["sources"]] == [
        (path.name, files.fingerprint(path)) for path in paths
    ]


def packed(name: str, *members: tuple[str, bytes]) -> bytes:
    """Return an archive, zip or a tar in gzip, of files."""
    with io.BytesIO() as file:
        if name.endswith(".zip"):
            with zipfile.ZipFile(file, "w") as archive:
                for member, data in members:
                    archive.writestr(member, data)
        else:
            with tarfile.open(fileobj=file, mode="w:gz") as archive:
                for member, data in members:
                    entry = tarfile.TarInfo(member)
                    entry.size = len(data)
                    archive.addfile(entry, io.BytesIO(data))
        return file.getvalue()


OTHER_FORMS = {
    "crlf.txt": lambda data: data.replace(b"\n", b"\r\n"),
    "no-last-line-feed.txt": lambda data: data[:-1],
    "blank-last-lines.txt": lambda data: data + b"\n\n",
    "mark.txt": lambda data: b"\xef\xbb\xbf" + data,
    "log.gz": lambda data: gzip.compress(data, mtime=0),
    "log.bz2": bz2.compress,
    "log.xz": lzma.compress,
    "log.zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
    "log.zip": lambda data: packed("log.zip", ("log.txt", data)),
    "dac.tar.gz": lambda data: packed(
        "", ("readme.txt", b"?"), ("test.txt", b"no label"), ("train.txt", data)
    ),
}


@pytest.mark.parametrize("name", OTHER_FORMS)
def test_other_forms_of_the_same_text_give_the_same_rows(tmp_path, name):
    plain = write_log(tmp_path / "plain.txt", random_lines(100))
    (tmp_path / name).write_bytes(OTHER_FORMS[name](plain.read_bytes()))
    a, b = run(plain, tmp_path / "a"), run(tmp_path / name, tmp_path / "b")
    for split in dataset.SPLITS:
        for x, y in zip(arrays(a.rows(split)), arrays(b.rows(split)), strict=True):
            np.testing.assert_array_equal(x, y)


def test_one_file_of_an_archive_is_given_by_its_name(tmp_path, capsys):
    data = "\n".join(random_lines(100)).encode()
    (tmp_path / "logs.zip").write_bytes(packed("logs.zip", ("a.txt", b"?"), ("b.txt", data)))
    command = ["prepare", "criteo-kaggle", "--out", str(tmp_path / "out"), "--input"]
    assert cli_status(*command, f"{tmp_path / 'logs.zip'}") == 2
    assert "logs.zip: holds 2 files that may be meant; name one as" in capsys.readouterr().err
    assert cli_status(*command, f"{tmp_path / 'logs.zip'}::b.txt") == 0
    assert cli_status(*command, f"{tmp_path / 'none.zip'}::b.txt") == 2
    assert "none.zip::b.txt: no such file or folder" in capsys.readouterr().err


def cli_status(*arguments: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["recsys-bnn", *arguments])
        try:
            cli.main()
        except SystemExit as stop:
            return int(stop.code or 0)
    return 0


def good(count=20):
    return "".join(line + "\n" for line in random_lines(count)).encode()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log.txt", b"", "the file is empty"),
        ("log.txt", good() + b"1\t2\n", "line 21: 2 columns, expected 40"),
        ("log.txt", good() + log_line().encode() + b"\t\n", "line 21: 41 columns, expected 40"),
        ("log.txt", good() + log_line(label=2).encode(), "line 21: the label is '2', expected 0 or 1"),
        ("log.txt", good() + log_line(0, ["x"]).encode(), "line 21: I1 is 'x', expected a whole number"),
        ("log.txt", good() + log_line(0, [2**31]).encode(), "line 21: I1 is '2147483648'"),
        (
            "log.txt",
            good() + log_line(0, (), ["xyz"]).encode(),
            "line 21: C1 is 'xyz', expected 8 hex digits",
        ),
        ("log.txt", good() + b"\xff\xfe\n", "line 21: byte 0xff at position 1 is not UTF-8"),
        ("log.txt", good() + b"0\t\0\n", "line 21: a NUL byte at position 3"),
        ("log.txt", good() + b"\n" + good(), "line 21: a blank line"),
        ("log.txt", good(2), "2 rows are too few: no row is left for the val split"),
        ("log.txt", (log_line() + "\n").encode() * 20, "all 14 training rows have the label 0"),
        ("log.gz", gzip.compress(good(2000))[:-3000], "log.gz: the gzip data end too early"),
        ("log.gz", gzip.compress(good())[:-8] + b"\0" * 8, "log.gz: damaged gzip data"),
        ("log.gz", good(), "log.gz: named .gz, but not gzip"),
        ("log.gz", gzip.compress(b"", mtime=0), "holds no row of the format criteo-kaggle"),
    ],
)
def test_bad_input_is_named_in_one_line_and_nothing_is_written(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError) as raised:
        run(path, tmp_path / "out")
    assert message in str(raised.value)
    assert str(path) in str(raised.value) or "too few" in message
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(UserError, match="nowhere.txt: no such file"):
        run(tmp_path / "nowhere.txt", tmp_path / "out")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="folder: is a folder with no file"):
        run(tmp_path / "folder", tmp_path / "out")


def test_an_existing_folder_is_not_overwritten(tmp_path):
    path = write_log(tmp_path / "log.txt", random_lines(100))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("keep")
    with pytest.raises(UserError, match="out: exists already"):
        run(path, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine"]


@pytest.mark.parametrize("failing", ["staging.arrow", "train.arrow", "vocabulary.parquet"])
def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch, failing):
    path = write_log(tmp_path / "log.txt", random_lines(100))
    make = {"staging.arrow": "new_file", "train.arrow": "new_file", "vocabulary.parquet": "ParquetWriter"}[
        failing
    ]
    module = pq if make == "ParquetWriter" else pa.ipc
    real = getattr(module, make)

    def full(target, *args, **kwargs):
        if os.fspath(target).endswith(failing):
            raise OSError(28, "No space left on device")
        return real(target, *args, **kwargs)

    monkeypatch.setattr(module, make, full)
    with pytest.raises(UserError, match="out: no space left on the disk"):
        run(path, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["log.txt"]


def test_skipped_rows_are_counted_by_reason_and_named(tmp_path):
    lines = list(random_lines(100))
    clean = run(write_log(tmp_path / "clean.txt", lines), tmp_path / "clean")
    dirty = [*lines[:10], "", *lines[10:50], "too\tfew", *lines[50:], log_line(7)]
    data = run(write_log(tmp_path / "log.txt", dirty), tmp_path / "out", on_error="skip")
    skipped = data.description["skipped"]
    assert skipped["rows"] == 3
    assert skipped["reasons"] == {"blank": 1, "columns": 1, "label": 1}
    assert [(row["line"], row["reason"]) for row in skipped["first"]] == [
        (11, "blank"),
        (52, "columns"),
        (103, "label"),
    ]
    with (data.folder / "skipped.csv").open(newline="") as file:
        assert [row["line"] for row in csv.DictReader(file)] == ["11", "52", "103"]
    for a, b in zip(arrays(clean.rows("train")), arrays(data.rows("train")), strict=True):
        np.testing.assert_array_equal(a, b)


def test_description_tells_rates_settings_and_sources(tmp_path):
    path = write_log(tmp_path / "log.txt", random_lines(90))
    data = run(path, tmp_path / "out", name="mine")
    described = json.loads((data.folder / "dataset.json").read_text())
    assert described["schema"] == 2
    assert described["name"] == "mine"
    assert described["integer_names"] == [f"I{i}" for i in range(1, 14)]
    assert described["categorical_names"] == [f"C{i}" for i in range(1, 27)]
    assert described["rows"] == {"train": 63, "val": 9, "test": 18}
    assert described["click_rate"] == pytest.approx({"train": 21 / 63, "val": 3 / 9, "test": 6 / 18})
    assert described["settings"] == {
        "split": "time",
        "val_fraction": 0.1,
        "test_fraction": 0.2,
        "min_count": 2,
        "hash_buckets": None,
        "on_error": "fail",
    }
    assert described["sources"] == [
        {"file": "log.txt", "bytes": path.stat().st_size, "digest": files.fingerprint(path)}
    ]
    ids = arrays(data.rows("test"))[2]
    assert described["out_of_vocabulary_rate"]["C26"]["test"] == pytest.approx((ids[:, 25] == 0).mean())
    assert described["missing_rate"]["C26"]["test"] == pytest.approx((ids[:, 25] == 1).mean())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"input": ()}, "--input: give at least one file"),
        ({"val_fraction": -0.1}, "--val-fraction -0.1"),
        ({"test_fraction": 1.0}, "--test-fraction 1.0"),
        ({"val_fraction": 0.5, "test_fraction": 0.5}, "leave rows for training"),
        ({"min_count": 0}, "--min-count 0"),
        ({"hash_buckets": 0}, "--hash-buckets 0"),
        ({"vocabulary": Path("data"), "min_count": 3}, "--vocabulary brings its own; leave them out"),
        ({"split": "day"}, "--split day: the days of criteo-kaggle are not known"),
        ({"rows": 10}, "--rows 10: is for synthetic only"),
        ({"schema": Path("s.toml")}, "--schema s.toml: is for table only"),
        ({"format": "table"}, "--schema: give the TOML file"),
        ({"format": "synthetic", "rows": 10}, "--input .*: synthetic generates its rows"),
        ({"format": "synthetic", "input": ()}, "--rows: give the number of rows"),
        ({"format": "synthetic", "input": (), "rows": 0}, "--rows: give the number of rows"),
        ({"format": "criteo-1tb", "val_fraction": 0.2}, "a split by day takes whole days"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path, settings, message):
    given_settings: dict[str, Any] = {
        "format": "criteo-kaggle",
        "input": (tmp_path / "log",),
        "out": tmp_path / "out",
        **settings,
    }
    with pytest.raises(UserError, match=message):
        PrepareConfig(**given_settings)


def test_a_file_given_twice_is_refused(tmp_path):
    with pytest.raises(UserError, match="given twice"):
        PrepareConfig(format="criteo-kaggle", input=(tmp_path / "a", tmp_path / "a"), out=tmp_path / "out")


class Letters(Format):
    """A format of another shape: no integers, words as values, known probabilities."""

    integer_names: tuple[str, ...] = ()
    categorical_names: tuple[str, ...] = ("letter",)

    def __init__(self, paths):
        self.paths = paths
        self.words = TextKeys()
        self.keys = (self.words,)

    def chunks(self, sources, bad_rows, ordered_map=map):
        schema = chunks.schema(self.integer_names, self.categorical_names, probability=True)
        for block in sources[0].blocks():
            words = block.text.decode().split()
            keys = self.words.column(pa.array(words))
            labels = pa.array([i % 2 for i in range(len(words))], pa.uint8())
            probabilities = pa.array([i / 10 for i in range(len(words))])
            yield pa.RecordBatch.from_arrays([labels, keys, probabilities], schema=schema)

    def default_name(self, rows):
        return f"letters-{rows}"


def test_a_format_needs_one_class_and_one_registry_line(tmp_path, monkeypatch):
    monkeypatch.setitem(formats.FORMATS, "letters", lambda config: Letters(config.input))
    path = tmp_path / "words.txt"
    path.write_text("beta alpha beta gamma gamma gamma alpha alpha beta gamma\n")
    settings: dict[str, Any] = {"format": "letters", "input": (path,), "out": tmp_path / "out"}
    prepare.prepare(PrepareConfig(**settings))
    data = open_dataset(tmp_path / "out")
    assert data.name == "letters-10"
    # of the 7 training rows 3 are gamma; alpha and beta have two each, and beta has the smaller key, as it came first
    assert arrays(data.rows("train"))[2][:, 0].tolist() == [3, 4, 3, 2, 2, 2, 4]
    assert arrays(data.rows("train"))[1].shape == (7, 0)
    probabilities = data.rows("val", "test").probabilities()
    assert probabilities is not None
    np.testing.assert_array_equal(probabilities, [0.7, 0.8, 0.9])
    again = TextKeys()  # of another process: it numbers the words as it meets them
    read = read_vocabulary(data.folder / "vocabulary.parquet", data.categorical_names, [again])
    new = again.column(pa.array(["beta", "delta", None, "gamma"]))
    ids = np.empty(4, np.int32)
    read.fields[0].encode(new, ids)
    assert ids.tolist() == [3, 0, 1, 2]


@settings(deadline=None)
@given(st.lists(st.lists(st.none() | st.integers(0, 9) | st.just(2**32 - 1), max_size=20), max_size=6))
def test_counts_of_parts_add_up_to_counts_of_the_whole(parts):
    counter = Counter()
    for part in parts:
        counter.add(Counts.of(pa.array(part, pa.uint32())))
    values = [value for part in parts for value in part]
    present = np.array([value for value in values if value is not None], np.uint32)
    keys, counts = np.unique(present, return_counts=True)
    found_keys, found_counts = counter.merged()
    assert found_keys.tolist() == keys.tolist()
    assert found_counts.tolist() == counts.tolist()
    assert counter.missing == values.count(None)


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(-1e6, 1e6), max_size=20), max_size=6))
def test_moments_of_parts_add_up_to_moments_of_the_whole(parts):
    total = sum((Moments.of(np.array(part, np.float64)) for part in parts), Moments())
    values = np.array([value for part in parts for value in part], np.float64)
    assert total.count == len(values)
    if len(values):
        scale = max(1.0, np.abs(values).max())
        assert total.mean == pytest.approx(values.mean(), abs=1e-9 * scale)
        assert total.std == pytest.approx(values.std(), abs=1e-6 * scale)


def test_rechunking_keeps_every_row_in_order():
    batches = [
        pa.RecordBatch.from_pydict({"x": list(range(a, b))}) for a, b in ((0, 3), (3, 3), (3, 11), (11, 12))
    ]
    found = [batch.column(0).to_pylist() for batch in chunks.rechunk(batches, 4)]
    assert found == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_a_pipe_does_not_say_how_much_will_come(tmp_path):
    file, pipe = tmp_path / "train.txt", tmp_path / "pipe"
    file.write_text("0123")
    os.mkfifo(pipe)
    assert prepare.bytes_to_read([file, file]) == 8
    assert prepare.bytes_to_read([file, pipe]) is None


def test_a_name_that_arrow_cannot_take_is_one_line(tmp_path):
    log, out = tmp_path / "train.txt", tmp_path / os.fsdecode(b"\xe9")
    with pytest.raises(UserError, match="the name is not UTF-8"):
        prepare.prepare(PrepareConfig(format="criteo-kaggle", input=(log,), out=out))
    write_log(log, [log_line(i % 2, categoricals=("0000000a",)) for i in range(60)])
    prepare.prepare(PrepareConfig(format="criteo-kaggle", input=(log,), out=tmp_path / "data"))
    (tmp_path / "data").rename(out)
    with pytest.raises(UserError, match="the name is not UTF-8, and Arrow .*; rename it"):
        open_dataset(out)


def test_thousands_of_features_are_staged_in_few_rows_at_once(tmp_path, monkeypatch):
    assert [chunks.staged_rows(columns) for columns in (2, 40, 4000, 10**8)] == [131_072, 131_072, 2097, 1]
    path = write_log(tmp_path / "log.txt", random_lines(700))
    whole = {split: run(path, tmp_path / split, split=split) for split in ("time", "random")}
    monkeypatch.setattr(chunks, "STAGED_CELLS", 40 * 50)
    monkeypatch.setattr(prepare, "BLOCK_ROWS", 64)
    monkeypatch.setattr(dataset, "BLOCK_ROWS", 64)
    parts = run(path, tmp_path / "parts")
    for name in dataset.SPLITS:  # blocks of a split are full, though no piece of the work is as large
        for a, b in zip(arrays(whole["time"].rows(name)), arrays(parts.rows(name)), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)
    drawn = run(path, tmp_path / "drawn", split="random")
    assert {name: len(drawn.rows(name)) for name in dataset.SPLITS} == {"train": 490, "val": 70, "test": 140}


def table_of(folder, columns, rows, schema):
    (folder / "schema.toml").write_text(schema)
    (folder / "x.csv").write_text("\n".join(",".join(map(str, row)) for row in [columns, *rows]))
    return PrepareConfig(
        "table", input=(folder / "x.csv",), schema=folder / "schema.toml", out=folder / "out"
    )


def test_features_that_no_model_here_can_learn_from_are_told_at_once(tmp_path, capsys):
    rows = [(i % 2, i, i % 3) for i in range(40)]
    for features, told in (
        ("integers = ['a', 'b']", True),
        ("integers = ['a']\ncategoricals = ['b']", False),
    ):
        prepare.prepare(table_of(tmp_path, "yab", rows, f"label = 'y'\n{features}"))
        assert (
            "0 categorical fields and 2 integers: a DLRM needs two fields" in capsys.readouterr().err
        ) == told
        files.remove(tmp_path / "out")


def test_many_features_are_told_with_the_memory_that_training_takes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(prepare, "_MUCH_GB", 0.5)
    names = [f"c{i}" for i in range(150)]
    config = table_of(
        tmp_path, ["y", *names], [[i % 2] * 151 for i in range(20)], f"label = 'y'\ncategoricals = {names}"
    )
    prepare.prepare(config)
    assert (
        "150 features: `train` will hold up to 1 GB of rows at once, and multiply 11,175 pairs"
        in capsys.readouterr().err
    )


def test_of_two_jobs_for_one_folder_the_first_to_end_makes_it(tmp_path, monkeypatch):
    paths = [write_log(tmp_path / f"{name}.txt", random_lines(100, seed)) for seed, name in enumerate("ab")]
    real = prepare.write_report

    def after_another(*args):
        monkeypatch.setattr(prepare, "write_report", real)
        run(paths[1], tmp_path / "out")
        real(*args)

    monkeypatch.setattr(prepare, "write_report", after_another)
    with pytest.raises(UserError, match="out: exists already .* another run made it meanwhile"):
        run(paths[0], tmp_path / "out")
    data = open_dataset(tmp_path / "out")
    data.verify()
    assert data.description["sources"][0]["file"] == "b.txt"
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", "b.txt", "out"}


def test_sigterm_leaves_nothing_behind(tmp_path):
    schema = 'label = "y"\ntime = "t"\ncategoricals = ["u", "v"]\nheader = ["y", "t", "u", "v"]\nsort = true'
    (tmp_path / "schema.toml").write_text(schema)
    os.mkfifo(tmp_path / "pipe")
    command = [
        sys.executable,
        "-m",
        "recsys_bnn.cli",
        "prepare",
        "table",
        "--input",
        "pipe",
        "--schema",
        "schema.toml",
    ]
    job = subprocess.Popen([*command, "--out", "out"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    with (tmp_path / "pipe").open("w") as pipe:  # waits until the job reads
        pipe.write("1,5,a,b\n")
        pipe.flush()
        assert len(list(tmp_path.glob(".*"))) == 2, "the half-made folder and that of the sorted runs"
        job.send_signal(signal.SIGTERM)
        _, told = job.communicate(timeout=60)
    assert job.returncode == 143
    assert "Traceback" not in told
    assert {path.name for path in tmp_path.iterdir()} == {"pipe", "schema.toml"}


def test_a_short_log_waits_for_no_library_that_it_can_do_without(tmp_path):
    write_log(tmp_path / "log.txt", random_lines(60))
    config = table_of(
        tmp_path,
        "yab",
        [(i % 2, "" if i % 5 else i, f"v{i % 3}") for i in range(60)],
        "label = 'y'\nintegers = ['a']\ncategoricals = ['b']",
    )
    code = f"""
        import sys
        from pathlib import Path
        from recsys_bnn import prepare
        from recsys_bnn.settings.prepare import PrepareConfig
        prepare.prepare(PrepareConfig("criteo-kaggle", input=(Path("log.txt"),), out=Path("criteo")))
        prepare.prepare(PrepareConfig("table", input=(Path({config.input[0].name!r}),), schema=Path("schema.toml"), out=Path("table")))
        print(sorted({{"numba", "pandas", "torch", "matplotlib"}} & set(sys.modules)))
    """
    job = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert job.stdout == "[]\n"
