import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from doc_detect.classes import class_index
from doc_detect.coco import CocoPage, write_coco

COLOURS = {"graphic": (200, 0, 0), "drop_capital": (0, 0, 200), "caption": (0, 200, 0)}
"""What the tiny detector takes for an object of each class: the extent of all pixels of one colour."""


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX detector with exact boxes: one for each class, round all pixels of the class's colour."""
    path: Path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    write_tiny_model(path)
    return path


@pytest.fixture
def paint():
    """Return a function that makes a page: white with a rectangle (x1, y1, x2, y2) for each class."""
    return paint_page


def paint_page(width: int, height: int, **rectangles: tuple[int, int, int, int]) -> np.ndarray:
    page = np.full((height, width, 3), 255, np.uint8)
    for label, (x1, y1, x2, y2) in rectangles.items():
        page[y1:y2, x1:x2] = COLOURS[label]
    return page


@pytest.fixture(scope="session")
def write_detector() -> Callable[..., None]:
    """Return a function that writes a detector of painted blocks with other facts in its card."""
    return write_tiny_model


def write_tiny_model(path: Path, size: int = 256, **facts: object) -> None:
    import onnx
    from onnx import TensorProto, helper

    nodes, constants = (
        [],
        {"one": np.float32(1), "half": np.float32(0.5), "end_x": np.int64(3), "end_y": np.int64(2)},
    )

    def node(operator: str, inputs: list[str], output: str, **attributes: object) -> str:
        nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    boxes, scores = [], []
    for number, (label, colour) in enumerate(COLOURS.items()):
        # The colour's channel is bright and the other two are dark.
        constants[f"{label}_weights"] = (
            np.where(np.array(colour) > 0, 1, -1).astype(np.float32).reshape(1, 3, 1, 1)
        )
        signal = node("Conv", ["image", f"{label}_weights"], f"{label}_signal")
        mask = node(
            "Cast",
            [node("Greater", [signal, "half"], f"{label}_bool")],
            f"{label}_mask",
            to=TensorProto.FLOAT,
        )
        ends = [_extent(node, mask, label, axis, constants) for axis in ("x", "y")]
        sides = [ends[0][0], ends[1][0], ends[0][1], ends[1][1]]
        boxes.append(node("Concat", sides, f"{label}_box", axis=0))
        top = node("ReduceMax", [mask], f"{label}_top", keepdims=0)
        constants[f"{label}_hot"] = np.eye(len(COLOURS), dtype=np.float32)[number] * np.float32(0.9)
        scores.append(node("Mul", [top, f"{label}_hot"], f"{label}_score"))
    constants["box_shape"], constants["score_shape"] = np.array([-1, 4]), np.array([-1, len(COLOURS)])
    node("Reshape", [node("Concat", boxes, "flat_boxes", axis=0), "box_shape"], "boxes")
    node("Reshape", [node("Concat", scores, "flat_scores", axis=0), "score_shape"], "scores")
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "H", "W"])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["N", 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", len(COLOURS)]),
        ],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    known = {"labels": list(COLOURS), "size": size, "pad_multiple": 32, "score_threshold": 0.05, **facts}
    helper.set_model_props(model, {"doc_detect": json.dumps(known)})
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _extent(node, mask: str, label: str, axis: str, constants: dict) -> tuple[str, str]:
    """Add nodes for the first and the last (exclusive) column or row that holds a pixel of ``mask``."""
    name = f"{label}_{axis}"
    constants[f"all_but_{axis}"] = np.array([0, 1, 2] if axis == "x" else [0, 1, 3])
    hit = node("ReduceMax", [mask, f"all_but_{axis}"], f"{name}_hit", keepdims=0)
    length = node("Shape", [hit], f"{name}_length")
    constants.setdefault("zero", np.int64(0))
    constants.setdefault("step", np.int64(1))
    constants.setdefault("first", np.array([0]))
    count = node("Squeeze", [length, "first"], f"{name}_count")
    index = node("Cast", [node("Range", ["zero", count, "step"], f"{name}_range")], f"{name}_index", to=1)
    total = node("Cast", [count], f"{name}_total", to=1)
    after = node("Add", [index, "one"], f"{name}_after")
    last = node("ReduceMax", [node("Mul", [hit, after], f"{name}_ends")], f"{name}_last", keepdims=1)
    before = node("Sub", [total, index], f"{name}_before")
    farthest = node(
        "ReduceMax", [node("Mul", [hit, before], f"{name}_starts")], f"{name}_farthest", keepdims=1
    )
    return node("Sub", [total, farthest], f"{name}_start"), last


@pytest.fixture(scope="session")
def write_toy_pages() -> Callable[..., Path]:
    """Return a function that writes a folder of toy pages as ``synth --ink`` does: text, hatched pictures, initials."""
    return _write_toy_pages


@pytest.fixture(scope="session")
def toy_pages(tmp_path_factory: pytest.TempPathFactory, write_toy_pages: Callable[..., Path]) -> Path:
    return write_toy_pages(tmp_path_factory.mktemp("toy") / "data", train=28, val=6, height=192)


@pytest.fixture(scope="session")
def toy_source(toy_pages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a detector that has learned the toy pages a little, so that its scores are no longer all alike.

    It is the same for all tests: copy it before you change it.
    """
    from doc_detect.settings.training import ModelConfig, OptimizationConfig, smoke
    from doc_detect.train import train

    chosen = dataclasses.replace(
        smoke(),
        data=toy_pages,
        out=tmp_path_factory.mktemp("runs") / "source",
        model=ModelConfig(size=128, head_convs=1, labels=("graphic", "drop_capital")),
        optimization=OptimizationConfig(steps=40, batch_size=2, sizes=(128,), ema_decay=0.5, warmup=0.1),
        checkpoint_every=40,
        validate_every=40,
        validation_pages=6,
    )
    return train(chosen).folder


@pytest.fixture
def without_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the pages for people, which take longer than a toy run; tables of results are written."""
    monkeypatch.setattr("seminar_common.publish.html_page", lambda *args: "")
    monkeypatch.setattr("doc_detect.adapt.write_changes", lambda *args: None)


@pytest.fixture
def without_files(without_reports: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the ONNX file of an adaptation, too: its run folder has the same weights."""
    monkeypatch.setattr("doc_detect.detectors.fcos.FCOSDetector.export", lambda *args: None)


def toy_page(
    generator: np.random.Generator, height: int = 320
) -> tuple[np.ndarray, list[tuple[str, list[float]]]]:
    """Return clean ink, uint8 [H, W, 3], and its objects."""
    width = round(height * 0.7)
    ink = np.full((height, width, 3), 255, np.uint8)
    for y in range(height // 10, height * 9 // 10, max(4, height // 40)):
        ink[y : y + 2, width // 10 : width * 9 // 10] = generator.choice(
            [60, 255], (1, width * 9 // 10 - width // 10, 1)
        )
    objects = []
    if generator.random() < 0.8:
        w, h = generator.integers(width // 4, width // 2), generator.integers(height // 5, height // 3)
        x, y = generator.integers(width // 10, width // 3), generator.integers(height // 10, height // 3)
        ink[y : y + h, x : x + w] = 200
        ink[y : y + h : 4, x : x + w] = 0
        objects.append(("graphic", [float(x), float(y), float(x + w), float(y + h)]))
    side, x, y = height // 10, width // 10, int(generator.integers(height * 7 // 10, height * 8 // 10))
    ink[y : y + side, x : x + side] = 255
    cv2.circle(ink, (x + side // 2, y + side // 2), side // 2 - 2, (0, 0, 0), -1)
    objects.append(("drop_capital", [float(x), float(y), float(x + side), float(y + side)]))
    return ink, objects


def _write_toy_pages(folder: Path, train: int = 12, val: int = 6, height: int = 320) -> Path:
    generator = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    for split, count in (("train", train), ("val", val)):
        pages = []
        for number in range(count):
            ink, objects = toy_page(generator, height)
            name = f"{split}-{number:03d}.png"
            cv2.imwrite(str(folder / "images" / name), ink)
            boxes = np.array([box for _, box in objects])
            labels = np.array([class_index(name) for name, _ in objects])
            kind = "manuscript" if number % 3 == 2 else "print"
            facts = {"kind": kind, "book": f"book{number % 4}"}
            pages.append(CocoPage(name, ink.shape[1], ink.shape[0], boxes, labels, None, facts))
        write_coco(folder / f"{split}.json", pages, {"name": "synthetic", "ink": True})
    return folder
