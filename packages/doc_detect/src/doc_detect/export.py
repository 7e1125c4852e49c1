"""Write a detector as ONNX, and check that it answers as before.

The graph holds normalisation, backbone, pyramid, heads and the decoding of boxes; suppression is done outside, by
:mod:`doc_detect.postprocess`. Weights are stored in half precision and computed with in single precision: half
the size, the same answers to within the rounding of 11 bits.
"""

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from doc_detect.config import ExportSettings
from seminar_common import runs
from seminar_common.checkpoints import load_tensors
from seminar_common.errors import UserError
from seminar_common.files import atomic_path, refuse_existing
from seminar_common.progress import say
from seminar_common.runs import Run

if TYPE_CHECKING:
    from doc_detect.detectors.base import Detector
    from doc_detect.detectors.fcos import FCOSDetector

OPSET = 17
METADATA_KEY = "doc_detect"
CANDIDATES = 1000
"""Positions that leave the graph: those with the highest score of any class."""
TOLERANCE = 0.01
"""Difference of AP between PyTorch and ONNX that is still taken for the same."""
HALF_SIZES = 256
"""Tensors with fewer values stay in single precision."""


class _Dense(nn.Module):
    """One padded page to boxes [N, 4] and scores [N, C] of the most promising positions."""

    def __init__(self, detector: "FCOSDetector"):
        super().__init__()
        self.detector = detector

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        boxes, scores = self.detector.dense(image)
        boxes, scores = boxes[0], scores[0]
        best = scores.amax(dim=1)
        count = torch.minimum(torch.tensor(CANDIDATES), torch._shape_as_tensor(best)[0])
        order = torch.topk(best, cast(int, count)).indices  # a tensor: traced as part of the graph
        return boxes[order], scores[order]


def write_onnx(detector: "FCOSDetector", path: Path, card: Mapping[str, Any]) -> None:
    """Write ``detector`` to ``path`` atomically.

    Input ``image``: float32 [1, 3, H, W], RGB in 0..1, H and W any multiples of 32; a page is resized to the
    longest side ``size`` and padded with black on the right and below. Outputs ``boxes`` [N, 4], xyxy in input
    pixels, and ``scores`` [N, C]. The metadata entry ``doc_detect`` is JSON: how to prepare and to suppress, and
    the facts of ``card``.
    """
    detector = detector.eval()
    example = torch.rand(1, 3, 96, 64).contiguous(memory_format=torch.channels_last)
    with atomic_path(path) as temporary:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tracing warns of shapes that are constant on purpose
            torch.onnx.export(
                _Dense(detector),
                (example,),
                temporary,
                input_names=["image"],
                output_names=["boxes", "scores"],
                dynamic_axes={
                    "image": {2: "height", 3: "width"},
                    "boxes": {0: "candidates"},
                    "scores": {0: "candidates"},
                },
                opset_version=OPSET,
                dynamo=False,  # the other exporter needs a package more
            )
        model = onnx.load(temporary)
        fold_pads(model)
        store_in_half(model)
        entry = model.metadata_props.add()
        entry.key, entry.value = METADATA_KEY, json.dumps({**_facts(detector), **card})
        onnx.checker.check_model(model)
        onnx.save(model, temporary)


def _facts(detector: "FCOSDetector") -> dict[str, Any]:
    config = detector.config
    return {
        "labels": list(config.labels),
        "size": config.size,
        "trim": config.trim,
        "pad_multiple": 32,
        "score_threshold": config.score_threshold,
        "nms_iou": config.nms_iou,
        "max_detections": config.max_detections,
    }


def fold_pads(model: onnx.ModelProto) -> None:
    """Give convolutions the padding of the nodes before them.

    TensorFlow's SAME padding depends on the size; with sides that are multiples of 32 every strided convolution
    sees an even size, and so the padding is constant: floor((k - s) / 2) before, the rest after.
    """
    graph = model.graph
    for pad in [node for node in graph.node if node.op_type == "Pad"]:
        users = [node for node in graph.node if pad.output[0] in node.input]
        if not all(node.op_type == "Conv" for node in users):
            continue
        for conv in users:
            facts = {attribute.name: attribute for attribute in conv.attribute}
            total = max(facts["kernel_shape"].ints[0] - facts["strides"].ints[0], 0)
            before, after = total // 2, total - total // 2
            del facts["pads"].ints[:]
            facts["pads"].ints.extend([before, before, after, after])
            conv.input[0] = pad.input[0]
        graph.node.remove(pad)
    _drop_unused(graph)


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Remove nodes and weights that nothing uses, from the end to the start."""
    outputs = {output.name for output in graph.output}
    for node in reversed(list(graph.node)):
        used = {name for other in graph.node for name in other.input}
        if not outputs & set(node.output) and not used & set(node.output):
            graph.node.remove(node)
    used = {name for node in graph.node for name in node.input}
    for weight in [weight for weight in graph.initializer if weight.name not in used]:
        graph.initializer.remove(weight)


def store_in_half(model: onnx.ModelProto) -> None:
    """Replace large float32 weights by float16 ones followed by a cast; runtimes fold the casts when they load."""
    casts = []
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        if weight.data_type != TensorProto.FLOAT or values.size < HALF_SIZES:
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(
            helper.make_node("Cast", [f"{name}.half"], [name], name=f"{name}.cast", to=TensorProto.FLOAT)
        )
    for position, node in enumerate(casts):
        model.graph.node.insert(position, node)


@dataclass(frozen=True)
class Parity:
    """How far an exported detector's answers are from those of PyTorch, on the same pages."""

    pages: int
    ap: float
    """Mean AP in PyTorch."""
    ap_onnx: float
    """Mean AP of the file."""
    largest_score: float
    """Largest difference of the best score of a page."""


def export(settings: ExportSettings) -> Parity | None:
    """Write the detector of a run as ONNX and compare the two on labelled pages, where there are any.

    Raises:
        UserError: the run is missing or unfinished, its engine has no ONNX form, the file exists, or the answers
            differ by more than a point of AP.
    """
    from doc_detect.trained import load_detector, stored_settings

    run = runs.open_run(settings.run)
    refuse_existing(settings.out)
    detector = load_detector(run)
    detector.export(settings.out, model_card(run))
    size = settings.out.stat().st_size / 1e6
    say(f"wrote {settings.out}: {size:.2f} MB")
    trained = stored_settings(run)
    pages = settings.data or trained.data
    if pages is None or not pages.exists():
        say("not compared with PyTorch: give labelled pages by --data")
        return None
    parity = compare(detector, settings.out, pages, settings.pages)
    say(
        f"on {parity.pages} pages: AP {100 * parity.ap:.2f}% in PyTorch, {100 * parity.ap_onnx:.2f}% in ONNX; "
        f"best scores of a page differ by at most {parity.largest_score:.4f}"
    )
    if abs(parity.ap - parity.ap_onnx) > TOLERANCE:
        raise UserError(f"{settings.out}: differs from PyTorch by more than a point of AP; do not use it")
    return parity


def model_card(run: Run) -> dict[str, Any]:
    """Return what the file should say of its making: no paths, nothing of the machine."""
    from doc_detect.trained import WEIGHTS, stored_settings

    settings, config = stored_settings(run), run.config()
    _, facts = load_tensors(run.checkpoints / WEIGHTS)
    logged = [record["cpu_s"] for record in run.logged() if "cpu_s" in record]
    return {
        "name": settings.name,
        "architecture": settings.model.architecture,
        "backbone": settings.model.backbone,
        "trained_on": config.get("dataset", ""),
        "training_pages": config.get("pages", 0),
        "steps": facts.get("step", settings.optimization.steps),
        "cpu_seconds": logged[-1] if logged else 0,
        "seed": settings.seed,
        "licence": "Apache-2.0",
    }


def compare(detector: "Detector", path: Path, data: Path, limit: int) -> Parity:
    """Measure a detector and its ONNX file on the first ``limit`` validation pages of ``data``."""
    from doc_detect.coco_metrics import SIZES, precision_table
    from doc_detect.data import open_validation
    from doc_detect.evaluate import OnnxFinder, TorchFinder, find_on_pages, measured_labels

    pages = open_validation(data)
    figures, best = [], []
    for finder in (TorchFinder(detector, torch.device("cpu")), OnnxFinder(path)):
        pairs = list(find_on_pages(finder, pages, limit))
        truth, found = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        labels = measured_labels(truth, pages, detector.labels)
        table = precision_table(truth, found, labels)[..., list(SIZES).index("unfiltered")]
        figures.append(float(table[table >= 0].mean()) if (table >= 0).any() else 0.0)
        best.append([page.scores.max(initial=0.0) for page in found if page.scores is not None])
    difference = float(np.abs(np.subtract(*best)).max(initial=0.0))
    return Parity(len(best[0]), *figures, difference)
