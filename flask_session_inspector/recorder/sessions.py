"""What is known of a session, and what one record saw of it."""

from __future__ import annotations

import types
import typing as t
import weakref

from ..locations import RawLocation
from ..process import process
from .traces import RawTransaction

if t.TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ..clues import Earlier
    from ..clues import FirstFailure
    from .scope import RecordId
    from .scope import Scope

MOST_LEFT_BEHIND = 50

# SQLAlchemy's weak reference to the object, and the request that left it there.
Inherited = tuple["weakref.ref[t.Any]", "Earlier"]

_NOTHING: t.Mapping[int, Inherited] = types.MappingProxyType({})
NO_STATES: t.Mapping[t.Any, object] = types.MappingProxyType({})
_NOBODY: t.Mapping[str, int] = types.MappingProxyType({})


# Who is inside of a statement: the greenlet (or the thread where there are none), the
# number of the thread. A plain tuple, since each statement makes one.
Busy = tuple[object, int]


class SessionFacts:
    """What is known of one session, in whatever records it appears.

    :ivar open: Its transactions that have not ended.
    :ivar left_behind: Those that go on in another record, and what they wrote in
        this one is not settled; ``None`` while there are none.
    :ivar first: The scope that used it first, and ``last`` the one that did so
        last.
    :ivar began_outside: It was used before any scope could take note of it.
    :ivar pid: The process that began its transaction.
    :ivar identity_map: The identity map that it had then; closing it makes
        another.
    :ivar closings: Not empty once it was closed, while that is watched.
    :ivar busy: Who is inside of a statement of it now.
    :ivar failure: The failed flush that nobody rolled back.
    :ivar to_delete: Those that are marked as deleted, as the session keeps them.
    :ivar kept_as: The name under which Flask-SQLAlchemy-Lite keeps it.
    :ivar joined: The connections that it uses, as the hooks know them.
    :ivar key: The key under which its registry has it, a number or a text.
    :ivar unknown_registry: A ``scoped_session`` made it that nobody named.
    """

    __slots__ = (
        "began_outside",
        "busy",
        "class_name",
        "closings",
        "failure",
        "first",
        "identity_map",
        "joined",
        "kept_as",
        "key",
        "last",
        "left_behind",
        "open",
        "origin",
        "pid",
        "proxy_id",
        "python_id",
        "reference",
        "registry",
        "serial",
        "to_delete",
        "unknown_registry",
    )

    def __init__(self, session: Session, class_name: str, origin: str) -> None:
        self.serial: int = session.hash_key
        self.python_id = id(session)
        self.reference = weakref.ref(session)
        self.class_name = class_name
        self.origin = origin
        self.pid = process.pid
        self.identity_map = weakref.ref(session.identity_map)
        self.open: list[RawTransaction] = []
        self.began_outside = False
        self.busy: Busy | None = None
        self.closings: list[bool] | None = None
        self.failure: FirstFailure | None = None
        self.first: Scope | None = None
        self.joined: tuple[t.Any, ...] = ()
        self.kept_as: str | None = None
        self.last: Scope | None = None
        self.left_behind: list[RawTransaction] | None = None
        self.proxy_id: int | None = None
        self.registry: str | None = None
        self.key: t.Any = None
        self.to_delete: t.Mapping[t.Any, object] = NO_STATES
        self.unknown_registry = False

    @property
    def scope_key(self) -> str | None:
        """The key under which the registry has it, as text."""
        key: int | str | None = self.key
        return hex(key) if isinstance(key, int) else key

    def watch_closing(self, session: Session) -> None:
        """Learn when it is closed, though nothing is sent for that.

        Closing it makes another identity map, so the one that it had goes first.
        """
        closings: list[bool] = []
        reference = self.reference

        def note(_: object) -> None:
            if reference() is not None:
                closings.append(True)

        self.closings = closings
        self.identity_map = weakref.ref(session.identity_map, note)

    def when_gone(
        self, session: Session, forget: t.Callable[[SessionFacts], object]
    ) -> None:
        """Call a function with this when the session is collected."""
        self.reference = weakref.ref(session, lambda _: forget(self))

    def let_go_of(self, scope: Scope) -> None:
        """Take note that a record is kept without its scope from now on.

        Of a session that is gone nobody will ask who used it; the two would keep each
        other, and wait for the garbage collector together. Where several records used
        it, the others still name the first of them.
        """
        if self.reference() is None and self.last is scope:
            self.last = None
            if self.first is scope:
                self.first = None

    def was_closed(self, session: Session | None) -> bool:
        """Say whether it was closed since it was watched.

        :param session: The session itself, ``None`` if it is gone.
        """
        if session is not None:
            return self.identity_map() is not session.identity_map
        return self.closings is None or bool(self.closings)

    def leave_behind(self, begun: RawTransaction) -> None:
        """Take note that the record of a transaction ended before it did."""
        self.open.remove(begun)
        if self.left_behind is None:
            self.left_behind = []
        # One that nobody ever ends can be left behind by any number of records.
        if (
            begun.scope is not None
            and begun.scope.wrote_with(self.serial)
            and len(self.left_behind) < MOST_LEFT_BEHIND
        ):
            self.left_behind.append(begun)

    def unsettled(self, key: int) -> list[RawTransaction]:
        """Return the parts of a database transaction, of all records."""
        parts = [begun for begun in self.open if begun.key == key]
        if self.left_behind:
            parts += [begun for begun in self.left_behind if begun.key == key]
        return parts

    def drop(self, ended: RawTransaction) -> None:
        """Take note that a transaction has ended."""
        for parts in (self.open, self.left_behind or []):
            if ended in parts:
                parts.remove(ended)

    @property
    def first_record(self) -> RecordId | None:
        """The record that used it first."""
        return None if self.first is None else self.first.id

    @property
    def registry_key(self) -> object:
        """What the sessions of one registry have in common, ``None`` without one."""
        if self.registry is not None:
            return (self.registry, self.proxy_id)
        return self.kept_as

    @property
    def registry_name(self) -> str:
        """What to call that registry."""
        if self.registry is not None or self.kept_as in (None, "default"):
            return self.registry or "db.session"
        return f"db.get_session({self.kept_as!r})"


class RawSession:
    """What one record saw of one session.

    :ivar app_context: The number of the app context that it was used in.
    :ivar worker: The thread or greenlet that used it first here.
    :ivar task: Stands for the asyncio task that did, if one did.
    :ivar thread: The name of its thread, where that may not be the record's.
    :ivar used: Whether it did anything, or was only there.
    :ivar earlier: The record that used it before this one.
    :ivar reached: How it came here from that one: the registry had it under a
        ``"recycled"`` key, or under a key that is too ``"coarse"``; or it was here
        all the time, and ``"lent"`` to another thread.
    :ivar inherited: The objects that earlier requests left in it, by the ``id()`` of
        their states.
    :ivar carried_over: How many those were.
    :ivar held: The registry still held it after its app context was popped.
    :ivar closed_by_host: It had been closed, though not removed.
    :ivar collected: Nobody closed it: it was left to the garbage collector.
    :ivar made_at_teardown: It was not there when the teardown began.
    :ivar left_in_transaction: A transaction was still open then.
    :ivar left_objects: How many objects were still in it then.
    :ivar of_outer_context: It belongs to an app context that was pushed before
        the request and goes on after it.
    :ivar thrown_new: Objects that were added, never flushed and thrown away when
        it was closed, by class; likewise ``thrown_changed`` and ``thrown_deleted``.
    :ivar looked_at: When it was looked at for the last time before its removal.
    """

    __slots__ = (
        "app_context",
        "carried_over",
        "closed_by_host",
        "collected",
        "context",
        "earlier",
        "ended",
        "facts",
        "first_use",
        "held",
        "identity_map_size",
        "inherited",
        "left_in_transaction",
        "left_objects",
        "looked_at",
        "made_at_teardown",
        "of_outer_context",
        "pending",
        "reached",
        "task",
        "thread",
        "thrown_changed",
        "thrown_deleted",
        "thrown_new",
        "used",
        "worker",
    )

    def __init__(
        self,
        facts: SessionFacts,
        context: int,
        app_context: int,
        worker: int,
    ) -> None:
        self.facts = facts
        self.context = context
        self.app_context = app_context
        self.worker = worker
        self.carried_over = 0
        self.closed_by_host = False
        self.collected = False
        self.earlier: Earlier | None = None
        self.ended = "open"
        self.first_use: RawLocation | None = None
        self.held = False
        self.identity_map_size = 0
        self.inherited: t.Mapping[int, Inherited] = _NOTHING
        self.left_in_transaction = False
        self.left_objects = 0
        self.looked_at: float | None = None
        self.made_at_teardown = False
        self.of_outer_context = False
        self.pending = (0, 0, 0)
        self.reached: t.Literal["", "recycled", "coarse", "lent"] = ""
        self.task: object = None
        self.thread = ""
        self.thrown_changed: t.Mapping[str, int] = _NOBODY
        self.thrown_deleted: t.Mapping[str, int] = _NOBODY
        self.thrown_new: t.Mapping[str, int] = _NOBODY
        self.used = False
