"""Fixtures for the tests of every package."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def seminar_data() -> Path:
    """The folder of real data that SEMINAR_DATA names; a test that asks for it skips where there is none."""
    folder = os.environ.get("SEMINAR_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SEMINAR_DATA does not name a folder of real data (see docs/reference/data.md)")
    return Path(folder)
