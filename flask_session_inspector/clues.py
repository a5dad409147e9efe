"""What the hooks saw that is no statement, no transaction and no checkout.

A clue is noted where a fault shows, and only there: an application without
faults leaves none. The rules make findings of them.
"""

from __future__ import annotations

import typing as t
import weakref

if t.TYPE_CHECKING:
    from .locations import RawLocation
    from .recorder import RecordId
    from .recorder import Scope
    from .recorder import SessionFacts


class Earlier(t.NamedTuple):
    """Another record that used a session before this one did.

    It keeps what a sentence needs and not the record itself, which would keep
    the one before it in turn.

    :ivar same_context: Both ran in one and the same app context.
    :ivar live: It had not ended yet.
    :ivar same_thread: Both ran in one thread or greenlet.
    """

    record: RecordId
    kind: str
    method: str | None
    path: str | None
    query: bytes
    secrets: tuple[str | None, ...]
    thread: str
    location: RawLocation | None
    same_context: bool
    live: bool
    same_thread: bool


class Detachment(t.NamedTuple):
    """How an object came to be detached from its session.

    :ivar how: What was called: ``"close"``, ``"expunge"``, ``"remove"``. Empty if
        nothing was: the session was garbage-collected.
    :ivar at_teardown: It happened while an app context was torn down.
    :ivar closing: The session was closed, all of its objects with it.
    :ivar identity_map: The identity map that the session had afterwards.
    """

    serial: int
    how: str
    at_teardown: bool
    closing: bool
    location: RawLocation | None
    user: Earlier | None
    identity_map: weakref.ref[t.Any] | None


class FirstFailure(t.NamedTuple):
    """The failed flush after which a session takes no more SQL.

    :ivar error: The class names of the exception and of the driver's own.
    :ivar sql: The statement that failed, as it was sent; empty if none was.
    """

    error: str
    sql: str
    mysql: bool
    location: RawLocation | None
    user: Earlier | None


class AlreadyAttached(t.NamedTuple):
    """An object was added to a session while it belongs to another.

    :ivar owner_facts: What is known of that other, which may have done nothing in
        this record.
    """

    instance: str
    owner: int
    other: int
    location: RawLocation | None
    owner_facts: SessionFacts | None


class DetachedAccess(t.NamedTuple):
    """An attribute of a detached object was read that has to be loaded.

    :ivar expired: It had been loaded before, and was to be loaded again.
    """

    instance: str
    attribute: str
    expired: bool
    origin: Detachment | None
    location: RawLocation | None


class Poisoned(t.NamedTuple):
    """A session was used after a failed flush.

    :ivar lost: It was not a flush that failed: its connection was lost.
    """

    serial: int | None
    first: FirstFailure | None
    lost: bool
    location: RawLocation | None


class CommitHookSql(t.NamedTuple):
    """A hook of a commit asked a session for SQL that it cannot send then."""

    state: str
    serial: int | None
    location: RawLocation | None


class CrossThread(t.NamedTuple):
    """A session was used by a thread or greenlet while it was another's.

    :ivar at_once: Both were inside of a statement.
    :ivar other: The record that the session was in use by, if it is another.
    """

    serial: int
    owner: str
    intruder: str
    owner_location: RawLocation | None
    location: RawLocation | None
    at_once: bool
    other: Earlier | None


class LateUse(t.NamedTuple):
    """A session ran SQL after the request that first used it.

    :ivar user: The record that it ran in.
    :ivar streaming: It ran in the rest of a streamed response, after the teardown of
        the view.
    """

    serial: int
    thread: str
    location: RawLocation | None
    user: Earlier | None
    streaming: bool


class Abandonment(t.NamedTuple):
    """An app context is still pushed while its thread serves the next request."""

    context: int
    thread: str
    serials: tuple[int, ...]
    streamed: bool
    next_request: Earlier


class ForkedUse(t.NamedTuple):
    """What the parent process made is used in this one.

    :ivar what: ``"session"`` or ``"connection"``.
    :ivar number: The serial of the session or the number of the connection.
    :ivar pid: The process that began to use it, where that is known.
    :ivar used_in: The process that uses it now.
    """

    what: str
    number: int
    pid: int | None
    used_in: int
    location: RawLocation | None


class Outlived(t.NamedTuple):
    """An object that an earlier request loaded sent SQL in this one."""

    serial: int
    class_name: str
    relationship: str | None
    location: RawLocation | None
    loaded_by: Earlier


Clue = (
    AlreadyAttached
    | DetachedAccess
    | Poisoned
    | CommitHookSql
    | CrossThread
    | LateUse
    | Abandonment
    | ForkedUse
    | Outlived
)


def earlier(
    scope: Scope,
    serial: int,
    *,
    same_context: bool = False,
    same_thread: bool = True,
) -> Earlier:
    """Describe a record as one that used a session before."""
    used = scope.sessions.get(serial)
    return Earlier(
        scope.id,
        scope.kind,
        scope.method,
        scope.path,
        scope.query,
        scope.secrets,
        scope.thread,
        None if used is None else used.first_use,
        same_context,
        not scope.closed,
        same_thread,
    )
