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


class RecordId(t.NamedTuple):
    """The id of a record before it is text: the process and a number in it."""

    process: str
    number: int

    def __str__(self) -> str:
        return f"{self.process}-{self.number}"


class Scope:
    """What one request, or one other app context, has done so far.

    :ivar token: Of the process that it began in; with its ``number`` there it is told
        from all others.
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
    :ivar limit: How many sessions, statements, transactions and checkouts it keeps
        each.
    :ivar raised: The class name of the exception that its view raised, also of one
        that an error handler answered.
    :ivar nested: The indices of the app contexts that were pushed inside of
        another of it, by the same thread; ``None`` while there are none.
    :ivar continued: Those in which its streamed response went on.
    :ivar recording: Returns the writing side of its application, while that lives.
    :ivar still_held: What registries held when a nested app context was popped.
    :ivar reported: What of its findings was told already.
    :ivar clues: What the hooks saw beyond statements; ``None`` while nothing.
    :ivar findings: What the rules made of it at its end.
    """

    _in_context: dict[int, dict[int, RawSession]] | None = None
    clues: list[Clue] | None = None
    continued: set[int] | None = None
    dropped = False
    endpoint: str | None = None
    environ: dict[str, t.Any] | None = None
    error: str | None = None
    findings: tuple[Finding, ...] = ()
    handed_over = False
    method: str | None = None
    nested: set[int] | None = None
    path: str | None = None
    query = b""
    raised: str | None = None
    reported: t.AbstractSet[tuple[str, int | None, str]] = frozenset()
    reused_context = False
    secrets: tuple[str | None, ...] = ()
    statement_overflow = 0
    status: int | None = None
    still_held: t.Mapping[int, tuple[KnownRegistry, object]] = _NOTHING
    stopped: float | None = None
    streamed = False
    streaming = False
    told = False

    def __init__(
        self,
        app_name: str,
        kind: str,
        limit: int,
        recording: t.Callable[[], Recording | None] = lambda: None,
    ) -> None:
        self.token = process.token
        self.number = next(process.record_numbers)
        self.app_name = app_name
        self.recording = recording
        self.kind = kind
        self.limit = limit
        self.pid = process.pid
        self.thread = threading.current_thread().name
        self.started_at = time()
        self.started = perf_counter()
        self.frames: set[object] = set()
        # One step of it cannot be divided between threads, and what is left of it
        # can be asked for.
        self._indices = iter(range(1, sys.maxsize))
        self.sessions: dict[int, RawSession] = {}
        self.transactions: list[RawTransaction] = []
        self.statements: list[RawStatement] = []
        self.checkouts: list[RawCheckout] = []

    @property
    def id(self) -> RecordId:
        """What the id of its record says."""
        return RecordId(self.token, self.number)

    @property
    def closed(self) -> bool:
        """Whether it has ended; what happens later is not its own."""
        return self.stopped is not None and not self.frames

    @property
    def contexts(self) -> int:
        """How many app contexts belong to it."""
        return sys.maxsize - length_hint(self._indices)

    def has_contexts(self, number: int) -> None:
        """Say how many it had, of one that is made of a record."""
        self._indices = iter(range(number, sys.maxsize))

    def join(self) -> int:
        """Count one more app context, maybe in another thread.

        :return: Its index; the one that the scope began with has the index 0.
        """
        return next(self._indices)

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
        if index == 0:
            return [used for used in list(self.sessions.values()) if used.context == 0]
        return list((self._in_context or {}).get(index, {}).values())

    def add_session(self, used: RawSession) -> None:
        """Keep a session while there is room."""
        serial = used.facts.serial
        if self._is_full_for(serial):
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
        full = len(self.sessions) >= self.limit
        return full and serial is not None and serial not in self.sessions

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
        if len(statements) >= self.limit or self._is_full_for(statement.serial):
            self.statement_overflow += 1
            self.dropped = True
            return None
        statements.append(statement)
        return len(statements) - 1

    def add_transaction(self, transaction: RawTransaction) -> None:
        """Keep a transaction while there is room."""
        kept = self.transactions
        if len(kept) >= self.limit or self._is_full_for(transaction.serial):
            self.dropped = True
        else:
            kept.append(transaction)

    def wrote_with(self, serial: int) -> bool:
        """Say whether it wrote anything with a session, also inside of a SAVEPOINT."""
        return any(
            each.writes for each in self.transactions if each.serial == serial
        )

    def add_checkout(self, checkout: RawCheckout) -> None:
        """Keep a checkout while there is room."""
        if len(self.checkouts) < self.limit:
            self.checkouts.append(checkout)
        else:
            self.dropped = True
