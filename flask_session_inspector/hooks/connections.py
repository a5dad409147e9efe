"""The hooks into the connection pools."""

from __future__ import annotations

import typing as t
from time import perf_counter

from sqlalchemy import event
from sqlalchemy.pool import Pool

from ..guard import guard
from ..recorder import RawCheckout
from . import loans
from .contexts import current_scope

if t.TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry
    from sqlalchemy.pool import PoolProxiedConnection


def listen() -> None:
    """Install the listeners, on every pool of the process."""
    event.listen(Pool, "checkout", _checkout)
    event.listen(Pool, "checkin", _checkin)


def remove() -> None:
    """Remove the listeners and what they know."""
    event.remove(Pool, "checkout", _checkout)
    event.remove(Pool, "checkin", _checkin)
    loans.forget()


def _checkout(
    dbapi_connection: DBAPIConnection,
    connection_record: ConnectionPoolEntry,
    connection_proxy: PoolProxiedConnection,
) -> None:
    try:
        pooled = loans.pooled.get(connection_record)
        if pooled is None:
            pooled = loans.Pooled()
            loans.pooled.set(connection_record, pooled)
        current = current_scope()
        scope = None if current is None else current[1]
        checkout = RawCheckout(scope, pooled.number, perf_counter())
        loan = [checkout]
        pooled.loans.append(loan)
        loans.loans.set(connection_proxy, loan)
        if scope is not None:
            scope.add_checkout(checkout)
    except Exception:
        guard.report("checkout")


def _checkin(
    dbapi_connection: DBAPIConnection | None, connection_record: ConnectionPoolEntry
) -> None:
    try:
        pooled = loans.pooled.get(connection_record)
        if pooled is None or not pooled.loans:
            return
        now = perf_counter()
        for part in _returned_loan(pooled):
            if part.scope is not None and not part.scope.closed:
                part.returned = now
    except Exception:
        guard.report("checkin")


def _returned_loan(pooled: loans.Pooled) -> loans.Loan:
    """Take the loan that ends; of several, one of the current record."""
    open_loans = pooled.loans
    if len(open_loans) > 1:
        current = current_scope()
        for index, loan in enumerate(open_loans):
            if current is not None and loan[-1].scope is current[1]:
                return open_loans.pop(index)
    return open_loans.pop(0)
