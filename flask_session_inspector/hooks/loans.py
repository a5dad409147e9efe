"""The loans of pooled connections, and which records they reach into."""

from __future__ import annotations

import typing as t
import weakref
from time import perf_counter

from ..process import process
from ..recorder import Bind
from ..recorder import RawCheckout
from ..recorder import Scope
from ..weak import Attached

if t.TYPE_CHECKING:
    from sqlalchemy.pool import ConnectionPoolEntry
    from sqlalchemy.pool import PoolProxiedConnection


class Loan:
    """One loan of a connection, as each record it reaches into saw it.

    :ivar parts: The last one is of the record that it was used in last.
    """

    __slots__ = ("_borrower", "_watched", "parts")

    def __init__(
        self, connection: PoolProxiedConnection, checkout: RawCheckout
    ) -> None:
        self.parts = [checkout]
        self._borrower = weakref.ref(connection)
        self._watched = False

    @property
    def last(self) -> RawCheckout:
        """The part of the record that it was used in last."""
        return self.parts[-1]

    def end(self) -> None:
        """Take note that the connection came back."""
        now = perf_counter()
        for part in self.parts:
            scope = part.scope
            if scope is not None:
                if scope.stopped is None or scope.streaming or not scope.closed:
                    part.returned = now
                part.scope = None  # Else the two would keep each other.

    def end_without_a_sign(self, pooled: Pooled) -> None:
        """End when the borrower gives up its proxy of the connection."""
        connection = self._borrower()
        if connection is None:
            pooled.take_back(self)
        elif not self._watched:
            self._watched = True
            weakref.finalize(connection, pooled.take_back, self).atexit = False


class Pooled:
    """A pooled connection: its number, its loans, and who saw it first.

    There can be several loans at once where a pool hands the one connection it
    has to everybody, as the pool of an in-memory SQLite database does.
    """

    __slots__ = ("loans", "number", "pid")

    def __init__(self) -> None:
        self.number = next(process.connection_numbers)
        self.pid = process.pid
        self.loans: list[Loan] = []

    def lend(self, loan: Loan) -> None:
        """Begin a loan.

        Of several at once, the pool tells only of the return of the last one: a
        borrower that is collected returns the others without a sign.
        """
        before = self.loans[-1] if self.loans else None
        self.loans.append(loan)
        if before is not None:
            # All the others are watched since the second of them.
            before.end_without_a_sign(self)
            loan.end_without_a_sign(self)

    def take_back(self, loan: Loan) -> None:
        """End a loan, unless it has ended."""
        if loan in self.loans:
            self.loans.remove(loan)
            loan.end()


pooled: Attached[ConnectionPoolEntry, Pooled] = Attached("pooled")
loans: Attached[PoolProxiedConnection, Loan] = Attached("loan")


def forget() -> None:
    """Forget every loan."""
    pooled.clear()
    loans.clear()


def loan_of(connection: PoolProxiedConnection) -> Loan | None:
    """Return the loan of a proxy, which would ask the driver for what it lacks."""
    try:
        attributes = connection.__dict__
    except AttributeError:
        return loans.get(connection)
    return attributes.get(loans.name)


def lend_to(serial: int, connection: PoolProxiedConnection, bind: Bind) -> Loan | None:
    """Say which session holds a connection that it just began to use."""
    loan = loan_of(connection)
    if loan is not None:
        checkout = loan.parts[-1]
        checkout.serial = serial
        checkout.bind = bind
    return loan


def name_bind(connection: PoolProxiedConnection, bind: Bind) -> None:
    """Say which bind a connection without a session belongs to."""
    loan = loan_of(connection)
    if loan is not None and not loan.last.bind.name:
        loan.last.bind = bind


def take_over(loan: Loan, scope: Scope) -> None:
    """Go on with a loan that began in another record."""
    begun = loan.last
    checkout = RawCheckout(
        scope,
        begun.connection_id,
        max(begun.taken, scope.started),
        begun.worker,
        begun.pool,
    )
    checkout.location = begun.location
    checkout.taken_over = True
    checkout.bind = begun.bind
    checkout.serial = begun.serial
    scope.add_checkout(checkout)
    kept = [part for part in loan.parts if part.scope and not part.scope.closed]
    loan.parts = [*kept, checkout]
