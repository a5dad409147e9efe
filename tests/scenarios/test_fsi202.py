"""FSI202 connection-held: checked out in a request, and not back after it."""

from __future__ import annotations

import threading
import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Shop
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
from sqlalchemy.orm import Session
from work import read
from work import serve

from flask_session_inspector import SessionInspector

CODE = "FSI202"
KEPT: t.Any = []

one = sa.select(1)


@pytest.fixture(autouse=True)
def nothing_kept(make_app: MakeApp) -> t.Iterator[None]:
    """Close what a scenario left open, before its engine is disposed."""
    yield
    for each in KEPT:
        each.close()
    KEPT.clear()


def a_connection(shop: Shop) -> None:
    engine = engine_of(shop)

    def work() -> None:
        connection = engine.connect()
        connection.execute(one)
        KEPT.append(connection)

    serve(shop, work)


def a_connection_of_the_driver(shop: Shop) -> None:
    engine = engine_of(shop)
    serve(shop, lambda: KEPT.append(engine.raw_connection()))


def a_session(shop: Shop) -> None:
    engine = engine_of(shop)

    def work() -> None:
        KEPT.append(Session(engine))
        KEPT[0].execute(one)

    serve(shop, work)


def the_connection_of_a_session(shop: Shop) -> None:
    """``db.session`` is not removed, since its teardown function is not run."""
    shop.app.teardown_appcontext_funcs[:] = [
        function
        for function in shop.app.teardown_appcontext_funcs
        if "flask_sqlalchemy" not in function.__module__
    ]

    def work() -> None:
        KEPT.append(shop.db.session())
        shop.db.session.execute(one)

    serve(shop, work)


def a_result_that_is_streamed(shop: Shop) -> None:
    """The iterator has the connection, and is kept."""
    engine = engine_of(shop)

    def work() -> None:
        connection = engine.connect().execution_options(yield_per=1)
        KEPT.append(connection.execute(sa.text("SELECT 1 UNION SELECT 2")))
        KEPT.append(connection)

    serve(shop, work)


SCENARIOS = [
    a_connection,
    a_connection_of_the_driver,
    a_session,
    the_connection_of_a_session,
    a_result_that_is_streamed,
]
by_name = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)


@by_name
def test_each_holder(shop: Shop, scenario: Scenario) -> None:
    scenario(shop)

    (record,) = shop.inspection.requests(path="/")
    finding = the(record, CODE)
    (checkout,) = record.connections
    assert checkout.checked_in_ms is None
    assert (finding.name, finding.severity) == ("connection-held", "error")
    assert finding.session == checkout.session
    assert f"Connection {checkout.connection_id} (" in finding.message
    assert "is not back in its pool." in finding.message
    assert "at test_fsi202.py:" in finding.message
    place = line(finding.location)
    assert "connect" in place or "execute(one)" in place
    evidence = finding.evidence
    assert line_of(evidence["checked out"]) == place
    assert evidence["pool"]["checked out"] == 1
    assert evidence["held until the end of the record"].endswith(" ms")
    if checkout.session is None:
        assert "without a session" in finding.message
        assert "session" not in evidence
    else:
        assert f"by S{checkout.session} at" in finding.message
        assert evidence["session"] == f"S{checkout.session}"
        # Its transaction is open as well.
        assert "FSI102" in codes(record)


def test_each_connection_that_is_held(shop: Shop) -> None:
    engine = engine_of(shop)

    def work() -> None:
        KEPT.extend([engine.connect(), engine.connect()])
        with engine.connect() as connection:
            connection.execute(one)

    record = serve(shop, work)
    assert len(record.connections) == 3
    assert len(found(record, CODE)) == 2


def test_the_view_raised(shop: Shop) -> None:
    """It was to be closed after the line that raised."""
    engine = engine_of(shop)

    def work() -> None:
        KEPT.append(engine.connect())
        raise LookupError

    record = serve(shop, work)
    assert record.status == 500
    assert len(found(record, CODE)) == 1


def test_flask_sqlalchemy_lite(make_app: MakeApp, tmp_path: t.Any) -> None:
    lite = pytest.importorskip("flask_sqlalchemy_lite")
    app = make_app(SQLALCHEMY_ENGINES={"default": f"sqlite:///{tmp_path}/lite.db"})
    db = lite.SQLAlchemy(app)
    SessionInspector(app)

    @app.get("/")
    def view() -> str:
        db.session.execute(one)
        KEPT.append(db.engine.connect())
        return "done"

    record = send(app)
    assert len(record.connections) == 2
    assert the(record, CODE).session is None


@by_name
def test_it_is_the_rule_that_finds_it(
    make_shop: MakeShop, tmp_path: t.Any, scenario: Scenario
) -> None:
    def and_close(shop: Shop) -> None:
        scenario(shop)
        for each in KEPT:
            each.close()
        KEPT.clear()

    assert_found_by_its_rule(make_shop, tmp_path, CODE, and_close)


# Near misses


def test_all_come_back(shop: Shop) -> None:
    engine = engine_of(shop)

    def work() -> None:
        with engine.connect() as connection:
            connection.execute(one)
        connection = engine.connect()
        connection.close()
        engine.raw_connection().close()
        read(shop.db.session)

    record = serve(shop, work)
    assert len(record.connections) == 4
    assert codes(record) == set()


@pytest.mark.parametrize("when", ["teardown_request", "teardown_appcontext"])
def test_closed_by_a_teardown_function(shop: Shop, when: str) -> None:
    engine = engine_of(shop)

    @getattr(shop.app, when)
    def close(error: BaseException | None) -> None:
        if "connection" in flask.g:
            flask.g.connection.close()

    def work() -> None:
        flask.g.connection = engine.connect()
        flask.g.connection.execute(one)

    record = serve(shop, work)
    assert len(record.connections) == 1
    assert codes(record) == set()


def test_taken_out_of_the_pool(shop: Shop) -> None:
    """It is the application's own from now on, and the pool has its place back."""
    engine = engine_of(shop)

    def work() -> None:
        connection = engine.connect()
        connection.detach()
        KEPT.append(connection)

    serve(shop, work)
    assert codes(shop.inspection) == set()


def test_checked_out_before_the_request(shop: Shop) -> None:
    connection = engine_of(shop).connect()
    serve(shop, lambda: connection.execute(one).all())
    assert found(shop.inspection, CODE) == []
    connection.close()


def test_a_context_around_the_request(shop: Shop) -> None:
    """Its session goes on after the request."""
    with shop.app.app_context():
        record = serve(shop, lambda: read(shop.db.session))
    assert len(record.connections) == 1
    assert found(record, CODE) == []


def test_a_stream_that_goes_on(shop: Shop) -> None:
    """It holds its connection while the client reads."""

    def rows() -> t.Iterator[str]:
        for number in shop.db.session.scalars(sa.text("SELECT 1 UNION SELECT 2")):
            yield str(number)

    shop.view(lambda: flask.Response(flask.stream_with_context(rows())))
    response = shop.app.test_client().get("/", buffered=False)
    chunks = iter(response.response)
    next(chunks)
    assert found(shop.inspection, CODE) == []
    assert len(list(chunks)) == 1
    response.close()
    assert found(shop.inspection, CODE) == []


def test_a_thread_that_goes_on(shop: Shop) -> None:
    """With a copy of the request's context; the record ends with it."""
    reading, over = threading.Event(), threading.Event()
    threads = []

    def work() -> None:
        @flask.copy_current_request_context
        def helper() -> None:
            read(shop.db.session)
            reading.set()
            wait(over)

        threads.append(start(helper))
        wait(reading)

    serve(shop, work)
    assert found(shop.inspection, CODE) == []
    over.set()
    join(threads[0])
    assert codes(shop.inspection) == set()


def test_a_command(shop: Shop) -> None:
    """The process ends with it."""

    @shop.app.cli.command("report")
    def report() -> None:
        KEPT.append(shop.db.engine.connect())

    shop.app.test_cli_runner().invoke(args=["report"])
    assert found(shop.inspection, CODE) == []
