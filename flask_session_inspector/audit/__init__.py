"""Who holds a session, and whether that is safe.

Objects are looked at and never called: reading the wrong attribute can make a
session, or load from the database. What is looked at is bounded (:mod:`.walk`),
so a very large application may have holders that are not told.
"""

from __future__ import annotations

import typing as t

from ..masking import storable
from ..records import Holder
from ..registries import is_proxy
from ..registries import proxy_of_extension
from .functions import held_by_extensions
from .functions import held_by_functions
from .judge import Told
from .kinds import held_kind
from .modules import held_by_modules
from .modules import named_proxies
from .referrers import kept_alive_by
from .views import held_by_views
from .walk import Walk

if t.TYPE_CHECKING:
    import flask

__all__ = ["holders", "kept_alive_by", "module_registries", "other_registries"]


def holders(
    app: flask.Flask,
    watched: t.Mapping[str, t.Any],
    only: t.Collection[str] | None = None,
) -> list[Holder]:
    """List what holds a session, or a way to one.

    In this order: the SQLAlchemy extension, the watched registries, admin views
    and what hangs on them, other extensions, the functions that the application
    registered, and its own modules. A session that is pinned is told in every
    place, and so is all that admin views hold; what else is safe is told once in
    each of these groups.

    No session is made and no SQL is sent. At most 20,000 objects are looked
    into, 2,000 of them in one place.

    :param app: The application.
    :param watched: Further proxies by name.
    :param only: Look only into the places in which these paths lie, as they were
        told before: that is much less.
    """
    extension = app.extensions.get("sqlalchemy")
    told = Told(extension)
    if extension is not None:
        told.tell('app.extensions["sqlalchemy"]', extension)
    for name, proxy in watched.items():
        told.begin_group()
        told.tell(storable(f'watched registry "{name}"'), proxy)
    walk = Walk(only)
    held_by_views(app, walk, told)
    for look in (held_by_extensions, held_by_functions, held_by_modules):
        told.begin_group()
        for where, held in look(app, walk):
            told.tell(where, held)
    return told.holders


def module_registries(app: flask.Flask) -> t.Iterator[tuple[str, t.Any]]:
    """Iterate over the proxies that are attributes of the application's modules.

    :return: Each one with its name, such as ``"shop.database.Session"``: that
        of the module which made it, as far as can be told from outside.
    """
    yield from named_proxies(app)


def other_registries(app: flask.Flask) -> t.Iterator[t.Any]:
    """Iterate over the proxies that only registered functions hold.

    A view that is defined inside ``create_app()`` holds those that it uses in its
    closure: they are known to exist, but have no name.
    """
    known = {id(proxy) for _, proxy in named_proxies(app)}
    known.add(id(proxy_of_extension(app.extensions.get("sqlalchemy"))))
    for _, held in held_by_functions(app, Walk()):
        if held_kind(held) == "db":
            held = proxy_of_extension(held)
        if is_proxy(held) and id(held) not in known:
            known.add(id(held))
            yield held
