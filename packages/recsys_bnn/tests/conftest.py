from pathlib import Path

import pytest

from recsys_bnn.data.criteo_log import write_log
from recsys_bnn.data.dataset import Dataset, open_dataset
from recsys_bnn.data.generator import SyntheticConfig
from recsys_bnn.prepare import prepare
from recsys_bnn.settings.prepare import PrepareConfig


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """4,000 generated rows, prepared: 2,800 to train on, 400 to choose on, 800 to test on."""
    folder = tmp_path_factory.mktemp("prepared")
    log: Path = folder / "log.txt"
    write_log(log, SyntheticConfig(4000))
    prepare(PrepareConfig(format="criteo-kaggle", input=(log,), out=folder / "data", name="synthetic"))
    return open_dataset(folder / "data")
