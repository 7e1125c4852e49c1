"""What is in the wheels: all that is under ``src``, the licence, and nothing else."""

import email
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
UV = os.environ.get("UV") or shutil.which("uv")
PACKAGES = {
    "seminar_common": "common",
    **{topic: topic for topic in ("recsys_bnn", "doc_detect", "gcd_longtail")},
}
LARGEST = {"doc_detect": 7_500_000}
"""Bytes that a wheel may have; the others 500,000. That of doc_detect holds a detector."""


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build every package; return the wheels by import name."""
    if UV is None or not (ROOT / ".git").exists():
        pytest.skip("needs uv, and git to know what belongs to the project")
    out = tmp_path_factory.mktemp("wheels")
    command = [UV, "build", "--quiet", "--all-packages", "--wheel", "--out-dir", str(out)]
    subprocess.run(command, cwd=ROOT, check=True)
    return {path.name.split("-")[0]: path for path in out.glob("*.whl")}


def tracked(folder: str) -> set[str]:
    """Return the files under a package's ``src`` that git knows or would take."""
    known = ["--cached", "--others", "--exclude-standard"]
    command = ["git", "ls-files", "-z", *known, "--", f"packages/{folder}/src"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return {name.split("/src/", 1)[1] for name in done.stdout.split("\0") if name and (ROOT / name).is_file()}


@pytest.mark.parametrize("name", PACKAGES)
def test_a_wheel_holds_the_package_and_nothing_else(name: str, wheels: dict[str, Path]) -> None:
    with zipfile.ZipFile(wheels[name]) as wheel:
        held = {each for each in wheel.namelist() if not each.endswith("/")}
    own = {each for each in held if ".dist-info/" not in each}
    assert own == tracked(PACKAGES[name])
    described = {each.split(".dist-info/")[1] for each in held - own}
    assert described == {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
    assert wheels[name].stat().st_size < LARGEST.get(name, 500_000)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_wheel_says_what_it_is(name: str, wheels: dict[str, Path]) -> None:
    with zipfile.ZipFile(wheels[name]) as wheel:
        (path,) = [each for each in wheel.namelist() if each.endswith("METADATA")]
        facts = email.message_from_bytes(wheel.read(path))
    assert facts["License-Expression"] == "Apache-2.0" and facts["Requires-Python"] == ">=3.11"
    text = facts.get_payload()
    assert isinstance(text, str) and len(text) > 500, "the README is the page of a wheel"
    needs = facts.get_all("Requires-Dist", [])
    assert not [need for need in needs if " @ " in need], "a registry takes no address for a dependency"
