"""What a rule reads: a record that has ended, and words for what is in it."""

from __future__ import annotations

import collections.abc as cabc
import functools
import os
import typing as t

from ..clues import Clue
from ..clues import Earlier
from ..clues import earlier
from ..recorder import RawSession
from ..recorder import RawStatement
from ..recorder import RawTransaction
from ..recorder import Scope
from ..recorder import SessionFacts
from ..sqltext import statement_kind

if t.TYPE_CHECKING:
    from ..builder import RecordBuilder
    from ..locations import RawLocation

C = t.TypeVar("C", bound=Clue)


class Case:
    """A record in the hands of the rules.

    :param scope: The record's raw side. It has ended, unless the rules are asked
        early because of an app context that nobody pops.
    :param builder: Masks what leaves the process.
    :param idle_ms: The threshold of FSI203.
    :param pinned: Where the audit found sessions, by serial.
    :ivar sessions: The sessions of the record.
    """

    def __init__(
        self,
        scope: Scope,
        builder: RecordBuilder,
        *,
        idle_ms: float,
        pinned: cabc.Mapping[int, cabc.Sequence[str]],
    ) -> None:
        self.scope = scope
        self.sessions = list(scope.sessions.values())
        self.idle_ms = idle_ms
        self.pinned = pinned
        self._builder = builder

    @functools.cached_property
    def _statements(self) -> dict[int | None, list[RawStatement]]:
        found: dict[int | None, list[RawStatement]] = {}
        for statement in list(self.scope.statements):
            found.setdefault(statement.serial, []).append(statement)
        return found

    @functools.cached_property
    def _transactions(self) -> dict[int, list[RawTransaction]]:
        found: dict[int, list[RawTransaction]] = {}
        for transaction in list(self.scope.transactions):
            found.setdefault(transaction.serial, []).append(transaction)
        return found

    @property
    def is_request(self) -> bool:
        """Whether the record is a request's."""
        return self.scope.kind == "request"

    @property
    def noun(self) -> str:
        """What to call the record in a sentence."""
        kinds = {"request": "request", "cli": "command", "context": "app context"}
        return kinds[self.scope.kind]

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is to come, such as the rest of a stream."""
        return self.scope.closed and not self.scope.streaming

    def clues(self, kind: type[C]) -> list[C]:
        """Return the clues of one kind."""
        return [clue for clue in self.scope.clues or () if isinstance(clue, kind)]

    def session(self, serial: int | None) -> RawSession | None:
        """Return what the record saw of a session."""
        return None if serial is None else self.scope.sessions.get(serial)

    def statements(self, serial: int | None) -> list[RawStatement]:
        """Return the kept statements of a session, in their order."""
        return self._statements.get(serial, [])

    def transactions(self, serial: int) -> list[RawTransaction]:
        """Return the kept transactions of a session, in their order."""
        return self._transactions.get(serial, [])

    def served(self, used: RawSession) -> bool:
        """Say whether a session did something here, and was not only there."""
        return used.used or bool(self.statements(used.facts.serial))

    def pins(self, serial: int) -> tuple[str, ...]:
        """Name what keeps a session for the life of the application."""
        return tuple(self.pinned.get(serial, ()))

    def is_query(self, statement: RawStatement) -> bool:
        """Say whether a statement only reads."""
        return statement_kind(statement.sql, mysql=statement.bind.mysql) == "select"

    def first_user(self, facts: SessionFacts) -> Earlier | None:
        """Return the record that used a session first, if it is another."""
        first = facts.first
        if first is None or first is self.scope:
            return None
        return earlier(first, facts.serial)

    def sql(self, statement: RawStatement) -> str:
        """Return a statement as it may be shown."""
        return self.shown(statement.sql, mysql=statement.bind.mysql)

    def shown(self, sql: str, *, mysql: bool) -> str:
        """Return SQL as it may be shown."""
        return self._builder.shown_sql(sql, mysql)

    def name(self, user: Earlier) -> str:
        """Name another record: ``"GET /products"``."""
        path = self._builder.path(user.path, user.query, user.secrets)
        if user.kind == "request":
            return " ".join(part for part in (user.method, path) if part) or "a request"
        if user.kind == "cli":
            return f"the command {path}" if path else "a command"
        return "an app context pushed by hand"

    def milliseconds(self, moment: float) -> float:
        """Return a moment in milliseconds from the start of the record."""
        return round(max(moment - self.scope.started, 0) * 1000, 1)


def label(serial: int) -> str:
    """Name a session: ``"S12"``."""
    return f"S{serial}"


def at(location: RawLocation | None) -> str:
    """Name a line in a sentence: ``" at views.py:12 in report"``, or nothing."""
    if location is None:
        return ""
    return f" at {place(location, short=True)}"


def place(location: RawLocation | None, *, short: bool = False) -> str:
    """Name a line: ``"/srv/shop/views.py:12 in report"``.

    :param short: Only the last part of the path.
    """
    if location is None:
        return "unknown"
    file, line, function = location
    if short:
        file = os.path.basename(file)
    return f"{file}:{line} in {function}"
