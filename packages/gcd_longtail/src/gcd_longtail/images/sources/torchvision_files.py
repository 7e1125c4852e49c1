"""Sets of image files in the layout that torchvision unpacks them to: Caltech-101 and GTSRB."""

import csv
import io
from pathlib import Path

from gcd_longtail.images.sources.folder import FileSource, image_files, open_folder
from seminar_common.errors import UserError
from seminar_common.files import read_text


def open_caltech101(path: Path) -> FileSource:
    """Return Caltech-101's images, without the class of background pictures.

    Source: Li et al., "One-Shot Learning of Object Categories", PAMI 2006.

    Raises:
        UserError: ``path`` holds no ``101_ObjectCategories``.
    """
    folder = _first(path, ("101_ObjectCategories", "caltech101/101_ObjectCategories"), "Caltech-101")
    return open_folder(folder, leave_out=("BACKGROUND_Google",))


def open_gtsrb(path: Path) -> FileSource:
    """Return the German traffic signs; training images of one track of 30 frames share a group.

    Source: Stallkamp et al., "Man vs. Computer", Neural Networks 2012. A training file is named TRACK_FRAME.ppm.

    Raises:
        UserError: ``path`` holds no ``GTSRB/Training``, or a test image has no class.
    """
    folder = _first(path, ("Training", "GTSRB/Training", "gtsrb/GTSRB/Training"), "GTSRB").parent
    training = [f"Training/{key}" for key in image_files(folder / "Training")[0]]
    test, test_labels = _gtsrb_test(folder)
    labels = [key.split("/")[1] for key in training] + test_labels
    splits = ["train"] * len(training) + ["test"] * len(test)
    groups = [key.rsplit("/", 1)[1].split("_")[0] for key in training] + [""] * len(test)
    return FileSource(folder, [*training, *test], labels, splits, groups)


def _gtsrb_test(folder: Path) -> tuple[list[str], list[str]]:
    """Return names and classes of the test images; none if they were not unpacked."""
    images = folder / "Final_Test" / "Images"
    if not images.is_dir():
        return [], []
    truth = next(
        (f for f in (folder.parent / "GT-final_test.csv", folder / "GT-final_test.csv") if f.exists()), None
    )
    if truth is None:
        raise UserError(
            f"{images}: the classes of its images are missing; unpack GT-final_test.csv beside {folder}"
        )
    rows = csv.DictReader(io.StringIO(read_text(truth)), delimiter=";")
    classes = {row["Filename"]: f"{int(row['ClassId']):05d}" for row in rows}
    names, _ = image_files(images)
    unknown = next((name for name in names if name not in classes), None)
    if unknown is not None:
        raise UserError(f"{truth}: does not name the class of {unknown}")
    return [f"Final_Test/Images/{name}" for name in names], [classes[name] for name in names]


def _first(path: Path, names: tuple[str, ...], what: str) -> Path:
    found = [path / name for name in ("", *names) if (path / name).is_dir() and (name or path.name in names)]
    if not found:
        raise UserError(f"{path}: holds no {what} as torchvision unpacks it; expected {path / names[0]}")
    return found[0]
