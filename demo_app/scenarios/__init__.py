"""The gallery at ``/scenarios/``: every finding, made to happen.

Each module ``fsi...`` is one scenario: two small views, one with the fault and
one without. The gallery sends them real requests, so that the inspector records
them as it records the shop.
"""

from __future__ import annotations

from flask import Flask

from flask_session_inspector import SessionInspector

from . import pages
from .book import WATCHED
from .gallery import Gallery
from .late import add_teardown_functions

__all__ = ["add_scenarios"]

pages.add_steps()


def add_scenarios(app: Flask, inspector: SessionInspector) -> None:
    """Add the gallery; the database has been made, and the app is inspected."""
    for name, registry in WATCHED.items():
        inspector.watch(registry, name)
    add_teardown_functions(app)
    Gallery(app)
    app.register_blueprint(pages.blueprint)
