"""Decisions of a person about the classes of a run: a file that can be replayed, and what it comes to.

``decisions.jsonl`` has one JSON object a line. The first names the run: ``{"action": "run", "run": DIGEST, "images":
COUNT, "version": 1}``. The others are decisions, each with an ``id`` of its own, a ``time`` and an ``action``. A line is
never changed; ``undo`` takes an earlier one back, and can itself be taken back. Classes are called by their names in the
run, which no decision changes, and images by their keys.

The page of a run replays the same file in JavaScript. Both are tested on ``tests/review/cases.json``.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seminar_common import files
from seminar_common.errors import UserError, choices
from seminar_common.identity import digest

FILE = "decisions.jsonl"
VERSION = 1
UNSURE = ""
"""The class of an image that was said not to belong to its class."""

_TEXT, _TEXTS = str, list
_KEYS: Mapping[str, Mapping[str, type]] = {
    "name": {"cluster": _TEXT, "name": _TEXT},
    "merge": {"clusters": _TEXTS, "into": _TEXT},
    "split": {"cluster": _TEXT, "images": _TEXTS, "new": _TEXT},
    "reject": {"cluster": _TEXT},
    "not": {"cluster": _TEXT, "images": _TEXTS},
    "is": {"images": _TEXTS, "name": _TEXT},
    "keep": {"cluster": _TEXT},
    "undo": {"of": _TEXT},
}
"""What a line of each action must say; ``shown`` may be left out."""


@dataclass(frozen=True)
class Decision:
    """One line of a file of decisions. Which fields are filled depends on the action."""

    id: str
    action: str
    """``name``, ``merge``, ``split``, ``reject``, ``not``, ``is``, ``keep`` or ``undo``."""
    cluster: str = ""
    """The class that it is about, by its name in the run; of ``merge`` the one that stays."""
    clusters: tuple[str, ...] = ()
    """Of ``merge``: the classes that are one."""
    name: str = ""
    """Of ``name`` and ``is``: the category; of ``split``: what the new class is called."""
    images: tuple[str, ...] = ()
    """Of ``split``, ``not`` and ``is``: the images that it is about."""
    shown: tuple[str, ...] = ()
    """Of ``name``, ``merge`` and ``keep``: the images that the person saw."""
    of: str = ""
    """Of ``undo``: the id of the decision that is taken back."""
    where: str = ""
    """File and line, for messages."""


@dataclass(frozen=True)
class ReviewedClass:
    """A class after all decisions."""

    cluster: str
    """What it is called in the run: its name there, or the one that a ``split`` or an ``is`` gave it."""
    name: str
    """What the person calls it; its name in the run as long as nobody named it."""
    named: bool
    """Whether a person named it: by a decision, or as a class whose images were labelled."""
    settled: bool
    """Whether a decision is about this class as a whole, so that nobody needs to look at it again."""
    rejected: bool
    """Whether it is no category."""


@dataclass(frozen=True)
class Reviewed:
    """What decisions come to."""

    classes: tuple[ReviewedClass, ...]
    """Those of the run in its order, without the ones that went into another, then new ones in order of appearance."""
    images: Mapping[str, str]
    """Class of each image as :attr:`ReviewedClass.cluster`; :data:`UNSURE` for one that does not belong to its class."""
    labels: Mapping[str, str]
    """Class of each image that a person saw and put there: the exemplars."""
    forbidden: tuple[tuple[str, str], ...]
    """Pairs of an image and a class that it does not belong to, sorted."""

    def members(self) -> dict[str, list[str]]:
        """Return the images of each class by its ``cluster``, in the order of the run."""
        found: dict[str, list[str]] = {one.cluster: [] for one in self.classes}
        for key, cluster in self.images.items():
            if cluster != UNSURE:
                found[cluster].append(key)
        return found


# --------------------------------------------------------------------------------------------------- the file


def run_identity(config: Mapping[str, Any]) -> str:
    """Return the digest by which decisions name their run: of what it was computed from and of the classes it found.

    Where the folder lies does not count. Two runs over the same images with other classes differ.

    Args:
        config: the ``config.json`` of a run of `discover`.

    Raises:
        UserError: the run does not say what it found, for an older version made it.
    """
    if not {"identity", "found"} <= config.keys():
        raise UserError(
            "config.json: does not say which classes were found, so nobody can decide about them; make the run again"
        )
    return digest({"identity": config["identity"], "found": config["found"]})


def head(run: str, images: int) -> dict[str, Any]:
    """Return the first line of a file of decisions about a run of so many images, by its digest."""
    return {"action": "run", "run": run, "images": images, "version": VERSION}


def read_decisions(path: Path, run: str | None = None) -> tuple[Decision, ...]:
    """Return the decisions in a file.

    A last line without its line feed, which a killed writer leaves, counts if it is whole and is left out if not.

    Args:
        path: the file.
        run: digest of the run that they must be about; None takes those of any run.

    Raises:
        UserError: no such file, a damaged line, an unknown action, a missing or unfit value, an id that stands twice,
            an ``undo`` of nothing before it, or decisions about another run.
    """
    lines = list(_json_lines(path))
    if not lines or lines[0][1].get("action") != "run":
        raise UserError(
            f"{path}: does not begin by naming its run; give a {FILE} that the page of a run wrote"
        )
    _check_head(path, lines[0][1], run)
    found: dict[str, Decision] = {}
    for where, line in lines[1:]:
        if line.get("action") == "run":  # two files that were joined
            _check_head(path, line, lines[0][1]["run"])
            continue
        decision = parsed(line, where)
        if decision.id in found:
            raise UserError(f"{where}: the id {decision.id!r} stands above already; ids must differ")
        if decision.action == "undo" and decision.of not in found:
            raise UserError(f"{where}: takes back {decision.of!r}, which does not stand above")
        found[decision.id] = decision
    return tuple(found.values())


def _json_lines(path: Path) -> Iterable[tuple[str, dict[str, Any]]]:
    text = files.read_text(path)
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines):
                return
            raise UserError(f"{where}: not JSON ({error.msg}); save the decisions again") from error
        if not isinstance(value, dict):
            raise UserError(f"{where}: must be a JSON object, not {type(value).__name__}")
        yield where, value


def _check_head(path: Path, line: Mapping[str, Any], run: str | None) -> None:
    if line.get("version") != VERSION:
        raise UserError(
            f"{path}: of version {line.get('version')!r}, but {VERSION} is read here; save it again"
        )
    if run is not None and line.get("run") != run:
        raise UserError(
            f"{path}: decisions about another run ({line.get('run')} there, {run} here); give those of this run"
        )


def parsed(line: Mapping[str, Any], where: str) -> Decision:
    """Return the decision that a line says; raise a UserError that begins with ``where`` if it says none."""
    action = line.get("action")
    if not isinstance(action, str) or action not in _KEYS:
        raise UserError(f"{where}: {action!r} is no action; there are {choices(_KEYS)}")
    wanted = {"id": _TEXT, **_KEYS[action], **({"shown": _TEXTS} if "shown" in line else {})}
    for key, kind in wanted.items():
        if not _fits(line.get(key), kind, may_be_empty=key == "shown"):
            form = "a text" if kind is _TEXT else "a list of texts"
            raise UserError(f"{where}: {action} needs {key!r}, {form}")
    return decision(line, where)


def _fits(value: Any, kind: type, may_be_empty: bool) -> bool:
    if kind is _TEXT:
        return isinstance(value, str) and bool(value.strip())
    texts = isinstance(value, list) and all(isinstance(each, str) and each for each in value)
    return texts and (may_be_empty or bool(value))


def decision(line: Mapping[str, Any], where: str = "") -> Decision:
    """Return the decision that a line of a file says."""
    cluster = line.get("cluster", line.get("into", ""))
    lists = {key: tuple(line.get(key, ())) for key in ("clusters", "images", "shown")}
    name = line.get("name", line.get("new", "")).strip()
    return Decision(
        line["id"], line["action"], cluster, name=name, of=line.get("of", ""), where=where, **lists
    )


# -------------------------------------------------------------------------------------------------- the replay


def replay(
    decisions: Sequence[Decision],
    names: Sequence[str],
    assignments: Mapping[str, str],
    known: Collection[str] = (),
) -> Reviewed:
    """Return what ``decisions`` come to. Nothing is read or written.

    The later of two decisions about one thing counts. A decision about a class that went into another is about that
    other; one about a class that is not there because its making was taken back does nothing.

    Args:
        decisions: in their order.
        names: of the classes of the run, in its order.
        assignments: class of each image by its key.
        known: those of the classes whose names are a person's already, for images of them were labelled.

    Raises:
        UserError: a decision names a class or an image that neither the run nor a decision made.
    """
    check(decisions, names, assignments)
    own = {name: name for name in known}
    state = _State(dict.fromkeys(names), dict(assignments), own, names=dict(own))
    for one in _standing(decisions):
        _ACTIONS[one.action](state, one)
    return state.result()


def check(decisions: Sequence[Decision], names: Sequence[str], assignments: Collection[str]) -> None:
    """Raise a UserError if one of ``decisions`` names a class or an image that neither the run nor another made."""
    there = set(names) | {one.name for one in decisions if one.action in ("split", "is")}
    for one in decisions:
        clusters = [one.cluster, *one.clusters] if one.action not in ("is", "undo") else []
        for kind, wanted, known in (
            ("class", clusters, there),
            ("image", (*one.images, *one.shown), assignments),
        ):
            lost = next((each for each in wanted if each not in known), None)
            if lost is not None:
                raise UserError(f"{one.where or one.id}: the run has no {kind} {lost!r}")


def _standing(decisions: Sequence[Decision]) -> list[Decision]:
    """Return the decisions that nobody took back; an ``undo`` is about an earlier one, so the last stands for sure."""
    gone: set[str] = set()
    for one in reversed(decisions):
        if one.action == "undo" and one.id not in gone:
            gone.add(one.of)
    return [one for one in decisions if one.action != "undo" and one.id not in gone]


@dataclass
class _State:
    """What the decisions so far come to. Classes are known by what they are called in the run."""

    order: dict[str, None]  # the classes that are there
    images: dict[str, str]
    own: Mapping[str, str]  # the names that a person gave before
    into: dict[str, str] = field(default_factory=dict)  # of a class that is part of another
    names: dict[str, str] = field(default_factory=dict)  # of the classes that a person named
    settled: set[str] = field(default_factory=set)
    rejected: set[str] = field(default_factory=set)
    labels: dict[str, str] = field(default_factory=dict)
    forbidden: dict[str, set[str]] = field(default_factory=dict)

    def root(self, cluster: str) -> str | None:
        """Return the class that ``cluster`` is part of now; None if it is not there."""
        while cluster in self.into:
            cluster = self.into[cluster]
        return cluster if cluster in self.order else None

    def called(self, name: str) -> str | None:
        """Return the class that a person or the run calls ``name``, if any; what is called so now goes first."""
        for cluster in self.order:
            if cluster not in self.rejected and self.names.get(cluster, cluster) == name:
                return cluster
        return self.root(name)

    def revive(self, cluster: str) -> None:
        """Take a rejection back. A name that another class has got meanwhile stays with that one."""
        if cluster in self.rejected:
            if self.called(self.names.get(cluster, cluster)) not in (None, cluster):
                self.names.pop(cluster, None)
                self.names |= {one: name for one, name in self.own.items() if one == cluster}
            self.rejected.discard(cluster)

    def settle(self, cluster: str, shown: Iterable[str]) -> None:
        """Say that a person looked at a class; the images shown that lie in it are its exemplars."""
        self.revive(cluster)
        self.settled.add(cluster)
        self.labels |= {key: cluster for key in shown if self.home(key) == cluster}

    def home(self, key: str) -> str:
        """Return the class of an image."""
        cluster = self.images[key]
        return cluster if cluster == UNSURE else self.root(cluster) or UNSURE

    def join(self, clusters: Sequence[str], into: str) -> None:
        """Make classes one. It keeps its own name, or has the first that a person gave to any of them."""
        for one in (into, *clusters):
            self.revive(one)
        names = [self.names[one] for one in (into, *clusters) if one in self.names]
        for one in clusters:
            if one != into:
                self.into[one] = into
                self.names.pop(one, None)
                self.settled.discard(one)
                self.order.pop(one, None)
        if names:
            self.names[into] = names[0]

    def put(self, images: Iterable[str], cluster: str) -> None:
        """Put images into a class and label them."""
        for key in images:
            self.images[key] = self.labels[key] = cluster
            self.forbidden[key] = {one for one in self.forbidden.get(key, ()) if self.root(one) != cluster}

    def made(self, name: str) -> str:
        """Return the class called ``name``; it is made if it is not there."""
        cluster = self.called(name)
        if cluster is None:
            self.order[name] = None
            cluster = name
        self.revive(cluster)
        return cluster

    def result(self) -> Reviewed:
        """Return what has come out."""
        classes = tuple(
            ReviewedClass(
                one, self.names.get(one, one), one in self.names, one in self.settled, one in self.rejected
            )
            for one in self.order
        )
        labels = {key: root for key, one in self.labels.items() if (root := self.root(one)) is not None}
        forbidden = {
            (key, root)
            for key, some in self.forbidden.items()
            for one in some
            if (root := self.root(one)) is not None
        }
        return Reviewed(
            classes, {key: self.home(key) for key in self.images}, labels, tuple(sorted(forbidden))
        )


def _name(state: _State, one: Decision) -> None:
    cluster = state.root(one.cluster)
    if cluster is None:
        return
    state.revive(cluster)
    other = state.called(one.name)
    if other is None or other == cluster:
        state.names[cluster] = one.name
        other = cluster
    else:
        state.names.pop(cluster, None)  # the other keeps its own name
        state.join([cluster], other)
    state.settle(other, one.shown)


def _merge(state: _State, one: Decision) -> None:
    there = [root for each in (one.cluster, *one.clusters) if (root := state.root(each)) is not None]
    if len(set(there)) < 2:
        return
    into = state.root(one.cluster) or there[0]
    state.join(there, into)
    state.settle(into, one.shown)


def _split(state: _State, one: Decision) -> None:
    new = state.made(one.name)
    state.put(one.images, new)
    state.settled.add(new)
    old = state.root(one.cluster)
    if old is not None:
        state.settled.add(old)


def _reject(state: _State, one: Decision) -> None:
    cluster = state.root(one.cluster)
    if cluster is None:
        return
    state.rejected.add(cluster)
    state.settled.add(cluster)
    state.labels = {key: each for key, each in state.labels.items() if state.root(each) != cluster}


def _not(state: _State, one: Decision) -> None:
    cluster = state.root(one.cluster)
    if cluster is None:
        return
    for key in one.images:
        state.forbidden.setdefault(key, set()).add(cluster)
        if state.home(key) == cluster:
            state.images[key] = UNSURE
            state.labels.pop(key, None)


def _is(state: _State, one: Decision) -> None:
    before = state.called(one.name)
    new = state.made(one.name)
    if before is None:
        state.names[new] = one.name
    state.put(one.images, new)


def _keep(state: _State, one: Decision) -> None:
    cluster = state.root(one.cluster)
    if cluster is not None:
        state.settle(cluster, one.shown)


_ACTIONS: Mapping[str, Callable[[_State, Decision], None]] = {
    "name": _name,
    "merge": _merge,
    "split": _split,
    "reject": _reject,
    "not": _not,
    "is": _is,
    "keep": _keep,
}
