"""HTML pages from templates: no text in them is markup."""

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


@functools.cache
def templates(*packages: str) -> "Environment":
    """Return the templates of the first package that has one of a name; each is compiled once.

    Args:
        packages: Packages with a folder ``templates``, the first one first.
    """
    import jinja2

    return jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(name) for name in packages]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
