"""What a statement wrote: which table, and how many rows."""

from __future__ import annotations

import re
import typing as t
import weakref

from ..sqltext import bare_sql
from ..sqltext import leading_keyword
from ..sqltext import main_keyword
from . import returning

# What a raw statement writes to. It is not parsed: only the leading keyword, or
# the one that a WITH leads to, and the name behind it are looked at.
_NAME = r'(?: "(?:[^"]|"")+" | `(?:[^`]|``)+` | \[[^]]+\] | [^\W\d][\w$]* )'
_DML = re.compile(
    rf"""
    (?: INSERT (?:\s+(?:OR\s+\w+|IGNORE|LOW_PRIORITY|DELAYED|HIGH_PRIORITY))*
          (?:\s+INTO)?
      | REPLACE (?:\s+(?:LOW_PRIORITY|DELAYED))* (?:\s+INTO)?
      | MERGE \s+ INTO
      | UPDATE (?:\s+(?:OR\s+\w+|ONLY|IGNORE|LOW_PRIORITY))*
      | DELETE (?:\s+(?:IGNORE|LOW_PRIORITY|QUICK))* (?:\s+FROM (?:\s+ONLY)?)?
    ) (?: \s+ | \s* (?=["`[]) )
    (?P<table> {_NAME} (?: \s*\.\s* {_NAME} )* )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_PARTS = re.compile(_NAME, re.VERBOSE)
_INNER = re.compile(r"\(\s*(?=(?:INSERT|UPDATE|DELETE|MERGE)\b)", re.IGNORECASE)
_KEYWORDS = frozenset({"INSERT", "REPLACE", "MERGE", "UPDATE", "DELETE"})

# PyMySQL says this for "unknown" of a server-side cursor.
_UNSIGNED_MINUS_ONE = 2**64 - 1


class Written(t.NamedTuple):
    """What a statement wrote.

    :ivar table: The name of the table, with its schema if it has one.
    :ivar rows: How many rows, ``None`` where the driver does not say.
    :ivar to_come: Tells the number of rows later, where it is not known yet.
    """

    table: str
    rows: int | None = None
    to_come: returning.RowsToCome | None = None


_tables: dict[tuple[str, bool], str | None] = {}
# An application sends few different statements, each many times.
_MOST_TEXTS = 1000
# By the name of the dialect: the texts that only read. Whoever has such a set keeps it.
_reads: dict[str, set[str]] = {}
_counted: weakref.WeakKeyDictionary[t.Any, bool] = weakref.WeakKeyDictionary()


def forget() -> None:
    """Forget what statements wrote."""
    _tables.clear()
    for known in list(_reads.values()):
        known.clear()


def reads_of(dialect: str) -> set[str]:
    """Return the statements of a dialect that are known to read only."""
    return _reads.setdefault(dialect, set())


def learn_read(context: t.Any, sql: str) -> None:
    """Take note that a statement has written nothing.

    Kept only where its text alone says so, whatever is executed in whoever's name.
    """
    dialect = context.dialect.name
    mysql = dialect in ("mysql", "mariadb")
    if _tables.get((sql, mysql), "unknown") is None and (
        dialect != "sqlite" or returning.needed.get(sql) is False
    ):
        known = reads_of(dialect)
        if len(known) >= _MOST_TEXTS:
            known.clear()
        known.add(sql)


def written_by(
    context: t.Any, sql: str, parameters: t.Any, before: returning.Changes | None
) -> Written | None:
    """Say what a statement wrote that was just executed.

    :param context: SQLAlchemy's execution context.
    :param parameters: The bound values as sent to the driver.
    :param before: What :func:`.returning.changes_before` said before.
    :return: ``None`` where it is no INSERT, UPDATE or DELETE.
    """
    compiled = context.compiled
    if context.isinsert or context.isupdate or context.isdelete:
        if is_default(context, sql):
            return None
        table = _table_name(_target(compiled))
        style = context.execute_style.name
        if style == "INSERTMANYVALUES":
            # One statement sent in batches: its rows are counted with the first.
            first = context not in _counted
            _counted[context] = True
            return Written(table, len(context.compiled_parameters) if first else 0)
    else:
        found = _table_of_other(context, compiled, sql)
        if found is None:
            return None
        table = found
    rows = reported(context.cursor)
    if before is not None and (rows is None or context.cursor.description):
        return Written(table, *returning.rows_since(before, context))
    if rows is None and isinstance(parameters, list):
        rows = len(parameters)
    return Written(table, rows)


def is_default(context: t.Any, sql: str) -> bool:
    """Say whether this is a default that is executed before its INSERT.

    SQLAlchemy executes it in the name of the INSERT, which has no text yet.
    """
    known = getattr(context, "statement", None)
    return sql is not known and leading_keyword(sql) == "SELECT"


def _target(compiled: t.Any) -> t.Any:
    table = getattr(compiled.compile_state, "dml_table", None)
    return compiled.statement.table if table is None else table


def _table_name(table: t.Any) -> str:
    return str(getattr(table, "fullname", None) or getattr(table, "name", table))


def _table_of_other(context: t.Any, compiled: t.Any, sql: str) -> str | None:
    """Find the table written by what SQLAlchemy does not know to be DML."""
    mysql = context.dialect.name in ("mysql", "mariadb")
    try:
        return _tables[sql, mysql]
    except KeyError:
        pass
    table = None
    for cte in getattr(compiled, "ctes", None) or ():
        if getattr(cte.element, "is_dml", False):
            table = _table_name(cte.element.table)
    if table is None and _is_text(compiled):
        table = _raw_table(sql, mysql)
    if len(sql) <= 10_000:
        if len(_tables) >= _MOST_TEXTS:
            _tables.clear()
        _tables[sql, mysql] = table
    return table


def _is_text(compiled: t.Any) -> bool:
    if compiled is None or getattr(compiled, "isplaintext", False):
        return True
    # Text with result columns is text all the same.
    statement = getattr(compiled, "statement", None)
    inner = getattr(statement, "element", statement)
    return getattr(inner, "__visit_name__", "") in ("textual_select", "textclause")


def _raw_table(sql: str, mysql: bool) -> str | None:
    """Return the table that a raw statement writes to."""
    keyword = leading_keyword(sql)
    if keyword not in _KEYWORDS and keyword != "WITH":
        return None
    bare = bare_sql(sql, mysql=mysql).lstrip("( \t\r\n\f")
    match = _DML.match(bare)
    if keyword == "WITH":
        main = main_keyword(bare)
        match = None if main is None else _DML.match(bare, main.start())
        if match is None and (inner := _INNER.search(bare)):
            match = _DML.match(bare, inner.end())
    return None if match is None else _unquoted(match["table"])


def _unquoted(name: str) -> str:
    parts = []
    for part in _PARTS.findall(name):
        first = part[0]
        if first in '"`':
            part = part[1:-1].replace(first * 2, first)
        parts.append(part[1:-1] if first == "[" else part)
    return ".".join(parts)


def rows_of(
    context: t.Any, cursor: t.Any, parameters: t.Any, written: Written | None
) -> int | None:
    """Return how many rows a statement returned or changed.

    :param cursor: The DBAPI cursor, right after the execution.
    :param parameters: The bound values as sent to the driver.
    :param written: What the statement wrote.
    :return: ``None`` where the driver does not say.
    """
    if written is None:
        return reported(cursor)
    if context.compiled is None or context.execute_style.name != "INSERTMANYVALUES":
        return written.rows
    return _rows_of_batch(context, parameters)


def reported(cursor: t.Any) -> int | None:
    """Return the number of rows as the driver says it, ``None`` if it does not."""
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
