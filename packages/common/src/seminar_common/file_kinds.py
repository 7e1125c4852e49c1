"""Which kind a file is, by its first bytes: names lie, and what can't be read should at least be named.

A kind that can't be read comes with a way out, so that an archive's DjVu or JPEG XL is never passed over in silence.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HEAD = 1024
"""Bytes that tell a file's kind: a PDF may begin anywhere in them (PDF 1.7, appendix H, note 13)."""


@dataclass(frozen=True)
class FileKind:
    """A kind of file that may hold pages."""

    name: str
    suffixes: tuple[str, ...]
    """Usual endings, in lower case; the first one names the kind in messages."""
    way_out: str = ""
    """What to do about it; empty if it can be read."""
    by_suffix: bool = False
    """Whether the ending decides: the content is that of another kind, such as a camera's raw file, a TIFF."""

    @property
    def readable(self) -> bool:
        """Whether its pages can be read."""
        return not self.way_out


PDF = FileKind("PDF", (".pdf",))
TIFF = FileKind("TIFF", (".tif", ".tiff"))
HEIC = FileKind("HEIC", (".heic", ".heif", ".hif"))
"""Readable where pi-heif or pillow-heif is installed; :func:`heic_is_readable` says so."""

_DJVU = FileKind("DjVu", (".djvu", ".djv"), "convert it with ddjvu -format=tiff")
_JXL = FileKind("JPEG XL", (".jxl",), "convert it with djxl")
_SVG = FileKind("SVG", (".svg", ".svgz"), "render it with rsvg-convert")
_POSTSCRIPT = FileKind("PostScript", (".ps", ".eps"), "convert it with ps2pdf")
_ZIP = FileKind("ZIP archive", (".zip", ".cbz", ".epub"), "unzip it")
_ARCHIVE = FileKind(
    "archive", (".rar", ".cbr", ".7z", ".cb7", ".tar", ".tgz", ".gz", ".bz2", ".xz"), "unpack it"
)
_RAW = FileKind(
    "raw photograph",
    (".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".iiq", ".3fr"),
    "develop it to TIFF",
    by_suffix=True,
)
_OTHER = FileKind("JPEG XR", (".jxr", ".wdp", ".hdp"), "convert it to TIFF")

_READABLE = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "JPEG 2000": (".jp2", ".j2k", ".jpx", ".jpf", ".j2c"),
    "WebP": (".webp",),
    "AVIF": (".avif",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "PNM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "PSD": (".psd",),
}
_JPEG, _PNG, _JP2, _WEBP, _AVIF, _BMP, _GIF, _PNM, _PSD = (
    FileKind(name, suffixes) for name, suffixes in _READABLE.items()
)

KINDS = (
    *(_JPEG, _PNG, TIFF, _JP2, _WEBP, _AVIF, _BMP, _GIF, _PNM, _PSD, PDF, HEIC),
    *(_DJVU, _JXL, _SVG, _POSTSCRIPT, _ZIP, _ARCHIVE, _RAW, _OTHER),
)
"""What a folder is searched for."""

_STARTS = {
    b"\xff\xd8\xff": _JPEG,
    b"\x89PNG\r\n\x1a\n": _PNG,
    b"II*\0": TIFF,
    b"MM\0*": TIFF,
    b"II\0*": TIFF,  # two wrong orders that readers put up with
    b"MM*\0": TIFF,
    b"II+\0": TIFF,
    b"MM\0+": TIFF,
    b"\0\0\0\x0cjP  \r\n\x87\n": _JP2,
    b"\xff\x4f\xff\x51": _JP2,
    b"BM": _BMP,
    b"GIF87a": _GIF,
    b"GIF89a": _GIF,
    b"8BPS": _PSD,
    b"AT&TFORM": _DJVU,
    b"\xff\x0a": _JXL,
    b"\0\0\0\x0cJXL \r\n\x87\n": _JXL,
    b"%!PS": _POSTSCRIPT,
    b"\xc5\xd0\xd3\xc6": _POSTSCRIPT,
    b"PK\3\4": _ZIP,
    b"Rar!": _ARCHIVE,
    b"7z\xbc\xaf'\x1c": _ARCHIVE,
    b"II\xbc\1": _OTHER,
}


def _is_bmff(head: bytes, *brands: bytes) -> bool:
    """Say whether an ISO base media file names one of ``brands`` (ISO 14496-12, 4.3)."""
    if head[4:8] != b"ftyp":
        return False
    end = int.from_bytes(head[:4], "big")
    return any(head[at : at + 4] in brands for at in range(8, min(end, len(head)), 4))


_TESTS: tuple[tuple[Callable[[bytes], bool], FileKind], ...] = (
    (lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP", _WEBP),
    (lambda head: _is_bmff(head, b"avif", b"avis"), _AVIF),
    (lambda head: _is_bmff(head, b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"), HEIC),
    (lambda head: head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace(), _PNM),
    (lambda head: head[257:262] == b"ustar", _ARCHIVE),
    (lambda head: b"%PDF-" in head, PDF),
    (lambda head: b"<svg" in head, _SVG),
)

_BY_SUFFIX = {suffix: kind for kind in KINDS for suffix in kind.suffixes}


def kind_of_bytes(head: bytes) -> FileKind | None:
    """Return the kind of what begins with ``head``, :data:`HEAD` bytes; None if it is none that is known here."""
    for start, kind in _STARTS.items():
        if head.startswith(start):
            return kind
    return next((kind for test, kind in _TESTS if test(head)), None)


def kind_of(source: Path | bytes) -> FileKind | None:
    """Return a file's kind by its content; by its name only where the name says more.

    Raises:
        OSError: it can't be opened.
    """
    if isinstance(source, Path):
        named = kind_of_name(source.name)
        if named is not None and named.by_suffix:
            return named
    return kind_of_bytes(head_of(source))


def kind_of_name(name: str) -> FileKind | None:
    """Return the kind that a file's ending promises."""
    return _BY_SUFFIX.get(Path(name).suffix.lower())


def head_of(source: Path | bytes) -> bytes:
    """Return the first :data:`HEAD` bytes.

    Raises:
        OSError: it can't be opened.
    """
    with source.open("rb", buffering=0) if isinstance(source, Path) else io.BytesIO(source) as file:
        return file.read(HEAD)


def heic_is_readable() -> bool:
    """Say whether HEIC can be read here, and make Pillow read it if so."""
    for name in ("pi_heif", "pillow_heif"):
        try:
            plugin = __import__(name)
        except ImportError:
            continue
        plugin.register_heif_opener()
        return True
    return False
