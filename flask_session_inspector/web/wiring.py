"""Puts the panel and the page where they belong, whenever their hosts come."""

from __future__ import annotations

import contextlib
import functools
import typing as t
import weakref

from werkzeug.routing import BuildError

from ..guard import guard
from .pages.panels import DETAIL_VIEW

if t.TYPE_CHECKING:
    import flask

    from ..inspection import Inspection

PUBLIC_PANEL = "flask_session_inspector.toolbar.SessionsPanel"


def guarded(
    where: str, wire: t.Callable[[flask.Flask], None]
) -> t.Callable[[flask.Flask], None]:
    """Keep what fails in one part from the parts that are wired after it.

    :param where: What the log says failed.
    :param wire: Joins a part of the application.
    """

    @functools.wraps(wire)
    def wire_guarded(app: flask.Flask) -> None:
        try:
            wire(app)
        except Exception:
            guard.report(where)

    return wire_guarded


def wirings(
    inspection: Inspection, admin: t.Any
) -> list[t.Callable[[flask.Flask], None]]:
    """Return what to try with each look around the application.

    :param admin: A :class:`flask_admin.Admin` that may not be initialised yet.
    """

    def add_page(app: flask.Flask) -> None:
        found = app.extensions.get("admin", ())
        admins = list(found) if isinstance(found, (list, tuple)) else []
        if admin is not None and admin not in admins:
            admins.append(admin)
        if admins:
            from .automatic_page import ensure_page  # Flask-Admin is there

            for each in admins:
                try:
                    ensure_page(inspection, each, app)
                except Exception:
                    guard.report("adding the page to Flask-Admin")

    return [
        guarded("adding the page to Flask-Admin", add_page),
        guarded("adding the panel to the debug toolbar", add_panel),
    ]


def addresses(inspection: Inspection, app: flask.Flask) -> t.Callable[[str], str]:
    """Return a function that tells the address of a record, for the log.

    It needs no app context. Where there is no page, it is the JSON's address.
    """
    reference = weakref.ref(app)

    def address_of(record_id: str) -> str:
        host = reference()
        if host is None:
            return record_id
        root = host.config["APPLICATION_ROOT"]
        adapter = host.url_map.bind("localhost", root)
        for name in sorted(inspection.own_blueprints):
            with contextlib.suppress(BuildError):
                return adapter.build(f"{name}.{DETAIL_VIEW}", {"record_id": record_id})
        with contextlib.suppress(BuildError):
            values = {"request_id": record_id}
            return adapter.build("session_inspector.request_detail", values)
        return record_id

    return address_of


def add_panel(app: flask.Flask) -> None:
    """Add the panel to the toolbar's, which are read at each request."""
    if "debugtoolbar" not in app.blueprints:
        return  # Not initialised yet, or disabled.
    panels = app.config.get("DEBUG_TB_PANELS")
    if panels is not None and PUBLIC_PANEL not in panels:
        # The list may be a constant that other applications share.
        more = [*panels, PUBLIC_PANEL]
        app.config["DEBUG_TB_PANELS"] = (
            more if isinstance(panels, list) else tuple(more)
        )
