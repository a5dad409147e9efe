"""The hooks come when they are wanted and leave nothing behind."""

from __future__ import annotations

import collections.abc as cabc
import gc
import os
import typing as t
import weakref

import flask
import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Session

from flask_session_inspector import SessionInspector
from flask_session_inspector import hooks
from flask_session_inspector.guard import guard

Make = t.Callable[..., flask.Flask]

SQLALCHEMY_EVENTS = [
    "after_attach",
    "after_begin",
    "after_commit",
    "after_rollback",
    "after_soft_rollback",
    "after_transaction_create",
    "after_transaction_end",
    "before_commit",
    "checkin",
    "checkout",
    "deleted_to_detached",
    "detach",
    "do_execute",
    "do_execute_no_params",
    "do_executemany",
    "pending_to_transient",
    "persistent_to_detached",
]
FLASK_SIGNALS = [
    "appcontext_popped",
    "appcontext_pushed",
    "got_request_exception",
]


@pytest.fixture(autouse=True)
def alone() -> cabc.Iterator[None]:
    """Put aside what applications of other tests may still have installed."""
    gc.collect()
    others = dict(hooks._users)
    for user in others:
        hooks._release(user)
    yield
    gc.collect()
    if others and not hooks._users:
        for part in hooks.PARTS:
            part.listen()
    hooks._users.update(others)


def is_ours(function: t.Any) -> bool:
    function = getattr(function, "__func__", function)
    return str(function.__module__).startswith("flask_session_inspector")


def sqlalchemy_events(engine: sa.Engine) -> list[str]:
    """Return the name of each event that ours listen to, once for each listener."""
    found = []
    with Session(engine) as session:
        for target in (session, engine, engine.dialect, engine.pool):
            dispatch: t.Any = target.dispatch  # type: ignore[attr-defined]
            for name in dispatch._event_names:
                found += [name for each in getattr(dispatch, name) if is_ours(each)]
    # An engine's own dispatch and its dialect's tell of the same listeners.
    return sorted(found)


def flask_signals(app: flask.Flask) -> list[str]:
    found = []
    for name, signal in vars(flask.signals).items():
        if isinstance(signal, flask.signals.appcontext_pushed.__class__):
            found += [name for each in signal.receivers_for(app) if is_ours(each)]
    return sorted(found)


def traces_in(app: flask.Flask) -> list[object]:
    """Return every function of ours that an application would call."""
    functions: list[t.Any] = [*app.teardown_appcontext_funcs, *vars(app).values()]
    for table in (
        app.before_request_funcs,
        app.after_request_funcs,
        app.teardown_request_funcs,
        app.url_value_preprocessors,
        app.url_default_functions,
        app.template_context_processors,
    ):
        functions += table.get(None, [])
    return [function for function in functions if is_hook(function)]


def is_hook(function: t.Any) -> bool:
    # What takes the place of a method says of itself that it is from where that is.
    code = getattr(function, "__code__", None)
    if code is None:
        return is_ours(type(function))
    return str(code.co_filename).startswith(os.path.dirname(hooks.__file__))


@pytest.fixture
def engine() -> cabc.Iterator[sa.Engine]:
    """Make an engine before anybody listens."""
    engine = sa.create_engine("sqlite://")
    with engine.connect():
        pass
    yield engine
    engine.dispose()


def test_nothing_is_installed_while_disabled(make_app: Make, engine: sa.Engine) -> None:
    app = make_app(
        SESSION_INSPECTOR_ENABLED=False, SESSION_INSPECTOR_SERVER_TIMING=True
    )
    plain = make_app()
    SQLAlchemy(app)
    SessionInspector(app)
    app.test_client().get("/")

    assert sqlalchemy_events(engine) == []
    assert flask_signals(app) == []
    assert traces_in(app) == []
    rules = {rule.rule for rule in app.url_map.iter_rules()}
    assert rules == {rule.rule for rule in plain.url_map.iter_rules()}
    assert app.blueprints == {}
    assert app.extensions["session_inspector"].requests() == []


def test_what_is_installed(make_app: Make, engine: sa.Engine) -> None:
    app = make_app(SESSION_INSPECTOR_SERVER_TIMING=True)
    other = make_app()
    SessionInspector(app)
    later = sa.create_engine("sqlite://")

    assert sqlalchemy_events(engine) == SQLALCHEMY_EVENTS
    assert sqlalchemy_events(later) == SQLALCHEMY_EVENTS
    assert flask_signals(app) == FLASK_SIGNALS
    assert len(traces_in(app)) == 8, "six methods, wsgi_app and Server-Timing"
    assert flask_signals(other) == []
    assert traces_in(other) == []
    later.dispose()


def test_three_apps_listen_once_and_the_last_one_stops(
    make_app: Make, engine: sa.Engine
) -> None:
    inspector = SessionInspector()
    apps = [make_app(SESSION_INSPECTOR_SERVER_TIMING=True) for _ in range(3)]
    for app in apps:
        inspector.init_app(app)
        assert sqlalchemy_events(engine) == SQLALCHEMY_EVENTS

    for app in apps:
        assert sqlalchemy_events(engine) == SQLALCHEMY_EVENTS
        inspector.detach(app)
        assert flask_signals(app) == []
        assert traces_in(app) == []
    assert sqlalchemy_events(engine) == []


def test_detaching_twice(make_app: Make, engine: sa.Engine) -> None:
    inspector = SessionInspector()
    first, second = make_app(), make_app()
    inspector.init_app(first)
    inspector.init_app(second)
    inspector.detach(first)
    inspector.detach(first)

    assert sqlalchemy_events(engine) == SQLALCHEMY_EVENTS
    assert flask_signals(second) == FLASK_SIGNALS


def test_a_detached_app_goes_on_without_records(
    make_app: Make, engine: sa.Engine
) -> None:
    app = make_app()
    db = SQLAlchemy(app)
    inspector = SessionInspector(app)
    inspection = app.extensions["session_inspector"]
    app.add_url_rule("/", view_func=lambda: str(db.session.scalar(sa.text("SELECT 1"))))
    client = app.test_client()
    client.get("/")
    inspector.detach(app)

    assert client.get("/").text == "1"
    assert inspection.counters.started == 1
    assert len(inspection.requests()) == 1
    assert sqlalchemy_events(engine) == []


def test_a_collected_app_releases_the_hooks(engine: sa.Engine) -> None:
    def use() -> None:
        app = flask.Flask(__name__)
        app.config["SESSION_INSPECTOR_ENABLED"] = True
        SessionInspector(app)
        app.test_client().get("/")
        assert sqlalchemy_events(engine) == SQLALCHEMY_EVENTS

    gc.collect()
    use()
    gc.collect()

    assert sqlalchemy_events(engine) == []


def test_what_is_kept_of_an_app_does_not_keep_it(engine: sa.Engine) -> None:
    kept: list[object] = []

    def use() -> weakref.ref[flask.Flask]:
        app = flask.Flask(__name__)
        app.config["SESSION_INSPECTOR_ENABLED"] = True
        SessionInspector(app)
        app.test_client().get("/")
        kept.append(app.extensions["session_inspector"])
        return weakref.ref(app)

    gc.collect()
    app = use()
    gc.collect()

    assert app() is None
    assert sqlalchemy_events(engine) == []


def test_installed_again_after_the_last_one(make_app: Make, engine: sa.Engine) -> None:
    inspector = SessionInspector()
    for _ in range(2):
        app = make_app()
        inspector.init_app(app)
        assert sqlalchemy_events(engine) == SQLALCHEMY_EVENTS
        inspector.detach(app)
        assert sqlalchemy_events(engine) == []


def test_strict_while_a_strict_app_is_attached(make_app: Make) -> None:
    guard.strict = False
    inspector = SessionInspector()
    strict, lenient = make_app(), make_app(SESSION_INSPECTOR_STRICT=False)
    inspector.init_app(lenient)
    assert guard.strict is False
    inspector.init_app(strict)
    assert guard.strict is True
    inspector.detach(strict)
    assert guard.strict is False


def test_sessions_are_seen_before_a_function_removes_them(make_app: Make) -> None:
    app = make_app()
    SessionInspector(app)
    db = SQLAlchemy(app)
    # The last one to be registered is the first to be called.
    app.teardown_appcontext(lambda exc: db.session.remove())

    @app.route("/")
    def view() -> str:
        db.session()
        return "done"

    app.test_client().get("/")

    (record,) = app.extensions["session_inspector"].requests()
    # It saw the session that Flask-SQLAlchemy then removed.
    (session,) = record.sessions
    assert (session.registry, session.ended) == ("db.session", "removed")
    assert session.first_use is None
