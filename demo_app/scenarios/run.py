"""One run of a scenario: requests from a thread that knows no other context."""

from __future__ import annotations

import contextlib
import contextvars
import threading
import typing as t

from flask import Flask
from flask import current_app
from flask import request
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from flask_session_inspector import Finding

from .scenario import Scenario
from .scenario import View
from .scenario import Way

# A key of the WSGI environment; no client can set one of this form.
_ENVIRON_KEY = "demo_app.run"

P = t.ParamSpec("P")
T = t.TypeVar("T")


class Run:
    """What a scenario's code can ask for while it runs.

    :param app: The shop.
    :param engine: The shop's engine, to be used without an app context.
    :param scenario: What is run.
    :param way: Which way of it.
    :param name: Unique; the thread that sends the requests has it.
    :ivar reported: Findings that another process reported.
    """

    def __init__(
        self, app: Flask, engine: Engine, scenario: Scenario, way: Way, name: str
    ) -> None:
        self.app = app
        self.engine = engine
        self.reported: tuple[Finding, ...] = ()
        self._scenario = scenario
        self._way = way
        self._name = name
        self._client = app.test_client(use_cookies=False)
        self._later: list[t.Callable[[], object]] = []
        self._open = contextlib.ExitStack()

    def go(self) -> None:
        """Do everything that the way says."""
        way = self._way
        if way.drive is not None:
            way.drive(self)
        elif way.view is not None:
            for _ in range(way.visits):
                self.visit(way.view)

    def visit(self, view: View) -> str:
        """Send a request to a view, and read the whole response.

        :return: Its text; empty where the view raised what it is known to raise.
        """
        text = ""
        with contextlib.suppress(*self._way.raises), self._send(view) as response:
            text = response.get_data(as_text=True)
        while self._later:
            run_in_thread(self._later.pop(0), f"{self._name}, later")
        return text

    def open(self, view: View) -> None:
        """Send a request to a view, and read the first piece of the response only.

        The response is closed when the run is over.
        """
        self._open.callback(self._send(view).close)

    def _send(self, view: View) -> TestResponse:
        return self._client.get(
            f"/scenarios/{self._scenario.code}/steps/{view.__name__}",
            environ_overrides={_ENVIRON_KEY: self},
        )

    def after_response(self, job: t.Callable[[], object]) -> None:
        """Keep a job for the time after the response."""
        self._later.append(job)

    def close_at_the_end(self, session: Session) -> None:
        """Close a session when the run is over."""
        self._open.callback(session.close)

    def tidy(self) -> None:
        """Leave nothing behind; the records are complete by then."""
        with self._open:
            self._scenario.tidy(self)


def is_step() -> bool:
    """Say whether the current request was sent by a run."""
    return _ENVIRON_KEY in request.environ


def this_app() -> Flask:
    """Return the application itself, which a thread can be given."""
    return current_app._get_current_object()  # type: ignore[attr-defined,no-any-return]


def later(job: t.Callable[P, object], *given: P.args, **named: P.kwargs) -> None:
    """Do a job in a background thread, once the response has been sent."""
    run: Run = request.environ[_ENVIRON_KEY]
    for value in given:
        if isinstance(value, Session):
            run.close_at_the_end(value)
    run.after_response(lambda: job(*given, **named))


def in_thread(job: t.Callable[[], T]) -> T:
    """Do a job in a thread of its own, and wait for what it returns."""
    return run_in_thread(job, f"{threading.current_thread().name}, helper")


def run_in_thread(job: t.Callable[[], T], name: str) -> T:
    """Do a job in a thread without any context variables, and wait for it.

    :raises BaseException: Whatever the job raised.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(job())
        except BaseException as error:
            errors.append(error)

    # A thread may inherit the context variables of the one that starts it.
    thread = threading.Thread(target=contextvars.Context().run, args=(work,), name=name)
    thread.start()
    thread.join()
    if errors:
        raise errors.pop()
    return results.pop()
