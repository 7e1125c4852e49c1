"""Image files that Pillow does not write: TIFFs of any sample and chain, PNGs of any depth with a transparent colour."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_SAMPLE_FORMAT = {"u": 1, "i": 2, "f": 3}


@dataclass(frozen=True)
class Frame:
    """One frame of a TIFF: samples of shape [h, w] or [h, w, channels] in a single strip, as they are."""

    pixels: np.ndarray
    photometric: int = 1
    compression: int = 1
    extra: int | None = None
    """What the channel beyond the colours is: 1 premultiplied transparency, 2 plain one."""
    subfile: int = 0
    planar: int = 1


def tiff(*frames: Frame, order: str = "<", big: bool = False, last_next: int = 0) -> bytes:
    """Return a TIFF (or BigTIFF) of ``frames``; the last one's successor is said to be at ``last_next``."""
    word, size, head = ("Q", 8, 16) if big else ("I", 4, 8)
    body = b"\0" * head
    links = [8 if big else 4]  # where the offset of each directory has to be written
    for frame in frames:
        strip_at = len(body)
        body += frame.pixels.astype(frame.pixels.dtype.newbyteorder(order)).tobytes()
        body += b"\0" * (len(body) % 2)
        entries, outside = _entries(frame, strip_at, len(body), order, big)
        directory_at = len(body) + len(outside)
        body += outside + struct.pack(order + ("Q" if big else "H"), len(entries)) + b"".join(entries)
        body = _at(body, links[-1], struct.pack(order + word, directory_at))
        links.append(len(body))
        body += struct.pack(order + word, last_next)
    magic = b"II" if order == "<" else b"MM"
    version = struct.pack(order + "HHH", 43, 8, 0) if big else struct.pack(order + "H", 42)
    return _at(body, 0, magic + version)[: len(body)]


def _at(body: bytes, at: int, data: bytes) -> bytes:
    return body[:at] + data + body[at + len(data) :]


def _entries(
    frame: Frame, strip_at: int, outside_at: int, order: str, big: bool
) -> tuple[list[bytes], bytes]:
    height, width = frame.pixels.shape[:2]
    channels = frame.pixels.shape[2] if frame.pixels.ndim == 3 else 1
    bits = frame.pixels.dtype.itemsize * 8
    tags: dict[int, tuple[str, Sequence[int]]] = {
        254: ("I", [frame.subfile]),
        256: ("I", [width]),
        257: ("I", [height]),
        258: ("H", [bits] * channels),
        259: ("H", [frame.compression]),
        262: ("H", [frame.photometric]),
        273: ("I", [strip_at]),
        277: ("H", [channels]),
        278: ("I", [height]),
        279: ("I", [frame.pixels.nbytes]),
        284: ("H", [frame.planar]),
        338: ("H", [] if frame.extra is None else [frame.extra]),
        339: ("H", [_SAMPLE_FORMAT[frame.pixels.dtype.kind]] * channels),
    }
    entries, outside, room = [], b"", 8 if big else 4
    for tag, (kind, values) in tags.items():
        if not values:
            continue
        data = struct.pack(order + kind * len(values), *values)
        if len(data) > room:
            at = outside_at + len(outside)
            outside += data
            data = struct.pack(order + ("Q" if big else "I"), at)
        head = struct.pack(order + ("HHQ" if big else "HHI"), tag, 3 if kind == "H" else 4, len(values))
        entries.append(head + data.ljust(room, b"\0"))
    return entries, outside


def png(samples: np.ndarray, bits: int, transparent: Sequence[int] | None = None) -> bytes:
    """Return a grey or RGB PNG of 1 to 16 bits; ``samples`` are [h, w] or [h, w, 3] as stored."""
    height, width = samples.shape[:2]
    if bits < 8:
        each = np.unpackbits(samples[..., None].astype(np.uint8), axis=-1)[..., 8 - bits :]
        rows = [np.packbits(row).tobytes() for row in each.reshape(height, -1)]
    else:
        rows = [row.astype(">u2" if bits == 16 else "u1").tobytes() for row in samples]
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 2 if samples.ndim == 3 else 0, 0, 0, 0))]
    if transparent is not None:
        chunks.append((b"tRNS", b"".join(struct.pack(">H", value) for value in transparent)))
    chunks += [(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
