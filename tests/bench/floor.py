"""The least that an inspector could do, as a measure of what one can cost.

Two extensions of an application that are of no use to anybody. :class:`Listening`
listens wherever the inspector does and does nothing: what that costs is the price of
being called, which Flask's signals and SQLAlchemy's events ask of every listener.
:class:`Noting` also takes the times, the names, the lines of code and the numbers that
a record must have (``contract.md`` names them) and keeps them as tuples. It makes no
allowance for anything that can go wrong or run beside it: no second thread, no nested
context, no streamed response, no error of its own, no finding.
"""

from __future__ import annotations

import sys
import typing as t
from collections import deque
from threading import get_ident
from time import perf_counter
from time import time

import flask
from flask import request
from flask.globals import app_ctx
from sqlalchemy import Engine
from sqlalchemy import event
from sqlalchemy.orm import Session
from sqlalchemy.pool import Pool

_get_app_context: t.Callable[[], t.Any]
_get_app_context = app_ctx._get_current_object  # type: ignore[attr-defined] # a proxy
_get_request: t.Callable[[], flask.Request]
_get_request = request._get_current_object  # type: ignore[attr-defined] # likewise


class _Entrance:
    def __init__(self, wsgi_app: t.Any) -> None:
        self.wsgi_app = wsgi_app

    def __call__(self, environ: t.Any, start_response: t.Any) -> t.Any:
        return self.wsgi_app(environ, start_response)


class Listening:
    """Listens wherever the inspector does, and does nothing."""

    def __init__(self, app: flask.Flask) -> None:
        app.wsgi_app = _Entrance(app.wsgi_app)  # type: ignore[method-assign] # as Flask says
        self._receivers = (
            (flask.appcontext_pushed, self.pushed()),
            (flask.appcontext_popped, self.popped()),
        )
        for signal, receiver in self._receivers:
            signal.connect(receiver, sender=app)
        app.url_value_preprocessor(self.begins())
        app.after_request(self.finished())
        app.teardown_request(lambda exc: None)
        app.teardown_appcontext(self.tearing_down())
        event.listen(Session, "after_transaction_create", self.transaction_created())
        event.listen(Session, "after_begin", self.begun())
        event.listen(Session, "after_transaction_end", self.transaction_ended())
        event.listen(Pool, "checkout", self.checked_out())
        event.listen(Pool, "checkin", self.checked_in())
        event.listen(Engine, "do_execute", self.executing())

    def pushed(self) -> t.Any:
        """Return the receiver of ``appcontext_pushed``; those below are likewise."""
        return _nothing

    def begins(self) -> t.Any:
        return lambda endpoint, view_args: None

    def finished(self) -> t.Any:
        return lambda response: response

    def popped(self) -> t.Any:
        return _nothing

    def tearing_down(self) -> t.Any:
        return lambda exc: None

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
    """Notes the facts of a record as tuples, and cares for nothing else."""

    def __init__(self, app: flask.Flask) -> None:
        self._kept: deque[t.Any] = deque(maxlen=1000)
        self._locations: dict[tuple[int, int, int], tuple[str, int, str]] = {}
        super().__init__(app)

    def pushed(self) -> t.Any:
        def pushed(app: flask.Flask, **_: t.Any) -> None:
            _get_app_context()._noted = [time(), perf_counter(), get_ident()]

        return pushed

    def begins(self) -> t.Any:
        def begins(endpoint: str, view_args: object) -> None:
            given = _get_request()
            noted = _get_app_context()._noted
            noted += (given.method, given.path, given.query_string, endpoint)

        return begins

    def finished(self) -> t.Any:
        def finished(response: flask.Response) -> flask.Response:
            _get_app_context()._noted.append(response.status_code)
            return response

        return finished

    def tearing_down(self) -> t.Any:
        kept = self._kept

        def tearing_down(exc: BaseException | None) -> None:
            noted = _get_app_context()._noted
            noted.append(perf_counter())
            kept.append(noted)

        return tearing_down

    def _locate(self, depth: int) -> tuple[str, int, str]:
        frame = sys._getframe(depth)
        code = frame.f_code
        key = (id(code), frame.f_lasti, depth)
        found = self._locations.get(key)
        if found is None:
            found = (code.co_filename, frame.f_lineno, code.co_name)
            self._locations[key] = found
        return found

    def transaction_created(self) -> t.Any:
        locate = self._locate

        def created(session: t.Any, transaction: t.Any) -> None:
            _get_app_context()._noted.append(
                (session.hash_key, id(session), type(session).__name__, locate(5))
            )

        return created

    def begun(self) -> t.Any:
        def begun(session: t.Any, transaction: t.Any, connection: t.Any) -> None:
            connection._noted = session.hash_key
            _get_app_context()._noted.append(
                (session.hash_key, perf_counter(), transaction.nested)
            )

        return begun

    def transaction_ended(self) -> t.Any:
        def ended(session: t.Any, transaction: t.Any) -> None:
            _get_app_context()._noted.append((session.hash_key, perf_counter()))

        return ended

    def checked_out(self) -> t.Any:
        locate = self._locate

        def checked_out(connection: t.Any, record: t.Any, proxy: t.Any) -> None:
            _get_app_context()._noted.append((id(record), perf_counter(), locate(5)))

        return checked_out

    def checked_in(self) -> t.Any:
        def checked_in(connection: t.Any, record: t.Any) -> None:
            _get_app_context()._noted.append((id(record), perf_counter()))

        return checked_in

    def executing(self) -> t.Any:
        locate = self._locate

        def executing(
            cursor: t.Any, statement: str, parameters: t.Any, context: t.Any
        ) -> bool:
            noted = _get_app_context()._noted
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
                    locate(5),
                    hash(parameters),
                )
            )
            return True

        return executing
