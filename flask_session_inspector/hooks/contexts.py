"""Which record an event belongs to.

Flask's current app context is the only truth: every event asks for it and
looks up its :class:`Frame`. A frame is resolved to a :class:`~..recorder.Scope`
late, at the first event or at the teardown, because at ``appcontext_pushed``
Flask 3.1 does not yet say whether a request will follow.
"""

from __future__ import annotations

import typing as t
import weakref
from contextvars import ContextVar
from time import perf_counter

from flask import has_request_context
from flask import request
from flask.globals import app_ctx

from ..recorder import Scope
from ..weak import WeakIdentityDict
from . import uses

if t.TYPE_CHECKING:
    from flask import Flask
    from flask.ctx import AppContext

    from ..recording import Recording
    from ..registries import KnownRegistry

_get_app_context: t.Callable[[], AppContext]
_get_app_context = app_ctx._get_current_object  # type: ignore[attr-defined] # a proxy
_get_request = request._get_current_object  # type: ignore[attr-defined] # a proxy


class _Unresolved:
    """The scope of a frame that no event has asked for yet."""


UNRESOLVED = _Unresolved()


class Frame:
    """One app context, and the scope that its events belong to.

    :ivar parents: The frame that was current before each push of the context
        that was not popped yet; empty when the context is not pushed.
    :ivar scope: ``None`` where nothing is recorded.
    :ivar outer: The scopes of the context while a request runs inside it that
        did not push it.
    :ivar index: The index of the context within its scope.
    :ivar owns: Whether the scope began with this frame, and so ends with it.
    :ivar tearing: Whether its teardown functions run.
    :ivar preserved: Pushed again after its end, and not to go on with a stream.
    :ivar responded: Whether the request that runs in it has its response.
    :ivar keys: Under which key each registry would keep this scope's session.
    """

    __slots__ = (
        "__weakref__",
        "context",
        "index",
        "recording",
        "keys",
        "outer",
        "owns",
        "parents",
        "preserved",
        "responded",
        "scope",
        "streaming",
        "tearing",
    )

    def __init__(self, context: AppContext, recording: Recording) -> None:
        self.context = weakref.ref(context, self._collected)
        self.recording = recording
        self.parents: list[Frame | None] = []
        self.scope: Scope | _Unresolved | None = UNRESOLVED
        self.outer: list[Scope | _Unresolved | None] = []
        self.streaming: Scope | None = None
        self.index = 0
        self.owns = False
        self.tearing = False
        self.preserved = False
        self.responded = False
        self.keys: list[tuple[KnownRegistry, object]] = []

    def _collected(self, reference: object) -> None:
        # Nobody popped it: a teardown function raised, or the context was
        # abandoned. A garbage collection is no place for work that takes locks.
        if self.parents:
            self.recording.abandoned.append(self)


frames: WeakIdentityDict[AppContext, Frame] = WeakIdentityDict()
_innermost: ContextVar[Frame | None] = ContextVar("flask_session_inspector.frame")


def current_frame() -> Frame | None:
    """Return the frame of the current app context.

    :return: ``None`` outside of any, and in those of an application that is not
        inspected.
    """
    try:
        context = _get_app_context()
    except RuntimeError:
        return None
    return frames.get(context) or _adopt(context)


def _adopt(context: AppContext) -> Frame | None:
    """Take up a context that was pushed before anybody listened."""
    inspection = context.app.extensions.get("session_inspector")
    recording = getattr(inspection, "recording", None)
    if recording is None or not recording.attached:
        return None
    frame = Frame(context, recording)
    frame.parents.append(_innermost.get(None))
    frames.set(context, frame)
    return frame


def current_scope() -> tuple[Frame, Scope] | None:
    """Return where an event of this moment belongs, ``None`` for nowhere."""
    frame = current_frame()
    # A context variable copied into a thread outlives the context it names.
    if frame is None or not frame.parents:
        return None
    scope = frame.scope
    if isinstance(scope, _Unresolved):
        scope = resolve(frame)
    return None if scope is None else (frame, scope)


def push(recording: Recording) -> None:
    """Take note that the current app context was pushed."""
    context = _get_app_context()
    frame = frames.get(context)
    if frame is None:
        frame = Frame(context, recording)
        frames.set(context, frame)
    elif frame.parents:
        _resume_stream(frame)
    else:
        _push_again(frame)
    frame.parents.append(_innermost.get(None))
    _innermost.set(frame)


def _push_again(frame: Frame) -> None:
    """Go on with a streamed response, or preserve a context for a test.

    Flask pushes the same context again for both. Only a streamed response goes
    on with its request; what a test does in a preserved context is its own.
    """
    scope = frame.scope
    frame.tearing = False
    if isinstance(scope, Scope) and scope.streamed:
        frame.index = scope.contexts
        scope.contexts += 1
        scope.frames.add(frame)
    elif scope is not None:
        frame.scope = UNRESOLVED
        frame.owns = False
        frame.preserved = True


def _resume_stream(frame: Frame) -> None:
    """Go on with the stream of a request that ran in a reused context."""
    scope = frame.streaming
    if scope is not None:
        frame.outer.append(frame.scope)
        frame.scope = scope
        scope.frames.add(frame)


def pop() -> None:
    """Take note that the innermost app context was popped."""
    frame = _innermost.get(None)
    if frame is None or not frame.parents:
        return
    before = frame.parents.pop()
    _innermost.set(before)
    if not frame.parents:
        finish(frame)
    elif frame.streaming is not None and frame.scope is frame.streaming:
        leave_request(frame)
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
    _innermost.set(dead)


def tear_down() -> tuple[Frame, Scope] | None:
    """Take note that the teardown functions of the current context begin.

    :return: Its frame and scope, ``None`` where nothing is recorded.
    """
    frame = current_frame()
    if frame is None:
        return None
    if _innermost.get(None) is not frame:  # Pushed before anybody listened.
        _innermost.set(frame)
    frame.tearing = True
    scope = frame.scope
    if isinstance(scope, _Unresolved):
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
    recording = frame.recording
    scope: Scope | None
    if parent is not None and _goes_on_in(parent, environ):
        scope = parent.scope  # type: ignore[assignment] # resolved just before
        frame.preserved = False
    elif environ is not None and recording.environ_key in environ:
        if frame.preserved:
            scope = _begin(frame, "context")
        else:
            scope = environ[recording.environ_key]
    else:
        scope = _begin(frame, "context")
    if scope is not None and not frame.owns:
        frame.index = scope.contexts
        scope.contexts += 1
        scope.frames.add(frame)
    frame.scope = scope
    return scope


def _begin(frame: Frame, kind: str) -> Scope | None:
    scope = frame.recording.begin(kind)
    if scope is not None:
        frame.owns = True
        frame.index = 0
        scope.frames.add(frame)
        if has_request_context():
            take_request(scope, _get_request())
    return scope


def begin_request(frame: Frame) -> None:
    """Take note that a request begins in a frame."""
    recording = frame.recording
    incoming = _get_request()
    environ = incoming.environ
    scope = frame.scope
    recorded = recording.is_recorded(incoming)
    if isinstance(scope, _Unresolved):
        if recorded:
            scope = _begin(frame, "request")
        else:
            scope = None
        frame.scope = scope
    elif scope is not None and frame.owns and scope.environ is environ:
        # Its cookie session was read from the database before it was announced.
        if not recorded:
            recording.discard(scope)
            frame.scope = scope = None
        else:
            scope.kind = "request"
            take_request(scope, incoming)
    else:
        while frame.outer:  # The one before it ended without a sign.
            leave_request(frame)
        frame.outer.append(frame.scope)
        frame.scope = scope = recording.begin("request") if recorded else None
        if scope is not None:
            scope.reused_context = True
            scope.frames.add(frame)
            take_request(scope, incoming)
    frame.responded = False
    environ[recording.environ_key] = scope


def leave_request(frame: Frame) -> None:
    """End the request that ran in a context pushed before it."""
    scope = frame.scope
    frame.scope = frame.outer.pop()
    if isinstance(scope, Scope):
        uses.observe_end(frame, scope)
        scope.frames.discard(frame)
        scope.stopped = perf_counter()
        frame.streaming = scope if scope.streamed else None
        frame.recording.hand_over(scope)


def finish(frame: Frame) -> None:
    """End a frame; its scope too, where it began with it."""
    frame.parents.clear()
    while frame.outer:
        leave_request(frame)
    scope = frame.scope
    if not isinstance(scope, Scope):
        return
    uses.observe_end(frame, scope)
    scope.frames.discard(frame)
    if frame.owns or scope.stopped is not None:
        scope.stopped = perf_counter()
        frame.recording.hand_over(scope)


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
            if isinstance(parent.scope, _Unresolved):
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
    """Drop the frames of an application that is inspected no longer."""
    for frame in frames.values():
        context = frame.context()
        if context is not None and context.app is app:
            frames.discard(context)
