"""What is known of live objects, by identity, without keeping them alive."""

from __future__ import annotations

import itertools
import typing as t
import weakref

K = t.TypeVar("K")
V = t.TypeVar("V")

_names = itertools.count(1)


class WeakIdentityDict(t.Generic[K, V]):
    """Like :class:`weakref.WeakKeyDictionary`, for identity and for speed.

    A lookup is one ``dict.get`` and one comparison, where ``WeakKeyDictionary``
    would make a reference object each time. An entry goes when its key is
    collected, before its ``id()`` can be used again.
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

    def clear(self) -> None:
        """Remove everything."""
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)


class Attached(t.Generic[K, V]):
    """A value on the object itself that it belongs to, under a name of its own.

    For objects of Flask's and SQLAlchemy's that come and go with every request: an
    attribute costs less than an entry in a :class:`WeakIdentityDict`, and goes with
    its object. Not for sessions, whose classes are often the application's own: reading
    an attribute that is missing could run code of theirs.

    :param what: Is a part of the attribute's name.
    :ivar name: The attribute; hot paths read it themselves.
    """

    __slots__ = ("_others", "_what", "name")

    def __init__(self, what: str) -> None:
        self._what = what
        # Where an object takes no attributes.
        self._others: WeakIdentityDict[K, V] = WeakIdentityDict()
        self.clear()

    def get(self, key: K) -> V | None:
        """Return the value of an object, or ``None``."""
        value = getattr(key, self.name, None)
        if value is None and self._others:
            return self._others.get(key)
        return t.cast("V | None", value)

    def set(self, key: K, value: V) -> None:
        """Set the value of an object for as long as the object lives."""
        try:
            setattr(key, self.name, value)
        except AttributeError:
            self._others.set(key, value)

    def clear(self) -> None:
        """Forget every value; what objects still have is not read any more."""
        self.name = f"_session_inspector_{self._what}_{next(_names)}"
        self._others.clear()
