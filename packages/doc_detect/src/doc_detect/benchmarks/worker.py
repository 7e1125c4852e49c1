"""What ``bench`` measures in a fresh process: one for each number of threads, and one for each engine's memory.

Engines take turns page by page, so that whatever else the machine does falls on all of them alike.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, TypedDict

import numpy as np

from doc_detect.detectors.detections import Detections
from doc_detect.detectors.onnx import OnnxDetector, PageDetector, read_for
from doc_detect.pages import PageRef


class Answer(TypedDict):
    """What was measured."""

    wall: Mapping[str, list[float]]
    """Seconds of each page by engine, the median of all repeats, from the file to its boxes."""
    cpu: Mapping[str, list[float]]
    """CPU seconds likewise, of all threads together."""
    found: Mapping[str, list[dict[str, Any]]]
    """What each engine found on each page: boxes (xyxy in the page's pixels), scores, labels (names)."""


def open_engine(engine: str, source: str, threads: int) -> PageDetector:
    """Return an engine's detector that uses ``threads`` threads for a page."""
    if engine == "onnx":
        return OnnxDetector(Path(source), threads)
    if engine == "rapid-layout":
        from doc_detect.detectors.peers import RapidLayoutDetector

        return RapidLayoutDetector(threads)
    import torch

    from doc_detect.detectors.torch import open_torch

    torch.set_num_threads(threads)
    return open_torch(Path(source))


def measure(engines: Mapping[str, str], files: Sequence[str], threads: int, repeats: int) -> Answer:
    """Work on every page with every engine, ``repeats`` times after one round to warm up.

    Args:
        engines: ``onnx``, ``torch`` or ``rapid-layout``, and the file or run folder of each.
        files: The pages.
        threads: CPU threads of a page.
        repeats: Times that each page is worked on.
    """
    import cv2

    cv2.setNumThreads(threads)  # which reads no environment variable
    detectors = {engine: open_engine(engine, source, threads) for engine, source in engines.items()}
    for detector in detectors.values():
        for file in files[:2]:
            _work(detector, file)
    times = np.zeros((len(detectors), len(files), repeats, 2))
    found: dict[str, list[dict[str, Any]]] = {engine: [] for engine in detectors}
    for repeat in range(repeats):
        for number, file in enumerate(files):
            for row, (engine, detector) in enumerate(detectors.items()):
                page, times[row, number, repeat] = _work(detector, file)
                if repeat == 0:
                    found[engine].append(_plain(page, detector.labels))
    medians = np.median(times, axis=2)
    wall, cpu = ({e: medians[i, :, part].tolist() for i, e in enumerate(detectors)} for part in (0, 1))
    return Answer(wall=wall, cpu=cpu, found=found)


def _work(detector: PageDetector, file: str) -> tuple[Detections, tuple[float, float]]:
    wall, cpu = perf_counter(), process_time()
    found = detector.detect(read_for(detector, PageRef(Path(file))))
    return found, (perf_counter() - wall, process_time() - cpu)


def _plain(found: Detections, labels: Sequence[str]) -> dict[str, Any]:
    return {
        "boxes": found.boxes.tolist(),
        "scores": found.scores.tolist(),
        "labels": [labels[number] for number in found.labels],
    }
