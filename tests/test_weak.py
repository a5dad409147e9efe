from __future__ import annotations

import gc
import weakref

import pytest

from flask_session_inspector.weak import Attached
from flask_session_inspector.weak import WeakIdentityDict


class Key:
    """Equal to every other one, which must not matter."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key)

    __hash__ = None  # type: ignore[assignment]


def test_a_key_is_found_by_identity() -> None:
    mapping: WeakIdentityDict[Key, str] = WeakIdentityDict()
    one, two = Key(), Key()
    mapping.set(one, "one")

    assert mapping.get(one) == "one"
    assert mapping.get(two) is None


def test_a_value_is_replaced() -> None:
    mapping: WeakIdentityDict[Key, str] = WeakIdentityDict()
    key = Key()
    mapping.set(key, "old")
    mapping.set(key, "new")

    assert mapping.get(key) == "new"
    assert len(mapping) == 1


def test_an_entry_goes_with_its_key() -> None:
    mapping: WeakIdentityDict[Key, str] = WeakIdentityDict()
    key = Key()
    mapping.set(key, "old")
    mapping.set(key, "new")
    del key
    gc.collect()

    assert len(mapping) == 0


def test_a_number_that_is_used_again() -> None:
    mapping: WeakIdentityDict[Key, int] = WeakIdentityDict()
    numbers = set()
    for index in range(1000):
        key = Key()
        numbers.add(id(key))
        assert mapping.get(key) is None, "the entry of an earlier key"
        mapping.set(key, index)
        assert mapping.get(key) == index
    assert len(numbers) < 1000, "CPython did use a number again"
    assert len(mapping) == 1


def test_a_late_callback_of_an_earlier_key() -> None:
    # In a cycle, a key is cleared before its callback runs; by then its number
    # may belong to another one.
    mapping: WeakIdentityDict[Key, str] = WeakIdentityDict()
    old, new = Key(), Key()
    mapping.set(old, "old")
    reference, _ = mapping._entries[id(old)]
    mapping.set(new, "new")
    mapping._entries[id(old)] = mapping._entries[id(new)]
    assert reference.__callback__ is not None
    reference.__callback__(reference)

    assert mapping._entries[id(old)][1] == "new"


def test_clearing() -> None:
    mapping: WeakIdentityDict[Key, str] = WeakIdentityDict()
    key = Key()
    mapping.set(key, "value")
    mapping.clear()

    assert mapping.get(key) is None
    del key
    gc.collect()
    assert len(mapping) == 0


class Slotted:
    """Takes no attributes."""

    __slots__ = ("__weakref__",)


@pytest.mark.parametrize("make", [Key, Slotted])
def test_a_value_is_attached(make: type[Key] | type[Slotted]) -> None:
    values: Attached[object, str] = Attached("test")
    others: Attached[object, str] = Attached("test")
    one, two = make(), make()
    values.set(one, "old")
    values.set(one, "new")

    assert values.get(one) == "new"
    assert values.get(two) is None
    assert others.get(one) is None
    values.clear()
    assert values.get(one) is None
    values.set(one, "newer")
    assert values.get(one) == "newer"


@pytest.mark.parametrize("make", [Key, Slotted])
def test_an_object_with_a_value_is_not_kept_alive(
    make: type[Key] | type[Slotted],
) -> None:
    values: Attached[object, str] = Attached("test")
    key = make()
    reference = weakref.ref(key)
    values.set(key, "value")
    del key

    assert reference() is None
