from __future__ import annotations

import collections.abc as cabc
import contextlib
import gc
import os
import typing as t

import flask
import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column
from sqlalchemy.orm import relationship

from flask_session_inspector import Inspection
from flask_session_inspector import RequestRecord
from flask_session_inspector import SessionInspector
from flask_session_inspector.guard import guard


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(50))
    posts: Mapped[list[Post]] = relationship(back_populates="user")


class Post(Base):
    __tablename__ = "posts"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(sa.String(50))
    user_id: Mapped[int | None] = mapped_column(sa.ForeignKey("users.id"))
    user: Mapped[User | None] = relationship(back_populates="posts")


class Shop:
    """A small inspected application with a database of its own.

    :ivar app: The application.
    :ivar db: Its Flask-SQLAlchemy.
    :ivar inspector: The extension object.
    :ivar inspection: What it recorded.
    """

    def __init__(self, app: flask.Flask, **engine_options: t.Any) -> None:
        self.app = app
        self.db = SQLAlchemy(app, model_class=Base, engine_options=engine_options)
        self.inspector = SessionInspector(app)
        self.inspection: Inspection = app.extensions["session_inspector"]

    def create_tables(self) -> None:
        with self.app.app_context():
            self.db.create_all()
        self.inspection.clear()

    def view(self, function: t.Callable[..., t.Any], rule: str = "/") -> None:
        """Register a view under the name of its function."""
        self.app.add_url_rule(rule, function.__name__, function)

    def get(self, path: str = "/") -> RequestRecord:
        """Send a request and return its record."""
        self.app.test_client().get(path).close()
        return self.newest()

    def newest(self) -> RequestRecord:
        return self.inspection.requests(limit=1)[0]


def pytest_collection_finish() -> None:
    """Keep what pytest made of all tests out of each later collection.

    Every test ends with one, which took most of the time of all of them. What is frozen
    is in neither ``gc.get_objects()`` nor ``gc.get_referrers()``: a holder that a test
    is about is to be made by the test.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def make_app() -> cabc.Iterator[t.Callable[..., flask.Flask]]:
    """Make inspected-to-be applications; their engines are disposed at the end."""
    with making_apps() as make:
        yield make


@contextlib.contextmanager
def making_apps() -> cabc.Iterator[t.Callable[..., flask.Flask]]:
    """Do what the fixture ``make_app`` does, for one with a wider scope."""
    apps: list[flask.Flask] = []

    def make(**config: t.Any) -> flask.Flask:
        app = flask.Flask(__name__)
        app.config |= {
            "SECRET_KEY": "not a secret",
            "SESSION_INSPECTOR_ENABLED": True,
            "SESSION_INSPECTOR_STRICT": True,
            # A machine under load is no fault of the application's.
            "SESSION_INSPECTOR_IDLE_TRANSACTION_MS": 60_000,
            "SQLALCHEMY_DATABASE_URI": "sqlite://",
            **config,
        }
        apps.append(app)
        return app

    yield make
    for app in apps:
        _dispose(app)


@pytest.fixture
def make_shop(
    make_app: t.Callable[..., flask.Flask], tmp_path: t.Any
) -> t.Callable[..., Shop]:
    """Make shops on a database file, which several threads can use at once."""
    return shop_maker(make_app, tmp_path)


def shop_maker(
    make_app: t.Callable[..., flask.Flask], folder: t.Any
) -> t.Callable[..., Shop]:
    """Return a function that makes shops with their database file in a folder."""

    def make(engine_options: dict[str, t.Any] | None = None, **config: t.Any) -> Shop:
        config.setdefault("SQLALCHEMY_DATABASE_URI", f"sqlite:///{folder}/shop.db")
        shop = Shop(make_app(**config), **(engine_options or {}))
        shop.create_tables()
        return shop

    return make


@pytest.fixture
def shop(make_shop: t.Callable[..., Shop]) -> Shop:
    return make_shop()


@pytest.fixture(autouse=True)
def nothing_left_behind() -> cabc.Iterator[None]:
    """Fail a test that leaves an app context pushed, or an error of our own."""
    errors = guard.errors
    yield
    leaked = []
    while flask.has_app_context():
        context = flask.globals.app_ctx._get_current_object()
        leaked.append(context)
        context.pop()
    assert not leaked, f"The test left app contexts pushed: {leaked}"
    assert guard.errors == errors, "The inspector swallowed an error of its own."
    guard.strict = False


def _dispose(app: flask.Flask) -> None:
    extension = app.extensions.get("sqlalchemy")
    if "session_inspector" in app.extensions:
        SessionInspector().detach(app)
    if extension is None:
        return
    with app.app_context():
        for attribute in ("engines", "async_engines"):
            for engine in getattr(extension, attribute, {}).values():
                getattr(engine, "sync_engine", engine).dispose()
    gc.collect()


def missing(reason: str) -> t.NoReturn:
    """Skip a test for want of a service; fail it where CI promises the service."""
    if os.environ.get("SESSION_INSPECTOR_TESTS_REQUIRE_SERVICES"):
        pytest.fail(reason)
    pytest.skip(reason)
