"""Arranges a report: sections, answers, tables and plots in reading order, as plain dictionaries.

Both forms read the same dictionaries and compute nothing. ``parts`` are the topics of a report; a report of one topic
has one.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from seminar_common.display import DIFFERENCE, in_column_order, metric_named
from seminar_common.reporting import markdown
from seminar_common.reporting.answers import listed
from seminar_common.reporting.differing import changed, flat, options
from seminar_common.reporting.drawn import drawn, plot
from seminar_common.reporting.markdown import Block, code, heading, items, sentence
from seminar_common.reporting.sections import Section
from seminar_common.reporting.stories import Answer, Question, Story, references, stories, topic_of
from seminar_common.reporting.tabled import tables
from seminar_common.reporting.words import OWN, Words, picture, together
from seminar_common.results import Results, Row
from seminar_common.tables import summary

NOTHING = "There are no figures in this table."


@dataclass(frozen=True)
class Topic:
    """The runs of one topic, and what it tells of them."""

    story: Story | None
    runs: Sequence[Section]
    words: Words = field(default_factory=Words)

    @property
    def title(self) -> str:
        """What a report of these runs is called."""
        if self.story is not None:
            return self.story.title
        return self.runs[0].title if len(self.runs) == 1 else f"Results of {len(self.runs)} runs"

    @property
    def answered(self) -> list[tuple[Question, Answer]]:
        """The questions to which the rows have an answer."""
        tables = [run.results for run in self.runs]
        questions = self.story.questions if self.story else ()
        found = [(question, question.answer(tables)) for question in questions]
        return [(question, answer) for question, answer in found if answer is not None]

    def told(self, section: str) -> list[Block]:
        """Return what the story has under a heading."""
        return copy.deepcopy(list(self.story.sections.get(section, ()))) if self.story else []

    @property
    def rows(self) -> list[Row]:
        """The rows of all runs."""
        return [row for run in self.runs for row in run.results.rows]


def by_topic(runs: Sequence[Section], words: Sequence[Words] = ()) -> list[Topic]:
    """Return the runs by topic, in order of appearance; those of no known topic together.

    Args:
        runs: in order.
        words: what the author wrote beside each run; nothing if left out.
    """
    words = words or [Words()] * len(runs)
    topics: dict[str, list[int]] = {}
    for number, run in enumerate(runs):
        topics.setdefault(topic_of(run.results, run.config), []).append(number)
    return [
        Topic(
            stories().get(program),
            [runs[i] for i in numbers],
            together([words[i] for i in numbers]),
        )
        for program, numbers in topics.items()
    ]


# ---------------------------------------------------------------------------------------------- parts of a topic


def answer_lines(topic: Topic) -> list[dict[str, Any]]:
    """Return what a page opens with: a line for each main question, or what the rows say by themselves."""
    if answered := [(q, answer) for q, answer in topic.answered if q.part == "Results"]:
        return [{"question": question.text, "sentence": answer.sentence} for question, answer in answered]
    return [{"question": "", "sentence": text} for text in summary(topic.rows)]


def lead(topic: Topic, prefix: str) -> list[Block]:
    """Return the plot and the rows that matter most: those of the first answer."""
    for _, answer in topic.answered[:1]:
        return evidence(answer, prefix)
    return []


def evidence(answer: Answer, prefix: str) -> list[Block]:
    """Return an answer's plot and table."""
    found = []
    if answer.drawing is not None:
        found.append({**plot(answer.drawing.draw(), answer.drawing.caption, prefix), "float": True})
    if answer.rows:
        found += tables(answer.rows, answer.metrics or None, caption=answer.caption)
    return found


def results(topic: Topic, part: str, prefix: str, without: int = -1) -> list[Block]:
    """Return the questions of one part of a report, each with its answer and its evidence.

    Args:
        topic: what is told.
        part: ``Results``, ``Ablations`` or ``Failure cases``.
        prefix: what ids of plots begin with.
        without: number of the question whose evidence stands elsewhere.
    """
    found: list[Block] = []
    for number, (question, answer) in enumerate(topic.answered):
        if question.part == part:
            more = [items(answer.more)] if len(answer.more) > 2 else map(sentence, answer.more)
            found += [heading(question.text), sentence(answer.sentence), *more]
            found += evidence(answer, f"{prefix}-{number}") if number != without else []
    return found


def curves(topic: Topic, prefix: str) -> list[Block]:
    """Return the plots that the runs' own curves make, or without a story all plots of their rows."""
    found = []
    for number, run in enumerate(topic.runs):
        shown = run if topic.story is None else run._replace(results=Results("", (), run.results.curves))
        found += drawn(shown, f"{prefix}-{number}")
    return found


def data(topic: Topic) -> list[Block]:
    """Return the cards of the data sets that the rows are of."""
    cards, named = topic.story.cards if topic.story else {}, _cards_named(topic)
    found: list[Block] = []
    for card in dict.fromkeys(filter(None, named.values())):
        lines = [[markdown.inline(what), copy.deepcopy(runs)] for what, runs in cards[card]]
        variants = [name for name, own in named.items() if own == card]
        found += [heading(listed(variants)), {"kind": "grid", "head": [], "lines": lines}]
    return found


def _cards_named(topic: Topic) -> dict[str, str | None]:
    """Return by data set of the rows the name of its card, None where there is none."""
    used = dict.fromkeys(row.dataset for row in topic.rows if row.dataset)
    return {name: topic.story.card(name) if topic.story else None for name in used}


def set_up(topic: Topic) -> list[Block]:
    """Return what was run: the tables, the settings that are not the defaults, and what the metrics are."""
    head = ("Table", "Data", "Lines", "Seeds", "Machine")
    lines = [[markdown.inline_plain(text) for text in _run_line(run)] for run in topic.runs]
    kept = [n for n in range(len(head)) if any(markdown.plain(line[n]) for line in lines)]
    grid = {
        "kind": "grid",
        "head": [markdown.inline_plain(head[n]) for n in kept],
        "lines": [[line[n] for n in kept] for line in lines],
        "caption": "The tables of results that the figures come from.",
    }
    return [grid, *settings(topic.runs), *_metrics(topic)]


def _run_line(run: Section) -> tuple[str, ...]:
    rows = run.results.rows
    seeds = sorted({seed for row in rows for seed in row.seeds or ()})
    environment = run.environment or {}
    machine = ", ".join(
        str(environment[name]) for name in ("processor", "system") if isinstance(environment.get(name), str)
    )
    threads = environment.get("threads")
    machine += f", {threads} thread{'s' * (threads != 1)}" if isinstance(threads, int) and machine else ""
    sets = ", ".join(dict.fromkeys(row.dataset for row in rows if row.dataset))
    return run.title, sets, f"{len(rows):,}", ", ".join(map(str, seeds)), machine


def settings(runs: Sequence[Section]) -> list[Block]:
    """Return the settings of runs that differ from the defaults, or else the options that their commands give."""
    differing = {run.title: found for run in runs if (found := changed(run.config)) is not None}
    found = []
    if differing:
        head = [markdown.inline_plain(text) for text in ("Setting", "Value", "Default")]
        defaults = {one.name: one.default for several in differing.values() for one in several}
        values = _by_name({run: [one[:2] for one in several] for run, several in differing.items()})
        lines = [[markdown.inline_plain(text) for text in (*line, defaults[line[0]])] for line in values]
        caption = "Settings that differ from the defaults of their command or preset."
        found.append({"kind": "grid", "head": head, "lines": lines, "code": True, "caption": caption})
    given = {
        run.title: named
        for run in runs
        if run.title not in differing and (named := options(run.results.command))
    }
    if given:
        lines = [[markdown.inline_plain(text) for text in line] for line in _by_name(given)]
        caption = "Options that were given; all others have their defaults."
        found.append({"kind": "grid", "head": [], "lines": lines, "code": True, "caption": caption})
    return found


def _by_name(values: Mapping[str, Sequence[tuple[str, str]]]) -> list[tuple[str, str]]:
    """Return names with their value, and where runs differ with the runs that have each: ``"a, b: 1; c: 2"``."""
    names = dict.fromkeys(name for pairs in values.values() for name, _ in pairs)
    found = []
    for name in names:
        runs: dict[str, list[str]] = {}
        for run, pairs in values.items():
            if name in dict(pairs):
                runs.setdefault(dict(pairs)[name], []).append(run)
        same = len(runs) == 1 and len(next(iter(runs.values()))) == len(values)
        texts = [value if same else f"{', '.join(which)}: {value}" for value, which in runs.items()]
        found.append((name, "; ".join(texts)))
    return found


def _metrics(topic: Topic) -> list[Block]:
    """Return what the metrics of the answers are."""
    shown = _spoken_of(topic) or [row.metric for row in topic.rows]
    known = [metric_named(name) for name in dict.fromkeys(name.removesuffix(DIFFERENCE) for name in shown)]
    lines = [
        [
            markdown.inline_plain(text)
            for text in (metric.axis, metric.long_name, metric.better and f"{metric.better} is better")
        ]
        for metric in known
    ]
    head = [markdown.inline_plain(text) for text in ("Metric", "What it is", "")]
    caption = "What is measured."
    return [{"kind": "grid", "head": head, "lines": lines, "caption": caption}] if lines else []


def failures(topic: Topic, prefix: str) -> list[Block]:
    """Return what goes wrong: the answers about it, and pictures, or how to make some."""
    several = sum(bool(run.pictures) for run in topic.runs) > 1
    pictures = [
        picture(image, f"{run.title}: {caption}" if several else caption)
        for run in topic.runs
        for image, caption in run.pictures
    ]
    told = topic.told("Pictures shown" if pictures else "Pictures")
    return [*results(topic, "Failure cases", prefix), *told, *pictures]


def reproduce(topic: Topic) -> list[Block]:
    """Return the exact commands: of each run what made it, and what measured it."""
    commands: dict[str, None] = {}
    for run in topic.runs:
        made = (run.environment or {}).get("command")
        commands |= dict.fromkeys(
            text for text in (made, run.results.command) if text and isinstance(text, str)
        )
    return [*topic.told("How to reproduce"), *map(code, commands)]


def notes(topic: Topic) -> list[Block]:
    """Return what must be known to read the figures right, once each."""
    found = dict.fromkeys(note for run in topic.runs for note in run.results.notes)
    return [{"kind": "note", "text": note} for note in found]


def appendix(topic: Topic, screen: bool) -> list[dict[str, Any]]:
    """Return the figures of each run, and everything that it was made with.

    On paper the columns are those that the answers speak of: all of a study's would fill a book.
    """
    found = []
    shown = not topic.answered and len(topic.runs) == 1  # under Results
    for run in () if shown else topic.runs:
        columns = None if screen else _columns(topic, run.results.rows)
        blocks = tables(run.results.rows, columns, heading=run.lines)
        if left := len({row.metric for row in run.results.rows} - set(columns or ())) if columns else 0:
            text = f"{left} further columns stand in results.json, and in this report as .html."
            blocks.append({"kind": "note", "text": text})
        found.append({"title": f"Figures of {run.title}", "blocks": blocks, "turned": True})
    found += [
        {"title": f"All settings of {run.title}", "blocks": [_facts("", run.config)], "turned": False}
        for run in topic.runs
        if run.config
    ]
    found += _environments(topic)
    return [part for part in found if part["blocks"]]


def _environments(topic: Topic) -> list[dict[str, Any]]:
    """Return what runs were made in, once for those of the same; their commands stand elsewhere."""
    alike: list[tuple[dict[str, Any], list[str]]] = []
    for run in topic.runs:
        environment = {name: value for name, value in (run.environment or {}).items() if name != "command"}
        titles = next((titles for other, titles in alike if other == environment), None)
        if titles is not None:
            titles.append(run.title)
        elif environment:
            alike.append((environment, [run.title]))
    return [
        {"title": f"Environment of {listed(titles)}", "blocks": [_facts("", environment)], "turned": False}
        for environment, titles in alike
    ]


def _facts(title: str, values: Mapping[str, Any]) -> Block:
    """Return settings or an environment, without what is not set; a list of versions is one item."""
    shown = {name: _in_a_line(value) for name, value in values.items()}
    return {
        "kind": "facts",
        "title": title,
        "items": [(n, text) for n, text in flat(shown) if text not in ("null", "")],
    }


def _in_a_line(value: Any) -> Any:
    if isinstance(value, Mapping) and len(value) > 1 and all(isinstance(one, str) for one in value.values()):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    return value


def _columns(topic: Topic, rows: Sequence[Row]) -> list[str] | None:
    """Return the metrics of rows that the answers of a topic speak of, with their differences; None for all."""
    used = {name.removesuffix(DIFFERENCE) for name in _spoken_of(topic)}
    names = in_column_order(row.metric for row in rows)
    return [name for name in names if name.removesuffix(DIFFERENCE) in used] or None


def _spoken_of(topic: Topic) -> list[str]:
    return [
        name for _, answer in topic.answered for name in (answer.metrics or (r.metric for r in answer.rows))
    ]


def made_with(run: Section) -> list[Block]:
    """Return all settings and the environment of a run."""
    known = (("Settings", run.config), ("Environment", run.environment))
    return [_facts(title, values) for title, values in known if values]


# ------------------------------------------------------------------------------------------------- whole reports


def study(
    topics: Sequence[Topic], own: Words, title: str, authors: Sequence[str], date: str, screen: bool
) -> dict[str, Any]:
    """Return a seminar report.

    Args:
        topics: in order.
        own: what the author wrote for the whole report.
        title: its title; empty for the author's own, or the topic's.
        authors: their names.
        date: as it is to be printed.
        screen: whether it opens with the answers, their plot and their rows; in print they stand under Results.
    """
    if len(topics) == 1:
        topics = [Topic(topics[0].story, topics[0].runs, together([own, topics[0].words]))]
        own = topics[0].words
    title = title or own.title or " · ".join(topic.title for topic in topics)
    page = {
        "title": title,
        "authors": list(authors),
        "date": date,
        "abstract": own.of("Abstract") if screen else _abstract(topics, own),
        "gaps": _gaps(topics, own, authors),
        "topics": [_topic(topic, number, screen) for number, topic in enumerate(topics, start=1)],
        "front": [],
        "back": [],
        "known": _known_references(topics, own),
        "appendix": [part for topic in topics for part in appendix(topic, screen)],
    }
    if len(topics) > 1:
        page["front"] = _parts({"Introduction": own.of("Introduction")})
        others = {"Discussion": own.of("Discussion"), "Conclusion": own.of("Conclusion")}
        page["back"] = _parts({**own.extra, **others})
    return finished(page)


def _topic(topic: Topic, number: int, screen: bool) -> dict[str, Any]:
    prefix = f"plot-{number}"
    own = topic.words
    sections = {
        "Introduction": own.of("Introduction"),
        "Task": [*topic.told("Task"), *own.of("Task")],
        "Related work": [*topic.told("Related work"), *own.of("Related work")],
        "Method": [*topic.told("Method"), *own.of("Method")],
        "Data": [*data(topic), *own.of("Data")],
        "Set-up": [*topic.told("Set-up"), *set_up(topic), *own.of("Set-up")],
        "Results": [*notes(topic), *_results(topic, prefix, screen), *own.of("Results")],
        "Curves" if topic.story else "Plots": curves(topic, f"{prefix}-c"),
        "Ablations": [*results(topic, "Ablations", prefix), *own.of("Ablations")],
        "Failure cases": [*failures(topic, prefix), *own.of("Failure cases")],
        "Limits": [*topic.told("Limits"), *own.of("Limits")],
        **own.extra,
        "Discussion": own.of("Discussion"),
        "Conclusion": own.of("Conclusion"),
        "How to reproduce": [*reproduce(topic), *own.of("How to reproduce")],
    }
    return {
        "id": f"topic-{number}",
        "title": topic.title,
        "answers": answer_lines(topic),
        "lead": lead(topic, f"{prefix}-0") if screen else [],
        "links": [],
        "sections": _parts(sections),
    }


def _results(topic: Topic, prefix: str, screen: bool) -> list[Block]:
    """Return the answers with their evidence, or without any the tables of all runs side by side."""
    if topic.answered:
        return results(topic, "Results", prefix, without=0 if screen else -1)
    return [*map(sentence, (line["sentence"] for line in answer_lines(topic))), *tables(topic.rows)]


def _parts(sections: Mapping[str, Sequence[Block]]) -> list[dict[str, Any]]:
    return [{"title": title, "blocks": list(blocks)} for title, blocks in sections.items() if blocks]


def _abstract(topics: Sequence[Topic], own: Words) -> list[Block]:
    """Return the author's abstract, or the topics' own with what was found."""
    if written := own.of("Abstract"):
        return written
    found = []
    for topic in topics:
        lines = answer_lines(topic)
        found += [*topic.told("Abstract"), items([line["sentence"] for line in lines])] if lines else []
    return found


def _gaps(topics: Sequence[Topic], own: Words, authors: Sequence[str]) -> list[str]:
    """Return what is still to be written, and the way to it."""
    missing = [name for name in OWN if not own.of(name)]
    found = []
    if missing:
        found.append(
            f"{listed(missing)}: write them under these headings in a file for --text, or in RUN/report.md"
        )
    bare = [name for topic in topics for name, card in _cards_named(topic).items() if card is None]
    if bare and not any(words.of("Data") for words in (own, *(topic.words for topic in topics))):
        found.append(f"what {listed(bare)} is, with source and licence: write it under Data")
    if not authors:
        found.append("the author: --author NAME")
    return found


def _known_references(topics: Sequence[Topic], own: Words) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for topic in topics:
        known |= dict(topic.story.references) if topic.story else {}
    return known | references(own.of("References"))


def plain_page(sections: Sequence[Section], title: str) -> dict[str, Any]:
    """Return a report of sections as they are: each opens with its answers, then come tables, plots and pictures."""
    topics = []
    for number, section in enumerate(sections, start=1):
        (topic,) = by_topic([section])
        prefix = f"plot-{number}"
        first = lead(topic, f"{prefix}-0")
        plots = drawn(
            section._replace(results=_undrawn(section) if first else section.results), f"{prefix}-c"
        )
        shown = {
            "": [*notes(topic), *tables(section.results.rows, heading=section.lines)] or [sentence(NOTHING)],
            "Plots": plots,
            "Pictures": [picture(*one) for one in section.pictures],
            "How it was made": [*map(code, filter(None, [section.results.command])), *made_with(section)],
        }
        topics.append(
            {
                "id": f"topic-{number}",
                "title": section.title,
                "answers": answer_lines(topic),
                "lead": first,
                "links": [{"text": text, "target": target} for text, target in section.links],
                "sections": _parts(shown),
            }
        )
    page = {"title": title, "authors": [], "date": "", "abstract": [], "gaps": [], "topics": topics}
    return finished({**page, "front": [], "back": [], "appendix": [], "known": {}})


def _undrawn(section: Section) -> Results:
    """Return a section's results without rows: their plot stands at the top."""
    return Results("", (), section.results.curves)


# ------------------------------------------------------------------------------------------ numbers and citations


def finished(page: dict[str, Any]) -> dict[str, Any]:
    """Number what a page holds, in reading order, and list the references that it cites."""
    order = [page["abstract"], *(part["blocks"] for part in page["front"])]
    for topic in page["topics"]:
        order += [topic["lead"], *(part["blocks"] for part in topic["sections"])]
    order += [part["blocks"] for part in (*page["back"], *page["appendix"])]
    cited, missing = number([block for blocks in order for block in blocks], page.pop("known"))
    page["references"] = cited
    page["gaps"] += [f"no entry under References has the key {key}, which the text cites" for key in missing]
    return page


_NUMBERED = {
    "table": "Table",
    "differences": "Table",
    "grid": "Table",
    "plot": "Figure",
    "picture": "Figure",
}


def number(blocks: Sequence[Block], known: Mapping[str, Any]) -> tuple[list[Any], list[str]]:
    """Number tables, figures and citations in reading order, in place.

    Args:
        blocks: all blocks in reading order; each gets its ``number``.
        known: references by key.

    Returns:
        The references that are cited, in order, and the keys of those that are missing.
    """
    counts = {"Table": 0, "Figure": 0}
    cited: dict[str, int] = {}
    missing: dict[str, None] = {}
    for block in blocks:
        kind = _NUMBERED.get(block["kind"])
        if kind and "caption" in block:
            counts[kind] += 1
            block["number"] = f"{kind} {counts[kind]}"
        for runs in _runs_of(block):
            _cite(runs, known, cited, missing)
    return [known[key] for key in cited], list(missing)


def _runs_of(block: Block) -> Iterator[list[dict[str, str]]]:
    if block["kind"] == "paragraph":
        yield block["runs"]
    elif block["kind"] == "list":
        yield from block["items"]
    elif block["kind"] == "grid":
        for line in block["lines"]:
            yield from line


def _cite(
    runs: list[dict[str, str]], known: Mapping[str, Any], cited: dict[str, int], missing: dict[str, None]
) -> None:
    for place, run in enumerate(runs):
        if run["style"] != "cite":
            continue
        keys = [key.strip().removeprefix("@") for key in run["text"].split(";")]
        missing.update(dict.fromkeys(key for key in keys if key not in known))
        for key in keys:
            if key in known:
                cited.setdefault(key, len(cited) + 1)
        numbers = ", ".join(str(cited[key]) if key in cited else f"{key}?" for key in keys)
        runs[place] = {"text": f"[{numbers}]", "style": "", "target": ""}
