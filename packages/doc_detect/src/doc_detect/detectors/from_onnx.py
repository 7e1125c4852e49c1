"""An exported file back as a PyTorch detector that can be trained on.

The graph of :mod:`doc_detect.detectors.onnx_graph` holds every weight: convolutions with the batch norms folded into
them, and the scale and shift of group norms. Both are taken in the order in which they compute. What was loaded then
answers for a picture, as the file does, so that no file of another architecture passes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from doc_detect.detectors.base import build_detector
from doc_detect.detectors.fcos import STRIDES, FCOSDetector
from doc_detect.detectors.onnx import METADATA_KEY, OnnxDetector
from doc_detect.detectors.scoring import Scoring
from doc_detect.settings.training import ModelConfig
from seminar_common.errors import UserError
from seminar_common.folding import in_order
from seminar_common.seeds import numpy_generator

HEADS = 2
"""Classes, and edges with their quality: each has as many convolutions with a group norm, for every level."""
CLOSE = 1e-3
"""Difference of a score, or of an edge as a share of the picture's side, that rounding can make."""
SEEN = (96, 64)
"""Height and width of the picture for which the answers of file and detector are compared."""
Pairs = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Loaded:
    """A detector from a file."""

    detector: FCOSDetector
    """In evaluation, its batch norms folded; ``detector.config`` says what it is."""
    scoring: Scoring
    """What its scores mean, and the margin that people leave."""
    weights: str
    """Digest of the file."""
    card: Mapping[str, Any]
    """What the file says of its making."""


def load_onnx(path: Path) -> Loaded:
    """Return the detector of an ONNX file that ``doc-detect export`` wrote.

    Raises:
        UserError: the file is missing, none of this package's, or holds another architecture.
    """
    runtime = OnnxDetector(path)  # says what is wrong with a file that is none
    model = onnx.load(path)
    card = json.loads(next(entry.value for entry in model.metadata_props if entry.key == METADATA_KEY))
    try:
        graph = _Graph(model.graph)
        detector = cast(FCOSDetector, build_detector(_config(runtime, card, graph)))
        _fill(detector, graph)
        _compare(runtime, detector)
    except (ValueError, UserError) as error:
        raise UserError(
            f"{path}: not a detector that can be trained further ({error}); give an FCOS that `doc-detect export` wrote"
        ) from error
    return Loaded(detector, runtime.scoring, runtime.identity()["weights_file"], card)


class _Graph:
    """What the nodes of a graph compute with, in their order; a node that computes again is there again."""

    def __init__(self, graph: onnx.GraphProto):
        self._made = {output: node for node in graph.node for output in node.output}
        self._users: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._users.setdefault(name, []).append(node)
        self._stored = {weight.name: weight for weight in graph.initializer}
        self.convolutions: Pairs = []
        """Weight and bias of each convolution."""
        self.norms: Pairs = []
        """Scale and shift of each group norm."""
        for node in graph.node:
            if node.op_type == "Conv":
                self.convolutions.append(self._convolution(node))
            elif node.op_type == "InstanceNormalization":
                self.norms.append(self._norm(node))

    def _convolution(self, node: onnx.NodeProto) -> tuple[np.ndarray, np.ndarray]:
        weight = self._value(node.input[1])
        return weight, self._value(node.input[2]) if len(node.input) > 2 else np.zeros(
            len(weight), np.float32
        )

    def _norm(self, node: onnx.NodeProto) -> tuple[np.ndarray, np.ndarray]:
        """Return what the nodes after a normalisation multiply by and add."""
        reshaped = self._user(node, "Reshape")
        multiplied = self._user(reshaped, "Mul")
        added = self._user(multiplied, "Add")
        scale, shift = self._value(multiplied.input[1]), self._value(added.input[1])
        return scale.reshape(-1), shift.reshape(-1)

    def _user(self, node: onnx.NodeProto, kind: str) -> onnx.NodeProto:
        for user in self._users.get(node.output[0], []):
            if user.op_type == kind:
                return user
        raise ValueError(f"its {node.op_type} is not followed by a {kind}")

    def _value(self, name: str) -> np.ndarray:
        """Return a weight in single precision, as it is stored or behind a cast."""
        if name in self._stored:
            return numpy_helper.to_array(self._stored[name]).astype(np.float32)
        node = self._made.get(name)
        if node is not None and node.op_type in ("Cast", "Identity"):
            return self._value(node.input[0])
        raise ValueError(f"its {name} is no stored weight")


def _config(runtime: OnnxDetector, card: Mapping[str, Any], graph: _Graph) -> ModelConfig:
    """Return the settings of the detector in a file, from its metadata and from its weights."""
    facts = runtime.facts
    if card.get("architecture") != "fcos" or "backbone" not in card:
        raise ValueError("it does not say that it is an FCOS, and on which backbone")
    if not graph.norms:
        raise ValueError("its heads have no group norms")
    kept, levels = tuple(card.get("kept", ())), int(card.get("kept_levels", len(STRIDES)))
    seen = len(STRIDES) + (levels if kept else 0)
    return ModelConfig(
        backbone=str(card["backbone"]),
        weights="none",
        labels=facts.labels,
        channels=len(graph.norms[0][0]),
        head_convs=len(graph.norms) // (HEADS * seen),
        kept=kept,
        kept_levels=levels,
        size=facts.size,
        trim=facts.trim,
        score_threshold=facts.score_threshold,
        nms_iou=facts.nms_iou,
        max_detections=facts.max_detections,
        folded=True,
    )


@torch.no_grad()
def _fill(detector: FCOSDetector, graph: _Graph) -> None:
    """Copy the weights of ``graph`` into ``detector``."""
    for kind, name, stored in (
        (nn.Conv2d, "convolutions", graph.convolutions),
        (nn.GroupNorm, "group norms", graph.norms),
    ):
        modules = in_order(detector.eval(), kind, detector.dense)
        if len(modules) != len(stored):
            raise ValueError(f"it has {len(stored)} {name}, not {len(modules)}")
        for module, (weight, bias) in zip(modules, stored, strict=True):
            _copy(module.weight, weight)
            _copy(module.bias, bias)


def _copy(parameter: Any, values: np.ndarray) -> None:
    if not isinstance(parameter, Tensor) or tuple(parameter.shape) != values.shape:
        here = "no bias" if parameter is None else f"{tuple(parameter.shape)}"
        raise ValueError(f"a weight has the shape {values.shape}, not {here}")
    parameter.copy_(torch.from_numpy(values))


@torch.inference_mode()
def _compare(runtime: OnnxDetector, detector: FCOSDetector) -> None:
    """Raise a ValueError unless both give the same answers for a picture."""
    picture = numpy_generator(0, "from_onnx").random((1, 3, *SEEN), np.float32)
    ours = [answer[0].numpy() for answer in detector.dense(torch.from_numpy(picture))]
    theirs = runtime.dense(picture)
    for one, other, most in zip(ours, theirs, (CLOSE * max(SEEN), CLOSE), strict=True):
        # The graph gives its positions in another order: each column is compared by its values alone.
        if one.shape != other.shape or not np.allclose(np.sort(one, 0), np.sort(other, 0), atol=most):
            raise ValueError("its graph computes something else")
