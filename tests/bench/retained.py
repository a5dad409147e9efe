"""Measures what the memory store keeps of requests, in a process of its own.

Reads a line, the URL of the database, and prints :class:`Retained` as JSON.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
import tracemalloc
import typing as t

import flask

from . import pinning
from .variants import make_app
from .worker import FILL
from .worker import serve

# Statements in a request, beyond the first.
FURTHER = 20


class Retained(t.NamedTuple):
    """What is kept.

    :ivar record: Bytes of the record of a request with one query.
    :ivar event: Bytes of each further statement in it.
    :ivar record_objects: How many objects of such a record the garbage collector
        visits.
    :ivar event_objects: The same of each further statement.
    :ivar bare: Bytes for each request without the inspector: should be none.
    :ivar full_collection: By how many milliseconds a full store of such records makes
        a full collection longer.
    """

    record: float
    event: float
    record_objects: float
    event_objects: float
    bare: float
    full_collection: float


def measure(database: str) -> Retained:
    """Measure it in a process of its own."""
    return Retained(**json.loads(pinning.run("tests.bench.retained", database)))


def growth(app: flask.Flask, path: str, first: int, more: int) -> tuple[float, float]:
    """Return by what one more request makes the process grow.

    :param first: How many requests are retained before: the first ones fill caches.
    :return: The bytes, and the objects that the garbage collector visits.
    """
    serve(app, path, first)
    before = _held()
    serve(app, path, more)
    after = _held()
    return (after[0] - before[0]) / more, (after[1] - before[1]) / more


def _held() -> tuple[int, int]:
    gc.collect()
    return tracemalloc.get_traced_memory()[0], len(gc.get_objects())


def full_collection(app: flask.Flask) -> float:
    """Return by how many milliseconds a full store makes a full collection longer."""
    serve(app, "/one", FILL)
    with_records = _collect()
    app.extensions["session_inspector"].clear()
    return (with_records - _collect()) * 1000


def _collect() -> float:
    took = []
    for _ in range(6):
        began = time.process_time()
        gc.collect()
        took.append(time.process_time() - began)
    return statistics.median(took[1:])  # The first one frees something.


def main() -> None:
    database = sys.stdin.readline().rstrip("\n")
    bare = make_app("bare", database)
    # More than is sent, so that nothing is pushed out.
    ours = make_app("ours", database, SESSION_INSPECTOR_MAX_REQUESTS=10_000)
    longer = full_collection(make_app("ours", database))
    tracemalloc.start()
    nothing, _ = growth(bare, "/one", 1000, 500)
    record, record_objects = growth(ours, "/one", 1000, 1000)
    short, short_objects = growth(ours, "/many/1", 50, 100)
    long, long_objects = growth(ours, f"/many/{1 + FURTHER}", 50, 100)
    result = Retained(
        record=record,
        event=(long - short) / FURTHER,
        record_objects=record_objects,
        event_objects=(long_objects - short_objects) / FURTHER,
        bare=nothing,
        full_collection=longer,
    )
    print(json.dumps(result._asdict()))


if __name__ == "__main__":
    main()
