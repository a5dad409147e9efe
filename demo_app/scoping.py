"""Three ways to give Flask-Admin its database session, as small applications."""

from __future__ import annotations

import collections.abc as cabc
import importlib.metadata
import importlib.util
import pathlib
import typing as t
import warnings
from dataclasses import dataclass

from flask import Flask
from flask_admin import Admin
from flask_admin.contrib.sqla import ModelView
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.engine import Engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import Session
from sqlalchemy.orm import mapped_column

from flask_session_inspector import SessionInspector

LIST_PAGE = "/admin/user/"


class Application(t.NamedTuple):
    """An application with one ``ModelView`` and three users to list."""

    app: Flask
    view: ModelView
    engine: Engine


@dataclass(frozen=True)
class Setup:
    """One of the ways.

    :param title: How the view is made, as code.
    :param remark: What to know about it; may be empty.
    :param build: Makes the application around a SQLite file.
    :param obstacle: Says in one sentence why it cannot be tried here, if so.
    """

    title: str
    remark: str
    build: cabc.Callable[[pathlib.Path], Application]
    obstacle: cabc.Callable[[], str | None]


def _flask_sqlalchemy(path: pathlib.Path, *, give_session: bool) -> Application:
    class Base(DeclarativeBase):
        pass

    app = _app(SQLALCHEMY_DATABASE_URI=f"sqlite:///{path}")
    db = SQLAlchemy(app, model_class=Base)

    class User(db.Model):  # type: ignore[name-defined]
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    SessionInspector(app)
    with app.app_context():
        engine = db.engine
    _add_users(engine, Base, User)
    with warnings.catch_warnings():
        # Flask-Admin advises to pass db instead; both ways are tried here.
        warnings.filterwarnings(
            "ignore", "Passing a session object directly", DeprecationWarning
        )
        view = ModelView(User, db.session if give_session else db)
    Admin(app).add_view(view)
    return Application(app, view, engine)


def _with_db(path: pathlib.Path) -> Application:
    return _flask_sqlalchemy(path, give_session=False)


def _with_session(path: pathlib.Path) -> Application:
    return _flask_sqlalchemy(path, give_session=True)


def _with_lite(path: pathlib.Path) -> Application:
    from flask_sqlalchemy_lite import SQLAlchemy as SQLAlchemyLite

    class Base(DeclarativeBase):
        pass

    class User(Base):
        __tablename__ = "user"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    app = _app(SQLALCHEMY_ENGINES={"default": f"sqlite:///{path}"})
    db = SQLAlchemyLite(app)
    SessionInspector(app)
    # Flask-Admin looks at db.session while the view is made and added, and that
    # is only there in an app context.
    with app.app_context():
        engine = db.engine
        _add_users(engine, Base, User)
        view = ModelView(User, db)
        Admin(app).add_view(view)
    return Application(app, view, engine)


def _app(**config: object) -> Flask:
    app = Flask("scoping")
    app.config.from_mapping({"DEBUG": True, "SECRET_KEY": "not a secret", **config})
    # A machine under load is no fault of the application's.
    app.config["SESSION_INSPECTOR_IDLE_TRANSACTION_MS"] = 60_000
    return app


def _add_users(engine: Engine, base: type[DeclarativeBase], user: t.Any) -> None:
    base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(user(name=name) for name in ("Ada", "Bela", "Chidi"))
        session.commit()


def _takes_db() -> str | None:
    version = importlib.metadata.version("flask-admin")
    if tuple(map(int, version.split(".")[:2])) < (2, 1):
        return f"Flask-Admin {version} takes only a session; 2.1 takes the db object."
    return None


def _has_lite() -> str | None:
    if importlib.util.find_spec("flask_sqlalchemy_lite") is None:
        return "Flask-SQLAlchemy-Lite is not installed."
    return _takes_db()


SETUPS = (
    Setup("ModelView(User, db)", "", _with_db, _takes_db),
    Setup(
        "ModelView(User, db.session)",
        "Flask-Admin warns that passing db.session is deprecated; left out here.",
        _with_session,
        lambda: None,
    ),
    Setup(
        "ModelView(User, db), db of Flask-SQLAlchemy-Lite",
        "It has no scoped_session: its db object finds the session of the context.",
        _with_lite,
        _has_lite,
    ),
)
