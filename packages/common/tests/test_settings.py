import dataclasses
import json
from pathlib import Path

import pytest

from seminar_common.errors import UserError
from seminar_common.settings import EARLIER, from_dict, to_dict


@dataclasses.dataclass(frozen=True)
class Inner:
    sizes: tuple[int, ...] = (1, 2)


@dataclasses.dataclass(frozen=True)
class Outer:
    data: Path | None = None
    rate: float = 0.5
    inner: Inner = dataclasses.field(default_factory=Inner)


def test_settings_survive_json(tmp_path: Path) -> None:
    settings = Outer(tmp_path / "data", 0.25, Inner((3,)))
    assert from_dict(Outer, json.loads(json.dumps(to_dict(settings))), tmp_path) == settings


def test_a_path_is_stored_absolute_so_that_resume_works_from_anywhere() -> None:
    assert Path(to_dict(Outer(Path("data")))["data"]).is_absolute()

    @dataclasses.dataclass(frozen=True)
    class Several:
        data: tuple[Path, ...]

    assert all(Path(path).is_absolute() for path in to_dict(Several((Path("a"), Path("b"))))["data"])


def test_a_missing_setting_is_named_and_not_filled_with_the_default_of_today(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="missing setting 'rate'; another version wrote it"):
        from_dict(Outer, {"data": None, "inner": {"sizes": [1]}}, tmp_path)
    with pytest.raises(UserError, match="missing setting 'sizes'"):
        from_dict(Outer, {"data": None, "rate": 0.5, "inner": {}}, tmp_path)


def test_a_setting_that_came_later_says_what_things_were_made_with_before(tmp_path: Path) -> None:
    @dataclasses.dataclass(frozen=True)
    class Later:
        rate: float = 0.5
        fast: bool = dataclasses.field(default=True, metadata={EARLIER: False})

    assert from_dict(Later, {"rate": 1.0}, tmp_path) == Later(1.0, fast=False)
    assert from_dict(Later, {"rate": 1.0, "fast": True}, tmp_path) == Later(1.0, fast=True)


def test_an_unknown_setting_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'typo'"):
        from_dict(Outer, {"typo": 1}, tmp_path)
