"""How many requests a second `serve` answers in time, and whether it fails any over minutes with new models.

A request holds the features of one user once and those of many candidates, as lists. Float and binary models are served
by the same server, through the same runtime.
"""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recsys_bnn.benchmarks.http_load import Answers, flood, http_request, offer
from recsys_bnn.benchmarks.inference_models import FIELDS, INTEGERS, configs, shape
from recsys_bnn.data.encoding import Normalisation
from recsys_bnn.data.formats.criteo import CATEGORICALS
from recsys_bnn.data.formats.criteo import INTEGERS as INTEGER_NAMES
from recsys_bnn.data.formats.keys import HexKeys
from recsys_bnn.data.id_table import FIRST_VALUE
from recsys_bnn.runtime.packed_file import write_packed
from recsys_bnn.runtime.random_spec import random_spec
from recsys_bnn.settings.bench import Mlps
from recsys_bnn.settings.serve import ServeLoad
from seminar_common import seeds
from seminar_common.errors import UserError, choices
from seminar_common.progress import progress
from seminar_common.results import Row

RATE = "rank_rate_per_s"
OF_CANDIDATES = 10
"""Categorical fields that a candidate has of its own; the other fields and the integers are the user's."""
UNKNOWN = 0.05
"""Share of values that the vocabulary lacks."""
BODIES = 16
"""Different requests, sent in turn."""
STEPS = 6
"""Rates that are tried between one that is met and one that is not."""


def serve_speed(load: ServeLoad, mlps: Sequence[Mlps], table_rows: int, seed: int) -> Iterator[Row]:
    """Yield the highest rate of each model, its times at that rate, and its ratio to the first model.

    Args:
        load: What is asked of the server.
        mlps: Sizes of the MLPs.
        table_rows: Rows of each of the 26 tables.
        seed: Of weights, values and the moments at which requests come.

    Raises:
        UserError: there is no such model, or a server does not start.
    """
    for sizes in mlps:
        if unknown := set(load.served) - configs(sizes).keys():
            raise UserError(f"--served {min(unknown)}: no such model; choose {choices(configs(sizes))}")
    first = load.served[0]
    with (
        tempfile.TemporaryDirectory() as folder,
        progress("serving", len(mlps) * len(load.served)) as advance,
    ):
        for sizes in mlps:
            scene, rates = _Scene(Path(folder), load, sizes, table_rows, seed), {}
            for name in load.served:
                for row in scene.rows(name):
                    rates |= {name: row.value} if row.metric == RATE else {}
                    yield row
                if name != first and rates[first]:
                    yield scene.row(name, "rank_rate_ratio", rates[name] / rates[first], baseline=first)
                advance(1, name)


@dataclass(frozen=True)
class _Scene:
    """Models of one size."""

    folder: Path
    load: ServeLoad
    sizes: Mlps
    table_rows: int
    seed: int

    def row(self, name: str, metric: str, value: float, **facts: Any) -> Row:
        dataset = f"{self.sizes}, {self.table_rows:,} rows a table"
        at: dict[str, Any] = {"batch": self.load.candidates, "threads": self.load.serve_workers}
        return Row(name, dataset, "", metric, value, **at, **facts)

    def rows(self, name: str) -> Iterator[Row]:
        """Yield the figures of one model."""
        model, load = self.model(name, "served", self.seed), self.load
        with server(model, load.serve_workers) as running:
            requests = rank_requests(running.port, load.candidates, self.table_rows, self.seed)
            rng = seeds.numpy_generator(self.seed, "arrivals", name)
            rate, answers = highest_rate(running.port, requests, load, rng)
            facts: dict[str, Any] = {"n": len(answers.milliseconds)}
            yield self.row(name, RATE, rate, unit="1/s", **facts)
            if answers.milliseconds:
                yield self.row(name, "rank_ms_p50", answers.p50, unit="ms", **facts)
                yield self.row(name, "rank_ms_p99", answers.p99, unit="ms", **facts)
            if load.soak_minutes and rate and name == load.served[-1]:
                yield from self.soaked(name, running, model, requests, 0.8 * rate)

    def soaked(
        self, name: str, running: "Server", model: Path, requests: Sequence[bytes], rate: float
    ) -> Iterator[Row]:
        """Yield what became of the requests of some minutes."""
        other = self.model(name, "other", self.seed + 1)
        answers, reloads = soak(running, (model, other), requests, rate, self.load, self.seed)
        facts: dict[str, Any] = {"n": len(answers.milliseconds) + answers.failed}
        yield self.row(name, "soak_rate_per_s", rate, unit="1/s", **facts)
        yield self.row(name, "soak_failed", answers.failed, **facts)
        yield self.row(name, "soak_reloads", reloads, **facts)
        yield self.row(name, "soak_ms_p99", answers.p99, unit="ms", **facts)

    def model(self, name: str, file: str, seed: int) -> Path:
        """Write a model with random weights."""
        path = self.folder / f"{file}.safetensors"
        write_model(path, self.sizes, name, self.table_rows, seed)
        return path


# ------------------------------------------------------------------------------------------- models and requests


def write_model(path: Path, sizes: Mlps, name: str, table_rows: int, seed: int) -> None:
    """Pack a model of random weights that reads Criteo's features; value number v of each field has the id v + 2."""
    spec = random_spec(
        shape(configs(sizes)[name], table_rows), seeds.numpy_generator(seed, "weights", sizes, name)
    )
    values = table_rows - FIRST_VALUE
    encoding = {
        "format": "criteo-kaggle",
        "integer_names": INTEGER_NAMES,
        "categorical_names": CATEGORICALS,
        "kinds": [HexKeys.kind] * FIELDS,
        "normalisation": Normalisation((0.0,) * INTEGERS, (1.0,) * INTEGERS).facts(),
        "fields": [{"keys": values}] * FIELDS,
        "missing_numbers": [""],
        "missing_texts": [""],
        "whole_decimals": False,
        "table_schema": None,
    }
    arrays = {
        "keys": np.tile(np.arange(values, dtype=np.uint32), FIELDS),
        "letters": np.empty(0, np.uint8),
        "lengths": np.empty(0, np.int32),
    }
    write_packed(path, spec, arrays, {"name": name, "encoding": encoding})


def rank_requests(port: int, candidates: int, table_rows: int, seed: int) -> list[bytes]:
    """Return requests of one user each, whose values come as under Zipf's law."""
    rng = seeds.numpy_generator(seed, "requests")
    own = set(CATEGORICALS[-OF_CANDIDATES:])

    def draw(count: int) -> list[str]:
        values = (table_rows ** rng.random(count)).astype(np.uint32) - 1
        values[rng.random(count) < UNKNOWN] = np.iinfo(np.uint32).max
        return HexKeys().texts(values).to_pylist()

    requests = []
    for _ in range(BODIES):
        context: dict[str, Any] = {name: int(rng.integers(100)) for name in INTEGER_NAMES}
        context |= {name: draw(1)[0] for name in CATEGORICALS if name not in own}
        lists = {name: draw(candidates) for name in CATEGORICALS if name in own}
        body = json.dumps({"context": context, "candidates": lists, "top": min(100, candidates)})
        requests.append(http_request(port, "/rank", body.encode()))
    return requests


# ------------------------------------------------------------------------------------------------------ the server


@dataclass(frozen=True)
class Server:
    """A server in a process of its own."""

    process: subprocess.Popen[str]
    port: int

    def digest(self) -> str:
        """Return the digest of the model that answers."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=10) as answer:
            return json.load(answer)["model"]


@contextmanager
def server(model: Path, workers: int) -> Generator[Server]:
    """Start `recsys-bnn serve` and yield it; it is stopped at the end.

    Raises:
        UserError: it does not start.
    """
    command = [sys.executable, "-m", "recsys_bnn.cli", "serve", "--model", str(model), "--port", "0"]
    command += ["--workers", str(workers)]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield Server(process, _port(process))
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)


def _port(process: subprocess.Popen[str]) -> int:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line.strip())
        if found := re.search(r"http://[^:]+:([0-9]+)", line):
            return int(found[1])
    raise UserError(f"the server did not start: {' | '.join(said[-3:])}")


def highest_rate(
    port: int, requests: Sequence[bytes], load: ServeLoad, rng: np.random.Generator
) -> tuple[float, Answers]:
    """Return the highest rate whose 99th percentile stays below the limit, and the answers at it.

    The rate at which connections that never pause are served bounds it; bisection finds it between there and 0.
    """
    asyncio.run(flood(port, requests, 2, min(2.0, load.window_s)))  # the first calls load and compile
    low, high = 0.0, asyncio.run(flood(port, requests, 4, load.window_s))
    best = Answers()
    for _ in range(STEPS):
        rate = (low + high) / 2
        answers = asyncio.run(offer(port, requests, rate, load.window_s, rng))
        if answers.p99 < load.limit_ms and not answers.failed:
            low, best = rate, answers
        else:
            high = rate
    return low, best


def soak(
    running: Server,
    models: Sequence[Path],
    requests: Sequence[bytes],
    rate: float,
    load: ServeLoad,
    seed: int,
) -> tuple[Answers, int]:
    """Offer ``rate`` for minutes and replace the model twice meanwhile; return the answers and the reloads seen.

    Args:
        running: The server.
        models: The file that it serves, and another model of the same features to take its place.
        requests: Bodies to send in turn.
        rate: Requests a second.
        load: How long.
        seed: Of the moments at which requests come.
    """
    served, other = models
    parts, digests = Answers(), [running.digest()]
    first = served.with_suffix(".first")
    shutil.copy(served, first)
    with progress("serving under load", 3) as advance:
        for part, replacement in enumerate((None, other, first)):
            if replacement is not None:
                new = served.with_suffix(".new")
                shutil.copy(replacement, new)
                new.replace(served)
            rng = seeds.numpy_generator(seed, "soak", part)
            answers = asyncio.run(offer(running.port, requests, rate, 20 * load.soak_minutes, rng))
            parts.milliseconds += answers.milliseconds
            parts.failed += answers.failed
            digests.append(running.digest())
            advance(1)
    return parts, sum(a != b for a, b in zip(digests, digests[1:], strict=False))
