"""How one request is heard of: that it begins, has its answer, and ends.

Flask's signals are delivered by Blinker, which has more to do for that than Flask has
to call a function of the application's. So the answer and the end come by functions,
the last of ``after_request`` and of ``teardown_request``; where an application has a
method of its own in place of the one that calls them, by the signal after all. The
begin comes by its signal: functions come too late for it, and what comes first,
``url_value_preprocessors``, is called with what two proxies say, which takes longer.
"""

from __future__ import annotations

import functools
import typing as t

import flask
from flask import request

from ..guard import guard
from ..recorder import Scope
from . import contexts
from . import endings
from . import resolving
from . import visits
from .failures import failure_of
from .frames import app_context
from .frames import frames
from .visits import Visit

if t.TYPE_CHECKING:
    from ..recording import Recording

_get_request = request._get_current_object  # type: ignore[attr-defined] # a proxy


class Place(t.NamedTuple):
    """Something that is heard of by a function, or by a signal.

    :ivar functions: The application's functions of that kind.
    :ivar method: Which method of Flask's calls them.
    :ivar function: Ours.
    :ivar signal: What Flask sends at nearly the same time.
    :ivar receiver: The function as its receiver.
    """

    functions: str
    method: str
    function: t.Callable[..., t.Any]
    signal: t.Any
    receiver: t.Callable[..., None]


def places(recording: Recording) -> tuple[Place, ...]:
    """Return how the requests of an application are heard of."""
    answers = _request_answers(recording)
    ends = _request_ends(recording)

    def finished(app: flask.Flask, response: flask.Response, **_: t.Any) -> None:
        answers(response)

    def tearing_down(
        app: flask.Flask, exc: BaseException | None = None, **_: t.Any
    ) -> None:
        ends(exc)

    return (
        Place(
            "after_request_funcs",
            "process_response",
            answers,
            flask.request_finished,
            finished,
        ),
        Place(
            "teardown_request_funcs",
            "do_teardown_request",
            ends,
            flask.request_tearing_down,
            tearing_down,
        ),
    )


def is_overridden(app: flask.Flask, method: str) -> bool:
    """Say whether an application has a method that is not Flask's own."""
    flasks_own = getattr(flask.Flask, method)
    return method in vars(app) or getattr(type(app), method) is not flasks_own


def put_first(functions: dict[t.Any, list[t.Any]], function: object) -> None:
    """Put a function before those of the application, or back there.

    Into the list that there is: somebody may have kept it.
    """
    ours = functions.setdefault(None, [])
    if not ours or ours[0] is not function:
        take_out(functions, function)
        ours.insert(0, function)


def take_out(functions: dict[t.Any, list[t.Any]], function: object) -> None:
    """Take a function out again, likewise."""
    if function in functions.get(None, ()):
        functions[None].remove(function)


def request_begins(recording: Recording) -> t.Callable[..., None]:
    """Return the receiver of ``request_started``."""

    def request_started(app: flask.Flask, **_: t.Any) -> None:
        try:
            if recording.is_looking_around:
                recording.look_no_further()
            frame = getattr(app_context.get(None), frames.name, None)
            if frame is None or frame.visited:
                frame = contexts.current_frame()
            if frame is not None and frame.recording is recording:
                resolving.begin_request(frame, _get_request())
        except Exception:
            guard.report("request_started")

    return request_started


def _request_ends(recording: Recording) -> t.Callable[[BaseException | None], None]:
    def request_ends(exc: BaseException | None) -> None:
        frame = getattr(app_context.get(None), frames.name, None)
        if frame is not None and frame.recording is recording and not frame.visited:
            scope = frame.scope
            # What was pushed for the request says so itself when it ends.
            if scope is None or (type(scope) is Scope and scope.kind == "request"):
                return
        try:
            _end_request(exc)
        except Exception:
            guard.report("teardown_request")

    return request_ends


def _request_answers(
    recording: Recording,
) -> t.Callable[[flask.Response], flask.Response]:
    def closed(scope: Scope) -> None:
        # A streamed response was closed.
        try:
            if endings.observe_response_closed(scope) and scope.closed:
                recording.reexamine(scope)
        except Exception:
            guard.report("the end of a streamed response")

    def request_answers(response: flask.Response) -> flask.Response:
        try:
            frame = getattr(app_context.get(None), frames.name, None)
            scope: object = None if frame is None else frame.scope
            if (
                frame is None
                or type(scope) is not Scope
                or scope.kind != "request"
                or frame.visited
                or not frame.parents
                or frame.recording is not recording
            ):
                scope = answered()
            if type(scope) is Scope:
                scope.status = response.status_code
                if response.is_streamed:
                    scope.streamed = scope.streaming = True
                    response.call_on_close(functools.partial(closed, scope))
                elif scope.streamed:  # Something failed, and this answers instead.
                    scope.streamed = scope.streaming = False
        except Exception:
            guard.report("after_request")
        return response

    return request_answers


def answered() -> Scope | None:
    """Take note that the running request has its answer; return its scope."""
    contexts.announce_late()
    frame = contexts.current_frame()
    if isinstance(frame, Visit):
        frame.responded = True
    scope = None if frame is None else frame.scope
    return scope if isinstance(scope, Scope) else None


def _end_request(exc: BaseException | None) -> None:
    contexts.announce_late()
    contexts.end_request()
    frame = contexts.current_frame()
    # A copied request context that ends within the view comes here, too.
    if not isinstance(frame, Visit) or not frame.parents:
        return
    torn_out = exc is not None and not isinstance(exc, Exception)
    if frame.responded or torn_out:
        if isinstance(frame.scope, Scope):
            frame.scope.error = frame.scope.error or failure_of(exc, frame.scope)
            endings.observe_sessions(frame, frame.scope)
        visits.end(frame)
