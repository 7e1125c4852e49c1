"""What becomes of memory that is freed."""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # as in malloc.h of the GNU C library
_KEPT = 128 << 20
_OF_ITS_OWN = 32 << 20
"""The largest that the library takes: allocations below it come from memory that was freed."""


def keep_freed() -> None:
    """Keep freed memory for the next allocation, up to 128 MiB a thread, instead of giving it back at once.

    Block after block of a log takes the same, and the system clears each page that it gives: a tenth of the time of
    `score`. Where there is another C library nothing changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _KEPT)
        mallopt(_MMAP_THRESHOLD, _OF_ITS_OWN)
