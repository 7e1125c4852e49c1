"""Settings of the choice of pages to label. Imports nothing heavy."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from doc_detect.classes import parse_map
from seminar_common.device import DeviceConfig
from seminar_common.errors import UserError
from seminar_common.work import WorkConfig

By = Literal["combined", "uncertainty", "diversity", "random"]


@dataclass(frozen=True)
class SelectSettings:
    """Choose the pages of a collection that are most worth labelling, and prepare them for Label Studio and COCO tools.

    What people then drew goes into `adapt --labelled`. The same --out again goes on with a choice that was stopped.
    """

    target: tuple[Path, ...]
    """Scans of the collection, as of `adapt`: images, PDFs, folders, globs in quotes, IIIF manifests, or COCO files, whose
    images and page fact `book` are taken and whose boxes are not looked at."""
    out: Path
    """Folder to make: pages.csv, pre-annotations.json (COCO), tasks.json (Label Studio), gallery.html."""
    budget: int = 50
    """Pages to choose."""
    labelled: Path | None = None
    """Pages of the collection that have boxes already, of any form that `convert` reads, as what people made of an earlier
    choice: they are left out, and the next ones are chosen to differ from them, too."""
    map: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """NAME=CLASS: what a name in --labelled stands for, before what is known of names; CLASS may be `ignore`.
    Repeatable."""
    run: Path | None = None
    """Run whose detector looks at the pages."""
    model: Path | None = None
    """ONNX file of `export` whose detector looks at them, or `default`, the one that ships, which is also taken without
    either."""
    by: By = "combined"
    """What pages are chosen by. combined: what the detector doubts, far from pages chosen before, books in turn.
    uncertainty: doubt alone. diversity: distance alone. random: neither, to compare with."""
    min_score: float = 0.25
    """Finds from this score on are drawn into the pre-annotations: a wrong box is sooner removed than a missing one
    drawn."""
    pages: int = 2000
    """Pages to choose from at most, drawn from all files; a page takes some 0.2 s."""
    copy: bool = False
    """Copy the chosen pages into OUT/pages instead of naming them where they are: a folder to hand to others, or for a
    Label Studio server to show. Pages of PDFs and of TIFFs with several become PNG files there in any case."""
    image_url: str = "/data/local-files/?d="
    """What a Label Studio server puts before a page's file name, which is relative to OUT."""
    seed: int = 0
    """Seed of the drawing of --pages, and of --by random."""
    pdf_pixels: int = 2000
    """Longest side in pixels that a page of a PDF counts as."""
    max_megapixels: int = 256
    """Pages that would need more million pixels decoded at once are put into failures.csv."""
    page_timeout: float = 120.0
    """Seconds after which a page counts as never ending and is put into failures.csv; 0 waits for ever."""
    work: WorkConfig = WorkConfig()
    """Where pages are decoded."""
    device: DeviceConfig = field(default_factory=DeviceConfig)

    def __post_init__(self) -> None:
        if not self.target:
            raise UserError("--target: give the scans to choose from")
        if self.run is not None and self.model is not None:
            raise UserError("--run and --model: give one of them")
        parse_map(self.map)
        if self.budget < 1:
            raise UserError(f"--budget {self.budget}: must be 1 or more")
        if self.pages < self.budget:
            raise UserError(f"--pages {self.pages}: must be --budget ({self.budget}) or more")
        if not 0 <= self.min_score <= 1:
            raise UserError(f"--min-score {self.min_score}: must lie between 0 and 1")
        if self.page_timeout < 0 or self.pdf_pixels < 64 or self.max_megapixels < 1:
            raise UserError("--page-timeout, --pdf-pixels and --max-megapixels must be at least 0, 64 and 1")
