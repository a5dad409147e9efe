"""Puts the panel and the page where they belong, whenever their hosts come."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    import flask

    from ..inspection import Inspection

PUBLIC_PANEL = "flask_session_inspector.toolbar.SessionsPanel"


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
                ensure_page(inspection, each)

    return [add_page, add_panel]


def add_panel(app: flask.Flask) -> None:
    """Add the panel to the toolbar's, which are read at each request."""
    if "debugtoolbar" not in app.blueprints:
        return  # Not initialised yet, or disabled.
    panels = app.config.get("DEBUG_TB_PANELS")
    if panels is not None and PUBLIC_PANEL not in panels:
        app.config["DEBUG_TB_PANELS"] = (*panels, PUBLIC_PANEL)
