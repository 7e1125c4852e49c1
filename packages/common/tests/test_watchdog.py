"""A process ends when a block takes too long, and only then."""

import subprocess
import sys

import pytest

CASES = {
    "in Python": ("with ends_process_after(0.3): time.sleep(20)", 1),
    "in C that holds Python's lock": ("with ends_process_after(0.3): ctypes.PyDLL(None).pause()", 1),
    "in time": ("with ends_process_after(0.3): pass\ntime.sleep(0.6)", 0),
    "in time, by an error": (
        "try:\n    with ends_process_after(0.3): 1 / 0\nexcept ZeroDivisionError: time.sleep(0.6)",
        0,
    ),
    "inside of one that has more time": (
        "with ends_process_after(30), ends_process_after(0.3): time.sleep(20)",
        1,
    ),
    "outside of one that has more time": (
        "with ends_process_after(0.3), ends_process_after(30): time.sleep(20)",
        1,
    ),
    "after one that has less": (
        "with ends_process_after(0.6):\n    with ends_process_after(0.3): pass\n    time.sleep(20)",
        1,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_block_has_its_time_and_no_more(case: str) -> None:
    body, status = CASES[case]
    code = f"import ctypes, time\nfrom seminar_common.watchdog import ends_process_after\n{body}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=15)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "")
