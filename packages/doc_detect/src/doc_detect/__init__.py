"""Find illustrations, initials, tables and stamps in scanned pages, trained on synthetic pages.

::

    from doc_detect import CLASSES, Detector, PageRef, read_for

    detector = Detector()  # the one that ships; Detector(path) for an ONNX file of `doc-detect export`
    page = read_for(detector, PageRef(Path("scan.tif")))
    found = detector.detect(page)  # boxes in the scan's own pixels, scores, and labels in detector.labels
"""

from seminar_common.lazy import lazy_exports

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "BadPage": "doc_detect.pages",
        "CLASSES": "doc_detect.classes",
        "Detections": "doc_detect.detectors.onnx",
        "Detector": "doc_detect.detectors.onnx:OnnxDetector",
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
