"""Raw rows in every form that users have them in, against what `prepare` made of the same log."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recsys_bnn.data.dataset import Dataset, open_dataset
from recsys_bnn.data.formats import table
from recsys_bnn.data.formats.keys import TextKeys
from recsys_bnn.packing.encoding import encoding_section
from recsys_bnn.prepare import prepare
from recsys_bnn.runtime import values
from recsys_bnn.runtime.packed import PackedModel, load
from recsys_bnn.runtime.packed_file import write_packed
from recsys_bnn.runtime.random_spec import Shape, random_spec
from recsys_bnn.settings.prepare import PrepareConfig
from seminar_common.errors import UserError


def packed(dataset: Dataset, folder: Path, cardinalities: list[int] | None = None) -> PackedModel:
    """Return a random model with the encoding of a data set."""
    cardinalities = cardinalities or list(dataset.cardinalities)
    shape = Shape(integers=len(dataset.integer_names), cardinalities=cardinalities)
    facts, arrays = encoding_section(dataset, cardinalities)
    write_packed(folder / "model", random_spec(shape, np.random.default_rng(0)), arrays, {"encoding": facts})
    return load(folder / "model", engine="numpy")


@pytest.fixture(scope="module")
def model(prepared: Dataset, tmp_path_factory: pytest.TempPathFactory) -> PackedModel:
    return packed(prepared, tmp_path_factory.mktemp("packed"))


@pytest.fixture(scope="module")
def rows(prepared: Dataset, model: PackedModel) -> list[dict[str, Any]]:
    """The raw test rows, as texts; nothing for a missing value."""
    lines = (prepared.folder.parent / "log.txt").read_text().splitlines()[-800:]
    return [dict(zip(model.features, line.split("\t")[1:], strict=True)) for line in lines]


@pytest.fixture(scope="module")
def typed(rows: list[dict[str, Any]], model: PackedModel) -> dict[str, list[Any]]:
    def value(name: str, text: str) -> Any:
        return None if not text else int(text) if name in model.integer_names else text

    return {name: [value(name, row[name]) for row in rows] for name in model.features}


def check(prepared: Dataset, got: tuple[np.ndarray, np.ndarray], first: int = 0) -> None:
    _, integers, ids = prepared.rows("test").columns().take(slice(first, first + len(got[1])))
    np.testing.assert_allclose(got[0], integers, rtol=1e-6)
    np.testing.assert_array_equal(got[1], ids)
    assert np.isnan(integers).any() == np.isnan(got[0]).any() and got[0].dtype == np.float32


def test_rows_of_texts_are_read_as_prepare_read_them(
    prepared: Dataset, model: PackedModel, rows: list[dict[str, Any]]
) -> None:
    check(prepared, model.encode(rows))  # many
    check(prepared, model.encode(rows[:100]))  # few
    for place in range(3):
        check(prepared, model.encode(rows[place]), place)  # one


def test_columns_of_numbers_and_tables_are_read_alike(
    prepared: Dataset, model: PackedModel, typed: dict[str, list[Any]]
) -> None:
    frame = pa.table(typed)
    for raw in (typed, frame, frame.combine_chunks().to_batches()[0], frame.to_pylist()):
        check(prepared, model.encode(raw))
    floats = {
        name: np.array(typed[name], float) for name in model.integer_names
    }  # None becomes NaN, as in pandas
    check(prepared, model.encode(typed | floats))
    categories = {name: frame[name].dictionary_encode() for name in model.categorical_names}
    check(prepared, model.encode(pa.table(typed | categories)))


def test_data_frames_are_read(prepared: Dataset, model: PackedModel, typed: dict[str, list[Any]]) -> None:
    pandas = pytest.importorskip("pandas")
    check(prepared, model.encode(pandas.DataFrame(typed)))


def test_texts_as_polars_gives_them_are_read(
    prepared: Dataset, model: PackedModel, typed: dict[str, list[Any]]
) -> None:
    frame = pa.table(typed)
    views = {name: frame[name].cast(pa.string_view()) for name in model.categorical_names}
    check(prepared, model.encode(pa.table(typed | views)))


def test_a_column_of_lists_is_one_line(model: PackedModel, typed: dict[str, list[Any]]) -> None:
    name = model.categorical_names[0]
    lists = {name: pa.array([["68fd1e64"]] * len(typed[name]))}
    with pytest.raises(UserError, match=f"{name}: a column of the type list"):
        model.encode(pa.table(typed | lists))


def test_scalars_of_numpy_are_numbers(model: PackedModel, rows: list[dict[str, Any]]) -> None:
    name = model.integer_names[0]
    for value in (np.int64(1), np.float32(1), np.True_, True, "1", "1.0"):
        np.testing.assert_array_equal(
            model.encode({**rows[0], name: value})[0], model.encode({**rows[0], name: 1})[0]
        )


def test_a_probability_is_that_of_the_encoded_row(model: PackedModel, rows: list[dict[str, Any]]) -> None:
    found = model.predict(rows[:5])
    assert found.dtype == np.float64 and np.all((found > 0) & (found < 1))
    np.testing.assert_array_equal(found, model.predict_encoded(*model.encode(rows[:5])))
    np.testing.assert_allclose(model.predict(rows[3]), found[3:4], rtol=1e-6)
    assert model.predict([]).shape == (0,)


def test_a_value_that_training_never_saw_is_unknown(model: PackedModel, rows: list[dict[str, Any]]) -> None:
    name = model.categorical_names[0]
    _, ids = model.encode({**rows[0], name: "ffffffff"})
    assert ids[0, 0] == 0
    _, ids = model.encode([{**row, name: "ffffffff"} for row in rows])
    assert not ids[:, 0].any()


def test_further_columns_are_passed_over_and_absent_ones_are_named(
    model: PackedModel, rows: list[dict[str, Any]]
) -> None:
    first, last = model.features[0], model.features[-1]
    row = {**rows[0], "user": 7}
    np.testing.assert_array_equal(model.predict(row), model.predict(rows[0]))
    del row[first], row[last]
    for raw in (
        row,
        [rows[0], row],
        {name: [value] for name, value in row.items()},
        pa.Table.from_pylist([row]),
    ):
        with pytest.raises(UserError, match=f"column {first}"):
            model.predict(raw)
        integers, ids = model.encode(raw, missing_columns="fill")
        assert np.isnan(integers[-1, 0]) and ids[-1, -1] == 1


@pytest.mark.parametrize(
    ("value", "place", "what"),
    [
        ("x", 0, "'x', expected a whole number"),
        (1.5, 0, "1.5"),
        ("68fd", -1, "8 hex digits"),
        ([1], -1, "8 hex"),
    ],
)
def test_a_bad_value_is_named(
    model: PackedModel, rows: list[dict[str, Any]], value: Any, place: int, what: str
) -> None:
    name = model.features[place]
    with pytest.raises(UserError, match=f"{name}: .*{what}"):
        model.predict({**rows[0], name: value})
    with pytest.raises(UserError, match=f"{name}, row 1: .*{what}"):
        model.predict([rows[0], {**rows[1], name: value}])


def test_rows_of_no_form_are_one_line(model: PackedModel, rows: list[dict[str, Any]]) -> None:
    with pytest.raises(UserError, match="can't read rows from a int"):
        model.predict(3)
    with pytest.raises(UserError, match="1 values, but .* has 2"):
        model.predict({name: [value] * 2 for name, value in rows[0].items()} | {model.features[3]: [None]})


def test_values_beyond_the_tables_are_left_out(
    prepared: Dataset, tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    cut = packed(prepared, tmp_path, [min(5, count) for count in prepared.cardinalities])
    _, ids = cut.encode(rows)
    expected = prepared.rows("test").columns().categoricals
    np.testing.assert_array_equal(ids, np.where(expected < 5, expected, 0))
    assert cut.file.encoding_bytes <= 4 * 3 * len(prepared.cardinalities)


def test_texts_decimals_and_hashed_fields(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = [f"{n % 2},{n % 7},{rng.normal():.3f},shop {n % 5},{n % 300}" for n in range(600)]
    lines[3] = "1,NA,NA,,17.0"
    (tmp_path / "log.csv").write_text("click,count,price,shop,item\n" + "\n".join(lines) + "\n")
    (tmp_path / "columns.toml").write_text(
        'label = "click"\nintegers = ["count"]\nnumbers = ["price"]\ncategoricals = ["shop", "item"]\n'
    )
    inputs = dict(input=(tmp_path / "log.csv",), schema=tmp_path / "columns.toml", out=tmp_path / "data")
    prepare(PrepareConfig(format="table", hash_buckets=50, min_count=1, **inputs))
    dataset = open_dataset(tmp_path / "data")
    model = packed(dataset, tmp_path)
    rows = [dict(zip(["count", "price", "shop", "item"], line.split(",")[1:], strict=True)) for line in lines]
    _, integers, ids = dataset.rows("train", "val", "test").columns()
    for got in (model.encode(rows), tuple(map(np.concatenate, zip(*map(model.encode, rows), strict=True)))):
        np.testing.assert_allclose(got[0], integers, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(got[1], ids)
    assert model.schema is not None and model.format == "table"
    as_numbers = {"count": 3.0, "price": 1, "shop": "shop 1", "item": 17.0}
    np.testing.assert_array_equal(model.encode(as_numbers)[1], model.encode(as_numbers | {"item": "17"})[1])


def test_a_model_without_a_vocabulary_reads_encoded_rows_only(tmp_path: Path) -> None:
    write_packed(tmp_path / "model", random_spec(Shape(), np.random.default_rng(0)))
    model = load(tmp_path / "model", engine="numpy")
    assert model.predict_encoded(np.zeros((2, 3)), np.zeros((2, 3))).shape == (2,)
    with pytest.raises(UserError, match="no vocabulary"):
        model.predict({"a": 1})


def test_an_engine_that_is_not_there_is_one_line(model: PackedModel) -> None:
    with pytest.raises(UserError, match="no engine 'cuda'; choose"):
        load(model.path, engine="cuda")


TEXTS = [
    "",
    "3",
    "+3",
    "-07",
    " 4 ",
    "25.0",
    "2.5",
    "1e3",
    "True",
    "false",
    "NA",
    "NULL",
    "x",
    "9" * 19,
    "9" * 20,
    ".5",
]


@pytest.mark.parametrize("text", TEXTS)
def test_cells_are_read_as_tables_read_them(text: str) -> None:
    pairs = [
        (values.whole(table.NO_NUMBER), table.integer),
        (values.decimal(table.NO_NUMBER), table.decimal),
        (values.text(table.NO_TEXT, whole_decimals=True), table.category),
    ]
    for ours, theirs in pairs:
        assert answer(ours, text) == answer(theirs, text)


def answer(read: Any, text: str) -> Any:
    try:
        return read(text)
    except ValueError:
        return "refused"


@pytest.mark.parametrize("text", ["", "a", "25", "ü"])
def test_texts_are_hashed_as_prepare_hashes_them(text: str) -> None:
    keys = TextKeys()
    assert int(keys.hashes(keys.keys(pa.array([text])))[0]) == values.text_hash(text)
