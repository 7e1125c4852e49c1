import json
import shutil
from itertools import permutations

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("torch")

import torch

from recsys_bnn import prepare
from recsys_bnn.data import dataset
from recsys_bnn.data.dataset import open_dataset
from recsys_bnn.settings.prepare import PrepareConfig
from seminar_common.errors import UserError

ROWS = 250
TRAIN, VAL, TEST = 175, 25, 50


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data set in which feature I1 rises from row to row, so that it tells the rows apart, in blocks of 16 rows."""
    path = tmp_path_factory.mktemp("data")
    lines = [f"{i % 2}\t{i}" + "\t0" * 12 + f"\t{i % 5:08x}" + "\t" * 25 + "\n" for i in range(ROWS)]
    (path / "log.txt").write_text("".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare, "BLOCK_ROWS", 16)
        prepare.prepare(PrepareConfig(format="criteo-kaggle", input=(path / "log.txt",), out=path / "out"))
    return path / "out"


@pytest.fixture
def data(folder, monkeypatch):
    monkeypatch.setattr(dataset, "BLOCK_ROWS", 16)
    monkeypatch.setattr(dataset, "WINDOW_BLOCKS", 3)
    monkeypatch.setattr(dataset, "LATEST_BLOCKS", 2)
    return open_dataset(folder)


@pytest.fixture
def copied(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "BLOCK_ROWS", 16)
    return shutil.copytree(folder, tmp_path / "copy")


def numbers(data, batches):
    """Row numbers, in their order, of each batch."""
    means, stds = (data.description["normalisation"][key] for key in ("mean", "std"))
    return [
        np.expm1(b.integers[:, 0].double().numpy() * stds[0] + means[0]).round().astype(int).tolist()
        for b in batches
    ]


def flat(lists):
    return [item for part in lists for item in part]


def test_an_open_data_set_knows_its_features(data):
    assert data.name == "criteo-250"
    assert len(data.integer_names) == 13
    assert data.cardinalities == (7, *[2] * 25)
    assert data.counts(0).tolist() == [0, 0, 35, 35, 35, 35, 35]
    assert data.counts(25).tolist() == [0, TRAIN]
    assert len(data.rows("train", "val")) == TRAIN + VAL


def test_batches_are_tensors_of_the_documented_types(data):
    batch = next(data.rows("train").batches(8))
    assert (batch.labels.dtype, batch.labels.shape) == (torch.float32, (8,))
    assert (batch.integers.dtype, batch.integers.shape) == (torch.float32, (8, 13))
    assert (batch.categoricals.dtype, batch.categoricals.shape) == (torch.int32, (8, 26))
    assert batch.labels.tolist() == [0, 1] * 4
    batch.integers.add_(1)  # a batch owns its memory: writing to it must not touch the mapped file
    assert numbers(data, [next(data.rows("train").batches(8))]) == [list(range(8))]


@pytest.mark.parametrize("size", [1, 7, 16, 20, 100, 500])
def test_in_order_every_batch_but_the_last_is_full_across_blocks_and_splits(data, size):
    rows = data.rows("train", "val", "test")
    found = numbers(data, rows.batches(size))
    assert flat(found) == list(range(ROWS))
    assert [len(part) for part in found] == [size] * (ROWS // size) + [ROWS % size] * (ROWS % size > 0)
    assert flat(numbers(data, rows.batches(size, drop_last=True))) == list(range(ROWS // size * size))


@pytest.mark.parametrize("size", [1, 7, 16, 20, 100, 500])
def test_a_shuffled_epoch_holds_every_row_once(data, size):
    found = numbers(data, data.rows("train", "val").batches(size, generator=np.random.default_rng(0)))
    assert flat(found) != sorted(flat(found))
    assert sorted(flat(found)) == list(range(TRAIN + VAL))
    assert {len(part) for part in found[:-1]} <= {size}


def test_an_epoch_in_time_shuffles_close_rows_only(data):
    generator = np.random.default_rng(0)
    found = flat(numbers(data, data.rows("train").batches(7, generator=generator, in_time=True)))
    windows = [found[i : i + 32] for i in range(0, TRAIN, 32)]
    assert [sorted(window) for window in windows] == [
        list(range(i, min(i + 32, TRAIN))) for i in range(0, TRAIN, 32)
    ]
    assert all(window != sorted(window) for window in windows)


def test_labels_and_categoricals_stay_with_their_row(data):
    for batch in data.rows("train").batches(20, generator=np.random.default_rng(1)):
        (row_numbers,) = numbers(data, [batch])
        assert batch.labels.tolist() == [number % 2 for number in row_numbers]
        by_value = {
            int(c): number % 5 for c, number in zip(batch.categoricals[:, 0], row_numbers, strict=True)
        }
        assert (
            by_value.items() <= {2: 0, 3: 1, 4: 2, 5: 3, 6: 4}.items()
        )  # all five values are equally frequent


def test_the_order_depends_on_the_generator_alone(data):
    rows = data.rows("train")

    def order(seed):
        return flat(numbers(data, rows.batches(10, generator=np.random.default_rng(seed))))

    assert order(3) == order(3) != order(4)
    generator = np.random.default_rng(3)
    first = rows.batches(10, generator=generator)
    generator.random(100)  # what is drawn after the call does not matter
    assert flat(numbers(data, first)) == order(3)


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize(("seed", "in_time"), [(None, False), (5, False), (5, True)])
def test_starting_later_gives_the_rest_of_the_same_epoch(data, seed, in_time, drop_last):
    def epoch(start=0):
        generator = None if seed is None else np.random.default_rng(seed)
        rows = data.rows("train", "val")
        options = {"in_time": in_time, "start": start, "drop_last": drop_last}
        return numbers(data, rows.batches(9, generator=generator, **options))

    whole = epoch()
    for start in range(len(whole) + 3):
        assert epoch(start) == whole[start:]


def test_leaving_out_batches_reads_none_of_their_blocks(data, monkeypatch):
    read = []
    block = dataset._Split.block
    monkeypatch.setattr(dataset._Split, "block", lambda split, i: read.append(i) or block(split, i))
    list(data.rows("train").batches(16, start=10))
    assert read == [10]  # the last of 11 blocks


def test_rows_that_fit_one_window_are_shuffled_exactly(data, monkeypatch, tmp_path):
    # Over many epochs of 4 rows each of the 24 orders comes about equally often (5 standard deviations).
    window = dataset._Window([], 4, None)
    generator = np.random.default_rng(0)
    orders = [tuple(window._replace(seed=int(s)).order()) for s in generator.integers(2**63, size=4800)]
    counts = [orders.count(order) for order in permutations(range(4))]
    assert max(abs(count - 200) for count in counts) < 5 * np.sqrt(200)
    # and a row of the val split (two blocks, one window) can come to any place
    places = [
        numbers(data, data.rows("val").batches(25, generator=np.random.default_rng(s)))[0].index(TRAIN)
        for s in range(400)
    ]
    assert len(set(places)) == 25


def test_opening_and_reading_in_order_does_not_load_the_file(data):
    before = pa.total_allocated_bytes()
    split = data.rows("train")._splits[0]
    blocks = [split.block(i) for i in range(split.blocks)]
    assert pa.total_allocated_bytes() == before
    assert not any(column.flags.owndata for block in blocks for column in block)


def test_labels_come_in_order_and_probabilities_only_where_known(data):
    labels = data.rows("val", "test").labels()
    assert labels.dtype == np.uint8
    assert labels.tolist() == [i % 2 for i in range(TRAIN, ROWS)]
    assert data.rows("train").probabilities() is None


def test_an_unknown_split_or_batch_size_is_a_programming_error(data):
    with pytest.raises(ValueError, match="no split"):
        data.rows("dev")
    with pytest.raises(ValueError, match="no split"):
        data.rows()
    with pytest.raises(ValueError, match="batch of 0"):
        data.rows("train").batches(0)


def edit(path, **changes):
    described = json.loads(path.read_text())
    described.pop("digest", None)
    path.write_text(json.dumps({**described, **changes}))


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_a_folder_that_is_no_data_set_is_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        UserError, match=f"{name}: not a prepared data set.*make one with `recsys-bnn prepare`"
    ):
        open_dataset(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "line 1: not JSON"),
        ("[]", "of schema None, but this version reads schema 2"),
        ('{"schema": 1}', "of schema 1, but this version reads schema 2"),
        ('{"schema": 2}', "damaged .KeyError"),
        ('{"schema": 2, "rows": 3}', "damaged .TypeError"),
    ],
)
def test_a_description_that_is_damaged_or_of_another_schema_is_refused(copied, content, message):
    (copied / "dataset.json").write_text(content)
    with pytest.raises(UserError, match=message):
        open_dataset(copied)


@pytest.mark.parametrize("name", ["train.arrow", "test.arrow", "vocabulary.parquet"])
def test_a_missing_or_short_file_is_refused(copied, name):
    content = (copied / name).read_bytes()
    (copied / name).write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(
        UserError, match=f"{name}: not a whole .* file, perhaps cut short; make the data set again"
    ):
        open_dataset(copied)
    (copied / name).write_bytes(b"")
    with pytest.raises(UserError, match=f"{name}: not a whole"):
        open_dataset(copied)
    (copied / name).unlink()
    with pytest.raises(UserError, match=f"{name}: no such file; make the data set again"):
        open_dataset(copied)


def test_a_value_changed_in_place_is_found_when_the_files_are_verified(copied):
    open_dataset(copied).verify()
    path = copied / "train.arrow"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"train\.arrow: was changed after it was written; make the data set"):
        open_dataset(copied).verify()
    edit(copied / "dataset.json", files={"test.arrow": {"bytes": 1, "crc32": 0}})
    with pytest.raises(UserError, match=r"test\.arrow: has another size"):
        open_dataset(copied)


@pytest.mark.parametrize("name", ["train.arrow", "test.arrow", "dataset.json", "vocabulary.parquet"])
def test_no_byte_can_be_changed_unnoticed(copied, name):
    written = (copied / name).read_bytes()
    places = np.random.default_rng(0).choice(len(written), 40, replace=False)
    for place in [*places.tolist(), 0, len(written) - 9]:
        changed = bytearray(written)
        changed[place] ^= 1
        if (
            name == "dataset.json"
            and not changed[place : place + 1].strip() + written[place : place + 1].strip()
        ):
            continue  # another kind of space
        (copied / name).write_bytes(changed)
        with pytest.raises(UserError, match=name.replace(".", r"\.") + ".* prepare|not UTF-8|not JSON"):
            open_dataset(copied).verify()


def test_an_older_description_says_what_it_lacks(copied, capsys):
    open_dataset(copied).verify()
    assert not capsys.readouterr().err
    edit(copied / "dataset.json", files={})
    open_dataset(copied).verify()
    assert "stored no digest" in capsys.readouterr().err


@pytest.mark.parametrize("blocks", [0, 1])
def test_no_rows_are_columns_without_rows(data, blocks):
    rows = dataset.Rows([dataset._Split(data.folder / "val.arrow", 16 * blocks)])
    assert [column.shape for column in rows.columns()] == [
        (16 * blocks,),
        (16 * blocks, 13),
        (16 * blocks, 26),
    ]
    assert [column.dtype for column in rows.columns()] == [np.uint8, np.float32, np.int32]


def test_rows_of_one_class_teach_nothing(data, monkeypatch):
    data.require_both_classes("train", "val")
    monkeypatch.setattr(dataset.Rows, "labels", lambda self: np.ones(len(self), np.uint8))
    with pytest.raises(UserError, match="all 175 rows to learn from have the label 1"):
        data.require_both_classes("train")


def test_files_that_do_not_belong_together_are_refused(copied):
    path = copied / "dataset.json"
    described = json.loads(path.read_text())
    edit(path, fingerprint="0" * 32)
    with pytest.raises(UserError, match="train.arrow: belongs to another data set"):
        open_dataset(copied)
    edit(path, fingerprint=described["fingerprint"], rows={**described["rows"], "val": 24})
    with pytest.raises(UserError, match="val.arrow: does not hold the 24 rows"):
        open_dataset(copied)
    edit(path, rows=described["rows"], integer_names=["I1"])
    with pytest.raises(UserError, match="train.arrow: its columns are not those"):
        open_dataset(copied)
    edit(path, integer_names=described["integer_names"], cardinalities=[9] * 26)
    with pytest.raises(UserError, match="vocabulary.parquet: does not belong to dataset.json"):
        open_dataset(copied)
    edit(path, cardinalities=described["cardinalities"])
    assert open_dataset(copied).name == "criteo-250"


def test_rows_as_arrays_are_those_of_the_batches(data):
    rows = data.rows("val", "test")
    (batch,) = rows.batches(VAL + TEST)
    for array, tensor in zip(rows.columns(), (batch.labels, batch.integers, batch.categoricals), strict=True):
        np.testing.assert_array_equal(array, tensor.numpy())
