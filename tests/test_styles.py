"""Every colour and length that a page's style sheets use is defined on that page."""

import re
from pathlib import Path

import pytest

from doc_detect.gallery import _head as doc_gallery
from gcd_longtail.figures.gallery import _head as gcd_gallery

ROOT = Path(__file__).parents[1]
TEMPLATES = [path for path in ROOT.glob("packages/*/src/*/templates/**/*") if path.is_file()]
FILES = {path.name: path.read_text(encoding="utf-8") for path in TEMPLATES if path.name != "gallery.css"}
SCRIPTS = "".join(text for name, text in FILES.items() if name.endswith(".js"))
PAGES = {
    name: re.sub(r'\{% include "([^"]+)" %\}', lambda found: FILES[found[1]], text)
    for name, text in FILES.items()
    if name.endswith(".html") and name != "gallery.html"
} | {"gallery of pages": doc_gallery("pages"), "gallery of categories": gcd_gallery("categories", "")}


@pytest.mark.parametrize("page", PAGES)
def test_what_a_style_sheet_uses_is_defined(page: str) -> None:
    text = PAGES[page]
    used = set(re.findall(r"var\((--[\w-]+)\)", text))
    defined = set(re.findall(r"(--[\w-]+)\s*:", text)) | set(re.findall(r'"(--[\w-]+)"', SCRIPTS))
    assert {"--ink", "--page"} <= used
    assert used <= defined
