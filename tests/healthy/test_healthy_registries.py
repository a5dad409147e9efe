"""Registries, factories and sessions that the application looks after itself."""

from __future__ import annotations

import collections.abc as cabc
import threading
import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Base
from conftest import User
from greenlet import getcurrent
from silence import assert_silent
from silence import inspection_of
from silence import outcomes
from silence import sessions
from silence import written
from sqlalchemy.orm import Session
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import sessionmaker

from flask_session_inspector import RequestRecord
from flask_session_inspector import SessionInspector

MakeApp = t.Callable[..., flask.Flask]


@pytest.fixture
def engine(tmp_path: t.Any) -> cabc.Iterator[sa.Engine]:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/shop.db")
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def app(make_app: MakeApp) -> flask.Flask:
    return make_app()


def serve(
    app: flask.Flask, work: t.Callable[[], object], times: int = 3
) -> list[RequestRecord]:
    def view() -> str:
        work()
        return "done"

    app.add_url_rule("/", "view", view)
    for _ in range(times):
        assert app.test_client().get("/").status_code == 200
    records = assert_silent(inspection_of(app))
    assert len(records) == times
    return records


SCOPES = {
    "thread": None,
    "greenlet": getcurrent,
    "thread id": threading.get_ident,
    "app context": lambda: id(flask.globals.app_ctx._get_current_object()),
}


@pytest.mark.parametrize("watched", [True, False])
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("end", ["appcontext", "request", "finally"])
def test_a_plain_registry(
    app: flask.Flask, engine: sa.Engine, end: str, scope: str, watched: bool
) -> None:
    registry = scoped_session(sessionmaker(engine), scopefunc=SCOPES[scope])
    if end == "appcontext":
        app.teardown_appcontext(lambda error: registry.remove())
    elif end == "request":
        app.teardown_request(lambda error: registry.remove())
    inspector = SessionInspector(app)
    if watched:
        inspector.watch(registry, name="plain")

    def work() -> None:
        try:
            registry.add(User(name="x"))
            registry.commit()
            registry.scalars(sa.select(User)).all()
        finally:
            if end == "finally":
                registry.remove()

    records = serve(app, work)
    assert written(*records) == {"users": 3}
    assert len({session.serial for session in sessions(*records)}) == 3
    assert {s.registry for s in sessions(*records)} == {"plain" if watched else None}


def test_the_registry_of_the_documentation(app: flask.Flask, engine: sa.Engine) -> None:
    """``database.py`` of Flask's patterns, with the legacy query."""
    registry = scoped_session(sessionmaker(autoflush=False, bind=engine))
    app.teardown_appcontext(lambda error: registry.remove())
    SessionInspector(app).watch(registry, name="db_session")

    def work() -> None:
        assert registry.query(User).filter_by(name="nobody").first() is None

    records = serve(app, work)
    assert outcomes(*records) == ["close"] * 3


def test_two_registries_in_a_request(app: flask.Flask, engine: sa.Engine) -> None:
    first = scoped_session(sessionmaker(engine))
    second = scoped_session(sessionmaker(engine))
    app.teardown_appcontext(lambda error: (first.remove(), second.remove()))
    inspector = SessionInspector(app)
    inspector.watch(first, name="first")
    inspector.watch(second, name="second")

    def work() -> None:
        first.scalars(sa.select(User)).all()
        first.commit()
        second.add(User(name="x"))
        second.commit()

    records = serve(app, work)
    assert [s.registry for s in records[0].sessions] == ["first", "second"]


def test_a_registry_removed_within_the_request(
    app: flask.Flask, engine: sa.Engine
) -> None:
    """A long request that begins anew on purpose."""
    registry = scoped_session(sessionmaker(engine))
    app.teardown_appcontext(lambda error: registry.remove())
    SessionInspector(app).watch(registry, name="plain")

    def work() -> None:
        for _ in range(3):
            registry.add(User(name="x"))
            registry.commit()
            registry.remove()

    records = serve(app, work)
    assert [len(record.sessions) for record in records] == [3, 3, 3]
    assert written(*records) == {"users": 9}


@pytest.mark.parametrize("pool", [sa.NullPool, sa.QueuePool])
def test_sessions_as_context_managers(
    app: flask.Flask, engine: sa.Engine, pool: type[sa.Pool]
) -> None:
    own = sa.create_engine(engine.url, poolclass=pool)
    factory = sessionmaker(own)
    SessionInspector(app)

    def work() -> None:
        with factory.begin() as session:
            session.add(User(name="one"))
        with factory() as session, session.begin():
            session.add(User(name="two"))
        with Session(own) as session:
            session.add(User(name="three"))
            session.commit()
            session.scalars(sa.select(User)).all()
        with Session(own) as session:
            session.add(User(name="tried"))
            session.flush()
            session.rollback()

    records = serve(app, work)
    own.dispose()
    assert written(*records) == {"users": 9}
    assert [len(record.sessions) for record in records] == [4, 4, 4]


def fail(session: Session) -> None:
    session.add(User(name="lost"))
    session.flush()
    raise LookupError


def test_a_context_manager_that_ends_with_an_exception(
    app: flask.Flask, engine: sa.Engine
) -> None:
    """The transaction is rolled back, the view goes on with its answer."""
    SessionInspector(app)

    def work() -> None:
        with pytest.raises(LookupError), Session(engine) as session, session.begin():
            fail(session)

    records = serve(app, work)
    assert written(*records) == {}
    assert outcomes(*records) == ["rollback"] * 3


def test_a_block_that_an_exception_leaves(app: flask.Flask, engine: sa.Engine) -> None:
    """Closed without a rollback, but by an exception that the view answers."""
    SessionInspector(app)

    def work() -> None:
        with pytest.raises(LookupError), Session(engine) as session:
            fail(session)

    records = serve(app, work)
    assert written(*records, outcome="close") == {"users": 3}


def test_a_session_in_g(app: flask.Flask, engine: sa.Engine) -> None:
    factory = sessionmaker(engine, expire_on_commit=False)

    @app.before_request
    def open_session() -> None:
        flask.g.session = factory()

    @app.teardown_appcontext
    def close(error: BaseException | None) -> None:
        session = flask.g.pop("session", None)
        if session is not None:
            session.close()

    SessionInspector(app)

    def work() -> None:
        user = User(name="x")
        flask.g.session.add(user)
        flask.g.session.commit()
        assert user.name == "x"
        flask.g.session.scalars(sa.select(User)).all()

    records = serve(app, work)
    assert written(*records) == {"users": 3}
    assert {session.ended for session in sessions(*records)} == {"closed"}


def test_connections_without_a_session(app: flask.Flask, engine: sa.Engine) -> None:
    SessionInspector(app)

    def work() -> None:
        with engine.begin() as connection:
            connection.execute(sa.insert(User), [{"name": "a"}, {"name": "b"}])
        with engine.connect() as connection:
            connection.execute(sa.select(User)).all()
        with engine.connect() as connection:
            connection.execute(sa.insert(User).values(name="tried"))
            connection.rollback()

    records = serve(app, work)
    assert [len(r.connection_statements) for r in records] == [3, 3, 3]
