"""Sessions of every kind that is supported, beside Flask-SQLAlchemy's."""

from __future__ import annotations

import asyncio
import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Base
from conftest import Shop
from conftest import User
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.asyncio import async_scoped_session
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import sessionmaker

from flask_session_inspector import Inspection
from flask_session_inspector import RequestRecord
from flask_session_inspector import SessionInspector
from flask_session_inspector import SessionRecord

lite = pytest.importorskip("flask_sqlalchemy_lite")

MakeApp = t.Callable[..., flask.Flask]


def get(app: flask.Flask, path: str = "/") -> RequestRecord:
    assert app.test_client().get(path).status_code == 200
    inspection = t.cast(Inspection, app.extensions["session_inspector"])
    return inspection.requests(limit=1)[0]


def is_whole(session: SessionRecord, record: RequestRecord) -> bool:
    """Say whether everything that began for a session has ended."""
    return (
        session.ended != "open"
        and all(x.ended_ms is not None for x in session.transactions)
        and all(x.checked_in_ms is not None for x in record.connections)
        and session.serial in [x.session for x in record.connections]
    )


@pytest.mark.parametrize("inspector_first", [True, False])
def test_flask_sqlalchemy_lite(
    make_app: MakeApp, tmp_path: t.Any, inspector_first: bool
) -> None:
    app = make_app(
        SQLALCHEMY_ENGINES={
            "default": f"sqlite:///{tmp_path}/a.db",
            "other": f"sqlite:///{tmp_path}/b.db",
        }
    )
    del app.config["SQLALCHEMY_DATABASE_URI"]
    if inspector_first:
        SessionInspector(app)
    db = lite.SQLAlchemy(app)
    if not inspector_first:
        SessionInspector(app)

    @app.route("/")
    def index() -> str:
        db.session.execute(sa.text("CREATE TABLE IF NOT EXISTS t (x)"))
        db.session.execute(sa.text("INSERT INTO t VALUES (1)"))
        db.session.commit()
        other = {"bind_arguments": {"bind": db.get_engine("other")}}
        db.get_session("second").execute(sa.select(1), **other)
        db.get_session("unused")
        return ""

    record = get(app)
    first, second, unused = record.sessions
    for session in record.sessions:
        assert session.origin == "factory"
        assert session.registry is None
        assert session.class_name == "Session"
        assert session.ended == "closed"
    assert is_whole(first, record)
    assert is_whole(second, record)
    assert [x.bind for x in first.transactions] == ["default"]
    assert [x.writes for x in first.transactions] == [{"t": 1}]
    assert [x.bind for x in second.transactions] == ["other"]
    assert unused.first_use is None
    assert get(app).sessions[0].serial not in [x.serial for x in record.sessions]


def test_flask_sqlalchemy_lite_async(make_app: MakeApp, tmp_path: t.Any) -> None:
    pytest.importorskip("asgiref")
    app = make_app(
        SQLALCHEMY_ENGINES={"default": f"sqlite:///{tmp_path}/a.db"},
        SQLALCHEMY_ASYNC_ENGINES={"default": f"sqlite+aiosqlite:///{tmp_path}/a.db"},
    )
    SessionInspector(app)
    db = lite.SQLAlchemy(app)
    with app.app_context():
        Base.metadata.create_all(db.engine)

    @app.route("/")
    async def index() -> str:
        session = db.async_session
        session.add_all([User(name="a"), User(name="b")])
        await session.flush()
        deleted = await session.scalars(sa.delete(User).returning(User.id))
        assert len(deleted.all()) == 2
        await session.commit()
        user = await session.scalar(sa.select(User))
        assert user is None
        return ""

    record = get(app)
    (session,) = record.sessions
    assert session.class_name == "AsyncSession"
    assert session.origin == "factory"
    assert is_whole(session, record)
    assert [x.writes for x in session.transactions] == [{"users": 4}, {}]
    assert [x.outcome for x in session.transactions] == ["commit", "close"]
    assert {x.bind for x in session.statements} == {"default"}
    for statement in session.statements:
        assert statement.location is not None
        assert statement.location.file == __file__
        assert statement.location.function == "index"
    with app.app_context():

        async def dispose() -> None:
            await db.async_engine.dispose()

        asyncio.run(dispose())


def test_async_scoped_session(make_app: MakeApp) -> None:
    pytest.importorskip("asgiref")
    app = make_app()
    engine = create_async_engine("sqlite+aiosqlite://")
    registry = async_scoped_session(
        async_sessionmaker(engine), scopefunc=asyncio.current_task
    )
    inspector = SessionInspector(app)
    inspector.watch(registry, name="async")

    @app.route("/")
    async def index() -> str:
        await registry.execute(sa.select(1))
        async with AsyncSession(engine) as direct:
            await direct.execute(sa.select(2))
        await registry.remove()
        await engine.dispose()
        return ""

    record = get(app)
    scoped, direct = record.sessions
    assert (scoped.origin, scoped.registry) == ("registry", "async")
    assert scoped.proxy_id == id(registry)
    assert scoped.ended == "removed"
    assert (direct.origin, direct.class_name) == ("direct", "AsyncSession")
    assert direct.ended == "closed"


def test_a_plain_scoped_session(make_app: MakeApp) -> None:
    app = make_app()
    engine = sa.create_engine("sqlite://")
    registry = scoped_session(sessionmaker(engine))
    inspector = SessionInspector()
    inspector.watch(registry, name="reporting")
    inspector.init_app(app)
    app.teardown_appcontext(lambda exc: registry.remove())

    @app.route("/")
    def index() -> str:
        registry.execute(sa.select(1))
        return ""

    records = [get(app), get(app)]
    for record in records:
        (session,) = record.sessions
        assert (session.origin, session.registry) == ("registry", "reporting")
        assert session.proxy_id == id(registry)
        assert is_whole(session, record)
        assert session.statements[0].bind == "sqlite://"
    assert records[0].sessions[0].serial != records[1].sessions[0].serial
    engine.dispose()


def test_a_plain_scoped_session_that_nobody_knows(make_app: MakeApp) -> None:
    app = make_app()
    engine = sa.create_engine("sqlite://")
    registry = scoped_session(sessionmaker(engine))
    SessionInspector(app)

    @app.route("/")
    def index() -> str:
        registry.execute(sa.select(1))
        registry.remove()
        return ""

    (session,) = get(app).sessions
    assert (session.origin, session.registry) == ("factory", None)
    assert session.ended == "closed"
    engine.dispose()


def test_watching_something_else(make_app: MakeApp) -> None:
    inspector = SessionInspector(make_app())
    for candidate in (sessionmaker(), Session(), object()):
        with pytest.raises(TypeError, match="takes a scoped_session"):
            inspector.watch(t.cast(t.Any, candidate), name="x")


def test_several_apps_on_one_db(make_app: MakeApp, tmp_path: t.Any) -> None:
    db = SQLAlchemy(model_class=Base)
    inspector = SessionInspector()
    apps = []
    for number in range(3):
        url = f"sqlite:///{tmp_path}/{number}.db"
        app = make_app(SQLALCHEMY_DATABASE_URI=url)
        db.init_app(app)
        inspector.init_app(app)

        def index(number: int = number) -> str:
            db.session.execute(sa.text(f"SELECT 1 AS app{number}"))
            return ""

        app.add_url_rule("/", "index", index)
        apps.append(app)
    for number, app in enumerate(apps):
        record = get(app)
        (session,) = record.sessions
        (statement,) = session.statements
        assert statement.sql == f"SELECT ? AS app{number}"
        assert statement.bind == "default"
        assert session.registry == "db.session"
        assert session.proxy_id == id(db.session)
        assert is_whole(session, record)
    for app in apps:
        inspection = app.extensions["session_inspector"]
        assert len(inspection.requests()) == 1


def test_the_engine_of_another_app_is_not_the_default_one(
    make_shop: t.Callable[..., Shop], make_app: MakeApp, tmp_path: t.Any
) -> None:
    owner = make_shop()
    guest = make_app(SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path}/guest.db")
    SQLAlchemy(guest)
    SessionInspector(guest)
    with owner.app.app_context():
        engine = owner.db.engine

    @guest.route("/")
    def index() -> str:
        with Session(engine) as session:
            session.execute(sa.select(1))
        return ""

    owner.view(lambda: str(owner.db.session.scalar(sa.select(1))), "/own")
    for _ in range(2):
        assert get(owner.app, "/own").sessions[0].statements[0].bind == "default"
        assert get(guest).sessions[0].statements[0].bind == str(engine.url)
