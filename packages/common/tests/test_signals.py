"""What holds for SIGTERM while a command works."""

import os
import signal
import subprocess
import sys

import pytest

from seminar_common.signals import terminable

COMPLAINS = """
import os, signal
from seminar_common.signals import Terminated, terminable

try:
    with terminable():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            raise RuntimeError("DataLoader worker is killed by signal: Terminated")
except Terminated as stop:
    print(stop.code, repr(stop.__cause__))
"""


def test_what_is_raised_after_the_signal_is_the_termination() -> None:
    done = subprocess.run([sys.executable, "-c", COMPLAINS], capture_output=True, text=True, check=False)
    assert done.stdout == "143 RuntimeError('DataLoader worker is killed by signal: Terminated')\n"
    assert not done.stderr


def test_without_a_signal_errors_are_what_they_are() -> None:
    with pytest.raises(ZeroDivisionError), terminable():
        os.getpid() / 0
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
