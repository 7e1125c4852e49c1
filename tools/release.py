"""Give the four packages their next version: the one place where a version is set.

``python tools/release.py 0.2.0`` writes it into every package's ``pyproject.toml``, into the exact version of the
shared package that the topics ask for, into ``CITATION.cff`` and, with the date, over what ``CHANGELOG.md`` gathered
under Unreleased. CONTRIBUTING.md has the steps before and after.
"""

import datetime
import re
from dataclasses import dataclass
from pathlib import Path

from packaging.version import InvalidVersion, Version
from tyro.conf import Positional

from seminar_common import cli, files
from seminar_common.errors import UserError
from seminar_common.progress import say

_OWN = re.compile(r'^version = "(?P<version>[^"]+)"$', re.MULTILINE)
_PIN = re.compile(r'"(?P<name>seminar-common(?:\[[a-z,]+\])?)==(?P<version>[^"]+)"')
_CITED = re.compile(r"^version: (?P<version>\S+)$", re.MULTILINE)
_DATED = re.compile(r"^date-released: (?P<date>\S+)$", re.MULTILINE)
_UNRELEASED = "## [Unreleased]\n"


@dataclass(frozen=True)
class ReleaseSettings:
    """Write a version into all four packages, CITATION.cff and CHANGELOG.md."""

    version: Positional[str]
    """The new version, as 0.2.0 or 0.2.0rc1; not less than the one before."""
    date: str = ""
    """Day of the release, as 2027-01-31; today if left out."""
    root: Path = Path()
    """The repository."""


def main(settings: ReleaseSettings) -> None:
    """Write the version and name the files that changed."""
    changed = release(settings)
    for path in changed:
        say(f"wrote {path.relative_to(settings.root)}")


def release(settings: ReleaseSettings) -> list[Path]:
    """Write the version that ``settings`` name; return the files that changed.

    Raises:
        UserError: no version or no date, an older version than that of the packages, or nothing under Unreleased.
            No file is changed then.
    """
    version, date = _version(settings.version), _date(settings.date)
    found = versions(settings.root)
    if version < max(map(_version, found.values())):
        raise UserError(
            f"{version}: is older than what is there, {max(found.values())}; give a later version"
        )
    texts = {
        path: _PIN.sub(rf'"\g<name>=={version}"', _OWN.sub(f'version = "{version}"', path.read_text("utf-8")))
        for path in manifests(settings.root)
    }
    citation, changelog = settings.root / "CITATION.cff", settings.root / "CHANGELOG.md"
    cited = _CITED.sub(f"version: {version}", citation.read_text("utf-8"))
    texts[citation] = _DATED.sub(f"date-released: {date}", cited)
    texts[changelog] = _under_version(changelog, f"## [{version}] - {date}\n")
    for path, text in texts.items():
        files.write_text(path, text)
    return list(texts)


def manifests(root: Path) -> list[Path]:
    """Return the ``pyproject.toml`` of every package."""
    return sorted((root / "packages").glob("*/pyproject.toml"))


def versions(root: Path) -> dict[str, str]:
    """Return every version that is written down, by file and what it is there."""
    found = {}
    for path in manifests(root):
        text, name = path.read_text("utf-8"), path.parent.name
        (own,) = _OWN.finditer(text)
        found[name] = own["version"]
        found |= {f"{name} asks for {match['name']}": match["version"] for match in _PIN.finditer(text)}
    (cited,) = _CITED.finditer((root / "CITATION.cff").read_text("utf-8"))
    return {**found, "CITATION.cff": cited["version"]}


def _version(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion as error:
        raise UserError(f"{text}: is no version; give one such as 0.2.0") from error


def _date(text: str) -> str:
    if not text:
        return datetime.date.today().isoformat()
    try:
        return datetime.date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise UserError(f"--date {text}: is no day; give one such as 2027-01-31") from error


def _under_version(changelog: Path, heading: str) -> str:
    """Return the changelog with what is unreleased under ``heading``, and nothing unreleased."""
    text = changelog.read_text("utf-8")
    before, found, after = text.partition(_UNRELEASED)
    if not found or not after.split("\n## ")[0].strip():
        raise UserError(
            f"{changelog}: nothing stands under [Unreleased]; write there what users have to know"
        )
    return f"{before}{_UNRELEASED}\n{heading}{after}"


if __name__ == "__main__":
    command = cli.Command(ReleaseSettings, f"{__name__}:main", outputs=())
    cli.main("python tools/release.py", "The version of the packages.", {"release": command})
