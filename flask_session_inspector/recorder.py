"""The raw side of a record: what is noted while a request runs.

Everything here is on the path of every request and every statement, so it
keeps references and tuples, formats nothing and decides little. A
:class:`Scope` becomes a :class:`~.records.RequestRecord` in :mod:`.builder`,
and only when somebody looks.
"""

from __future__ import annotations

import threading
import typing as t
import weakref
from time import perf_counter
from time import time

from .locations import RawLocation
from .process import process

if t.TYPE_CHECKING:
    from sqlalchemy.orm import Session


class Bind(t.NamedTuple):
    """The name of a bind, and whether its SQL is MySQL's."""

    name: str
    mysql: bool


NO_BIND = Bind("", False)


class RawStatement(t.NamedTuple):
    """One execution of one statement; see :class:`~.records.StatementRecord`."""

    began: float
    ended: float
    sql: str
    rows: int | None
    bind: Bind
    serial: int | None
    location: RawLocation | None
    relationship: str | None
    parameters: tuple[dict[str, str], ...] | None


class RawTransaction:
    """A database transaction of one session on one bind.

    :ivar key: ``id()`` of SQLAlchemy's ``SessionTransaction``, which lives at
        least as long as this is open. The object itself would keep its session
        alive.
    """

    __slots__ = (
        "began",
        "bind",
        "connection_key",
        "ended",
        "key",
        "nested",
        "outcome",
        "scope",
        "serial",
        "unsettled",
        "writes",
    )

    def __init__(
        self,
        scope: Scope,
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
        self.ended: float | None = None
        self.nested = nested
        self.outcome: str | None = None
        self.bind = bind
        self.writes: dict[str, int] = {}
        self.unsettled: list[tuple[t.Any, str, int | None]] = []

    def add_writes(self, table: str, rows: int) -> None:
        """Count rows written to a table."""
        if rows > 0:
            self.writes[table] = self.writes.get(table, 0) + rows

    def settle(self) -> None:
        """Count the rows that the driver could tell only after a fetch.

        SQLite counts the rows of ``UPDATE ... RETURNING`` while they are
        fetched; the cursor still knows the number after it was closed.
        """
        for cursor, table, index in self.unsettled:
            rows = cursor.rowcount
            self.add_writes(table, rows)
            cursor.forget()
            if index is not None and rows >= 0:
                statements = self.scope.statements
                statements[index] = statements[index]._replace(rows=rows)
        self.unsettled.clear()

    def end(self, now: float) -> None:
        """Take note of the end; without an outcome it was just closed."""
        self.settle()
        if not self.scope.closed:
            self.ended = now
            self.outcome = self.outcome or "close"


class RawCheckout:
    """One loan of a pooled connection."""

    __slots__ = ("bind", "connection_id", "returned", "scope", "serial", "taken")

    def __init__(self, scope: Scope | None, connection_id: int, taken: float) -> None:
        self.scope = scope
        self.connection_id = connection_id
        self.taken = taken
        self.returned: float | None = None
        self.bind = NO_BIND
        self.serial: int | None = None


class SessionFacts:
    """What is known of one session, in whatever records it appears.

    :ivar open: Its transactions that have not ended.
    """

    __slots__ = (
        "class_name",
        "first_record",
        "open",
        "origin",
        "proxy_id",
        "python_id",
        "reference",
        "registry",
        "scope_key",
        "serial",
    )

    def __init__(self, session: Session, class_name: str, origin: str) -> None:
        self.serial: int = session.hash_key
        self.python_id = id(session)
        self.reference = weakref.ref(session)
        self.class_name = class_name
        self.origin = origin
        self.registry: str | None = None
        self.proxy_id: int | None = None
        self.scope_key: str | None = None
        self.first_record: RecordId | None = None
        self.open: list[RawTransaction] = []


class RawSession:
    """What one record saw of one session."""

    __slots__ = (
        "context",
        "ended",
        "facts",
        "first_use",
        "identity_map_size",
        "pending",
    )

    def __init__(
        self, facts: SessionFacts, context: int, first_use: RawLocation | None
    ) -> None:
        self.facts = facts
        self.context = context
        self.first_use = first_use
        self.identity_map_size = 0
        self.pending = (0, 0, 0)
        self.ended = "open"


class RecordId(t.NamedTuple):
    """The id of a record before it is text: the process and a number in it."""

    process: str
    number: int

    def __str__(self) -> str:
        return f"{self.process}-{self.number}"


class Scope:
    """What one request, or one other app context, has done so far.

    :ivar environ: The WSGI environment of its request, until it is closed.
    :ivar frames: The pushed app contexts that belong to it and are not popped.
    :ivar stopped: When the app context that it began with was popped, or the
        last one that went on after that.
    :ivar handed_over: Whether the store has had it before.
    :ivar secrets: The URL variables that are sensitive by name; ``None`` for one
        that is not plain text or a number.
    :ivar limit: How many statements, transactions and checkouts it keeps each.
    """

    __slots__ = (
        "__weakref__",
        "app_name",
        "checkouts",
        "dropped",
        "endpoint",
        "environ",
        "error",
        "frames",
        "handed_over",
        "id",
        "joined",
        "kind",
        "limit",
        "method",
        "path",
        "pid",
        "query",
        "reused_context",
        "secrets",
        "sessions",
        "started",
        "started_at",
        "statement_overflow",
        "statements",
        "status",
        "stopped",
        "streamed",
        "thread",
        "transactions",
    )

    def __init__(self, app_name: str, kind: str, limit: int) -> None:
        self.id = RecordId(process.token, next(process.record_numbers))
        self.app_name = app_name
        self.kind = kind
        self.limit = limit
        self.pid = process.pid
        self.thread = threading.current_thread().name
        self.started_at = time()
        self.started = perf_counter()
        self.stopped: float | None = None
        self.method: str | None = None
        self.path: str | None = None
        self.query: bytes = b""
        self.secrets: tuple[str | None, ...] = ()
        self.endpoint: str | None = None
        self.status: int | None = None
        self.error: str | None = None
        self.environ: dict[str, t.Any] | None = None
        self.frames: set[object] = set()
        self.joined: list[object] = []
        self.reused_context = False
        self.streamed = False
        self.sessions: dict[int, RawSession] = {}
        self.transactions: list[RawTransaction] = []
        self.statements: list[RawStatement] = []
        self.checkouts: list[RawCheckout] = []
        self.statement_overflow = 0
        self.dropped = False
        self.handed_over = False

    @property
    def closed(self) -> bool:
        """Whether it has ended; what happens later is not its own."""
        return self.stopped is not None and not self.frames

    @property
    def contexts(self) -> int:
        """How many app contexts belong to it."""
        return 1 + len(self.joined)

    def join(self) -> int:
        """Count one more app context, maybe in another thread.

        :return: Its index; the one that the scope began with has the index 0.
        """
        ticket = object()
        self.joined.append(ticket)
        return 1 + self.joined.index(ticket)

    def add_statement(self, statement: RawStatement) -> int | None:
        """Keep a statement, or count it once there are too many.

        :return: Its index, ``None`` if it was only counted.
        """
        statements = self.statements
        if len(statements) >= self.limit:
            self.statement_overflow += 1
            self.dropped = True
            return None
        statements.append(statement)
        return len(statements) - 1

    def add_transaction(self, transaction: RawTransaction) -> None:
        """Keep a transaction while there is room."""
        if len(self.transactions) < self.limit:
            self.transactions.append(transaction)
        else:
            self.dropped = True

    def add_checkout(self, checkout: RawCheckout) -> None:
        """Keep a checkout while there is room."""
        if len(self.checkouts) < self.limit:
            self.checkouts.append(checkout)
        else:
            self.dropped = True
