"""A contact sheet: many pages on one picture, with their boxes."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from doc_detect.classes import CLASSES
from seminar_common import files
from seminar_common.errors import UserError

COLOURS = (
    (214, 39, 40), (44, 160, 44), (255, 127, 14), (227, 60, 200), (120, 150, 210), (140, 200, 220), (23, 140, 150),
    (188, 160, 34), (148, 103, 189), (110, 110, 190), (160, 190, 120), (120, 120, 120), (200, 150, 80),
)  # fmt: skip
"""RGB colour of each class of ``CLASSES``."""


def read_rgb(path: Path) -> np.ndarray:
    """Read a picture that the generator wrote; RGB [H, W, 3] uint8.

    Raises:
        UserError: it can't be read.
    """
    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise UserError(f"{path}: not a picture any more; remove it and run `synth` again")
    return np.ascontiguousarray(pixels[..., ::-1])


def with_boxes(image: np.ndarray, objects: list[Any]) -> np.ndarray:
    """Return a copy of an RGB picture with a box round each (name, xyxy): thick for what is no text."""
    image = image.copy()
    for name, box in objects:
        number = CLASSES.index(name)
        x0, y0, x1, y1 = (round(value) for value in box)
        cv2.rectangle(image, (x0, y0), (x1, y1), COLOURS[number], 4 if number < 4 else 1)
    return image


def write_contact_sheet(
    path: Path, folder: Path, records: list[dict[str, Any]], rows: int = 5, columns: int = 8, cell: int = 230
) -> None:
    """Write a JPEG of evenly chosen pages.

    Args:
        path: Where to write it.
        folder: Where the pictures are.
        records: Pages with ``file_name`` and ``objects``.
        rows: Rows of the sheet.
        columns: Columns of the sheet.
        cell: Width of a page's cell, px.
    """
    chosen = [records[i] for i in np.unique(np.linspace(0, len(records) - 1, rows * columns).astype(int))]
    height = int(cell * 1.35)
    sheet = np.full((height * -(-len(chosen) // columns), cell * columns, 3), 235, np.uint8)
    for number, record in enumerate(chosen):
        image = with_boxes(read_rgb(folder / record["file_name"]), record["objects"])
        scale = min((cell - 8) / image.shape[1], (height - 8) / image.shape[0])
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        y, x = number // columns * height + 4, number % columns * cell + 4
        sheet[y : y + image.shape[0], x : x + image.shape[1]] = image
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(sheet[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 85])
    with files.atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())
