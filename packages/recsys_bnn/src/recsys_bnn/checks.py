"""This topic's lines in `seminar doctor`."""

from pathlib import Path

from recsys_bnn.data.criteo_log import CRITEO_FILES
from recsys_bnn.runtime.native import summary
from seminar_common.doctor import Check


def checks(data: Path | None) -> list[Check]:
    """Return which of the recommender's data sets the folder ``data`` holds, and what runs packed models here."""
    found = next((name for name in CRITEO_FILES if data is not None and (data / name).is_file()), None)
    state = found or f"none; expected one of {', '.join(CRITEO_FILES)} in the data folder"
    engine, *kernels = summary.lines()
    return [
        Check("data set", "Criteo log", state, found is not None),
        Check("engine", engine.name, engine.state, engine.good),
        *(Check("kernel", line.name, line.state, line.good) for line in kernels),
    ]
