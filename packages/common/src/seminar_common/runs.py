"""One run, one folder.

``config.json`` (every setting), ``environment.json`` (versions, machine, data fingerprints),
``metrics.jsonl`` (one line a logged step), ``checkpoints/``, and after ``evaluate`` also ``results.json``
and ``report.html``. Every file is written to a temporary name and renamed, apart from ``metrics.jsonl``,
which grows line by line and is cut back to the checkpoint when a run resumes.
"""

import dataclasses
import functools
import os
import platform
import shlex
import sys
import time
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any, TypeVar

from packaging.utils import canonicalize_name

from seminar_common import files
from seminar_common.errors import UserError
from seminar_common.extras import requirements
from seminar_common.identity import code_digest
from seminar_common.journal import keep_records, open_journal, records
from seminar_common.settings import from_dict, to_dict

MARKER = "config.json"
T = TypeVar("T")


def default_folder(topic: str, command: str, preset: str, seed: int) -> Path:
    """Return ``runs/<topic>/<command>-<preset>-seed<k>-<time>`` for a run without ``--out``."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return Path("runs") / topic / f"{command}-{preset}-seed{seed}-{stamp}"


@dataclasses.dataclass(frozen=True)
class Run:
    """A run folder that exists."""

    folder: Path

    @property
    def metrics_file(self) -> Path:
        """The log of steps."""
        return self.folder / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.folder / "checkpoints"

    @property
    def results_file(self) -> Path:
        """The table that ``evaluate`` writes."""
        return self.folder / "results.json"

    @property
    def report_file(self) -> Path:
        """The page that ``evaluate`` writes."""
        return self.folder / "report.html"

    def environment(self) -> dict[str, Any]:
        """Return the stored versions, machine and data fingerprints."""
        return files.read_json(self.folder / "environment.json")

    def config(self) -> dict[str, Any]:
        """Return the stored settings.

        Raises:
            UserError: they are missing or broken.
        """
        path = self.folder / MARKER
        config = files.read_json(path)
        if not isinstance(config, dict):
            raise UserError(f"{path}: expected a JSON object; is it the right file?")
        return config

    def log(self, record: dict[str, Any]) -> None:
        """Append one line to ``metrics.jsonl``; ``record`` has a ``step``."""
        with open_journal(self.metrics_file) as journal:
            journal.append(record)

    def logged(self) -> list[dict[str, Any]]:
        """Return the logged records; a last line that a killed run left unfinished is dropped."""
        return [record for _, record in records(self.metrics_file)]

    def cut_log(self, step: int) -> None:
        """Drop the records after ``step``: a resumed run writes them again."""
        keep_records(self.metrics_file, lambda record: record["step"] <= step)


def envelope(
    topic: str,
    command: str,
    settings: Any,
    *,
    model: str = "",
    dataset: str = "",
    data_fingerprint: str = "",
    **own: Any,
) -> dict[str, Any]:
    """Return the content of a run's ``config.json``: the same keys for every topic and command.

    Args:
        topic: The topic's distribution, ``recsys-bnn``.
        command: What made the run, ``train``.
        settings: The command's settings, a dataclass.
        model: The model's name in results.
        dataset: The data set's name in results.
        data_fingerprint: Tells these data from any others.
        own: What the topic's own readers need besides.
    """
    facts = {"model": model, "dataset": dataset, "data_fingerprint": data_fingerprint}
    return {"topic": topic, "command": command, **facts, **own, "settings": to_dict(settings)}


def stored_settings(run: "Run", kind: type[T], topic: str, command: str) -> T:
    """Return the settings, of the dataclass ``kind``, that a run was made with.

    Raises:
        UserError: another topic, command or version made the run.
    """
    return from_dict(kind, stored_config(run, topic, command)["settings"], run.folder / MARKER)


def stored_config(run: "Run", topic: str, *commands: str) -> dict[str, Any]:
    """Return the ``config.json`` of a run that one of a topic's ``commands`` made.

    Raises:
        UserError: another topic, command or version made the run.
    """
    config = run.config()
    made_by = (config.get("topic", topic), config.get("command"))
    if made_by not in [(topic, command) for command in commands] or "settings" not in config:
        found = " ".join(map(str, filter(None, made_by))) if made_by[1] else "something else"
        wanted = "` or `".join(f"{topic} {command}" for command in commands)
        raise UserError(f"{run.folder / MARKER}: a run of `{wanted}` is needed, but `{found}` made this one")
    return config


def create(folder: Path, config: dict[str, Any], environment: dict[str, Any]) -> Run:
    """Make a run folder with its settings and environment.

    Raises:
        UserError: the folder holds something already.
    """
    refuse_existing(folder)
    with files.atomic_path(folder) as temporary:
        temporary.mkdir()
        files.write_json(temporary / "environment.json", environment)
        files.write_json(temporary / MARKER, config)
        (temporary / "checkpoints").mkdir()
    return Run(folder)


def refuse_existing(folder: Path, resumable: bool = True) -> None:
    """Raise a UserError if a new run can't be made in ``folder`` because it holds something.

    Args:
        folder: The run folder.
        resumable: Whether the command can go on with a run.
    """
    hint = "choose another --out"
    if resumable and (folder / MARKER).exists():
        hint += f", or go on with it by --resume {folder}"
    files.refuse_existing(folder, hint)


def open_run(folder: Path) -> Run:
    """Return the run in ``folder``.

    Raises:
        UserError: there is no run in it.
    """
    if not (folder / MARKER).is_file():
        raise UserError(
            f"{folder}: not a run folder (it has no {MARKER}); give the --out of a `train` command"
        )
    return Run(folder)


def environment(threads: int, **facts: Any) -> dict[str, Any]:
    """Return what a figure may depend on: command, code, versions, machine, threads, and the given ``facts``."""
    versions, code = _software()
    return {
        "command": command_line(),
        "python": platform.python_version(),
        "versions": versions,
        "code": code,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "threads": threads,
        **facts,
    }


def _software() -> tuple[dict[str, str], dict[str, str]]:
    """Return the version of every library in use, and a digest of the source of each package of this project.

    A library is in use if it is imported under its own name, or if a package of this project that is imported
    requires it: scikit-learn, which is imported as ``sklearn``, perhaps later on.
    """
    installed = _installed()
    imported = installed.keys() & sys.modules.keys()
    required = {name: _required(name) for name in imported}
    ours = sorted(name for name in imported if "seminar_common" in {name, *required[name]})
    wanted = imported.union(*(required[name] for name in ours)) & installed.keys()
    versions = dict(_version(name) for name in wanted)
    return dict(sorted(versions.items())), {name: code_digest(name) for name in ours}


@functools.cache
def _installed() -> dict[str, Distribution]:
    """Return what is installed by its name as a module; reading it takes some 30 ms."""
    return {_module_name(found.name): found for found in distributions()}


@functools.cache
def _required(name: str) -> frozenset[str]:
    """Return what a distribution requires, as modules; reading it anew for each run took a tenth of a second."""
    return frozenset(_module_name(requirement.name) for requirement in requirements(name))


@functools.cache
def _version(name: str) -> tuple[str, str]:
    """Return name and version of an installed distribution by its name as a module."""
    found = _installed()[name]
    return found.name, found.version


def _module_name(distribution: str) -> str:
    return canonicalize_name(distribution).replace("-", "_")


def command_line() -> str:
    """Return the command as a person would type it."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def processor_name() -> str:
    """Return the CPU's model name, or the machine type where the system doesn't say."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
