"""How one request is heard of: that it begins, has its answer, and ends.

By the methods of Flask's that do each of it. Its signals are delivered by Blinker, and
its functions (``after_request``, ``teardown_request``) only after a question whether
they are coroutines; both have more to do than what is done here.
"""

from __future__ import annotations

import functools
import typing as t

from flask import request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response
from werkzeug.wsgi import ClosingIterator

from ..guard import guard
from ..recorder import Scope
from . import contexts
from . import endings
from . import resolving
from . import visits
from .failures import failure_of
from .frames import Frame
from .frames import current_context
from .frames import frames
from .methods import Function
from .methods import Method
from .methods import Original
from .methods import error_in
from .visits import Visit

if t.TYPE_CHECKING:
    from ..recording import Recording

_get_request = request._get_current_object  # type: ignore[attr-defined] # a proxy


def request_methods(recording: Recording) -> tuple[Method, ...]:
    """Return the methods that every request goes through.

    :param recording: Where the records of the application go.
    """

    def full_dispatch_request(method: Method, original: Original) -> Function:
        def dispatch(*arguments: t.Any, **named: t.Any) -> t.Any:
            frame: Frame | None = None
            scope = None
            try:
                if recording.is_looking_around:
                    recording.look_no_further()
                frame = getattr(current_context(None), frames.name, None)
                if frame is None or frame.visited:
                    frame = contexts.current_frame()
                if frame is not None and frame.recording is recording:
                    scope = resolving.begin_request(frame, _get_request())
            except Exception:
                guard.report("full_dispatch_request")
            try:
                response = original()(*arguments, **named)
            finally:
                if frame is not None and frame.visited:
                    note_answer(None)
            if scope is not None and scope.status is None:
                _take_answer(scope, response)
            return response

        return dispatch

    def process_response(method: Method, original: Original) -> Function:
        def process(*arguments: t.Any, **named: t.Any) -> t.Any:
            response = original()(*arguments, **named)
            frame = getattr(current_context(None), frames.name, None)
            if (
                frame is not None
                and type(scope := frame.scope) is Scope
                and scope.kind == "request"
                and not frame.visited
                and frame.parents
                and frame.recording is recording
            ):
                _take_answer(scope, response)
            else:
                note_answer(response)
            return response

        return process

    def do_teardown_request(method: Method, original: Original) -> Function:
        def tear_down(*arguments: t.Any, **named: t.Any) -> t.Any:
            try:
                return original()(*arguments, **named)
            finally:
                frame = getattr(current_context(None), frames.name, None)
                if (
                    frame is None
                    or frame.visited
                    or frame.recording is not recording
                    # What was pushed for a request says so itself when it ends.
                    or (
                        (scope := frame.scope) is not None
                        and (type(scope) is not Scope or scope.kind != "request")
                    )
                ):
                    _end_request(error_in(arguments, named))

        return tear_down

    return (
        Method("full_dispatch_request", full_dispatch_request),
        Method("process_response", process_response),
        Method("do_teardown_request", do_teardown_request),
    )


def note_answer(response: object) -> None:
    """Take note that the running request was dispatched, and of its answer.

    :param response: ``None`` if that is not known, or was told already.
    """
    try:
        scope = answered()
    except Exception:
        guard.report("the answer of a request")
        return
    if scope is not None:
        _take_answer(scope, response)


def _take_answer(scope: Scope, response: object) -> None:
    try:
        if isinstance(response, Response):
            scope.status = response.status_code
            if response.is_streamed and not _only_looks_streamed(response):
                scope.streamed = scope.streaming = True
                response.call_on_close(functools.partial(_closed, scope))
            elif scope.streamed:  # Something failed, and this answers instead.
                scope.streamed = scope.streaming = False
        elif isinstance(response, HTTPException):
            scope.status = response.code
        # Else it is some other WSGI application, which says later what it answers.
    except Exception:
        guard.report("the answer of a request")


def _only_looks_streamed(response: Response) -> bool:
    """Say whether a response was complete, though it cannot say of how many parts.

    So is the page of an exception of Werkzeug's: Flask makes a response of it by
    calling it, and what that gives has a length. A body that HTTP forbids is never
    asked for.
    """
    status = response.status_code
    if status in (204, 304):
        return True
    return (
        status >= 300
        and isinstance(response.response, ClosingIterator)
        and response.content_length is not None
    )


def _closed(scope: Scope) -> None:
    """Take note that a streamed response was closed."""
    try:
        if endings.observe_response_closed(scope) and scope.closed:
            recording = scope.recording()
            if recording is not None:
                recording.reexamine(scope)
    except Exception:
        guard.report("the end of a streamed response")


def answered() -> Scope | None:
    """Take note that the running request has its answer; return its scope."""
    contexts.announce_late()
    frame = contexts.current_frame()
    if isinstance(frame, Visit):
        frame.responded = True
    scope = None if frame is None else frame.scope
    return scope if isinstance(scope, Scope) else None


def _end_request(error: object) -> None:
    try:
        contexts.announce_late()
        contexts.end_request()
        frame = contexts.current_frame()
        # A copied request context that ends within the view comes here, too.
        if not isinstance(frame, Visit) or not frame.parents:
            return
        exc = error if isinstance(error, BaseException) else None
        torn_out = exc is not None and not isinstance(exc, Exception)
        if frame.responded or torn_out:
            if isinstance(frame.scope, Scope):
                frame.scope.error = frame.scope.error or failure_of(exc, frame.scope)
                endings.observe_sessions(frame, frame.scope)
            visits.end(frame)
    except Exception:
        guard.report("do_teardown_request")
