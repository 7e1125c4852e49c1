import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.append(str(Path(__file__).parent))  # killing_source is imported by worker processes, too


def write_images(folder: Path, classes: dict[str, int], size: int = 16) -> list[str]:
    """Write noisy images of a colour of its own for each class; return their names relative to ``folder``."""
    keys = []
    for number, (name, count) in enumerate(classes.items()):
        generator = np.random.default_rng(number)
        colour = generator.integers(0, 255, 3)
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            pixels = np.clip(colour + generator.normal(0, 12, (size, size, 3)), 0, 255).astype(np.uint8)
            keys.append(f"{name}/{i:03d}.png")
            Image.fromarray(pixels).save(folder / keys[-1])
    return keys


@pytest.fixture(scope="session")
def make_images() -> Callable[[Path, dict[str, int]], list[str]]:
    """The function that writes images."""
    return write_images


@pytest.fixture(scope="session")
def colours() -> dict[str, int]:
    """Six classes with their numbers of images."""
    return {"a": 20, "b": 16, "c": 12, "d": 8, "e": 6, "f": 4}


@pytest.fixture
def images(tmp_path: Path, colours: dict[str, int]) -> Path:
    """A folder of those classes."""
    folder = tmp_path / "images"
    write_images(folder, colours)
    return folder
