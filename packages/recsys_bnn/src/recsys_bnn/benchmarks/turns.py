"""Processes of models that take turns, so that what else the machine does falls on all alike."""

from collections.abc import Iterable
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

from recsys_bnn.benchmarks.inference_process import work
from recsys_bnn.benchmarks.runners import RUNNERS
from seminar_common.device import environment_set, thread_variables

_SPINS = {"GOMP_SPINCOUNT": "300000"}
"""OpenMP's own default, as threads that sleep at once would cost the rivals; the command sets them to sleep."""
_PATIENCE = 600.0
"""Seconds that one request may take: compiling takes the most."""


class Subject(NamedTuple):
    """A model and what runs it."""

    model: str
    runner: str
    """Its name in ``RUNNERS``."""

    @property
    def label(self) -> str:
        """MODEL@ENGINE."""
        return f"{self.model}@{RUNNERS[self.runner].engine}"

    @property
    def ours(self) -> bool:
        """Whether it is a packed model in an engine of ours."""
        return RUNNERS[self.runner].ours


class Lost(Exception):
    """A subject can't go on; the text says why."""


class _Process(NamedTuple):
    process: BaseProcess
    connection: Connection


class Turns:
    """A process for each subject, all of which end with the block; one is at work at a time.

    Args:
        subjects: Who takes turns.
        threads: That each may use.
    """

    def __init__(self, subjects: Iterable[Subject], threads: int):
        self._subjects, self._threads = list(subjects), threads
        self._processes: dict[Subject, _Process] = {}

    def __enter__(self) -> "Turns":
        context = get_context("spawn")
        with environment_set({**thread_variables(self._threads), **_SPINS}):
            for subject in self._subjects:
                here, there = context.Pipe()
                process = context.Process(
                    target=work, args=(there, subject.runner, self._threads), daemon=True
                )
                process.start()
                there.close()
                self._processes[subject] = _Process(process, here)
        return self

    def __exit__(self, *unused: object) -> None:
        for process, connection in self._processes.values():
            connection.close()
            process.terminate()
        for process, _ in self._processes.values():
            process.join()

    def ask(self, subject: Subject, method: str, **arguments: Any) -> Any:
        """Return what a method of the subject's :class:`~recsys_bnn.benchmarks.inference_process.Session` answers.

        Raises:
            Lost: it raised an error, its process is gone, or it took too long.
        """
        process, connection = self._processes[subject]
        try:
            connection.send((method, arguments))
            if not connection.poll(_PATIENCE):
                process.kill()
                raise Lost(f"took longer than {_PATIENCE:g} s")
            state, answer = connection.recv()
        except (EOFError, OSError) as error:
            with suppress(Exception):
                process.join(1)
            raise Lost(f"its process ended with status {process.exitcode}") from error
        if state != "ok":
            raise Lost(answer)
        return answer
