"""What a store in memory keeps, in the order of places."""

from __future__ import annotations

import bisect
import typing as t
from collections import deque

from ..recorder import Packed
from ..recorder import Scope
from ..recorder import name_of
from ..recorder import place_of
from ..records import RequestRecord

# So many places that nothing stands at any more are taken out together, at least.
_MOST_LEFT = 100

# The process that began a record, and its number there.
Name = tuple[str, int]


class Entry:
    """A record that is not, or need not be, packed.

    :ivar scope: While it goes on, as a streamed response does after the view.
    :ivar record: Once somebody has looked.
    """

    __slots__ = ("name", "place", "record", "scope")

    def __init__(
        self,
        place: int,
        name: Name,
        scope: Scope | None,
        record: RequestRecord | None = None,
    ) -> None:
        self.place = place
        self.name = name
        self.scope = scope
        self.record = record


Kept = Packed | Entry
# Where a record was that has moved, its place alone is left.
Slot = Kept | int


class Ring:
    """Records in the order of their places, the newest last.

    To append, and to take away the oldest, is all that a request has to wait for. Where
    a record with some name is, those find out who ask.

    :ivar slots: By their places, which grow.
    :ivar latest: The place of the newest one, also of one that is gone.
    """

    def __init__(self) -> None:
        self.slots: deque[Slot] = deque()
        self.latest = 0
        self._left = 0
        self._places: dict[Name, int] = {}
        # Up to where these are complete.
        self._known = 0

    def __len__(self) -> int:
        return len(self.slots) - self._left

    def find(self, name: Name) -> Kept | None:
        """Return a record by its name."""
        if self._known < self.latest:
            self._learn_places()
        place = self._places.get(name)
        index = len(self.slots) if place is None else self._index(place)
        if index == len(self.slots):
            return None
        found = self.slots[index]
        return None if isinstance(found, int) or name_in(found) != name else found

    def _learn_places(self) -> None:
        for slot in reversed(self.slots):
            if place_in(slot) <= self._known:
                break
            if not isinstance(slot, int):
                self._places[name_in(slot)] = place_in(slot)
        self._known = self.latest
        if len(self._places) > 2 * len(self.slots) + _MOST_LEFT:
            first = self.oldest()
            self._places = {
                name: place for name, place in self._places.items() if place >= first
            }

    def _index(self, place: int) -> int:
        return bisect.bisect_left(t.cast(t.Any, self.slots), place, key=place_in)

    def oldest(self) -> int:
        """Return the place of the oldest record; the next one if there is none."""
        places = (place_in(slot) for slot in self.slots if not isinstance(slot, int))
        return next(places, self.latest + 1)

    def walk(self, most: int, after: int, before: int | None) -> list[Kept]:
        """Return the newest records between two places, the newest first."""
        found: list[Kept] = []
        for slot in reversed(self.slots):
            place = place_in(slot)
            if place <= after or len(found) == most:
                break
            if not isinstance(slot, int) and (before is None or place < before):
                found.append(slot)
        return found

    def replace(self, kept: Kept, slot: Slot) -> None:
        """Put something else where a record is, if it still is there."""
        index = self._index(place_in(kept))
        if index < len(self.slots) and self.slots[index] is kept:
            self.slots[index] = slot

    def leave(self, kept: Kept) -> None:
        """Take a record from where it is."""
        self.replace(kept, place_in(kept))
        self._left += 1
        if self._left > len(self.slots) // 2 + _MOST_LEFT:
            # One that goes on for ever must not take ever more room.
            self.slots = deque(slot for slot in self.slots if not isinstance(slot, int))
            self._left = 0

    def drop_oldest(self) -> Slot:
        """Take out the oldest record and return it."""
        while True:
            oldest = self.slots.popleft()
            if not isinstance(oldest, int):
                return oldest
            self._left -= 1

    def clear(self) -> deque[Slot]:
        """Take out all of them and return them; places are not given again."""
        self.latest += 1
        cleared, self.slots = self.slots, deque()
        self._left = 0
        self._places.clear()
        return cleared


def place_in(slot: Slot) -> int:
    """Return the place of a record, or the one where it was."""
    if isinstance(slot, Entry):
        return slot.place
    return slot if isinstance(slot, int) else place_of(slot)


def name_in(kept: Kept) -> Name:
    """Return the name of a record."""
    return kept.name if isinstance(kept, Entry) else name_of(kept)
