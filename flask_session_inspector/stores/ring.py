"""The order of what a store in memory keeps."""

from __future__ import annotations

import collections.abc as cabc
import typing as t
from collections import deque

K = t.TypeVar("K", bound=cabc.Hashable)

# Places that nothing stands at any more are taken out together.
_MOST_STALE = 100


class Ring(t.Generic[K]):
    """Keys in the order in which they were added, the newest last.

    To add, to move to the end and to take the oldest cost the same however many there
    are. A dictionary keeps an order, too, but looks for its first key at all places
    that were ever taken.
    """

    def __init__(self) -> None:
        self._keys: deque[K] = deque()
        # How often a key stands further ahead than where it is.
        self._stale: dict[K, int] = {}
        self._stale_places = 0

    def add(self, key: K) -> None:
        """Add a key at the end."""
        self._keys.append(key)

    def move_to_end(self, key: K) -> None:
        """Make a key that is there the newest one."""
        self._keys.append(key)
        self._stale[key] = self._stale.get(key, 0) + 1
        self._stale_places += 1
        if self._stale_places > len(self._keys) // 2 + _MOST_STALE:
            kept = list(self)
            self.clear()
            self._keys.extend(reversed(kept))

    def oldest(self) -> K | None:
        """Return the oldest key, ``None`` if there is none."""
        keys, stale = self._keys, self._stale
        while keys and stale and keys[0] in stale:
            key = keys.popleft()
            self._stale_places -= 1
            stale[key] -= 1
            if not stale[key]:
                del stale[key]
        return keys[0] if keys else None

    def drop_oldest(self) -> K | None:
        """Take out the oldest key and return it."""
        if not self._stale:
            return self._keys.popleft() if self._keys else None
        return None if self.oldest() is None else self._keys.popleft()

    def clear(self) -> None:
        """Take out all of them."""
        self._keys.clear()
        self._stale.clear()
        self._stale_places = 0

    def __iter__(self) -> cabc.Iterator[K]:
        """Iterate over the keys, the newest first."""
        if not self._stale:
            yield from reversed(self._keys)
            return
        seen = set()
        for key in reversed(self._keys):
            if key in self._stale:
                if key in seen:
                    continue
                seen.add(key)
            yield key
