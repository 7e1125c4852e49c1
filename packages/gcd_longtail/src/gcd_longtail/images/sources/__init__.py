"""Where images come from: a file for each kind of storage, each returning a :class:`~gcd_longtail.images.sources.base.Source`."""

from collections.abc import Callable, Mapping
from pathlib import Path

from gcd_longtail.images.sources.arrays import open_cifar, open_digits
from gcd_longtail.images.sources.base import Source
from gcd_longtail.images.sources.folder import open_folder
from gcd_longtail.images.sources.index import open_index
from gcd_longtail.images.sources.parquet import ParquetSource
from gcd_longtail.images.sources.table import open_table
from gcd_longtail.images.sources.torchvision_files import open_caltech101, open_gtsrb
from gcd_longtail.settings.commands import Format, SourceConfig
from seminar_common.errors import UserError

FORMATS: Mapping[str, Callable[[SourceConfig], Source]] = {
    "folder": lambda config: open_folder(config.images),
    "parquet": lambda config: ParquetSource(config.images, config.where),
    "csv": lambda config: open_table(config.images),
    "index": open_index,
    "cifar10": lambda config: open_cifar(config.images, "cifar10"),
    "cifar100": lambda config: open_cifar(config.images, "cifar100"),
    "caltech101": lambda config: open_caltech101(config.images),
    "gtsrb": lambda config: open_gtsrb(config.images),
    "digits": lambda config: open_digits(config.images),
}


def open_source(config: SourceConfig) -> Source:
    """Open the images that ``config`` describes.

    Raises:
        UserError: nothing is there, it is not what the format says, or an option does not go with the format.
    """
    name = resolve(config)
    if config.where and name != "parquet":
        raise UserError(f"--where goes with Parquet files only, but {config.images} is read as {name}")
    if name != "index" and (config.index or config.test_index):
        raise UserError(f"--index goes with --format index only, but {config.images} is read as {name}")
    return FORMATS[name](config)


def resolve(config: SourceConfig) -> Format:
    """Return the format of the images, if it is not given the one that the path looks like."""
    return _detect(config) if config.format == "auto" else config.format


def _detect(config: SourceConfig) -> Format:
    images = config.images
    if config.index is not None:
        return "index"
    if images == Path("digits") and not images.exists():
        return "digits"
    if images.suffix in (".parquet", ".csv", ".tsv"):
        return "parquet" if images.suffix == ".parquet" else "csv"
    if images.name == "101_ObjectCategories":  # as a plain folder it has a class of background pictures
        return "caltech101"
    signs: dict[str, Format] = {
        "cifar-10-batches-py": "cifar10",
        "cifar-100-python": "cifar100",
        "101_ObjectCategories": "caltech101",
        "caltech101/101_ObjectCategories": "caltech101",
        "GTSRB/Training": "gtsrb",
        "gtsrb/GTSRB/Training": "gtsrb",
    }
    found = next((name for sign, name in signs.items() if (images / sign).is_dir()), None)
    if found:
        return found
    return "parquet" if images.is_dir() and any(images.glob("*.parquet")) else "folder"
