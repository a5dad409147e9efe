"""The app contexts that are pushed, as the hooks know them."""

from __future__ import annotations

import sys
import types
import typing as t
import weakref
from contextvars import ContextVar
from time import perf_counter

import flask.ctx
from flask.ctx import AppContext

from ..recorder import Scope
from ..weak import WeakIdentityDict
from . import uses

if t.TYPE_CHECKING:
    from ..recording import Recording
    from ..registries import KnownRegistry
    from .visits import Visit


class Unresolved:
    """The scope of a frame that no event has asked for yet."""


UNRESOLVED = Unresolved()

# What pushed a context: the request that is about to begin in it.
ANY_REQUEST = object()

_FLASK_FILE = AppContext.push.__code__.co_filename
# Flask 3.2 merges the two contexts, and every request pushes its own.
_CONTEXTS_ARE_MERGED = "RequestContext" not in vars(flask.ctx)


class Frame:
    """One app context, and the scope that its events belong to.

    :ivar parents: The frame that was current before each push of the context
        that was not popped yet; empty when the context is not pushed.
    :ivar pushed_for: Whose request may begin in it: ``ANY_REQUEST`` if a request
        pushed it, a WSGI environment if the request context of that one did
        outside of a server, ``None`` if the application did by hand.
    :ivar scope: ``None`` where nothing is recorded.
    :ivar index: The index of the context within its scope.
    :ivar owns: Whether the scope began with this frame, and so ends with it.
    :ivar tearing: Whether its teardown functions run.
    :ivar preserved: Pushed again after its end, and not to go on with a stream.
    :ivar keys: Under which key each registry would keep this scope's session.
    :ivar visits: The requests that run in it although they did not push it.
    :ivar visited: Whether there ever was one.
    :ivar streams: Whether one of them went on to stream its response.
    """

    __slots__ = (
        "__weakref__",
        "context",
        "index",
        "keys",
        "owns",
        "parents",
        "preserved",
        "pushed_for",
        "recording",
        "scope",
        "streams",
        "tearing",
        "visited",
        "visits",
    )

    def __init__(self, context: AppContext, recording: Recording) -> None:
        self.context = weakref.ref(context, self._collected)
        self.recording = recording
        self.parents: list[Frame | None] = []
        self.pushed_for: object = ANY_REQUEST
        self.scope: Scope | Unresolved | None = UNRESOLVED
        self.index = 0
        self.owns = False
        self.tearing = False
        self.preserved = False
        self.keys: list[tuple[KnownRegistry, object]] = []
        self.visits: list[Visit] = []
        self.visited = False
        self.streams = False

    def _collected(self, reference: object) -> None:
        # Nobody popped it: a teardown function raised, or the context was
        # abandoned. A garbage collection is no place for work that takes locks.
        if self.parents:
            self.recording.abandoned.append(self)

    def join(self, scope: Scope) -> None:
        """Become one more context of a scope."""
        self.index = scope.join()
        scope.frames.add(self)
        self.scope = scope

    def close(self) -> None:
        """End its part of the scope; the scope too, where it was the last."""
        self.parents.clear()
        scope = self.scope
        if not isinstance(scope, Scope):
            return
        try:
            uses.observe_end(self, scope)
        finally:
            scope.frames.discard(self)
            if self.owns or scope.stopped is not None:
                scope.stopped = perf_counter()
                self.recording.hand_over(scope)


frames: WeakIdentityDict[AppContext, Frame] = WeakIdentityDict()
innermost: ContextVar[Frame | None] = ContextVar("flask_session_inspector.frame")


def pushed_for() -> tuple[object, bool]:
    """Tell which request pushes an app context, from within that push.

    Before Flask 3.2 nothing but the call itself tells a request that pushes an
    app context from one that will find it there.

    :return: See :attr:`Frame.pushed_for`; and whether it is the test client
        which pushes the contexts of an ended request again.
    """
    if _CONTEXTS_ARE_MERGED:
        return ANY_REQUEST, False
    push = _calling(sys._getframe(1), "push", 8)
    if push is None:
        return ANY_REQUEST, False
    request_push = _calling(push.f_back, "push", 2)
    if request_push is None:
        return None, False
    enter = _calling(request_push.f_back, "__enter__", 1)
    if enter is None:
        return ANY_REQUEST, False
    environ = request_push.f_locals["self"].request.environ
    return environ, _is_test_client(enter.f_back)


def is_pushing() -> bool:
    """Tell whether an app context is being pushed, which will be announced."""
    return _calling(sys._getframe(1), "push", sys.getrecursionlimit()) is not None


def _is_test_client(frame: types.FrameType | None) -> bool:
    # Through an ExitStack.
    for _ in range(3):
        if frame is None:
            return False
        if frame.f_globals.get("__name__") == "flask.testing":
            return True
        frame = frame.f_back
    return False


def _calling(
    frame: types.FrameType | None, name: str, steps: int
) -> types.FrameType | None:
    """Find a method of Flask's contexts among the next calls outwards."""
    for _ in range(steps):
        if frame is None:
            return None
        code = frame.f_code
        if code.co_name == name and code.co_filename == _FLASK_FILE:
            return frame
        frame = frame.f_back
    return None
