"""One process of the benchmark: an application that is told what to serve.

Reads lines ``ROUTE REQUESTS THREADS`` and answers each with the seconds they took,
the processor's and the clock's.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
import typing as t

import flask
from werkzeug.test import EnvironBuilder

from .variants import make_app


def _start_response(status: str, *arguments: t.Any) -> None:
    if not status.startswith("200"):
        raise RuntimeError(f"The application answered {status}.")


def serve(app: flask.Flask, environ: dict[str, t.Any], requests: int) -> None:
    """Send requests to an application as a server does, one after another."""
    for _ in range(requests):
        response = app.wsgi_app(environ.copy(), _start_response)  # type: ignore[arg-type] # a dict all the same
        try:
            for _part in response:
                pass
        finally:
            response.close()  # type: ignore[attr-defined] # Flask's have it


def measure(app: flask.Flask, path: str, requests: int, threads: int) -> float:
    """Return how many seconds some requests take.

    :param threads: How many of them send that many requests each.
    """
    environ = EnvironBuilder(path).get_environ()
    if threads == 1:
        began = time.perf_counter()
        serve(app, environ, requests)
        return time.perf_counter() - began
    workers = [
        threading.Thread(target=serve, args=(app, environ, requests))
        for _ in range(threads)
    ]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return time.perf_counter() - began


def main() -> None:
    variant, database = sys.stdin.readline().split()
    app = make_app(variant, database)
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        path, requests, threads = line.split()
        print(measure(app, path, int(requests), int(threads)), flush=True)


if __name__ == "__main__":
    main()
