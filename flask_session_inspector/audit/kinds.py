"""What an object is, where sessions are concerned."""

from __future__ import annotations

import sys

from sqlalchemy.orm import Session
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import sessionmaker

from ..records import HolderKind
from .peek import loaded

_ASYNCIO = "sqlalchemy.ext.asyncio"


def _types(kind: HolderKind) -> tuple[type, ...]:
    modules = sys.modules
    wanted: dict[HolderKind, tuple[type | None, ...]] = {
        "Session": (Session, loaded(modules, _ASYNCIO, "AsyncSession")),
        "scoped_session": (
            scoped_session,
            loaded(modules, _ASYNCIO, "async_scoped_session"),
        ),
        "sessionmaker": (sessionmaker, loaded(modules, _ASYNCIO, "async_sessionmaker")),
        "db": (
            loaded(modules, "flask_sqlalchemy", "SQLAlchemy"),
            loaded(modules, "flask_sqlalchemy_lite", "SQLAlchemy"),
        ),
    }
    return tuple(each for each in wanted[kind] if each is not None)


_KINDS: tuple[HolderKind, ...] = ("Session", "scoped_session", "sessionmaker", "db")


def held_types() -> tuple[type, ...]:
    """Return the types of sessions and of what gives sessions."""
    return tuple(each for kind in _KINDS for each in _types(kind))


def held_kind(candidate: object) -> HolderKind | None:
    """Say what an object is, by its type; ``None`` if nothing of interest."""
    for kind in _KINDS:
        if issubclass(type(candidate), _types(kind)):
            return kind
    return None
