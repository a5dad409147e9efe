"""The hooks into SQLAlchemy's sessions."""

from __future__ import annotations

import sys
import typing as t
from time import perf_counter

from sqlalchemy import event
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session

from ..clues import FirstFailure
from ..clues import earlier
from ..guard import guard
from ..process import process
from ..recorder import RawTransaction
from ..recorder.sessions import NO_STATES
from . import binds
from . import dml
from . import loans
from . import strays
from . import uses
from .contexts import current_scope
from .contexts import is_outside
from .frames import innermost

if t.TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.orm import SessionTransaction

    from ..recorder import Scope
    from ..recorder import SessionFacts


def listen() -> None:
    """Install the listeners, on every session of the process."""
    for name, listener in _LISTENERS.items():
        event.listen(Session, name, listener)


def remove() -> None:
    """Remove the listeners and what they know."""
    for name, listener in _LISTENERS.items():
        event.remove(Session, name, listener)
    uses.forget()


def _after_transaction_create(
    session: Session, transaction: SessionTransaction
) -> None:
    # Inside a flush, or of a SAVEPOINT: the session was seen before.
    if transaction.parent is not None:
        return
    try:
        if process.forked_at:
            uses.begin_in_this_process(session)
        current = current_scope()
        if current is not None:
            frame, scope = current
            used = uses.use(frame, scope, session)
            # Nothing is sent for session.delete(); closing makes another dict.
            used.facts.to_delete = session._deleted
    except Exception:
        guard.report("after_transaction_create")


def use_again(session: Session) -> None:
    """Take note of a use that sends no SQL, where this record has not seen one."""
    facts = uses.facts.get(session.hash_key)
    if facts is None:
        return
    last = facts.last
    frame = innermost()
    # Nearly always; asking for the current scope costs more than all the rest.
    if frame is not None and frame.scope is last and not frame.visited:
        return
    current = current_scope()
    if current is None:
        if last is not None and not last.closed and is_outside():
            strays.note_stray(facts, sys._getframe(2))
    elif current[1] is not last:
        uses.use(*current, session)


def _after_begin(
    session: Session, transaction: SessionTransaction, connection: Connection
) -> None:
    try:
        facts = uses.facts.get(session.hash_key) or uses.facts_of(session)
        users = uses.join(facts, connection)
        current = current_scope()
        if current is None:
            facts.began_outside = facts.began_outside or facts.first is None
            return
        frame, scope = current
        bind = users.bind
        if bind is None or users.recording is not frame.recording:
            bind = users.bind = binds.bind_of(connection.engine, frame.recording)
            users.recording = frame.recording
            name = connection.dialect.name
            users.reads = dml.reads_of(name)
        nested = transaction.nested
        begun = RawTransaction(
            scope,
            facts.serial,
            id(transaction),
            id(connection),
            perf_counter(),
            nested,
            bind,
        )
        used = scope.sessions.get(facts.serial)
        if used is None or not used.used:
            used = uses.use(frame, scope, session)
        # As add_transaction() does, where neither limit is reached.
        if len(scope.transactions) < scope.origin.limit > len(scope.sessions):
            scope.transactions.append(begun)
        else:
            scope.add_transaction(begun)
        facts.open.append(begun)
        if not nested:
            users.loan = loans.lend_to(facts.serial, connection.connection, bind)
        begun.loan = users.loan
        if (
            len(users.sessions) == 1
            and used.context == frame.index
            # One that has more to tell, or is not kept, is looked at each time.
            and not used.inherited
            and facts.serial in scope.sessions
        ):
            users.alone, users.frame, users.scope = facts, frame, scope
        else:
            users.share()
    except Exception:
        guard.report("after_begin")


def _before_commit(session: Session) -> None:
    try:
        facts = uses.facts.get(session.hash_key)
        now = perf_counter()
        for transaction in () if facts is None else facts.open:
            transaction.asked = now
    except Exception:
        guard.report("before_commit")


def _after_commit(session: Session) -> None:
    try:
        use_again(session)
        _set_outcome(session, "commit")
    except Exception:
        guard.report("after_commit")


def _after_rollback(session: Session) -> None:
    try:
        use_again(session)
        _set_outcome(session, "rollback")
    except Exception:
        guard.report("after_rollback")


def _set_outcome(session: Session, outcome: str) -> None:
    facts = uses.facts.get(session.hash_key)
    if facts is None or not facts.open:
        return
    # The innermost one with a boundary of its own is what the event is about.
    key = id(session.get_nested_transaction() or session.get_transaction())
    for transaction in facts.unsettled(key):
        transaction.decide(outcome)


def _after_transaction_end(session: Session, transaction: SessionTransaction) -> None:
    outermost = transaction.parent is None
    if not outermost and not transaction.nested:
        return
    try:
        facts = uses.facts.get(session.hash_key)
        if facts is None:
            return
        if outermost:
            if facts.joined:
                uses.part(facts)
            facts.to_delete = NO_STATES  # A record must not keep them.
        all_open = facts.open
        if len(all_open) == 1 and not facts.left_behind:
            if all_open[0].key != id(transaction):
                return
            all_ended = [all_open.pop()]
        else:
            all_ended = facts.unsettled(id(transaction))
            for ended in all_ended:
                facts.drop(ended)
        now = perf_counter()
        for ended in all_ended:
            ended.in_exception = sys.exc_info()[0] is not None
            ended.end(now)
            scope, ended.scope, ended.loan = ended.scope, None, None
            if scope is None or not ended.afterwards or not ended.discarded:
                continue
            if scope.wrote_with(facts.serial):
                _tell_late(scope)
    except Exception:
        guard.report("after_transaction_end")


def _tell_late(scope: Scope) -> None:
    """Ask the rules again about a record whose writes were discarded after it."""
    recording = scope.recording()
    if recording is not None:
        recording.reexamine(scope)


def _after_soft_rollback(session: Session, transaction: SessionTransaction) -> None:
    try:
        facts = uses.facts.get(session.hash_key)
        if facts is None:
            return
        if session.is_active:
            facts.failure = None
        elif facts.failure is None:
            error = sys.exc_info()[1]
            if error is not None:
                facts.failure = _first_failure(facts, error)
    except Exception:
        guard.report("after_soft_rollback")


def _first_failure(facts: SessionFacts, error: BaseException) -> FirstFailure:
    """Describe a failed flush, without the values that its message may hold."""
    current = current_scope()
    location = user = None
    mysql = False
    if current is not None:
        frame, scope = current
        location = frame.recording.locate(sys._getframe(2))
        user = earlier(scope, facts.serial)
        mysql = any(begun.bind.mysql for begun in facts.open)
    name = type(error).__name__
    driver = sql = None
    # Of another exception, these could be the application's own.
    if isinstance(error, StatementError):
        driver, sql = error.orig, error.statement
    if driver is not None:
        name += f" ({type(driver).__module__}.{type(driver).__name__})"
    return FirstFailure(name, sql or "", mysql, location, user)


_LISTENERS: dict[str, t.Callable[..., None]] = {
    "after_transaction_create": _after_transaction_create,
    "after_begin": _after_begin,
    "before_commit": _before_commit,
    "after_commit": _after_commit,
    "after_rollback": _after_rollback,
    "after_soft_rollback": _after_soft_rollback,
    "after_transaction_end": _after_transaction_end,
}
