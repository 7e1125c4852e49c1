"""A report as one HTML page that opens offline."""

import base64
from pathlib import Path
from typing import Any

from seminar_common import plots
from seminar_common.markup import templates

TEMPLATES = Path(__file__).parents[1] / "templates"


def render(page: dict[str, Any]) -> str:
    """Return the page of :mod:`seminar_common.reporting.paper` as HTML: no text in it is markup."""
    template = templates("seminar_common").get_template("report.html")
    return template.render(printable(page), source=_source)


def _source(picture: dict[str, Any]) -> str:
    """Return the address of a picture, which holds the picture itself."""
    return f"data:image/{picture['format']};base64,{base64.b64encode(picture['image']).decode()}"


def printable(value: Any) -> Any:
    """Return ``value`` with every text in it fit for UTF-8."""
    if isinstance(value, str):
        return plots.printable(value)
    if isinstance(value, dict):
        return {key: printable(item) for key, item in value.items()}
    return [printable(item) for item in value] if isinstance(value, (list, tuple)) else value
