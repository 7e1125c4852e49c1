"""The one kind of error that is meant for the person at the keyboard."""

from collections.abc import Iterable


class UserError(Exception):
    """Something the user can mend: shown as one line, without a traceback, with exit status 2.

    The message names the file (and the line or page), what was expected and how to mend it.
    """

    def __init__(self, message: str):
        super().__init__(" ".join(message.split()))


def choices(names: Iterable[str]) -> str:
    """Return names as an English list for a message, e.g. ``"paper, small or smoke"``."""
    ordered = sorted(names)
    return ordered[0] if len(ordered) == 1 else f"{', '.join(ordered[:-1])} or {ordered[-1]}"
