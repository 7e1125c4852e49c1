"""Which settings of a run differ from the defaults: the ones that a reader needs."""

import importlib
import json
import shlex
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, NamedTuple

from seminar_common.settings import to_dict


class Setting(NamedTuple):
    """One setting that is not what it would be by itself."""

    name: str
    """Dotted where it belongs to a group: ``optimization.epochs``."""
    value: str
    default: str
    """Empty where it has none."""


def changed(config: Mapping[str, Any] | None) -> list[Setting] | None:
    """Return the settings of a run's ``config.json`` that differ from the defaults of its command, or of its preset.

    None if the file says nothing about it: no settings, or of a command that is not installed. Settings without a
    default, such as paths of inputs, are always among them.
    """
    if not config or not isinstance(config.get("settings"), Mapping):
        return None
    defaults = _defaults(str(config.get("topic", "")), str(config.get("command", "")), config["settings"])
    if defaults is None:
        return None
    before = {name: value for name, value in flat(defaults) if value != "null"}
    now = [(name, value) for name, value in flat(config["settings"]) if value != "null"]
    found = [Setting(name, value, before.get(name, "")) for name, value in now if before.get(name) != value]
    gone = before.keys() - dict(now).keys()
    return [*found, *(Setting(name, "none", before[name]) for name in before if name in gone)]


def _defaults(topic: str, command: str, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the settings of a topic's command are by themselves, those that have a default."""
    entry = next((e for e in entry_points(group="console_scripts") if e.name == topic), None)
    if entry is None:
        return None
    found = getattr(importlib.import_module(entry.module), "COMMANDS", {}).get(command)
    if found is None:
        return None
    preset = (found.presets or {}).get(str(settings.get("preset")))
    try:
        return to_dict(preset() if preset else found.settings())
    except TypeError:  # a field without a default: each that has one by itself
        return _field_defaults(found.settings)


def _field_defaults(kind: type) -> dict[str, Any]:
    import dataclasses

    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # ty: ignore[invalid-argument-type]
        if field.default is not dataclasses.MISSING:
            values[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            values[field.name] = field.default_factory()
    return {
        name: to_dict(value) if dataclasses.is_dataclass(value) else value for name, value in values.items()
    }


def flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested settings as pairs of a dotted name and its value in print."""
    items: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            items += flat(value, f"{prefix}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            items.append((f"{prefix}{key}", text))
    return items


def options(command: str) -> list[tuple[str, str]]:
    """Return the options that a command line gives, each with its values; nothing for what is no plain command."""
    try:
        words = shlex.split(command)
    except ValueError:
        return []
    found: list[tuple[str, list[str]]] = []
    for word in words:
        if word.startswith("--") and len(word) > 2:
            name, _, value = word.partition("=")
            found.append((name, [value] if value else []))
        elif word in ("|", ";", "do", "done") or word.endswith(";"):
            return []
        elif found:
            found[-1][1].append(word)
    return [(name, " ".join(values)) for name, values in found]
