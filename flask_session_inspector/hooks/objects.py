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
    from ..recorder.scope import RecordId

# Each entry takes some 400 bytes for as long as its object lives.
_MOST_REMEMBERED = 10_000
# Telling net changes from touched attributes costs microseconds for each object.
_MOST_COMPARED = 1000


class _Release:
    """Why objects of a session were let go last, and how many those are.

    :ivar code: What SQLAlchemy runs for the caller; with the line, it tells what
        the caller called.
    :ivar remembered: How many of them have an entry in ``detachments``.
    :ivar compared: How many were asked for their net changes.
    """

    __slots__ = ("code", "compared", "detachment", "remembered", "scope")

    def __init__(
        self,
        detachment: Detachment,
        code: types.CodeType | None,
        scope: RecordId | None,
    ) -> None:
        self.detachment = detachment
        self.code = code
        self.scope = scope
        self.remembered = 0
        self.compared = 0


detachments: WeakIdentityDict[InstanceState[t.Any], Detachment] = WeakIdentityDict()
_releases: WeakIdentityDict[Session, _Release] = WeakIdentityDict()


def listen() -> None:
    """Install the listeners, on every session of the process."""
    for name, listener in _LISTENERS.items():
        event.listen(Session, name, listener, raw=True)


def remove() -> None:
    """Remove the listeners and what they know."""
    for name, listener in _LISTENERS.items():
        event.remove(Session, name, listener)
    detachments.clear()
    _releases.clear()


def _after_attach(session: Session, state: InstanceState[t.Any]) -> None:
    try:
        use_again(session)
    except Exception:
        guard.report("after_attach")


def _after_detach(session: Session, state: InstanceState[t.Any]) -> None:
    try:
        facts = uses.facts.get(session.hash_key)
        if facts is None:
            return
        release = _release(session, facts)
        if release.remembered < _MOST_REMEMBERED:
            release.remembered += 1
            detachments.set(state, release.detachment)
        if not release.detachment.closing:
            return
        if state in facts.to_delete:
            used = _used_now(facts)
            if used is not None:
                used.thrown_deleted = _counted(used.thrown_deleted, state)
        elif state.modified:
            _note_changed(session, state, facts, release)
    except Exception:
        guard.report("persistent_to_detached")


def _after_expunge_of_pending(session: Session, state: InstanceState[t.Any]) -> None:
    try:
        facts = uses.facts.get(session.hash_key)
        if facts is not None and _release(session, facts).detachment.closing:
            used = _used_now(facts)
            if used is not None:
                used.thrown_new = _counted(used.thrown_new, state)
    except Exception:
        guard.report("pending_to_transient")


_LISTENERS: dict[str, t.Callable[[Session, t.Any], None]] = {
    "after_attach": _after_attach,
    "persistent_to_detached": _after_detach,
    "deleted_to_detached": _after_detach,
    "pending_to_transient": _after_expunge_of_pending,
}


def _release(session: Session, facts: SessionFacts) -> _Release:
    """Describe why objects of a session are let go, once for all of them."""
    frame = _caller_of("_detach_states")
    code = None if frame is None else frame.f_code
    closing = code is not None and code.co_name == "expunge_all"
    known = _releases.get(session)
    # Closing makes a new identity map before it lets go of the objects.
    if known is not None and (known.code is not code or not _is_of(known, session)):
        known = None
    if known is not None and closing:
        return known
    if closing and frame is not None:
        outer = frame.f_back
        closing = outer is not None and outer.f_code.co_name == "_close_impl"
    current = current_scope()
    location = user = scope = None
    tearing = False
    if current is not None:
        context, scope = current
        tearing = context.tearing
        location = None if tearing else context.recording.locate(frame)
    number = None if scope is None else scope.id
    # A loop that expunges objects is one call for each.
    if known is not None and known.scope == number:
        told = known.detachment
        if (told.at_teardown, told.location) == (tearing, location):
            return known
    if scope is not None:
        user = earlier(scope, facts.serial)
    detachment = Detachment(
        facts.serial,
        _name_of_call(frame),
        tearing,
        # Whatever ended the work, it was not forgotten.
        closing and sys.exc_info()[0] is None,
        location,
        user,
        weakref.ref(session.identity_map),
    )
    release = _Release(detachment, code, number)
    _releases.set(session, release)
    return release


def _is_of(release: _Release, session: Session) -> bool:
    """Say whether a session was not closed since."""
    identity_map = release.detachment.identity_map
    return identity_map is not None and identity_map() is session.identity_map


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
    session: Session,
    state: InstanceState[t.Any],
    facts: SessionFacts,
    release: _Release,
) -> None:
    instance = state.obj()
    used = _used_now(facts)
    if used is None or instance is None:
        return
    release.compared += 1
    if release.compared > _MOST_COMPARED:
        # One more of those that were changed: no finding rests on it alone.
        modified = state.class_.__name__ in used.thrown_changed
    else:
        modified = session.is_modified(instance)
    if modified:
        used.thrown_changed = _counted(used.thrown_changed, state)


def _used_now(facts: SessionFacts) -> RawSession | None:
    current = current_scope()
    return None if current is None else current[1].sessions.get(facts.serial)


def _counted(
    counts: t.Mapping[str, int], state: InstanceState[t.Any]
) -> t.Mapping[str, int]:
    name = state.class_.__name__
    return {**counts, name: counts.get(name, 0) + 1}
