"""Which typefaces there are, what they may be used for, and which are held out for validation.

Fonts are found in the system's folders, in matplotlib's where it is installed, and in a folder of the user's. A font's style is read from its names; nothing is downloaded.
"""

import functools
import hashlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import ImageFont

Style = str
STYLES = ("roman", "italic", "blackletter", "hand", "sans", "typewriter", "initials", "pictographs")

_SUFFIXES = {".ttf", ".otf", ".woff"}
_BLACKLETTER = ("frakt", "gotico", "gotisch", "textur", "blankenburg", "cook", "pirata", "jacquard", "rocker")
_BLACKLETTER += ("hamlet", "parix", "fust", "schoeffer", "germania", "sensenschmidt", "zainer", "mentelin")
_HAND = ("joscelyn", "chorus", "z003", "medievalsharp", "almendra", "fondamento", "eagle", "uncial", "kings")
_HAND += ("quintessential", "macondo", "chancery", "bastarda", "triod")
_SANS = ("sans", "helv", "arial", "heros", "adventor", "gothic", "nimbussans", "carlito", "lato", "roboto")
_TYPEWRITER = (
    "courier",
    "specialelite",
    "cutivemono",
    "dejavusansmono",
    "liberationmono",
    "freemono",
    "cmtt",
)
_INITIALS = ("initial",)
_PICTOGRAPHS = ("notoemoji", "hieroglyphs")
_UNFIT = (
    "math",
    "mono",
    "symbol",
    "dingbat",
    "emoji",
    "cursor",
    "cmex",
    "cmsy",
    "cmmi",
    "stixsiz",
    "keyboard",
)
_UNFIT += ("typewriter", "nonuni", "noto", "d050000l", "display", "phonetic", "italianno")
_UNFIT += ("typoscript", "kristi", "joinedup", "dkg", "lastresort", "awesome", "icons", "berenika", "klaudia")
_UNFIT += ("cinzel", "metamorphous", "smallcaps", "allsc", "garamondsc")


@dataclass(frozen=True)
class Face:
    """One font file."""

    path: str
    family: str
    style: Style
    bold: bool


def font_folders(extra: Path | None = None) -> list[Path]:
    """Return the folders that are searched for fonts, the user's first."""
    home = Path.home()
    folders = [extra] if extra else []
    if (spec := find_spec("matplotlib")) and spec.origin:
        folders += [Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"]
    if sys.platform == "win32":
        folders += [Path("C:/Windows/Fonts")]
    elif sys.platform == "darwin":
        folders += [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    else:
        folders += [Path("/usr/share/fonts"), Path("/usr/share/texmf/fonts/opentype")]
        folders += [Path("/usr/local/share/fonts"), home / ".local/share/fonts"]
    return [folder for folder in folders if folder.is_dir()]


@functools.lru_cache
def find_faces(extra: Path | None = None, system: bool = True) -> tuple[Face, ...]:
    """Return every usable Latin typeface, sorted by family and file; one file for each family, style and weight.

    Args:
        extra: A folder of the user's fonts, searched with its subfolders.
        system: Whether to search the system's folders as well; matplotlib's are always searched.
    """
    folders = font_folders(extra)
    if not system:
        folders = [f for f in folders if f == extra or "matplotlib" in f.parts]
    found: dict[tuple[str, str, bool], Face] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            face = _read_face(path) if path.suffix.lower() in _SUFFIXES else None
            if face:
                found.setdefault((face.family, face.style, face.bold), face)
    return tuple(sorted(found.values(), key=lambda face: (face.family, face.path)))


def _read_face(path: Path) -> Face | None:
    try:
        font = ImageFont.truetype(str(path), 24)
        family, variant = (name or "" for name in font.getname())
    except (OSError, ValueError):
        return None
    names = f"{family} {variant} {path.stem}".lower().replace("-", " ")
    if any(word in names.replace(" ", "") for word in _PICTOGRAPHS):
        return Face(str(path), family, "pictographs", False)
    style = _style(names)
    if style != "typewriter" and any(word in names.replace(" ", "") for word in _UNFIT):
        return None
    if style in ("typewriter", "sans") and ("italic" in names or "oblique" in names):
        return None  # text is set upright, and a family's slanted cut would stand for it
    if not _has_latin(font, "ADN" if style == "initials" else "AbgeRsz"):
        return None
    bold = any(word in variant.lower() for word in ("bold", "black", "heavy")) or "-700" in path.stem
    bold |= "bold" in path.stem.lower()  # Courier Prime Bold calls itself regular
    return Face(str(path), family, style, bold)


def _style(names: str) -> Style:
    compact = names.replace(" ", "")
    for style, words in (("initials", _INITIALS), ("blackletter", _BLACKLETTER), ("hand", _HAND)):
        if any(word in compact for word in words):
            return style
    if any(word in compact for word in _TYPEWRITER):
        return "typewriter"
    if any(word in compact for word in _SANS):
        return "sans"
    slanted = any(word in names for word in ("italic", "oblique", "cmti"))
    return "italic" if slanted else "roman"


def _has_latin(font: ImageFont.FreeTypeFont, letters: str) -> bool:
    """Say whether the letters look different from each other: a missing glyph is the same box for all."""
    try:
        masks = {_ink(font, letter) for letter in letters}
    except OSError:
        return False
    return len(masks) == len(letters) and b"" not in masks


def held_out(name: str, share: float = 0.2) -> bool:
    """Say whether the thing of this name (a font family, a picture) belongs to validation."""
    digest = hashlib.blake2b(name.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") < share * 2**32


class FontBook:
    """The faces of one split by style, with a stand-in for a style that is not installed."""

    _STAND_INS = {
        "italic": ("italic", "roman", "sans"),
        "blackletter": ("blackletter", "hand", "roman", "sans"),
        "hand": ("hand", "blackletter", "italic", "roman", "sans"),
        "roman": ("roman", "sans", "italic"),
        "sans": ("sans", "roman"),
        "typewriter": ("typewriter", "sans", "roman"),
        "initials": ("initials",),
        "pictographs": ("pictographs",),
    }

    def __init__(self, faces: Sequence[Face], split: str):
        """Take the faces of ``split``; a style with fewer than three families is shared by both splits."""
        self._faces = {style: _of_split([f for f in faces if f.style == style], split) for style in STYLES}

    def faces(self, style: Style) -> Sequence[Face]:
        """Return the faces of a style or of its nearest stand-in; initials and pictographs have none."""
        return next((self._faces[name] for name in self._STAND_INS[style] if self._faces[name]), ())

    def choose(
        self, generator: np.random.Generator, *styles: Style, bold: bool | None = None, figures: bool = False
    ) -> Face:
        """Draw a face: a style, then a family, then a file, so that large families don't drown small ones.

        With ``figures`` it has the ten figures, which some types of the 15th century lack.
        """
        faces = self.faces(styles[generator.integers(len(styles))])
        if figures:
            faces = [face for face in faces if has_figures(face.path)] or faces
        fitting = [face for face in faces if bold is None or face.bold == bold] or faces
        families = sorted({face.family for face in fitting})
        family = families[generator.integers(len(families))]
        members = [face for face in fitting if face.family == family]
        return members[generator.integers(len(members))]


def _of_split(faces: list[Face], split: str) -> list[Face]:
    kin = sorted({_kin(face) for face in faces}, key=lambda name: (_rank(name), name))
    if len(kin) < 3:
        return faces
    kept = set(kin[: max(1, round(len(kin) * 0.2))])
    return [face for face in faces if (_kin(face) in kept) == (split == "val")]


def _kin(face: Face) -> str:
    """Return the first word of a family's name: cuts of one design (Fanwood, Fanwood Text) stay together."""
    return face.family.split()[0]


def _rank(name: str) -> str:
    return hashlib.blake2b(name.encode(), digest_size=8).hexdigest()


@functools.lru_cache(maxsize=256)
def load(path: str, size: int) -> ImageFont.FreeTypeFont:
    """Return a font at a size in pixels; cached."""
    return ImageFont.truetype(path, max(5, size), layout_engine=ImageFont.Layout.BASIC)


def covers(path: str, letters: Iterable[str]) -> list[str]:
    """Return those of ``letters`` that the font has a glyph for."""
    font = load(path, 24)
    missing = _ink(font, "\U0010fffe")
    return [letter for letter in letters if _ink(font, letter) not in (missing, b"")]


@functools.lru_cache(maxsize=512)
def has_figures(path: str) -> bool:
    """Say whether a font has the figures 0 to 9."""
    return len(covers(path, "0123456789")) == 10


def _ink(font: ImageFont.FreeTypeFont, letter: str) -> bytes:
    """Return a letter's pixels."""
    return np.array(font.getmask(letter), np.uint8).tobytes()
