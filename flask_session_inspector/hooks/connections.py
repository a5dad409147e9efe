"""The hooks into the connection pools."""

from __future__ import annotations

import typing as t
import weakref
from time import perf_counter

from sqlalchemy import event
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlalchemy.pool import Pool

from ..clues import ForkedUse
from ..guard import guard
from ..process import process
from ..recorder import RawCheckout
from ..recorder import Scope
from . import loans
from .contexts import current_scope
from .workers import task_or_worker
from .workers import worker

if t.TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry
    from sqlalchemy.pool import PoolProxiedConnection


def listen() -> None:
    """Install the listeners, on every pool of the process."""
    event.listen(Pool, "checkout", _checkout)
    event.listen(Pool, "checkin", _checkin)
    event.listen(Pool, "detach", _detach)


def remove() -> None:
    """Remove the listeners and what they know."""
    event.remove(Pool, "checkout", _checkout)
    event.remove(Pool, "checkin", _checkin)
    event.remove(Pool, "detach", _detach)
    loans.forget()


def _checkout(
    dbapi_connection: DBAPIConnection,
    connection_record: ConnectionPoolEntry,
    connection_proxy: PoolProxiedConnection,
) -> None:
    try:
        refused = loans.loan_of(connection_proxy)
        if refused is not None:
            # Another listener did not want the connection, and got a new one.
            _forget_fork(refused.last)
            return
        pooled = getattr(connection_record, loans.pooled.name, None)
        if pooled is None:
            pooled = loans.Pooled()
            loans.pooled.set(connection_record, pooled)
        pool = getattr(connection_proxy, "_pool", None)
        current = current_scope()
        checkout = RawCheckout(
            None if current is None else current[1],
            pooled.number,
            perf_counter(),
            task_or_worker() if isinstance(pool, AsyncAdaptedQueuePool) else worker(),
            None if pool is None else weakref.ref(pool),
        )
        loan = loans.Loan(connection_proxy, checkout)
        pooled.lend(loan)
        loans.loans.set(connection_proxy, loan)
        if current is not None:
            frame, scope = current
            checkout.location = frame.recording.line_of_checkout(None)
            if process.forked_at:
                _note_fork(scope, pooled, connection_record, checkout)
            scope.add_checkout(checkout)
    except Exception:
        guard.report("checkout")


def _note_fork(
    scope: Scope,
    pooled: loans.Pooled,
    connection_record: ConnectionPoolEntry,
    checkout: RawCheckout,
) -> None:
    """Take note of a connection that a parent process made."""
    # Its place in the pool may be of the parent and the connection not.
    opened_at = getattr(connection_record, "starttime", process.forked_at)
    if opened_at < process.forked_at:
        pid = None if pooled.pid == process.pid else pooled.pid
        number, location = pooled.number, checkout.location
        scope.note(ForkedUse("connection", number, pid, process.pid, location))


def _forget_fork(checkout: RawCheckout) -> None:
    scope = checkout.scope
    if scope is None or not scope.clues:
        return
    number = checkout.connection_id
    scope.clues = [
        clue
        for clue in scope.clues
        if not (type(clue) is ForkedUse and clue.number == number)
        or clue.what != "connection"
    ]


def _checkin(
    dbapi_connection: DBAPIConnection | None, connection_record: ConnectionPoolEntry
) -> None:
    try:
        pooled = getattr(connection_record, loans.pooled.name, None)
        if pooled is None:
            pooled = loans.pooled.get(connection_record)
        if pooled is None or not pooled.loans:
            return
        if len(pooled.loans) == 1:
            pooled.loans.pop().end()
            return
        _returned_loan(pooled).end()
        # Where several share the connection, only one return of it is signalled.
        for loan in tuple(pooled.loans):
            loan.end_without_a_sign(pooled)
    except Exception:
        guard.report("checkin")


def _detach(
    dbapi_connection: DBAPIConnection, connection_record: ConnectionPoolEntry
) -> None:
    try:
        # It never comes back, and the place in the pool is free for another.
        pooled = loans.pooled.get(connection_record)
        if pooled is not None and pooled.loans:
            for part in _returned_loan(pooled).parts:
                part.detached = True
    except Exception:
        guard.report("detach")


def _returned_loan(pooled: loans.Pooled) -> loans.Loan:
    """Take the loan that ends; of several, the last one of the current record."""
    open_loans = pooled.loans
    if len(open_loans) > 1:
        current = current_scope()
        for loan in reversed(open_loans):
            if current is not None and loan.last.scope is current[1]:
                open_loans.remove(loan)
                return loan
    return open_loans.pop(0)
