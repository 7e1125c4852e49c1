"""The folder that ``predict`` makes, as a form that can be read."""

from doc_detect.coco import Reading
from doc_detect.formats.regions import Form, Layout, LayoutSet, Region, Source
from doc_detect.predictions import CONFIG, PredictedPage, open_predictions


def _reads(source: Source) -> bool:
    return (source.path / CONFIG).exists()


def _read(source: Source, reading: Reading) -> LayoutSet:
    predictions = open_predictions(source.path, source.path, reading.boxes)  # the pages need not be there
    pages = tuple(_layout(page) for page in predictions)
    reading.names.regions += sum(len(page.regions) for page in pages)
    return LayoutSet(pages, frozenset(predictions.labels))


def _layout(page: PredictedPage) -> Layout:
    regions = tuple(Region(box.label, box.xyxy, box.score) for box in page.boxes)
    return Layout(page.name, page.width, page.height, regions, page.facts)


PREDICTIONS = Form("predictions", "a folder of predictions", _reads, _read)
