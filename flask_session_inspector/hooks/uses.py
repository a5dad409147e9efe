"""Which sessions a record saw, and when it began to use them."""

from __future__ import annotations

import sys
import threading
import typing as t

from sqlalchemy.orm import Session
from sqlalchemy.orm import sessionmaker

from ..process import process
from ..recorder import RawSession
from ..recorder import RawTransaction
from ..recorder import Scope
from ..recorder import SessionFacts
from ..weak import WeakIdentityDict
from . import history
from . import loans
from . import strays
from .workers import task
from .workers import worker

if t.TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .frames import Frame

facts: WeakIdentityDict[Session, SessionFacts] = WeakIdentityDict()
# Several sessions can join one connection; the last one to begin uses it now.
_facts_on: WeakIdentityDict[Connection, list[SessionFacts]] = WeakIdentityDict()
_connections_of: WeakIdentityDict[Session, set[int]] = WeakIdentityDict()


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


def facts_by_serial(serial: int) -> SessionFacts | None:
    """Return what is known of a session by its number; not on the hot path."""
    return next((known for known in facts.values() if known.serial == serial), None)


def begin_in_this_process(session: Session) -> None:
    """Take note that the next transaction of a session is none of a parent's."""
    known = facts.get(session)
    if known is not None:
        known.pid = process.pid


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
    if used is not None and used.used:
        return used
    caller = sys._getframe(1)
    location = frame.recording.locate(caller)
    if used is None:
        used = meet(frame, scope, session)
    used.used = True
    used.first_use = location
    used.task = task()
    if frame.index:
        used.thread = threading.current_thread().name
    known = used.facts
    if known.registry_key is None:
        history.look_for_proxy(frame, known, session, caller)
        if known.closings is None:
            known.watch_closing(session)
    if used.earlier is not None:
        history.tell(scope, used)
    return used


def meet(frame: Frame, scope: Scope, session: Session) -> RawSession:
    """Enter a session into a record, without saying that it was used."""
    known = facts_of(session)
    used = RawSession(known, frame.index, frame.number, worker())
    scope.add_session(used)
    key_before = known.scope_key
    if known.registry is None:
        frame.recording.name_registry(known, session)
    if frame.is_visit:
        used.of_outer_context = strays.is_of_context(frame, session)
    before = known.last
    known.last = scope
    if known.first is None:
        known.first = scope
    elif before is not None and before is not scope:
        history.compare(frame, before, session, used, key_before)
    if known.open:
        take_over(known, scope)
    return used


def take_over(known: SessionFacts, scope: Scope) -> None:
    """Go on with transactions that began in another record."""
    own = {_identity(begun) for begun in known.open if begun.scope is scope}
    for begun in list(known.open):
        if begun.scope.closed:
            known.leave_behind(begun)
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
        transaction.keeps_writes = begun.keeps_writes
        scope.add_transaction(transaction)
        known.open.append(transaction)
        if not begun.nested:
            loans.take_over(begun.connection_key, scope)


def _identity(begun: RawTransaction) -> tuple[int, int]:
    # A session has one on each bind that it uses.
    return (begun.key, begun.connection_key)


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
