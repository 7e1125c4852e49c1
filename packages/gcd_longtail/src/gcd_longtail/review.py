"""``review``: name, merge, split and correct what a run of `discover` found, in a browser, with any number of images."""

import contextlib
import webbrowser
from pathlib import Path
from typing import Any

from gcd_longtail.discovery.run import read_config
from gcd_longtail.figures.gallery import FACTS, served_page
from gcd_longtail.reviewing.decisions import FILE, run_identity
from gcd_longtail.reviewing.ledger import open_ledger
from gcd_longtail.reviewing.server import Pictures, ReviewServer
from gcd_longtail.settings.commands import ReviewSettings
from seminar_common import files, runs
from seminar_common.errors import UserError
from seminar_common.progress import say
from seminar_common.signals import Terminated

_LOOKED_AT = 50
"""Images of which one has to be there."""


def review(settings: ReviewSettings) -> None:
    """Serve the gallery of a run until Ctrl-C or SIGTERM; append each decision to ``RUN/decisions.jsonl``.

    Raises:
        UserError: no run of `discover`, one without a gallery, images that are gone, decisions of another run, another
            `review` of this run, or a port that is taken.
    """
    config = read_config(runs.open_run(settings.run), "discover")
    run, facts = run_identity(config), _facts(settings.run)
    if facts.get("run") != run:
        raise UserError(f"{settings.run / FACTS}: of another run; make the run again")
    folder = settings.images or Path(config["settings"]["images"])
    pictures = Pictures(folder.absolute(), facts["keys"])
    _check_images(pictures, folder)
    with open_ledger(settings.run / FILE, run, facts["names"], facts["keys"]) as ledger:
        with ReviewServer(settings.port, served_page(facts | {"served": "./"}), pictures, ledger) as server:
            _say_where(server, settings, len(ledger))
            with contextlib.suppress(KeyboardInterrupt, Terminated):
                server.serve_forever(poll_interval=0.2)
        say(f"{_decisions(len(ledger))} in {settings.run / FILE}")


def _facts(run: Path) -> dict[str, Any]:
    path = run / FACTS
    if not path.exists():
        raise UserError(f"{path}: no such file; an older version made the run: make it again")
    facts = files.read_json(path)
    if not isinstance(facts, dict) or facts.get("version") != 1:
        raise UserError(f"{path}: of a form that is not known here; make the run again")
    return facts


def _check_images(pictures: Pictures, folder: Path) -> None:
    count = len(pictures.keys)
    some = range(0, count, max(1, count // _LOOKED_AT))
    if not any(pictures.path(number).is_file() for number in some):
        raise UserError(f"{folder}: holds none of the run's images; say where they are with --images")


def _decisions(count: int) -> str:
    return f"{count:,} decision{'' if count == 1 else 's'}"


def _say_where(server: ReviewServer, settings: ReviewSettings, decisions: int) -> None:
    going_on = f", going on after {_decisions(decisions)}" if decisions else ""
    say(f"open {server.address} on this machine{going_on}; Ctrl-C ends it, nothing is lost")
    if settings.browser:
        webbrowser.open(server.address)
