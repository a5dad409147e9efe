"""The store in this process's memory."""

from __future__ import annotations

import collections.abc as cabc
import threading

from ..builder import RecordBuilder
from ..process import process
from ..recorder import Scope
from ..records import RequestRecord
from .base import StoreCounters


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
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._latest = 0
        self._stored = 0
        self._evicted = 0

    def after_fork(self) -> None:
        """Leave the parent's records, and its lock, to the parent."""
        self._begin()

    def put(self, scope: Scope, *, keep: bool = True) -> None:
        record_id = str(scope.id)
        with self._lock:
            again = scope.handed_over
            scope.handed_over = True
            if not again:
                self._stored += 1
            if not keep or (again and record_id not in self._entries):
                # Not wanted, or evicted before it went on.
                self._evicted += not again
                return
            self._latest += 1
            self._entries.pop(record_id, None)
            self._entries[record_id] = _Entry(self._latest, scope)
            if len(self._entries) > self._capacity:
                del self._entries[next(iter(self._entries))]
                self._evicted += 1

    def latest(self) -> int:
        return self._latest

    def place(self, record_id: str) -> int | None:
        entry = self._entries.get(record_id)
        return None if entry is None else entry.place

    def get(self, record_id: str) -> RequestRecord | None:
        entry = self._entries.get(record_id)
        return None if entry is None else self._record(entry)

    def scan(self, after: int, before: int | None) -> cabc.Iterator[RequestRecord]:
        # Taken at once, so that records can be built without holding the lock.
        entries = []
        with self._lock:
            for entry in reversed(self._entries.values()):
                if entry.place <= after:
                    break
                if before is None or entry.place < before:
                    entries.append(entry)
        return map(self._record, entries)

    def clear(self) -> None:
        with self._lock:
            self._latest += 1
            self._evicted += len(self._entries)
            self._entries.clear()

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
