"""Measures what it takes to hand over an ended record.

Prints :class:`HandingOver` as JSON, from a process of its own.
"""

from __future__ import annotations

import collections.abc as cabc
import json
import statistics
import time
import timeit
import typing as t
from queue import SimpleQueue

from flask_session_inspector.recorder import Origin
from flask_session_inspector.recorder import Scope
from flask_session_inspector.stores.memory import MemoryStore

from . import pinning

CAPACITY = 1000
REPEAT = 50


class HandingOver(t.NamedTuple):
    """What one record takes, in nanoseconds.

    :ivar least: The fastest thousand, and ``middle`` the median of thousands, of
        putting it into a queue, as a store does that writes in a thread of its own.
    :ivar store: The median of putting it into the memory store, which packs it.
    """

    least: float
    middle: float
    store: float


def measure() -> HandingOver:
    """Measure it in a process of its own."""
    return HandingOver(**json.loads(pinning.run("tests.bench.handing_over")))


def _record() -> Scope:
    scope = Scope(Origin("bench", 1000), "request")
    scope.stopped = scope.started
    return scope


def main() -> None:
    queue: SimpleQueue[tuple[Scope, bool, bool]] = SimpleQueue()
    unused: t.Any = None  # Builds records when they are looked at, which none is.
    store = MemoryStore(CAPACITY, unused)

    def enqueue(scope: Scope) -> None:
        queue.put((scope, True, False))

    queued = _times(enqueue)
    while not queue.empty():
        queue.get()
    stored = _times(store.put)
    result = HandingOver(
        min(queued), statistics.median(queued), statistics.median(stored)
    )
    print(json.dumps(result._asdict()))


def _times(put: cabc.Callable[[Scope], object]) -> list[float]:
    # A record that is pushed out is not freed meanwhile: that is a part of the request
    # which pushes it out, and measured there.
    alive: list[list[Scope]] = []

    def prepare() -> None:
        alive.append([_record() for _ in range(CAPACITY)])
        del alive[:-2]

    def put_all() -> None:
        for scope in alive[-1]:
            put(scope)

    timer = timeit.Timer(put_all, prepare, time.process_time)
    timer.timeit(1)  # Only a full store pushes out.
    return [seconds / CAPACITY * 1e9 for seconds in timer.repeat(REPEAT, 1)]


if __name__ == "__main__":
    main()
