"""Several applications, several binds, and Flask-SQLAlchemy-Lite."""

from __future__ import annotations

import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Base
from conftest import Shop
from conftest import User
from flask_sqlalchemy import SQLAlchemy
from silence import assert_silent
from silence import inspection_of
from silence import kinds
from silence import outcomes
from silence import sessions
from silence import written
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from flask_session_inspector import SessionInspector

MakeApp = t.Callable[..., flask.Flask]


def make_pair(make_app: MakeApp, path: t.Any, shared: bool) -> list[Shop]:
    """Make two shops with databases of their own, and one ``db`` or two."""
    shops = []
    for name in ("front", "back"):
        app = make_app(SQLALCHEMY_DATABASE_URI=f"sqlite:///{path}/{name}.db")
        if shared and shops:
            shop = object.__new__(Shop)
            shop.app, shop.db = app, shops[0].db
            shop.inspector = shops[0].inspector
            shop.db.init_app(app)
            shop.inspector.init_app(app)
            shop.inspection = inspection_of(app)
        else:
            shop = Shop(app)
        shop.create_tables()
        shops.append(shop)
    return shops


def write(shop: Shop) -> str:
    shop.db.session.add(User(name="x"))
    shop.db.session.commit()
    return str(len(shop.db.session.scalars(sa.select(User)).all()))


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("how", ["client", "context"])
def test_one_app_calls_another(
    make_app: MakeApp, tmp_path: t.Any, shared: bool, how: str
) -> None:
    front, back = make_pair(make_app, tmp_path, shared)

    def view() -> str:
        before = write(front)
        if how == "client":
            there = back.app.test_client().get("/").text
        else:
            with back.app.app_context():
                there = write(back)
        return f"{before} {there} {write(front)}"

    front.view(view)
    back.view(lambda: write(back))
    answers = [front.app.test_client().get("/").text for _ in range(2)]

    assert answers == ["1 1 2", "3 2 4"]
    for shop, rows in ((front, 4), (back, 2)):
        records = assert_silent(shop.inspection)
        assert len(sessions(*records)) == 2
        assert written(*records) == {"users": rows}


def test_a_dispatcher(make_app: MakeApp, tmp_path: t.Any) -> None:
    front, back = make_pair(make_app, tmp_path, shared=True)
    front.view(lambda: write(front))
    back.view(lambda: write(back))
    server = DispatcherMiddleware(front.app, {"/back": back.app})
    client = Client(server)
    assert [client.get(p).text for p in ("/", "/back/", "/", "/back/")] == [*"1122"]

    for shop in (front, back):
        records = assert_silent(shop.inspection)
        assert written(*records) == {"users": 2}


def test_writes_to_several_binds(make_app: MakeApp, tmp_path: t.Any) -> None:
    class OwnBase(DeclarativeBase):
        pass

    app = make_app(
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path}/main.db",
        SQLALCHEMY_BINDS={"logs": f"sqlite:///{tmp_path}/logs.db"},
    )
    db = SQLAlchemy(app, model_class=OwnBase)
    SessionInspector(app)

    class Item(db.Model):  # type: ignore[name-defined, misc]
        id: Mapped[int] = mapped_column(primary_key=True)

    class Log(db.Model):  # type: ignore[name-defined, misc]
        __bind_key__ = "logs"
        id: Mapped[int] = mapped_column(primary_key=True)

    with app.app_context():
        db.create_all()
    inspection_of(app).clear()

    @app.get("/")
    def view() -> str:
        db.session.add_all([Item(), Log()])
        db.session.flush()
        db.session.scalars(sa.select(Item)).all()
        db.session.scalars(sa.select(Log)).all()
        db.session.commit()
        return "done"

    for _ in range(2):
        assert app.test_client().get("/").status_code == 200
    records = assert_silent(inspection_of(app))
    assert outcomes(*records) == ["commit"] * 4
    assert [len(record.connections) for record in records] == [2, 2]
    assert written(*records) == {"item": 2, "log": 2}


@pytest.fixture
def lite_app(make_app: MakeApp, tmp_path: t.Any) -> flask.Flask:
    """An application on Flask-SQLAlchemy-Lite, with two engines."""
    lite = pytest.importorskip("flask_sqlalchemy_lite")
    app = make_app(
        SQLALCHEMY_ENGINES={
            "default": f"sqlite:///{tmp_path}/main.db",
            "replica": f"sqlite:///{tmp_path}/replica.db",
        }
    )
    db = lite.SQLAlchemy(app)
    SessionInspector(app)
    with app.app_context():
        for engine in db.engines.values():
            Base.metadata.create_all(engine)
    inspection_of(app).clear()
    return app


def test_lite(lite_app: flask.Flask) -> None:
    db = lite_app.extensions["sqlalchemy"]

    @lite_app.get("/")
    def view() -> str:
        db.session.add(User(name="x"))
        db.session.commit()
        db.session.add(User(name="tried"))
        db.session.flush()
        db.session.rollback()
        with db.sessionmaker() as own:
            own.scalars(sa.select(User)).all()
        return str(len(db.session.scalars(sa.select(User)).all()))

    answers = [lite_app.test_client().get("/").text for _ in range(3)]
    assert answers == ["1", "2", "3"]
    records = assert_silent(inspection_of(lite_app))
    assert [len(record.sessions) for record in records] == [2, 2, 2]
    assert written(*records) == {"users": 3}


def test_named_sessions_of_lite(lite_app: flask.Flask) -> None:
    db = lite_app.extensions["sqlalchemy"]

    @lite_app.get("/")
    def view() -> str:
        bound = {"bind_arguments": {"bind": db.get_engine("replica")}}
        db.get_session("reports").scalars(sa.select(User), **bound).all()
        db.session.add(User(name="x"))
        db.session.commit()
        db.get_session("audit").add(User(name="audit"))
        db.get_session("audit").commit()
        return "done"

    for _ in range(3):
        assert lite_app.test_client().get("/").status_code == 200
    records = assert_silent(inspection_of(lite_app))
    assert [len(record.sessions) for record in records] == [3, 3, 3]
    assert written(*records) == {"users": 6}


def test_lite_in_contexts_in_turn(lite_app: flask.Flask) -> None:
    db = lite_app.extensions["sqlalchemy"]
    for _ in range(3):
        with lite_app.app_context():
            db.session.scalars(sa.select(User)).all()
    records = assert_silent(inspection_of(lite_app))
    assert [record.kind for record in records] == ["context"] * 3
    assert kinds(*records) == ["select"] * 3


def test_flask_sqlalchemy_lite_async(make_app: MakeApp, tmp_path: t.Any) -> None:
    lite = pytest.importorskip("flask_sqlalchemy_lite")
    pytest.importorskip("asgiref")
    app = make_app(
        SQLALCHEMY_ASYNC_ENGINES={
            "default": {
                "url": f"sqlite+aiosqlite:///{tmp_path}/lite.db",
                "poolclass": sa.NullPool,
            }
        }
    )
    db = lite.SQLAlchemy(app)
    SessionInspector(app)

    @app.get("/")
    async def view() -> str:
        connection = await db.async_session.connection()
        await connection.run_sync(Base.metadata.create_all)
        db.async_session.add(User(name="x"))
        await db.async_session.commit()
        await db.async_session.scalars(sa.select(User))
        await db.get_async_session("second").scalar(sa.select(1))
        return "done"

    for _ in range(2):
        assert app.test_client().get("/").status_code == 200
    records = assert_silent(inspection_of(app))
    assert written(*records) == {"users": 2}
    assert outcomes(*records) == ["commit", "close", "close"] * 2
