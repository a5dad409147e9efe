"""What is the current app context, as Flask says, and its frame.

Flask's current app context is the only truth: every event asks for it and
looks up its :class:`Frame`. Which record that belongs to is decided late, at
the first event or at the teardown (see :mod:`.resolving`), because at
``appcontext_pushed`` Flask 3.1 does not yet say whether a request will follow.
"""

from __future__ import annotations

import typing as t

from ..recorder import Scope
from . import resolving
from . import visits
from .frames import UNRESOLVED
from .frames import Frame
from .frames import current_context
from .frames import frames
from .frames import innermost
from .frames import set_innermost
from .workers import worker

if t.TYPE_CHECKING:
    from flask.ctx import AppContext

    from ..recording import Recording


def current_frame() -> Frame | None:
    """Return the frame of the current app context.

    :return: ``None`` outside of any, and in those of an application that is not
        inspected.
    """
    frame = frame_of_context()
    if frame is not None and frame.visited:
        return visits.seen_from_here(frame)
    return frame


def frame_of_context() -> Frame | None:
    """Return the frame of the current app context itself; see above."""
    context = current_context(None)
    if context is None:
        return None
    return getattr(context, frames.name, None) or _adopt(context)


def adopt_current() -> None:
    """Take up the app context in which the inspector is initialised."""
    current_frame()


def _adopt(context: AppContext) -> Frame | None:
    """Take up a context that was pushed before anybody listened."""
    inspection = context.app.extensions.get("session_inspector")
    recording = getattr(inspection, "recording", None)
    if recording is None or not recording.attached:
        return None
    frame = Frame(context, recording)
    frame.parents.append(innermost())
    frames.set(context, frame)
    return frame


def current_scope() -> tuple[Frame, Scope] | None:
    """Return where an event of this moment belongs, ``None`` for nowhere."""
    context = current_context(None)
    if context is None:
        return None
    frame: Frame | None = getattr(context, frames.name, None)
    if frame is None or frame.visited or not frame.parents:
        frame = current_frame()
        # A context variable copied into a thread outlives the context it names.
        if frame is None or not frame.parents:
            return None
    scope = frame.scope
    if scope is UNRESOLVED:
        scope = resolving.resolve(frame)
    return (frame, scope) if isinstance(scope, Scope) else None


def is_outside() -> bool:
    """Say whether no app context is pushed here.

    A copied context variable can name one that was popped since. In a context of
    an application that is not inspected, or where nothing is recorded, nobody knows.
    """
    context = current_context(None)
    if context is None:
        return True
    frame = frames.get(context)
    if frame is None or frame.parents:
        return False
    # Of one that is inspected no longer, nobody knows.
    return frame.recording.attached


def push(recording: Recording) -> None:
    """Take note that the current app context was pushed."""
    context = current_context(None)
    if context is None:
        return
    frame: Frame | None = getattr(context, frames.name, None)
    if frame is None:
        frame = Frame(context, recording)
        setattr(context, frames.name, frame)
    elif frame.parents:
        visits.expect_stream(frame)
    else:
        _push_again(frame)
    frame.parents.append(innermost())
    frame.worker = worker()
    set_innermost(frame)


def _push_again(frame: Frame) -> None:
    """Go on with a streamed response, or preserve a context for a test.

    Flask pushes the same context again for both. Only a streamed response goes
    on with its request; what a test does in a preserved context is its own.
    """
    scope = frame.scope
    frame.tearing = False
    if isinstance(scope, Scope) and scope.streamed:
        frame.go_on(scope)
    elif scope is not None:
        frame.scope = UNRESOLVED
        frame.owns = False
        frame.preserved = True


def pop() -> None:
    """Take note that the innermost app context was popped."""
    frame = innermost()
    if frame is None or not frame.parents:
        return
    before = frame.parents.pop()
    set_innermost(before)
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
    context = current_context(None)
    alive = None if context is None else frames.get(context)
    if context is not None and alive is None:
        return  # The context of an application that is not inspected.
    dead: Frame | None = frame
    while dead is not None and dead is not alive:
        outer = dead.parents[0] if dead.parents else None
        finish(dead)
        dead = outer
    set_innermost(dead)


def take_up() -> Frame | None:
    """Return the frame of the current context, which is about to be torn down.

    It may have been pushed before anybody listened.
    """
    frame = frame_of_context()
    if frame is not None:
        set_innermost(frame)
    return frame


def announce_late() -> None:
    """Take note of a request that was not dispatched, or not by Flask's method.

    Such as one whose cookie session could not be opened.
    """
    frame = frame_of_context()
    if frame is not None:
        resolving.announce_late(frame)


def end_request() -> None:
    """Take note that the current request is torn down, its app context next."""
    frame = frame_of_context()
    if frame is None or frame.scope is not UNRESOLVED:
        return
    resolving.resolve_at_end(frame)


def finish_abandoned(recording: Recording) -> None:
    """Finish the frames whose context was collected without a pop."""
    while recording.abandoned:
        try:
            frame = recording.abandoned.popleft()
        except IndexError:  # Another thread was faster.
            return
        if frame.parents:
            finish(frame)


def finish(frame: Frame) -> None:
    """End a frame; its scope too, where it began with it."""
    if frame.visits:
        visits.end_all(frame)
    frame.close()


def forget_app(recording: Recording) -> None:
    """Finish the frames of an application that is inspected no longer."""
    for scope in list(recording.live.values()):
        for frame in list(scope.frames):
            finish(t.cast(Frame, frame))
