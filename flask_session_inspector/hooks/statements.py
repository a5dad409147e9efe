"""The hooks into the execution of statements.

They sit in the dialect's execute step (``DialectEvents.do_execute`` and its two
siblings) because a listener on any engine event makes the engine dispatch all
of them. Such a listener takes the driver's call upon itself when it says that
it did, so it also has to let every later listener of the same step have its
say, and to let the driver's errors through untouched. An earlier listener that
takes the call upon itself is the one case that is not seen: SQLAlchemy asks
nobody else then, and these events cannot be listened to ahead of others.
"""

from __future__ import annotations

import collections.abc as cabc
import sys
import typing as t
from threading import get_ident
from time import perf_counter

from sqlalchemy import Engine
from sqlalchemy import event

from ..guard import guard
from ..process import process
from ..recorder import RawStatement
from ..recorder import RawTransaction
from ..recorder import Scope
from . import binds
from . import dml
from . import history
from . import loans
from . import returning
from . import strays
from . import uses
from .contexts import current_scope
from .contexts import is_outside
from .details import fingerprint
from .details import lazily_loaded
from .dml import Written
from .dml import rows_of
from .dml import written_by
from .frames import Frame
from .returning import needed as changes_needed
from .returning import pending
from .workers import runner

if t.TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPICursor
    from sqlalchemy.engine.interfaces import ExecutionContext

    from ..recorder import Bind
    from ..recorder import SessionFacts


def listen() -> None:
    """Install the listeners, on every dialect of the process."""
    for name, listener in _LISTENERS.items():
        event.listen(Engine, name, listener)


def remove() -> None:
    """Remove the listeners and what they know."""
    for name, listener in _LISTENERS.items():
        event.remove(Engine, name, listener)
    dml.forget()
    returning.forget()


def _current() -> tuple[Frame, Scope] | None:
    try:
        return current_scope()
    except Exception:
        guard.report("do_execute")
        return None


def _do_execute(
    cursor: DBAPICursor, statement: str, parameters: t.Any, context: ExecutionContext
) -> bool:
    arguments = (cursor, statement, parameters, context)
    return _run("do_execute", _do_execute, parameters, arguments)


def _do_executemany(
    cursor: DBAPICursor, statement: str, parameters: t.Any, context: ExecutionContext
) -> bool:
    arguments = (cursor, statement, parameters, context)
    return _run("do_executemany", _do_executemany, parameters, arguments)


def _do_execute_no_params(
    cursor: DBAPICursor, statement: str, context: ExecutionContext
) -> bool:
    arguments = (cursor, statement, context)
    return _run("do_execute_no_params", _do_execute_no_params, (), arguments)


def _run(
    name: str, own: t.Any, parameters: t.Any, arguments: tuple[t.Any, ...]
) -> bool:
    """Let a statement be executed, and note it.

    :param name: The event, and the method of the dialect that does it.
    :param own: Our listener for the event.
    :param arguments: What that was called with.
    :return: Whether it was executed; if not, SQLAlchemy goes on as if nobody
        listened.
    """
    current = _current()
    cursor, statement, context = arguments[0], arguments[1], arguments[-1]
    if current is None:
        _look_for_stray(context)
        return False
    dialect = context.dialect
    before = None
    if dialect.name == "sqlite" and (pending or changes_needed.get(statement, True)):
        before = _before(context, statement)
    facts = _enter(current[1], current[0], context)
    began = perf_counter()
    try:
        if not _done_by_another(getattr(dialect.dispatch, name), own, *arguments):
            getattr(dialect, name)(*arguments)
    except BaseException:
        _note(*current, began, cursor, statement, parameters, context, failed=True)
        raise
    finally:
        if facts is not None:
            facts.busy = None
    _note(*current, began, cursor, statement, parameters, context, before)
    return True


def _look_for_stray(context: t.Any) -> None:
    """Look for a session that is used outside of every app context."""
    try:
        facts = uses.facts_on(context.root_connection)
        if facts is not None and facts.last is not None and is_outside():
            strays.note_stray(facts, sys._getframe(3))
    except Exception:
        guard.report("do_execute")


def _enter(scope: Scope, frame: Frame, context: t.Any) -> SessionFacts | None:
    """Take note that a session is inside of a statement, alone if all is well.

    :return: What is known of it, if this call is to take note of the end.
    """
    try:
        facts = uses.facts_on(context.root_connection)
        if facts is None:
            return None
        used = scope.sessions.get(facts.serial)
        elsewhere = used is not None and used.context != frame.index
        if elsewhere or facts.pid != process.pid:
            strays.look_closer(frame, scope, facts, sys._getframe(3))
        me = runner()
        busy = facts.busy
        if busy is None:
            facts.busy = (me, get_ident(), sys._getframe(3))
            return facts
        if busy[0] is not me:
            strays.note_overlap(frame, scope, facts, busy, sys._getframe(3))
    except Exception:
        guard.report("do_execute")
    return None


_LISTENERS: dict[str, t.Callable[..., bool]] = {
    "do_execute": _do_execute,
    "do_executemany": _do_executemany,
    "do_execute_no_params": _do_execute_no_params,
}


def _before(context: t.Any, sql: str) -> returning.Changes | None:
    try:
        if pending:
            returning.look(context)
        return returning.changes_before(context, sql)
    except Exception:
        guard.report("do_execute")
        return None


def _done_by_another(
    listeners: cabc.Iterable[t.Any], own: t.Any, *arguments: t.Any
) -> bool:
    """Ask the listeners that SQLAlchemy would have asked after ours."""
    before = True
    for listener in listeners:
        if before:
            before = listener is not own
        elif listener(*arguments):
            return True
    return False


def _note(
    frame: Frame,
    scope: Scope,
    began: float,
    cursor: DBAPICursor,
    sql: str,
    parameters: t.Any,
    context: t.Any,  # ExecutionContext names only a part of what it has
    before: returning.Changes | None = None,
    failed: bool = False,
) -> None:
    ended = perf_counter()
    try:
        recording = frame.recording
        connection = context.root_connection
        bind = binds.bind_of(connection.engine, recording)
        facts = uses.facts_on(connection)
        if facts is None:
            loans.name_bind(connection, bind)
        elif facts.serial not in scope.sessions:
            session = facts.reference()
            if session is not None:
                uses.use(frame, scope, session)
        elif facts.open and facts.open[-1].scope is not scope:
            # Another request shares the session, and began its transaction.
            uses.take_over(facts, scope)
        location = recording.locate(sys._getframe(2))
        used = None if facts is None else scope.sessions.get(facts.serial)
        if used is not None and used.inherited:
            history.note_outlived(scope, used, context, location)
        written = None
        rows = None
        if not failed:
            written = written_by(context, sql, parameters, before)
            rows = rows_of(context, cursor, parameters, written)
        index = scope.add_statement(
            RawStatement(
                began,
                ended,
                sql,
                rows,
                bind,
                None if facts is None else facts.serial,
                location,
                lazily_loaded(context),
                recording.render_parameters(context, parameters, sql),
                written is not None,
                fingerprint(parameters) if written is None else None,
            )
        )
        if written is not None:
            open_ones = () if facts is None else facts.open
            _count(_innermost(open_ones, scope, bind), written, index)
    except Exception:
        guard.report("do_execute")


def _innermost(
    transactions: cabc.Sequence[RawTransaction], scope: Scope, bind: Bind
) -> RawTransaction | None:
    for transaction in reversed(transactions):
        if transaction.scope is scope and transaction.bind == bind:
            return transaction
    return None


def _count(
    transaction: RawTransaction | None, written: Written, index: int | None
) -> None:
    to_come = written.to_come
    if transaction is None:
        if to_come is not None:
            to_come.forget()
    elif to_come is not None:
        transaction.unsettled.append((to_come, written.table, index))
    else:
        transaction.add_writes(written.table, written.rows or 0)
