"""Settings of `serve`. Imports nothing heavy, so that ``--help`` is quick."""

from dataclasses import dataclass
from pathlib import Path

from seminar_common.errors import UserError


@dataclass(frozen=True)
class ServeSettings:
    """Answer requests for click probabilities over HTTP with a packed model."""

    model: Path
    """Packed model, as `recsys-bnn pack` writes it. A new file at this path is taken up without a restart; a broken one
    is refused and logged, and the old one stays."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 listens on all of this machine's. There is no authentication."""
    port: int = 8000
    """Port to listen on; 0 takes a free one and says which."""
    workers: int = 0
    """Requests scored at once, one thread each; 0 takes all cores."""
    engine: str = "auto"
    """Engine that runs the model; `auto` takes the fastest that this machine has."""
    max_rows: int = 10_000
    """Most rows, or candidates, in one request."""
    max_bytes: int = 16_000_000
    """Most bytes of a request's body."""
    max_waiting: int = 64
    """Most requests that are scored or wait for it at once; further ones are told to come again (503)."""
    watch_s: float = 1.0
    """Seconds between two looks at the model's file; 0 never looks again."""

    def __post_init__(self) -> None:
        if not 0 <= self.port < 65536:
            raise UserError(f"--port {self.port}: must be from 0 to 65535")
        if self.workers < 0:
            raise UserError(f"--workers {self.workers}: must be 0 (all cores) or more")
        for option in ("max_rows", "max_bytes", "max_waiting"):
            if getattr(self, option) < 1:
                raise UserError(f"--{option.replace('_', '-')} {getattr(self, option)}: must be 1 or more")
        if not 0 <= self.watch_s < float("inf"):
            raise UserError(f"--watch-s {self.watch_s}: must be 0 (never) or more seconds")


@dataclass(frozen=True)
class ServeLoad:
    """What the part `serve` of `bench` asks of a server."""

    served: tuple[str, ...] = ("float", "mixed-e8-b8-w8-a8", "binary-a4", "binary", "mixed-e1-b8-w1-a1")
    """Models to serve; the first is what the others are compared with."""
    candidates: int = 1000
    """Candidates in one request."""
    limit_ms: float = 20.0
    """The 99th percentile of the times of requests must stay below it."""
    window_s: float = 5.0
    """Seconds at each rate that is tried."""
    soak_minutes: float = 0.0
    """Minutes at 80% of its rate for the last model, with two reloads; 0 leaves them out."""
    serve_workers: int = 1
    """Requests that the server scores at once."""

    def __post_init__(self) -> None:
        if not self.served or self.candidates < 1 or self.serve_workers < 1:
            raise UserError("--served must name a model, --candidates and --serve-workers be 1 or more")
        if self.limit_ms <= 0 or self.window_s <= 0 or self.soak_minutes < 0:
            raise UserError("--limit-ms and --window-s must be above 0, --soak-minutes 0 or more")
