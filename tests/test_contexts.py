"""App contexts that are nested, pushed by hand, reused or left in a bad way."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import contextvars
import gc
import threading
import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Shop
from flask_sqlalchemy import SQLAlchemy
from marks import MARKING
from marks import assert_complete
from marks import mark
from marks import marks

from flask_session_inspector import RequestRecord
from flask_session_inspector import SessionInspector


@pytest.fixture
def shop(make_shop: t.Callable[..., Shop]) -> Shop:
    return make_shop(**MARKING)


def records(shop: Shop) -> list[RequestRecord]:
    """Return what was recorded, oldest first."""
    return sorted(shop.inspection.requests(), key=lambda record: record.started_at)


def assert_at_rest(shop: Shop) -> None:
    counters = shop.inspection.counters
    assert counters.in_flight == 0
    assert counters.started == counters.stored + counters.dropped + counters.lost
    assert counters.retained == counters.stored - counters.evicted


def test_a_request(shop: Shop) -> None:
    shop.view(lambda: mark(shop.db.session, "here") or "done", "/page")

    record = shop.get("/page?colour=red")

    assert record.kind == "request"
    assert record.method == "GET"
    assert record.path == "/page?colour=red"
    assert record.endpoint == "<lambda>"
    assert record.status == 200
    assert record.error is None
    assert record.contexts == 1
    assert record.reused_context is False
    assert record.thread == threading.current_thread().name
    assert marks(record) == ["here"]
    assert_complete(record)
    assert_at_rest(shop)


@pytest.mark.parametrize("depth", [1, 3])
def test_contexts_nested_in_a_view_have_sessions_of_their_own(
    shop: Shop, depth: int
) -> None:
    def view() -> str:
        mark(shop.db.session, "0")
        with contextlib.ExitStack() as stack:
            for number in range(1, depth + 1):
                stack.enter_context(shop.app.app_context())
                mark(shop.db.session, number)
        mark(shop.db.session, "again")
        return "done"

    shop.view(view)
    record = shop.get()

    assert record.contexts == 1 + depth
    assert [session.context for session in record.sessions] == [*range(1 + depth)]
    assert len({session.serial for session in record.sessions}) == 1 + depth
    assert marks(record) == [*map(str, range(1 + depth)), "again"]
    assert_complete(record)
    assert shop.inspection.counters.started == 1 + _created_tables
    assert_at_rest(shop)


# The fixture creates the tables in an app context, which is a record too.
_created_tables = 1


@pytest.mark.parametrize("inspected", [True, False])
def test_a_context_of_another_app_in_between(
    shop: Shop, make_app: t.Callable[..., flask.Flask], inspected: bool
) -> None:
    other = make_app(SESSION_INSPECTOR_ENABLED=inspected, **MARKING)
    other_db = SQLAlchemy(other)
    SessionInspector(other)

    def view() -> str:
        mark(shop.db.session, "mine")
        with other.app_context():
            mark(other_db.session, "theirs")
            with shop.app.app_context():
                mark(shop.db.session, "mine, inside")
            mark(other_db.session, "theirs again")
        mark(shop.db.session, "mine again")
        return "done"

    shop.view(view)
    record = shop.get()

    assert marks(record) == ["mine", "mine, inside", "mine again"]
    assert record.contexts == 2
    assert_complete(record)
    their_records = other.extensions["session_inspector"].requests()
    if inspected:
        (theirs,) = their_records
        assert theirs.kind == "context"
        assert marks(theirs) == ["theirs", "theirs again"]
        assert_complete(theirs)
    else:
        assert their_records == []
    assert_at_rest(shop)


def test_a_context_pushed_by_hand(shop: Shop) -> None:
    with shop.app.app_context():
        mark(shop.db.session, "here")
        assert shop.inspection.counters.in_flight == 1

    record = shop.newest()
    assert record.kind == "context"
    assert record.method is None
    assert record.path is None
    assert record.status is None
    assert marks(record) == ["here"]
    assert_complete(record)
    assert_at_rest(shop)


def test_an_exception_in_a_context(shop: Shop) -> None:
    with pytest.raises(ZeroDivisionError), shop.app.app_context():
        mark(shop.db.session, "here")
        _ = 1 / 0

    assert shop.newest().error == "ZeroDivisionError"
    assert_complete(shop.newest())


def test_an_exception_caught_around_a_nested_context(shop: Shop) -> None:
    with shop.app.app_context():
        with contextlib.suppress(ZeroDivisionError), shop.app.app_context():
            _ = 1 / 0
        mark(shop.db.session, "here")

    record = shop.newest()
    assert record.error is None, "it was handled"
    assert record.contexts == 2


def test_a_context_pushed_twice(shop: Shop) -> None:
    context = shop.app.app_context()
    with context:
        mark(shop.db.session, "one")
        with context:
            mark(shop.db.session, "two")
        mark(shop.db.session, "three")

    assert marks(shop.newest()) == ["one", "two", "three"]
    assert shop.newest().contexts == 1
    assert_complete(shop.newest())
    assert_at_rest(shop)


def test_a_context_pushed_while_another_is_torn_down(shop: Shop) -> None:
    @shop.app.teardown_appcontext
    def audit(exc: BaseException | None) -> None:
        if flask.g.pop("busy", False):
            with shop.app.app_context():
                mark(shop.db.session, "audit")

    def view() -> str:
        flask.g.busy = True
        mark(shop.db.session, "view")
        return "done"

    shop.view(view)
    shop.get()

    by_kind = {record.kind: record for record in records(shop)}
    assert marks(by_kind["request"]) == ["view"]
    assert marks(by_kind["context"]) == ["audit"]
    for record in by_kind.values():
        assert_complete(record)
    assert_at_rest(shop)


def test_request_context_for_a_test(shop: Shop) -> None:
    with shop.app.test_request_context("/x?colour=red", method="POST"):
        mark(shop.db.session, "here")

    record = shop.newest()
    assert record.kind == "context"
    assert (record.method, record.path) == ("POST", "/x?colour=red")
    assert record.status is None
    assert marks(record) == ["here"]
    assert_complete(record)
    assert_at_rest(shop)


def test_a_request_dispatched_by_hand(shop: Shop) -> None:
    shop.view(lambda: mark(shop.db.session, "view") or "done")

    with shop.app.test_request_context("/"):
        mark(shop.db.session, "before")
        shop.app.full_dispatch_request()

    (record,) = records(shop)
    assert (record.kind, record.status) == ("request", 200)
    assert marks(record) == ["before", "view"]


def test_an_inspector_that_comes_while_a_context_is_pushed(
    make_app: t.Callable[..., flask.Flask],
) -> None:
    app = make_app(**MARKING)
    db = SQLAlchemy(app)
    with app.app_context():
        mark(db.session, "before")
        SessionInspector(app)
        mark(db.session, "after")
    inspection = app.extensions["session_inspector"]

    (record,) = inspection.requests()
    assert marks(record) == ["after"]
    assert_complete(record)
    assert inspection.counters.in_flight == 0


def test_requests_in_a_context_that_was_there_before_the_inspector(
    make_app: t.Callable[..., flask.Flask],
) -> None:
    app = make_app(**MARKING)
    db = SQLAlchemy(app)
    app.add_url_rule("/", view_func=lambda: mark(db.session, "view") or "done")
    with app.app_context():
        SessionInspector(app)
        inspection = app.extensions["session_inspector"]
        app.test_client().get("/")
        assert [marks(record) for record in inspection.requests()] == [["view"]]

    assert inspection.counters.in_flight == 0
    requests = [record for record in inspection.requests() if record.kind == "request"]
    assert [record.status for record in requests] == [200]


def test_detached_in_the_middle_of_a_context(shop: Shop) -> None:
    with shop.app.app_context():
        mark(shop.db.session, "before")
        shop.inspector.detach(shop.app)
        mark(shop.db.session, "after")

    assert marks(shop.newest()) == ["before"]
    assert_at_rest(shop)


@contextlib.contextmanager
def teardown_that_raises(shop: Shop) -> cabc.Iterator[None]:
    """Make the teardown of the contexts whose ``g.fails`` is set raise."""

    @shop.app.teardown_appcontext
    def fail(exc: BaseException | None) -> None:
        if flask.g.pop("fails", False):
            raise LookupError("in the teardown")

    yield


def test_a_teardown_function_that_raises(shop: Shop) -> None:
    def view() -> str:
        mark(shop.db.session, "view")
        flask.g.fails = flask.request.args.get("fails") == "1"
        return "done"

    shop.view(view)
    with teardown_that_raises(shop):
        client = shop.app.test_client()
        with contextlib.suppress(Exception):
            client.get("/?fails=1")
        client.get("/")

    first, second = records(shop)
    assert (first.path, first.status) == ("/?fails=1", 200)
    assert marks(first) == marks(second) == ["view"]
    assert_complete(second)
    assert first.contexts == second.contexts == 1
    assert_at_rest(shop)


def test_a_context_whose_teardown_raised_ends_when_it_is_collected(shop: Shop) -> None:
    with teardown_that_raises(shop):
        with contextlib.suppress(Exception), shop.app.app_context():
            mark(shop.db.session, "here")
            flask.g.fails = True
    gc.collect()

    assert marks(shop.newest()) == ["here"]
    assert_at_rest(shop)


def test_a_nested_context_whose_teardown_raised(shop: Shop) -> None:
    def view() -> str:
        mark(shop.db.session, "outside")
        with contextlib.suppress(Exception), shop.app.app_context():
            flask.g.fails = True
            mark(shop.db.session, "inside")
        mark(shop.db.session, "outside again")
        return "done"

    shop.view(view)
    with teardown_that_raises(shop):
        first = shop.get()
        second = shop.get()
    gc.collect()

    for record in (first, second):
        assert marks(record) == ["outside", "inside", "outside again"]
        assert record.contexts == 2
    assert_at_rest(shop)


def test_a_context_that_nobody_pops(shop: Shop) -> None:
    def forget() -> None:
        shop.app.app_context().push()
        mark(shop.db.session, "here")

    # What is pushed in there is gone with it.
    contextvars.copy_context().run(forget)
    gc.collect()

    assert marks(shop.newest()) == ["here"]
    assert_at_rest(shop)


def test_contexts_popped_in_the_wrong_order(shop: Shop) -> None:
    outer, inner = shop.app.app_context(), shop.app.app_context()

    def mix_up() -> None:
        outer.push()
        mark(shop.db.session, "outer")
        inner.push()
        mark(shop.db.session, "inner")
        with pytest.raises((AssertionError, RuntimeError)):
            outer.pop()
        # The stack of contexts is broken now, and Flask says so in many ways.
        with contextlib.suppress(Exception):
            inner.pop()

    contextvars.copy_context().run(mix_up)
    shop.view(lambda: mark(shop.db.session, "view") or "done")
    del outer, inner
    gc.collect()
    record = shop.get()

    assert marks(record) == ["view"]
    assert_complete(record)
    assert_at_rest(shop)
    assert sum(marks(each) != ["view"] for each in records(shop)) >= 1


def test_a_thread_that_outlives_the_request_whose_context_it_copied(shop: Shop) -> None:
    ended = threading.Event()
    threads: list[threading.Thread] = []
    engine = sa.create_engine(shop.app.config["SQLALCHEMY_DATABASE_URI"])

    def late() -> None:
        assert ended.wait(10)
        with engine.connect() as connection:
            mark(connection, "late")

    def view() -> str:
        mark(shop.db.session, "view")
        copied = contextvars.copy_context()
        threads.append(threading.Thread(target=copied.run, args=[late]))
        threads[0].start()
        return "done"

    shop.view(view, "/first")
    shop.view(lambda: ended.set() or threads[0].join() or "done", "/second")
    client = shop.app.test_client()
    client.get("/first")
    client.get("/second")
    engine.dispose()

    first, second = records(shop)
    assert marks(first) == ["view"]
    assert marks(second) == []
    assert_at_rest(shop)


def test_sql_outside_of_any_context(shop: Shop) -> None:
    before = shop.inspection.counters
    engine = sa.create_engine(shop.app.config["SQLALCHEMY_DATABASE_URI"])
    with engine.connect() as connection:
        mark(connection, "nobody")
    engine.dispose()

    assert shop.inspection.counters == before
