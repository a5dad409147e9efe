"""The store in this process's memory."""

from __future__ import annotations

import collections.abc as cabc
import threading
from collections import OrderedDict

from ..builder import RecordBuilder
from ..process import process
from ..recorder import Scope
from ..records import RequestRecord
from .base import StoreCounters

# How many records are taken at first, where all may be wanted.
_PORTION = 100


class _Entry:
    """A retained scope, its place, and its record once somebody has looked."""

    __slots__ = ("place", "record", "scope")

    def __init__(self, place: int, scope: Scope) -> None:
        self.place = place
        self.scope = scope
        self.record: RequestRecord | None = None


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
        # In a plain dict the oldest is found behind the gaps of all that were evicted.
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._latest = 0
        self._stored = 0
        self._evicted = 0

    def after_fork(self) -> None:
        """Leave the parent's records, and its lock, to the parent."""
        self._begin()

    def put(self, scope: Scope, *, keep: bool = True, revive: bool = False) -> None:
        record_id = str(scope.id)
        # What leaves the ring is freed after the lock: that can run host code.
        replaced = evicted = None
        with self._lock:
            again = scope.handed_over
            scope.handed_over = True
            if not again:
                self._stored += 1
            absent = record_id not in self._entries
            if not keep or (again and absent and not revive):
                # Not wanted, or evicted before it went on.
                self._evicted += not again
                return
            self._evicted -= again and absent
            self._latest += 1
            replaced = self._entries.pop(record_id, None)
            self._entries[record_id] = _Entry(self._latest, scope)
            if len(self._entries) > self._capacity:
                evicted = self._entries.pop(next(iter(self._entries)), None)
                self._evicted += evicted is not None
        del replaced, evicted

    def latest(self) -> int:
        return self._latest

    def oldest(self) -> int:
        with self._lock:
            first = next(iter(self._entries.values()), None)
            return self._latest + 1 if first is None else first.place

    def place(self, record_id: str) -> int | None:
        entry = self._entries.get(record_id)
        return None if entry is None else entry.place

    def get(self, record_id: str) -> RequestRecord | None:
        entry = self._entries.get(record_id)
        return None if entry is None else self._record(entry)

    def scan(self, after: int, before: int | None) -> cabc.Iterator[RequestRecord]:
        # Taken in portions, so that records can be built without holding the lock,
        # and no more of them are touched than somebody wants to have.
        most = _PORTION
        while True:
            entries = self._newest(most, after, before)
            for entry in entries:
                yield self._record(entry)
            if len(entries) < most:
                return
            # Each walk begins at the newest: so all of them cost twice as much as one.
            most, before = most * 2, entries[-1].place

    def _newest(self, most: int, after: int, before: int | None) -> list[_Entry]:
        entries: list[_Entry] = []
        with self._lock:
            for entry in reversed(self._entries.values()):
                if entry.place <= after or len(entries) == most:
                    break
                if before is None or entry.place < before:
                    entries.append(entry)
        return entries

    def clear(self) -> None:
        with self._lock:
            self._latest += 1
            cleared, self._entries = self._entries, OrderedDict()
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

    def _record(self, entry: _Entry) -> RequestRecord:
        record = entry.record
        if record is None:
            record = self._builder.build(entry.scope)
            # While a stream or a copied context goes on, it may still grow.
            if entry.scope.closed:
                entry.record = record
        return record
