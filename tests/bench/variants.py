"""One small application, and what can be added to it."""

from __future__ import annotations

import collections.abc as cabc
import importlib
import importlib.util
import typing as t

import flask
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

ROWS = 1000


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(50))


def make_app(variant: str, database: str, **config: t.Any) -> flask.Flask:
    """Make the application, with one thing added to it.

    :param variant: A key of :data:`VARIANTS`.
    :param database: The URL of a database that :func:`fill` has filled.
    :param config: What to configure otherwise.
    """
    app = flask.Flask(__name__)
    app.config |= {
        "SECRET_KEY": "bench",
        "SQLALCHEMY_DATABASE_URI": database,
        "SESSION_INSPECTOR_ENABLED": True,
        **config,
    }
    VARIANTS[variant].configure(app)
    db = SQLAlchemy(app, model_class=Base)

    @app.get("/none")
    def none() -> flask.Response:
        return _answer("nothing")

    @app.get("/one")
    def one() -> flask.Response:
        item = db.session.get(Item, 7)
        assert item is not None
        return _answer(item.name)

    @app.get("/many/<int:n>")
    def many(n: int) -> flask.Response:
        for number in range(1, n + 1):
            item = db.session.get(Item, number)
        assert item is not None
        return _answer(item.name)

    VARIANTS[variant].add(app, db)
    return app


def _answer(text: str) -> flask.Response:
    # The toolbar renders itself into HTML, which takes a hundred times as long as all
    # that is compared here.
    return flask.Response(text, mimetype="text/plain")


def fill(database: str) -> None:
    """Fill the database."""
    engine = sa.create_engine(database)
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    rows = [{"id": n, "name": f"item {n}"} for n in range(1, ROWS + 1)]
    with engine.begin() as connection:
        connection.execute(sa.insert(Item), rows)
    engine.dispose()


class Variant(t.NamedTuple):
    """Something that an application can have.

    :ivar title: What the tables call it.
    :ivar configure: Runs before the database extension is initialised.
    :ivar add: Runs after that.
    :ivar needs: The modules without which it cannot be had.
    """

    title: str
    configure: cabc.Callable[[flask.Flask], object] = lambda app: None
    add: cabc.Callable[[flask.Flask, SQLAlchemy], object] = lambda app, db: None
    needs: tuple[str, ...] = ()

    @property
    def is_there(self) -> bool:
        """Whether what it needs is installed."""
        try:
            return all(importlib.util.find_spec(name) for name in self.needs)
        except ModuleNotFoundError:  # Of a package that it is in.
            return False


def _inspect(app: flask.Flask, db: SQLAlchemy) -> None:
    from flask_session_inspector import SessionInspector

    SessionInspector(app)


def _use_toolbar(app: flask.Flask, db: SQLAlchemy) -> None:
    from flask_debugtoolbar import DebugToolbarExtension

    app.debug = True
    app.config["DEBUG_TB_PANELS"] = [
        "flask_debugtoolbar.panels.sqlalchemy.SQLAlchemyDebugPanel"
    ]
    DebugToolbarExtension(app)


def _trace(app: flask.Flask, db: SQLAlchemy) -> None:
    from opentelemetry.instrumentation.flask import FlaskInstrumentor
    from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
    from opentelemetry.sdk.trace import TracerProvider

    # Spans are made and ended, and go nowhere: what an exporter costs is not counted.
    provider = TracerProvider()
    instrumentor: t.Any = FlaskInstrumentor()
    instrumentor.instrument_app(app, tracer_provider=provider)
    with app.app_context():
        # It declares no SQLAlchemy after 2.0, but it works with 2.1.
        SQLAlchemyInstrumentor().instrument(
            engine=db.engine, tracer_provider=provider, skip_dep_check=True
        )


def import_all() -> None:
    """Import what any variant needs.

    Modules that are merely imported make a request take some percent longer: all else
    lies elsewhere in memory. That is no part of what one of them costs.
    """
    for variant in VARIANTS.values():
        if variant.is_there:
            for name in variant.needs:
                importlib.import_module(name)


def _listen(app: flask.Flask, db: SQLAlchemy) -> None:
    from .floor import Listening

    Listening(app)


def _note(app: flask.Flask, db: SQLAlchemy) -> None:
    from .floor import Noting

    Noting(app)


_OURS = ("flask_session_inspector",)

VARIANTS: dict[str, Variant] = {
    "bare": Variant("bare"),
    "control": Variant("bare again (A/A)"),
    "ours": Variant("Flask-Session-Inspector", add=_inspect, needs=_OURS),
    "no-locations": Variant(
        "… without locations",
        lambda app: app.config.update(SESSION_INSPECTOR_LOCATIONS=False),
        _inspect,
        _OURS,
    ),
    "disabled": Variant(
        "… disabled",
        lambda app: app.config.update(SESSION_INSPECTOR_ENABLED=False),
        _inspect,
        _OURS,
    ),
    "listening": Variant("listeners that do nothing", add=_listen),
    "noting": Variant("the least that could be noted", add=_note),
    "record-queries": Variant(
        "record_queries",
        lambda app: app.config.update(SQLALCHEMY_RECORD_QUERIES=True),
    ),
    "toolbar": Variant(
        "Flask-DebugToolbar, SQL panel",
        lambda app: app.config.update(SQLALCHEMY_RECORD_QUERIES=True),
        _use_toolbar,
        needs=("flask_debugtoolbar", "flask_debugtoolbar.panels.sqlalchemy"),
    ),
    "opentelemetry": Variant(
        "OpenTelemetry",
        add=_trace,
        needs=(
            "opentelemetry.instrumentation.flask",
            "opentelemetry.instrumentation.sqlalchemy",
            "opentelemetry.sdk.trace",
        ),
    ),
}
