"""ONNX Runtime as a rival: MLPs and interaction as one graph, with the lookup in NumPy or inside.

Layers are ``Gemm`` and ``LeakyRelu``, and pairs are gathered from rows of the transposed products. Both are the fastest
of the forms that were tried: ``Gather`` along the last axis, which exporters write, costs half as much again.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from recsys_bnn.benchmarks.float_model import FloatModel, Linear, first_order_table, float_model
from recsys_bnn.runtime.spec import ModelSpec

GRAPH, TABLE, WIDE = "model.onnx", "table.npy", "first_order.npy"
_OPSET, _IR = 18, 10
_OUTPUT = "logits"

Call = Callable[..., np.ndarray]


def export(
    spec: ModelSpec, folder: Path, table: Path, lookup_inside: bool = False, int8: bool = False
) -> None:
    """Write the graph and the table.

    Args:
        spec: A float model.
        folder: Where to.
        table: Its merged table as a file of NumPy, which the float rivals share.
        lookup_inside: Whether the graph looks rows up.
        int8: Quantize the layers dynamically: 8-bit weights, 8-bit inputs by the range of each batch.
    """
    model, added = float_model(spec), first_order_table(spec)
    (folder / TABLE).hardlink_to(table)
    if added is not None:
        np.save(folder / WIDE, added)
    np.save(folder / "offsets.npy", model.offsets)
    graph = _Graph(model, lookup_inside, added is not None).build(folder / TABLE)
    if not int8:
        onnx.save(graph, folder / GRAPH)
        return
    plain = folder / "float.onnx"
    onnx.save(graph, plain)
    logging.disable(logging.WARNING)  # it advises a preparation that changes nothing for such a graph
    # Without VNNI sums of two products saturate at 16 bits; the documents then advise weights of 7 bits.
    quantize_dynamic(
        plain, folder / GRAPH, per_channel=True, reduce_range=not _has_vnni(), weight_type=QuantType.QInt8
    )
    logging.disable(logging.NOTSET)
    plain.unlink()


def _has_vnni() -> bool:
    try:
        return "vnni" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


class _Graph:
    """Writes the nodes of a model."""

    def __init__(self, model: FloatModel, lookup_inside: bool, wide: bool):
        self.model, self.lookup_inside, self.wide = model, lookup_inside, wide
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def build(self, table: Path) -> onnx.ModelProto:
        """Return the whole graph; ``table`` stands beside it."""
        vectors = self.model.vectors
        x = self._integers()
        dense = self._mlp("bottom", x, self.model.bottom)
        rows = self._lookup(table) if self.lookup_inside else "rows"
        one = self._node("Unsqueeze", dense, self._constant("one", np.array([1])))
        every = self._node("Concat", one, rows, axis=1)
        products = self._node("MatMul", every, self._node("Transpose", every, perm=[0, 2, 1]))
        flat = self._node(
            "Reshape",
            self._node("Transpose", products, perm=[1, 2, 0]),
            self._constant("flat", np.array([vectors**2, -1])),
        )
        kept = self._node("Gather", flat, self._constant("pairs", self.model.pairs), axis=0)
        pairs = self._node("Transpose", kept, perm=[1, 0])
        logits = self._mlp("top", self._node("Concat", dense, pairs, axis=1), self.model.top)
        if self.wide:
            logits = self._node("Add", logits, self._first_order(x))
        self.nodes.append(helper.make_node("Identity", [logits], [_OUTPUT]))
        return self._finish()

    def _node(self, kind: str, *names: str, **attributes: Any) -> str:
        output = f"{kind}-{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [output], **attributes))
        return output

    def _constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def _integers(self) -> str:
        missing = self._node("IsNaN", "integers")
        x = self._node("Where", missing, self._constant("zero", np.zeros((), np.float32)), "integers")
        if not self.model.missing_flags:
            return x
        return self._node("Concat", x, self._node("Cast", missing, to=TensorProto.FLOAT), axis=1)

    def _mlp(self, name: str, x: str, layers: tuple[Linear, ...]) -> str:
        for index, layer in enumerate(layers):
            weight = self._constant(f"{name}.{index}.weight", layer.weight.T)
            x = self._node("Gemm", x, weight, self._constant(f"{name}.{index}.bias", layer.bias))
            if layer.slope is not None:
                x = self._node("LeakyRelu", x, alpha=layer.slope)
        return x

    def _lookup(self, table: Path) -> str:
        rows = np.load(table, mmap_mode="r")
        tensor = TensorProto(name="table", data_type=TensorProto.FLOAT, dims=rows.shape)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", table.name), ("offset", rows.offset), ("length", rows.nbytes)):
            tensor.external_data.add(key=key, value=str(value))
        self.constants.append(tensor)
        places = self._node("Add", "ids", self._constant("offsets", self.model.offsets))
        return self._node("Gather", "table", places, axis=0)

    def _first_order(self, x: str) -> str:
        assert self.model.first_weights is not None
        weights = self._constant("first.weight", self.model.first_weights[:, None])
        bias = self._constant("first.bias", np.array([self.model.first_bias], np.float32))
        return self._node("Add", self._node("Gemm", x, weights, bias), "added")

    def _finish(self) -> onnx.ModelProto:
        fields, dim = len(self.model.offsets), len(self.model.bottom[-1].bias)
        lookup = (
            ("ids", TensorProto.INT64, [fields])
            if self.lookup_inside
            else ("rows", TensorProto.FLOAT, [fields, dim])
        )
        given = [("integers", TensorProto.FLOAT, [self.model.integers]), lookup]
        given += [("added", TensorProto.FLOAT, [1])] if self.wide else []
        graph = helper.make_graph(
            self.nodes,
            "dlrm",
            [helper.make_tensor_value_info(name, kind, ["batch", *shape]) for name, kind, shape in given],
            [helper.make_tensor_value_info(_OUTPUT, TensorProto.FLOAT, ["batch", 1])],
            self.constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)


def open_model(folder: Path, threads: int, lookup_inside: bool = False) -> Call:
    """Return what scores integers, float32 [B, I], and ids, int64 [B, F], with so many threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        os.fspath(folder / GRAPH), options, providers=["CPUExecutionProvider"]
    )
    offsets = np.load(folder / "offsets.npy")
    added = np.load(folder / WIDE) if (folder / WIDE).exists() else None
    table = None if lookup_inside else np.load(folder / TABLE)

    def score(integers: np.ndarray, ids: np.ndarray) -> np.ndarray:
        feed: dict[str, np.ndarray] = {"integers": integers}
        if table is None:
            feed["ids"] = ids
        else:
            feed["rows"] = table.take(ids + offsets, axis=0)
        if added is not None:
            feed["added"] = added.take(ids + offsets).sum(axis=1, keepdims=True)
        return np.asarray(session.run([_OUTPUT], feed)[0])[:, 0]

    return score


def inputs(integers: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows as they cost ONNX Runtime least."""
    return integers, ids.astype(np.int64)
