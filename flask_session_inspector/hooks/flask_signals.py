"""The hooks into Flask: signals, and the first of all teardown functions."""

from __future__ import annotations

import typing as t

import flask

from ..guard import guard
from ..recorder import Scope
from . import contexts
from . import uses

if t.TYPE_CHECKING:
    from ..recording import Recording


class FlaskHooks:
    """The receivers of one application.

    They are connected for that application alone, so an application that is not
    inspected pays nothing.

    :param recording: Where its records go.
    """

    def __init__(self, app: flask.Flask, recording: Recording) -> None:
        self._recording = recording
        self._receivers: dict[t.Any, t.Callable[..., None]] = {
            flask.appcontext_pushed: self._appcontext_pushed,
            flask.request_started: self._request_started,
            flask.request_finished: self._request_finished,
            flask.got_request_exception: self._got_request_exception,
            flask.request_tearing_down: self._request_tearing_down,
            flask.appcontext_popped: self._appcontext_popped,
        }
        for signal, receiver in self._receivers.items():
            signal.connect(receiver, sender=app)
        app.teardown_appcontext_funcs.append(self._teardown)

    def remove(self, app: flask.Flask) -> None:
        """Disconnect from the application."""
        for signal, receiver in self._receivers.items():
            signal.disconnect(receiver, sender=app)
        if self._teardown in app.teardown_appcontext_funcs:
            app.teardown_appcontext_funcs.remove(self._teardown)
        contexts.forget_app(app)

    def _appcontext_pushed(self, app: flask.Flask, **_: t.Any) -> None:
        try:
            contexts.finish_abandoned(self._recording)
            contexts.push(self._recording)
            self._come_first_at_teardown(app)
            self._recording.look_around(app)
        except Exception:
            guard.report("appcontext_pushed")

    def _come_first_at_teardown(self, app: flask.Flask) -> None:
        # Teardown functions run in reverse order. Ours must look at a session
        # before Flask-SQLAlchemy, which may be initialised later, removes it.
        functions = app.teardown_appcontext_funcs
        if functions[-1] != self._teardown:
            functions.remove(self._teardown)
            functions.append(self._teardown)

    def _request_started(self, app: flask.Flask, **_: t.Any) -> None:
        try:
            self._recording.look_no_further()
            frame = contexts.current_frame()
            if frame is not None:
                contexts.begin_request(frame)
        except Exception:
            guard.report("request_started")

    def _request_finished(
        self, app: flask.Flask, response: flask.Response, **_: t.Any
    ) -> None:
        try:
            frame = contexts.current_frame()
            if frame is not None:
                frame.responded = True
                if isinstance(frame.scope, Scope):
                    frame.scope.status = response.status_code
                    frame.scope.streamed = response.is_streamed
        except Exception:
            guard.report("request_finished")

    def _got_request_exception(
        self, app: flask.Flask, exception: BaseException, **_: t.Any
    ) -> None:
        try:
            frame = contexts.current_frame()
            if frame is not None:
                frame.responded = True
                if isinstance(frame.scope, Scope):
                    frame.scope.error = type(exception).__name__
        except Exception:
            guard.report("got_request_exception")

    def _request_tearing_down(self, app: flask.Flask, **_: t.Any) -> None:
        try:
            frame = contexts.current_frame()
            # A copied request context that ends within the view also says so.
            if frame is not None and frame.outer and frame.responded:
                if isinstance(frame.scope, Scope):
                    uses.observe_sessions(frame, frame.scope)
                contexts.leave_request(frame)
        except Exception:
            guard.report("request_tearing_down")

    def _teardown(self, exc: BaseException | None) -> None:
        try:
            scope = contexts.tear_down()
            if scope is not None:
                frame, record = scope
                if record.kind != "request" and _is_failure(exc):
                    record.error = type(exc).__name__
                uses.observe_sessions(frame, record)
        except Exception:
            guard.report("teardown_appcontext")

    def _appcontext_popped(self, app: flask.Flask, **_: t.Any) -> None:
        try:
            contexts.pop()
        except Exception:
            guard.report("appcontext_popped")


def _is_failure(exc: BaseException | None) -> bool:
    # Click ends a command that went well by raising, too.
    if exc is None or isinstance(exc, SystemExit):
        return False
    return type(exc).__module__ != "click.exceptions" or type(exc).__name__ != "Exit"
