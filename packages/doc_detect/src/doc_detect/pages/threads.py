"""Work on pages side by side: decoders and runtimes let go of Python's lock."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def in_any_order(function: Callable[[Item], Answer], items: Iterable[Item], workers: int) -> Iterator[Answer]:
    """Yield ``function`` of every item as it is finished, by ``workers`` threads, with few items waiting at a time."""
    waiting: set[Future[Answer]] = set()
    with ThreadPoolExecutor(workers) as pool:
        for item in items:
            waiting.add(pool.submit(function, item))
            if len(waiting) >= 2 * workers:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        yield from (future.result() for future in as_completed(waiting))
