import os
import shutil
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gcd_longtail.discovery.predictors import nearest_centroid
from gcd_longtail.figures.gallery import About, Shown, write_gallery
from gcd_longtail.images.sources.folder import FileSource

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


@pytest.fixture(scope="module")  # playwright runs once at a time in a process, and other packages use it, too
def browser() -> Iterator:
    """A headless Chromium; tests that click are skipped where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.skip("no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@contextmanager
def opened(browser, address: str, **screen) -> Generator:
    """Open a page in a fresh profile; afterwards the browser must have had nothing to complain about."""
    context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **screen})
    tab = context.new_page()
    problems: list[str] = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    tab.goto(address)
    try:
        yield tab
    finally:
        context.close()
    assert not problems


@pytest.fixture(scope="session")
def open_page() -> Callable:
    """The function that opens a page."""
    return opened


def write_discovery(out: Path, sizes: dict[str, int], known: int = 2, **changes) -> Path:
    """Write the gallery of a made-up discovery: a class of images of one colour for each of ``sizes``, two labelled."""
    images = out.parent / "images"
    keys = write_images(images, sizes, 12)
    classes = np.repeat(np.arange(len(sizes)), list(sizes.values()))
    generator = np.random.default_rng(5)
    means = np.stack([np.arange(len(sizes)) * 2.0, np.arange(len(sizes)) ** 1.5, np.zeros(len(sizes))], 1)
    features = (means[classes] + generator.normal(0, 0.3, (len(keys), 3))).astype(np.float32)
    place = np.concatenate([np.arange(size) for size in sizes.values()])
    labelled = (classes < known) & (place < 2)
    thumbnails = changes.pop("thumbnails", 5000)
    about = About("Made-up <discovery>", ("One sentence.",), ("A note.",), changes.pop("run", "r" * 32))
    source = FileSource(images, keys, [""] * len(keys))
    shown = Shown(
        source, np.arange(len(keys)), changes.pop("features", features), classes, labelled, **changes
    )
    write_gallery(out, shown, nearest_centroid(means), list(sizes), known, about, thumbnails)
    return out


@pytest.fixture(scope="session")
def make_discovery() -> Callable[..., Path]:
    """The function that writes such a gallery."""
    return write_discovery
