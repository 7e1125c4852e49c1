import pytest

from seminar_common.reporting.markdown import blocks, by_heading, inline, plain


def kinds(text):
    return [block["kind"] for block in blocks(text)]


def test_a_line_has_bold_emphasis_code_links_and_citations():
    runs = inline("a **b** *c* `d*e*` [f](https://example.org/x) [@g2020; @h] i")
    assert [(run["text"], run["style"]) for run in runs if run["style"]] == [
        ("b", "strong"),
        ("c", "emph"),
        ("d*e*", "code"),
        ("f", "link"),
        ("@g2020; @h", "cite"),
    ]
    assert runs[7]["target"] == "https://example.org/x"
    assert plain(runs) == "a b c d*e* f @g2020; @h i"


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        '#import "x": *',
        "$x_1$ <b>y</b> \\textbf{z}",
        "2 * 3 * 4 and a_b_c",
        "[a](javascript:alert(1))",  # a link leads to the web alone
        "[a](file:///etc/passwd)",
        "{{ 7 * 7 }}",
        "**",
        "`",
    ],
)
def test_what_is_no_markdown_of_ours_is_text(text):
    assert inline(text) == [{"text": text, "style": "", "target": ""}]


def test_blocks_follow_each_other_as_they_are_written():
    text = """One paragraph
on two lines.
- first
  goes on
- second

1. one
2. two

```
# no heading
- no item
```
> quoted

| a | b |
|---|---|
| 1 | 2 \\| 3 |
| 4 |

![a page](page.png)
"""
    assert kinds(text) == ["paragraph", "list", "list", "code", "paragraph", "grid", "picture-file"]
    found = blocks(text)
    assert plain(found[0]["runs"]) == "One paragraph on two lines."
    assert [plain(item) for item in found[1]["items"]] == ["first goes on", "second"]
    assert not found[1]["ordered"] and found[2]["ordered"]
    assert found[3]["text"] == "# no heading\n- no item"
    assert plain(found[4]["runs"]) == "quoted"
    cells = [[plain(cell) for cell in line] for line in found[5]["lines"]]
    assert cells == [["1", "2 | 3"], ["4", ""]]  # a short line is filled up
    assert (found[6]["file"], found[6]["caption"]) == ("page.png", "a page")


def test_a_text_is_split_at_its_highest_headings():
    text = by_heading("before\n\n## One\n\ntext\n\n### Deeper\n\n## Two ##\nmore")
    assert (text.title, [part.title for part in text.parts]) == ("", ["", "One", "Two"])
    assert [block["kind"] for block in text.parts[1].blocks] == ["paragraph", "heading"]
    assert text.parts[1].blocks[1]["level"] == 0


def test_one_heading_over_all_others_is_the_title():
    text = by_heading("# My study\n\n## Introduction\n\ntext")
    assert (text.title, [part.title for part in text.parts]) == ("My study", ["Introduction"])


@pytest.mark.parametrize("text", ["", "\n\n", "```\nnever closed", "|", "| a |\n|---|", "#", "####### seven"])
def test_odd_texts_are_read_to_their_end(text):
    assert isinstance(blocks(text), list)
