"""Index files: the long-tailed training sets that others drew from a large one.

ImageNet-LT and Places-LT list a path and a class number in each line (Liu et al., "Large-Scale Long-Tailed
Recognition in an Open World", CVPR 2019); a long-tailed CIFAR lists numbers of training images.
"""

from pathlib import Path

from gcd_longtail.images.sources.arrays import ArraySource, open_cifar, select
from gcd_longtail.images.sources.base import check_folder
from gcd_longtail.images.sources.folder import FileSource
from gcd_longtail.settings.commands import SourceConfig
from seminar_common.errors import UserError
from seminar_common.files import read_text

_CIFAR = {"cifar-10-batches-py": "cifar10", "cifar-100-python": "cifar100"}


def open_index(config: SourceConfig) -> FileSource | ArraySource:
    """Return the images that ``config.index`` lists, below or out of ``config.images``.

    Raises:
        UserError: no index, a line that can't be read, or images that are not there.
    """
    if config.index is None:
        raise UserError("--format index: give the list of training images with --index FILE")
    check_folder(config.images)
    cifar = next((name for folder, name in _CIFAR.items() if (config.images / folder).is_dir()), None)
    if cifar is not None:
        return select(open_cifar(config.images, cifar), _numbers(config.index), config.index)
    train = _paths(config.index)
    test = _paths(config.test_index) if config.test_index else []
    keys, labels = [key for key, _ in train + test], [label for _, label in train + test]
    double = len(keys) - len(set(keys))
    if double:
        raise UserError(f"{config.index}: {double} images are listed twice, here or in --test-index")
    return FileSource(config.images, keys, labels, ["train"] * len(train) + ["test"] * len(test))


def _paths(file: Path) -> list[tuple[str, str]]:
    """Return path and class of each line; a path may hold spaces."""
    rows = []
    for number, line in enumerate(read_text(file).splitlines(), 1):
        path, _, label = line.strip().rpartition(" ")
        if not line.strip():
            continue
        if not path or not label.isdecimal():
            raise UserError(f"{file}, line {number}: expected PATH NUMBER, found {line[:60]!r}")
        rows.append((path.lstrip("/"), label))
    if not rows:
        raise UserError(f"{file}: lists no image")
    return rows


def _numbers(file: Path) -> list[int]:
    """Return the image number that each line begins with; the class behind it, if there, is CIFAR's own."""
    numbers = []
    for number, line in enumerate(read_text(file).splitlines(), 1):
        words = line.replace(",", " ").split()
        if not words:
            continue
        if not words[0].isdecimal():
            raise UserError(
                f"{file}, line {number}: expected the number of a CIFAR image, found {line[:60]!r}"
            )
        numbers.append(int(words[0]))
    if len(set(numbers)) < len(numbers) or not numbers:
        raise UserError(f"{file}: lists an image twice, or none")
    return numbers
