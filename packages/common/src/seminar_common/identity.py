"""What a stored result was computed from, compared wherever the result is read again.

A cache, a run folder or a resumed study keeps the facts its content depends on: fingerprints of data, settings,
the code that made it. A reader states the facts of today; where they differ, the stored content is of something
else, and one line says which fact differs and what to do.
"""

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seminar_common.errors import UserError
from seminar_common.files import jsonable

Facts = Mapping[str, Any]
"""Named JSON values; paths and NumPy values are allowed."""


def digest(facts: Facts) -> str:
    """Return the BLAKE2 digest of ``facts`` (32 hex digits): equal facts, equal digest, in any order of names."""
    return hashlib.blake2b(_canonical(facts).encode(), digest_size=16).hexdigest()


def require_same(stored: Facts | None, now: Facts, source: Path, way_out: str) -> None:
    """Raise a UserError unless the facts that ``source`` was made from are those of today.

    Args:
        stored: What ``source`` says it was made from; None if it says nothing, as before facts were stored.
        now: What it is about to be used for. Facts that only ``stored`` has are ignored.
        source: The file or folder that is read.
        way_out: What to do, as the end of the message: ``"take another --out"``.
    """
    if stored is None:
        raise UserError(f"{source}: does not say what it was computed from; {way_out}")
    for name, value in now.items():
        if name not in stored:
            raise UserError(f"{source}: does not say its {name.replace('_', ' ')}; {way_out}")
        if _canonical(stored[name]) != _canonical(value):
            raise UserError(
                f"{source}: was computed from another {name.replace('_', ' ')} "
                f"({_short(stored[name])} there, {_short(value)} here); {way_out}"
            )


def code_digest(*modules: str) -> str:
    """Return the digest of the source of ``modules`` (a package counts with all below it), without importing them.

    Raises:
        LookupError: there is no such module.
    """
    total = hashlib.blake2b(digest_size=16)
    for module in sorted(modules):
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            raise LookupError(f"no module {module}")
        origin = Path(spec.origin)
        folder = spec.submodule_search_locations is not None
        files = sorted(origin.parent.rglob("*.py")) if folder else [origin]
        for file in files:
            name = file.relative_to(origin.parent).as_posix()
            total.update(f"{module}/{name}\n".encode() + file.read_bytes())
    return total.hexdigest()


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=jsonable, ensure_ascii=False)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else _canonical(value)
    return text if len(text) <= 40 else text[:37] + "..."
