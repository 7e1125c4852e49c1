"""Find illustrations, initials, tables and stamps in scanned pages, trained on synthetic pages.

::

    from doc_detect import Detector

    detector = Detector()  # the one that ships; Detector("detector.onnx") for a file of `doc-detect export`
    found = detector("scan.tif")  # or a Pillow image, or a NumPy array
    found.boxes, found.scores, found.labels  # in the scan's own pixels, 0 to 1, names
    for found in detector.each("scans/"):  # or a glob, a PDF, a list of any of these
        ...
"""

from seminar_common.lazy import lazy_exports

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "BadPage": "doc_detect.pages",
        "CLASSES": "doc_detect.classes",
        "Box": "doc_detect.predictions",
        "Detections": "doc_detect.detectors.detections",
        "Detector": "doc_detect.detectors.finder",
        "Failure": "seminar_common.failures",
        "Found": "doc_detect.detectors.found",
        "Page": "doc_detect.pages",
        "PageDetector": "doc_detect.detectors.onnx",
        "PageRef": "doc_detect.pages",
        "find_files": "doc_detect.pages",
        "open_predictions": "doc_detect.predictions",
        "page_refs": "doc_detect.pages",
        "read_coco": "doc_detect.coco",
        "read_for": "doc_detect.detectors.onnx",
        "write_coco": "doc_detect.coco",
    },
)
