"""The hooks into SQLAlchemy's sessions."""

from __future__ import annotations

import typing as t
from time import perf_counter

from sqlalchemy import event
from sqlalchemy.orm import Session

from ..guard import guard
from ..recorder import RawTransaction
from . import binds
from . import loans
from . import uses
from .contexts import current_scope

if t.TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.orm import SessionTransaction


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
        current = current_scope()
        if current is not None and session.hash_key not in current[1].sessions:
            uses.use(*current, session)
    except Exception:
        guard.report("after_transaction_create")


def _after_begin(
    session: Session, transaction: SessionTransaction, connection: Connection
) -> None:
    try:
        facts = uses.facts_of(session)
        uses.join(session, facts, connection)
        current = current_scope()
        if current is None:
            return
        frame, scope = current
        bind = binds.bind_of(connection.engine, frame.recording)
        begun = RawTransaction(
            scope,
            facts.serial,
            id(transaction),
            id(connection),
            perf_counter(),
            transaction.nested,
            bind,
        )
        uses.use(frame, scope, session)
        scope.add_transaction(begun)
        facts.open.append(begun)
        if not transaction.nested:
            loans.lend_to(facts.serial, connection, bind)
    except Exception:
        guard.report("after_begin")


def _after_commit(session: Session) -> None:
    try:
        _set_outcome(session, "commit")
    except Exception:
        guard.report("after_commit")


def _after_rollback(session: Session) -> None:
    try:
        _set_outcome(session, "rollback")
    except Exception:
        guard.report("after_rollback")


def _set_outcome(session: Session, outcome: str) -> None:
    facts = uses.facts.get(session)
    if facts is None or not facts.open:
        return
    # The innermost one with a boundary of its own is what the event is about.
    key = id(session.get_nested_transaction() or session.get_transaction())
    for transaction in facts.open:
        if transaction.key == key and not transaction.scope.closed:
            transaction.outcome = outcome


def _after_transaction_end(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is not None and not transaction.nested:
        return
    try:
        facts = uses.facts.get(session)
        if facts is None:
            return
        if transaction.parent is None:
            uses.part(session, facts)
        key = id(transaction)
        now = perf_counter()
        for ended in [begun for begun in facts.open if begun.key == key]:
            facts.open.remove(ended)
            ended.end(now)
    except Exception:
        guard.report("after_transaction_end")


_LISTENERS: dict[str, t.Callable[..., None]] = {
    "after_transaction_create": _after_transaction_create,
    "after_begin": _after_begin,
    "after_commit": _after_commit,
    "after_rollback": _after_rollback,
    "after_transaction_end": _after_transaction_end,
}
