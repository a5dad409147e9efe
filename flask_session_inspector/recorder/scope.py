"""What one request, or one other app context, has done so far."""

from __future__ import annotations

import sys
import threading
import types
import typing as t
from operator import length_hint
from time import perf_counter
from time import time

from ..process import process
from .sessions import RawSession
from .traces import RawCheckout
from .traces import RawStatement
from .traces import RawTransaction

if t.TYPE_CHECKING:
    from ..clues import Clue
    from ..recording import Recording
    from ..records import Finding
    from ..registries import KnownRegistry

_NOTHING: t.Mapping[t.Any, t.Any] = types.MappingProxyType({})

# One fault can leave the same clue again and again.
MOST_CLUES = 50


_NUMBERS = range(1, sys.maxsize)
_NOTHING_TOLD: frozenset[tuple[str, int | None, str]] = frozenset()
_here = threading.local()


def _thread_name() -> str:
    # It can be renamed; but the thread itself is always the same here.
    try:
        thread: threading.Thread = _here.thread
    except AttributeError:
        thread = _here.thread = threading.current_thread()
    return thread.name


class RecordId(t.NamedTuple):
    """The id of a record before it is text: the process and a number in it."""

    process: str
    number: int

    def __str__(self) -> str:
        return f"{self.process}-{self.number}"


class Origin:
    """Where records begin: what all of one process and one application share.

    :ivar token: Tells the process from others; with its ``number`` a record is told
        from all.
    :ivar names: What is kept of it with a record.
    :ivar limit: How many sessions, statements, transactions and checkouts a record
        keeps each.
    :ivar recording: Returns the writing side of the application, while that lives.
    """

    __slots__ = ("app_name", "limit", "names", "pid", "recording", "token")

    def __init__(
        self,
        app_name: str,
        limit: int,
        recording: t.Callable[[], Recording | None] = lambda: None,
    ) -> None:
        self.app_name = app_name
        self.limit = limit
        self.recording = recording
        self.pid = process.pid
        self.token = process.token
        self.names = (self.token, app_name, self.pid)

    @classmethod
    def named(cls, token: str, app_name: str, pid: int) -> Origin:
        """Make one again of its ``names``."""
        origin = cls(app_name, 0)
        origin.token, origin.pid, origin.names = token, pid, (token, app_name, pid)
        return origin


class Scope:
    """What one request, or one other app context, has done so far.

    :ivar environ: The WSGI environment of its request, until it is closed.
    :ivar frames: The pushed app contexts that belong to it and are not popped.
    :ivar streaming: Whether its response is streamed and not closed yet: what the
        view made for the stream may still be closed with it.
    :ivar stopped: When the app context that it began with was popped, or the
        last one that went on after that.
    :ivar handed_over: Whether the store has had it before.
    :ivar secrets: The URL variables that are sensitive by name; ``None`` for one
        that is not plain text or a number.
    :ivar told: Whether ``request_recorded`` was sent for it.
    :ivar raised: The class name of the exception that its view raised, also of one
        that an error handler answered.
    :ivar indices: Gives each of its app contexts a number; what is left of it tells
        how many there are.
    :ivar nested: The indices of the app contexts that were pushed inside of
        another of it, by the same thread; ``None`` while there are none.
    :ivar continued: Those in which its streamed response went on.
    :ivar still_held: What registries held when a nested app context was popped.
    :ivar reported: What of its findings was told already.
    :ivar clues: What the hooks saw beyond statements; ``None`` while nothing.
    :ivar findings: What the rules made of it at its end.
    """

    __slots__ = (
        "__weakref__",
        "_in_context",
        "checkouts",
        "clues",
        "continued",
        "dropped",
        "endpoint",
        "environ",
        "error",
        "findings",
        "frames",
        "handed_over",
        "indices",
        "kind",
        "method",
        "nested",
        "number",
        "origin",
        "path",
        "query",
        "raised",
        "reported",
        "reused_context",
        "secrets",
        "sessions",
        "started",
        "started_at",
        "statement_overflow",
        "statements",
        "status",
        "still_held",
        "stopped",
        "streamed",
        "streaming",
        "thread",
        "told",
        "transactions",
    )

    def __init__(self, origin: Origin, kind: str) -> None:
        self.origin = origin
        self.number = next(process.record_numbers)
        self.kind = kind
        self.thread = _thread_name()
        self.started_at = time()
        self.started = perf_counter()
        self.frames: set[object] = set()
        # One step of it cannot be divided between threads, and what is left of it
        # can be asked for.
        self.indices = iter(_NUMBERS)
        self._in_context: dict[int, dict[int, RawSession]] | None = None
        self.checkouts: list[RawCheckout] = []
        self.clues: list[Clue] | None = None
        self.continued: set[int] | None = None
        self.dropped = False
        self.endpoint: str | None = None
        self.environ: dict[str, t.Any] | None = None
        self.error: str | None = None
        self.findings: tuple[Finding, ...] = ()
        self.handed_over = False
        self.method: str | None = None
        self.nested: set[int] | None = None
        self.path: str | None = None
        self.query = b""
        self.raised: str | None = None
        self.reported: t.AbstractSet[tuple[str, int | None, str]] = _NOTHING_TOLD
        self.reused_context = False
        self.secrets: tuple[str | None, ...] = ()
        self.sessions: dict[int, RawSession] = {}
        self.statement_overflow = 0
        self.statements: list[RawStatement] = []
        self.status: int | None = None
        self.still_held: t.Mapping[int, tuple[KnownRegistry, object]] = _NOTHING
        self.stopped: float | None = None
        self.streamed = False
        self.streaming = False
        self.told = False
        self.transactions: list[RawTransaction] = []

    @property
    def recording(self) -> t.Callable[[], Recording | None]:
        """Returns the writing side of its application, while that lives."""
        return self.origin.recording

    @property
    def id(self) -> RecordId:
        """What the id of its record says."""
        return RecordId(self.origin.token, self.number)

    @property
    def closed(self) -> bool:
        """Whether it has ended; what happens later is not its own."""
        return self.stopped is not None and not self.frames

    @property
    def contexts(self) -> int:
        """How many app contexts belong to it."""
        return sys.maxsize - length_hint(self.indices)

    def has_contexts(self, number: int) -> None:
        """Say how many it had, of one that is made of a record."""
        self.indices = iter(range(number, sys.maxsize))

    def join(self) -> int:
        """Count one more app context, maybe in another thread.

        :return: Its index; the one that the scope began with has the index 0.
        """
        return next(self.indices)

    def leave(self, index: int) -> None:
        """Take note that an app context was popped.

        A command can push contexts for ever; of those without a session, nothing
        is kept.
        """
        if self.nested and not self.sessions_in(index):
            self.nested.discard(index)

    def nest(self, index: int) -> None:
        """Take note that an app context was pushed inside of another of it."""
        if self.nested is None:
            self.nested = set()
        self.nested.add(index)

    def go_on_in(self, index: int) -> None:
        """Take note that its streamed response goes on in an app context."""
        if self.continued is None:
            self.continued = set()
        self.continued.add(index)

    def sessions_in(self, index: int) -> list[RawSession]:
        """Return the sessions that were seen in an app context."""
        if self._in_context is None:  # All are of the first one.
            return [] if index else [*self.sessions.values()]
        if index == 0:
            return [used for used in list(self.sessions.values()) if used.context == 0]
        return list(self._in_context.get(index, {}).values())

    def add_session(self, used: RawSession) -> None:
        """Keep a session while there is room."""
        serial = used.facts.serial
        if len(self.sessions) >= self.origin.limit and self._is_full_for(serial):
            self.dropped = True
            return
        self.sessions[serial] = used
        if used.context:
            self._sessions_of(used.context)[serial] = used

    def move_session(self, used: RawSession, index: int) -> None:
        """Take note that a session is of another app context."""
        serial = used.facts.serial
        if used.context != index and serial in self.sessions:
            if used.context:
                self._sessions_of(used.context).pop(serial, None)
            if index:
                self._sessions_of(index)[serial] = used
        used.context = index

    def _sessions_of(self, index: int) -> dict[int, RawSession]:
        # A command may push any number of app contexts, each with one session.
        if self._in_context is None:
            self._in_context = {}
        return self._in_context.setdefault(index, {})

    def _is_full_for(self, serial: int | None) -> bool:
        return serial is not None and serial not in self.sessions

    def note(self, clue: Clue) -> None:
        """Keep a clue, once and while there are not too many.

        A loop over many objects is one fault, and one exception comes by when it is
        raised, when nobody handles it, and at the teardown.
        """
        if self.clues is None:
            self.clues = []
        if len(self.clues) < MOST_CLUES and clue not in self.clues:
            self.clues.append(clue)

    def add_statement(self, statement: RawStatement) -> int | None:
        """Keep a statement, or count it once there are too many.

        :return: Its index, ``None`` if it was only counted.
        """
        statements = self.statements
        limit = self.origin.limit
        if len(statements) >= limit or (
            len(self.sessions) >= limit and self._is_full_for(statement.serial)
        ):
            self.statement_overflow += 1
            self.dropped = True
            return None
        statements.append(statement)
        return len(statements) - 1

    def add_transaction(self, transaction: RawTransaction) -> None:
        """Keep a transaction while there is room."""
        kept = self.transactions
        limit = self.origin.limit
        if len(kept) >= limit or (
            len(self.sessions) >= limit and self._is_full_for(transaction.serial)
        ):
            self.dropped = True
        else:
            kept.append(transaction)

    def set_rows(self, index: int, rows: int) -> None:
        """Say how many rows a statement wrote, which could only be told later."""
        self.statements[index] = self.statements[index]._replace(rows=rows)

    def wrote_with(self, serial: int) -> bool:
        """Say whether it wrote anything with a session, also inside of a SAVEPOINT."""
        return any(each.writes for each in self.transactions if each.serial == serial)

    def add_checkout(self, checkout: RawCheckout) -> None:
        """Keep a checkout while there is room."""
        kept = self.checkouts
        if len(kept) < self.origin.limit:
            kept.append(checkout)
        else:
            self.dropped = True
