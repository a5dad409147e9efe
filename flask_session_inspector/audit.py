"""Who holds a session, and whether that is safe.

Objects are looked at and never called: reading the wrong attribute can make a
session.
"""

from __future__ import annotations

import importlib.metadata
import re
import typing as t

from sqlalchemy.orm import Session
from sqlalchemy.orm import sessionmaker

from .masking import storable
from .records import Holder
from .registries import admin_views
from .registries import is_proxy
from .registries import proxy_of_extension
from .registries import synchronous

if t.TYPE_CHECKING:
    import flask

_DEPRECATED = (
    "Safe: it gives each request its own session. Flask-Admin asks for the"
    " SQLAlchemy extension object instead and will drop this in 3.0: pass db."
)
_PINNED = (
    "One session for the life of the application: every request that uses it"
    " shares its objects and its transaction. Pass db, or the scoped_session."
)
_UNKNOWN = "Neither a SQLAlchemy extension, a scoped_session nor a Session."


def holders(app: flask.Flask, watched: t.Mapping[str, t.Any]) -> list[Holder]:
    """List what holds a session, or a way to one.

    :param app: The application.
    :param watched: Further proxies by name.
    """
    extension = app.extensions.get("sqlalchemy")
    found = []
    if extension is not None:
        found.append(_judge('app.extensions["sqlalchemy"]', extension, extension))
    for name, proxy in watched.items():
        found.append(_judge(storable(f'watched registry "{name}"'), proxy, extension))
    for view in admin_views(app):
        held = getattr(view, "__dict__", {}).get("session")
        if held is not None:
            found.append(
                _judge(
                    storable(f'admin view "{view.endpoint}"'),
                    held,
                    extension,
                    by_admin=True,
                )
            )
    return found


def _judge(
    where: str, held: t.Any, extension: object, *, by_admin: bool = False
) -> Holder:
    if held is extension:
        proxy = proxy_of_extension(held)
        return Holder(where, "db", "ok", None if proxy is None else id(proxy), None, "")
    if is_proxy(held):
        if by_admin and _admin_prefers_db():
            return Holder(
                where, "scoped_session", "deprecated", id(held), None, _DEPRECATED
            )
        return Holder(where, "scoped_session", "ok", id(held), None, "")
    session = synchronous(held)
    if issubclass(type(session), Session):
        return Holder(where, "Session", "pinned", None, session.hash_key, _PINNED)
    if issubclass(type(held), sessionmaker):
        return Holder(where, "sessionmaker", "unknown", None, None, _UNKNOWN)
    if proxy_of_extension(held) is not None or hasattr(type(held), "get_session"):
        proxy = proxy_of_extension(held)
        return Holder(where, "db", "ok", None if proxy is None else id(proxy), None, "")
    return Holder(where, "other", "unknown", None, None, _UNKNOWN)


def _admin_prefers_db() -> bool:
    """Say whether the installed Flask-Admin warns about a ``scoped_session``.

    It does from 2.1 on.
    """
    try:
        version = importlib.metadata.version("flask-admin")
    except importlib.metadata.PackageNotFoundError:
        return False
    numbers = [int(number) for number in re.findall("[0-9]+", version)[:2]]
    return numbers >= [2, 1]
