"""Where finished records are kept."""

from __future__ import annotations

from ..builder import RecordBuilder
from .base import Store
from .memory import MemoryStore

__all__ = ["MemoryStore", "Store", "open_store"]


def open_store(url: str, capacity: int, builder: RecordBuilder) -> Store:
    """Open the store that a URL names.

    :param url: ``SESSION_INSPECTOR_STORE``.
    :param capacity: How many records it retains.
    :param builder: Builds records from what is handed over.
    :raises ValueError: The scheme is unknown, or the URL says more than the
        scheme takes.
    """
    scheme, _, rest = url.partition("://")
    if scheme != "memory":
        raise ValueError(
            f"SESSION_INSPECTOR_STORE has the unknown scheme {scheme!r}; it takes"
            " 'memory://'."
        )
    if rest:
        raise ValueError(
            "SESSION_INSPECTOR_STORE must be just 'memory://': a memory store has"
            " no address."
        )
    return MemoryStore(capacity, builder)
