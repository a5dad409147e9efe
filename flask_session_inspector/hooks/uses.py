"""Which sessions a record saw, and what became of them."""

from __future__ import annotations

import sys
import typing as t
from time import perf_counter

from sqlalchemy.orm import Session
from sqlalchemy.orm import sessionmaker

from ..recorder import RawSession
from ..recorder import RawTransaction
from ..recorder import Scope
from ..recorder import SessionFacts
from ..registries import sessions_kept_in
from ..weak import WeakIdentityDict
from . import loans

if t.TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .frames import Frame

facts: WeakIdentityDict[Session, SessionFacts] = WeakIdentityDict()
# Several sessions can join one connection; the last one to begin uses it now.
_facts_on: WeakIdentityDict[Connection, list[SessionFacts]] = WeakIdentityDict()
_connections_of: WeakIdentityDict[Session, set[int]] = WeakIdentityDict()

# Telling net changes from touched attributes costs microseconds for each object.
_MOST_COMPARED = 1000


def forget() -> None:
    """Forget every session."""
    facts.clear()
    _facts_on.clear()
    _connections_of.clear()


def facts_of(session: Session) -> SessionFacts:
    """Return what is known of a session."""
    known = facts.get(session)
    if known is None:
        name, origin = _class_and_origin(session)
        known = SessionFacts(session, name, origin)
        facts.set(session, known)
    return known


def facts_on(connection: Connection) -> SessionFacts | None:
    """Return what is known of the session that uses a connection."""
    joined = _facts_on.get(connection)
    return joined[-1] if joined else None


def join(session: Session, known: SessionFacts, connection: Connection) -> None:
    """Take note that a session began to use a connection."""
    joined = _facts_on.get(connection)
    if joined is None:
        _facts_on.set(connection, [known])
    elif known not in joined:
        joined.append(known)
    keys = _connections_of.get(session)
    if keys is None:
        _connections_of.set(session, {id(connection)})
    else:
        keys.add(id(connection))


def part(session: Session, known: SessionFacts) -> None:
    """Take note that a session uses no connection any more."""
    for key in _connections_of.get(session) or ():
        joined = _facts_on.get_id(key)
        if joined is not None and known in joined:
            joined.remove(known)
    _connections_of.discard(session)


def use(frame: Frame, scope: Scope, session: Session) -> RawSession:
    """Return what a record saw of a session, from its first use on."""
    used = scope.sessions.get(session.hash_key)
    if used is None:
        location = frame.recording.locate(sys._getframe(1))
        used = meet(frame, scope, session)
        used.first_use = location
    return used


def meet(frame: Frame, scope: Scope, session: Session) -> RawSession:
    """Enter a session into a record, without saying that it was used."""
    known = facts_of(session)
    used = RawSession(known, frame.index, None)
    scope.sessions[known.serial] = used
    if known.registry is None:
        frame.recording.name_registry(known, session)
    if known.first_record is None:
        known.first_record = scope.id
    if known.open:
        take_over(known, scope)
    return used


def take_over(known: SessionFacts, scope: Scope) -> None:
    """Go on with transactions that began in another record."""
    own = {_identity(begun) for begun in known.open if begun.scope is scope}
    for begun in list(known.open):
        if begun.scope.closed:
            known.open.remove(begun)
        if _identity(begun) in own:
            continue
        own.add(_identity(begun))
        transaction = RawTransaction(
            scope,
            known.serial,
            begun.key,
            begun.connection_key,
            max(begun.began, scope.started),
            begun.nested,
            begun.bind,
        )
        scope.add_transaction(transaction)
        known.open.append(transaction)
        if not begun.nested:
            loans.take_over(begun.connection_key, scope)


def _identity(begun: RawTransaction) -> tuple[int, int]:
    # A session has one on each bind that it uses.
    return (begun.key, begun.connection_key)


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
        for session, made in sessions_kept_in(vars(context.g)):
            if not _is_concerned(frame, scope, session):
                continue
            used = _see(frame, scope, session)
            if made and used.facts.registry is None:
                used.facts.origin = "factory"
    for used in list(scope.sessions.values()):
        session = used.facts.reference()
        if session is not None and used.context == frame.index:
            used.identity_map_size = len(session.identity_map)
            used.pending = _pending(session)


def _is_concerned(frame: Frame, scope: Scope, session: Session) -> bool:
    """Say whether a session that is there is one of this record.

    In a context pushed before the request, it can be one that the request never
    touched.
    """
    if not frame.is_visit or session.hash_key in scope.sessions:
        return True
    known = facts.get(session)
    return known is None or known.first_record is None


def observe_end(frame: Frame, scope: Scope) -> None:
    """Tell how each session of a context ended, after its teardown."""
    held: set[int] = set()
    for registry, key in frame.keys:
        session = registry.session(key)
        if session is not None and _is_concerned(frame, scope, session):
            # A teardown function may have made a new one after the removal.
            known = _see(frame, scope, session).facts
            registry.name_session(known, key)
            held.add(known.serial)
    frame.keys = []
    for serial, used in list(scope.sessions.items()):
        if used.context == frame.index:
            used.ended = _how_it_ended(used, serial in held)


def _how_it_ended(used: RawSession, held: bool) -> str:
    session = used.facts.reference()
    if held or (session is not None and _is_in_use(session)):
        return "open"
    if session is None:
        # Its connection was rolled back and returned, and nothing said so.
        for begun in used.facts.open:
            begun.end(perf_counter())
        used.facts.open.clear()
    return "closed" if used.facts.registry is None else "removed"


def _is_in_use(session: Session) -> bool:
    # Nothing tells that a session was closed; a closed one holds nothing.
    return (
        session.in_transaction()
        or len(session.identity_map) > 0
        or not session._is_clean()
    )


def _see(frame: Frame, scope: Scope, session: Session) -> RawSession:
    return scope.sessions.get(session.hash_key) or meet(frame, scope, session)


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


def _class_and_origin(session: Session) -> tuple[str, str]:
    """Name the class of a session, and tell whether a factory made it.

    A ``sessionmaker`` gives each session a class of its own, which has the name
    of the class that it was configured with and sits right below it.
    """
    visible: object = session
    asyncio = sys.modules.get("sqlalchemy.ext.asyncio")
    if asyncio is not None:
        visible = asyncio.async_session(session) or session
    cls = type(visible)
    parent = cls.__bases__[0] if cls.__bases__ else object
    made = cls.__name__ == parent.__name__ and cls.__module__ in _FACTORY_MODULES
    return cls.__name__, "factory" if made else "direct"


# The class that a factory makes takes the module of the code that makes it.
_FACTORY_MODULES = frozenset(
    {sessionmaker.__module__, "sqlalchemy.ext.asyncio.session"}
)
