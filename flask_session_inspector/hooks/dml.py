"""What a statement wrote: which table, and how many rows."""

from __future__ import annotations

import re
import typing as t
import weakref

# What a raw statement writes to. It is not parsed: only the leading keyword, or
# the one that a WITH leads to, and the name behind it are looked at.
_DML = re.compile(
    r"""
    (?: INSERT (?:\s+(?:OR\s+\w+|IGNORE|LOW_PRIORITY|DELAYED|HIGH_PRIORITY))* \s+ INTO
      | REPLACE (?:\s+(?:LOW_PRIORITY|DELAYED))* \s+ INTO
      | UPDATE (?:\s+(?:OR\s+\w+|ONLY|IGNORE|LOW_PRIORITY))*
      | DELETE (?:\s+(?:IGNORE|LOW_PRIORITY|QUICK))* \s+ FROM (?:\s+ONLY)?
    ) \s+
    (?P<table> (?: "(?:[^"]|"")+" | `(?:[^`]|``)+` | \[[^\]]+\] | [\w$]+ )
      (?: \s*\.\s* (?: "(?:[^"]|"")+" | `(?:[^`]|``)+` | \[[^\]]+\] | [\w$]+ ) )* )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_START = re.compile(r"(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*", re.DOTALL)
_QUOTES = re.compile(r'["`\[\]]')
_RETURNING = re.compile(r"\bRETURNING\b", re.IGNORECASE)

# PyMySQL says this for "unknown" of a server-side cursor.
_UNSIGNED_MINUS_ONE = 2**64 - 1


class Written(t.NamedTuple):
    """What a statement wrote.

    :ivar table: The name of the table, with its schema if it has one.
    :ivar rows: How many rows, ``None`` where the driver is to say.
    :ivar told_after_fetch: The driver says so only after the rows that the
        statement returns were fetched.
    """

    table: str
    rows: int | None = None
    told_after_fetch: bool = False


_raw_tables: dict[str, str | None] = {}
_counted: weakref.WeakKeyDictionary[t.Any, bool] = weakref.WeakKeyDictionary()


def written_by(context: t.Any, sql: str) -> Written | None:
    """Say what a statement wrote that was just executed.

    :param context: SQLAlchemy's execution context.
    :return: ``None`` where it is no INSERT, UPDATE or DELETE.
    """
    compiled = context.compiled
    if context.isinsert or context.isupdate or context.isdelete:
        return _written_by_compiled(context, compiled)
    if compiled is not None and not getattr(compiled, "isplaintext", False):
        return None
    table = _raw_table(sql)
    if table is None:
        return None
    waits = context.dialect.name == "sqlite" and bool(_RETURNING.search(sql))
    return Written(table, None, waits)


def _written_by_compiled(context: t.Any, compiled: t.Any) -> Written:
    state = compiled.compile_state
    table = getattr(state, "dml_table", None)
    if table is None:
        table = compiled.statement.table
    name = str(getattr(table, "fullname", None) or getattr(table, "name", table))
    style = context.execute_style.name
    if style == "INSERTMANYVALUES":
        # One statement sent in batches: its rows are counted with the first.
        first = context not in _counted
        _counted[context] = True
        return Written(name, len(context.compiled_parameters) if first else 0)
    if context.dialect.name == "sqlite" and compiled.effective_returning:
        return Written(name, None, told_after_fetch=True)
    rows = None
    if style == "EXECUTEMANY" and context.cursor.rowcount < 0:
        rows = len(context.compiled_parameters)
    return Written(name, rows)


def _raw_table(sql: str) -> str | None:
    """Return the table that a raw statement writes to."""
    try:
        return _raw_tables[sql]
    except KeyError:
        pass
    start = _START.match(sql)
    position = start.end() if start else 0
    if sql[position : position + 4].upper() == "WITH":
        match = _DML.search(sql, position)
    else:
        match = _DML.match(sql, position)
    table = None if match is None else _QUOTES.sub("", match["table"])
    if len(_raw_tables) >= 1000:
        _raw_tables.clear()
    _raw_tables[sql] = table
    return table


def rows_of(context: t.Any, cursor: t.Any, parameters: t.Any) -> int | None:
    """Return how many rows a statement returned or changed.

    :param cursor: The DBAPI cursor, right after the execution.
    :param parameters: The bound values as sent to the driver.
    :return: ``None`` where the driver does not say.
    """
    if context.compiled is not None and context.execute_style.name == (
        "INSERTMANYVALUES"
    ):
        return _rows_of_batch(context, parameters)
    rows = getattr(cursor, "rowcount", -1)
    if not isinstance(rows, int) or rows < 0 or rows == _UNSIGNED_MINUS_ONE:
        return None
    return rows


def _rows_of_batch(context: t.Any, parameters: t.Any) -> int | None:
    """Return how many rows one batch of an INSERT with many values inserts."""
    for_one_row = len(context.compiled_parameters[0])
    if not for_one_row or len(parameters) % for_one_row:
        return None
    return len(parameters) // for_one_row
