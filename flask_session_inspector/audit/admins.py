"""The Flask-Admins of an application, and their views."""

from __future__ import annotations

import typing as t

from .peek import elements
from .peek import instance_attributes
from .peek import packages

if t.TYPE_CHECKING:
    import flask

_MOST_VIEWS = 5_000


def admins_of(app: flask.Flask) -> list[object]:
    """Return the Flask-Admins; whatever else has that name is left out."""
    registered = elements(app.extensions.get("admin"))
    return [each for each in registered if "flask_admin" in packages(type(each))]


def views_of(admin: object) -> list[object]:
    """Return the views of a Flask-Admin."""
    return elements(instance_attributes(admin).get("_views"), _MOST_VIEWS)
