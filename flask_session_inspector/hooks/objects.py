"""The hooks into objects that a session takes in, and those that it lets go of.

The latter run only for objects that are still there at that moment: after most
requests, none is. All are called with the state of an object, since asking for the
object itself could make it live longer.
"""

from __future__ import annotations

import sys
import types
import typing as t
import weakref

from sqlalchemy import event
from sqlalchemy.orm import Session

from ..clues import Detachment
from ..clues import earlier
from ..guard import guard
from ..weak import WeakIdentityDict
from . import uses
from .contexts import current_scope
from .sessions import use_again

if t.TYPE_CHECKING:
    from sqlalchemy.orm import InstanceState

    from ..recorder import RawSession
    from ..recorder import SessionFacts

detachments: WeakIdentityDict[InstanceState[t.Any], Detachment] = WeakIdentityDict()


def listen() -> None:
    """Install the listeners, on every session of the process."""
    for name, listener in _LISTENERS.items():
        event.listen(Session, name, listener, raw=True)


def remove() -> None:
    """Remove the listeners and what they know."""
    for name, listener in _LISTENERS.items():
        event.remove(Session, name, listener)
    detachments.clear()


def _after_attach(session: Session, state: InstanceState[t.Any]) -> None:
    try:
        use_again(session)
    except Exception:
        guard.report("after_attach")


def _after_detach(session: Session, state: InstanceState[t.Any]) -> None:
    try:
        facts = uses.facts.get(session)
        if facts is None:
            return
        detachment = _detachment(session, facts)
        detachments.set(state, detachment)
        if not detachment.closing:
            return
        if state in facts.to_delete:
            used = _used_now(facts)
            if used is not None:
                _count(used.thrown_deleted, state)
        elif state.modified:
            _note_changed(session, state, facts)
    except Exception:
        guard.report("persistent_to_detached")


def _after_expunge_of_pending(session: Session, state: InstanceState[t.Any]) -> None:
    try:
        facts = uses.facts.get(session)
        if facts is not None and _detachment(session, facts).closing:
            used = _used_now(facts)
            if used is not None:
                _count(used.thrown_new, state)
    except Exception:
        guard.report("pending_to_transient")


_LISTENERS: dict[str, t.Callable[[Session, t.Any], None]] = {
    "after_attach": _after_attach,
    "persistent_to_detached": _after_detach,
    "deleted_to_detached": _after_detach,
    "pending_to_transient": _after_expunge_of_pending,
}


def _detachment(session: Session, facts: SessionFacts) -> Detachment:
    """Describe why objects of a session are let go, once for all of them."""
    frame = _caller_of("_detach_states")
    closing = frame is not None and frame.f_code.co_name == "expunge_all"
    known = facts.detachment
    # Closing makes a new identity map before it lets go of the objects.
    if (
        closing
        and known is not None
        and known.identity_map is not None
        and known.identity_map() is session.identity_map
    ):
        return known
    if closing and frame is not None:
        outer = frame.f_back
        closing = outer is not None and outer.f_code.co_name == "_close_impl"
    current = current_scope()
    location = user = None
    tearing = False
    if current is not None:
        context, scope = current
        tearing = context.tearing
        location = None if tearing else context.recording.locate(frame)
        user = earlier(scope, facts.serial)
    facts.detachment = Detachment(
        facts.serial,
        _name_of_call(frame),
        tearing,
        # Whatever ended the work, it was not forgotten.
        closing and sys.exc_info()[0] is None,
        location,
        user,
        weakref.ref(session.identity_map),
    )
    return facts.detachment


def _caller_of(function: str) -> types.FrameType | None:
    frame: types.FrameType | None = sys._getframe(3)
    for _ in range(6):
        if frame is None:
            return None
        if frame.f_code.co_name == function:
            return frame.f_back
        frame = frame.f_back
    return None


def _name_of_call(frame: types.FrameType | None) -> str:
    """Name the method of the session that the application called."""
    name = "close"
    while frame is not None:
        if not str(frame.f_globals.get("__name__")).startswith("sqlalchemy."):
            break
        called = frame.f_code.co_name
        # Of a context manager, what it calls says more.
        if not called.startswith("_") and called != "begin":
            name = called
        frame = frame.f_back
    return name


def _note_changed(
    session: Session, state: InstanceState[t.Any], facts: SessionFacts
) -> None:
    instance = state.obj()
    used = _used_now(facts)
    if used is not None and instance is not None and session.is_modified(instance):
        _count(used.thrown_changed, state)


def _used_now(facts: SessionFacts) -> RawSession | None:
    current = current_scope()
    return None if current is None else current[1].sessions.get(facts.serial)


def _count(counts: dict[str, int], state: InstanceState[t.Any]) -> None:
    name = state.class_.__name__
    counts[name] = counts.get(name, 0) + 1
