"""One statement, one transaction, one checkout, as they are noted."""

from __future__ import annotations

import dataclasses
import types
import typing as t
import weakref

from ..locations import RawLocation

if t.TYPE_CHECKING:
    from sqlalchemy.pool import Pool

    from .scope import Scope


@dataclasses.dataclass(frozen=True, slots=True)
class Bind:
    """The name of a bind, and whether its SQL is MySQL's.

    :ivar plain: The two as what is kept of it with a record.
    """

    name: str
    mysql: bool
    plain: tuple[str, bool]

    @classmethod
    def named(cls, name: str, mysql: bool) -> Bind:
        """Make one."""
        return cls(name, mysql, (name, mysql))


NO_BIND = Bind.named("", False)

_NONE: t.Mapping[str, int] = types.MappingProxyType({})


class RawStatement(t.NamedTuple):
    """One execution of one statement; see :class:`~.records.StatementRecord`.

    :ivar writes: Whether it wrote rows of a known table.
    :ivar fingerprint: The hash of the bound values of a statement that wrote
        nothing; ``None`` where they have none.
    """

    began: float
    ended: float
    sql: str
    rows: int | None
    serial: int | None
    location: RawLocation | None
    relationship: str | None
    parameters: tuple[dict[str, str], ...] | None
    # What comes before the bind is kept with a record.
    bind: Bind
    writes: bool = False
    fingerprint: int | None = None


class RawTransaction:
    """A database transaction of one session on one bind.

    :ivar scope: Of the record that it is in; ``None`` once it has ended, or the two
        would keep each other.
    :ivar key: ``id()`` of SQLAlchemy's ``SessionTransaction``, which lives at
        least as long as this is open. The object itself would keep its session
        alive.
    :ivar afterwards: What became of it when its record had ended before it.
    :ivar asked: When the commit was asked for that ended it.
    :ivar in_exception: It was closed while an exception was being handled.
    :ivar loan: Of the connection that it runs on, as the hooks know it.
    :ivar keeps_writes: Closing it discards nothing: the session was given a
        connection with a transaction of its own, or each statement commits.
    """

    __slots__ = (
        "afterwards",
        "asked",
        "began",
        "bind",
        "connection_key",
        "ended",
        "in_exception",
        "keeps_writes",
        "key",
        "loan",
        "nested",
        "outcome",
        "scope",
        "serial",
        "unsettled",
        "writes",
    )

    def __init__(
        self,
        scope: Scope | None,
        serial: int,
        key: int,
        connection_key: int,
        began: float,
        nested: bool,
        bind: Bind,
    ) -> None:
        self.scope = scope
        self.serial = serial
        self.key = key
        self.connection_key = connection_key
        self.began = began
        self.nested = nested
        self.bind = bind
        self.afterwards: str | None = None
        self.asked: float | None = None
        self.ended: float | None = None
        self.in_exception = False
        self.keeps_writes = False
        self.loan: t.Any = None
        self.outcome: str | None = None
        # Made when they are needed: most transactions only read.
        self.writes: t.Mapping[str, int] = _NONE
        self.unsettled: t.Sequence[tuple[t.Any, str, int | None]] = ()

    def add_writes(self, table: str, rows: int) -> None:
        """Count rows written to a table."""
        if rows > 0:
            self.writes = {**self.writes, table: self.writes.get(table, 0) + rows}

    def expect_writes(self, to_come: t.Any, table: str, index: int | None) -> None:
        """Take note that the number of rows can only be told later.

        :param to_come: Tells it then.
        :param index: Of the statement in the record, if it was kept.
        """
        self.unsettled = (*self.unsettled, (to_come, table, index))

    def settle(self) -> None:
        """Count the rows that the driver could tell only after a fetch.

        SQLite counts the rows of ``UPDATE ... RETURNING`` while they are
        fetched; the cursor still knows the number after it was closed.
        """
        for cursor, table, index in self.unsettled:
            rows = cursor.rowcount
            self.add_writes(table, rows)
            cursor.forget()
            if self.scope is not None and index is not None and rows >= 0:
                self.scope.set_rows(index, rows)
        self.unsettled = ()

    @property
    def discarded(self) -> bool:
        """Whether what it wrote was thrown away, and nobody said so."""
        if self.outcome == "commit":
            return False  # Its record closed between the commit and the end.
        closed = "close" in (self.outcome, self.afterwards)
        return closed and not (self.nested or self.in_exception or self.keeps_writes)

    def decide(self, outcome: str) -> None:
        """Take note of a commit or rollback."""
        if self.scope is not None and self.scope.closed:
            self.afterwards = outcome
        else:
            self.outcome = outcome

    def end(self, now: float) -> None:
        """Take note of the end; without an outcome it was just closed."""
        if self.unsettled:
            self.settle()
        scope = self.scope
        if scope is not None and scope.stopped is not None and scope.closed:
            self.afterwards = self.afterwards or "close"
        else:
            self.ended = now
            self.outcome = self.outcome or "close"


class RawCheckout:
    """One loan of a pooled connection.

    :ivar scope: Of the record that it is in; ``None`` once it was returned.
    :ivar worker: The thread, greenlet or task that took it.
    :ivar taken_over: Another record took it, and this one goes on with it.
    :ivar detached: It was taken out of the pool for good.
    """

    __slots__ = (
        "bind",
        "connection_id",
        "detached",
        "location",
        "pool",
        "returned",
        "scope",
        "serial",
        "taken",
        "taken_over",
        "worker",
    )

    def __init__(
        self,
        scope: Scope | None,
        connection_id: int,
        taken: float,
        worker: int,
        pool: weakref.ref[Pool] | None,
    ) -> None:
        self.scope = scope
        self.connection_id = connection_id
        self.taken = taken
        self.worker = worker
        self.pool = pool
        self.bind = NO_BIND
        self.detached = False
        self.location: RawLocation | None = None
        self.returned: float | None = None
        self.serial: int | None = None
        self.taken_over = False
