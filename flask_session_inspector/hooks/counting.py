"""What a statement wrote, counted for the transaction that it is in."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

from ..guard import guard
from ..recorder import RawTransaction
from ..recorder import Scope
from .dml import Written

if t.TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from ..recorder import SessionFacts


def _innermost(
    transactions: cabc.Sequence[RawTransaction], scope: Scope, connection_key: int
) -> RawTransaction | None:
    for transaction in reversed(transactions):
        if transaction.scope is scope and transaction.connection_key == connection_key:
            return transaction
    return None


def count(
    scope: Scope,
    facts: SessionFacts | None,
    context: t.Any,
    written: Written,
    index: int | None,
) -> None:
    """Count what a statement wrote for the transaction that it is in."""
    try:
        connection = context.root_connection
        open_ones = () if facts is None else facts.open
        transaction = _innermost(open_ones, scope, id(connection))
        to_come = written.to_come
        if transaction is None:
            if to_come is not None:
                to_come.forget()
            return
        if facts is not None and not transaction.writes:
            transaction.keeps_writes = _keeps_writes(facts, connection)
        if to_come is not None:
            transaction.expect_writes(to_come, written.table, index)
        else:
            transaction.add_writes(written.table, written.rows or 0)
    except Exception:
        guard.report("do_execute")


def _keeps_writes(facts: SessionFacts, connection: Connection) -> bool:
    """Say whether closing a session discards nothing of what it wrote.

    It was given a connection with a transaction of its own, or every statement
    commits by itself.
    """
    session = facts.reference()
    if session is not None and session.bind is connection:
        return True
    level = connection.get_execution_options().get("isolation_level")
    if level is None:
        # What create_engine(isolation_level=...) was given; it has no public name.
        dialect = connection.engine.dialect
        level = getattr(dialect, "_on_connect_isolation_level", None)
    return level == "AUTOCOMMIT"
