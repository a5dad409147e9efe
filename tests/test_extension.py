"""The extension: initialising, several apps, pausing, keeping, forgetting."""

from __future__ import annotations

import gc
import typing as t
import weakref

import flask
import pytest
import sqlalchemy as sa
from conftest import Shop
from conftest import User
from flask_sqlalchemy import SQLAlchemy
from marks import MARKING
from marks import assert_complete
from marks import mark
from marks import marks
from sqlalchemy.orm import Session
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import sessionmaker

from flask_session_inspector import Inspection
from flask_session_inspector import SessionInspector

Make = t.Callable[..., flask.Flask]


def test_twice_on_one_app(make_app: Make) -> None:
    app = make_app()
    inspector = SessionInspector(app)
    with pytest.raises(RuntimeError, match="already initialized on this app"):
        inspector.init_app(app)
    with pytest.raises(RuntimeError, match="session_inspector"):
        SessionInspector(app)


def test_twice_on_one_app_while_disabled(make_app: Make) -> None:
    app = make_app(SESSION_INSPECTOR_ENABLED=False)
    SessionInspector(app)
    with pytest.raises(RuntimeError, match="already"):
        SessionInspector(app)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("SESSION_INSPECTOR_MAX_REQUESTS", 0),
        ("SESSION_INSPECTOR_STORE", "elsewhere://"),
        ("SESSION_INSPECTOR_STORE", "memory://somewhere"),
    ],
)
def test_a_malformed_value(make_app: Make, key: str, value: object) -> None:
    app = make_app(**{key: value})
    with pytest.raises(ValueError, match=key):
        SessionInspector(app)

    # Nothing was left half done.
    assert "session_inspector" not in app.extensions
    app.config[key] = 10 if key.endswith("REQUESTS") else "memory://"
    SessionInspector(app)


@pytest.mark.parametrize("debug", [True, False])
def test_enabled_by_default_in_debug_mode(make_app: Make, debug: bool) -> None:
    app = make_app()
    del app.config["SESSION_INSPECTOR_ENABLED"]
    app.debug = debug
    SessionInspector(app)

    app.test_client().get("/")

    inspection: Inspection = app.extensions["session_inspector"]
    assert inspection.config.enabled is debug
    assert len(inspection.requests()) == debug


def test_an_app_without_sqlalchemy_extension(make_app: Make) -> None:
    app = make_app()
    SessionInspector(app)
    app.test_client().get("/")

    (record,) = app.extensions["session_inspector"].requests()
    assert (record.status, record.sessions) == (404, ())


def test_one_extension_object_for_two_apps(make_app: Make) -> None:
    inspector = SessionInspector()
    db = SQLAlchemy()
    inspections = []
    for number in (1, 2):
        app = make_app(**MARKING)
        db.init_app(app)
        inspector.init_app(app)
        app.add_url_rule(
            "/", view_func=lambda number=number: mark(db.session, number) or "done"
        )
        inspections.append(app.extensions["session_inspector"])
        app.test_client().get("/")

    for number, inspection in enumerate(inspections, 1):
        (record,) = inspection.requests()
        assert marks(record) == [str(number)]
        assert record.sessions[0].registry == "db.session"
        assert_complete(record)
    # The proxy is the same, the sessions are not.
    sessions = [inspection.requests()[0].sessions[0] for inspection in inspections]
    assert sessions[0].proxy_id == sessions[1].proxy_id == id(db.session)
    assert sessions[0].serial != sessions[1].serial


def test_a_database_that_comes_later(make_app: Make) -> None:
    app = make_app(**MARKING)
    SessionInspector(app)
    db = SQLAlchemy(app)
    app.add_url_rule("/", view_func=lambda: db.session.add(User(name="Ada")) or "done")
    app.test_client().get("/")

    (record,) = app.extensions["session_inspector"].requests()
    (session,) = record.sessions
    assert session.registry == "db.session"
    # Flask-SQLAlchemy's teardown function came later; ours still went first.
    assert (session.pending_new, session.ended) == (1, "removed")


def test_a_watched_registry(shop: Shop) -> None:
    registry = scoped_session(sessionmaker())
    shop.inspector.watch(registry, name="reporting")

    def view() -> str:
        registry.configure(bind=shop.db.engine)
        registry.execute(sa.text("SELECT 1"))
        registry.remove()
        return "done"

    shop.view(view)
    (session,) = shop.get().sessions

    assert (session.origin, session.registry) == ("registry", "reporting")
    assert session.proxy_id == id(registry)


def test_only_a_registry_can_be_watched(shop: Shop) -> None:
    with Session() as session, pytest.raises(TypeError, match="scoped_session"):
        shop.inspector.watch(session, name="reporting")


def test_pausing_in_the_middle_of_a_request(make_shop: t.Callable[..., Shop]) -> None:
    shop = make_shop(**MARKING)

    def view() -> str:
        mark(shop.db.session, "before")
        shop.inspection.pause()
        mark(shop.db.session, "after")
        with shop.app.app_context():
            mark(shop.db.session, "nested")
        return "done"

    shop.view(view)
    shop.view(lambda: mark(shop.db.session, "paused") or "done", "/other")
    assert shop.inspection.paused is False
    record = shop.get()
    assert shop.inspection.paused is True
    assert marks(record) == ["before", "after", "nested"]
    assert_complete(record)

    assert shop.get("/other").id == record.id
    with shop.app.app_context():
        mark(shop.db.session, "paused")
    assert shop.newest().id == record.id

    shop.inspection.resume()
    assert marks(shop.get("/other")) == ["paused"]
    assert shop.inspection.counters.in_flight == 0


def test_resuming_in_the_middle_of_a_request(make_shop: t.Callable[..., Shop]) -> None:
    shop = make_shop(**MARKING)

    def view() -> str:
        mark(shop.db.session, "before")
        shop.inspection.resume()
        mark(shop.db.session, "after")
        with shop.app.app_context():
            mark(shop.db.session, "nested")
        return "done"

    shop.view(view)
    shop.inspection.pause()
    before = shop.inspection.counters
    shop.app.test_client().get("/")
    # A request is recorded as a whole or not at all.
    assert shop.inspection.counters == before

    assert marks(shop.get()) == ["before", "after", "nested"]


def test_clearing_in_the_middle_of_a_request(make_shop: t.Callable[..., Shop]) -> None:
    shop = make_shop(**MARKING)

    def view() -> str:
        mark(shop.db.session, "before")
        shop.inspection.clear()
        mark(shop.db.session, "after")
        return "done"

    shop.view(view)
    shop.get()
    shop.get()

    (record,) = shop.inspection.requests()
    assert marks(record) == ["before", "after"]
    counters = shop.inspection.counters
    assert counters.stored == counters.started
    assert counters.retained == counters.stored - counters.evicted == 1


def test_keeping_findings_only(make_shop: t.Callable[..., Shop]) -> None:
    shop = make_shop(SESSION_INSPECTOR_KEEP="findings", **MARKING)
    shop.view(lambda: mark(shop.db.session, "view") or "done")
    before = shop.inspection.counters
    for _ in range(3):
        shop.app.test_client().get("/")

    assert shop.inspection.requests() == []
    counters = shop.inspection.counters
    assert counters.started == counters.stored == before.stored + 3
    assert counters.retained == counters.stored - counters.evicted == 0


def test_the_ring(make_shop: t.Callable[..., Shop]) -> None:
    shop = make_shop(SESSION_INSPECTOR_MAX_REQUESTS=3, **MARKING)
    shop.view(lambda: "done", "/<int:number>")
    before = shop.inspection.counters
    client = shop.app.test_client()
    for number in range(5):
        client.get(f"/{number}")

    assert [record.path for record in shop.inspection.requests()] == ["/4", "/3", "/2"]
    counters = shop.inspection.counters
    assert counters.started == counters.stored == before.stored + 5
    assert counters.evicted == before.evicted + 2
    assert counters.retained == 3


def test_the_current_record(make_shop: t.Callable[..., Shop]) -> None:
    shop = make_shop(**MARKING)
    seen: list[t.Any] = []

    def view() -> str:
        mark(shop.db.session, "view")
        seen.append(shop.inspection.current())
        return "done"

    shop.view(view)
    record = shop.get()

    assert seen[0].id == record.id
    assert marks(seen[0]) == ["view"]
    assert seen[0].status is None
    assert seen[0].sessions[0].ended == "open"
    assert shop.inspection.current() is None


def test_a_collected_app_leaves_nothing_behind(make_app: Make) -> None:
    def use() -> tuple[weakref.ref[t.Any], ...]:
        app = flask.Flask(__name__)
        app.config["SESSION_INSPECTOR_ENABLED"] = True
        SessionInspector(app)
        inspection = app.extensions["session_inspector"]
        app.test_client().get("/")
        assert len(inspection.requests()) == 1
        return (
            weakref.ref(app),
            weakref.ref(inspection),
            weakref.ref(inspection.recording),
        )

    references = use()
    gc.collect()
    assert references[0]() is None
    # What its contexts refer to goes with the next collection.
    gc.collect()
    assert [reference() for reference in references] == [None] * 3
