"""Measures what it takes to put an ended record into the memory store.

Prints :class:`HandingOver` as JSON, from a process of its own.
"""

from __future__ import annotations

import collections.abc as cabc
import json
import statistics
import time
import timeit
import typing as t

from flask_session_inspector.recorder import Scope
from flask_session_inspector.stores.memory import MemoryStore

from . import pinning

CAPACITY = 1000
REPEAT = 50


class HandingOver(t.NamedTuple):
    """What one record takes, in nanoseconds.

    :ivar least: The fastest thousand, and ``middle`` the median of thousands.
    """

    least: float
    middle: float


def measure() -> HandingOver:
    """Measure it in a process of its own."""
    return HandingOver(**json.loads(pinning.run("tests.bench.handing_over")))


def _seam() -> tuple[cabc.Callable[[Scope], object], cabc.Callable[[], Scope]]:
    """Return the last step of handing over, and what makes a record for it.

    All that this module knows of the inspector is here.
    """
    unused: t.Any = None  # Builds records when they are looked at, which none is.
    store = MemoryStore(CAPACITY, unused)
    return store.put, lambda: Scope("bench", "request", 1000)


def main() -> None:
    put, make = _seam()
    # A record that is pushed out is not freed meanwhile: that is a part of the request
    # which pushes it out, and measured there.
    alive: list[list[Scope]] = []

    def prepare() -> None:
        alive.append([make() for _ in range(CAPACITY)])
        del alive[:-2]

    def put_all() -> None:
        for scope in alive[-1]:
            put(scope)

    timer = timeit.Timer(put_all, prepare, time.process_time)
    timer.timeit(1)  # Only a full store pushes out.
    took = [seconds / CAPACITY * 1e9 for seconds in timer.repeat(REPEAT, 1)]
    print(json.dumps(HandingOver(min(took), statistics.median(took))._asdict()))


if __name__ == "__main__":
    main()
