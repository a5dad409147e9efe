"""The immutable records: what the inspector knows, and what its JSON says.

Nothing here knows Flask or SQLAlchemy. Two kinds of time appear: a field that
ends in ``_at`` is in Unix seconds, a field that ends in ``_ms`` is in
milliseconds from the start of its record, measured by a monotonic clock and
never negative.
"""

from __future__ import annotations

import typing as t

import msgspec

Kind = t.Literal["request", "cli", "context"]
Origin = t.Literal["registry", "factory", "direct"]
SessionEnd = t.Literal["removed", "closed", "open"]
Outcome = t.Literal["commit", "rollback", "close", "open"]
StatementKind = t.Literal["select", "insert", "update", "delete", "other"]
Severity = t.Literal["error", "warning", "info"]
HolderKind = t.Literal["db", "scoped_session", "Session", "sessionmaker", "other"]
HolderVerdict = t.Literal["ok", "deprecated", "pinned", "unknown"]


class Location(msgspec.Struct, frozen=True):
    """A line of the application's own code.

    :param file: The path of the source file, or of the template.
    :param line: The line number, counted from 1.
    :param function: The name of the function, ``"<template>"`` in a template.
    """

    file: str
    line: int
    function: str


class StatementRecord(msgspec.Struct, frozen=True):
    """One execution of one SQL statement.

    :param at_ms: When it was sent to the driver.
    :param duration_ms: How long the driver took to execute it; fetching rows is
        not included.
    :param sql: The statement as sent. String and number literals in it are
        replaced by ``?`` unless ``SESSION_INSPECTOR_CAPTURE_PARAMETERS`` is on.
    :param kind: What it does, by its leading keyword.
    :param rows: The rows that it returned or changed, as far as the driver says
        so right after the execution; ``None`` where it does not (SQLite does
        not count the rows of a ``SELECT`` before they are fetched).
    :param bind: The name of the bind, ``"default"`` for the application's
        default engine, else the engine's URL without its secrets.
    :param location: The innermost frame of the application's own code.
    :param relationship: ``"User.posts"`` where a lazy load of that relationship
        sent the statement, else ``None``.
    :param parameters: One mapping of name to value for each set of bound
        values; ``None`` unless ``SESSION_INSPECTOR_CAPTURE_PARAMETERS`` is on.
    """

    at_ms: float
    duration_ms: float
    sql: str
    kind: StatementKind
    rows: int | None
    bind: str
    location: Location | None
    relationship: str | None
    parameters: tuple[dict[str, str], ...] | None = None


class TransactionRecord(msgspec.Struct, frozen=True):
    """A database transaction of a session on one bind, or a SAVEPOINT in it.

    :param began_ms: When it began; ``0`` if it was open before the record was.
    :param ended_ms: When it ended, ``None`` while it is open.
    :param nested: Whether it is a SAVEPOINT.
    :param outcome: ``"commit"`` and ``"rollback"`` were asked for; ``"close"``
        means that the session was closed without either, which discards what
        was written; ``"open"`` means that it did not end within the record.
    :param bind: The name of the bind, as in :class:`StatementRecord`.
    :param writes: Rows inserted, updated and deleted together, by table. Writes
        inside a SAVEPOINT are counted there and not in the outer transaction.
    """

    began_ms: float
    ended_ms: float | None
    nested: bool
    outcome: Outcome
    bind: str
    writes: dict[str, int]


class SessionRecord(msgspec.Struct, frozen=True):
    """What one record saw of one :class:`sqlalchemy.orm.Session`.

    :param serial: SQLAlchemy's own number of the session
        (``Session.hash_key``): unique in the process and never reused.
    :param label: ``"S"`` and the serial.
    :param python_id: Its ``id()``. CPython reuses it, so it identifies nothing.
    :param class_name: The name of the session's class.
    :param origin: ``"registry"`` where a known ``scoped_session`` gave it,
        ``"factory"`` where a ``sessionmaker`` made it, else ``"direct"``.
    :param registry: The name of that proxy, such as ``"db.session"``.
    :param proxy_id: The ``id()`` of that proxy, which lives as long as the app.
    :param scope_key: The key under which the registry keeps the session. For
        Flask-SQLAlchemy that is the ``id()`` of the app context. A text is shown
        as a digest, since it can be a secret; an object by its type and ``id()``.
    :param context: The index, from 0, of the app context it belongs to: the one
        whose registry holds it, else the one it was first used in.
    :param first_request_id: The record in which it was first used at all.
    :param first_use: The line that used it first in this record; ``None``
        where it was created and then never used.
    :param identity_map_size: How many objects it held just before its removal.
    :param pending_new: Objects added and never flushed, just before removal.
    :param pending_dirty: Objects with net changes that were never flushed.
    :param pending_deleted: Objects deleted and never flushed.
    :param ended: ``"open"`` if it was still in its registry, in a transaction or
        holding objects after its app context was popped; else ``"removed"`` if it
        came from a registry, ``"closed"`` if not. SQLAlchemy does not signal a
        close: it shows in that nothing is held any more.
    :param transactions: Its database transactions, in order.
    :param statements: Its statements, in order.
    """

    serial: int
    label: str
    python_id: int
    class_name: str
    origin: Origin
    registry: str | None
    proxy_id: int | None
    scope_key: str | None
    context: int
    first_request_id: str
    first_use: Location | None
    identity_map_size: int
    pending_new: int
    pending_dirty: int
    pending_deleted: int
    ended: SessionEnd
    transactions: tuple[TransactionRecord, ...]
    statements: tuple[StatementRecord, ...]


class ConnectionCheckout(msgspec.Struct, frozen=True):
    """One loan of a connection from its pool.

    :param connection_id: The number of the pooled connection, unique in the
        process and never reused.
    :param bind: The name of the bind, ``""`` if nothing ran on the connection.
    :param checked_out_ms: When; ``0`` if it was on loan before the record began.
    :param checked_in_ms: When it came back, ``None`` while it is held.
    :param session: The serial of the session that held it, if one did.
    """

    connection_id: int
    bind: str
    checked_out_ms: float
    checked_in_ms: float | None
    session: int | None


class Finding(msgspec.Struct, frozen=True):
    """A diagnosed fault.

    :param code: The stable code, such as ``"FSI101"``.
    :param name: The short name, such as ``"session-shared"``.
    :param severity: ``"error"``, ``"warning"`` or ``"info"``.
    :param message: What happened, in one sentence.
    :param hint: How to fix it.
    :param evidence: The facts the diagnosis rests on.
    :param request_id: The record it was found in; ``None`` from the audit.
    :param session: The serial of the session concerned.
    :param location: The line of the application's own code.
    :param related_requests: The other records involved.
    :param docs_url: The page that explains the code.
    :param at: When it was found, in Unix seconds.
    """

    code: str
    name: str
    severity: Severity
    message: str
    hint: str
    evidence: dict[str, t.Any]
    request_id: str | None
    session: int | None
    location: Location | None
    related_requests: tuple[str, ...]
    docs_url: str
    at: float


class RequestRecord(msgspec.Struct, frozen=True):
    """What one request, or one other app context, did with the database.

    :param id: Unique among all processes that share a store.
    :param kind: ``"request"``; ``"cli"`` for a command; ``"context"`` for an
        app context that was pushed by hand.
    :param app: The application's import name.
    :param pid: The process.
    :param thread: The name of the thread.
    :param started_at: When the app context was pushed.
    :param duration_ms: Until it was popped.
    :param method: The HTTP method; ``None`` outside a request.
    :param path: The path with its query string, both masked by
        ``SESSION_INSPECTOR_SENSITIVE_KEYS``; for a command, its name.
    :param endpoint: The endpoint that was matched.
    :param status: The HTTP status; ``None`` where no response was made.
    :param error: The class name of the unhandled exception.
    :param contexts: How many app contexts belong to it: its own, the ones
        nested in it or pushed for it in another thread, and the continuation
        of a streamed response.
    :param reused_context: It ran in an app context that was pushed before it.
    :param sessions: In the order of their first use.
    :param connections: In the order of their checkout.
    :param connection_statements: Statements that ran on an engine's connection
        without a session.
    :param findings: The faults found in this record.
    :param statement_count: All statements, those not kept included.
    :param truncated: Whether there were more statements, transactions, sessions
        or checkouts than ``SESSION_INSPECTOR_MAX_STATEMENTS`` keeps.
    """

    id: str
    kind: Kind
    app: str
    pid: int
    thread: str
    started_at: float
    duration_ms: float
    method: str | None
    path: str | None
    endpoint: str | None
    status: int | None
    error: str | None
    contexts: int
    reused_context: bool
    sessions: tuple[SessionRecord, ...]
    connections: tuple[ConnectionCheckout, ...]
    connection_statements: tuple[StatementRecord, ...]
    findings: tuple[Finding, ...]
    statement_count: int
    truncated: bool


class Holder(msgspec.Struct, frozen=True):
    """An object of the application that holds a session or a way to one.

    :param where: A path that a person can follow, such as
        ``admin view "user"``.
    :param holds: What is held.
    :param verdict: ``"ok"``; ``"deprecated"`` (safe, but on its way out);
        ``"pinned"`` (one session for the life of the app); or ``"unknown"``.
    :param proxy_id: The ``id()`` of the proxy, where one is held.
    :param session: The serial of the session, where one is held.
    :param hint: What to do about it; empty if nothing.
    """

    where: str
    holds: HolderKind
    verdict: HolderVerdict
    proxy_id: int | None
    session: int | None
    hint: str


class Counters(msgspec.Struct, frozen=True):
    """What became of the records.

    The first seven are of this process, the last two of its store. At rest
    ``started == stored + dropped + lost``; with one process and a fresh store
    ``retained == stored - evicted``.

    :param started: Records begun.
    :param in_flight: Begun and not ended.
    :param stored: Handed to the store and kept by it.
    :param dropped: Not stored because the queue was full.
    :param lost: Not stored because the store failed.
    :param unreadable: Stored payloads that could not be read back.
    :param internal_errors: The inspector's own errors, swallowed.
    :param evicted: Pushed out of the ring by newer ones, or cleared.
    :param retained: In the store now.
    """

    started: int
    in_flight: int
    stored: int
    dropped: int
    lost: int
    unreadable: int
    internal_errors: int
    evicted: int
    retained: int
