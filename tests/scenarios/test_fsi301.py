"""FSI301 cross-thread: a session in the hands of two threads, greenlets or tasks."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import json
import pathlib
import subprocess
import sys
import threading
import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Shop
from conftest import User
from faults import MakeApp
from faults import MakeShop
from faults import Scenario
from faults import add_users
from faults import assert_found_by_its_rule
from faults import codes
from faults import engine_of
from faults import found
from faults import in_thread
from faults import join
from faults import line
from faults import line_of
from faults import send
from faults import sessions_closed as sessions_closed
from faults import start
from faults import the
from faults import wait
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session
from work import get
from work import read
from work import serve

from flask_session_inspector import SessionInspector

CODE = "FSI301"


def a_thread_with_its_own_context(shop: Shop) -> None:
    def work() -> None:
        session = shop.db.session()
        read(session)

        def helper() -> None:
            with shop.app.app_context():
                session.scalars(sa.select(User.id)).all()

        in_thread(helper, "helper")

    serve(shop, work)


def a_thread_that_is_the_first_to_use_it(shop: Shop) -> None:
    def work() -> None:
        session = shop.db.session()

        def helper() -> None:
            with shop.app.app_context():
                session.scalars(sa.select(User.id)).all()

        in_thread(helper, "helper")
        read(session)

    serve(shop, work)


def a_thread_that_alone_uses_it(shop: Shop) -> None:
    def work() -> None:
        session = shop.db.session()

        def helper() -> None:
            with shop.app.app_context():
                session.scalars(sa.select(User.id)).all()

        in_thread(helper, "helper")

    serve(shop, work)


def a_lazy_load_in_a_thread(shop: Shop) -> None:
    add_users(shop, "ann")

    def work() -> None:
        user = shop.db.session.scalars(sa.select(User)).one()

        def helper() -> None:
            with shop.app.app_context():
                assert list(user.posts) == []

        in_thread(helper, "helper")

    serve(shop, work)


def a_thread_with_a_copied_request(shop: Shop) -> None:
    def work() -> None:
        session = shop.db.session()
        read(session)

        @flask.copy_current_request_context
        def helper() -> None:
            session.scalars(sa.select(User.id)).all()

        in_thread(helper, "helper")

    serve(shop, work)


def a_thread_without_a_context(shop: Shop) -> None:
    engine = engine_of(shop)

    def work() -> None:
        with Session(engine) as session:
            read(session)
            in_thread(lambda: session.scalars(sa.select(User.id)).all(), "helper")

    serve(shop, work)


def an_executor(shop: Shop) -> None:
    """It does not copy context variables."""
    engine = engine_of(shop)

    def work() -> None:
        with (
            Session(engine) as session,
            concurrent.futures.ThreadPoolExecutor(1, "helper") as pool,
        ):
            read(session)
            pool.submit(lambda: session.scalars(sa.select(User.id)).all()).result()

    serve(shop, work)


def two_threads_at_the_same_moment(shop: Shop) -> None:
    """Each in a copy of the session's own context, and none waits for the other."""
    both = threading.Barrier(2, timeout=30)

    def work() -> None:
        read(shop.db.session)

        # Called in the middle of a statement, as the driver is.
        @sa.event.listens_for(shop.db.engine, "do_execute")
        def meet(*arguments: object) -> None:
            both.wait()

        def ask() -> None:
            shop.db.session.scalars(sa.select(User.id)).all()

        contexts = [contextvars.copy_context() for _ in range(2)]
        threads = [
            start(lambda context=context: context.run(ask), f"helper-{number}")
            for number, context in enumerate(contexts)
        ]
        for thread in threads:
            join(thread)

    serve(shop, work)


IN_TURN = [
    a_thread_with_its_own_context,
    a_thread_that_is_the_first_to_use_it,
    a_thread_that_alone_uses_it,
    a_lazy_load_in_a_thread,
    a_thread_with_a_copied_request,
    a_thread_without_a_context,
    an_executor,
]


@pytest.mark.parametrize("scenario", IN_TURN, ids=lambda each: each.__name__)
def test_another_thread_uses_it(shop: Shop, scenario: Scenario) -> None:
    scenario(shop)

    finding = the(shop.inspection, CODE)
    (request,) = shop.inspection.requests(path="/")
    (used,) = request.sessions
    assert (finding.name, finding.severity) == ("cross-thread", "error")
    assert finding.session == used.serial
    assert f"S{used.serial}" in finding.message
    assert "MainThread" in finding.message
    assert "helper" in finding.message
    assert "test_fsi301.py" in finding.message
    # The intruder's line is the one to change.
    place = line(finding.location)
    assert "sa.select(User.id)" in place or "user.posts" in place
    first, then = finding.evidence["first"], finding.evidence["then"]
    threads = {
        each["thread"].partition("_")[0]: each["place"] for each in (first, then)
    }
    assert threads.keys() == {"MainThread", "helper"}
    assert line_of(threads["helper"]) == place
    assert finding.evidence["at the same moment"] is False
    # Both records are named: where it was found, and the other.
    others = {record.id for record in shop.inspection.requests() if record.sessions}
    assert {finding.request_id, *finding.related_requests} == others
    assert codes(shop.inspection) == {CODE}


def test_a_session_of_a_thread_in_the_view(shop: Shop) -> None:
    engine = engine_of(shop)

    def work() -> None:
        made: list[Session] = []
        reading, done = threading.Event(), threading.Event()

        @flask.copy_current_request_context
        def helper() -> None:
            with Session(engine) as session:
                read(session)
                made.append(session)
                reading.set()
                wait(done)

        thread = start(helper, "helper")
        wait(reading)
        read(made[0])
        done.set()
        join(thread)

    finding = the(serve(shop, work), CODE)
    assert finding.evidence["first"]["thread"] == "helper"
    assert finding.evidence["then"]["thread"] == "MainThread"


def test_the_other_request_is_named(shop: Shop) -> None:
    a_thread_with_its_own_context(shop)
    finding = the(shop.inspection, CODE)
    assert "in use by MainThread (GET /) when helper" in finding.message
    assert finding.evidence["first"]["in"] == "GET /"
    assert (
        line_of(finding.evidence["first"]["place"])
        == "session.scalars(sa.select(User)).all()"
    )


def test_two_threads_are_in_a_statement(shop: Shop) -> None:
    two_threads_at_the_same_moment(shop)
    finding = the(shop.inspection, CODE)
    (request,) = shop.inspection.requests(path="/")
    assert (finding.request_id, finding.session) == (
        request.id,
        request.sessions[0].serial,
    )
    first, then = finding.evidence["first"], finding.evidence["then"]
    assert {first["thread"], then["thread"]} == {"helper-0", "helper-1"}
    assert "sa.select(User.id)" in line_of(first["place"])
    assert "sa.select(User.id)" in line_of(then["place"])
    assert finding.evidence["at the same moment"] is True
    assert "was still running" in finding.message


def test_two_tasks_of_one_async_session(make_app: MakeApp, tmp_path: t.Any) -> None:
    app = make_app()
    SessionInspector(app)

    @app.get("/")
    async def view() -> str:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/shop.db")
        async with AsyncSession(engine) as session:
            await session.execute(sa.text("SELECT 1"))

            async def ask(number: int) -> None:
                await session.execute(sa.text(f"SELECT {number}"))

            await asyncio.gather(ask(2), ask(3), return_exceptions=True)
        await engine.dispose()
        return "done"

    finding = the(send(app), CODE)
    assert finding.evidence["at the same moment"] is True
    assert "Task-" in finding.evidence["then"]["thread"]
    assert finding.evidence["first"]["thread"].startswith("another task of ")
    assert "SELECT {number}" in line(finding.location)


@pytest.mark.parametrize(
    "use", [lambda s: s.add(User(name="x")), Session.commit, Session.rollback]
)
def test_a_thread_that_sends_no_sql(shop: Shop, use: t.Any) -> None:
    engine = engine_of(shop)

    def work() -> None:
        with Session(engine) as session:
            session.execute(sa.text("SELECT 1"))
            in_thread(lambda: use(session))

    serve(shop, work)
    assert CODE in codes(shop.inspection)


def test_tasks_that_both_need_the_first_connection(make_app: MakeApp) -> None:
    """SQLAlchemy 2.1 refuses it; nothing is sent for the second one."""
    if sa.__version__ < "2.1":
        pytest.skip("Earlier releases let it happen, and break the session for good.")
    pytest.importorskip("aiosqlite")
    app = make_app()
    SessionInspector(app)

    @app.get("/")
    async def view() -> str:
        engine = create_async_engine("sqlite+aiosqlite://")
        async with AsyncSession(engine) as session:

            async def ask(number: int) -> None:
                await session.execute(sa.text(f"SELECT {number}"))

            await asyncio.gather(ask(2), ask(3), return_exceptions=True)
        await engine.dispose()
        return "done"

    finding = the(send(app), CODE)
    assert finding.evidence["at the same moment"] is True


def test_greenlets() -> None:
    """In a program of its own, since gevent patches the whole process."""
    pytest.importorskip("gevent")
    program = pathlib.Path(__file__).with_name("crossing_greenlets.py")
    done = subprocess.run(
        [sys.executable, program],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results["no context"] == ["FSI301"]
    assert results["own context"] == ["FSI301"]
    assert results["at the same moment"] == ["FSI301"]
    assert results["a session each"] == []


@pytest.mark.parametrize(
    "scenario",
    [*IN_TURN, two_threads_at_the_same_moment],
    ids=lambda each: each.__name__,
)
def test_it_is_the_rule_that_finds_it(
    make_shop: MakeShop, tmp_path: t.Any, scenario: Scenario
) -> None:
    assert_found_by_its_rule(make_shop, tmp_path, CODE, scenario)


# Near misses


def test_a_copied_context_in_turn(shop: Shop) -> None:
    """What ``asyncio.to_thread`` and asgiref do: the session is in its own context."""

    def work() -> None:
        for _ in range(3):
            read(shop.db.session)
            context = contextvars.copy_context()
            in_thread(lambda context=context: context.run(read, shop.db.session))

    record = serve(shop, work)
    assert len(record.sessions) == 1
    assert record.statement_count == 6
    assert codes(shop.inspection) == set()


def test_an_async_view(shop: Shop) -> None:
    pytest.importorskip("asgiref")
    threads = set()

    @shop.app.before_request
    def load() -> None:
        threads.add(threading.get_ident())
        read(shop.db.session)

    @shop.app.get("/")
    async def view() -> str:
        threads.add(threading.get_ident())
        read(shop.db.session)
        await asyncio.to_thread(read, shop.db.session)
        return "done"

    record = get(shop)
    assert (len(record.sessions), record.statement_count) == (1, 3)
    assert len(threads) == 2
    assert codes(shop.inspection) == set()


@pytest.mark.parametrize("copied", [True, False])
def test_a_thread_with_a_session_of_its_own(shop: Shop, copied: bool) -> None:
    """At the same time as the view, and with its transaction open."""
    reading, done = threading.Event(), threading.Event()

    def helper() -> None:
        read(shop.db.session)
        reading.set()
        wait(done)

    def in_its_own_context() -> None:
        with shop.app.app_context():
            helper()

    def work() -> None:
        target = flask.copy_current_request_context(helper) if copied else None
        thread = start(target or in_its_own_context)
        wait(reading)
        read(shop.db.session)
        done.set()
        join(thread)

    serve(shop, work)
    sessions = {s.serial for r in shop.inspection.requests() for s in r.sessions}
    assert len(sessions) == 2
    assert found(shop.inspection, CODE) == []


def test_a_thread_that_makes_its_own_without_a_context(shop: Shop) -> None:
    engine = engine_of(shop)

    def helper() -> None:
        with Session(engine) as session:
            read(session)

    def work() -> None:
        read(shop.db.session)
        in_thread(helper)

    serve(shop, work)
    assert codes(shop.inspection) == set()


def test_a_session_that_is_made_for_the_thread(shop: Shop) -> None:
    """The view makes it and never uses it itself."""
    engine = engine_of(shop)

    def work() -> None:
        session = Session(engine)

        def helper() -> None:
            with session:
                read(session)

        in_thread(helper)

    serve(shop, work)
    assert codes(shop.inspection) == set()


def test_objects_that_are_loaded_already(shop: Shop) -> None:
    """Reading what is there sends no SQL."""
    add_users(shop, "ann")
    names = []

    def work() -> None:
        user = shop.db.session.scalars(sa.select(User)).one()
        in_thread(lambda: names.append(user.name))

    serve(shop, work)
    assert names == ["ann"]
    assert codes(shop.inspection) == set()


def test_a_nested_context_of_the_same_thread(shop: Shop) -> None:
    def work() -> None:
        session = shop.db.session()
        read(session)
        with shop.app.app_context():
            read(session)

    serve(shop, work)
    assert found(shop.inspection, CODE) == []


def test_requests_at_the_same_time(shop: Shop) -> None:
    together = threading.Barrier(2, timeout=30)

    def work() -> None:
        read(shop.db.session)
        together.wait()
        read(shop.db.session)
        together.wait()

    shop.app.add_url_rule("/", "view", lambda: f"{work()}")
    threads = [start(lambda: get(shop)) for _ in range(2)]
    for thread in threads:
        join(thread)
    assert len(shop.inspection.requests(path="/")) == 2
    assert codes(shop.inspection) == set()
