"""One reference from an object to another."""

from __future__ import annotations

import types
import typing as t


class Step(t.NamedTuple):
    """A reference.

    :param path: What it adds to the path, such as ``.session`` or ``["key"]``.
    :param target: What is referenced.
    :param cost: How much of a walk's length it takes.
    """

    path: str
    target: t.Any
    cost: int = 1


_TYPES: tuple[type, ...] = (
    *(types.NoneType, bool, int, float, complex, str, bytes, bytearray),
    *(types.ModuleType, types.BuiltinFunctionType, types.CodeType),
)
# By id, since a metaclass can have a hash of its own.
_NOTHING = frozenset(map(id, _TYPES))


def is_nothing(candidate: object) -> bool:
    """Say whether an object references nothing of interest, by its type."""
    return id(type(candidate)) in _NOTHING
