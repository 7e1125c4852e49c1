"""Categorical values as 32-bit keys: three ways to number them, and their spelling in the source."""

import hashlib
from typing import Protocol

import numpy as np
import pyarrow as pa

from recsys_bnn.data.chunks import array, arrow, numbers
from recsys_bnn.data.lists import list_parts, lists_of
from seminar_common.splitmix import splitmix64


class Keys(Protocol):
    """Translates the values of one categorical field between text and key."""

    kind: str
    """What the values are: fields of one kind give equal texts equal hashes."""

    def texts(self, keys: np.ndarray) -> pa.Array:
        """Return the texts, as in the source, of ``keys`` (uint32 [U])."""
        ...

    def keys(self, texts: pa.Array) -> np.ndarray:
        """Return the keys, uint32 [U], of texts without nulls; the inverse of :meth:`texts`."""
        ...

    def hashes(self, keys: np.ndarray) -> np.ndarray:
        """Return a hash, uint64 [U], of the value behind each key; it depends on the value alone."""
        ...


class HexKeys:
    """Values of 8 hexadecimal digits: the key is their number."""

    kind = "hex"

    def texts(self, keys: np.ndarray) -> pa.Array:
        """Return the 8 lowercase digits of each key."""
        digits = keys.astype(">u4").tobytes().hex().encode()
        offsets = np.arange(0, len(digits) + 1, 8, dtype=np.int32)
        return pa.StringArray.from_buffers(len(keys), pa.py_buffer(offsets), pa.py_buffer(digits))

    def keys(self, texts: pa.Array) -> np.ndarray:
        """Return the numbers that the digits spell."""
        return np.frombuffer(bytes.fromhex("".join(texts.to_pylist())), ">u4").astype(np.uint32)

    def hashes(self, keys: np.ndarray) -> np.ndarray:
        """Return the keys' SplitMix64."""
        return splitmix64(keys)


class IntegerKeys:
    """Whole numbers of 32 bits, negative or not: the key is their two's complement."""

    kind = "integer"

    def texts(self, keys: np.ndarray) -> pa.Array:
        """Return the numbers in decimal."""
        return array(keys.view(np.int32)).cast(pa.string())

    def keys(self, texts: pa.Array) -> np.ndarray:
        """Return the keys of decimal numbers."""
        return numbers(texts.cast(pa.int32())).view(np.uint32)

    def hashes(self, keys: np.ndarray) -> np.ndarray:
        """Return the keys' SplitMix64."""
        return splitmix64(keys)


class TextKeys:
    """Any texts, numbered in the order of their first appearance; memory grows with the distinct ones."""

    kind = "text"

    def __init__(self) -> None:
        self._keys: dict[str, int] = {}
        self._texts: list[str] = []

    def texts(self, keys: np.ndarray) -> pa.Array:
        """Return the texts that were numbered so."""
        return arrow([self._texts[key] for key in keys.tolist()], pa.string())

    def keys(self, texts: pa.Array) -> np.ndarray:
        """Return the keys of ``texts``; texts that are met for the first time get the next ones."""
        return np.array([self._key(text) for text in texts.to_pylist()], np.uint32)

    def column(self, texts: pa.Array) -> pa.Array:
        """Return the keys of a column of texts, uint32 with a null where the text is null."""
        encoded = texts.dictionary_encode()
        return array(self.keys(encoded.dictionary)).take(encoded.indices)

    def hashes(self, keys: np.ndarray) -> np.ndarray:
        """Return the first 8 bytes of each text's BLAKE2 digest."""
        texts = (self._texts[key].encode() for key in keys.tolist())
        digests = b"".join(hashlib.blake2b(text, digest_size=8).digest() for text in texts)
        return np.frombuffer(digests, "<u8")

    def _key(self, text: str) -> int:
        key = self._keys.setdefault(text, len(self._texts))
        if key == len(self._texts):
            self._texts.append(text)
        return key


class ListKeys(TextKeys):
    """Lists of texts: the keys are those of the items."""

    kind = "list"

    def column(self, texts: pa.Array) -> pa.Array:
        """Return the keys of a column of lists of texts, which hold no nulls; a null list stays one."""
        lengths, items = list_parts(texts)
        return lists_of(lengths, super().column(items))
