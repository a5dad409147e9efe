"""Requests at the same time: nothing of one is in the record of another."""

from __future__ import annotations

import asyncio
import collections.abc as cabc
import json
import os
import pathlib
import subprocess
import sys
import threading
import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Shop
from flask_sqlalchemy_lite import SQLAlchemy as SQLAlchemyLite
from marks import MARKING
from marks import assert_complete
from marks import mark
from marks import marks

from flask_session_inspector import Inspection
from flask_session_inspector import SessionInspector


@pytest.fixture
def frequent_switches() -> cabc.Iterator[None]:
    """Let threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def run_together(workers: int, work: t.Callable[[int], None]) -> None:
    """Run ``work(0)`` to ``work(workers - 1)`` in threads that start as one."""
    together = threading.Barrier(workers)
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            together.wait(30)
            work(number)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=[n]) for n in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def assert_told_apart(
    inspection: Inspection, number: int, statements: t.Callable[[int], list[str]]
) -> None:
    """Assert that there is one whole record for each of the paths ``/0``, ``/1``...

    :param number: How many requests there were.
    :param statements: What the record of each must have, by its number.
    """
    records = inspection.requests(limit=10_000)
    assert len(records) == number
    assert {record.path for record in records} == {f"/{n}" for n in range(number)}
    assert len({record.id for record in records}) == number
    serials = [session.serial for record in records for session in record.sessions]
    assert len(serials) == len(set(serials)), "a session in two records"
    for record in records:
        own = int(str(record.path)[1:])
        assert marks(record) == statements(own)
        assert record.statement_count == len(statements(own))
        assert (record.status, record.error) == (200, None)
        assert record.reused_context is False
        assert record.connections
        assert_complete(record)
    counters = inspection.counters
    assert counters.in_flight == 0
    assert counters.started == counters.stored
    assert (counters.lost, counters.dropped, counters.internal_errors) == (0, 0, 0)
    assert counters.retained == counters.stored - counters.evicted == number


@pytest.mark.usefixtures("frequent_switches")
def test_threads(make_shop: t.Callable[..., Shop]) -> None:
    workers, each = 8, 500
    shop = make_shop(
        {"pool_size": workers * 2, "max_overflow": 0},
        SESSION_INSPECTOR_MAX_REQUESTS=workers * each,
        **MARKING,
    )
    before = shop.inspection.counters

    def view(number: int) -> str:
        mark(shop.db.session, number)
        if number % 10 == 0:
            with shop.app.app_context():
                mark(shop.db.session, f"{number} nested")
        mark(shop.db.session, f"{number} again")
        shop.db.session.commit()
        return "done"

    def work(worker: int) -> None:
        client = shop.app.test_client()
        for number in range(worker * each, (worker + 1) * each):
            client.get(f"/{number}").close()

    shop.view(view, "/<int:number>")
    run_together(workers, work)

    def statements(number: int) -> list[str]:
        nested = [f"{number} nested"] if number % 10 == 0 else []
        return [str(number), *nested, f"{number} again"]

    assert_told_apart(shop.inspection, workers * each, statements)
    assert shop.inspection.counters.started == before.started + workers * each
    for record in shop.inspection.requests(limit=10_000):
        nested = int(str(record.path)[1:]) % 10 == 0
        assert record.contexts == len(record.sessions) == 1 + nested
        assert record.sessions[0].transactions[0].outcome == "commit"
        assert record.sessions[0].registry == "db.session"
        assert len(record.connections) == len(record.sessions)
    verdicts = shop.inspection.verdicts()
    assert [verdict.passed for verdict in verdicts] == [True, True, True]


@pytest.mark.usefixtures("frequent_switches")
def test_reading_while_requests_are_recorded(make_shop: t.Callable[..., Shop]) -> None:
    shop = make_shop({"pool_size": 8}, SESSION_INSPECTOR_MAX_REQUESTS=50, **MARKING)
    shop.view(lambda number: mark(shop.db.session, number) or "done", "/<int:number>")
    writers, each = 3, 100
    ended: list[int] = []

    def work(worker: int) -> None:
        if worker == writers:
            read(shop.inspection, lambda: len(ended) < writers)
            return
        client = shop.app.test_client()
        for number in range(worker * each, (worker + 1) * each):
            client.get(f"/{number}").close()
        ended.append(worker)

    run_together(writers + 1, work)

    counters = shop.inspection.counters
    assert counters.started == counters.stored == writers * each + 1
    assert counters.retained == 50 == counters.stored - counters.evicted


def read(inspection: Inspection, goes_on: t.Callable[[], bool]) -> None:
    """Follow the records as a page does, and check each that is seen."""
    cursor = inspection.cursor
    seen: set[str] = set()
    while goes_on():
        page = inspection.page(limit=10_000, after=cursor)
        for record in page.records:
            assert f"/{marks(record)[0]}" == record.path
            seen.add(record.id)
        cursor = page.cursor
        counters = inspection.counters
        assert counters.retained <= 50
        assert counters.in_flight >= 0
    assert len(seen) <= inspection.counters.stored


def test_greenlets() -> None:
    script = pathlib.Path(__file__).parent / "gevent_requests.py"
    outcome = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert outcome.returncode == 0, outcome.stderr
    assert json.loads(outcome.stdout) == {
        "requests": 1000,
        "in flight at once": 1000,
        "threads": 1,
    }


def make_lite(
    make_app: t.Callable[..., flask.Flask], path: pathlib.Path
) -> tuple[flask.Flask, SQLAlchemyLite]:
    app = make_app(
        SQLALCHEMY_ASYNC_ENGINES={
            "default": {
                "url": f"sqlite+aiosqlite:///{path}/shop.db",
                # An event loop for each request; connections belong to theirs.
                "poolclass": sa.NullPool,
            }
        },
        **MARKING,
    )
    db = SQLAlchemyLite(app)
    SessionInspector(app)
    return app, db


def warm_up(app: flask.Flask) -> None:
    """Make the first connection of the engine while nobody else does.

    SQLAlchemy does so under a lock that belongs to one event loop.
    """
    app.test_client().get("/0").close()
    app.extensions["session_inspector"].clear()


async def mark_async(session: t.Any, name: object) -> None:
    await session.execute(sa.text("SELECT :mark AS mark"), {"mark": str(name)})


def test_async_views(
    make_app: t.Callable[..., flask.Flask], tmp_path: pathlib.Path
) -> None:
    number = 200
    app, db = make_lite(make_app, tmp_path)
    inspection: Inspection = app.extensions["session_inspector"]
    in_flight: list[int] = []

    async def view(number: int) -> str:
        await mark_async(db.async_session, number)
        # Every request has an event loop of its own, which may wait.
        if all_inside.wait(30) == 0:
            in_flight.append(inspection.counters.in_flight)
        all_inside.wait(30)
        await asyncio.gather(mark_async(db.async_session, f"{number} again"))
        await db.async_session.commit()
        return "done"

    app.add_url_rule("/<int:number>", "view", view)
    all_inside = threading.Barrier(1)
    warm_up(app)
    in_flight.clear()
    all_inside = threading.Barrier(number)
    run_together(number, lambda n: app.test_client().get(f"/{n}").close())

    assert in_flight == [number]
    assert_told_apart(inspection, number, lambda n: [str(n), f"{n} again"])
    for record in inspection.requests(limit=10_000):
        (session,) = record.sessions
        assert session.class_name == "AsyncSession"
        assert session.ended == "closed"
        assert [t.outcome for t in session.transactions] == ["commit"]
        assert record.connections[0].session == session.serial


def test_tasks_of_one_async_view(
    make_app: t.Callable[..., flask.Flask], tmp_path: pathlib.Path
) -> None:
    app, db = make_lite(make_app, tmp_path)
    number = 10

    async def work(name: str) -> None:
        # An AsyncSession is for one task; each takes one of its own.
        async with db.async_sessionmaker() as session:
            await mark_async(session, name)

    async def view(number: int) -> str:
        await asyncio.gather(*(work(f"{number} {task}") for task in "abc"))
        return "done"

    app.add_url_rule("/<int:number>", "view", view)
    warm_up(app)
    run_together(number, lambda n: app.test_client().get(f"/{n}").close())

    inspection: Inspection = app.extensions["session_inspector"]
    records = inspection.requests()
    assert len(records) == number
    for record in records:
        own = str(record.path)[1:]
        assert sorted(marks(record)) == [f"{own} {task}" for task in "abc"]
        assert len(record.sessions) == 3
        assert_complete(record)
