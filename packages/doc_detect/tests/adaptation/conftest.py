"""A toy collection; the detector for it is `toy_source`."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def toy_data(tmp_path_factory: pytest.TempPathFactory, write_toy_pages: Callable[..., Path]) -> Path:
    return write_toy_pages(tmp_path_factory.mktemp("toy") / "data", train=14, val=4, height=192)
