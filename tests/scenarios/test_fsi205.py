"""FSI205 two-connections: one request waits for a second one of a pool."""

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
from faults import MakeApp
from faults import MakeShop
from faults import Scenario
from faults import assert_found_by_its_rule
from faults import codes
from faults import engine_of
from faults import found
from faults import join
from faults import line
from faults import line_of
from faults import send
from faults import sessions_closed as sessions_closed
from faults import start
from faults import the
from faults import wait
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session
from work import get
from work import read
from work import serve

from flask_session_inspector import SessionInspector

CODE = "FSI205"


def another_session(shop: Shop) -> None:
    def work() -> None:
        read(shop.db.session)
        with Session(shop.db.engine) as session:
            session.scalars(sa.select(User.id)).all()

    serve(shop, work)


def a_connection_of_the_engine(shop: Shop) -> None:
    def work() -> None:
        read(shop.db.session)
        with shop.db.engine.connect() as connection:
            connection.execute(sa.select(User.id)).all()

    serve(shop, work)


def two_connections_without_a_session(shop: Shop) -> None:
    engine = engine_of(shop)

    def work() -> None:
        with engine.connect(), engine.connect() as connection:
            connection.execute(sa.select(User.id)).all()

    serve(shop, work)


def of_an_engine_with_other_options(shop: Shop) -> None:
    """It has the same pool."""
    engine = engine_of(shop).execution_options(isolation_level="AUTOCOMMIT")

    def work() -> None:
        read(shop.db.session)
        with engine.connect() as connection:
            connection.execute(sa.select(User.id)).all()

    serve(shop, work)


def an_audit_log_in_a_hook(shop: Shop) -> None:
    """A hook of the flush writes what happened with a session of its own."""

    @sa.event.listens_for(shop.db.session, "after_flush")
    def log(session: Session, context: object) -> None:
        with Session(shop.db.engine) as own:
            own.scalars(sa.select(User.id)).all()

    def work() -> None:
        shop.db.session.add(User(name="x"))
        shop.db.session.commit()

    serve(shop, work)


SCENARIOS = [
    another_session,
    a_connection_of_the_engine,
    two_connections_without_a_session,
    of_an_engine_with_other_options,
    an_audit_log_in_a_hook,
]
by_name = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)


@by_name
def test_each_second_connection(shop: Shop, scenario: Scenario) -> None:
    scenario(shop)

    (record,) = shop.inspection.requests(path="/")
    finding = the(record, CODE)
    first, second = record.connections
    assert (finding.name, finding.severity) == ("two-connections", "warning")
    assert finding.session == (second.session or first.session)
    assert "held two connections of the pool default at the same time" in (
        finding.message
    )
    for each in (first, second):
        name = "one without a session"
        if each.session is not None:
            name = f"one for S{each.session}"
        assert f"{name} at " in finding.message
    evidence = finding.evidence
    assert evidence["first"]["connection"] == first.connection_id
    assert evidence["second"]["connection"] == second.connection_id
    assert line_of(evidence["second"]["checked out"]) == line(finding.location)
    assert "select(User.id)" in line(finding.location) or "connect()" in (
        line(finding.location)
    )
    assert evidence["pool"]["checked out"] == 0, "both are back by now"
    assert codes(record) == {CODE}


def test_it_can_deadlock(make_shop: MakeShop) -> None:
    """What it warns of: the request waits for what it holds itself."""
    shop = make_shop({"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.05})

    def view() -> str:
        read(shop.db.session)
        with pytest.raises(sa.exc.TimeoutError), shop.db.engine.connect():
            pass
        return "done"

    shop.view(view)
    assert get(shop).status == 200


def test_many_are_one_finding_for_each_pool(shop: Shop, tmp_path: t.Any) -> None:
    other = sa.create_engine(f"sqlite:///{tmp_path}/other.db")
    engine = engine_of(shop)

    def work() -> None:
        for each in (engine, other):
            with each.connect(), each.connect(), each.connect():
                pass

    record = serve(shop, work)
    other.dispose()
    assert len(record.connections) == 6
    assert len(found(record, CODE)) == 2


def test_nested_contexts(shop: Shop) -> None:
    """FSI105 says why."""

    def work() -> None:
        read(shop.db.session)
        with shop.app.app_context():
            read(shop.db.session)

    assert codes(serve(shop, work)) == {CODE, "FSI105"}


@by_name
def test_it_is_the_rule_that_finds_it(
    make_shop: MakeShop, tmp_path: t.Any, scenario: Scenario
) -> None:
    assert_found_by_its_rule(make_shop, tmp_path, CODE, scenario)


# Near misses


@pytest.mark.parametrize("end", ["commit", "rollback", "close"])
def test_one_after_the_other(shop: Shop, end: str) -> None:
    def work() -> None:
        read(shop.db.session)
        getattr(shop.db.session, end)()
        with Session(shop.db.engine) as session:
            read(session)
        with shop.db.engine.connect() as connection:
            connection.execute(sa.select(User.id)).all()
        read(shop.db.session)

    record = serve(shop, work)
    assert len(record.connections) == 4
    assert codes(record) == set()


def test_the_connection_of_the_session(shop: Shop) -> None:
    """The fix: the SQL goes through the connection that is there."""

    def work() -> None:
        read(shop.db.session)
        connection = shop.db.session.connection()
        connection.execute(sa.select(User.id)).all()
        with Session(connection) as session:
            read(session)
        with shop.db.session.begin_nested():
            read(shop.db.session)

    record = serve(shop, work)
    assert len(record.connections) == 1
    assert codes(record) == set()


def test_different_binds(make_app: MakeApp, tmp_path: t.Any) -> None:
    from flask_sqlalchemy import SQLAlchemy

    app = make_app(
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path}/one.db",
        SQLALCHEMY_BINDS={"other": f"sqlite:///{tmp_path}/two.db"},
    )
    db = SQLAlchemy(app)
    SessionInspector(app)

    @app.get("/")
    def view() -> str:
        db.session.execute(sa.text("SELECT 1"))
        other = {"bind": db.engines["other"]}
        db.session.execute(sa.text("SELECT 1"), bind_arguments=other)
        return "done"

    record = send(app)
    assert len(record.connections) == 2
    assert codes(record) == set()


def test_a_pool_without_a_limit(make_shop: MakeShop) -> None:
    shop = make_shop({"poolclass": sa.NullPool})
    another_session(shop)
    (record,) = shop.inspection.requests(path="/")
    assert len(record.connections) == 2
    assert codes(record) == set()


def test_a_pool_with_one_connection_for_all(make_shop: MakeShop) -> None:
    shop = make_shop(
        {"poolclass": sa.StaticPool, "connect_args": {"check_same_thread": False}}
    )
    another_session(shop)
    assert codes(shop.inspection) == set()


@pytest.mark.parametrize("copied", [True, False])
def test_a_thread_of_the_request(shop: Shop, copied: bool) -> None:
    """Each waits for one connection only."""
    reading, done = threading.Event(), threading.Event()

    def helper() -> None:
        read(shop.db.session)
        reading.set()
        wait(done)

    def in_its_own_context() -> None:
        with shop.app.app_context():
            helper()

    def work() -> None:
        read(shop.db.session)
        target = flask.copy_current_request_context(helper) if copied else None
        thread = start(target or in_its_own_context)
        wait(reading)
        done.set()
        join(thread)

    serve(shop, work)
    assert codes(shop.inspection) == set()


def async_engine(tmp_path: t.Any) -> AsyncEngine:
    return create_async_engine(
        f"sqlite+aiosqlite:///{tmp_path}/shop.db", poolclass=sa.AsyncAdaptedQueuePool
    )


def test_tasks_of_the_request(make_app: MakeApp, tmp_path: t.Any) -> None:
    """Each of them waits for one connection only."""
    app = make_app()
    SessionInspector(app)
    engine = async_engine(tmp_path)

    @app.get("/")
    async def view() -> str:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        inside = 0
        both = asyncio.Event()

        async def ask() -> None:
            nonlocal inside
            async with AsyncSession(engine) as session:
                await session.scalar(sa.select(1))
                inside += 1
                if inside == 2:
                    both.set()
                await both.wait()

        await asyncio.gather(ask(), ask())
        return "done"

    record = send(app)
    asyncio.run(engine.dispose())
    assert len(record.connections) == 3
    assert codes(record) == set()


def test_one_task_with_two(make_app: MakeApp, tmp_path: t.Any) -> None:
    """This one does wait for a second one."""
    app = make_app()
    SessionInspector(app)
    engine = async_engine(tmp_path)

    @app.get("/")
    async def view() -> str:
        async with AsyncSession(engine) as one, AsyncSession(engine) as two:
            await one.scalar(sa.select(1))
            await two.scalar(sa.select(1))
        return "done"

    record = send(app)
    asyncio.run(engine.dispose())
    assert len(found(record, CODE)) == 1


def test_two_requests_at_the_same_time(shop: Shop) -> None:
    together = threading.Barrier(2, timeout=30)

    def work() -> None:
        read(shop.db.session)
        together.wait()

    shop.app.add_url_rule("/", "view", lambda: f"{work()}")
    threads = [start(lambda: get(shop)) for _ in range(2)]
    for thread in threads:
        join(thread)
    assert codes(shop.inspection) == set()
