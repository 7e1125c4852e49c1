"""Settings of the page generator."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seminar_common.errors import UserError
from seminar_common.work import WorkConfig


@dataclass(frozen=True)
class DegradeSettings:
    """How a clean page becomes a scan; probabilities are of a page, strengths scale what is drawn at random."""

    long_side: int = 0
    """Longest side of the finished page in pixels; 0 keeps the scale of the ink."""
    clean: float = 0.0
    """Share of pages that never were on paper, such as those of a PDF out of a typesetter: they stay as they are."""
    binarized: float = 0.36
    """Share of pages that look like bitonal microfilm: white paper, black ink, dirt at the borders."""
    grey: float = 0.18
    """Share of pages without colour."""
    background: float = 0.65
    """Share of pages that lie on a visible background (white, black, grey) in place of filling the picture."""
    bleed_through: float = 0.4
    """Share of pages on which the back of the leaf shines through."""
    stains: float = 0.18
    """Share of pages with stains, foxing or damp."""
    curvature: float = 0.5
    """Share of pages that bend towards the gutter."""
    shadow: float = 0.5
    """Share of pages with the gutter's shadow and uneven light."""
    neighbour: float = 0.2
    """Share of single pages with a strip of the facing page at one edge."""
    clutter: float = 0.12
    """Share of pages with a ruler, a colour target, a finger, a weight, a slip, tape or holes, off ink and objects."""
    max_skew: float = 2.0
    """Standard deviation of the rotation is a third of this, in degrees."""
    strength: float = 0.9
    """Multiplies blur, noise, fading, shadows and stains; 0 leaves geometry, paper and background."""


World = Literal["early-print", "catalogue", "newspaper", "article", "record", "nonpage", "all"]


@dataclass(frozen=True)
class SynthSettings:
    """Make synthetic pages with exact boxes (COCO), a contact sheet and a gallery to look at."""

    out: Path
    """Folder to make or to go on with: train.json, val.json, images/, contact-sheet.jpg, gallery.html."""
    pages: int = 2000
    """How many pages there shall be; rerun with more to add to a folder."""
    world: World = "early-print"
    """What kind of pages: early-print (printed books and manuscripts to 1800), catalogue and newspaper (as printed
    from 1880 to 1980), article,
    record (reports, statistics, registers, forms), nonpage (boards, targets, bindings, blank leaves), or all."""
    preset: str = "small"
    """Size of the job: smoke, small or paper; sets pages and long-side."""
    seed: int = 0
    """Seed; page i of a seed is the same whatever the number of pages and workers."""
    work: WorkConfig = WorkConfig()
    """Where pages are drawn."""
    ink: bool = False
    """Write clean ink on white, to be degraded anew in every epoch of training, in place of finished scans."""
    long_side: int = 1000
    """Longest side of a page, px."""
    val_share: float = 0.1
    """Share of pages for validation; they use fonts and pictures that training pages never show."""
    pictures: Path | None = None
    """Folder with pictures of your own (PNG, JPEG, TIFF) to set among the drawn ones."""
    fonts: Path | None = None
    """Folder with more fonts (TTF, OTF, WOFF); the system's are found by themselves."""
    system_fonts: bool = True
    """Use the system's fonts; without them only those of --fonts, and of matplotlib where it is installed."""

    def __post_init__(self) -> None:
        """Refuse what makes no pages.

        Raises:
            UserError: a value is out of range or a folder isn't there.
        """
        if self.pages < 1:
            raise UserError(f"--pages {self.pages}: must be 1 or more")
        if not 200 <= self.long_side <= 6000:
            raise UserError(f"--long-side {self.long_side}: give 200 to 6000 pixels")
        if not 0 <= self.val_share < 1:
            raise UserError(f"--val-share {self.val_share}: give a share from 0 to below 1")
        for name, folder in (("--pictures", self.pictures), ("--fonts", self.fonts)):
            if folder is not None and not folder.is_dir():
                raise UserError(f"{name} {folder}: no such folder; check the path")


def smoke() -> SynthSettings:
    """A dozen small pages in seconds."""
    return SynthSettings(out=Path("data/synth"), pages=12, long_side=500, preset="smoke")


def small() -> SynthSettings:
    """What a first training needs."""
    return SynthSettings(out=Path("data/synth"), pages=2000, preset="small")


def paper() -> SynthSettings:
    """What the model that ships was trained on."""
    return SynthSettings(out=Path("data/synth"), pages=4000, preset="paper")


SYNTH_PRESETS = {"small": small, "smoke": smoke, "paper": paper}
"""Settings of each size, by name; the first is the default."""
