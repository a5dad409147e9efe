"""A small tea shop: what Flask-Session-Inspector looks at in its demonstration.

``python -m demo_app`` serves it. Flask-SQLAlchemy, Flask-Admin and
Flask-DebugToolbar are set up as in any application; the inspector is one line.
"""

from __future__ import annotations

import os
import typing as t

from flask import Flask
from flask_debugtoolbar import DebugToolbarExtension

from flask_session_inspector import SessionInspector

from . import shop
from .backoffice import add_admin
from .database import prepare
from .database import start_database
from .scenarios import add_scenarios

DEFAULT_DATABASE_URL = "sqlite:///demo.sqlite"


def create_app(config: dict[str, t.Any] | None = None) -> Flask:
    """Make the shop, with its tables and its goods.

    :param config: Overrides of the settings, such as ``DEBUG`` or
        ``SQLALCHEMY_DATABASE_URI``. The latter is otherwise taken from the
        environment variable ``DEMO_DATABASE_URL``; by default it is a SQLite
        file in the instance folder.
    :raises demo_app.database.DatabaseError: The database cannot be used.
    """
    app = Flask(__name__)
    app.config.from_mapping(
        DEBUG=True,
        # The shop is served to this machine only and has nobody to protect.
        SECRET_KEY="a key for the demo only",
        SESSION_COOKIE_NAME="demo_basket",
        SESSION_COOKIE_SAMESITE="Lax",
        SQLALCHEMY_DATABASE_URI=(
            os.environ.get("DEMO_DATABASE_URL") or DEFAULT_DATABASE_URL
        ),
        # The toolbar's own SQLAlchemy panel asks for it.
        SQLALCHEMY_RECORD_QUERIES=True,
        DEBUG_TB_INTERCEPT_REDIRECTS=False,
    )
    app.config.from_mapping(config or {})

    start_database(app)
    add_admin(app)
    app.register_blueprint(shop.blueprint)
    shop.register_error_pages(app)
    DebugToolbarExtension(app)
    inspector = SessionInspector(app)
    prepare(app)
    if app.config["SESSION_INSPECTOR_ENABLED"]:
        add_scenarios(app, inspector)
    return app
