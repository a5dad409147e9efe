"""Async views, which asgiref runs in threads and tasks of its own."""

from __future__ import annotations

import asyncio
import threading
import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Base
from conftest import Shop
from conftest import User
from silence import assert_silent
from silence import inspection_of
from silence import kinds
from silence import sessions
from silence import written
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.asyncio import async_scoped_session
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.ext.asyncio import create_async_engine

from flask_session_inspector import SessionInspector

asgiref_sync = pytest.importorskip("asgiref.sync")
MakeApp = t.Callable[..., flask.Flask]


def test_a_sync_session_in_an_async_view(shop: Shop) -> None:
    threads: set[int] = set()

    @shop.app.before_request
    def load() -> None:
        threads.add(threading.get_ident())
        shop.db.session.scalars(sa.select(User)).all()

    @shop.app.get("/")
    async def view() -> str:
        threads.add(threading.get_ident())
        shop.db.session.add(User(name="x"))
        await asyncio.sleep(0)
        shop.db.session.commit()
        return "done"

    @shop.app.after_request
    async def look(response: flask.Response) -> flask.Response:
        shop.db.session.scalars(sa.select(User)).all()
        return response

    for _ in range(3):
        assert shop.app.test_client().get("/").status_code == 200
    records = assert_silent(shop.inspection)
    assert [len(record.sessions) for record in records] == [1, 1, 1]
    assert kinds(records[0]) == ["select", "insert", "select"]
    assert len(threads) > 1, "the view ran in another thread"


@pytest.mark.parametrize("how", ["sync_to_async", "to_thread"])
def test_a_session_handed_to_threads_in_turn(shop: Shop, how: str) -> None:
    in_thread = {
        "sync_to_async": lambda work: asgiref_sync.sync_to_async(work)(),
        "to_thread": asyncio.to_thread,
    }[how]

    def write() -> int:
        shop.db.session.add(User(name="x"))
        shop.db.session.commit()
        return threading.get_ident()

    @shop.app.get("/")
    async def view() -> str:
        shop.db.session.scalars(sa.select(User)).all()
        await in_thread(write)
        shop.db.session.scalars(sa.select(User)).all()
        await in_thread(write)
        return "done"

    for _ in range(2):
        assert shop.app.test_client().get("/").status_code == 200
    records = assert_silent(shop.inspection)
    assert [len(record.sessions) for record in records] == [1, 1]
    assert written(*records) == {"users": 4}


def test_async_views_at_the_same_time(shop: Shop) -> None:
    barrier = threading.Barrier(3, timeout=30)

    @shop.app.get("/")
    async def view() -> str:
        shop.db.session.scalars(sa.select(User)).all()
        barrier.wait()
        shop.db.session.scalars(sa.select(User)).all()
        return "done"

    def ask() -> None:
        shop.app.test_client().get("/").close()

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records = assert_silent(shop.inspection)
    assert len(records) == len(sessions(*records)) == 3


def test_an_async_error_handler(shop: Shop) -> None:
    @shop.app.errorhandler(LookupError)
    async def answer(error: LookupError) -> tuple[str, int]:
        return "no such thing", 404

    @shop.app.get("/")
    async def view() -> str:
        shop.db.session.add(User(name="lost"))
        shop.db.session.flush()
        raise LookupError

    assert shop.app.test_client().get("/").status_code == 404
    (record,) = assert_silent(shop.inspection)
    assert written(record, outcome="close") == {"users": 1}


@pytest.fixture
def async_app(make_app: MakeApp, tmp_path: t.Any) -> flask.Flask:
    """An application on an async engine, which is ``app.config["ENGINE"]``."""
    app = make_app()
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{tmp_path}/async.db",
        # An event loop for each request; connections belong to theirs.
        poolclass=sa.NullPool,
    )

    async def create() -> None:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)

    asyncio.run(create())
    app.config["ENGINE"] = engine
    return app


def serve(app: flask.Flask, times: int = 2) -> t.Any:
    for _ in range(times):
        assert app.test_client().get("/").status_code == 200
    records = assert_silent(inspection_of(app))
    assert len(records) == times
    return records


def test_an_async_session_for_each_view(async_app: flask.Flask) -> None:
    SessionInspector(async_app)
    make_session = async_sessionmaker(
        async_app.config["ENGINE"], expire_on_commit=False
    )

    @async_app.get("/")
    async def view() -> str:
        async with make_session() as session, session.begin():
            session.add(User(name="x"))
        async with AsyncSession(async_app.config["ENGINE"]) as session:
            users = await session.stream_scalars(sa.select(User))
            names = [user.name async for user in users]
        return ",".join(names)

    records = serve(async_app)
    assert written(*records) == {"users": 2}
    assert [len(record.sessions) for record in records] == [2, 2]


def test_async_sessions_in_tasks(async_app: flask.Flask) -> None:
    """Each task has a session of its own."""
    SessionInspector(async_app)

    async def read(number: int) -> int | None:
        async with AsyncSession(async_app.config["ENGINE"]) as session:
            return await session.scalar(sa.select(sa.literal(number)))

    @async_app.get("/")
    async def view() -> str:
        return str([await read(1), await read(2), await asyncio.create_task(read(3))])

    records = serve(async_app)
    assert [len(record.sessions) for record in records] == [3, 3]


def test_async_sessions_in_tasks_at_the_same_time(
    make_app: MakeApp, tmp_path: t.Any
) -> None:
    """Each task takes one connection of the pool, and waits for no second one."""
    app = make_app()
    SessionInspector(app)

    @app.get("/")
    async def view() -> str:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/pool.db")
        together = 0
        all_there = asyncio.Event()

        async def read() -> None:
            nonlocal together
            async with AsyncSession(engine) as session:
                await session.scalar(sa.select(1))
                together += 1
                if together == 3:
                    all_there.set()
                await all_there.wait()

        await asyncio.gather(*(read() for _ in range(3)))
        await engine.dispose()
        return "done"

    records = serve(app)
    assert [len(record.connections) for record in records] == [3, 3]


@pytest.mark.parametrize("watched", [True, False])
def test_an_async_scoped_session(async_app: flask.Flask, watched: bool) -> None:
    registry = async_scoped_session(
        async_sessionmaker(async_app.config["ENGINE"]), scopefunc=asyncio.current_task
    )
    inspector = SessionInspector(async_app)
    if watched:
        inspector.watch(registry, name="async")

    @async_app.get("/")
    async def view() -> str:
        try:
            registry.add(User(name="x"))
            await registry.commit()
        finally:
            await registry.remove()
        return "done"

    records = serve(async_app, times=3)
    assert written(*records) == {"users": 3}
    assert {s.registry for s in sessions(*records)} == {"async" if watched else None}
