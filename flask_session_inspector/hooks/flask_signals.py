"""The hooks into Flask: app contexts, exceptions, and the first look at a teardown.

What one request says of itself is in :mod:`.requests`.
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
from . import requests
from . import resolving
from .entrance import Entrance
from .failures import failure_of
from .frames import UNRESOLVED
from .frames import Frame
from .frames import app_context
from .frames import frames
from .frames import innermost
from .handlers import ErrorHandling
from .server_timing import add_server_timing

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
        self._teardown = _teardown_function(recording)
        self._error_handling = ErrorHandling(recording)
        self._receivers: dict[t.Any, t.Callable[..., None]] = {
            flask.appcontext_pushed: self._appcontext_pushed(),
            flask.request_started: requests.request_begins(recording),
            flask.got_request_exception: self._got_request_exception(),
            flask.appcontext_popped: _appcontext_popped,
        }
        self._functions: dict[str, t.Callable[..., t.Any]] = {}
        for place in requests.places(recording):
            if requests.is_overridden(app, place.method):
                self._receivers[place.signal] = place.receiver
            else:
                self._functions[place.functions] = place.function
        for signal, receiver in self._receivers.items():
            signal.connect(receiver, sender=app)
        self._come_first(app)
        app.teardown_appcontext_funcs.append(self._teardown)
        entrance = Entrance(app.wsgi_app, recording.entrance_key)
        app.wsgi_app = entrance  # type: ignore[method-assign] # as Flask says
        self._error_handling.watch(app)
        if recording.config.server_timing:
            app.after_request(add_server_timing)

    def remove(self, app: flask.Flask) -> None:
        """Disconnect from the application."""
        for signal, receiver in self._receivers.items():
            signal.disconnect(receiver, sender=app)
        for name, function in self._functions.items():
            requests.take_out(getattr(app, name), function)
        if self._teardown in app.teardown_appcontext_funcs:
            app.teardown_appcontext_funcs.remove(self._teardown)
        # Beneath another middleware it stays, and notes what nobody reads.
        entrance: object = app.wsgi_app
        if isinstance(entrance, Entrance) and entrance.belongs_to(self._recording):
            app.wsgi_app = entrance.wsgi_app  # type: ignore[method-assign] # as it was
        self._error_handling.remove(app)
        if self._recording.config.server_timing:
            app.after_request_funcs[None].remove(add_server_timing)
        contexts.forget_app(self._recording)

    # Functions, not methods: of those, a signal has more to find out.

    def _appcontext_pushed(self) -> t.Callable[..., None]:
        recording, teardown = self._recording, self._teardown

        def appcontext_pushed(app: flask.Flask, **_: t.Any) -> None:
            try:
                if recording.abandoned:
                    contexts.finish_abandoned(recording)
                contexts.push(recording)
                functions = app.teardown_appcontext_funcs
                if not functions or functions[-1] is not teardown:
                    self._come_first_at_teardown(app)
                if recording.is_looking_around and recording.look_around(app):
                    # After what came meanwhile; ours must see an exception first.
                    self._error_handling.watch(app)
                    self._come_first(app)
            except Exception:
                guard.report("appcontext_pushed")

        return appcontext_pushed

    def _come_first(self, app: flask.Flask) -> None:
        for name, function in self._functions.items():
            requests.put_first(getattr(app, name), function)

    def _come_first_at_teardown(self, app: flask.Flask) -> None:
        # Teardown functions run in reverse order. Ours must look at a session
        # before Flask-SQLAlchemy, which may be initialised later, removes it.
        # A list of its own: another thread may go through the old one.
        functions = app.teardown_appcontext_funcs
        others = [each for each in functions if each is not self._teardown]
        app.teardown_appcontext_funcs = [*others, self._teardown]

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


def _teardown_function(
    recording: Recording,
) -> t.Callable[[BaseException | None], None]:
    # A plain function: Flask asks each whether it is a coroutine, and of a method that
    # takes longer.
    def look_at_sessions(exc: BaseException | None) -> None:
        try:
            frame = innermost.get()
            known: object = getattr(app_context.get(None), frames.name, None)
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
            if exc is None and scope.kind == "cli":
                # Click before 8.2 ends a context without saying why.
                exc = sys.exc_info()[1]
            if exc is not None:
                _note_failure(recording, frame, scope, exc)
            endings.observe_sessions(frame, scope)
        except Exception:
            guard.report("teardown_appcontext")

    return look_at_sessions


def _note_failure(
    recording: Recording, frame: Frame, scope: Scope, exc: BaseException
) -> None:
    # An exception out of a nested context may still be handled.
    if frame.owns and scope.error is None:
        scope.error = failure_of(exc, scope)
    # Likewise; what a stream or a command raises comes here alone.
    gone_on = frame.index in (scope.continued or ())
    if scope.raised is None and (frame.owns or gone_on) and isinstance(exc, Exception):
        failures.note_unhandled(recording, scope, exc)
