"""The loans of pooled connections, and which records they reach into."""

from __future__ import annotations

import typing as t

from ..process import process
from ..recorder import Bind
from ..recorder import RawCheckout
from ..recorder import Scope
from ..weak import WeakIdentityDict

if t.TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.pool import ConnectionPoolEntry
    from sqlalchemy.pool import PoolProxiedConnection

# One loan of a connection, as each record it reaches into saw it.
Loan = list[RawCheckout]


class Pooled:
    """A pooled connection: its number, and its loans.

    There can be several loans at once where a pool hands the one connection it
    has to everybody, as the pool of an in-memory SQLite database does.
    """

    __slots__ = ("loans", "number")

    def __init__(self) -> None:
        self.number = next(process.connection_numbers)
        self.loans: list[Loan] = []


pooled: WeakIdentityDict[ConnectionPoolEntry, Pooled] = WeakIdentityDict()
loans: WeakIdentityDict[PoolProxiedConnection, Loan] = WeakIdentityDict()
_loan_of_connection: WeakIdentityDict[Connection, Loan] = WeakIdentityDict()


def forget() -> None:
    """Forget every loan."""
    pooled.clear()
    loans.clear()
    _loan_of_connection.clear()


def lend_to(serial: int, connection: Connection, bind: Bind) -> None:
    """Say which session holds the connection that it just began to use."""
    loan = loans.get(connection.connection)
    if loan is not None:
        _loan_of_connection.set(connection, loan)
        loan[-1].serial = serial
        loan[-1].bind = bind


def name_bind(connection: Connection, bind: Bind) -> None:
    """Say which bind a connection without a session belongs to."""
    loan = loans.get(connection.connection)
    if loan is not None and not loan[-1].bind.name:
        loan[-1].bind = bind


def take_over(connection_key: int, scope: Scope) -> None:
    """Go on with a loan that began in another record."""
    loan = _loan_of_connection.get_id(connection_key)
    if loan is None:
        return
    begun = loan[-1]
    checkout = RawCheckout(scope, begun.connection_id, scope.started)
    checkout.bind = begun.bind
    checkout.serial = begun.serial
    scope.add_checkout(checkout)
    loan[:] = [part for part in loan if part.scope and not part.scope.closed]
    loan.append(checkout)
