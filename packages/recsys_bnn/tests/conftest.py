import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recsys_bnn.data.criteo_log import write_log
from recsys_bnn.data.dataset import Dataset, open_dataset
from recsys_bnn.data.generator import SyntheticConfig
from recsys_bnn.packing.encoding import encoding_section
from recsys_bnn.prepare import prepare
from recsys_bnn.runtime.packed_file import write_packed
from recsys_bnn.runtime.random_spec import Shape, random_spec
from recsys_bnn.settings.prepare import PrepareConfig

SCHEMA = """
label = "clicked"
integers = ["age"]
numbers = ["price"]
categoricals = ["user", "film"]
"""
ROWS = 400


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """4,000 generated rows, prepared: 2,800 to train on, 400 to choose on, 800 to test on."""
    folder = tmp_path_factory.mktemp("prepared")
    log: Path = folder / "log.txt"
    write_log(log, SyntheticConfig(4000))
    prepare(PrepareConfig(format="criteo-kaggle", input=(log,), out=folder / "data", name="synthetic"))
    return open_dataset(folder / "data")


def pack_random(data: Dataset, path: Path, seed: int = 0, name: str = "float") -> Path:
    """Write a model of random weights that reads what ``data`` was prepared from."""
    facts, arrays = encoding_section(data, data.cardinalities)
    counts = {"integers": len(data.integer_names), "cardinalities": data.cardinalities}
    shape = Shape(**counts, dim=4, list_widths=data.list_widths)
    spec = random_spec(shape, np.random.default_rng(seed))
    write_packed(path, spec, arrays, {"name": name, "encoding": facts})
    return path


def visit(rng: random.Random) -> list[str]:
    """Return the cells of a row: clicked, age, price, user, film."""
    age = str(rng.randrange(90)) if rng.random() < 0.9 else ""
    return [
        str(rng.randrange(2)),
        age,
        f"{rng.gauss(0, 9):.3f}",
        f"u{rng.randrange(30)}",
        f"f {rng.randrange(9)}",
    ]


@pytest.fixture(scope="session")
def visits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``log.csv`` of 400 rows, its ``schema.toml``, the prepared ``data`` and a model ``m.safetensors``."""
    folder, rng = tmp_path_factory.mktemp("visits"), random.Random(0)
    lines = ["clicked,age,price,user,film", *(",".join(visit(rng)) for _ in range(ROWS))]
    (folder / "log.csv").write_text("\n".join(lines) + "\n")
    (folder / "schema.toml").write_text(SCHEMA)
    config = PrepareConfig(
        "table", input=(folder / "log.csv",), schema=folder / "schema.toml", out=folder / "data"
    )
    pack_random(open_dataset(prepare(config)), folder / "m.safetensors")
    return folder


@pytest.fixture(scope="session")
def another(visits: Path) -> Callable[[Path, int], Path]:
    """Return what writes another model of the same features."""
    return lambda path, seed: pack_random(open_dataset(visits / "data"), path, seed, f"model-{seed}")


@pytest.fixture(scope="session")
def pack() -> Callable[..., Path]:
    """Return :func:`pack_random`."""
    return pack_random
