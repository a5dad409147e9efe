"""App contexts that are nested, pushed by hand, reused or left in a bad way."""

from __future__ import annotations

import contextlib
import inspect
import threading
import typing as t

import flask
import pytest
from conftest import Shop
from flask_sqlalchemy import SQLAlchemy
from marks import MARKING
from marks import assert_at_rest
from marks import assert_complete
from marks import mark
from marks import marks
from marks import records

from flask_session_inspector import SessionInspector


@pytest.fixture
def shop(make_shop: t.Callable[..., Shop]) -> Shop:
    return make_shop(**MARKING)


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
    with contextlib.suppress(ZeroDivisionError), shop.app.app_context():
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

    dispatch: t.Callable[..., t.Any] = shop.app.full_dispatch_request
    with shop.app.test_request_context("/") as context:
        mark(shop.db.session, "before")
        # Newer Flask takes the context.
        dispatch(*[context][: len(inspect.signature(dispatch).parameters)])

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
        assert marks(shop.newest()) == ["before"]
        mark(shop.db.session, "after")

    assert marks(shop.newest()) == ["before"]
    assert_at_rest(shop)
