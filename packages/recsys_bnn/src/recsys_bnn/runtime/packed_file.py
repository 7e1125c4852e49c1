"""The file of a packed model: safetensors, with a manifest in its metadata.

The tensors of the section ``model`` are the arrays of a :class:`~recsys_bnn.runtime.spec.ModelSpec`, those of the
section ``encoding`` what turns raw values into numbers. The manifest is one JSON text under the key ``recsys_bnn``.
It says how the arrays make up the model, and holds a digest of each tensor and one of itself.

Reading maps the file and runs no code of it.
"""

import dataclasses
import hashlib
import json
import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recsys_bnn.runtime import spec as parts
from recsys_bnn.runtime.spec import ModelSpec
from recsys_bnn.runtime.spec_check import check_spec
from seminar_common.errors import UserError
from seminar_common.files import atomic_path, check_file, jsonable

VERSION = 2
"""Newest version of the format; a reader refuses a newer one. A file has the least version that holds its model: 2 for
one with lists, else 1."""
MODEL, ENCODING = "model", "encoding"
_ALIGNMENT = 64
_LARGE = 2**20
"""Bytes from which on a tensor is used where it is mapped."""
_KEY = "recsys_bnn"
_AGAIN = "make it again with `recsys-bnn pack`, or copy it again"
_PARTS = {
    kind.__name__: kind
    for kind in (
        parts.ModelSpec,
        parts.LayerSpec,
        parts.TableSpec,
        parts.FirstOrder,
        parts.Codes,
        parts.FloatInput,
        parts.CodeInput,
        parts.SignInput,
    )
}
_DTYPES = {
    "U8": np.uint8,
    "I8": np.int8,
    "U32": np.uint32,
    "I32": np.int32,
    "I64": np.int64,
    "F16": np.float16,
    "F32": np.float32,
}


@dataclass(frozen=True, eq=False)
class PackedFile:
    """What a file holds."""

    spec: ModelSpec
    encoding: Mapping[str, np.ndarray]
    """Arrays of the encoding section by name."""
    manifest: Mapping[str, Any]
    """Facts about the model, as they were given to :func:`write_packed`."""
    digest: str
    """Digest of everything, 32 hex digits."""
    model_bytes: int
    """Bytes of the model section."""
    encoding_bytes: int
    file_bytes: int


def write_packed(
    path: Path,
    spec: ModelSpec,
    encoding: Mapping[str, np.ndarray] | None = None,
    manifest: Mapping[str, Any] | None = None,
) -> None:
    """Write a packed model, atomically; equal content gives equal bytes.

    Args:
        path: File to write; one that exists is replaced.
        spec: The model.
        encoding: Arrays that turn raw values into numbers; none for a model that reads encoded rows only.
        manifest: Facts about the model, as JSON values.
    """
    tensors: dict[str, np.ndarray] = {}
    structure = _taken_apart(spec, MODEL, tensors)
    for name, array in (encoding or {}).items():
        tensors[f"{ENCODING}.{name}"] = np.ascontiguousarray(array)
    tensors = _ordered(tensors)
    facts = {
        "version": 1 if spec.table.list_widths is None else VERSION,
        "structure": structure,
        "tensors": {name: _tensor_digest(name, tensors[name]) for name in sorted(tensors)},
        "facts": dict(manifest or {}),
    }
    text = _canonical({**facts, "digest": _digest(facts)})
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(_header(tensors, text))
        for array in tensors.values():
            file.write(array.reshape(-1).view(np.uint8).data if array.size else b"")


def _ordered(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the tensors in the order of the file: large ones first, each at a multiple of ``_ALIGNMENT`` bytes.

    An engine reads them where they are mapped, and a row of a table is not to cross a line of the cache. A gap between
    tensors is not allowed, so what fills one up is a tensor too.
    """
    large = [name for name in sorted(tensors) if tensors[name].nbytes >= _LARGE]
    small = sorted(tensors.keys() - large, key=lambda name: (-tensors[name].itemsize, name))
    ordered = {}
    for name in large:
        ordered[name] = tensors[name]
        if gap := -tensors[name].nbytes % _ALIGNMENT:
            ordered[f"padding.{name}"] = np.zeros(gap, np.uint8)
    return ordered | {name: tensors[name] for name in small}


def _header(tensors: Mapping[str, np.ndarray], text: str) -> bytes:
    """Return the beginning of a safetensors file, up to a multiple of ``_ALIGNMENT`` bytes."""
    entries: dict[str, Any] = {"__metadata__": {_KEY: text}}
    at = 0
    for name, array in tensors.items():
        dtype = next(key for key, kind in _DTYPES.items() if array.dtype == kind)
        entries[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-(8 + len(header)) % _ALIGNMENT)
    return struct.pack("<Q", len(header)) + header


def model_bytes(spec: ModelSpec) -> int:
    """Return the bytes of the section ``model`` that holds ``spec``."""
    tensors: dict[str, np.ndarray] = {}
    _taken_apart(spec, MODEL, tensors)
    return sum(array.nbytes for array in tensors.values())


def read_packed(path: Path, *, verify: bool = True) -> PackedFile:
    """Map a packed model.

    Args:
        path: What :func:`write_packed` wrote.
        verify: Read all bytes once (about half a gigabyte a second) and compare them with their digests; without it only
            the manifest is.

    Raises:
        UserError: it is missing, no packed model, cut short, altered, or of a newer version.
    """
    check_file(path, "give the file that `recsys-bnn pack` wrote")
    header, data = _mapped(path)
    stored = _manifest(path, header.pop("__metadata__", None))
    tensors = _tensors(path, header, data)
    if stored["tensors"].keys() != tensors.keys():
        raise UserError(f"{path}: was changed after it was written (its tensors are others); {_AGAIN}")
    for name, array in tensors.items() if verify else ():
        if _tensor_digest(name, array) != stored["tensors"][name]:
            raise UserError(f"{path}: was changed after it was written ({name} has other bytes); {_AGAIN}")
    try:
        spec = _put_together(stored["structure"], tensors)
        check_spec(spec)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: its parts don't fit together ({error}); {_AGAIN}") from error
    sections = {section: _section(tensors, section) for section in (MODEL, ENCODING)}
    sizes = {section: sum(a.nbytes for a in arrays.values()) for section, arrays in sections.items()}
    return PackedFile(
        spec,
        sections[ENCODING],
        stored["facts"],
        stored["digest"],
        sizes[MODEL],
        sizes[ENCODING],
        path.stat().st_size,
    )


def _section(tensors: Mapping[str, np.ndarray], section: str) -> dict[str, np.ndarray]:
    start = f"{section}."
    return {name.removeprefix(start): array for name, array in tensors.items() if name.startswith(start)}


def _taken_apart(value: Any, name: str, tensors: dict[str, np.ndarray]) -> Any:
    """Return ``value`` as JSON, in which arrays are names of ``tensors``."""
    if isinstance(value, np.ndarray):
        tensors[name] = np.ascontiguousarray(value)
        return {"tensor": name}
    if dataclasses.is_dataclass(value):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        for newer in dataclasses.fields(value):  # a part without it is written as it was before
            if "since" in newer.metadata and fields[newer.name] is None:
                del fields[newer.name]
        named = {key: _taken_apart(item, f"{name}.{key}", tensors) for key, item in fields.items()}
        return {"part": type(value).__name__, **named}
    if isinstance(value, tuple):
        return [_taken_apart(item, f"{name}.{index}", tensors) for index, item in enumerate(value)]
    return value


def _put_together(value: Any, tensors: Mapping[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return tuple(_put_together(item, tensors) for item in value)
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return tensors[value["tensor"]]
    fields = {key: _put_together(item, tensors) for key, item in value.items() if key != "part"}
    return _PARTS[value["part"]](**fields)


def _mapped(path: Path) -> tuple[dict[str, Any], memoryview]:
    """Return the header of a safetensors file, and the bytes behind it, mapped read-only."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > size - 8:
            raise UserError(f"{path}: not a packed model, or cut short; {_AGAIN}")
        try:
            header = json.loads(file.read(length))
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: not a packed model; {_AGAIN}") from error
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))[8 + length :]
    if not isinstance(header, dict):
        raise UserError(f"{path}: not a packed model; {_AGAIN}")
    return header, data


def _manifest(path: Path, metadata: Any) -> dict[str, Any]:
    """Return the manifest, which is as it was written."""
    if not isinstance(metadata, dict) or _KEY not in metadata:
        raise UserError(f"{path}: not a packed model (a safetensors file of something else); {_AGAIN}")
    try:
        stored = json.loads(metadata[_KEY])
        version, digest = stored["version"], stored["digest"]
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path}: its manifest is damaged; {_AGAIN}") from error
    if version not in range(1, VERSION + 1):
        raise UserError(
            f"{path}: of format version {version}, but this version of recsys-bnn reads {VERSION}; upgrade it, or "
            "pack the run again"
        )
    if digest != _digest({key: value for key, value in stored.items() if key != "digest"}):
        raise UserError(f"{path}: was changed after it was written (its manifest); {_AGAIN}")
    return stored


def _tensors(path: Path, header: Mapping[str, Any], data: memoryview) -> dict[str, np.ndarray]:
    """Return views of all tensors in the mapped bytes."""
    tensors = {}
    try:
        if max((info["data_offsets"][1] for info in header.values()), default=0) != len(data):
            raise UserError(f"{path}: cut short, or longer than it was written; {_AGAIN}")
        for name, info in header.items():
            (begin, end), dtype = info["data_offsets"], np.dtype(_DTYPES[info["dtype"]])
            count = math.prod(info["shape"])
            if not 0 <= begin <= end or count * dtype.itemsize != end - begin:
                raise ValueError(name)
            tensors[name] = np.frombuffer(data, dtype, count, begin).reshape(info["shape"])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: its table of tensors is damaged; {_AGAIN}") from error
    return tensors


def _tensor_digest(name: str, array: np.ndarray) -> str:
    total = hashlib.blake2b(_canonical([name, array.dtype.str, array.shape]).encode(), digest_size=16)
    if array.size:
        total.update(array.reshape(-1).view(np.uint8).data)
    return total.hexdigest()


def _digest(facts: Any) -> str:
    return hashlib.blake2b(_canonical(facts).encode(), digest_size=16).hexdigest()


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=jsonable, ensure_ascii=False, allow_nan=False)
