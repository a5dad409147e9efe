"""Shops for the browser, and the pages to look at in them."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import threading
import typing as t
from dataclasses import dataclass
from urllib.request import urlopen

import flask
import sqlalchemy as sa
from conftest import Post
from conftest import Shop
from conftest import User
from flask_admin import Admin
from flask_admin.contrib.sqla import ModelView
from flask_debugtoolbar import DebugToolbarExtension
from sqlalchemy.orm import Session

from flask_session_inspector import RequestRecord
from flask_session_inspector import request_recorded

SESSIONS = "/admin/sessions/"
HEALTHY = ("/", "/write", "/undo", "/plain", "/write")
TROUBLED = ("/", "/pinned", "/lost", "/pinned", "/none-found", "/many")

HTML = "<!doctype html><html lang=en><title>shop</title><body>shop</body></html>"


@dataclass(frozen=True)
class Served:
    """A shop with its address.

    :param shop: The shop.
    :param base: Such as ``"http://127.0.0.1:5000"``.
    """

    shop: Shop
    base: str

    def sessions(self, path: str = "") -> str:
        """Return the address of a page of ours, such as ``"findings"``."""
        return f"{self.base}{SESSIONS}{path}"

    def detail(self, path: str) -> str:
        """Return the address of the newest record of a path of the shop."""
        return self.sessions(f"requests/{self.record(path).id}")

    def record(self, path: str) -> RequestRecord:
        """Return the newest record of a path of the shop."""
        records = self.shop.inspection.requests()
        return next(each for each in records if each.path == path)


#: What a browser asks for besides would be records of their own.
CONFIG = {"SESSION_INSPECTOR_EXCLUDE": ("/favicon.ico", "/static/")}


def with_toolbar(shop: Shop) -> Shop:
    """Add the debug toolbar."""
    shop.app.config["DEBUG_TB_INTERCEPT_REDIRECTS"] = False
    DebugToolbarExtension(shop.app)
    return shop


def with_admin(shop: Shop, **options: t.Any) -> Shop:
    """Add the views of the shop, and an admin.

    :param options: For the admin.
    """
    shop.app.debug = True
    session = shop.db.session

    def front(anything: str = "") -> str:
        session.execute(sa.select(User)).all()
        return HTML

    def write() -> str:
        session.add(User(name="Ann"))
        session.commit()
        session.execute(sa.select(User)).all()
        return HTML

    def undo() -> str:
        session.add(User(name="Bob"))
        session.flush()
        session.rollback()
        return HTML

    def plain() -> str:
        return HTML

    shop.view(front)
    shop.view(write, "/write")
    shop.view(undo, "/undo")
    shop.view(plain, "/plain")
    shop.app.add_url_rule("/<path:anything>", "front", front)
    Admin(shop.app, **{"name": "Back office", **options})
    return shop


@contextlib.contextmanager
def troubled(shop: Shop) -> cabc.Iterator[None]:
    """Add faults to a shop: a pinned session, lost writes, a query in a loop."""
    with shop.app.app_context():
        pinned = Session(shop.db.engine)

    def use_pinned() -> str:
        pinned.execute(sa.select(User)).all()
        return HTML

    def lose() -> str:
        shop.db.session.add(User(name="Eve"))
        shop.db.session.flush()
        return HTML

    def none_found() -> t.NoReturn:
        flask.abort(404)

    def many() -> str:
        for number in range(30):
            found = sa.select(Post).where(
                Post.id == number, Post.title != "", Post.user_id == number
            )
            shop.db.session.execute(found).all()
        return HTML

    shop.view(use_pinned, "/pinned")
    shop.view(lose, "/lost")
    shop.view(none_found, "/none-found")
    shop.view(many, "/many")
    (admin,) = shop.app.extensions["admin"]
    view = ModelView(User, shop.db, name="Users")
    # Its constructor refuses a session where Flask-SQLAlchemy-Lite is installed.
    view.session = pinned
    admin.add_view(view)
    yield
    pinned.close()


def visited(served: Served, paths: cabc.Iterable[str]) -> Served:
    """Send real requests, each when the one before has its record; keep no others."""
    served.shop.inspection.clear()
    for path in paths:
        recorded = threading.Event()

        def note(sender: flask.Flask, record: RequestRecord) -> None:
            recorded.set()  # noqa: B023 # It is disconnected before the next one.

        with request_recorded.connected_to(note, sender=served.shop.app):
            # The answer to an error is one too.
            with contextlib.suppress(OSError), urlopen(served.base + path) as response:
                response.read()
            assert recorded.wait(30), path
    return served
