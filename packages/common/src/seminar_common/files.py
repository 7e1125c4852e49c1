"""Files that are either there in full or not there at all."""

import errno
import functools
import hashlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from seminar_common.errors import UserError
from seminar_common.progress import is_first_process

if TYPE_CHECKING:
    import numpy as np

S = TypeVar("S")
R = TypeVar("R")


@contextmanager
def atomic_path(path: Path) -> Generator[Path]:
    """Yield a temporary name beside ``path``; rename it to ``path`` if the block succeeds, else remove it.

    Works for a file and for a folder (create it at the yielded name). A file that exists is replaced. A file that a
    library made readable for its owner alone, as safetensors does, gets the mode that any new file gets here.

    Raises:
        UserError: the disk is full, nothing can be made at that place, or another run made the folder meanwhile.
    """
    _make_parent(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        _share(temporary)
        if temporary.is_dir():
            _rename_folder(temporary, path)
        else:
            temporary.replace(path)
    except BaseException as error:
        remove(temporary)
        remove(_probe(temporary))
        if is_disk_full(error):
            raise UserError(
                f"{path}: no space left on the disk; nothing was written. Free some space or choose another --out"
            ) from error
        raise


def _rename_folder(temporary: Path, path: Path) -> None:
    try:
        temporary.replace(path)  # an empty folder gives way, any other doesn't
    except OSError:
        refuse_existing(path, "another run made it meanwhile; choose another --out")
        raise


def _share(path: Path) -> None:
    """Give a file that only its owner may read the mode of a new file: 0666 without the bits of the umask."""
    if not path.is_file() or path.stat().st_mode & 0o077:
        return
    # Asking for the umask means setting it, for all threads: a new file shows what it allows, default ACLs included.
    probe = _probe(path)
    try:
        probe.touch(0o666, exist_ok=False)
        path.chmod(probe.stat().st_mode & 0o777)
    finally:
        probe.unlink(missing_ok=True)


def _probe(path: Path) -> Path:
    return path.with_name(f"{path.name}.mode")


def _make_parent(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise UserError(
            f"{path}: can't be made ({error.strerror}: {error.filename}); choose another --out"
        ) from error


def is_disk_full(error: BaseException) -> bool:
    """Say whether ``error`` comes from a full disk or quota, also where a library lost the error number."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return "No space left on device" in str(error)


def remove(path: Path) -> None:
    """Delete a file or a folder; do nothing if it is not there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically; paths become strings.

    Raises:
        ValueError: a number in ``value`` is NaN or infinite, which JSON can't hold.
    """
    write_text(path, json.dumps(value, indent=2, default=jsonable, allow_nan=False) + "\n")


def write_array(path: Path, array: "np.ndarray") -> None:
    """Write an array as NPY, atomically.

    Raises:
        ValueError: it holds Python objects, which would have to be pickled.
    """
    import numpy as np

    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def write_arrays(path: Path, **arrays: "np.ndarray | float") -> None:
    """Write named arrays as a compressed NPZ, atomically; equal arrays give equal bytes.

    Raises:
        ValueError: one holds Python objects, which would have to be pickled.
    """
    import numpy as np

    for name, array in arrays.items():
        if np.asarray(array).dtype.hasobject:
            raise ValueError(f"{name} holds Python objects, which can't be written without pickling")
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # ty: ignore[invalid-argument-type]


def jsonable(value: Any) -> Any:
    """Return what stands for ``value`` in JSON: a path's text, a NumPy value's numbers; for ``json.dumps(default=)``."""
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # a NumPy scalar or array
        return value.tolist()
    raise TypeError(f"can't write a {type(value).__name__} as JSON")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: the file is missing, is not UTF-8 or is not JSON; the message names the line.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}, line {error.lineno}: not JSON ({error.msg}); make the file again"
        ) from error


def read_text(path: Path) -> str:
    """Read a UTF-8 file, without the byte order mark that Windows puts first.

    Raises:
        UserError: the file is missing, is a folder or is not UTF-8.
    """
    check_file(path)
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}; is it the right file?") from error


def check_file(path: Path, hint: str = "check the path") -> None:
    """Raise a UserError unless ``path`` is a file that holds something."""
    if not path.exists():
        raise UserError(f"{path}: no such file; {hint}")
    if path.is_dir():
        raise UserError(f"{path}: is a folder, but a file is needed; {hint}")
    if path.is_file() and path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty; {hint}")


def check_utf8(path: Path, hint: str = "choose another") -> None:
    """Raise a UserError unless the name of ``path`` is UTF-8, for libraries that take no other (Arrow)."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        shown = str(path).encode(errors="replace").decode()
        raise UserError(
            f"{shown}: the name is not UTF-8, and Arrow reads and writes no other; {hint}"
        ) from error


def refuse_existing(path: Path, instead: str = "choose another --out, or remove it first") -> None:
    """Raise a UserError if ``path`` exists and is not an empty folder."""
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists():
        raise UserError(f"{path}: exists already and is not overwritten; {instead}")


def check_writable(path: Path, option: str = "") -> None:
    """Raise a UserError unless a file or folder can be made at ``path``; it writes a file that has no name to see it.

    Args:
        path: A file or folder that may be there.
        option: How an error names it, as ``"--out "``.
    """
    there = next(p for p in (path.absolute(), *path.absolute().parents) if _is_there(p))
    folder = there.parent if there == path.absolute() and there.is_file() else there
    try:
        if len(os.fsencode(path.name)) > _LONGEST_NAME:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        with tempfile.TemporaryFile(dir=folder):  # rights alone don't tell of read-only disks
            pass
    except OSError as error:
        if is_disk_full(error):
            raise
        raise UserError(
            f"{option}{path}: can't be written ({error.strerror}: {folder}); choose another {option or 'path'}".strip()
        ) from error


_LONGEST_NAME = 255 - len(".12345678.tmp.mode")
"""Bytes of a name that leave room for what :func:`atomic_path` puts round it; most file systems take 255."""


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long
        return False


@contextmanager
def reserved(path: Path, option: str = "--out ") -> Generator[None]:
    """Hold the place of a new folder while it is made by :func:`atomic_path`, and look before the work.

    Raises:
        UserError: ``path`` holds something, is a mount point or can't be made there, or another run is making it.
    """
    check_writable(path, option)
    refuse_existing(path)
    if path.is_symlink() and not path.exists():
        raise UserError(f"{option}{path}: is a link to nowhere; remove it or choose another --out")
    if path.is_mount():
        raise UserError(f"{option}{path}: is a mount point, which can't be replaced; choose a folder in it")
    if path.exists():
        check_writable(path.absolute().parent, option)  # what is made stands beside the empty folder first
    with locked(path):
        yield


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Keep other runs from writing to ``path`` while the block runs; it need not be there.

    Locked is a hidden file beside it (flock), which a killed run leaves behind without its lock. Where there are no
    such locks, as on Windows and on some network disks, nothing is held. Under ``torchrun`` the first process holds it.

    Raises:
        UserError: another run has it.
    """
    if not is_first_process():
        yield
        return
    place = path.absolute()
    made = [folder for folder in place.parents if not folder.exists()]
    _make_parent(place)
    try:
        with _lock(place.with_name(f".{place.name}.lock"), path):
            yield
    finally:
        for folder in made:
            with suppress(OSError):  # it holds something by now
                folder.rmdir()


def one_at_a_time(work: Callable[[S], R]) -> Callable[[S], R]:
    """Make a function of settings refuse to work while another run writes to the same ``settings.out``.

    For work that goes on in its folder, and so can't reserve it. See :func:`locked`.
    """

    @functools.wraps(work)
    def alone(settings: S) -> R:
        out = getattr(settings, "out", None)
        with nullcontext() if out is None else locked(out):
            return work(settings)

    return alone


@contextmanager
def _lock(file: Path, of: Path) -> Generator[None]:
    try:
        import fcntl
    except ImportError:
        yield
        return
    while True:
        stream = file.open("ab")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                stream.close()
                raise UserError(
                    f"{of}: another run is writing to it; wait for it, or choose another --out"
                ) from error
        with stream:
            if not file.exists() or not os.path.samestat(file.stat(), os.fstat(stream.fileno())):
                continue  # its owner removed it between our opening and locking
            try:
                yield
            finally:
                file.unlink(missing_ok=True)
            return


def encodable(name: str) -> str:
    r"""Return a file's name that UTF-8 can hold; bytes that are no UTF-8 are shown as their number, such as ``\xff``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def fingerprint(path: Path, block_bytes: int = 1 << 20) -> str:
    """Return the BLAKE2 digest of a file's bytes (32 hex digits)."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(block_bytes):
            digest.update(block)
    return digest.hexdigest()
