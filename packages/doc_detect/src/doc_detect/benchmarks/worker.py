"""The measuring process of ``bench``: one fresh process for each number of threads, or for one engine's memory.

Engines take turns page by page, so that whatever else the machine does falls on all of them alike.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from doc_detect.detectors.onnx import Detections, OnnxDetector, PageDetector, read_for
from doc_detect.pages import PageRef


@dataclass(frozen=True)
class Task:
    """What to measure."""

    engines: Mapping[str, str]
    """``onnx``, ``torch`` or ``rapid-layout``, and the file or run folder of each."""
    files: tuple[str, ...]
    threads: int
    repeats: int


@dataclass(frozen=True)
class Answer:
    """What was measured."""

    wall: Mapping[str, list[float]]
    """Seconds of each page by engine, the median of all repeats, from the file to its boxes."""
    cpu: Mapping[str, list[float]]
    """CPU seconds likewise, of all threads together."""
    found: Mapping[str, list[dict[str, Any]]]
    """What each engine found on each page: boxes (xyxy in the page's pixels), scores, labels (names)."""
    peak_rss_mb: float
    """Most memory of the whole process."""


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


def measure(task: Task) -> Answer:
    """Work on every page with every engine, ``task.repeats`` times after one round to warm up."""
    import cv2

    from seminar_common.cost import peak_rss_mb

    cv2.setNumThreads(task.threads)
    detectors = {engine: open_engine(engine, source, task.threads) for engine, source in task.engines.items()}
    for detector in detectors.values():
        for file in task.files[:2]:
            _work(detector, file)
    times = np.zeros((len(detectors), len(task.files), task.repeats, 2))
    found: dict[str, list[dict[str, Any]]] = {engine: [] for engine in detectors}
    for repeat in range(task.repeats):
        for number, file in enumerate(task.files):
            for row, (engine, detector) in enumerate(detectors.items()):
                page, times[row, number, repeat] = _work(detector, file)
                if repeat == 0:
                    found[engine].append(_plain(page, detector.labels))
    medians = np.median(times, axis=2)
    wall, cpu = ({e: medians[i, :, part].tolist() for i, e in enumerate(detectors)} for part in (0, 1))
    return Answer(wall, cpu, found, peak_rss_mb())


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


if __name__ == "__main__":
    request = json.load(sys.stdin)
    Path(sys.argv[1]).write_text(json.dumps(asdict(measure(Task(**request)))), encoding="utf-8")
