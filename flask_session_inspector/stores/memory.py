"""The store in this process's memory."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import threading
import typing as t
from collections import deque

from ..builder import RecordBuilder
from ..process import process
from ..recorder import Scope
from ..recorder import pack
from ..recorder import unpack
from ..records import RequestRecord
from .base import StoreCounters
from .ring import Entry
from .ring import Kept
from .ring import Name
from .ring import Ring
from .ring import name_in
from .ring import place_in

# How many records are taken at first, where all may be wanted.
_PORTION = 100


class MemoryStore:
    """A ring in memory. Every process has its own, and a fork begins empty.

    :param capacity: How many records it retains.
    :param builder: Builds a record when it is first looked at.
    """

    shared = False

    def __init__(self, capacity: int, builder: RecordBuilder) -> None:
        self._capacity = capacity
        self._builder = builder
        self._begin()
        process.begin_anew_after_fork(self)

    def _begin(self) -> None:
        self.epoch = process.token
        # Reentrant: a signal handler, or the finalizer of an object that is freed
        # here, may end an app context of its own. What it puts has to wait.
        self._lock = threading.RLock()
        self._is_busy = False
        self._waiting: deque[tuple[Scope, bool, bool]] = deque()
        self._ring = Ring()
        self._stored = 0
        self._evicted = 0

    def after_fork(self) -> None:
        """Leave the parent's records, and its lock, to the parent."""
        self._begin()

    def put(self, scope: Scope, *, keep: bool = True, revive: bool = False) -> None:
        # What leaves the ring is freed after the lock: that can run host code.
        before = oldest = None
        with self._lock:
            if self._is_busy:
                self._waiting.append((scope, keep, revive))
                return
            self._is_busy = True
            try:
                ring, again = self._ring, scope.handed_over
                if again:
                    before = ring.find(_name_of(scope))
                if keep and (not again or before is not None or revive):
                    place = ring.latest + 1
                    # Whatever may be raised, a timeout too, is raised before anything
                    # changes.
                    if scope.frames or scope.stopped is None:
                        kept: Kept = Entry(place, _name_of(scope), scope)
                    else:
                        kept = pack(scope, place)
                    scope.handed_over = True
                    ring.latest = place
                    ring.slots.append(kept)
                    if not again:
                        self._stored += 1
                    elif before is None:
                        self._evicted -= 1
                    else:
                        ring.leave(before)
                    if len(ring.slots) > self._capacity and len(ring) > self._capacity:
                        oldest = ring.drop_oldest()
                        self._evicted += 1
                else:
                    # Not wanted, or evicted before it went on.
                    scope.handed_over = True
                    self._stored += not again
                    self._evicted += not again
            finally:
                self._is_busy = False
        if self._waiting:
            self._put_what_waits()
        del before, oldest

    def _put_what_waits(self) -> None:
        while self._waiting:
            try:
                scope, keep, revive = self._waiting.popleft()
            except IndexError:  # Another thread was faster.
                return
            self.put(scope, keep=keep, revive=revive)

    @contextlib.contextmanager
    def _alone(self) -> cabc.Iterator[Ring]:
        """Keep everybody out, also those who interrupt this very thread."""
        with self._lock:
            was_busy, self._is_busy = self._is_busy, True
            try:
                yield self._ring
            finally:
                self._is_busy = was_busy
        if self._waiting and not was_busy:
            self._put_what_waits()

    def go_on(self, scope: Scope) -> None:
        name = _name_of(scope)
        with self._alone() as ring:
            kept = ring.find(name)
            if kept is not None:
                ring.replace(kept, Entry(place_in(kept), name, scope))

    def latest(self) -> int:
        return self._ring.latest

    def oldest(self) -> int:
        with self._alone() as ring:
            return ring.oldest()

    def place(self, record_id: str) -> int | None:
        with self._alone() as ring:
            kept = ring.find(_name_said_by(record_id))
        return None if kept is None else place_in(kept)

    def get(self, record_id: str) -> RequestRecord | None:
        with self._alone() as ring:
            kept = ring.find(_name_said_by(record_id))
        return None if kept is None else self._record(kept)

    def scan(self, after: int, before: int | None) -> cabc.Iterator[RequestRecord]:
        # Taken in portions, so that records can be built without holding the lock,
        # and no more of them are touched than somebody wants to have.
        most = _PORTION
        while True:
            with self._alone() as ring:
                found = ring.walk(most, after, before)
            yield from map(self._record, found)
            if len(found) < most:
                return
            # Each walk begins at the newest: so all of them cost twice as much as one.
            most, before = most * 2, place_in(found[-1])

    def clear(self) -> None:
        with self._alone() as ring:
            self._evicted += len(ring)
            cleared = ring.clear()
        del cleared

    def counters(self) -> StoreCounters:
        with self._alone() as ring:
            return StoreCounters(
                stored=self._stored,
                lost=0,
                unreadable=0,
                evicted=self._evicted,
                retained=len(ring),
            )

    def _record(self, kept: Kept) -> RequestRecord:
        if not isinstance(kept, Entry):
            record = self._builder.build(unpack(kept))
        elif kept.record is not None:
            return kept.record
        else:
            scope = t.cast(Scope, kept.scope)
            record = self._builder.build(scope)
            if not scope.closed:
                return record  # It may still grow.
        looked_at = Entry(place_in(kept), name_in(kept), None, record)
        with self._alone() as ring:
            ring.replace(kept, looked_at)  # Unless it has gone meanwhile.
        return record


def _name_of(scope: Scope) -> Name:
    return (scope.origin.token, scope.number)


def _name_said_by(record_id: str) -> Name:
    token, _, number = record_id.partition("-")
    # No record has the number 0, or one of so many digits.
    is_number = len(number) < 20 and number.isascii() and number.isdigit()
    return (token, int(number) if is_number else 0)
