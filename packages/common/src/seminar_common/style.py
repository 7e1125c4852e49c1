"""The colours and fonts that all pages of the project share: reports, demos, galleries."""

from pathlib import Path


def page_style() -> str:
    """Return the style sheet that every page begins with, for light and dark screens.

    It defines the colours ``--page``, ``--card``, ``--ink``, ``--muted``, ``--line``, ``--soft`` and ``--accent``, and the
    fonts ``--sans`` and ``--mono``.
    """
    return (Path(__file__).parent / "templates" / "page.css").read_text(encoding="utf-8")
