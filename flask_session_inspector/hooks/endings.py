"""What became of the sessions of an app context: before and after its teardown."""

from __future__ import annotations

import typing as t
from time import perf_counter

from sqlalchemy.orm import Session

from ..recorder import RawSession
from ..recorder import Scope
from ..registries import sessions_kept_in
from . import uses

if t.TYPE_CHECKING:
    from .frames import Frame

# Telling net changes from touched attributes costs microseconds for each object.
_MOST_COMPARED = 1000


def observe_sessions(frame: Frame, scope: Scope) -> None:
    """Look at the sessions of a context just before they are removed."""
    frame.keys = []
    for registry in frame.recording.registries():
        try:
            key = registry.key()
        except Exception:
            # may need what there is only inside a request.
            continue
        frame.keys.append((registry, key))
        session = registry.session(key)
        if session is not None and _is_concerned(frame, scope, session):
            used = _see(frame, scope, session)
            registry.name_session(used.facts, key)
            # It may have been used first in a context nested in this one.
            used.context = frame.index
    context = frame.context()
    if context is not None:
        for session, kept_as in sessions_kept_in(vars(context.g)):
            if not _is_concerned(frame, scope, session):
                continue
            used = _see(frame, scope, session)
            if kept_as is not None and used.facts.registry is None:
                used.facts.origin = "factory"
                used.facts.kept_as = kept_as
    now = perf_counter()
    for used in list(scope.sessions.values()):
        session = used.facts.reference()
        if session is not None and used.context == frame.index:
            used.identity_map_size = len(session.identity_map)
            used.pending = _pending(session)
            used.looked_at = now
            if used.pending[2]:
                used.deleted_unflushed = _classes(session.deleted)


def _is_concerned(frame: Frame, scope: Scope, session: Session) -> bool:
    """Say whether a session that is there is one of this record.

    In a context pushed before the request, it can be one that the request never
    touched.
    """
    if not frame.is_visit or session.hash_key in scope.sessions:
        return True
    known = uses.facts.get(session)
    return known is None or known.first is None


def observe_end(frame: Frame, scope: Scope) -> None:
    """Tell how each session of a context ended, after its teardown."""
    held: set[int] = set()
    for registry, key in frame.keys:
        session = registry.session(key)
        if session is not None and _is_concerned(frame, scope, session):
            # A teardown function may have made a new one after the removal.
            late = session.hash_key not in scope.sessions
            used = _see(frame, scope, session)
            used.made_at_teardown = late or used.looked_at is None
            registry.name_session(used.facts, key)
            held.add(used.facts.serial)
            if not frame.owns:
                scope.still_held[used.facts.serial] = (registry, key)
    frame.keys = []
    for serial, used in list(scope.sessions.items()):
        if used.context == frame.index:
            _end(used, serial in held, frame)
    if frame.owns:
        # A registry whose scope is wider than the app context may have removed it
        # only now.
        for serial, (registry, key) in scope.still_held.items():
            used = scope.sessions[serial]
            if used.context != frame.index:
                session = registry.session(key)
                _end(used, session is used.facts.reference(), frame)
        scope.still_held.clear()


def _end(used: RawSession, held: bool, frame: Frame) -> None:
    facts = used.facts
    session = facts.reference()
    in_use = session is not None and _is_in_use(session)
    held = held and session is not None
    used.held = held and not frame.is_visit
    used.closed_by_host = (
        session is not None
        and not in_use
        and facts.identity_map() is not session.identity_map
    )
    used.left_in_transaction = session is not None and session.in_transaction()
    used.left_objects = 0 if session is None else len(session.identity_map)
    if used.deleted_unflushed and (in_use or _was_settled(used)):
        used.deleted_unflushed = {}
    if held or in_use:
        used.ended = "open"
        if not held and facts.registry_key is None and session is not None:
            frame.recording.look_for_unknown_registry(facts, session)
        return
    if session is None:
        # Its connection was rolled back and returned, and nothing said so.
        for begun in facts.open:
            begun.end(perf_counter())
        facts.open.clear()
    used.ended = "closed" if facts.registry is None else "removed"


def _was_settled(used: RawSession) -> bool:
    """Say whether a teardown function committed or rolled back after the look."""
    looked_at = used.looked_at
    scope = used.facts.last
    return (
        looked_at is not None
        and scope is not None
        and any(
            each.serial == used.facts.serial
            and each.outcome in ("commit", "rollback")
            and (each.ended or 0) > looked_at
            for each in scope.transactions
        )
    )


def _is_in_use(session: Session) -> bool:
    # Nothing tells that a session was closed; a closed one holds nothing.
    return (
        session.in_transaction()
        or len(session.identity_map) > 0
        or not session._is_clean()
    )


def _see(frame: Frame, scope: Scope, session: Session) -> RawSession:
    return scope.sessions.get(session.hash_key) or uses.meet(frame, scope, session)


def _pending(session: Session) -> tuple[int, int, int]:
    """Count what was never flushed: new, changed and deleted objects."""
    # The properties build sets; most sessions end clean.
    if session._is_clean():
        return (0, 0, 0)
    touched = list(session.dirty)
    changed = len(touched)
    if changed <= _MOST_COMPARED:
        changed = sum(1 for instance in touched if session.is_modified(instance))
    return (len(session.new), changed, len(session.deleted))


def _classes(instances: t.Iterable[object]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for instance in instances:
        name = type(instance).__name__
        counts[name] = counts.get(name, 0) + 1
    return counts
