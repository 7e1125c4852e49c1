"""Toy pages for tests: lines of text, hatched pictures and big initials, with exact boxes."""

from pathlib import Path

import cv2
import numpy as np

from doc_detect.classes import class_index
from doc_detect.coco import CocoPage, write_coco


def toy_page(generator: np.random.Generator, height: int = 320) -> tuple[np.ndarray, list[tuple[str, list[float]]]]:
    """Return clean ink, uint8 [H, W, 3], and its objects."""
    width = round(height * 0.7)
    ink = np.full((height, width, 3), 255, np.uint8)
    for y in range(height // 10, height * 9 // 10, max(4, height // 40)):
        ink[y : y + 2, width // 10 : width * 9 // 10] = generator.choice([60, 255], (1, width * 9 // 10 - width // 10, 1))
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


def write_toy_pages(folder: Path, train: int = 12, val: int = 6, height: int = 320) -> Path:
    """Write a folder as ``synth --ink`` does."""
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
