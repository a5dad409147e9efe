"""The store in this process's memory."""

from __future__ import annotations

import collections.abc as cabc
import itertools
import threading
import typing as t

from ..builder import RecordBuilder
from ..process import process
from ..recorder import Packed
from ..recorder import Scope
from ..recorder import pack
from ..recorder import place_of
from ..recorder import unpack
from ..records import RequestRecord
from .base import StoreCounters
from .ring import Ring

# How many records are taken at first, where all may be wanted.
_PORTION = 100


class _Entry:
    """A record that is not, or need not be, packed.

    :ivar scope: While it goes on, as a streamed response does after the view.
    :ivar record: Once somebody has looked.
    """

    __slots__ = ("place", "record", "scope")

    def __init__(
        self, place: int, scope: Scope | None, record: RequestRecord | None = None
    ) -> None:
        self.place = place
        self.scope = scope
        self.record = record


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
        # here, may end an app context of its own.
        self._lock = threading.RLock()
        # By the number of the record; where another process began it, by its whole id.
        self._entries: dict[int | str, Packed | _Entry] = {}
        self._order: Ring[int | str] = Ring()
        self._latest = 0
        self._stored = 0
        self._evicted = 0

    def after_fork(self) -> None:
        """Leave the parent's records, and its lock, to the parent."""
        self._begin()

    def put(self, scope: Scope, *, keep: bool = True, revive: bool = False) -> None:
        key = scope.number if scope.origin.token == self.epoch else str(scope.id)
        entries = self._entries
        # What leaves the ring is freed after the lock: that can run host code.
        replaced = evicted = None
        with self._lock:
            again = scope.handed_over
            absent = not again or key not in entries
            if not keep or (again and absent and not revive):
                # Not wanted, or evicted before it went on.
                scope.handed_over = True
                self._stored += not again
                self._evicted += not again
                return
            place = self._latest + 1
            # Whatever may be raised, a timeout too, is raised before anything changes.
            if scope.frames or scope.stopped is None:
                entry: Packed | _Entry = _Entry(place, scope)
            else:
                entry = pack(scope, place)
            scope.handed_over = True
            self._latest = place
            if absent:
                entries[key] = entry
                self._order.add(key)
                if again:
                    self._evicted -= 1
                else:
                    self._stored += 1
            else:
                replaced = entries[key]
                entries[key] = entry
                self._order.move_to_end(key)
            while len(entries) > self._capacity:
                oldest = self._order.drop_oldest()
                if oldest is None:
                    break
                evicted = entries.pop(oldest, None)
                self._evicted += 1
        del replaced, evicted

    def go_on(self, scope: Scope) -> None:
        key = self._key(str(scope.id))
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries[key] = _Entry(_place(entry), scope)

    def latest(self) -> int:
        return self._latest

    def oldest(self) -> int:
        with self._lock:
            oldest = self._order.oldest()
            return self._latest + 1 if oldest is None else _place(self._entries[oldest])

    def place(self, record_id: str) -> int | None:
        entry = self._entries.get(self._key(record_id))
        return None if entry is None else _place(entry)

    def get(self, record_id: str) -> RequestRecord | None:
        key = self._key(record_id)
        entry = self._entries.get(key)
        return None if entry is None else self._record(key, entry)

    def scan(self, after: int, before: int | None) -> cabc.Iterator[RequestRecord]:
        # Taken in portions, so that records can be built without holding the lock,
        # and no more of them are touched than somebody wants to have.
        most = _PORTION
        while True:
            found = self._newest(most, after, before)
            yield from itertools.starmap(self._record, found)
            if len(found) < most:
                return
            # Each walk begins at the newest: so all of them cost twice as much as one.
            most, before = most * 2, _place(found[-1][1])

    def _newest(
        self, most: int, after: int, before: int | None
    ) -> list[tuple[int | str, Packed | _Entry]]:
        with self._lock:
            while True:
                try:
                    return self._walk(most, after, before)
                except RuntimeError:
                    # A finalizer of an object that was freed here has put a record.
                    continue

    def _walk(
        self, most: int, after: int, before: int | None
    ) -> list[tuple[int | str, Packed | _Entry]]:
        found: list[tuple[int | str, Packed | _Entry]] = []
        for key in self._order:
            entry = self._entries.get(key)
            if entry is None:
                continue
            place = _place(entry)
            if place <= after or len(found) == most:
                break
            if before is None or place < before:
                found.append((key, entry))
        return found

    def _key(self, record_id: str) -> int | str:
        token, _, number = record_id.partition("-")
        if token == self.epoch and number.isdecimal():
            return int(number)
        return record_id

    def clear(self) -> None:
        with self._lock:
            self._latest += 1
            cleared, self._entries = self._entries, {}
            self._order.clear()
            self._evicted += len(cleared)

    def counters(self) -> StoreCounters:
        with self._lock:
            return StoreCounters(
                stored=self._stored,
                lost=0,
                unreadable=0,
                evicted=self._evicted,
                retained=len(self._entries),
            )

    def _record(self, key: int | str, entry: Packed | _Entry) -> RequestRecord:
        if not isinstance(entry, _Entry):
            record = self._builder.build(unpack(entry))
        elif entry.record is not None:
            return entry.record
        else:
            scope = t.cast(Scope, entry.scope)
            record = self._builder.build(scope)
            if not scope.closed:
                return record  # It may still grow.
        looked_at = _Entry(_place(entry), None, record)
        with self._lock:
            # It may have been replaced meanwhile, or have gone.
            if self._entries.get(key) is entry:
                self._entries[key] = looked_at
        return record


def _place(entry: Packed | _Entry) -> int:
    return entry.place if isinstance(entry, _Entry) else place_of(entry)
