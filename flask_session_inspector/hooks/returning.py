"""How many rows a statement wrote where SQLite's driver does not say so.

It counts the rows of ``... RETURNING`` when the last of them was fetched, and
never those of a statement that begins with ``WITH``. What a connection changed
in total tells the rest.
"""

from __future__ import annotations

import contextlib
import re
import typing as t
import weakref

_NEEDED = re.compile(r"\bRETURNING\b|\A\W*WITH\b|\A\s*(?:--|/\*)", re.IGNORECASE)

# Whether the changes before a statement matter, as far as that is known.
needed: dict[str, bool] = {}


class Changes(t.NamedTuple):
    """What a connection of the driver had changed at some moment.

    :ivar connection: The driver's own connection.
    :ivar total: How many rows since it was opened.
    """

    connection: t.Any
    total: int


class RowsToCome:
    """The rows of a statement whose result is being fetched.

    Holds the driver's cursor exactly as long as SQLAlchemy does: an open cursor
    that outlives its result would keep the application from committing.
    """

    __slots__ = ("__weakref__", "_before", "_context", "_cursor", "_rows")

    def __init__(self, before: Changes, context: t.Any) -> None:
        self._before = before
        self._cursor: t.Any = context.cursor
        self._rows = -1
        self._context = weakref.ref(context, self._over)
        pending.append(self)

    @property
    def rowcount(self) -> int:
        """The number of rows, ``-1`` while it is not known."""
        if self._rows < 0:
            self.look()
        return self._rows

    def is_on(self, connection: object) -> bool:
        """Say whether the statement ran on a connection of the driver."""
        return self._before.connection is connection

    def look(self) -> None:
        """Take the number of rows, if it is there."""
        cursor = self._cursor
        rows = 0 if cursor is None else cursor.rowcount
        if rows <= 0:
            rows = _changed_since(self._before)
        # Without a cursor the statement is complete.
        if rows > 0 or cursor is None:
            self._rows = rows
            self.forget()

    def forget(self) -> None:
        """Look no further."""
        self._cursor = None
        with contextlib.suppress(ValueError):
            pending.remove(self)

    def _over(self, reference: object) -> None:
        # SQLite completes the statement, and counts, once its last cursor is
        # gone; right now SQLAlchemy still has it.
        cursor, self._cursor = self._cursor, None
        if cursor is not None and cursor.rowcount > 0:
            self._rows = cursor.rowcount
            self.forget()


# The rows of these are to come.
pending: list[RowsToCome] = []


def forget() -> None:
    """Forget every statement."""
    pending.clear()
    needed.clear()


def look(context: t.Any) -> None:
    """Let every number be taken that the next statement would change.

    :param context: SQLAlchemy's execution context of that statement.
    """
    connection = context.root_connection.connection.driver_connection
    for rows in list(pending):
        if rows.is_on(connection):
            rows.look()


def changes_before(context: t.Any, sql: str) -> Changes | None:
    """Note what a connection changed so far, where that will be needed.

    :param context: SQLAlchemy's execution context of a statement on SQLite.
    """
    matter = needed.get(sql)
    if matter is None:
        matter = _NEEDED.search(sql) is not None
        if len(needed) >= 1000:
            needed.clear()
        if len(sql) <= 10_000:
            needed[sql] = matter
    if not matter:
        return None
    connection = context.root_connection.connection.driver_connection
    total = getattr(connection, "total_changes", None)
    return Changes(connection, total) if isinstance(total, int) else None


def rows_since(before: Changes, context: t.Any) -> tuple[int | None, RowsToCome | None]:
    """Return how many rows a statement wrote, now or later."""
    rows = _changed_since(before)
    if rows or not context.cursor.description:
        return rows, None
    return None, RowsToCome(before, context)


def _changed_since(before: Changes) -> int:
    try:
        return t.cast(int, before.connection.total_changes) - before.total
    except Exception:
        return 0
