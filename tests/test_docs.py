"""What holds for the documentation: figures, links and command lines are those of the repository."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points, metadata
from itertools import groupby
from pathlib import Path

import pytest
import yaml

from doc_tables import check
from seminar_common.cli import parse
from seminar_common.errors import UserError
from seminar_common.extras import is_own

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
]
PROGRAMS = {
    entry.name: import_module(entry.module).COMMANDS
    for entry in entry_points(group="console_scripts")
    if is_own(entry.module)
}
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def test_tables_are_those_that_the_committed_results_make() -> None:
    assert check(ROOT) == [], "run `uv run python tools/doc_tables.py`"


@each_page
def test_a_long_table_is_folded_below_the_rows_that_matter(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    open_text = re.sub(r"<details.*?</details>", "", text, flags=re.S)
    for marker, table in re.findall(r"<!-- (table: .*?) -->(.*?)<!-- end table -->", open_text, flags=re.S):
        assert table.count("\n|") <= 20, f"{marker}: fold it into <details>, with a choice of its rows above"


def heading_anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    titles = re.findall(r"^#+ +(.*)$", page.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@each_page
def test_links_lead_to_files_and_headings_that_are_there(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if not re.match(r"[a-z]+:", target):
            file = page.parent / path if path else page
            assert file.exists(), f"{target}: no such file"
            assert not anchor or anchor in heading_anchors(file), f"{target}: no such heading"


def test_the_site_has_every_page_and_leads_to_no_other() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    docs = ROOT / site["docs_dir"]
    named = {page for part in site["nav"] for title in part.values() for page in listed(title)}
    assert named == {page.relative_to(docs).as_posix() for page in PAGES if docs in page.parents}
    assert "plugins" not in site
    for page in named:
        links = re.findall(r"\]\(([^)#\s:]+\.md)\b", (docs / page).read_text(encoding="utf-8"))
        outside = [
            link for link in links if docs not in (docs / page).parent.joinpath(link).resolve().parents
        ]
        assert not outside, f"{page}: the site lacks {outside}; name the file without a link"


def listed(part: str | list[dict[str, str]]) -> list[str]:
    """Return the pages of an entry of the site's contents."""
    return [part] if isinstance(part, str) else [page for one in part for page in one.values()]


def test_the_way_of_one_batch_leads_through_files_that_are_there() -> None:
    text = (ROOT / "docs" / "explain" / "architecture.md").read_text(encoding="utf-8")
    (way,) = re.findall(r"^## The way of one batch$(.*?)^## ", text, flags=re.S | re.M)
    for part in way.split("\n\n**")[1:]:
        (topic,) = re.findall(r"\(`(\w+)`\)", part.split(".")[0])
        named = re.findall(r"`([\w/]+(?:\.py|/|/\w+))`", part)
        gone = [name for name in named if not (ROOT / "packages" / topic / "src" / topic / name).exists()]
        assert len(named) > 4 and not gone, topic


def command_lines(page: Path) -> Iterator[list[str]]:
    """Yield program and arguments of each call of our own programs in the code blocks of a page."""
    for block in re.findall(
        r"^```(?:bash|sh)\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.S | re.M
    ):
        plain = re.sub(r"\\\n|uv run (?:--package \S+ )?|\bdo ", " ", block)
        for line in with_values(plain).splitlines():
            words = shlex.split(line, comments=True)
            for _, command in groupby(words, lambda word: re.fullmatch("[|&;<>]+", word) is None):
                program, *args = command
                if program in PROGRAMS:
                    yield [program, *(word.rstrip(";") for word in args)]


def with_values(script: str) -> str:
    """Return a script with the first value of each loop in place of its variable, and 1 for other variables."""
    loops = dict(re.findall(r"\bfor (\w+) in ([^\s;]+)", script))
    return re.sub(r"\$\{?(\w+)\}?", lambda found: loops.get(found[1], "1"), script)


@each_page
def test_command_lines_are_understood(page: Path) -> None:
    for program, *args in command_lines(page):
        if not args or {"--help", "--version", "..."} & set(args):
            continue
        commands = PROGRAMS[program]
        assert args[0] in commands, f"{program} {args[0]}"
        try:
            settings = parse(program, "", commands, args)
        except SystemExit:
            pytest.fail(shlex.join([program, *args]))
        except UserError as error:
            assert "no such" in str(error), "only files may be missing here"
            continue
        assert type(settings) is commands[args[0]].settings


def test_the_first_page_shows_each_program() -> None:
    assert {program for program, *_ in command_lines(ROOT / "README.md")} == set(PROGRAMS)


# ------------------------------------------------------------------------------------ what the first page claims

DISTRIBUTIONS = ("seminar-common", "recsys-bnn", "doc-detect", "gcd-longtail")


ALWAYS = r"roc_auc|accuracy|log_loss|(acc|macro|named_macro)_\w+"
OVER_CLASSES = r"ap|ap50|ap75|page_ap"


@pytest.mark.parametrize(
    "file", sorted(ROOT.glob("docs/results/*/*/results.json")), ids=lambda f: f.parent.name
)
def test_every_quality_of_a_study_has_its_interval(file: Path) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    if " bench" in content["command"]:
        pytest.skip("a benchmark is about time and memory")
    for row in content["rows"]:
        quality = re.fullmatch(ALWAYS, row["metric"]) or (
            re.fullmatch(OVER_CLASSES, row["metric"]) and "label" not in row
        )
        assert not quality or row["ci_low"] <= row["value"] <= row["ci_high"], row


def test_badges_say_what_the_packages_say() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in DISTRIBUTIONS:
        facts = metadata(name)
        assert facts["License-Expression"] == "Apache-2.0" and "badge/licence-Apache--2.0-" in text
        assert f"badge/python-%3E%3D{facts['Requires-Python'].removeprefix('>=')}-" in text
