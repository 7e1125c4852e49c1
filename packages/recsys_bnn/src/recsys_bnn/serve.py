"""Answer requests for click probabilities over HTTP, with a packed model that may be replaced while the server runs.

What a request may hold stands in :mod:`recsys_bnn.serving`. SIGTERM and Ctrl-C end the server: it takes no new
connection, answers the requests that it has, and exits with status 0, as that is how a server is meant to end.
"""

import gc
import socket

import uvicorn

from recsys_bnn.serving.app import make_app
from recsys_bnn.serving.held import Held
from recsys_bnn.serving.served import Served, same_features, served
from recsys_bnn.settings.serve import ServeSettings
from seminar_common.device import usable_cores
from seminar_common.errors import UserError
from seminar_common.progress import say
from seminar_common.signals import Terminated

GRACE_S = 30
"""Seconds that requests in flight have to end in."""
KEEP_ALIVE_S = 75
"""Seconds that an idle connection is kept: longer than proxies keep theirs, else a request may meet the end of one."""
BACKLOG = 1024


def serve(settings: ServeSettings) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Raises:
        UserError: the port is taken, or the model's file can't be used.
    """
    with _listening(settings.host, settings.port) as listener:
        held: Held[Served] = Held(
            settings.model,
            lambda path: served(path, settings.engine, settings.max_rows),
            same_features,
        )
        workers = settings.workers or usable_cores()
        config = uvicorn.Config(
            make_app(held, settings, workers),
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=GRACE_S,
            timeout_keep_alive=KEEP_ALIVE_S,
            backlog=BACKLOG,
        )
        host, port = listener.getsockname()[:2]
        gc.freeze()  # what stands now stays: no request waits until all of it has been looked through
        say(
            f"serving {held.current.summary} at http://{host}:{port}, {workers} requests at once; Ctrl-C ends it"
        )
        try:
            uvicorn.Server(config).run([listener])
        except (KeyboardInterrupt, Terminated):
            say("stopped")


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        UserError: the port is taken or may not be used, or this machine has no such address.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)  # from here on requests wait rather than being refused
    except OSError as error:
        raise UserError(
            f"--host {host} --port {port}: can't listen there ({error.strerror}); choose another --port, "
            "or --port 0 for a free one"
        ) from error
    return listener
