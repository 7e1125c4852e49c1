"""Freed memory stays with the process, so that the system need not clear it again and again."""

import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
from recsys_bnn.compiled.memory import keep_freed
if sys.argv[1] == "kept":
    keep_freed()
def take():  # all live at once, and are more than twice as large as one, which is when the library gives them back
    return [np.ones(400_000) for _ in range(4)]
take()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    take()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(way: str) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS, way], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="for the GNU C library")
def test_blocks_after_the_first_take_no_new_pages() -> None:
    kept, given_back = faults("kept"), faults("given back")
    if given_back < 1000:
        pytest.skip("this C library keeps it by itself")
    assert kept < given_back / 10
