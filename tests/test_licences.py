"""No part under the GPL or AGPL comes with the packages, and the page of licences is complete."""

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
OWN = ("seminar-common", "recsys-bnn", "doc-detect", "gcd-longtail")
NOT_BY_DEFAULT = {"bitorch", "test"}
"""Extras that are left out: GPL code of others that users ask for by name, and what tests need."""


def needs(found: Distribution, extras: frozenset[str]) -> Iterator[Requirement]:
    """Yield what a distribution with these extras asks for on this machine."""
    for text in found.requires or ():
        need = Requirement(text)
        if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras | {""}):
            yield need


def extras_of(name: str) -> frozenset[str]:
    return frozenset(distribution(name).metadata.get_all("Provides-Extra", [])) - NOT_BY_DEFAULT


def installed() -> dict[str, Distribution]:
    """Return all that the packages bring with them, by name."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [(name, extras_of(name)) for name in OWN]
    while todo:
        name, extras = todo.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:  # of an extra that is not installed here
            continue
        todo += [(need.name.lower(), frozenset(need.extras)) for need in needs(found[name], extras)]
    return found


def licence(found: Distribution) -> str:
    """Return what the metadata say of a licence: its expression, else the first line of the text, and its classes."""
    facts = found.metadata
    lines = (facts.get("License-Expression") or facts.get("License") or "").strip().splitlines() or [""]
    classes = [each for each in facts.get_all("Classifier", []) if each.startswith("License ::")]
    return " | ".join([lines[0], *classes])


def test_nothing_under_the_gpl_or_agpl_is_brought_along() -> None:
    licences = {name: licence(found) for name, found in installed().items()}
    assert {"torch", "numpy", "pypdfium2", "uvicorn", *OWN} <= set(licences) and "bitorch" not in licences
    strict = re.compile(r"\bA?GPL|(?<!Lesser )General Public License")
    assert not {name: text for name, text in licences.items() if strict.search(text)}


@pytest.mark.parametrize("name", OWN)
def test_every_library_that_a_package_asks_for_stands_on_the_page(name: str) -> None:
    page = (ROOT / "THIRD_PARTY.md").read_text(encoding="utf-8")
    named = {row.lower() for row in re.findall(r"^\| ([\w.-]+) \|", page, flags=re.M)}
    found = distribution(name)
    every = frozenset(found.metadata.get_all("Provides-Extra", [])) - {"test"}
    asked = {need.name.lower() for need in needs(found, every)} - set(OWN)
    assert asked and not asked - named
