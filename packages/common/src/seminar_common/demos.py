"""Run the demo of each installed topic and gather them on one page.

A topic announces its demo by an entry point of the group ``seminar.demos``: the name of the topic and a
function ``demo(folder, data)`` that fills ``folder`` with its runs and a ``results.json`` and returns a
:class:`DemoPage`.
"""

import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from seminar_common import files
from seminar_common.device import choose_threads, environment_set, thread_variables
from seminar_common.errors import UserError
from seminar_common.progress import say
from seminar_common.results import Results, write_results

if TYPE_CHECKING:
    from seminar_common.report import Picture

GROUP = "seminar.demos"


@dataclass(frozen=True)
class DemoSettings:
    """Run the main job from start to end on generated data, with nothing but what is installed; takes minutes."""

    out: Path | None = None
    """Folder to make; by default runs/demo-TIME. Open its index.html afterwards."""
    data: Path | None = None
    """Folder with real data (see docs/reference/data.md) to use in place of generated data."""
    threads: int = 0
    """CPU threads of every step; 0 takes OMP_NUM_THREADS, else the cores that others leave free."""

    def __post_init__(self) -> None:
        if self.threads < 0:
            raise UserError(f"--threads {self.threads}: must be 0 (automatic) or more")


@dataclass(frozen=True)
class DemoPage:
    """What a topic's demo shows."""

    title: str
    results: Results
    pictures: "Sequence[Picture]" = ()
    """Shown below the figures."""
    links: Sequence[tuple[str, str]] = ()
    """Text and target of what else to look at; targets are relative to the topic's folder."""


Demo = Callable[[Path, Path | None], DemoPage]


def installed_demos() -> dict[str, Demo]:
    """Return the demo of every installed topic by name; a demo's module is imported here."""
    return {entry.name: entry.load() for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name)}


def main(settings: DemoSettings) -> None:
    """Run every installed demo; the function behind ``seminar demo``."""
    say("demo: starting; it takes minutes")
    with same_threads(settings.threads):
        demos = installed_demos()
        if not demos:
            raise UserError(
                "no topic is installed; install one, e.g. `pip install ./packages/common ./packages/recsys_bnn`"
            )
        run_demos(demos, settings)


@contextmanager
def same_threads(asked: int) -> Generator[None]:
    """Decide the number of threads once, for every step and library of the demos, and for processes that they start.

    NumPy, scikit-learn and :mod:`seminar_common.device` go by the environment; a library reads it as it loads.
    """
    threads, reason = choose_threads(asked)
    if os.environ.get("OMP_NUM_THREADS") != str(threads):
        say(f"demo: {threads} thread{'s' * (threads > 1)} ({reason})")
    with environment_set(thread_variables(threads)):
        yield


def run_demos(demos: Mapping[str, Demo], settings: DemoSettings) -> Path:
    """Run ``demos`` one after the other; return the ``index.html`` that shows their results.

    Raises:
        UserError: the output folder holds something, or a demo can't use ``settings.data``.
    """
    from seminar_common.report import write_report

    out = settings.out or Path("runs") / time.strftime("demo-%Y%m%d-%H%M%S")
    files.refuse_existing(out)
    if settings.data is not None and not settings.data.is_dir():
        raise UserError(
            f"{settings.data}: no such folder; --data takes a folder with real data, see docs/reference/data.md"
        )
    sections, started = [], time.perf_counter()
    with same_threads(settings.threads):
        for topic, demo in demos.items():
            say(f"== {topic}")
            page = demo(out / topic, settings.data)
            write_results(out / topic / "results.json", page.results)
            links = [(text, f"{topic}/{target}") for text, target in page.links]
            sections.append((page.title, page.results, None, None, (), page.pictures, links))
    index = out / "index.html"
    write_report(sections, index, "Demo")
    say(f"done in {time.perf_counter() - started:.0f} s: open {index}")
    return index
