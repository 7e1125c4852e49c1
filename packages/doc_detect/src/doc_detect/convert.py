"""Regions of pages between COCO, Label Studio, PAGE-XML and ALTO: the command ``convert``."""

from dataclasses import replace

from doc_detect.formats.forms import read_any, write_any
from doc_detect.formats.regions import Layout
from doc_detect.settings.job import ConvertSettings
from seminar_common.progress import say


def main(settings: ConvertSettings) -> None:
    """Convert what ``settings`` name; the function behind ``doc-detect convert``."""
    layouts = [_over(layout, settings.min_score) for layout in read_any(settings.input)]
    write_any(layouts, settings.to, settings.out, settings.image_url)
    regions = sum(len(layout.regions) for layout in layouts)
    say(f"{len(layouts):,} pages with {regions:,} regions as {settings.to} in {settings.out}")


def _over(layout: Layout, least: float) -> Layout:
    kept = tuple(region for region in layout.regions if region.score is None or region.score >= least)
    return replace(layout, regions=kept)
