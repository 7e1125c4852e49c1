"""The model that answers: loaded from a copy in memory, replaced whole when its file changes."""

import os
import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

from seminar_common.errors import UserError
from seminar_common.files import check_file
from seminar_common.progress import say

Model = TypeVar("Model")
Stamp = tuple[int, int, int]


class Held(Generic[Model]):
    """A model, and the file that it comes from.

    Args:
        path: The file.
        load: Makes a model of a file that will not change.
        fits: Raises a UserError unless a new model can take the place of the old one.

    Raises:
        UserError: the file is missing, broken or newer than this version.
    """

    def __init__(
        self, path: Path, load: Callable[[Path], Model], fits: Callable[[Model, Model], None] | None = None
    ):
        self.path, self._load, self._fits = path, load, fits
        check_file(path)
        self._seen = self._pending = stamp(path)
        self.current = self._loaded()

    def look(self) -> bool | None:
        """Take up a new file; return whether that succeeded, or None where there is none.

        A file counts as new when two looks see the same change, so that one that is being copied is left to settle.
        """
        now = stamp(self.path)
        settled, self._pending = now == self._pending, now
        if now is None or now == self._seen or not settled:
            return None
        self._seen = now
        try:
            model = self._loaded()
            if self._fits is not None:
                self._fits(self.current, model)
        except (UserError, OSError) as error:
            say(f"refused the new model, the old one stays: {error}")
            return False
        self.current = model  # one assignment: a request has the old model or the new one
        return True

    def _loaded(self) -> Model:
        with copied(self.path) as copy:
            try:
                return self._load(copy)
            except UserError as error:
                raise UserError(str(error).replace(str(copy), str(self.path))) from error


def stamp(path: Path) -> Stamp | None:
    """Return what changes when a file is written or replaced; None where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


@contextmanager
def copied(path: Path) -> Generator[Path]:
    """Yield the name of a copy that lasts as long as it is mapped into memory.

    A file that is mapped and then written in place changes under the model, and one that is cut short ends the
    process (SIGBUS). Nobody else can reach the copy.
    """
    with path.open("rb") as source:
        if hasattr(os, "memfd_create"):
            with os.fdopen(os.memfd_create("model"), "wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
                copy.flush()
                yield Path(f"/proc/self/fd/{copy.fileno()}")
            return
        with tempfile.NamedTemporaryFile(suffix=path.suffix) as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
            copy.flush()
            yield Path(copy.name)
