"""The hooks into one application: app contexts, and the look at their sessions before
these are removed.

What one request says of itself is in :mod:`.requests`, exceptions in :mod:`.handlers`.
"""

from __future__ import annotations

import sys
import typing as t

import flask

from ..guard import guard
from ..recorder import Scope
from . import contexts
from . import endings
from . import failures
from . import handlers
from . import requests
from . import resolving
from .entrance import Entrance
from .failures import failure_of
from .frames import UNRESOLVED
from .frames import Frame
from .frames import current_context
from .frames import frames
from .frames import innermost
from .methods import Function
from .methods import Method
from .methods import Original
from .methods import error_in
from .server_timing import add_server_timing

if t.TYPE_CHECKING:
    from ..recording import Recording


class FlaskHooks:
    """The hooks into one application.

    They are installed on that application alone, so an application that is not
    inspected pays nothing.

    :param recording: Where its records go.
    """

    def __init__(self, app: flask.Flask, recording: Recording) -> None:
        self._recording = recording
        self._receivers: dict[t.Any, t.Callable[..., None]] = {
            flask.appcontext_pushed: self._appcontext_pushed(),
            flask.got_request_exception: self._got_request_exception(),
            flask.appcontext_popped: _appcontext_popped,
        }
        for signal, receiver in self._receivers.items():
            signal.connect(receiver, sender=app)
        self._error_methods = handlers.error_methods(recording)
        self._methods = (
            *requests.request_methods(recording),
            Method("do_teardown_appcontext", _do_teardown_appcontext),
            *self._error_methods,
        )
        for method in self._methods:
            method.watch(app)
        entrance = Entrance(app.wsgi_app, recording.entrance_key)
        app.wsgi_app = entrance  # type: ignore[method-assign] # as Flask says
        if recording.config.server_timing:
            app.after_request(add_server_timing)

    def remove(self, app: flask.Flask) -> None:
        """Disconnect from the application."""
        for signal, receiver in self._receivers.items():
            signal.disconnect(receiver, sender=app)
        for method in self._methods:
            method.remove(app)
        # Beneath another middleware it stays, and notes what nobody reads.
        entrance: object = app.wsgi_app
        if isinstance(entrance, Entrance) and entrance.belongs_to(self._recording):
            app.wsgi_app = entrance.wsgi_app  # type: ignore[method-assign] # as it was
        if self._recording.config.server_timing:
            app.after_request_funcs[None].remove(add_server_timing)
        contexts.forget_app(self._recording)

    # Functions, not methods: of those, a signal has more to find out.

    def _appcontext_pushed(self) -> t.Callable[..., None]:
        recording = self._recording

        def appcontext_pushed(app: flask.Flask, **_: t.Any) -> None:
            try:
                if recording.abandoned:
                    contexts.finish_abandoned(recording)
                contexts.push(recording)
                if recording.is_looking_around and recording.look_around(app):
                    # After what came meanwhile; ours must see an exception first.
                    for method in self._error_methods:
                        method.watch(app)
            except Exception:
                guard.report("appcontext_pushed")

        return appcontext_pushed

    def _got_request_exception(self) -> t.Callable[..., None]:
        recording = self._recording

        def got_request_exception(
            app: flask.Flask, exception: BaseException, **_: t.Any
        ) -> None:
            try:
                scope = requests.answered()
                if scope is not None:
                    scope.error = type(exception).__name__
                    failures.note_unhandled(recording, scope, exception)
            except Exception:
                guard.report("got_request_exception")

        return got_request_exception


def _appcontext_popped(app: flask.Flask, **_: t.Any) -> None:
    try:
        contexts.pop()
    except Exception:
        guard.report("appcontext_popped")


def _do_teardown_appcontext(method: Method, original: Original) -> Function:
    def tear_down(*arguments: t.Any, **named: t.Any) -> t.Any:
        # Before all teardown functions: one of them removes the session.
        _look_at_sessions(error_in(arguments, named))
        return original()(*arguments, **named)

    return tear_down


def _look_at_sessions(error: object) -> None:
    try:
        frame = innermost()
        known: object = getattr(current_context(None), frames.name, None)
        if frame is None or known is not frame or not frame.parents:
            frame = contexts.take_up()
        if frame is None:
            return
        frame.tearing = True
        scope = frame.scope
        if scope is UNRESOLVED:
            scope = None if frame.preserved else resolving.resolve(frame)
        if not isinstance(scope, Scope):
            return
        if error is None and scope.kind == "cli":
            # Click before 8.2 ends a context without saying why.
            error = sys.exc_info()[1]
        if isinstance(error, BaseException):
            _note_failure(frame, scope, error)
        endings.observe_sessions(frame, scope)
    except Exception:
        guard.report("do_teardown_appcontext")


def _note_failure(frame: Frame, scope: Scope, exc: BaseException) -> None:
    # An exception out of a nested context may still be handled.
    if frame.owns and scope.error is None:
        scope.error = failure_of(exc, scope)
    # Likewise; what a stream or a command raises comes here alone.
    gone_on = frame.index in (scope.continued or ())
    if scope.raised is None and (frame.owns or gone_on) and isinstance(exc, Exception):
        failures.note_unhandled(frame.recording, scope, exc)
