"""Single raw values as a model's features take them: Python numbers or texts in, numbers and keys out.

They agree with the cells that `prepare` reads (:mod:`recsys_bnn.data.formats`), and take Python's own numbers beside
texts. A missing value is None, NaN, or a text that the model's schema counts as missing.
"""

import hashlib
import math
import re
from collections.abc import Callable, Collection, Mapping
from numbers import Real
from typing import Any

from recsys_bnn.data.list_text import split_list

HEX, INTEGER, TEXT, LIST = "hex", "integer", "text", "list"
_HEX = re.compile(r"[0-9a-fA-F]{8}", re.ASCII)
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)
_WHOLE_DECIMAL = re.compile(r"-?[0-9]+\.0", re.ASCII)
_TRUTH = {"True": 1, "true": 1, "TRUE": 1, "False": 0, "false": 0, "FALSE": 0}

Reader = Callable[[Any], Any]
"""Reads one value; returns None for a missing one and raises ValueError(what was expected)."""


def is_missing(value: Any) -> bool:
    """Say whether a value that is no text is missing: None, NaN, or pandas' marks for it."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, Real) and value != value


def whole(missing: Collection[str]) -> Reader:
    """Return what reads whole numbers of 64 bits."""

    def read(value: Any) -> int | None:
        if type(value) is int:
            found: int | None = value
        elif isinstance(value, str):
            if value.isdecimal() and value.isascii() and len(value) < 19:
                return int(value)
            text = value.strip()
            if not text or text in missing:
                return None
            found = _TRUTH[text] if text in _TRUTH else _whole_text(text)
        elif is_missing(value):
            return None
        else:
            value = _pythons(value)
            found = int(value) if isinstance(value, Real) and float(value).is_integer() else None
        if found is None or not -(2**63) <= found < 2**63:
            raise ValueError("a whole number of 64 bits or nothing")
        return found

    return read


def _whole_text(text: str) -> int | None:
    """Return the whole number that a text spells, also as 25.0 or 1e5; None for another text."""
    if _WHOLE.fullmatch(text):
        return int(text)
    value = float(text) if _NUMBER.fullmatch(text) else math.inf
    return int(value) if float(value).is_integer() else None


def decimal(missing: Collection[str]) -> Reader:
    """Return what reads finite decimal numbers."""

    def read(value: Any) -> float | None:
        if isinstance(value, str):
            text = value.strip()
            if not text or text in missing:
                return None
            found = float(text) if _NUMBER.fullmatch(text) else float(_TRUTH.get(text, math.inf))
        elif is_missing(value):
            return None
        else:
            value = _pythons(value)
            found = float(value) if isinstance(value, Real) else math.inf
        if not math.isfinite(found):
            raise ValueError("a finite number or nothing")
        return found

    return read


def hex_key(value: Any) -> int | None:
    """Read 8 hex digits as a number."""
    if isinstance(value, str):
        if not value:
            return None
        if _HEX.fullmatch(value):
            return int(value, 16)
    elif is_missing(value):
        return None
    raise ValueError("8 hex digits or nothing")


def integer_key(value: Any) -> int | None:
    """Read a whole number of 32 bits as its two's complement."""
    found = _read_whole(value)
    if found is None:
        return None
    if not -(2**31) <= found < 2**31:
        raise ValueError("a whole number of 32 bits or nothing")
    return found & 0xFFFFFFFF


_read_whole = whole(())


def text(missing: Collection[str], *, whole_decimals: bool) -> Reader:
    """Return what reads any text or number as a text.

    Args:
        missing: Texts that stand for a missing value.
        whole_decimals: Whether a text such as 25.0 is read as 25, as the format `table` does.
    """

    def read(value: Any) -> str | None:
        if isinstance(value, str):
            found = value
        elif is_missing(value):
            return None
        else:
            found = _spelled(value)
        if not found or found in missing:
            return None
        return found[:-2] if whole_decimals and _WHOLE_DECIMAL.fullmatch(found) else found

    return read


def items(item: Reader, separator: str, missing: Collection[str]) -> Reader:
    """Return what reads lists, or texts that spell them, as lists of what ``item`` reads; an empty one is missing.

    Args:
        item: Reads one item.
        separator: What stands between items in a text.
        missing: Texts that stand for a missing list.
    """

    def read(value: Any) -> list[Any] | None:
        if isinstance(value, str):
            value = () if not value.strip() or value.strip() in missing else split_list(value, separator)
        elif isinstance(value, Mapping) or not hasattr(value, "__iter__"):
            if is_missing(value):
                return None
            value = (value,) if isinstance(value, Real) else None
        if value is None or isinstance(value, bytes):
            raise ValueError("a list, a text or nothing")
        found = [read_item for one in value if (read_item := item(one)) is not None]
        return found or None

    return read


def _pythons(value: Any) -> Any:
    """Return a scalar of NumPy as Python's."""
    return value.item() if hasattr(value, "item") and hasattr(value, "dtype") else value


def _spelled(value: Any) -> str:
    value = _pythons(value)
    if not isinstance(value, Real):
        raise ValueError("a text, a number or nothing")
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def text_hash(value: str) -> int:
    """Return the hash, of 64 bits, that tells the id of a text in a hashed field."""
    return int.from_bytes(hashlib.blake2b(value.encode(), digest_size=8).digest(), "little")
