"""Puts the panel and the page where they belong, whenever their hosts come."""

from __future__ import annotations

import functools
import typing as t

from ..guard import guard

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
        admins = list(app.extensions.get("admin", ()))
        if admin is not None and admin not in admins:
            admins.append(admin)
        if admins:
            from .admin import ensure_page  # Flask-Admin is there

            for each in admins:
                try:
                    ensure_page(inspection, each, app)
                except Exception:
                    guard.report("adding the page to Flask-Admin")

    return [
        guarded("adding the page to Flask-Admin", add_page),
        guarded("adding the panel to the debug toolbar", add_panel),
    ]


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
