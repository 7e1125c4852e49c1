"""`prepare` writes the same bytes on one worker, in threads, through pickles and on a cluster that loses a worker."""

import gzip
import os
import pickle
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys_bnn import prepare
from recsys_bnn.data import parallel
from recsys_bnn.data.criteo_log import write_log
from recsys_bnn.data.formats import text
from recsys_bnn.data.formats.avazu import HEADER
from recsys_bnn.data.formats.text import Block, Source
from recsys_bnn.data.generator import SyntheticConfig
from recsys_bnn.data.parallel import MOST_AHEAD, parallel_map
from recsys_bnn.settings.prepare import PrepareConfig
from seminar_common.errors import UserError
from seminar_common.work import Failed, WorkConfig

ROWS = 200
DIGITS = np.random.default_rng(0).integers(0, 9, (ROWS, 32))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def prepared(out: Path, settings: dict[str, Any], work: WorkConfig) -> dict[str, bytes]:
    return contents(prepare.prepare(PrepareConfig(**settings, out=out, work=work)))


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of more than one staged batch in every pass, with bad lines in the middle."""
    path = tmp_path_factory.mktemp("log") / "log.txt"
    write_log(path, SyntheticConfig(20_000))
    rows = path.read_bytes()
    path.write_bytes(rows * 5 + b"no row\n7\t\n" + rows * 5)
    return path


@pytest.mark.parametrize("split", ["time", "random"])
def test_threads_write_the_bytes_of_one_worker(log: Path, tmp_path: Path, split: str) -> None:
    settings = {"format": "criteo-kaggle", "input": (log,), "on_error": "skip", "split": split}
    alone = prepared(tmp_path / "alone", settings, WorkConfig(1))
    assert alone["skipped.csv"].count(b"\n") == 3 and len(alone) == 7
    assert prepared(tmp_path / "threads", settings, WorkConfig(3)) == alone


# ------------------------------------------------------------------------------------------- what travels to a worker


def avazu(folder: Path) -> dict[str, Any]:
    hexadecimal = {"site_id", "site_domain", "site_category", "app_id", "app_domain", "app_category"}
    hexadecimal |= {"device_id", "device_ip", "device_model"}
    lines = [",".join(HEADER)]
    for number, digits in enumerate(DIGITS):
        cells = [
            f"{digit:08x}" if name in hexadecimal else str(digit)
            for name, digit in zip(HEADER, digits, strict=False)
        ]
        lines.append(",".join([str(number), str(digits[1] % 2), "14102100", *cells[3:]]))
    return {"input": (written(folder / "train.csv", lines),)}


def movielens(folder: Path) -> dict[str, Any]:
    ratings = [f"{d[0] + 1}::{d[1] + 1}::{d[2] % 5 + 1}::{978300000 + n}" for n, d in enumerate(DIGITS)]
    written(folder / "ratings.dat", ratings)
    written(folder / "movies.dat", [f"{n}::Film {n} (199{n % 10})::Comedy|Drama" for n in range(1, 11)])
    written(folder / "users.dat", [f"{n}::{'FM'[n % 2]}::25::{n}::12345" for n in range(1, 11)])
    return {"input": (folder,)}


def libfm(folder: Path) -> dict[str, Any]:
    lines = [f"{d[0] % 2 * 2 - 1} {d[1]}:1 {10 + d[2]}:1" for d in DIGITS]
    return {"input": (written(folder / "frappe.libfm", lines),)}


def table(folder: Path) -> dict[str, Any]:
    schema = ['label = "rating"', "threshold = 4", 'integers = ["age"]', 'categoricals = ["user"]']
    rows = ["rating,age,user", *(f'{d[0]},{d[1]},"user {d[2]}"' for d in DIGITS)]
    return {
        "input": (written(folder / "log.csv", rows),),
        "schema": written(folder / "schema.toml", schema),
    }


def parquet(folder: Path) -> dict[str, Any]:
    columns = {"rating": DIGITS[:, 0], "age": DIGITS[:, 1], "user": [f"user {d[2]}" for d in DIGITS]}
    pq.write_table(pa.table(columns), folder / "log.parquet")
    return {**table(folder), "input": (folder / "log.parquet",), "hash_buckets": 5}


def criteo(folder: Path) -> dict[str, Any]:
    write_log(folder / "log.txt", SyntheticConfig(ROWS))
    return {"input": (folder / "log.txt",), "split": "random"}


def criteo_gzip(folder: Path) -> dict[str, Any]:
    write_log(folder / "log.txt", SyntheticConfig(ROWS))
    (folder / "log.gz").write_bytes(gzip.compress((folder / "log.txt").read_bytes()))
    return {"input": (folder / "log.gz",)}


def criteo_1tb(folder: Path) -> dict[str, Any]:
    for day in range(3):
        write_log(folder / f"day_{day}", SyntheticConfig(ROWS, seed=day))
    return {"input": (folder,)}


def synthetic(folder: Path) -> dict[str, Any]:
    return {"rows": ROWS}


def written(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines))  # without a line end at the end
    return path


INPUTS: dict[str, tuple[str, Callable[[Path], dict[str, Any]]]] = {
    "avazu": ("avazu", avazu),
    "movielens": ("movielens", movielens),
    "libfm": ("libfm", libfm),
    "table": ("table", table),
    "table of Parquet": ("table", parquet),
    "criteo-kaggle": ("criteo-kaggle", criteo),
    "criteo-kaggle, gzip": ("criteo-kaggle", criteo_gzip),
    "criteo-1tb": ("criteo-1tb", criteo_1tb),
    "synthetic": ("synthetic", synthetic),
}


@pytest.mark.parametrize("name", INPUTS)
def test_every_format_gives_the_same_through_pickles(name: str, tmp_path: Path, monkeypatch) -> None:
    kind, make = INPUTS[name]
    (tmp_path / "in").mkdir()
    settings = {"format": kind, **make(tmp_path / "in")}
    monkeypatch.setattr(text, "BLOCK_BYTES", 4096)
    here = prepared(tmp_path / "here", settings, WorkConfig(1))

    @contextmanager
    def pickling(config: WorkConfig) -> Iterator[parallel.OrderedMap]:
        yield lambda function, pieces: (answer(function, piece) for piece in pieces)

    def answer(function, piece):
        function, piece = pickle.loads(pickle.dumps((function, piece)))
        return pickle.loads(pickle.dumps(function(piece)))

    monkeypatch.setattr(prepare, "parallel_map", pickling)
    assert prepared(tmp_path / "there", settings, WorkConfig(1)) == here


def test_a_block_of_a_plain_file_travels_as_the_place_where_it_stands(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(text, "BLOCK_BYTES", 1 << 16)
    path = written(tmp_path / "log.txt", [f"{number:9}" for number in range(50_000)])
    monkeypatch.chdir(tmp_path)  # a worker stands elsewhere
    blocks = list(Source(Path("log.txt")).blocks())
    sent = [pickle.dumps(block) for block in blocks]
    assert len(blocks) > 3 and max(map(len, sent)) < 500
    monkeypatch.chdir("/")
    assert [pickle.loads(one) for one in sent] == blocks
    assert [block.path for block in blocks] == [Path("log.txt")] * len(blocks)
    path.unlink()
    with pytest.raises(UserError, match=r"log.txt: a worker can't read it .*--out on a disk that all"):
        pickle.loads(sent[0])


def test_a_piece_that_no_worker_survives_ends_the_job_with_its_place(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(
        parallel, "results_in_order", lambda workers, function, pieces, window: [(pieces[0], Failed("died"))]
    )
    with (
        pytest.raises(UserError, match=r"log.txt, from line 7 on: died; start workers with more memory"),
        parallel_map(WorkConfig(1)) as ordered_map,
    ):
        list(ordered_map(len, [Block(Path("log.txt"), 7, b"")]))


def test_few_pieces_are_taken_ahead_however_many_workers_there_are() -> None:
    taken = []
    with parallel_map(WorkConfig(40)) as ordered_map:
        results = iter(ordered_map(lambda number: -number, (taken.append(i) or i for i in range(1000))))
        assert next(results) == 0
        assert len(taken) <= MOST_AHEAD
        assert list(results) == [-number for number in range(1, 1000)]


# ------------------------------------------------------------------------------------------------------- on a cluster


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_writes_the_same_bytes(log: Path, tmp_path: Path, monkeypatch) -> None:
    distributed = pytest.importorskip("distributed")
    settings = {"format": "criteo-kaggle", "input": (log,), "on_error": "skip"}
    alone = prepared(tmp_path / "alone", settings, WorkConfig(1))
    monkeypatch.setattr(prepare, "CLUSTER_BLOCK_BYTES", text.BLOCK_BYTES)
    seen = 0

    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:

        def processes() -> set[int]:
            with distributed.Client(cluster.scheduler_address, set_as_default=False) as client:
                return set(client.run(os.getpid).values())

        def and_kill(*arguments: Any) -> Iterator[Any]:
            nonlocal seen
            for found in in_order(*arguments):
                seen += 1
                if seen == 4:
                    os.kill(min(before), signal.SIGKILL)
                yield found

        before, in_order = processes(), parallel.results_in_order
        monkeypatch.setattr(parallel, "results_in_order", and_kill)
        monkeypatch.chdir(tmp_path)
        found = prepared(Path("cluster"), settings, WorkConfig(cluster=cluster.scheduler_address))
        assert len(before) == 2 and min(before) not in processes()
    assert found == alone
    assert seen > 12, "the worker died in the middle of the first pass"
