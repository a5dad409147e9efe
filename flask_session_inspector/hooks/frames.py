"""The app contexts that are pushed, as the hooks know them."""

from __future__ import annotations

import collections.abc as cabc
import itertools
import typing as t
import weakref
from contextvars import ContextVar
from time import perf_counter

from flask import globals as flask_globals
from flask import has_app_context
from flask.ctx import AppContext
from flask.globals import app_ctx

from ..recorder import Scope
from ..weak import Attached
from . import endings

if t.TYPE_CHECKING:
    from ..recording import Recording
    from ..registries import KnownRegistry
    from .visits import Visit


_numbers = itertools.count(1)


class Unresolved:
    """The scope of a frame that no event has asked for yet."""


UNRESOLVED = Unresolved()


class Frame:
    """One app context, and the scope that its events belong to.

    :ivar number: Tells the app context from others, also when it is gone.
    :ivar parents: The frame that was current before each push of the context
        that was not popped yet; empty when the context is not pushed.
    :ivar scope: ``None`` where nothing is recorded.
    :ivar index: The index of the context within its scope.
    :ivar worker: The thread or greenlet that pushed it last.
    :ivar owns: Whether the scope began with this frame, and so ends with it.
    :ivar tearing: Whether its teardown functions run.
    :ivar preserved: Pushed again after its end, and not to go on with a stream.
    :ivar keys: Under which key each registry would keep this scope's session.
    :ivar visits: The requests that run in it although they did not push it.
    :ivar visited: Whether there ever was one.
    :ivar streams: Whether one of them went on to stream its response.
    """

    is_visit = False

    __slots__ = (
        "__weakref__",
        "context",
        "index",
        "keys",
        "number",
        "owns",
        "parents",
        "preserved",
        "recording",
        "scope",
        "streams",
        "tearing",
        "visited",
        "visits",
        "worker",
    )

    def __init__(self, context: AppContext, recording: Recording) -> None:
        self.context = weakref.ref(context, self._collected)
        self.recording = recording
        self.number = next(_numbers)
        self.parents: list[Frame | None] = []
        self.index = 0
        self.keys: cabc.Sequence[tuple[KnownRegistry, object]] = ()
        self.owns = False
        self.preserved = False
        self.scope: Scope | Unresolved | None = UNRESOLVED
        self.streams = False
        self.tearing = False
        self.visited = False
        self.visits: tuple[Visit, ...] = ()
        self.worker = 0

    def _collected(self, reference: object) -> None:
        # Nobody popped it: a teardown function raised, or the context was
        # abandoned. A garbage collection is no place for work that takes locks.
        if self.parents:
            self.recording.abandoned.append(self)

    def join(self, scope: Scope) -> None:
        """Become one more context of a scope."""
        if scope.handed_over:
            self.recording.go_on(scope)
        self.index = scope.join()
        scope.frames.add(self)
        self.scope = scope

    def go_on(self, scope: Scope) -> None:
        """Become the context in which a streamed response goes on."""
        self.join(scope)
        scope.go_on_in(self.index)

    def close(self) -> None:
        """End its part of the scope; the scope too, where it was the last."""
        self.parents.clear()
        scope = self.scope
        if not isinstance(scope, Scope):
            return
        try:
            endings.observe_end(self, scope)
        finally:
            scope.frames.discard(self)
            if self.owns or scope.stopped is not None:
                scope.stopped = perf_counter()
                self.recording.hand_over(scope)


def _by_proxy(default: None) -> AppContext | None:
    """Ask for the current app context in public."""
    return app_ctx._get_current_object() if has_app_context() else default  # type: ignore[attr-defined] # a proxy


# Each event asks for the current app context. What Flask's proxy asks itself has no
# public name, and answers without the two functions in between. These methods of
# context variables are looked up once: of a name that is imported, Python before 3.13
# makes a new bound method each time.
current_context: t.Callable[[None], AppContext | None]
current_context = getattr(getattr(flask_globals, "_cv_app", None), "get", _by_proxy)

frames: Attached[AppContext, Frame] = Attached("frame")
_innermost: ContextVar[Frame | None]
_innermost = ContextVar("flask_session_inspector.frame", default=None)
innermost, set_innermost = _innermost.get, _innermost.set
