"""A mapping from live objects, by identity, that does not keep them alive."""

from __future__ import annotations

import typing as t
import weakref

K = t.TypeVar("K")
V = t.TypeVar("V")


class WeakIdentityDict(t.Generic[K, V]):
    """Like :class:`weakref.WeakKeyDictionary`, for identity and for speed.

    A lookup is one ``dict.get`` and one comparison: it runs for every statement,
    where ``WeakKeyDictionary`` would make a reference object each time. An entry
    goes when its key is collected, before its ``id()`` can be used again.
    """

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[int, tuple[weakref.ref[K], V]] = {}

    def get(self, key: K) -> V | None:
        """Return the value of a key, or ``None``."""
        entry = self._entries.get(id(key))
        if entry is None or entry[0]() is not key:
            return None
        return entry[1]

    def set(self, key: K, value: V) -> None:
        """Set the value of a key for as long as the key lives."""
        number = id(key)
        entries = self._entries

        def forget(reference: weakref.ref[K]) -> None:
            # A callback may come late, when the number is in use again.
            entry = entries.get(number)
            if entry is not None and entry[0] is reference:
                del entries[number]

        entries[number] = (weakref.ref(key, forget), value)

    def discard(self, key: K) -> None:
        """Remove a key if it is there."""
        if self.get(key) is not None:
            self._entries.pop(id(key), None)

    def get_id(self, number: int) -> V | None:
        """Return the value of the live key with this ``id()``, or ``None``."""
        entry = self._entries.get(number)
        return None if entry is None else entry[1]

    def discard_id(self, number: int) -> None:
        """Remove the key with this ``id()`` if it is there."""
        self._entries.pop(number, None)

    def values(self) -> list[V]:
        """Return the values of the keys that live."""
        return [value for _, value in list(self._entries.values())]

    def clear(self) -> None:
        """Remove everything."""
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)
