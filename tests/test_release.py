"""The four packages have one version, and a release writes it everywhere."""

import shutil
from pathlib import Path

import pytest

import release
from seminar_common.errors import UserError

ROOT = Path(__file__).parents[1]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a folder with the files that a release changes."""
    for path in (*release.manifests(ROOT), ROOT / "CITATION.cff", ROOT / "CHANGELOG.md"):
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    text = (tmp_path / "CHANGELOG.md").read_text(encoding="utf-8")
    entry = text.replace("## [Unreleased]\n", "## [Unreleased]\n\n### Added\n\n- A door.\n", 1)
    (tmp_path / "CHANGELOG.md").write_text(entry, encoding="utf-8")
    return tmp_path


def test_every_version_that_is_written_down_is_the_same() -> None:
    found = release.versions(ROOT)
    assert len(set(found.values())) == 1
    packages = {path.parent.name for path in release.manifests(ROOT)}
    assert packages == {"common", "doc_detect", "gcd_longtail", "recsys_bnn"} <= set(found)
    # A topic and the shared package change together: each asks for exactly its own version.
    assert {name.split(" asks for ")[0] for name in found if " asks for " in name} == packages - {"common"}


def test_a_release_writes_the_version_everywhere(copy: Path) -> None:
    changed = release.release(release.ReleaseSettings("3.1.0rc1", "2027-01-31", copy))
    assert set(release.versions(copy).values()) == {"3.1.0rc1"} and len(changed) == 6
    assert "date-released: 2027-01-31" in (copy / "CITATION.cff").read_text(encoding="utf-8")
    log = (copy / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## [Unreleased]\n\n## [3.1.0rc1] - 2027-01-31\n\n### Added\n\n- A door.\n" in log
    for path in release.manifests(copy):
        own = (ROOT / path.relative_to(copy)).read_text(encoding="utf-8").splitlines()
        new = path.read_text(encoding="utf-8").splitlines()
        changed_lines = [line for line, old in zip(new, own, strict=True) if line != old]
        assert changed_lines and all("3.1.0rc1" in line for line in changed_lines)


@pytest.mark.parametrize(
    ("version", "date", "message"),
    [
        ("next", "", "next: is no version"),
        ("0.0.1", "", "0.0.1: is older than what is there"),
        ("3.0.0", "31.1.2027", "--date 31.1.2027: is no day"),
    ],
)
def test_what_is_no_release_is_refused(copy: Path, version: str, date: str, message: str) -> None:
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=message):
        release.release(release.ReleaseSettings(version, date, copy))
    assert before == {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}


def test_a_release_of_nothing_is_refused(copy: Path) -> None:
    release.release(release.ReleaseSettings("3.0.0", "2027-01-31", copy))
    with pytest.raises(UserError, match="nothing stands under"):
        release.release(release.ReleaseSettings("3.0.1", "2027-02-01", copy))
