"""The verdicts of the audit, and all that it says about what to do."""

from __future__ import annotations

import importlib.metadata
import re
import typing as t

from ..masking import storable
from ..records import Holder
from ..registries import is_proxy
from ..registries import proxy_of_extension
from ..registries import synchronous
from .kinds import held_kind
from .peek import instance_attributes

Place = t.Literal["", "view", "inherited", "form", "loader", "Unique"]

_DEPRECATED = (
    "Safe: it gives each request its own session. Flask-Admin asks for the"
    " SQLAlchemy extension object instead and will drop this in 3.0: pass db."
)
_PINNED = (
    "One session for the life of the application: every request that uses it"
    " shares its objects and its transaction."
)
_WHAT_TO_DO: dict[Place, str] = {
    "": "Keep db, a scoped_session or a sessionmaker here, and take the session"
    " from it each time that one is needed.",
    "view": "Pass db, or the scoped_session.",
    "inherited": "It comes from the view: pass db, or the scoped_session, to that.",
    "form": "Take the session from db.session, or a scoped_session, inside the"
    " function, each time that it is called.",
    "loader": "Give the loader db, or the scoped_session.",
    "Unique": "Give the validator db, or the scoped_session.",
}
_UPGRADE = (
    "Flask-Admin before 2.2.1 gives it the session of the moment in which it makes"
    " the form: upgrade it."
)
_UNKNOWN = "Neither a SQLAlchemy extension, a scoped_session nor a Session."
_FACTORY = (
    "A factory is not a session: Flask-Admin calls query() on it, which fails with"
    " an AttributeError. Pass db, or a scoped_session made of the factory."
)


class Told:
    """Collects the holders, each one once.

    :param extension: ``app.extensions["sqlalchemy"]``.
    :ivar holders: Those told so far.
    """

    def __init__(self, extension: object) -> None:
        self.holders: list[Holder] = []
        self._extension = extension
        self._places: set[tuple[str, int]] = set()
        self._safe: set[int] = set()

    def begin_group(self) -> None:
        """Begin a group of places; in each, what is safe is told once."""
        self._safe = set()

    def tell(
        self, where: str, held: object, place: Place = "", *, each: bool = False
    ) -> None:
        """Add a holder, unless it was told.

        :param where: The path to what is held.
        :param place: What kind of place that is.
        :param each: Tell what is safe in each place, not once in the group.
        """
        if not each and is_safe(held):
            if id(held) in self._safe:
                return
            self._safe.add(id(held))
        if (where, id(held)) not in self._places:
            self._places.add((where, id(held)))
            self.holders.append(_judge(storable(where), held, self._extension, place))


def is_safe(held: object) -> bool:
    """Say whether what is held is no session but a way to one."""
    return held_kind(held) not in (None, "Session")


def _judge(where: str, held: t.Any, extension: object, place: Place) -> Holder:
    kind = held_kind(held)
    if kind == "Session":
        serial = instance_attributes(synchronous(held)).get("hash_key")
        hint = f"{_PINNED} {_what_to_do(place)}"
        return Holder(where, "Session", "pinned", None, serial, hint)
    if is_proxy(held):
        if place == "view" and admin_version() >= (2, 1):
            return Holder(
                where, "scoped_session", "deprecated", id(held), None, _DEPRECATED
            )
        return Holder(where, "scoped_session", "ok", id(held), None, "")
    if kind == "db" or held is extension:
        proxy = proxy_of_extension(held)
        return Holder(where, "db", "ok", None if proxy is None else id(proxy), None, "")
    if kind == "sessionmaker":
        if place == "view":
            return Holder(where, "sessionmaker", "unknown", None, None, _FACTORY)
        return Holder(where, "sessionmaker", "ok", None, None, "")
    return Holder(where, "other", "unknown", None, None, _UNKNOWN)


def _what_to_do(place: Place) -> str:
    if place == "Unique" and (2, 1) <= admin_version() < (2, 2, 1):
        return f"{_WHAT_TO_DO[place]} {_UPGRADE}"
    return _WHAT_TO_DO[place]


def admin_version() -> tuple[int, ...]:
    """Return the version of the installed Flask-Admin, ``()`` if there is none.

    It warns about a ``scoped_session`` from 2.1 on.
    """
    try:
        version = importlib.metadata.version("flask-admin")
    except importlib.metadata.PackageNotFoundError:
        return ()
    return tuple(int(number) for number in re.findall("[0-9]+", version)[:3])
