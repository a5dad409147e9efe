"""One reference from an object to another."""

from __future__ import annotations

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
