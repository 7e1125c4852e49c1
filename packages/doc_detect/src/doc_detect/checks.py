"""This topic's lines in `seminar doctor`."""

from importlib.util import find_spec
from pathlib import Path

from seminar_common.doctor import Check

HISTORICAL = "documents/historical/test.json"


def checks(data: Path | None) -> list[Check]:
    """Return which detector, engines, fonts and data sets there are; ``data`` is the folder to look in."""
    return [_model(), _detectron2(), _fonts(), _historical(data)]


def _model() -> Check:
    from doc_detect.detectors.onnx import default_model
    from seminar_common.errors import UserError

    try:
        path = default_model()
    except UserError as error:
        return Check("engine", "default detector", str(error), False)
    return Check("engine", "default detector", f"{path.name}, {path.stat().st_size / 1e6:.1f} MB, ONNX")


def _detectron2() -> Check:
    found = find_spec("detectron2") is not None
    return Check(
        "engine", "detectron2", "installed" if found else "not installed; torchvision is used", found
    )


def _fonts() -> Check:
    """Count the families that `synth` would use: the more, the better a detector trained on them."""
    from doc_detect.synthesis.fonts import STYLES, find_faces

    faces = find_faces()
    families = {style: len({face.family for face in faces if face.style == style}) for style in STYLES}
    counts = ", ".join(f"{count} {style}" for style, count in families.items())
    period = families["blackletter"] > 2 and families["hand"] > 2
    return Check("data set", "font families", counts, period)


def _historical(data: Path | None) -> Check:
    found = data is not None and (data / HISTORICAL).is_file()
    state = (
        HISTORICAL
        if found
        else f"none; expected {HISTORICAL} in the data folder (see docs/reference/data.md)"
    )
    return Check("data set", "historical pages", state, found)
