"""Run the demo of each installed topic and gather them on one page.

A topic announces its demo by an entry point of the group ``seminar.demos``: the name of the topic and a
function ``demo(folder, data)`` that fills ``folder`` with its runs and returns a :class:`~seminar_common.demo_page.Story`.

A topic that is finished leaves its ``story.json`` in its folder. So a demo that was stopped goes on behind the last
finished topic.
"""

import os
import shlex
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from seminar_common import files
from seminar_common.demo_page import Story, content, page
from seminar_common.device import choose_threads, environment_set, thread_variables
from seminar_common.errors import UserError
from seminar_common.identity import require_same
from seminar_common.progress import say
from seminar_common.results import write_results
from seminar_common.signals import Terminated

GROUP = "seminar.demos"
MARKER = "demo.json"
"""In the folder of a demo: the settings that it was started with."""
STORY = "story.json"
"""In the folder of a topic, once its demo has finished: what the page shows of it."""
REPORT = "report.html"
"""In the folder of a topic: every table and plot."""


@dataclass(frozen=True)
class DemoSettings:
    """Run the main job from start to end on generated data, with nothing but what is installed; takes minutes.

    The same command goes on with a demo that was stopped.
    """

    out: Path | None = None
    """Folder to make or to go on with; by default runs/demo-TIME. Open its index.html afterwards."""
    data: Path | None = None
    """Folder with real data (see docs/reference/data.md) to use in place of generated data."""
    threads: int = 0
    """CPU threads of every step; 0 takes OMP_NUM_THREADS, else the cores that others leave free."""

    def __post_init__(self) -> None:
        if self.threads < 0:
            raise UserError(f"--threads {self.threads}: must be 0 (automatic) or more")


Demo = Callable[[Path, Path | None], Story]


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
    """Run ``demos`` one after the other; return the ``index.html`` that tells what they did.

    Topics that are finished in ``settings.out`` are kept. One that was begun is made anew.

    Raises:
        UserError: the output folder holds something that is no demo, or one of other settings, or another run is at
            it, or a demo can't use ``settings.data``.
    """
    out = settings.out or Path("runs") / time.strftime("demo-%Y%m%d-%H%M%S")
    if settings.data is not None and not settings.data.is_dir():
        raise UserError(
            f"{settings.data}: no such folder; --data takes a folder with real data, see docs/reference/data.md"
        )
    with files.locked(out), same_threads(settings.threads), _way_on(settings, out):
        _open(out, settings)
        stories = {
            topic: _story(out / topic, demo, settings.data, f"{number} of {len(demos)}")
            for number, (topic, demo) in enumerate(demos.items(), start=1)
        }
        files.write_text(out / "index.html", page(stories, settings.data is None))
    say(f"open {out / 'index.html'}")
    return out / "index.html"


@contextmanager
def _way_on(settings: DemoSettings, out: Path) -> Generator[None]:
    """Say how to go on if the block is stopped."""
    try:
        yield
    except (KeyboardInterrupt, Terminated):
        words = [Path(sys.argv[0]).name, "demo", "--out", str(out)]
        words += [] if settings.data is None else ["--data", str(settings.data)]
        words += [] if settings.threads == 0 else ["--threads", str(settings.threads)]
        say(f"demo: stopped; what is finished is kept. Go on with: {shlex.join(words)}")
        raise


def _open(out: Path, settings: DemoSettings) -> None:
    """Make the folder of a demo, or look whether it is one of these settings.

    Raises:
        UserError: it is something else.
    """
    data = None if settings.data is None else str(settings.data.resolve())
    facts: dict[str, Any] = {"data": data, "number_of_threads": settings.threads}
    if not (out / MARKER).is_file():
        files.refuse_existing(out)
        files.write_json(out / MARKER, facts)
        return
    require_same(
        files.read_json(out / MARKER), facts, out, "give the same --data and --threads, or another --out"
    )


def _story(folder: Path, demo: Demo, data: Path | None, place: str) -> dict[str, Any]:
    """Return what the page shows of a topic, whose demo is run unless it has finished in ``folder`` before."""
    topic, stored = folder.name, folder / STORY
    if stored.is_file():
        say(f"== {topic} ({place}): finished before, kept")
        return files.read_json(stored)
    if folder.exists():
        say(f"{topic}: was stopped on the way, is made anew")
        files.remove(folder)
    say(f"== {topic} ({place})")
    started, processor = time.perf_counter(), _processor_seconds()
    story = demo(folder, data)
    write_results(folder / "results.json", story.results)
    _report(folder / REPORT, story)
    facts = content(story) | {
        "seconds": time.perf_counter() - started,
        "processor_seconds": _processor_seconds() - processor,
    }
    files.write_json(stored, facts)
    say(
        f"{topic}: {story.answer} ({facts['seconds']:.0f} s, {facts['processor_seconds']:.0f} s of processor time)"
    )
    return facts


def _report(out: Path, story: Story) -> None:
    from seminar_common.report import Section, write_report

    section = Section(story.name, story.results, pictures=story.pages)
    write_report([section], out, f"{story.name}: every figure of the demo")


def _processor_seconds() -> float:
    """Return the processor time of this process and of those that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
