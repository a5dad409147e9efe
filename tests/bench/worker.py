"""One process of the benchmark: an application that is told what to serve.

Reads a line ``VARIANT DATABASE``, then lines ``PATH REQUESTS THREADS``. It answers each
of these with the seconds that the requests took without the garbage collector, and
those that its usual collections took.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
import typing as t

import flask
from werkzeug.test import EnvironBuilder

from .variants import import_all
from .variants import make_app

# What the inspector retains unless configured otherwise.
FILL = 1000


class Collector:
    """Adds up how long the garbage collector works.

    :ivar usual: The seconds of its usual collections so far.
    :ivar full: Those of full ones. One of them takes as long as many runs, and comes
        once in thousands of requests, whatever it is that is served then.
    """

    def __init__(self) -> None:
        self.usual = 0.0
        self.full = 0.0
        self._began = 0.0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, info: dict[str, t.Any]) -> None:
        if phase == "start":
            self._began = time.process_time()
            return
        took = time.process_time() - self._began
        if info["generation"] < 2:
            self.usual += took
        else:
            self.full += took


def _start_response(status: str, *arguments: t.Any) -> None:
    if not status.startswith("200"):
        raise RuntimeError(f"The application answered {status}.")


def serve(app: flask.Flask, path: str, requests: int) -> None:
    """Send requests to an application as a server does, one after another."""
    environ: t.Any = EnvironBuilder(path).get_environ()
    start_response: t.Any = _start_response
    for _ in range(requests):
        response: t.Any = app.wsgi_app(environ.copy(), start_response)
        try:
            for _part in response:
                pass
        finally:
            response.close()


def measure(app: flask.Flask, path: str, requests: int, threads: int) -> float:
    """Return how many seconds some requests take.

    A request of one thread waits for nothing, so that is the time of the processor,
    from which other processes do not take away. Threads wait for each other: theirs
    is the time of the clock.

    :param threads: How many of them send that many requests each.
    """
    if threads == 1:
        began = time.process_time()
        serve(app, path, requests)
        return time.process_time() - began
    workers = [
        threading.Thread(target=serve, args=(app, path, requests))
        for _ in range(threads)
    ]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return time.perf_counter() - began


def main() -> None:
    import_all()
    variant, database = sys.stdin.readline().rstrip("\n").split(maxsplit=1)
    app = make_app(variant, database)
    # Only when no more records can be retained does each push out another.
    serve(app, "/one", FILL)
    gc.collect()
    collector = Collector()
    for line in sys.stdin:
        path, requests, threads = line.split()
        # Others have worked meanwhile, the bare one least long ago: without this, it
        # alone would find in the processor's caches what it had there.
        serve(app, path, int(requests) // 4)
        collector.usual = collector.full = 0.0
        took = measure(app, path, int(requests), int(threads))
        own = took - collector.usual - collector.full
        print(own, collector.usual, flush=True)


if __name__ == "__main__":
    main()
