"""Prints the pages of an inspected shop that uses Flask-Babel, as JSON.

It is a process of its own: where Flask-Babel can be imported, Flask-Admin needs every
application to initialise it. Arguments: a folder for the database, and one with
catalogues; without that, the shop does not use Flask-Babel.
"""

from __future__ import annotations

import json
import logging
import pathlib
import sys
import time
import typing as t

import flask
import sqlalchemy as sa
from flask_admin import Admin
from flask_admin.contrib.sqla import ModelView
from flask_debugtoolbar import DebugToolbarExtension
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import Session
from sqlalchemy.orm import mapped_column
from sqlalchemy.orm import relationship
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import sessionmaker

from flask_session_inspector import Inspection
from flask_session_inspector import SessionInspector

LIST = "/admin/sessions/"

folder = pathlib.Path(sys.argv[1])
catalogues = sys.argv[2] if len(sys.argv) > 2 else None

app = flask.Flask("shop")
app.config |= {
    "SECRET_KEY": "not a secret",
    "SQLALCHEMY_DATABASE_URI": f"sqlite:///{folder}/shop.db",
    "SESSION_INSPECTOR_ENABLED": True,
    "SESSION_INSPECTOR_STRICT": True,
    "SESSION_INSPECTOR_IDLE_TRANSACTION_MS": 60_000,
    "SESSION_INSPECTOR_IGNORE_FINDINGS": ["FSI402"],
}
app.debug = True
selected: list[str] = []


def select_locale() -> str:
    """Choose the language, and note for which page that was asked."""
    selected.append(flask.request.path)
    return flask.request.headers.get("Accept-Language", "en")


class Base(DeclarativeBase):
    pass


class Shelf(Base):
    __tablename__ = "shelf"
    id: Mapped[int] = mapped_column(primary_key=True)
    goods: Mapped[list[Goods]] = relationship()


class Goods(Base):
    __tablename__ = "goods"
    id: Mapped[int] = mapped_column(primary_key=True)
    shelf_id: Mapped[int] = mapped_column(sa.ForeignKey("shelf.id"))


if catalogues is not None:
    import flask_babel

    flask_babel.Babel(app, locale_selector=select_locale)
db = SQLAlchemy(app, model_class=Base)
inspector = SessionInspector(app)
inspection: Inspection = app.extensions["session_inspector"]
engine = sa.create_engine(f"sqlite:///{folder}/shop.db")
registry = scoped_session(sessionmaker(engine))
inspector.watch(registry, name="spare")
admin = Admin(app, name="Shop", translations_path=catalogues)
admin.add_view(ModelView(Shelf, db, name="Shelves"))
DebugToolbarExtension(app)
kept: list[Session] = []


def page(text: str) -> str:
    return f"<html><body>{text}</body></html>"


@app.get("/read")
def read() -> str:
    db.session.scalars(sa.select(Goods)).all()
    return page("read")


@app.get("/translated")
def translated() -> str:
    db.session.execute(sa.text("SELECT 1"))
    if catalogues is not None:
        flask_babel.gettext("A text of the shop's own")
    return page("translated")


@app.get("/write")
def write() -> str:
    db.session.add(Shelf())
    db.session.commit()
    db.session.add(Shelf())
    db.session.flush()
    db.session.rollback()
    return page("written")


@app.get("/lose")
def lose() -> str:
    db.session.add(Shelf())
    db.session.flush()
    return page("lost")


@app.get("/shared")
def shared() -> str:
    kept[0].scalars(sa.select(Shelf)).all()
    return page("shared")


@app.get("/nested")
def nested() -> str:
    db.session.execute(sa.text("SELECT 1"))
    with app.app_context():
        db.session.execute(sa.text("SELECT 2"))
    with Session(engine) as raw:
        raw.execute(sa.text("SELECT 3"))
    return page("nested")


@app.get("/slow")
def slow() -> str:
    db.session.execute(sa.text("SELECT 1"))
    time.sleep(0.05)
    db.session.execute(sa.text("SELECT 2"))
    return page("slow")


@app.get("/lazy")
def lazy() -> str:
    for shelf in db.session.scalars(sa.select(Shelf)):
        assert shelf.goods is not None
    return page("lazy")


@app.get("/bare")
def bare() -> str:
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
    return page("bare")


@app.get("/unused")
def unused() -> str:
    db.session()
    return page("unused")


@app.get("/nothing")
def nothing() -> str:
    return page("nothing")


@app.get("/away")
def away() -> t.Any:
    return flask.redirect("/read")


@app.get("/broken")
def broken() -> str:
    db.session.execute(sa.text("SELECT 1"))
    raise LookupError("broken")


@app.cli.command("tidy")
def tidy() -> None:
    db.session.execute(sa.text("SELECT 1"))


def main() -> None:
    with app.app_context():
        db.create_all()
        db.session.add_all([Shelf() for _ in range(12)])
        db.session.commit()
        db.session.remove()
    inspection.clear()
    app.config["PROPAGATE_EXCEPTIONS"] = False
    # The log is about translations, not about what is wrong with the shop.
    app.logger.disabled = True
    handler = logging.StreamHandler()
    handler.addFilter(lambda line: line.module == "translating")
    logging.getLogger("flask_session_inspector").addHandler(handler)
    client = app.test_client()
    pages: dict[str, tuple[int, str]] = {}

    def get(name: str, path: str, **options: t.Any) -> str:
        headers = {"Accept-Language": "eo", **options.pop("headers", {})}
        response = client.get(path, headers=headers, **options)
        pages[name] = response.status_code, response.text
        return response.text

    get("panel", "/translated")
    get("panel of a page without a language", "/read")
    get("fragment", f"/_session_inspector/panel/{inspection.requests(1)[0].id}")
    inspection.clear()
    get("empty", LIST)
    get("no findings", f"{LIST}findings")
    for path in ("/read", "/write"):
        client.get(path)
    get("healthy", LIST)
    get("English", LIST, headers={"Accept-Language": "en"})
    cursor = inspection.cursor
    # What is healthy may be slow here; from now on, nothing has to be healthy.
    object.__setattr__(inspection.config, "idle_transaction_ms", 5)
    kept.append(Session(engine))
    app.extensions["cache"] = kept[0]
    for path in (
        *("/shared", "/shared", "/lose", "/nested", "/slow", "/lazy"),
        *("/bare", "/unused", "/nothing", "/away", "/broken"),
    ):
        client.get(path)
    app.test_cli_runner().invoke(args=["tidy"])
    app.debug = True  # A command reads it from the environment.
    with app.app_context():
        db.session.execute(sa.text("SELECT 1"))
    get("trouble", LIST)
    get("several workers", LIST, environ_overrides={"wsgi.multiprocess": True})
    get("new to an open page", f"{LIST}?since={cursor}")
    get("filtered", f"{LIST}?path=/nowhere&status=5xx&session=S9999&finding=any")
    get("older", f"{LIST}?limit=2")
    oldest = inspection.requests()[-1].id
    get("nothing older", f"{LIST}?before={oldest}")
    get("bad limit", f"{LIST}?limit=none")
    get("bad filter", f"{LIST}?status=bad")
    get("findings", f"{LIST}findings")
    get("audit", f"{LIST}audit")
    get("kept alive", f"{LIST}audit?session={kept[0].hash_key}")
    get("never there", f"{LIST}audit?session=999999")
    get("bad session", f"{LIST}audit?session=bad")
    get("missing", f"{LIST}requests/0-0")
    for record in inspection.requests():
        name = f"{record.kind} {record.path} {record.id}"
        get(f"detail of {name}", f"{LIST}requests/{record.id}")
        get(f"fragment of {name}", f"/_session_inspector/panel/{record.id}")
    get("panel in trouble", "/shared")
    inspection.pause()
    get("paused", LIST)
    get("panel while paused", "/read")
    app.config["SESSION_INSPECTOR_ACCESS"] = None
    app.debug = False
    get("denied", LIST)
    print(
        json.dumps(
            {
                "pages": pages,
                "asked for a language": sorted(set(selected)),
                "internal errors": inspection.counters.internal_errors,
            }
        )
    )


main()
