"""Settings of the commands that work on pages: predict, filter, crop, gallery, convert, bench. Imports nothing heavy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from doc_detect.classes import parse_map
from seminar_common.errors import UserError
from seminar_common.work import WorkConfig


def _check_share(option: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise UserError(f"{option} {value}: must lie between 0 and 1")


@dataclass(frozen=True)
class PredictSettings:
    """Find illustrations, initials, tables and stamps on pages. The same --out again goes on where it stopped."""

    inputs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="INPUT [INPUT ...]")]
    """Images, PDFs, folders with all that is below them, globs in quotes ('scans/**/*.tif'), or IIIF manifests."""
    out: Path
    """Folder of the predictions. If a run of `predict` on it was stopped, finished pages are not done again."""
    model: Path | None = None
    """ONNX file made by `export`; by default the detector that comes with the package."""
    run: Path | None = None
    """Run folder of `train`, to use its detector in PyTorch instead of an ONNX file."""
    size: int | None = None
    """Longest side in pixels that pages are looked at, in place of the detector's own (512). Time grows with its square:
    768 takes a page twice as long. Whether it finds more depends on the pages: try it on some."""
    min_score: float = 0.0
    """Leave out detections that score less. It moves no box, and below the detector's own floor it changes nothing."""
    work: WorkConfig = WorkConfig()
    """Where pages are worked on."""
    pdf_pixels: int = 2000
    """Longest side in pixels that a page of a PDF counts as: boxes and crops are in these pixels."""
    max_megapixels: int = 256
    """Pages that would need more million pixels decoded at once are put into failures.csv."""
    page_timeout: float = 120.0
    """Seconds after which a page counts as never ending and is put into failures.csv; 0 waits for ever. With it,
    --workers 1 is a process of its own, too."""
    images: Path | None = None
    """Folder with the images of IIIF manifests; by default the folder that each manifest is in."""
    download: bool = False
    """Fetch the images of IIIF manifests that are not on disk, one at a time; manifests may be addresses then."""
    iiif_pixels: int = 2000
    """Longest side in pixels that images are fetched with, 0 for all there are; boxes count the manifest's pixels."""
    download_pause: float = 0.2
    """Least seconds between two requests."""

    def __post_init__(self) -> None:
        if self.size is not None and not 64 <= self.size <= 4096:
            raise UserError(f"--size {self.size}: must lie between 64 and 4096 pixels")
        if self.size is not None and self.run is not None:
            raise UserError("--size: goes with an ONNX file; `export` makes one of the run")
        if self.page_timeout < 0:
            raise UserError(f"--page-timeout {self.page_timeout}: must be 0 (no limit) or more")
        if self.download_pause < 0:
            raise UserError(f"--download-pause {self.download_pause}: must be 0 or more")
        if self.iiif_pixels and self.iiif_pixels < 64:
            raise UserError(f"--iiif-pixels {self.iiif_pixels}: must be 64 or more, or 0 for all pixels")
        if self.model is not None and self.run is not None:
            raise UserError("--model and --run: give one of them")
        _check_share("--min-score", self.min_score)
        for option, value, least in (
            ("--pdf-pixels", self.pdf_pixels, 64),
            ("--max-megapixels", self.max_megapixels, 1),
        ):
            if value < least:
                raise UserError(f"{option} {value}: must be {least} or more")


@dataclass(frozen=True)
class FilterSettings:
    """Print the pages that hold a class and not another, or copy or link them into a folder."""

    predictions: Path
    """Folder made by `predict`."""
    has: tuple[str, ...] = ()
    """Classes that must all be on the page, e.g. `graphic`."""
    lacks: Annotated[tuple[str, ...], tyro.conf.arg(name="not")] = ()
    """Classes that must not be on the page, e.g. `table`."""
    min_score: float = 0.5
    """Score from which a class counts as being on the page."""
    copy: Path | None = None
    """Folder to copy the pages into, with the subfolders they are in; a page of a PDF becomes a PDF of its own."""
    link: Path | None = None
    """Folder to make symbolic links to the files in, with the subfolders they are in."""
    images: Path | None = None
    """Folder where the pages are now, if they moved since `predict`."""

    def __post_init__(self) -> None:
        _check_share("--min-score", self.min_score)
        if not self.has and not self.lacks:
            raise UserError("--has LABEL or --not LABEL: say which pages are wanted")
        if self.copy is not None and self.link is not None:
            raise UserError("--copy and --link: give one of them")


@dataclass(frozen=True)
class CropSettings:
    """Cut out what was found, in the pixels of the originals, with the captions and a manifest."""

    predictions: Path
    """Folder made by `predict`."""
    out: Path
    """Folder to make, with the crops and manifest.csv."""
    label: tuple[str, ...] = ("graphic",)
    """Classes to cut out."""
    min_score: float = 0.5
    """Leave out detections that score less."""
    boxes: Literal["ink", "drawn"] = "ink"
    """What is cut out: the extent of the `ink`, or boxes a little wider, as people have `drawn` them."""
    padding: float = 0.01
    """Margin round each crop, as a share of the page's longer side."""
    caption: Literal["joined", "separate", "none"] = "joined"
    """A caption next to the object: `joined` into the crop, a `separate` file beside it, or `none`."""
    caption_score: float = 0.3
    """Score from which a caption counts."""
    pdf_pixels: int = 3000
    """Longest side in pixels that pages of PDFs are rendered with for cropping."""
    format: Literal["png", "jpg"] = "png"
    """File format of the crops; png loses nothing."""
    images: Path | None = None
    """Folder where the pages are now, if they moved since `predict`."""
    work: WorkConfig = WorkConfig()
    """Where pages are worked on."""

    def __post_init__(self) -> None:
        _check_share("--min-score", self.min_score)
        _check_share("--padding", self.padding)
        _check_share("--caption-score", self.caption_score)
        if not self.label:
            raise UserError("--label: name at least one class to cut out")
        if self.pdf_pixels < 64:
            raise UserError(f"--pdf-pixels {self.pdf_pixels}: must be 64 or more")


@dataclass(frozen=True)
class GallerySettings:
    """Write one HTML page that shows predictions: thumbnails with boxes, filters by class and score, keyboard."""

    predictions: Path
    """Folder made by `predict`, or a COCO file."""
    out: Path | None = None
    """The .html file to write; by default gallery.html in the folder of the predictions."""
    images: Path | None = None
    """Folder where the pages are, if they moved since `predict`, or of a COCO file's pages."""
    min_score: float = 0.1
    """Leave out detections that score less."""
    pages: int = 0
    """Show this many pages, evenly from all or, with another --order, the first in it; 0 shows every page."""
    order: Literal["pages", "finds", "score", "area"] = "pages"
    """What comes first: `pages` in order of their names, most `finds`, best `score` or largest `area`. The page can
    change it."""
    has: tuple[str, ...] = ()
    """Classes that the pages hold which are shown at first, e.g. `graphic`: --order then goes by these alone."""
    title: str = ""
    """Heading; by default the folder's name."""

    def __post_init__(self) -> None:
        _check_share("--min-score", self.min_score)
        if self.pages < 0:
            raise UserError(f"--pages {self.pages}: must be 0 or more")
        if self.out is not None and self.out.suffix.lower() not in (".html", ".htm"):
            raise UserError(f"{self.out}: a gallery is an HTML page; end the name of --out with .html")


@dataclass(frozen=True)
class ConvertSettings:
    """Convert regions of pages between COCO, Label Studio, PAGE-XML, ALTO, Pascal VOC, YOLO, IIIF and Web Annotations."""

    input: tyro.conf.Positional[Path]
    """A folder made by `predict`, a COCO or Label Studio .json, a PAGE-XML, ALTO or VOC file or folder of them, or a
    YOLO data.yaml or its folder, or a .json of annotations of IIIF or the W3C or a folder of them."""
    to: Literal["coco", "label-studio", "page-xml", "alto", "voc", "yolo", "iiif", "web-annotation"]
    """What to write."""
    out: Path
    """File to write; for page-xml, alto, voc, yolo and iiif a folder, which gets one file for each page."""
    min_score: float = 0.3
    """Leave out detections that score less; regions without a score stay."""
    boxes: Literal["ink", "drawn"] = "ink"
    """Of predictions: the extent of the `ink`, or boxes a little wider, as people have `drawn` them."""
    image_url: str = "/data/local-files/?d="
    """For label-studio: what its server puts before a page's file name. For iiif and web-annotation: an http address
    to put there."""
    manifest: tuple[Path, ...] = ()
    """For iiif: manifests of the pages, to copy with annotations; by default those that `predict` read."""
    base_url: str = ""
    """For iiif: address that the output will have; without it annotations stand in the manifests. For pages of no
    manifest, whose images must lie at this address, too."""
    map: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """NAME=CLASS: what a name in the input stands for, before what is known of names; CLASS may be `ignore`. Repeatable."""

    def __post_init__(self) -> None:
        _check_share("--min-score", self.min_score)
        parse_map(self.map)
        if self.base_url and not self.base_url.startswith(("http://", "https://")):
            raise UserError(f"--base-url {self.base_url}: must begin with http:// or https://")
        if self.manifest and self.to != "iiif":
            raise UserError(f"--manifest: goes with --to iiif, not {self.to}")
        if self.base_url and self.to not in ("iiif", "web-annotation"):
            raise UserError(f"--base-url: goes with --to iiif or web-annotation, not {self.to}")


@dataclass(frozen=True)
class BenchSettings:
    """Measure speed, memory and quality on the same pages: ONNX, PyTorch and rapid-layout, where it is installed."""

    out: Path
    """Folder to make, with results.json and report.html."""
    data: Path | None = None
    """COCO file of labelled pages; by default synthetic pages are made."""
    pages: int = 24
    """Pages to measure on, taken evenly from the file, or made."""
    model: Path | None = None
    """ONNX file; by default the detector that comes with the package."""
    run: Path | None = None
    """Run folder of `train`, to measure its detector in PyTorch as well."""
    peer: tuple[Literal["rapid-layout"], ...] = ("rapid-layout",)
    """Other tools to measure; one that is not installed is left out, and said so."""
    threads: tuple[int, ...] = (1, 2)
    """CPU threads of one page."""
    repeats: int = 3
    """Times that each page is worked on; the median counts."""
    a4_pages: int = 3
    """Synthetic pages of A4 at 300 dpi to measure on in each format (JPEG, PNG, TIFF, ...); 0 leaves them out."""
    seed: int = 0
    """Seed of the synthetic pages and of the intervals."""

    def __post_init__(self) -> None:
        if self.pages < 2:
            raise UserError(f"--pages {self.pages}: must be 2 or more")
        if self.repeats < 1:
            raise UserError(f"--repeats {self.repeats}: must be 1 or more")
        if self.a4_pages < 0:
            raise UserError(f"--a4-pages {self.a4_pages}: must not be negative")
        if not self.threads or min(self.threads) < 1:
            raise UserError("--threads: give numbers of 1 or more")
