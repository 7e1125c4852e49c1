"""A source of images that kills the process which reads one of them; other processes can't import a test module."""

import os
import signal
from pathlib import Path

from gcd_longtail.images.sources.folder import FileSource, open_folder


class KillingSource(FileSource):
    """The images of a folder, one of which kills whoever reads it."""

    victim, tries, times = "", Path(), 0

    def read(self, index: int) -> bytes:
        if self.listing.keys[index] == self.victim and len(list(self.tries.iterdir())) < self.times:
            (self.tries / f"{os.getpid()}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(index)


def open_killing(folder: Path, victim: str, tries: Path, times: int) -> KillingSource:
    """Return the images of ``folder``; reading ``victim`` kills ``times`` processes, each leaving a file in ``tries``."""
    listing = open_folder(folder).listing
    source = KillingSource(folder, listing.keys, listing.labels, listing.splits)
    source.victim, source.tries, source.times = victim, tries, times
    tries.mkdir(exist_ok=True)
    return source
