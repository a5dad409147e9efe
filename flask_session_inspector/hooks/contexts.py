"""Which record an event belongs to.

Flask's current app context is the only truth: every event asks for it and
looks up its :class:`Frame`. A frame is resolved to a :class:`~..recorder.Scope`
late, at the first event or at the teardown, because at ``appcontext_pushed``
Flask 3.1 does not yet say whether a request will follow.
"""

from __future__ import annotations

import typing as t

from flask import has_request_context
from flask import request
from flask.globals import app_ctx

from ..recorder import Scope
from . import visits
from .frames import ANY_REQUEST
from .frames import UNRESOLVED
from .frames import Frame as Frame
from .frames import Unresolved
from .frames import frames
from .frames import innermost
from .frames import is_pushing
from .frames import pushed_for

if t.TYPE_CHECKING:
    from flask import Flask
    from flask.ctx import AppContext

    from ..recording import Recording

_get_app_context: t.Callable[[], AppContext]
_get_app_context = app_ctx._get_current_object  # type: ignore[attr-defined] # a proxy
_get_request = request._get_current_object  # type: ignore[attr-defined] # a proxy


def current_frame() -> Frame | None:
    """Return the frame of the current app context.

    :return: ``None`` outside of any, and in those of an application that is not
        inspected.
    """
    frame = _frame_of_context()
    if frame is not None and frame.visited:
        return visits.seen_from_here(frame)
    return frame


def _frame_of_context() -> Frame | None:
    try:
        context = _get_app_context()
    except RuntimeError:
        return None
    return frames.get(context) or _adopt(context)


def adopt_current() -> None:
    """Take up the app context in which the inspector is initialised."""
    if not is_pushing():
        current_frame()


def _adopt(context: AppContext) -> Frame | None:
    """Take up a context that was pushed before anybody listened."""
    inspection = context.app.extensions.get("session_inspector")
    recording = getattr(inspection, "recording", None)
    if recording is None or not recording.attached:
        return None
    frame = Frame(context, recording)
    if not has_request_context():
        frame.pushed_for = None
    frame.parents.append(innermost.get(None))
    frames.set(context, frame)
    return frame


def current_scope() -> tuple[Frame, Scope] | None:
    """Return where an event of this moment belongs, ``None`` for nowhere."""
    frame = current_frame()
    # A context variable copied into a thread outlives the context it names.
    if frame is None or not frame.parents:
        return None
    scope = frame.scope
    if isinstance(scope, Unresolved):
        scope = resolve(frame)
    return None if scope is None else (frame, scope)


def push(recording: Recording) -> None:
    """Take note that the current app context was pushed."""
    context = _get_app_context()
    frame = frames.get(context)
    if frame is None:
        frame = Frame(context, recording)
        frame.pushed_for, frame.preserved = pushed_for()
        frames.set(context, frame)
    elif frame.parents:
        visits.expect_stream(frame)
    else:
        _push_again(frame)
    frame.parents.append(innermost.get(None))
    innermost.set(frame)


def _push_again(frame: Frame) -> None:
    """Go on with a streamed response, or preserve a context for a test.

    Flask pushes the same context again for both. Only a streamed response goes
    on with its request; what a test does in a preserved context is its own.
    """
    scope = frame.scope
    frame.tearing = False
    if isinstance(scope, Scope) and scope.streamed:
        frame.join(scope)
    elif scope is not None:
        frame.scope = UNRESOLVED
        frame.owns = False
        frame.preserved = True
        frame.pushed_for = None


def pop() -> None:
    """Take note that the innermost app context was popped."""
    frame = innermost.get(None)
    if frame is None or not frame.parents:
        return
    before = frame.parents.pop()
    innermost.set(before)
    if not frame.parents:
        finish(frame)
    elif frame.visited:
        visits.expect_no_stream(frame)
    if before is not None and before is not frame:
        _finish_the_dead(before)


def _finish_the_dead(frame: Frame) -> None:
    """Finish outer frames whose pop was never signalled.

    Flask sends no ``appcontext_popped`` where a teardown function raised.
    """
    try:
        context = _get_app_context()
    except RuntimeError:
        alive = None
    else:
        alive = frames.get(context)
        if alive is None:  # The context of an application that is not inspected.
            return
    dead: Frame | None = frame
    while dead is not None and dead is not alive:
        outer = dead.parents[0] if dead.parents else None
        finish(dead)
        dead = outer
    innermost.set(dead)


def tear_down() -> tuple[Frame, Scope] | None:
    """Take note that the teardown functions of the current context begin.

    :return: Its frame and scope, ``None`` where nothing is recorded.
    """
    frame = _frame_of_context()
    if frame is None:
        return None
    if innermost.get(None) is not frame:  # Pushed before anybody listened.
        innermost.set(frame)
    frame.tearing = True
    scope = frame.scope
    if isinstance(scope, Unresolved):
        scope = None if frame.preserved else resolve(frame)
    return None if scope is None else (frame, scope)


def finish_abandoned(recording: Recording) -> None:
    """Finish the frames whose context was collected without a pop."""
    while recording.abandoned:
        try:
            frame = recording.abandoned.popleft()
        except IndexError:  # Another thread was faster.
            return
        finish(frame)


def resolve(frame: Frame) -> Scope | None:
    """Find the scope of a frame, or begin one."""
    environ = current_environ()
    parent = _parent_in_same_app(frame)
    key = frame.recording.environ_key
    scope: Scope | None
    if parent is not None and _goes_on_in(parent, environ):
        scope = t.cast("Scope | None", parent.scope)
        frame.preserved = False
    elif environ is not None and key in environ and not frame.preserved:
        scope = environ[key]
    else:
        return _begin(frame, "context")
    frame.scope = scope
    if scope is not None:
        frame.join(scope)
    return scope


def _begin(frame: Frame, kind: str) -> Scope | None:
    frame.scope = scope = frame.recording.begin(kind)
    if scope is not None:
        frame.owns = True
        frame.index = 0
        scope.frames.add(frame)
        if has_request_context():
            incoming = _get_request()
            if frame.preserved or _is_pushed_for(frame, incoming.environ):
                take_request(scope, incoming)
    return scope


def _is_pushed_for(frame: Frame, environ: dict[str, t.Any]) -> bool:
    return frame.pushed_for is ANY_REQUEST or frame.pushed_for is environ


def begin_request(frame: Frame) -> None:
    """Take note that a request begins in a frame."""
    recording = frame.recording
    incoming = _get_request()
    environ = incoming.environ
    scope = frame.scope
    recorded = recording.is_recorded(incoming)
    if isinstance(scope, Unresolved) and _is_pushed_for(frame, environ):
        scope = _begin(frame, "request") if recorded else None
        frame.scope = scope
    elif isinstance(scope, Scope) and frame.owns and scope.environ is environ:
        # Its cookie session was read from the database before it was announced.
        if recorded:
            scope.kind = "request"
            take_request(scope, incoming)
        else:
            recording.discard(scope)
            frame.scope = scope = None
    else:
        scope = recording.begin("request") if recorded else None
        if scope is not None:
            take_request(scope, incoming)
        visits.begin(frame, incoming, scope)
    environ[recording.environ_key] = scope


def finish(frame: Frame) -> None:
    """End a frame; its scope too, where it began with it."""
    visits.end_all(frame)
    frame.close()


def current_environ() -> dict[str, t.Any] | None:
    """Return the WSGI environment of the current request, if there is one."""
    return _get_request().environ if has_request_context() else None


def take_request(scope: Scope, incoming: t.Any) -> None:
    """Copy what a record says of its request."""
    scope.environ = incoming.environ
    scope.method = incoming.method
    scope.path = incoming.path
    scope.query = incoming.query_string
    scope.endpoint = incoming.endpoint
    scope.view_args = incoming.view_args


def _parent_in_same_app(frame: Frame) -> Frame | None:
    parent = frame.parents[0] if frame.parents else None
    while parent is not None and parent is not frame:
        if parent.recording is frame.recording and parent.parents:
            if parent.visited:
                parent = visits.seen_from_here(parent)
            if isinstance(parent.scope, Unresolved):
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


def forget_app(app: Flask) -> None:
    """Finish and drop the frames of an application that is inspected no longer."""
    for frame in frames.values():
        context = frame.context()
        if context is not None and context.app is app:
            finish(frame)
            frames.discard(context)
