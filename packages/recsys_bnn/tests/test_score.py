import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest

from recsys_bnn.compiled import rows as rows_in_c
from recsys_bnn.data.criteo_log import write_log
from recsys_bnn.data.dataset import Dataset, open_dataset
from recsys_bnn.data.formats import text
from recsys_bnn.data.generator import SyntheticConfig
from recsys_bnn.prepare import prepare
from recsys_bnn.runtime.packed import load
from recsys_bnn.score import score
from recsys_bnn.settings.prepare import PrepareConfig
from recsys_bnn.settings.score import ScoreSettings
from seminar_common.errors import UserError

ROWS = 400


def run(visits: Path, out: Path | str, *inputs: Path, **changes: Any) -> None:
    settings: dict[str, Any] = {"model": visits / "m.safetensors", "input": inputs or (visits / "log.csv",)}
    score(ScoreSettings(**settings | {"out": str(out), "workers": 1, "engine": "numpy"} | changes))


def expected(visits: Path) -> np.ndarray:
    return load(visits / "m.safetensors", engine="numpy").predict(csv.read_csv(visits / "log.csv"))


def unlabelled(visits: Path, path: Path) -> Path:
    lines = (visits / "log.csv").read_text().splitlines()
    path.write_text("\n".join(line.partition(",")[2] for line in lines) + "\n")
    return path


def test_rows_of_a_log_get_the_model_s_probabilities(visits: Path, tmp_path: Path, capfd: Any) -> None:
    run(visits, tmp_path / "s.csv")
    table = csv.read_csv(tmp_path / "s.csv")
    assert table.column_names == ["row", "probability"]
    assert table["row"].to_pylist() == list(range(1, ROWS + 1))
    np.testing.assert_array_equal(table["probability"].to_numpy(), expected(visits))
    said = capfd.readouterr().err
    assert re.search(r"scored 400 rows with float \(engine numpy\) into ", said)
    assert re.search(r"ROC AUC 0\.\d{4}, log loss \d\.\d{4} on 400 rows with a label", said)


def test_rows_without_labels_get_the_same_and_no_auc(visits: Path, tmp_path: Path, capfd: Any) -> None:
    run(visits, tmp_path / "s.parquet", unlabelled(visits, tmp_path / "new.csv"))
    np.testing.assert_array_equal(
        pq.read_table(tmp_path / "s.parquet")["probability"].to_numpy(), expected(visits)
    )
    assert "AUC" not in capfd.readouterr().err


def test_several_files_are_numbered_through(visits: Path, tmp_path: Path) -> None:
    run(visits, tmp_path / "s.arrow", visits / "log.csv", unlabelled(visits, tmp_path / "new.csv"))
    table = pa.ipc.open_file((tmp_path / "s.arrow").read_bytes()).read_all()
    assert table["row"].to_pylist() == list(range(1, 2 * ROWS + 1))
    np.testing.assert_array_equal(table["probability"].to_numpy(), np.tile(expected(visits), 2))


def test_standard_output_is_csv(visits: Path, tmp_path: Path, capfdbinary: Any) -> None:
    run(visits, tmp_path / "s.csv")
    capfdbinary.readouterr()
    run(visits, "-")
    assert capfdbinary.readouterr().out == (tmp_path / "s.csv").read_bytes()


def test_more_workers_give_the_same_bytes(
    visits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In the same pieces: how a matrix product rounds may depend on its number of rows, on some processors.
    monkeypatch.setattr(text, "BLOCK_BYTES", 1024)
    run(visits, tmp_path / "one.csv")
    run(visits, tmp_path / "three.csv", workers=3, engine="auto")
    one, three = (
        csv.read_csv(tmp_path / f"{name}.csv")["probability"].to_numpy() for name in ("one", "three")
    )
    np.testing.assert_allclose(one, three, atol=1e-5)
    run(visits, tmp_path / "two.csv", workers=2)
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(
    suffix: str, visits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.setattr(text, "BLOCK_BYTES", 1024)
    run(visits, tmp_path / f"whole{suffix}")
    calls = []

    def stopping(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return predict(*args)

    predict = load(visits / "m.safetensors").__class__.predict_encoded
    monkeypatch.setattr("recsys_bnn.runtime.packed.PackedModel.predict_encoded", stopping)
    out = tmp_path / f"s{suffix}"
    with pytest.raises(KeyboardInterrupt):
        run(visits, out)
    assert not out.exists()
    capfd.readouterr()
    run(visits, out)
    done = re.search(r"going on after ([0-9]+) rows", capfd.readouterr().err)
    assert done and 0 < int(done[1]) < ROWS
    assert out.read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([out.name, f"whole{suffix}"])


def test_values_that_training_never_saw_are_counted(visits: Path, tmp_path: Path, capfd: Any) -> None:
    new = tmp_path / "new.csv"
    new.write_text("age,price,user,film\n1,2,u1,f 1\n1,2,nobody,f 1\n1,2,noone,f 1\n1,2,u2,another\n")
    run(visits, tmp_path / "s.csv", new)
    assert "values that the model doesn't know: user 50.0%, film 25.0%\n" in capfd.readouterr().err


def test_a_bad_row_stops_or_has_no_probability(visits: Path, tmp_path: Path, capfd: Any) -> None:
    new = tmp_path / "new.csv"
    new.write_text("age,price,user,film\n1,2,u1,f 1\nx,2,u1,f 1\n1,2,u1,f 1\n")
    with pytest.raises(UserError, match=r"new.csv, line 3: age is 'x'"):
        run(visits, tmp_path / "s.csv", new)
    assert [path.name for path in tmp_path.iterdir()] == ["new.csv"]
    run(visits, tmp_path / "s.csv", new, on_error="skip")
    lines = (tmp_path / "s.csv").read_text().splitlines()
    assert lines[2] == "2," and lines[1].partition(",")[2] == lines[3].partition(",")[2] != ""
    assert "; 1 bad rows have no probability" in capfd.readouterr().err


ODD = [
    b"",
    b"\r",
    b"\xff",
    b"\0",
    b"2",
    b"-",
    b"\t",
    b",",
    b'"',
    b"99999999999",
    b"2147483647",
    b"70000",
    b"00",
    b"ABCDEF01",
    "\u0663".encode(),
]


def oddly_changed(lines: list[bytes], separator: bytes, seed: int) -> bytes:
    """Put something odd in the place of a cell in one of 50 lines, beside it, or in the place of all of the line."""
    rng = random.Random(seed)
    for at in range(1, len(lines)):
        if rng.random() < 0.02:
            cells = lines[at].split(separator)
            place, odd = rng.randrange(len(cells)), rng.choice(ODD)
            cells[place] = rng.choice([odd, odd, cells[place] + odd])
            lines[at] = rng.choice(
                [separator.join(cells), separator.join(cells) + odd, separator.join(cells)]
            )
            if rng.random() < 0.1:
                lines[at] = odd
    return b"\n".join(lines) + b"\n"


@pytest.mark.parametrize("layout", ["criteo-kaggle", "table"])
def test_odd_rows_get_the_same_with_and_without_a_compiler(
    layout: str, prepared: Dataset, visits: Path, pack: Callable[..., Path], tmp_path: Path, capfd: Any
) -> None:
    log, model = tmp_path / "odd", visits / "m.safetensors"
    if layout == "criteo-kaggle":
        write_log(log, SyntheticConfig(5000, 1))  # enough for a block in C
        lines, separator, model = log.read_bytes().splitlines(), b"\t", pack(prepared, tmp_path / "m")
    else:
        lines, separator = (visits / "log.csv").read_bytes().splitlines(), b","
        lines = [lines[0], *lines[1:] * 15]
    log.write_bytes(oddly_changed(lines, separator, 0))
    found, out = [], tmp_path / "s.csv"
    for calls in (rows_in_c.calls, lambda: None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rows_in_c, "calls", calls)
            run(visits, out, log, model=model, on_error="skip")
            scores = out.read_bytes()
            out.unlink()
            with pytest.raises(UserError) as stopped:
                run(visits, out, log, model=model)
        found.append((str(stopped.value), capfd.readouterr().err, scores))
    assert found[0] == found[1]
    assert "bad rows have no probability" in found[0][1]


def test_a_missing_column_is_named_or_filled(visits: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.csv"
    new.write_text("more,user,film\n7,u1,f 1\n")
    with pytest.raises(UserError, match=r"new.csv: the column 'age' that the model reads is not there"):
        run(visits, tmp_path / "s.csv", new)
    run(visits, tmp_path / "s.csv", new, missing_columns="fill")
    expected = load(visits / "m.safetensors", engine="numpy").predict(
        {"user": "u1", "film": "f 1"}, missing_columns="fill"
    )
    assert csv.read_csv(tmp_path / "s.csv")["probability"].to_pylist() == expected.tolist()


def cut(path: Path, model: bytes) -> None:
    path.write_bytes(model[: len(model) // 2])


def altered(path: Path, model: bytes) -> None:
    path.write_bytes(model[:-9] + bytes([model[-9] ^ 1]) + model[-8:])


def newer(path: Path, model: bytes) -> None:
    path.write_bytes(
        model.replace(b'\\"version\\":1', b'\\"version\\":9').replace(
            b'\\"version\\": 1', b'\\"version\\": 9'
        )
    )


def rubbish(path: Path, model: bytes) -> None:
    path.write_text("no model")


@pytest.mark.parametrize("harm", [cut, altered, newer, rubbish])
def test_a_model_that_is_harmed_or_newer_is_one_line(
    harm: Callable[[Path, bytes], None], visits: Path, tmp_path: Path
) -> None:
    harm(tmp_path / "m", (visits / "m.safetensors").read_bytes())
    with pytest.raises(UserError, match="format version 9" if harm is newer else str(tmp_path / "m")):
        run(visits, tmp_path / "s.csv", model=tmp_path / "m")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


BAD_INPUTS = {
    "": "the file is empty",
    "age,price,user,film\n": "holds no row",
    "age;price;user;film\n1;2;a;b\n": "the column 'age' that the model reads is not there",
    "age,age,price,user,film\n1,1,2,a,b\n": "the column 'age' is there twice",
    "age,price,user,film\n1,nan,a,b\n1,inf,a,b\n": "line 3: price is 'inf'",
    "age,price,user,film\n1e400,2,a,b\n": "line 2: age is '1e400'",
    "age,price,user,film\n" + "9" * 1_000_000 + ",2,a,b\n": "line 2: age is '999",
}


@pytest.mark.parametrize("content", BAD_INPUTS, ids=range(len(BAD_INPUTS)))
def test_a_bad_input_is_one_line_and_leaves_nothing(content: str, visits: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text(content)
    with pytest.raises(UserError) as refused:
        run(visits, tmp_path / "s.csv", tmp_path / "new.csv")
    assert BAD_INPUTS[content] in str(refused.value) and len(str(refused.value)) < 500
    assert [path.name for path in tmp_path.iterdir()] == ["new.csv"]


def test_a_text_of_a_megabyte_is_an_unknown_value(visits: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text(f"age,price,user,film\n1,2,{'x' * 1_000_000},f 1\n")
    run(visits, tmp_path / "s.csv", tmp_path / "new.csv")
    assert len((tmp_path / "s.csv").read_text().splitlines()) == 2


def test_what_is_there_is_not_overwritten(visits: Path, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        run(visits, tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_text() == "mine"


def test_a_folder_or_another_format_is_refused(visits: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="folder"):
        run(visits, tmp_path / "s.csv", tmp_path)
    with pytest.raises(UserError, match="the model reads age"):
        run(visits, tmp_path / "s.csv", format="criteo-kaggle")
    with pytest.raises(UserError, match="can't be made"):
        run(visits, visits / "log.csv" / "s.csv")


def test_lists_are_scored_from_text_and_from_parquet(
    tmp_path: Path, pack: Callable[..., Path], capfd: Any
) -> None:
    tags = [[], ["a"], ["a", "b", "b"], ["c"]]
    cells = [(i % 2, f"u{i % 3}", tags[i % 4]) for i in range(60)]
    lines = [f"{label},{user},{'|'.join(each)}\n" for label, user, each in cells]
    (tmp_path / "log.csv").write_text("click,user,tags\n" + "".join(lines))
    labels, users, lists = map(list, zip(*cells, strict=True))
    table = pa.table(
        {
            "click": labels,
            "user": users,
            "tags": [[*each, "new"] if each == ["c"] else each for each in lists],
        }
    )
    pq.write_table(table, tmp_path / "log.parquet")
    (tmp_path / "schema.toml").write_text('label = "click"\ncategoricals = ["user"]\nlists = {tags = "|"}')
    log, schema = (tmp_path / "log.csv",), tmp_path / "schema.toml"
    data = open_dataset(prepare(PrepareConfig("table", input=log, schema=schema, out=tmp_path / "data")))
    model = load(pack(data, tmp_path / "m.safetensors"))
    for name, rows in (
        ("log.csv", [{"user": u, "tags": "|".join(t)} for _, u, t in cells]),
        ("log.parquet", table),
    ):
        run(tmp_path, tmp_path / f"{name}.csv", tmp_path / name, engine="auto")
        got = csv.read_csv(tmp_path / f"{name}.csv")["probability"].to_numpy()
        np.testing.assert_allclose(got, model.predict(rows), rtol=1e-6)
    said = capfd.readouterr().err
    assert "doesn't know: tags 25.0%" in said


def test_schema_is_for_tables_alone() -> None:
    with pytest.raises(UserError, match="--schema columns.toml: is for table only"):
        ScoreSettings("avazu", model=Path("m"), input=(Path("a"),), out="-", schema=Path("columns.toml"))
    with pytest.raises(UserError, match="--input a: given twice"):
        ScoreSettings(model=Path("m"), input=(Path("a"), Path("a")), out="-")
