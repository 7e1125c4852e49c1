"""Write a detector as ONNX, and check that it answers as before.

The graph holds normalisation, backbone, pyramid, heads and the decoding of boxes; suppression is done outside, by
:mod:`doc_detect.postprocess`. Weights are stored in half precision and computed with in single precision: half
the size, the same answers to within the rounding of 11 bits.
"""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from seminar_common.files import atomic_path

if TYPE_CHECKING:
    from doc_detect.detectors.fcos import FCOSDetector

OPSET = 17
METADATA_KEY = "doc_detect"
CANDIDATES = 1000
"""Positions that leave the graph: those with the highest score of any class."""
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
        order = torch.topk(best, count).indices
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
        "pad_multiple": 32,
        "score_threshold": config.score_threshold,
        "nms_iou": config.nms_iou,
        "max_detections": config.max_detections,
    }


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
    for position, cast in enumerate(casts):
        model.graph.node.insert(position, cast)
