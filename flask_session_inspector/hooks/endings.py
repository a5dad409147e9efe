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
    from ..recorder import SessionFacts
    from ..registries import KnownRegistry
    from .frames import Frame

# Telling net changes from touched attributes costs microseconds for each object.
_MOST_COMPARED = 1000


def observe_sessions(frame: Frame, scope: Scope) -> None:
    """Look at the sessions of a context just before they are removed."""
    keys = []
    context = frame.context()
    recording = frame.recording
    # With a session that was just used, they were just looked for.
    known = recording.known_registries if scope.sessions else recording.registries()
    for registry in known:
        if registry.by_context:
            key: object = id(context)
        elif not (registry.may_be_asked or _gave_a_session(registry, scope)):
            continue
        else:
            try:
                key = registry.key()
            except Exception:
                # may need what there is only inside a request.
                continue
        keys.append((registry, key))
        if not registry.held:
            continue
        session = registry.session(key)
        if session is None:
            continue
        used = scope.sessions.get(session.hash_key)
        if used is None and _is_of(frame, scope, session, key):
            used = uses.meet(frame, scope, session)
        if used is not None:
            if used.facts.registry is None:
                registry.name_session(used.facts, key)
            # It may have been used first in a context nested in this one.
            if used.context != frame.index:
                scope.move_session(used, frame.index)
    frame.keys = keys
    kept = {} if context is None else vars(context.g)
    if kept:
        for session, kept_as in sessions_kept_in(kept):
            if not _is_concerned(frame, scope, session):
                continue
            used = _see(frame, scope, session)
            if kept_as is not None and used.facts.registry is None:
                used.facts.origin = "factory"
                used.facts.kept_as = kept_as
    if not scope.sessions:
        return
    now = perf_counter()
    for used in scope.sessions_in(frame.index):
        session = used.facts.reference()
        if session is not None:
            used.identity_map_size = len(session.identity_map)
            if not session._is_clean():
                used.pending = _pending(session)
            used.looked_at = now


def _gave_a_session(registry: KnownRegistry, scope: Scope) -> bool:
    proxy_id = id(registry.proxy)
    sessions = list(scope.sessions.values())
    return any(used.facts.proxy_id == proxy_id for used in sessions)


def _is_concerned(frame: Frame, scope: Scope, session: Session) -> bool:
    """Say whether a session that is there is one of this record.

    In a context pushed before the request, it can be one that the request never
    touched.
    """
    if not frame.is_visit or session.hash_key in scope.sessions:
        return True
    known = uses.facts.get(session.hash_key)
    return known is None or known.first is None


def _is_of(frame: Frame, scope: Scope, session: Session, key: object) -> bool:
    """Say whether a session in a registry is one of this record.

    Where the scope of the registry is wider than the app context, such as a thread,
    it can be one that was there before and that nobody asked for.
    """
    if session.hash_key in scope.sessions:
        return True
    if not _is_concerned(frame, scope, session):
        return False
    if frame.is_visit:
        return True
    if uses.facts.get(session.hash_key) is None:
        return True
    # It may still be there under a key that was the address of a dead context.
    context = frame.context()
    return type(key) is int and key in (id(context), id(getattr(context, "g", None)))


def observe_end(frame: Frame, scope: Scope) -> None:
    """Tell how each session of a context ended, after its teardown."""
    held: set[int] = set()
    for registry, key in frame.keys:
        if not registry.held:
            continue
        session = registry.session(key)
        if session is not None and _is_of(frame, scope, session, key):
            # A teardown function may have made a new one after the removal.
            late = session.hash_key not in scope.sessions
            used = _see(frame, scope, session)
            used.made_at_teardown = late or used.looked_at is None
            registry.name_session(used.facts, key)
            held.add(used.facts.serial)
            if not frame.owns and used.facts.serial in scope.sessions:
                held_by = {used.facts.serial: (registry, key)}
                scope.still_held = {**scope.still_held, **held_by}
    if scope.sessions:
        if frame.owns:
            for used in [*scope.sessions.values()]:
                proxy_id = used.facts.proxy_id
                if proxy_id is None:
                    continue
                for registry, _ in frame.keys:
                    if registry.proxy_id == proxy_id:
                        break
                else:  # None that was asked: it has lost its key.
                    held |= _held_under_lost_keys(frame, scope)
                    break
        for used in scope.sessions_in(frame.index):
            _end(used, used.facts.serial in held, frame)
        if scope.continued and frame.index in scope.continued:
            for used in list(scope.sessions.values()):
                # What the view left open was left to its stream, which is over now.
                left_to_stream = used.ended == "open" and not used.held
                if left_to_stream and used.context != frame.index:
                    _end(used, used.facts.serial in held, frame)
    frame.keys = ()
    if scope.nested:
        scope.leave(frame.index)
    if frame.owns and scope.still_held:
        # A registry whose scope is wider than the app context may have removed it
        # only now.
        for serial, (registry, key) in scope.still_held.items():
            used = scope.sessions[serial]
            if used.context != frame.index:
                session = registry.session(key)
                _end(used, session is used.facts.reference(), frame)
        scope.still_held = {}


def _held_under_lost_keys(frame: Frame, scope: Scope) -> set[int]:
    """Look for sessions whose registry could not tell its key any more.

    A scopefunc that asks for the request raises when only the app context is left.
    """
    asked = [registry.proxy_id for registry, _ in frame.keys]
    lost = [
        used.facts
        for used in list(scope.sessions.values())
        if used.facts.registry is not None and used.facts.proxy_id not in asked
    ]
    by_id = {id(each.proxy): each for each in frame.recording.registries()}
    held = set()
    for facts in lost:
        session = facts.reference()
        registry = by_id.get(facts.proxy_id or 0)
        if session is not None and registry is not None and registry.holds(session):
            held.add(facts.serial)
    return held


def _end(used: RawSession, held: bool, frame: Frame) -> None:
    facts = used.facts
    session = facts.reference()
    if session is None:
        _end_of_gone(used, facts)
        return
    uses.forget_when_gone(facts)
    in_use = _is_in_use(session)
    used.held = held and not frame.is_visit
    closed = facts.was_closed(session)
    used.closed_by_host = not in_use and closed
    # One of no registry that did something and was not closed is nobody's to close.
    left = used.used and facts.registry_key is None and not closed
    used.left_in_transaction = session.in_transaction()
    used.left_objects = len(session.identity_map)
    used.collected = False
    if held or in_use or left:
        used.ended = "open"
        if not held and facts.registry_key is None:
            frame.recording.look_for_unknown_registry(facts, session)
    else:
        used.ended = "closed" if facts.registry is None else "removed"


def _end_of_gone(used: RawSession, facts: SessionFacts) -> None:
    """Tell how a session ended that is no more, as most are after a removal."""
    uses.forget_session(facts)
    used.held = used.closed_by_host = used.left_in_transaction = False
    used.left_objects = 0
    if facts.registry is None:
        used.ended = "closed"
        # One of no registry that did something and was not closed was left alone.
        left = used.used and facts.kept_as is None
        used.collected = left and not facts.was_closed(None)
    else:
        used.ended = "removed"
        used.collected = False
    if facts.open:
        # Its connection was rolled back and returned, and nothing said so.
        for begun in facts.open:
            begun.end(perf_counter())
            begun.scope = begun.loan = None
        facts.open.clear()


def observe_response_closed(scope: Scope) -> bool:
    """Look once more at what a view may have left to its streamed response.

    :return: Whether the rules have held anything back until now.
    """
    scope.streaming = False
    waiting = any(checkout.returned is None for checkout in scope.checkouts)
    for used in list(scope.sessions.values()):
        if used.ended == "open" and used.facts.registry_key is None:
            waiting = True
            session = used.facts.reference()
            closed = used.facts.was_closed(session)
            used.collected = session is None and not closed
            if session is None or (closed and not _is_in_use(session)):
                used.ended = "closed"
                used.left_in_transaction = False
    return waiting or any(
        (checkout.returned or 0) > (scope.stopped or 0) for checkout in scope.checkouts
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
    """Count what was never flushed: new, changed and deleted objects.

    The properties build sets; most sessions end clean and are not asked.
    """
    touched = list(session.dirty)
    changed = len(touched)
    if changed <= _MOST_COMPARED:
        changed = sum(1 for instance in touched if session.is_modified(instance))
    return (len(session.new), changed, len(session.deleted))
