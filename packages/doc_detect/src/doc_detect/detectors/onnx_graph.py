"""A detector as an ONNX graph.

The graph holds normalisation, backbone, pyramid, heads and the decoding of boxes; suppression is done outside, by
:mod:`doc_detect.detectors.postprocess`. Weights are stored in half precision and computed with in single precision: half
the size, the same answers to within the rounding of 11 bits.
"""

import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from doc_detect.detectors.base import Detector
from doc_detect.detectors.onnx import METADATA_KEY
from seminar_common.files import atomic_path

OPSET = 17
CANDIDATES = 1000
"""Positions that leave the graph: those with the highest score of any class."""
HALF_SIZES = 256
"""Tensors with fewer values stay in single precision."""
Dense = Callable[[Tensor], tuple[Tensor, Tensor]]


class _Graph(nn.Module):
    """One padded page to boxes [N, 4] and scores [N, C] of the most promising positions."""

    def __init__(self, detector: Detector, dense: Dense):
        super().__init__()
        self.detector, self.dense = detector, dense

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        boxes, scores = self.dense(image)
        boxes, scores = boxes[0], scores[0]
        best = scores.amax(dim=1)
        count = torch.minimum(torch.tensor(CANDIDATES), torch._shape_as_tensor(best)[0])
        order = torch.topk(best, cast(int, count)).indices  # a tensor: traced as part of the graph
        return boxes[order], scores[order]


def write_onnx(detector: Detector, dense: Dense, path: Path, card: Mapping[str, Any]) -> None:
    """Write ``detector`` to ``path`` atomically.

    Input ``image``: float32 [1, 3, H, W], RGB in 0..1, H and W any multiples of 32; a page is resized to the
    longest side ``size`` and padded with black on the right and below. Outputs ``boxes`` [N, 4], xyxy in input
    pixels, and ``scores`` [N, C]. The metadata entry ``doc_detect`` is JSON: how to prepare and to suppress, and
    the facts of ``card``.

    Args:
        detector: What is written, its weights and its settings.
        dense: Its method that gives the boxes [B, N, 4] and scores [B, N, C] of all positions.
        path: The file.
        card: Facts of its making.
    """
    detector = detector.eval()
    example = torch.rand(1, 3, 96, 64).contiguous(memory_format=torch.channels_last)
    with atomic_path(path) as temporary:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tracing warns of shapes that are constant on purpose
            torch.onnx.export(
                _Graph(detector, dense).eval(),  # as it is now, so it is left
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


def _facts(detector: Detector) -> dict[str, Any]:
    config = detector.config
    kept = {"kept": list(config.kept), "kept_levels": config.kept_levels} if config.kept else {}
    return {
        **kept,
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
    used = {output.name for output in graph.output}
    for node in reversed(list(graph.node)):  # whoever uses a node comes after it
        if used.isdisjoint(node.output):
            graph.node.remove(node)
        else:
            used.update(node.input)
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
