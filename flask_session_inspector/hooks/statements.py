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
from .counting import count
from .details import SIMPLE
from .details import fingerprint
from .details import lazily_loaded
from .dml import Written
from .dml import reported
from .dml import rows_of
from .dml import written_by
from .frames import Frame
from .frames import current_context
from .frames import frames
from .returning import needed as changes_needed
from .returning import pending
from .uses import joined
from .workers import getcurrent
from .workers import runner

if t.TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPICursor
    from sqlalchemy.engine.interfaces import ExecutionContext

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


def _do_execute(
    cursor: DBAPICursor, statement: str, parameters: t.Any, context: t.Any
) -> bool:
    """Let a statement be executed, and note it.

    What nearly every statement is has a short way here: a SELECT that was sent before,
    by the one session that uses its connection, in the context in which that began its
    transaction. All others take the long way, see :func:`_run`. Both make the same
    record.
    """
    users: t.Any
    frame: t.Any
    is_usual = False
    try:
        users = getattr(context.root_connection, joined.name, None)
        frame = getattr(current_context(None), frames.name, None)
        if users is not None and frame is not None:
            facts, scope = users.alone, frame.scope
            if (
                facts is not None
                and users.frame is frame
                and users.scope is scope
                and statement in users.reads
                and facts.busy is None
                and facts.pid == process.pid
                and frame.parents
                and not frame.visited
                and not pending
            ):
                dialect = context.dialect
                for listener in dialect.dispatch.do_execute:
                    if listener is not _do_execute:
                        break
                else:
                    facts.busy = (getcurrent(), get_ident())
                    is_usual = True
    except Exception:
        guard.report("do_execute")
        return False
    if not is_usual:
        arguments = (cursor, statement, parameters, context)
        return _run("do_execute", _do_execute, parameters, arguments)
    try:
        began = perf_counter()
        dialect.do_execute(cursor, statement, parameters, context)
        ended = perf_counter()
    except BaseException:
        ended = perf_counter()
        _note(frame, scope, facts, began, ended, statement, parameters, context)
        raise
    finally:
        facts.busy = None
    try:
        rows = getattr(cursor, "rowcount", -1)
        is_simple = type(parameters) is tuple
        if is_simple:
            # Mostly one or two; issuperset() would make another set of their types.
            for value in parameters:
                if type(value) not in SIMPLE:
                    is_simple = False
                    break
        options = context.execution_options.get("_sa_orm_load_options")
        recording = users.recording
        noted = _new(
            RawStatement,
            (
                began,
                ended,
                statement,
                None if rows == -1 else reported(cursor),
                facts.serial,
                recording.line_of_statement(statement),
                None
                if options is None or options._lazy_loaded_from is None
                else lazily_loaded(context),
                recording.render_parameters(context, parameters, statement)
                if recording.renders_parameters
                else None,
                users.bind,
                False,
                hash(parameters) if is_simple else fingerprint(parameters),
            ),
        )
        if len(scope.statements) < scope.origin.limit:
            scope.statements.append(noted)
        else:
            scope.add_statement(noted)
    except Exception:
        guard.report("do_execute")
    return True


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
    statement, context = arguments[1], arguments[-1]
    dialect = context.dialect
    before = None
    try:
        current = current_scope()
        users = joined.get(context.root_connection)
        facts = users.sessions[-1] if users is not None and users.sessions else None
        if current is None:
            if facts is not None:
                _look_for_stray(facts)
            return False
        frame, scope = current
        if dialect.name == "sqlite" and (pending or changes_needed.get(statement, 1)):
            before = _before(context, statement)
        entered = facts is not None and _enter(scope, frame, facts)
    except Exception:
        guard.report("do_execute")
        return False
    began = perf_counter()
    try:
        if not _done_by_another(getattr(dialect.dispatch, name), own, arguments):
            getattr(dialect, name)(*arguments)
    except BaseException:
        ended = perf_counter()
        _note(frame, scope, facts, began, ended, statement, parameters, context)
        raise
    finally:
        if entered and facts is not None:
            facts.busy = None
    ended = perf_counter()
    try:
        written = written_by(context, statement, parameters, before)
        rows = rows_of(context, arguments[0], parameters, written)
    except Exception:
        guard.report("do_execute")
        written = rows = None
    index = _note(
        frame, scope, facts, began, ended, statement, parameters, context, rows, written
    )
    if written is not None:
        count(scope, facts, context, written, index)
    elif users is not None and before is None and name == "do_execute":
        _learn_read(context, statement)
    return True


def _look_for_stray(facts: SessionFacts) -> None:
    """Look for a session that is used outside of every app context."""
    if facts.last is not None and is_outside():
        strays.note_stray(facts, sys._getframe(3))


def _enter(scope: Scope, frame: Frame, facts: SessionFacts) -> bool:
    """Take note that a session is inside of a statement, alone if all is well.

    :return: Whether this call is to take note of the end.
    """
    used = scope.sessions.get(facts.serial)
    elsewhere = used is not None and used.context != frame.index
    if elsewhere or facts.pid != process.pid:
        strays.look_closer(frame, scope, facts, sys._getframe(3))
    me = runner()
    busy = facts.busy
    if busy is None:
        facts.busy = (me, get_ident())
        return True
    if busy[0] is not me:
        caller = sys._getframe(3)
        strays.note_overlap(frame, scope, facts, busy, caller, _CODE)
    return False


_LISTENERS: dict[str, t.Any] = {
    "do_execute": _do_execute,
    "do_executemany": _do_executemany,
    "do_execute_no_params": _do_execute_no_params,
}
_CODE = frozenset(listener.__code__ for listener in _LISTENERS.values())


def _before(context: t.Any, sql: str) -> returning.Changes | None:
    try:
        if pending:
            returning.look(context)
        return returning.changes_before(context, sql)
    except Exception:
        guard.report("do_execute")
        return None


def _done_by_another(
    listeners: cabc.Iterable[t.Any], own: t.Any, arguments: tuple[t.Any, ...]
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
    facts: SessionFacts | None,
    began: float,
    ended: float,
    sql: str,
    parameters: t.Any,
    context: t.Any,  # ExecutionContext names only a part of what it has
    rows: int | None = None,
    written: Written | None = None,
) -> int | None:
    """Enter a statement into a record.

    :return: Its index there, if it was kept.
    """
    try:
        recording = frame.recording
        connection = context.root_connection
        users = joined.get(connection)
        if users is not None and users.recording is recording and users.bind:
            bind = users.bind
        else:
            bind = binds.bind_of(connection.engine, recording)
        location = recording.line_of_statement(sql)
        serial = None
        if facts is None:
            loans.name_bind(connection.connection, bind)
        else:
            serial = facts.serial
            used = scope.sessions.get(serial)
            if used is None:
                session = facts.reference()
                if session is not None:
                    used = uses.use(frame, scope, session)
            elif facts.open and facts.open[-1].scope is not scope:
                # Another request shares the session, and began its transaction.
                uses.take_over(facts, scope)
            if used is not None and used.inherited:
                history.note_outlived(scope, used, context, location)
        return scope.add_statement(
            _new(
                RawStatement,
                (
                    began,
                    ended,
                    sql,
                    rows,
                    serial,
                    location,
                    lazily_loaded(context),
                    recording.render_parameters(context, parameters, sql)
                    if recording.renders_parameters
                    else None,
                    bind,
                    written is not None,
                    fingerprint(parameters) if written is None else None,
                ),
            )
        )
    except Exception:
        guard.report("do_execute")
        return None


def _learn_read(context: t.Any, statement: str) -> None:
    try:
        dml.learn_read(context, statement)
    except Exception:
        guard.report("do_execute")


# What the class of a named tuple does, without its function in between.
_new = tuple.__new__
