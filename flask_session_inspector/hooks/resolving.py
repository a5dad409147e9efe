"""Which record an app context belongs to."""

from __future__ import annotations

import contextlib
import typing as t

from flask import current_app
from flask import has_request_context
from flask import request
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.routing import RequestRedirect

from ..clues import Abandonment
from ..clues import earlier
from ..recorder import Scope
from . import visits
from .frames import UNRESOLVED
from .frames import Frame
from .workers import worker

if t.TYPE_CHECKING:
    from flask import Request

    from ..recording import Recording

_get_request = request._get_current_object  # type: ignore[attr-defined] # a proxy

# Set by the test client, and by Werkzeug's debugger, to keep contexts for later.
_PRESERVED = "werkzeug.debug.preserve_context"


def resolve(frame: Frame) -> Scope | None:
    """Find the scope of a frame, or begin one."""
    environ = current_environ()
    parent = _parent_in_same_app(frame)
    key = frame.recording.environ_key
    scope: Scope | None
    if parent is not None and _goes_on_in(parent, environ):
        scope = t.cast("Scope | None", parent.scope)
        frame.preserved = False
    elif environ is not None and key in environ and not _is_preserved(frame, environ):
        scope = environ[key]
    else:
        return _begin(frame, "context")
    frame.scope = scope
    if scope is not None:
        frame.join(scope)
        inside = parent is not None and parent.scope is scope
        # A thread that copied the context variables has a context beside it.
        if inside and parent is not None and parent.worker == frame.worker:
            scope.nest(frame.index)
    return scope


def _is_preserved(frame: Frame, environ: dict[str, t.Any]) -> bool:
    """Say whether a context was pushed for what comes after a request."""
    scope = environ[frame.recording.environ_key]
    return frame.preserved or (
        _PRESERVED in environ
        and isinstance(scope, Scope)
        and scope.closed
        and not scope.streamed
    )


def resolve_at_end(frame: Frame) -> None:
    """Find the scope of a frame whose request ends without an event before."""
    environ = _get_request().environ
    if not _is_pushed_for(frame, environ):
        return
    if frame.recording.environ_key in environ and _is_preserved(frame, environ):
        frame.preserved = True  # And nobody used it.
    else:
        resolve(frame)


def _begin(frame: Frame, kind: str) -> Scope | None:
    frame.scope = scope = frame.recording.begin(kind)
    if scope is not None:
        frame.owns = True
        frame.index = 0
        scope.frames.add(frame)
        if has_request_context():
            incoming = _get_request()
            if frame.preserved or _is_pushed_for(frame, incoming.environ):
                take_request(scope, incoming, frame.recording, incoming.endpoint)
    return scope


def _is_pushed_for(frame: Frame, environ: dict[str, t.Any]) -> bool:
    """Say whether a request pushed a context, or found it there."""
    return environ.get(frame.recording.entrance_key) is not frame


def begin_request(frame: Frame, incoming: Request) -> Scope | None:
    """Take note that a request begins in a frame.

    :return: Its scope, if it is recorded.
    """
    recording = frame.recording
    environ = incoming.environ
    scope = frame.scope
    endpoint = incoming.endpoint
    recorded = recording.is_recorded(incoming, endpoint)
    if scope is UNRESOLVED and environ.get(recording.entrance_key) is not frame:
        frame.scope = scope = recording.begin("request") if recorded else None
        if scope is not None:
            frame.owns = True
            scope.frames.add(frame)
            take_request(scope, incoming, recording, endpoint)
    elif isinstance(scope, Scope) and frame.owns and scope.environ is environ:
        # Its cookie session was read from the database before it was announced.
        if recorded:
            scope.kind = "request"
            take_request(scope, incoming, recording, endpoint)
        else:
            recording.discard(scope)
            frame.scope = scope = None
    else:
        scope = recording.begin("request") if recorded else None
        if scope is not None:
            take_request(scope, incoming, recording, endpoint)
        visits.begin(frame, incoming, scope)
    environ[recording.environ_key] = scope
    if scope is not None and (
        frame.scope is not scope or (frame.parents and frame.parents[0] is not None)
    ):
        _look_for_abandoned(frame, scope)
    return scope


def announce_late(frame: Frame) -> None:
    """Take note of a request that came by the entrance and was not announced."""
    if not has_request_context():
        return
    incoming = _get_request()
    recording, environ = frame.recording, incoming.environ
    if recording.entrance_key in environ and recording.environ_key not in environ:
        begin_request(frame, incoming)


def _look_for_abandoned(frame: Frame, scope: Scope) -> None:
    """Look for a context that an answered request left pushed around this one."""
    outer = frame if frame.scope is not scope else _parent(frame)
    while outer is not None:
        left = outer.scope
        if (
            outer.worker == worker()
            and isinstance(left, Scope)
            and left.kind == "request"
            and left.status is not None
            and not (outer.tearing or outer.preserved)
        ):
            _note_abandoned(outer, left, scope)
        outer = _parent(outer)


def _note_abandoned(outer: Frame, left: Scope, scope: Scope) -> None:
    serials = tuple(
        serial
        for serial, used in left.sessions.items()
        if used.used and used.context == outer.index
    )
    known = any(
        isinstance(clue, Abandonment) and clue.context == outer.index
        for clue in left.clues or ()
    )
    if serials and not known:
        after = earlier(scope, 0)
        left.note(Abandonment(outer.index, left.thread, serials, left.streamed, after))
        outer.recording.reexamine(left)


def _parent(frame: Frame) -> Frame | None:
    return frame.parents[0] if frame.parents else None


def current_environ() -> dict[str, t.Any] | None:
    """Return the WSGI environment of the current request, if there is one."""
    return _get_request().environ if has_request_context() else None


def take_request(
    scope: Scope, incoming: Request, recording: Recording, endpoint: str | None
) -> None:
    """Copy what a record says of its request."""
    scope.environ = incoming.environ
    scope.method = incoming.method
    scope.path = incoming.path
    scope.query = incoming.query_string
    scope.endpoint = endpoint
    if incoming.view_args is None or incoming.view_args:
        _take_secrets(scope, incoming, recording)


def _take_secrets(scope: Scope, incoming: Request, recording: Recording) -> None:
    # Copied now: a host may take variables out before the view gets them.
    given = incoming.view_args
    values = _values_behind(incoming) if given is None else given
    if values:
        scope.secrets = recording.secrets_in(values)


def _values_behind(incoming: Request) -> t.Mapping[str, t.Any]:
    """Return the URL variables of a request that was matched and refused.

    It lacks a slash, or has another method than the route takes.
    """
    refusal = incoming.routing_exception
    adapter = None
    if isinstance(refusal, (RequestRedirect, MethodNotAllowed)):
        adapter = current_app.create_url_adapter(incoming)
    if adapter is None:
        return {}
    methods = getattr(refusal, "valid_methods", None) or [incoming.method]
    for path in (incoming.path, f"{incoming.path}/"):
        with contextlib.suppress(HTTPException):
            return adapter.match(path_info=path, method=methods[0])[1]
    return {}


def _parent_in_same_app(frame: Frame) -> Frame | None:
    parent = frame.parents[0] if frame.parents else None
    while parent is not None and parent is not frame:
        if parent.recording is frame.recording and parent.parents:
            if parent.visited:
                parent = visits.seen_from_here(parent)
            if parent.scope is UNRESOLVED:
                resolve(parent)
            return parent
        parent = parent.parents[0] if parent.parents else None
    return None


def _goes_on_in(parent: Frame, environ: dict[str, t.Any] | None) -> bool:
    """Say whether a context pushed inside another belongs to its record."""
    if parent.tearing:
        return False
    scope = t.cast("Scope | None", parent.scope)
    if scope is None:  # Nothing is recorded out there.
        return environ is None or environ.get(parent.recording.environ_key) is None
    return environ is None or parent.preserved or scope.environ is environ
