"""Next to nothing, as a measure of what an inspector can cost at least.

Two extensions of an application that are of no use to anybody. :class:`Listening`
listens wherever the inspector hears of a healthy request, and does nothing: what that
costs is the price of being called, which Flask and SQLAlchemy ask of everybody.
:class:`Noting` also takes the times, names, numbers and lines of code that a record
shows of its request, sessions, transactions, statements and connections, and keeps them
as tuples, by the shortest code.

It does not find out to which registry a session belongs and how it ended, what a
statement wrote or which relationship it loaded, and it makes no allowance for anything
that can go wrong or run beside it: no second thread, no nested context, no streamed
response, no error of its own, no finding, and no care for what the collector has to go
through.
"""

from __future__ import annotations

import sys
import typing as t
from collections import deque
from threading import get_ident
from time import perf_counter
from time import time

import flask
from flask import globals as flask_globals
from flask import request
from sqlalchemy import Engine
from sqlalchemy import event
from sqlalchemy.orm import Session
from sqlalchemy.pool import Pool

_app_context: t.Any = vars(flask_globals)["_cv_app"]
_get_request: t.Callable[[], flask.Request]
_get_request = request._get_current_object  # type: ignore[attr-defined] # a proxy

# Of the application whose requests are measured.
_FILE = "variants.py"


class _Entrance:
    def __init__(self, wsgi_app: t.Any) -> None:
        self.wsgi_app = wsgi_app

    def __call__(self, environ: t.Any, start_response: t.Any) -> t.Any:
        return self.wsgi_app(environ, start_response)


class Listening:
    """Listens wherever the inspector hears of a healthy request, and does nothing."""

    def __init__(self, app: flask.Flask) -> None:
        # Flask's signals keep no receiver alive.
        app.extensions["floor"] = self
        app.wsgi_app = _Entrance(app.wsgi_app)  # type: ignore[method-assign] # as Flask says
        self._receivers = (
            (flask.appcontext_pushed, self.pushed()),
            (flask.appcontext_popped, self.popped()),
        )
        for signal, receiver in self._receivers:
            signal.connect(receiver, sender=app)
        self._process(app)
        self._first(app, "full_dispatch_request", self.begins())
        self._first(app, "do_teardown_request", lambda: None)
        self._first(app, "do_teardown_appcontext", self.tearing_down())
        event.listen(Session, "after_transaction_create", self.transaction_created())
        event.listen(Session, "after_begin", self.begun())
        event.listen(Session, "after_transaction_end", self.transaction_ended())
        event.listen(Pool, "checkout", self.checked_out())
        event.listen(Pool, "checkin", self.checked_in())
        event.listen(Engine, "do_execute", self.executing())

    def _process(self, app: t.Any) -> None:
        respond, finished = app.process_response, self.finished()

        def process(*arguments: t.Any, **named: t.Any) -> t.Any:
            response = respond(*arguments, **named)
            finished(response)
            return response

        app.process_response = process

    @staticmethod
    def _first(app: t.Any, name: str, ours: t.Callable[[], None]) -> None:
        method = getattr(app, name)

        def around(*arguments: t.Any, **named: t.Any) -> t.Any:
            ours()
            return method(*arguments, **named)

        setattr(app, name, around)

    def pushed(self) -> t.Any:
        """Return what is called when a context is pushed; those below are likewise."""
        return _nothing

    def begins(self) -> t.Any:
        return lambda: None

    def finished(self) -> t.Any:
        return lambda response: None

    def popped(self) -> t.Any:
        return _nothing

    def tearing_down(self) -> t.Any:
        return lambda: None

    def transaction_created(self) -> t.Any:
        return lambda session, transaction: None

    def begun(self) -> t.Any:
        return lambda session, transaction, connection: None

    def transaction_ended(self) -> t.Any:
        return lambda session, transaction: None

    def checked_out(self) -> t.Any:
        return lambda connection, record, proxy: None

    def checked_in(self) -> t.Any:
        return lambda connection, record: None

    def executing(self) -> t.Any:
        return lambda cursor, statement, parameters, context: None


def _nothing(app: flask.Flask, **_: t.Any) -> None:
    pass


class Noting(Listening):
    """Notes what a record shows as tuples, and cares for nothing else.

    :ivar kept: The last records.
    """

    def __init__(self, app: flask.Flask) -> None:
        self.kept: deque[t.Any] = deque(maxlen=1000)
        super().__init__(app)

    def pushed(self) -> t.Any:
        def pushed(app: flask.Flask, **_: t.Any) -> None:
            _app_context.get()._noted = [time(), perf_counter(), get_ident()]

        return pushed

    def begins(self) -> t.Any:
        def begins() -> None:
            given = _get_request()
            noted = _app_context.get()._noted
            noted += (given.method, given.path, given.query_string, given.endpoint)

        return begins

    def finished(self) -> t.Any:
        def finished(response: flask.Response) -> None:
            _app_context.get()._noted.append(response.status_code)

        return finished

    def tearing_down(self) -> t.Any:
        kept = self.kept

        def tearing_down() -> None:
            noted = _app_context.get()._noted
            noted.append(perf_counter())
            kept.append(noted)

        return tearing_down

    def _nearest(self) -> t.Callable[[], tuple[str, int, str]]:
        """Return what finds the application's line, always as far away as at first."""
        locations: dict[tuple[int, int], tuple[str, int, str]] = {}
        depth = 0

        def nearest() -> tuple[str, int, str]:
            nonlocal depth
            frame = sys._getframe(depth)
            code = frame.f_code
            found = locations.get((id(code), frame.f_lasti))
            if found is None:
                while not frame.f_code.co_filename.endswith(_FILE):
                    depth += 1
                    frame = sys._getframe(depth)
                code = frame.f_code
                found = (code.co_filename, frame.f_lineno, code.co_name)
                locations[id(code), frame.f_lasti] = found
            return found

        return nearest

    def transaction_created(self) -> t.Any:
        locate = self._nearest()

        def created(session: t.Any, transaction: t.Any) -> None:
            _app_context.get()._noted.append(
                (session.hash_key, id(session), type(session).__name__, locate())
            )

        return created

    def begun(self) -> t.Any:
        def begun(session: t.Any, transaction: t.Any, connection: t.Any) -> None:
            connection._noted = session.hash_key
            _app_context.get()._noted.append(
                (session.hash_key, perf_counter(), transaction.nested)
            )

        return begun

    def transaction_ended(self) -> t.Any:
        def ended(session: t.Any, transaction: t.Any) -> None:
            _app_context.get()._noted.append((session.hash_key, perf_counter()))

        return ended

    def checked_out(self) -> t.Any:
        locate = self._nearest()

        def checked_out(connection: t.Any, record: t.Any, proxy: t.Any) -> None:
            _app_context.get()._noted.append((id(record), perf_counter(), locate()))

        return checked_out

    def checked_in(self) -> t.Any:
        def checked_in(connection: t.Any, record: t.Any) -> None:
            _app_context.get()._noted.append((id(record), perf_counter()))

        return checked_in

    def executing(self) -> t.Any:
        locate = self._nearest()

        def executing(
            cursor: t.Any, statement: str, parameters: t.Any, context: t.Any
        ) -> bool:
            noted = _app_context.get()._noted
            began = perf_counter()
            context.dialect.do_execute(cursor, statement, parameters, context)
            ended = perf_counter()
            noted.append(
                (
                    began,
                    ended,
                    statement,
                    cursor.rowcount,
                    context.root_connection._noted,
                    locate(),
                    hash(parameters),
                )
            )
            return True

        return executing
