"""Fields of lists in a packed model: engines and raw rows."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recsys_bnn.data.dataset import Dataset, open_dataset
from recsys_bnn.packing.encoding import encoding_section
from recsys_bnn.prepare import prepare
from recsys_bnn.runtime import values
from recsys_bnn.runtime.engines import EngineUnavailable
from recsys_bnn.runtime.native import tables
from recsys_bnn.runtime.native.engine import NativeEngine
from recsys_bnn.runtime.numpy_engine import Lists, NumpyEngine, first_order, known_ids, look_up
from recsys_bnn.runtime.packed import PackedModel, load
from recsys_bnn.runtime.packed_file import write_packed
from recsys_bnn.runtime.random_spec import Shape, random_rows, random_spec
from recsys_bnn.runtime.spec_check import check_spec
from recsys_bnn.settings.prepare import PrepareConfig
from seminar_common.errors import UserError

SCHEMA = """
label = "click"
integers = ["age"]
categoricals = ["user"]
lists = {genres = "|", tags = ","}
missing = ["?"]
"""
GENRES = [["Action", "Comedy"], None, ["Comedy", "Comedy", "Drama"], ["Drama"]]
TAGS = [[3, 17, 25], [3], None, [17, 3]]
SHAPES = {
    "float": Shape(first_order=True),
    "groups, hot": Shape(embedding_bits=1, scale_kind="group", hot_share=0.4, first_order=True),
    "rows, hashed": Shape(embedding_bits=4, scale_kind="row", rows=(5, 7, 3)),
    "fields": Shape(embedding_bits=2, scale_kind="field", integers=0, dim=5),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_list_is_the_mean_of_its_items(name: str) -> None:
    spec = random_spec(replace(SHAPES[name], list_widths=(3, 2)), np.random.default_rng(0))
    check_spec(spec)
    _, ids = random_rows(spec, 50, np.random.default_rng(1))
    table, lists = spec.table, Lists(spec.table.widths)
    assert table.columns == 6 and ids.shape == (50, 6)
    shares = lists.shares(ids)
    pooled = lists.sums(
        look_up(table, known_ids(table, ids, lists.fields), lists.fields) * shares[:, :, None]
    )
    for field, columns in enumerate(([0], [1, 2, 3], [4, 5])):
        for row in range(50):
            items = [ids[row, columns[0]], *(i for i in ids[row, columns[1:]] if i >= 0)]
            alone = np.zeros((len(items), 3), np.int32)
            alone[:, field] = items
            wanted = look_up(table, known_ids(table, alone))[:, field].mean(0)
            np.testing.assert_allclose(pooled[row, field], wanted, rtol=1e-5, atol=1e-6)
    if spec.first_order is not None:
        none = np.zeros((len(ids), len(spec.first_order.integer_weights)), np.float32)
        got = first_order(spec.first_order, ids, none, lists.fields, shares)
        place = np.cumsum(spec.first_order.rows) - spec.first_order.rows
        for row in range(50):
            wanted = spec.first_order.bias
            for field, columns in enumerate(([0], [1, 2, 3], [4, 5])):
                items = [ids[row, columns[0]], *(i for i in ids[row, columns[1:]] if i >= 0)]
                codes = [
                    int(spec.first_order.codes[place[field] + i])
                    if 0 <= i < spec.first_order.rows[field]
                    else 0
                    for i in items
                ]
                wanted += float(spec.first_order.scale[field]) * np.mean(codes)
            assert got[row] == pytest.approx(wanted, abs=1e-4)


def test_lists_of_one_item_are_plain_fields() -> None:
    listed = random_spec(Shape(list_widths=(1, 1), first_order=True), np.random.default_rng(0))
    plain = random_spec(Shape(first_order=True), np.random.default_rng(0))
    rows = random_rows(plain, 40, np.random.default_rng(1))
    np.testing.assert_allclose(NumpyEngine(listed).logits(*rows), NumpyEngine(plain).logits(*rows), rtol=1e-5)


@pytest.mark.parametrize("widths", [(3, 2), (1, 40), (7, 1, 2)], ids=str)
@pytest.mark.parametrize("name", SHAPES)
def test_the_c_engine_agrees_with_numpy(name: str, widths: tuple[int, ...]) -> None:
    spec = random_spec(replace(SHAPES[name], list_widths=widths), np.random.default_rng(0))
    try:
        engine = NativeEngine(spec, threads=2)
    except EngineUnavailable as error:
        pytest.skip(str(error))
    integers, ids = random_rows(spec, 300, np.random.default_rng(1))
    wanted = NumpyEngine(spec).logits(integers, ids)
    np.testing.assert_allclose(engine.logits(integers, ids), wanted, rtol=1e-3, atol=1e-3)
    one = np.concatenate([engine.logits(integers[i : i + 1], ids[i : i + 1]) for i in range(40)])
    np.testing.assert_allclose(one, wanted[:40], rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="ids of shape"):
        engine.logits(integers, ids[:, :-1].copy())


def test_each_way_to_multiply_rows_pools_them_alike() -> None:
    spec = random_spec(Shape(cardinalities=[9] * 40, dim=11, list_widths=(5,) * 9), np.random.default_rng(0))
    try:
        engine = NativeEngine(spec)
    except EngineUnavailable as error:
        pytest.skip(str(error))
    _, ids = random_rows(spec, 8, np.random.default_rng(1))
    names = engine._library.interactions(tables.interactions(spec.table))
    products = [engine._interact(engine._model, name, ids)[0] for name in names]
    table, lists = spec.table, Lists(spec.table.widths)
    vectors = look_up(table, known_ids(table, ids, lists.fields), lists.fields)
    vectors = lists.sums(vectors * lists.shares(ids)[:, :, None])
    rows, columns = np.tril_indices(40, -1)
    wanted = (vectors @ vectors.transpose(0, 2, 1))[:, rows, columns]
    for got in products:  # behind the dense vector; the first of each line is its own product
        places = np.delete(np.arange(41 * 40 // 2), np.cumsum(np.arange(40)))
        np.testing.assert_allclose(got[:, 11:][:, places], wanted, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("lists")
    lines = ["click,age,user,genres,tags"]
    for i in range(80):
        genres, tags = "|".join(GENRES[i % 4] or ()), TAGS[i % 4] or ""
        lines.append(f'{i % 2},{i % 7 or ""},u{i % 3},{genres},"{tags}"')
    (folder / "log.csv").write_text("\n".join([*lines, ""]))
    (folder / "schema.toml").write_text(SCHEMA)
    config = PrepareConfig(
        format="table", input=(folder / "log.csv",), schema=folder / "schema.toml", out=folder / "data"
    )
    prepare(config)
    return open_dataset(folder / "data")


@pytest.fixture(scope="module")
def model(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> PackedModel:
    path = tmp_path_factory.mktemp("packed") / "model"
    shape = Shape(integers=1, cardinalities=data.cardinalities, list_widths=data.list_widths)
    facts, arrays = encoding_section(data, data.cardinalities)
    write_packed(path, random_spec(shape, np.random.default_rng(0)), arrays, {"encoding": facts})
    return load(path)


def rows(count: int) -> list[dict[str, Any]]:
    return [
        {"age": i % 7 or None, "user": f"u{i % 3}", "genres": GENRES[i % 4], "tags": TAGS[i % 4]}
        for i in range(count)
    ]


@pytest.mark.parametrize("count", [1, 80, 400])
def test_raw_rows_with_lists_are_read_as_prepare_read_them(
    data: Dataset, model: PackedModel, count: int
) -> None:
    _, integers, ids = data.rows("train", "val", "test").columns()
    places = (
        np.arange(count) % 84 % 80
        if count <= 80
        else np.concatenate([np.arange(80), np.zeros(count - 80, int)])
    )
    given = [rows(80)[place] for place in places]
    spelled = [
        {**row, "genres": "|".join(row["genres"] or ()), "tags": str(row["tags"] or "")} for row in given
    ]
    mixed = [spelled[i] if i % 2 else row for i, row in enumerate(given)]
    columns = {name: [row[name] for row in given] for name in model.features}
    arrays = [np.array(row["tags"] or []) for row in given]
    for raw in (
        given,
        spelled,
        mixed,
        columns,
        columns | {"tags": arrays},
        pa.Table.from_pylist(given),
        pa.Table.from_pylist(spelled),
    ):
        got = model.encode(raw)
        np.testing.assert_array_equal(got[1], ids[places])
        np.testing.assert_allclose(got[0], integers[places], rtol=1e-6)


def test_unknown_missing_and_long_lists(model: PackedModel) -> None:
    row = {"age": 1, "user": "u0", "genres": ["Action", "?", None, "New"], "tags": [3] * 9}
    [ids] = model.encode(row)[1]
    known = model.encode(row | {"genres": ["Action"]})[1][0, 1]
    assert ids.tolist()[1:] == [known, 0, -1, *[model.encode(row | {"tags": [3]})[1][0, 4]] * 3]
    for nothing in (None, [], "", "?", ["?"], float("nan")):
        assert model.encode(row | {"genres": nothing})[1][0, 1:4].tolist() == [1, -1, -1]
    assert (
        model.encode({"age": 1, "user": "u0"}, missing_columns="fill")[1][0, 1:].tolist() == [1, -1, -1] * 2
    )
    assert model.encode(row | {"tags": 3})[1].tolist() == model.encode(row | {"tags": "[3]"})[1].tolist()
    with pytest.raises(UserError, match="genres.*expected"):
        model.encode(row | {"genres": [["Action"]]})
    with pytest.raises(UserError, match="genres.*expected a list"):
        model.encode(row | {"genres": {"a": 1}})


def test_one_row_of_lists_alone_is_no_column(model: PackedModel) -> None:
    one = model.encode({"genres": ["Drama", "Action"]}, missing_columns="fill")[1]
    two = model.encode({"genres": [["Drama", "Action"], ["Drama"]]}, missing_columns="fill")[1]
    assert len(one) == 1 and len(two) == 2 and two[0].tolist() == one[0].tolist()


def test_a_reader_of_items_agrees_with_that_of_prepare() -> None:
    read = values.items(values.text({"?"}, whole_decimals=True), ",", {"?"})
    assert read("[1, 2.0,'x']") == ["1", "2", "x"] == read([1, 2.0, "x"]) == read((1, 2, "x"))
