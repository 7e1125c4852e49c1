import sys
from pathlib import Path

import pytest


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a package that offers the name of a module that it doesn't import."""
    folder = tmp_path / "lazy_package"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from seminar_common.lazy import lazy_exports\n"
        "__getattr__, __dir__ = lazy_exports(__name__, {'Detector': 'lazy_package.heavy', "
        "'Default': 'lazy_package.heavy:Detector'})\n"
    )
    (folder / "heavy.py").write_text("class Detector: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in [name for name in sys.modules if name.startswith("lazy_package")]:
        del sys.modules[name]


def test_a_name_costs_its_import_only_when_it_is_used(package: None) -> None:
    import lazy_package  # ty: ignore[unresolved-import]

    assert "Detector" in dir(lazy_package) and "lazy_package.heavy" not in sys.modules
    from lazy_package import Default, Detector  # ty: ignore[unresolved-import]

    assert Default is Detector is sys.modules["lazy_package.heavy"].Detector
    assert vars(lazy_package)["Detector"] is Detector, "found without a search from now on"


def test_an_unknown_name_is_an_attribute_error(package: None) -> None:
    import lazy_package  # ty: ignore[unresolved-import]

    with pytest.raises(AttributeError, match="'lazy_package' has no attribute 'Finder'"):
        _ = lazy_package.Finder
    with pytest.raises(ImportError):
        from lazy_package import Finder  # ty: ignore[unresolved-import]  # noqa: F401
