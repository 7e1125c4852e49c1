from importlib import metadata

import pytest

from seminar_common import extras
from seminar_common.errors import UserError

REQUIRES = {
    "topic": [
        "numpy>=2",
        "pytest>=8; extra == 'train'",
        "a-distribution-nobody-has; extra == 'train'",
        "shared[train]; extra == 'train'",
        "only-on-windows; sys_platform == 'win32' and extra == 'train'",
        "other; extra == 'bench'",
    ],
    "shared": ["another_nobody_has>=1; extra == 'train'", "numpy"],
}


@pytest.fixture(autouse=True)
def distributions(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(name: str) -> list[str]:
        if name not in REQUIRES:
            raise metadata.PackageNotFoundError(name)
        return REQUIRES[name]

    known = metadata.version
    monkeypatch.setattr(metadata, "requires", requires)
    monkeypatch.setattr(metadata, "version", lambda name: "1" if name == "shared" else known(name))


def test_an_extra_names_what_it_adds_also_through_others() -> None:
    names = ["pytest", "a-distribution-nobody-has", "shared", "another_nobody_has"]
    assert list(extras.needed("topic", "train")) == names


def test_what_is_missing_is_named_with_the_way_out() -> None:
    with pytest.raises(UserError) as refused:
        extras.require("topic train", "topic", "train")
    assert str(refused.value) == (
        "topic train needs a-distribution-nobody-has and another_nobody_has, which are not installed: "
        "pip install 'topic[train]'"
    )


@pytest.mark.parametrize("distribution", ["shared", "unknown"])
def test_nothing_is_said_where_nothing_is_missing(distribution: str) -> None:
    extras.require("topic train", distribution, "of-no-package")


def test_a_missing_module_names_the_extra_that_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Metadata:
        def get_all(self, key: str) -> list[str]:
            return {"Provides-Extra": ["bench", "train"]}[key]

    monkeypatch.setattr(metadata, "metadata", lambda name: Metadata())
    message = extras.missing_module("topic predict", "topic", "another_nobody_has.part")
    assert message.endswith("another_nobody_has.part, which is not installed: pip install 'topic[train]'")
    assert extras.missing_module("topic predict", "topic", "strange").endswith("pip install 'topic'")


@pytest.mark.parametrize(("module", "own"), [("seminar_common.files", True), ("torch.nn", False)])
def test_own_modules_are_told_from_others(module: str, own: bool) -> None:
    assert extras.is_own(module) == own
