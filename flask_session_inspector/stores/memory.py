"""The store in this process's memory."""

from __future__ import annotations

import bisect
import collections.abc as cabc
import threading
import typing as t
from collections import deque

from ..builder import RecordBuilder
from ..process import process
from ..recorder import Packed
from ..recorder import Scope
from ..recorder import name_of
from ..recorder import pack
from ..recorder import place_of
from ..recorder import unpack
from ..records import RequestRecord
from .base import StoreCounters

# How many records are taken at first, where all may be wanted.
_PORTION = 100
# So many places that nothing stands at any more are taken out together, at least.
_MOST_LEFT = 100

T = t.TypeVar("T")

# The process that began a record, and its number there.
_Name = tuple[str, int]


class _Entry:
    """A record that is not, or need not be, packed.

    :ivar scope: While it goes on, as a streamed response does after the view.
    :ivar record: Once somebody has looked.
    """

    __slots__ = ("name", "place", "record", "scope")

    def __init__(
        self,
        place: int,
        name: _Name,
        scope: Scope | None,
        record: RequestRecord | None = None,
    ) -> None:
        self.place = place
        self.name = name
        self.scope = scope
        self.record = record


_Kept = Packed | _Entry
# Where a record was that has moved, its place alone is left.
_Slot = _Kept | int


class MemoryStore:
    """A ring in memory. Every process has its own, and a fork begins empty.

    A request that ends appends its record, and takes away the oldest one: no more than
    that. Where a record is, those find out who ask for it by its id.

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
        # By their places, which grow.
        self._slots: deque[_Slot] = deque()
        self._left = 0
        self._places: dict[_Name, int] = {}
        # Up to where these are complete.
        self._known = 0
        self._latest = 0
        self._stored = 0
        self._evicted = 0

    def after_fork(self) -> None:
        """Leave the parent's records, and its lock, to the parent."""
        self._begin()

    def put(self, scope: Scope, *, keep: bool = True, revive: bool = False) -> None:
        # What leaves the ring is freed after the lock: that can run host code.
        before = oldest = None
        with self._lock:
            again = scope.handed_over
            while True:
                if again:
                    before = self._find(_name_of(scope))
                if not keep or (again and before is None and not revive):
                    # Not wanted, or evicted before it went on.
                    scope.handed_over = True
                    self._stored += not again
                    self._evicted += not again
                    return
                place = self._latest + 1
                if scope.frames or scope.stopped is None:
                    kept: _Kept = _Entry(place, _name_of(scope), scope)
                else:
                    kept = pack(scope, place)
                # Unless the finalizer of an object that was freed meanwhile has put
                # a record. Whatever else was raised, a timeout too, nothing changed.
                if self._latest < place:
                    break
            scope.handed_over = True
            self._latest = place
            self._slots.append(kept)
            if not again:
                self._stored += 1
            elif before is None:
                self._evicted -= 1
            else:
                self._leave(before)
            while len(self._slots) - self._left > self._capacity:
                oldest = self._slots.popleft()
                if isinstance(oldest, int):
                    self._left -= 1
                else:
                    self._evicted += 1
        del before, oldest

    def _leave(self, kept: _Kept) -> None:
        """Take a record from where it is."""
        if not self._replace(kept, _place(kept)):
            return
        self._left += 1
        if self._left > len(self._slots) // 2 + _MOST_LEFT:
            # One that goes on for ever must not take ever more room.
            slots: deque[_Slot] = self._undisturbed(
                lambda: deque(each for each in self._slots if not isinstance(each, int))
            )
            self._slots, self._left = slots, 0

    def _replace(self, kept: _Kept, slot: _Slot) -> bool:
        """Put something else where a record is, if it still is there."""
        index = self._index(_place(kept))
        is_there = index < len(self._slots) and self._slots[index] is kept
        if is_there:
            self._slots[index] = slot
        return is_there

    def _index(self, place: int) -> int:
        return bisect.bisect_left(t.cast(t.Any, self._slots), place, key=_place)

    def _undisturbed(self, walk: t.Callable[[], T]) -> T:
        """Walk over the records, once more where one was put meanwhile.

        That a finalizer of an object can do, which is freed here.
        """
        while True:
            latest = self._latest
            try:
                found = walk()
            except RuntimeError:
                continue
            if latest == self._latest:
                return found

    def _find(self, name: _Name) -> _Kept | None:
        """Return a record by its name, with the lock held."""
        if self._known < self._latest:
            self._undisturbed(self._learn_places)
        place = self._places.get(name)
        index = len(self._slots) if place is None else self._index(place)
        if index == len(self._slots):
            return None
        found = self._slots[index]
        return None if isinstance(found, int) or _name(found) != name else found

    def _learn_places(self) -> None:
        latest, places = self._latest, self._places
        for slot in reversed(self._slots):
            if _place(slot) <= self._known:
                break
            if not isinstance(slot, int):
                places[_name(slot)] = _place(slot)
        if len(places) > 2 * len(self._slots) + _MOST_LEFT:
            first = self.oldest()
            places = {name: place for name, place in places.items() if place >= first}
            self._places = places
        self._known = latest

    def go_on(self, scope: Scope) -> None:
        name = _name_of(scope)
        with self._lock:
            kept = self._find(name)
            if kept is not None:
                self._replace(kept, _Entry(_place(kept), name, scope))

    def latest(self) -> int:
        return self._latest

    def oldest(self) -> int:
        with self._lock:
            return self._undisturbed(
                lambda: next(
                    (_place(each) for each in self._slots if not isinstance(each, int)),
                    self._latest + 1,
                )
            )

    def place(self, record_id: str) -> int | None:
        with self._lock:
            kept = self._find(_name_in(record_id))
            return None if kept is None else _place(kept)

    def get(self, record_id: str) -> RequestRecord | None:
        with self._lock:
            kept = self._find(_name_in(record_id))
        return None if kept is None else self._record(kept)

    def scan(self, after: int, before: int | None) -> cabc.Iterator[RequestRecord]:
        # Taken in portions, so that records can be built without holding the lock,
        # and no more of them are touched than somebody wants to have.
        most = _PORTION
        while True:
            found = self._newest(most, after, before)
            yield from map(self._record, found)
            if len(found) < most:
                return
            # Each walk begins at the newest: so all of them cost twice as much as one.
            most, before = most * 2, _place(found[-1])

    def _newest(self, most: int, after: int, before: int | None) -> list[_Kept]:
        with self._lock:
            return self._undisturbed(lambda: self._walk(most, after, before))

    def _walk(self, most: int, after: int, before: int | None) -> list[_Kept]:
        found: list[_Kept] = []
        for slot in reversed(self._slots):
            place = _place(slot)
            if place <= after or len(found) == most:
                break
            if not isinstance(slot, int) and (before is None or place < before):
                found.append(slot)
        return found

    def clear(self) -> None:
        with self._lock:
            self._latest += 1
            self._evicted += len(self._slots) - self._left
            cleared, self._slots = self._slots, deque()
            self._left = 0
            self._places.clear()
        del cleared

    def counters(self) -> StoreCounters:
        with self._lock:
            return StoreCounters(
                stored=self._stored,
                lost=0,
                unreadable=0,
                evicted=self._evicted,
                retained=len(self._slots) - self._left,
            )

    def _record(self, kept: _Kept) -> RequestRecord:
        if not isinstance(kept, _Entry):
            record = self._builder.build(unpack(kept))
        elif kept.record is not None:
            return kept.record
        else:
            scope = t.cast(Scope, kept.scope)
            record = self._builder.build(scope)
            if not scope.closed:
                return record  # It may still grow.
        looked_at = _Entry(_place(kept), _name(kept), None, record)
        with self._lock:
            # It may have been replaced meanwhile, or have gone.
            self._replace(kept, looked_at)
        return record


def _place(slot: _Slot) -> int:
    if isinstance(slot, _Entry):
        return slot.place
    return slot if isinstance(slot, int) else place_of(slot)


def _name(kept: _Kept) -> _Name:
    return kept.name if isinstance(kept, _Entry) else name_of(kept)


def _name_of(scope: Scope) -> _Name:
    return (scope.origin.token, scope.number)


def _name_in(record_id: str) -> _Name:
    token, _, number = record_id.partition("-")
    # No record has the number 0, or one of so many digits.
    is_number = len(number) < 20 and number.isascii() and number.isdigit()
    return (token, int(number) if is_number else 0)
