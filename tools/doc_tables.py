"""Tables and figures in Markdown files, generated from committed results, so that none is copied by hand.

A table stands between two markers, each alone on its line and outside of code blocks::

    <!-- table: results/recsys_bnn/criteo-10k roc_auc size_mb roc_auc_difference "model=float|binary" -->
    <!-- end table -->

The first word is a folder with a ``results.json``, relative to the repository's ``docs`` folder. Words with ``=``
choose rows: those that have one of the values under the key, where nothing stands for a row without it. The others
are metrics, the columns in order; all of them if left out. A paired difference is named with its ``_difference``.
A word with spaces stands in double quotes.

One figure with its interval stands in a sentence or in a cell of any table, between two markers on one line::

    It loses <!-- figure: results/recsys_bnn/frappe roc_auc_difference model=binary baseline=float --><!-- end figure -->.

The topics are to be installed: they bring the names and formats of their metrics.
``python tools/doc_tables.py`` puts tables and figures between their markers, whatever stood there before.
"""

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from seminar_common import cli, files
from seminar_common.display import metric_named
from seminar_common.errors import UserError, choices
from seminar_common.progress import say
from seminar_common.results import Results, Row, read_results
from seminar_common.tables import markdown_table

_SKIPPED = {".git", ".venv", "runs"}
# Three spaces before a comment leave it one to Markdown; four would make it a code block.
_START = re.compile(r" {0,3}<!--\s*table:")
_WHOLE_START = re.compile(_START.pattern + r"(?P<words>.*\S.*)-->\s*")
_END = re.compile(r" {0,3}<!--\s*end table\s*-->\s*")
_FIGURE = re.compile(r"(?P<start><!--\s*figure:(?P<words>[^>]*)-->).*?(?P<end><!--\s*end figure\s*-->)")
_FENCE = re.compile(r"\s*(?P<fence>`{3,}(?=[^`]*$)|~{3,})(?P<after>.*)")


@dataclass(frozen=True)
class DocTablesSettings:
    """Bring the tables in Markdown files up to date with the results that their markers name."""

    root: Positional[Path] = Path()
    """The repository: its docs/ folder holds the results."""


def main(settings: DocTablesSettings) -> None:
    """Bring the tables up to date and name the files that changed."""
    changed = update(settings.root)
    for name in changed:
        say(f"wrote {name}")
    if not changed:
        say("every table is up to date")


def update(root: Path) -> list[str]:
    """Rewrite the files whose tables are stale, each atomically, and return their names relative to ``root``.

    Raises:
        UserError: as :func:`check` does; no file is changed then.
    """
    stale = _stale(root)
    for path, text in stale.items():
        files.write_text(path, text)
    return _names(stale, root)


def check(root: Path) -> list[str]:
    """Return the names, relative to ``root``, of the files whose tables are stale.

    Args:
        root: the repository, whose Markdown files are read and whose ``docs`` folder holds the results.

    Raises:
        UserError: no such folder, a marker without its counterpart, or results that are missing, broken or
            without a metric that the marker asks for.
    """
    return _names(_stale(root), root)


def _names(paths: Iterable[Path], root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


def _stale(root: Path) -> dict[Path, str]:
    """Return the files whose tables are stale, with the text that each should have."""
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; give the folder of the repository")
    stale = {}
    for path in _markdown_files(root):
        text = files.read_text(path)
        fresh = _with_tables(text, path, root / "docs")
        if fresh != text:
            stale[path] = fresh
    return stale


def _markdown_files(root: Path) -> Iterator[Path]:
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(set(subfolders) - _SKIPPED)
        for path in (Path(folder) / name for name in sorted(names) if name.endswith(".md")):
            if path.is_file() and path.stat().st_size:  # read_text refuses an empty file, which is fine here
                yield path


def _with_tables(text: str, path: Path, docs: Path) -> str:
    """Return ``text``, the content of ``path``, with its tables and figures as the results have them."""
    lines = text.split("\n")
    for number, line in list(_outside_code(lines)):
        lines[number - 1] = _with_figures(line, f"{path}, line {number}", docs)
    for start, end in reversed(_markers(lines, path)):  # from the last, so that line numbers stay true
        lines[start : end - 1] = _table(lines[start - 1], f"{path}, line {start}", path, docs)
    return "\n".join(lines)


def _with_figures(line: str, place: str, docs: Path) -> str:
    """Return ``line``, which stands at ``place``, with its figures as the results have them."""
    marked = len(re.findall(r"<!--\s*(?:end )?figure\b", line))
    if not marked:
        return line
    if line.lstrip().startswith("<!--"):
        raise UserError(
            f"{place}: a figure begins the line, which makes it a block of HTML; put a word before it"
        )
    if marked != 2 * len(_FIGURE.findall(line)):
        raise UserError(
            f"{place}: expected each figure between `<!-- figure: ... -->` and `<!-- end figure -->`"
        )
    return _FIGURE.sub(
        lambda found: f"{found['start']}{_figure(found['words'], place, docs)}{found['end']}", line
    )


def _figure(words: str, place: str, docs: Path) -> str:
    """Return the one figure that ``words`` name, with unit and interval."""
    asked = _Asked.of(words, place, docs)
    rows = [row for row in asked.results.rows if row.metric in asked.metrics]
    if len(asked.metrics) != 1 or len(rows) != 1:
        raise UserError(f"{place}: {len(rows)} figures fit; name one metric, and choose its row by KEY=VALUE")
    metric = metric_named(rows[0].metric)
    return f"{metric.text(rows[0].value)} {metric.interval(rows[0])}".rstrip()


def _markers(lines: Sequence[str], path: Path) -> list[tuple[int, int]]:
    """Return the line numbers, from 1, of each pair of markers."""
    pairs: list[tuple[int, int]] = []
    start = None
    for number, line in _outside_code(lines):
        if _START.match(line):
            if start is not None:
                break
            start = number
        elif _END.fullmatch(line):
            if start is None:
                raise UserError(f"{path}, line {number}: no table starts above this end; remove the line")
            pairs.append((start, number))
            start = None
    if start is not None:
        raise UserError(f"{path}, line {start}: this table has no end; add `<!-- end table -->` below it")
    return pairs


def _outside_code(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield the lines outside of fenced code with their numbers; the fences themselves may be among them."""
    opened = ""
    for number, line in enumerate(lines, start=1):
        found = _FENCE.fullmatch(line)
        if not opened:
            opened = found["fence"] if found else ""
            yield number, line
        elif found and found["fence"].startswith(opened) and not found["after"].strip():
            opened = ""


def _table(marker: str, place: str, path: Path, docs: Path) -> list[str]:
    """Return the lines that belong below ``marker``, which stands at ``place`` in ``path``."""
    whole = _WHOLE_START.fullmatch(marker)
    if not whole:
        raise UserError(f"{place}: expected `<!-- table: FOLDER METRIC... -->`, alone on its line")
    asked = _Asked.of(whole["words"], place, docs)
    table = markdown_table(asked.results, asked.metrics or None).rstrip("\n").split("\n")
    return ["", *table, "", _source(asked, path), ""]


@dataclass(frozen=True)
class _Asked:
    """What a marker asks for: some or all rows of a file of results, and the metrics to print."""

    file: Path
    results: Results
    """The file's content, with the chosen rows alone."""
    metrics: list[str]
    whole: bool
    """True if all rows were asked for."""

    @classmethod
    def of(cls, words: str, place: str, docs: Path) -> "_Asked":
        """Read what ``words`` name; ``place`` says in errors where they stand.

        Raises:
            UserError: no such results, or none of these rows or metrics in them.
        """
        try:
            name, *others = shlex.split(words)
        except ValueError as error:  # a quote without its counterpart, or no word at all
            raise UserError(
                f"{place}: expected FOLDER METRIC... KEY=VALUE..., found {words.strip()}"
            ) from error
        metrics = [word for word in others if "=" not in word]
        choice = {key: values.split("|") for key, _, values in (w.partition("=") for w in others if "=" in w)}
        file = docs / name / "results.json"
        if not file.is_file():
            raise UserError(
                f"{place}: {file} does not exist; name a folder in {docs} that has a results.json"
            )
        results = read_results(file)
        _check_results(results, metrics, f"{place}: {file}")
        rows = tuple(row for row in results.rows if _is_chosen(row, choice))
        if not any(row.metric in metrics or not metrics for row in rows):
            raise UserError(
                f"{place}: {file} has no such row; mend {' '.join(w for w in others if '=' in w)}"
            )
        return cls(file, Results(results.command, rows), metrics, whole=not choice)


def _is_chosen(row: Row, choice: Mapping[str, Sequence[str]]) -> bool:
    """Say whether a row has one of the values under each key of ``choice``; it has "" where it has no value."""
    found = {key: row.get(key) for key in choice}
    return all(("" if value is None else str(value)) in choice[key] for key, value in found.items())


def _source(asked: _Asked, path: Path) -> str:
    """Return the sentence that says where a table's figures are from."""
    if asked.whole:
        return f"Made with {_code(asked.results.command)}."
    link = Path(os.path.relpath(asked.file, path.parent)).as_posix()
    return f"Some rows of [{asked.file.parent.name}]({link})."


def _check_results(results: Results, metrics: Sequence[str], place: str) -> None:
    known = {row.metric for row in results.rows}
    if not known or not results.command.strip():
        raise UserError(f"{place} lacks {'its command' if known else 'figures'}; make it again")
    if unknown := [metric for metric in metrics if metric not in known]:
        raise UserError(f"{place} has no {unknown[0]}; choose {choices(known)}")


def _code(text: str) -> str:
    """Return ``text`` as Markdown code; more backticks than it holds in a row keep its own from ending it."""
    text = " ".join(text.split())
    if "`" not in text:
        return f"`{text}`"
    fence = "`" * (1 + max(map(len, re.findall("`+", text))))
    return f"{fence} {text} {fence}"


if __name__ == "__main__":
    command = cli.Command(DocTablesSettings, f"{__name__}:main")
    cli.main(
        "python tools/doc_tables.py",
        "Tables in Markdown files, from committed results.",
        {"update": command},
    )
