"""Which thread or greenlet is running."""

from __future__ import annotations

import sys
import typing as t
from threading import get_ident

getcurrent: t.Callable[[], object]
try:
    from greenlet import getcurrent  # type: ignore[import-untyped, no-redef] # has no types
except ImportError:  # SQLAlchemy needs it for asyncio only.
    getcurrent = get_ident


def worker() -> int:
    """Return a number that tells the running thread or greenlet from others.

    SQLAlchemy's asyncio bridge makes a greenlet for each call, which tells nothing:
    greenlets count only where gevent or eventlet switch between them.
    """
    if "gevent" in sys.modules or "eventlet" in sys.modules:
        return id(getcurrent())
    return get_ident()


def runner() -> object:
    """Return what runs this very call, a greenlet of any kind included."""
    return getcurrent()
