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
from ..weak import Attached
from . import history
from . import loans
from . import strays
from .workers import running_loop
from .workers import task
from .workers import worker

if t.TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from ..recorder import Bind
    from ..recording import Recording
    from .frames import Frame

# By SQLAlchemy's own number of a session, which no other one will ever have.
facts: dict[int, SessionFacts] = {}
_MOST_GONE = 1000


class Joined:
    """The sessions that use a connection; the last one to begin uses it now.

    :ivar loan: Of the pooled connection that is behind it.
    :ivar bind: What the application of ``recording`` calls its engine.
    :ivar alone: The one session, if there is one and nothing is special about it; it
        began its transaction in ``frame``, for ``scope``.
    :ivar reads: The statements of its dialect that are known to read only.
    """

    __slots__ = (
        "alone",
        "bind",
        "frame",
        "loan",
        "reads",
        "recording",
        "scope",
        "sessions",
    )

    def __init__(self, first: SessionFacts) -> None:
        self.sessions = [first]
        self.alone: SessionFacts | None = None
        self.bind: Bind | None = None
        self.frame: Frame | None = None
        self.loan: loans.Loan | None = None
        self.reads: t.AbstractSet[str] = frozenset()
        self.recording: Recording | None = None
        self.scope: Scope | None = None

    def share(self) -> None:
        """Take note that more has to be known of what is done with it."""
        self.alone = self.frame = self.scope = None


joined: Attached[Connection, Joined] = Attached("joined")


def forget() -> None:
    """Forget every session."""
    facts.clear()
    joined.clear()


def facts_of(session: Session) -> SessionFacts:
    """Return what is known of a session."""
    return facts.get(session.hash_key) or _learn_of(session)


def _learn_of(session: Session) -> SessionFacts:
    cls = type(session)
    if "sqlalchemy.ext.asyncio" in sys.modules or cls not in _classes:
        name, origin = _class_and_origin(session)
    else:
        name, origin = _classes[cls]
    known = facts[session.hash_key] = SessionFacts(session, name, origin)
    if len(facts) > _MOST_GONE:
        _forget_the_gone()
    return known


def forget_session(known: SessionFacts) -> None:
    """Forget a session that is gone."""
    facts.pop(known.serial, None)
    last = known.last
    if last is not None and last.handed_over and last.closed:
        known.let_go_of(last)


def forget_when_gone(known: SessionFacts) -> None:
    """Forget a session when it is collected, whose record has ended before."""
    session = known.reference()
    if session is None:
        forget_session(known)
    else:
        known.when_gone(session, forget_session)


def _forget_the_gone() -> None:
    """Forget sessions that are gone and whose record did not notice."""
    for serial, known in list(facts.items()):
        if known.reference() is None:
            facts.pop(serial, None)


def begin_in_this_process(session: Session) -> None:
    """Take note that the next transaction of a session is none of a parent's."""
    known = facts.get(session.hash_key)
    if known is not None:
        known.pid = process.pid


def join(known: SessionFacts, connection: Connection) -> Joined:
    """Take note that a session began to use a connection."""
    users: Joined | None = getattr(connection, joined.name, None)
    if users is None:
        users = Joined(known)
        joined.set(connection, users)
        known.joined = (*known.joined, users) if known.joined else (users,)
        return users
    if users.alone is not None:
        users.share()
    if known not in users.sessions:
        # On a connection that is kept, some may have gone without a sign.
        users.sessions = [each for each in users.sessions if each.reference()]
        users.sessions.append(known)
        known.joined = (*known.joined, users)
    return users


def part(known: SessionFacts) -> None:
    """Take note that a session uses no connection any more."""
    for users in known.joined:
        if known in users.sessions:
            users.sessions.remove(known)
        users.share()
    known.joined = ()


def use(frame: Frame, scope: Scope, session: Session) -> RawSession:
    """Return what a record saw of a session, from its first use on."""
    used = scope.sessions.get(session.hash_key)
    if used is None:
        used = meet(frame, scope, session)
    elif used.used:
        return used
    used.used = True
    used.first_use = frame.recording.line_of_use(None)
    if running_loop() is not None:
        used.task = task()
    if frame.index:
        used.thread = threading.current_thread().name
    known = used.facts
    if known.registry is None and known.kept_as is None:
        history.look_for_proxy(frame, known, session, sys._getframe(1))
        if known.closings is None:
            known.watch_closing(session)
    if used.earlier is not None:
        history.tell(scope, used)
    return used


def meet(frame: Frame, scope: Scope, session: Session) -> RawSession:
    """Enter a session into a record, without saying that it was used."""
    known = facts.get(session.hash_key) or _learn_of(session)
    used = RawSession(known, frame.index, frame.number, worker())
    # Else it is kept without further ado, as add_session() would.
    if frame.index or len(scope.sessions) >= scope.origin.limit:
        scope.add_session(used)
    else:
        scope.sessions[known.serial] = used
    before = known.last
    key_before = None if known.first is None else known.scope_key
    if known.registry is None:
        frame.recording.name_registry(known, session, frame.context())
    if frame.is_visit:
        used.of_outer_context = strays.is_of_context(frame, session)
    known.last = scope
    if known.first is None:
        known.first = scope
    elif before is not None and before is not scope:
        for users in known.joined:
            users.share()
        history.compare(frame, before, session, used, key_before)
    if known.open:
        take_over(known, scope)
    return used


def take_over(known: SessionFacts, scope: Scope) -> None:
    """Go on with transactions that began in another record."""
    own = {_identity(begun) for begun in known.open if begun.scope is scope}
    for begun in list(known.open):
        if begun.scope is None or begun.scope.closed:
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
        transaction.loan = begun.loan
        if begun.loan is not None and not begun.nested:
            loans.take_over(begun.loan, scope)


def _identity(begun: RawTransaction) -> tuple[int, int]:
    # A session has one on each bind that it uses.
    return (begun.key, begun.connection_key)


def _class_and_origin(session: Session) -> tuple[str, str]:
    """Name the class of a session, and tell whether a factory made it."""
    asyncio = sys.modules.get("sqlalchemy.ext.asyncio")
    visible = None if asyncio is None else asyncio.async_session(session)
    cls = type(session if visible is None else visible)
    known = _classes.get(cls)
    if known is None:
        if len(_classes) >= _MOST_CLASSES:
            _classes.clear()
        known = _classes[cls] = (cls.__name__, "factory" if _made(cls) else "direct")
    return known


# Each sessionmaker has one.
_MOST_CLASSES = 100
_classes: dict[type, tuple[str, str]] = {}


def _made(cls: type) -> bool:
    """Say whether a factory made a class.

    A ``sessionmaker`` gives each session a class of its own, which has the name
    of the class that it was configured with and sits right below it.
    """
    parent = cls.__bases__[0] if cls.__bases__ else object
    return cls.__name__ == parent.__name__ and cls.__module__ in _FACTORY_MODULES


# The class that a factory makes takes the module of the code that makes it.
_FACTORY_MODULES = frozenset(
    {sessionmaker.__module__, "sqlalchemy.ext.asyncio.session"}
)
