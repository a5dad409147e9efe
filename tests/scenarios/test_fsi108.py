"""FSI108 session-outside-registry: a session made by hand served the request."""

from __future__ import annotations

import gc
import queue
import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Shop
from conftest import User
from faults import MakeApp
from faults import MakeShop
from faults import Scenario
from faults import assert_found_by_its_rule
from faults import codes
from faults import engine_of
from faults import found
from faults import inspection_of
from faults import line
from faults import line_of
from faults import new_engine
from faults import send
from faults import sessions_closed as sessions_closed
from faults import the
from flask_sqlalchemy_lite import SQLAlchemy as SQLAlchemyLite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import sessionmaker

from flask_session_inspector import SessionInspector

CODE = "FSI108"


def read(session: t.Any) -> None:
    session.scalars(sa.select(User)).all()


def serve(shop: Shop, work: t.Callable[[], object]) -> None:
    shop.view(lambda: f"{work()}")
    assert shop.get().status == 200


def closed(shop: Shop) -> None:
    engine = engine_of(shop)

    def work() -> None:
        with Session(engine) as session:
            read(session)

    serve(shop, work)


def closed_at_teardown(shop: Shop) -> None:
    engine = engine_of(shop)

    @shop.app.teardown_appcontext
    def close(error: BaseException | None) -> None:
        if "session" in flask.g:
            flask.g.session.close()

    def work() -> None:
        flask.g.session = Session(engine)
        read(flask.g.session)

    serve(shop, work)


def closed_after_writing(shop: Shop) -> None:
    engine = engine_of(shop)

    def work() -> None:
        with Session(engine) as session, session.begin():
            session.add(User(name="x"))

    serve(shop, work)


def of_a_factory(shop: Shop) -> None:
    factory = sessionmaker(engine_of(shop))

    def work() -> None:
        with factory() as session:
            read(session)

    serve(shop, work)


def left_open_in_g(shop: Shop) -> None:
    """It goes when the app context does, which nobody promised."""
    engine = engine_of(shop)

    def work() -> None:
        flask.g.session = Session(engine)
        read(flask.g.session)

    serve(shop, work)


def left_to_the_garbage_collector(shop: Shop) -> None:
    engine = engine_of(shop)

    def work() -> None:
        session = Session(engine)
        read(session)

    shop.app.teardown_request(lambda error: gc.collect() and None)
    serve(shop, work)


def left_open_by_a_factory(shop: Shop) -> None:
    factory = sessionmaker(engine_of(shop))

    def work() -> None:
        flask.g.session = factory()
        read(flask.g.session)

    serve(shop, work)


INFO = [closed, closed_at_teardown, closed_after_writing, of_a_factory]
WARNING = [left_open_in_g, left_to_the_garbage_collector, left_open_by_a_factory]


@pytest.mark.parametrize(
    ("scenario", "severity"),
    [(each, "info") for each in INFO] + [(each, "warning") for each in WARNING],
    ids=lambda each: getattr(each, "__name__", each),
)
def test_each_way_to_make_and_end_it(
    shop: Shop, scenario: Scenario, severity: str
) -> None:
    scenario(shop)

    record = shop.newest()
    finding = the(shop.inspection, CODE)
    (used,) = record.sessions
    assert (finding.name, finding.severity) == ("session-outside-registry", severity)
    assert finding.request_id == record.id
    assert finding.session == used.serial
    assert f"S{used.serial}, a Session " in finding.message
    by_factory = "factory" in scenario.__name__
    assert used.origin == ("factory" if by_factory else "direct")
    made = "that a sessionmaker made" if by_factory else "made directly"
    assert f"a Session {made}, ran 1 statement in this request" in finding.message
    assert ("not closed" in finding.message) is (severity == "warning")
    assert finding.location == used.first_use
    assert "session" in line(finding.location)
    assert line_of(finding.evidence["first use"]) == line(finding.location)
    assert finding.evidence["class"] == "Session"


@pytest.mark.parametrize("scenario", [*INFO, *WARNING], ids=lambda each: each.__name__)
def test_it_is_the_rule_that_finds_it(
    make_shop: MakeShop, tmp_path: t.Any, scenario: Scenario
) -> None:
    assert_found_by_its_rule(make_shop, tmp_path, CODE, scenario)


@pytest.mark.parametrize("scenario", INFO, ids=lambda each: each.__name__)
def test_a_closed_one_is_no_fault(shop: Shop, scenario: Scenario) -> None:
    scenario(shop)
    assert codes(shop.inspection) == set()


def test_each_session_is_told(shop: Shop) -> None:
    engine = engine_of(shop)

    def work() -> None:
        for number in range(1, 3):
            with Session(engine) as session:
                for _ in range(number):
                    read(session)

    serve(shop, work)
    one, two = found(shop.inspection, CODE)
    assert one.session != two.session
    assert {"1 statement " in f.message for f in (one, two)} == {True, False}
    assert {"2 statements " in f.message for f in (one, two)} == {True, False}


def test_an_async_session(make_app: MakeApp, tmp_path: t.Any) -> None:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{tmp_path}/shop.db", poolclass=sa.NullPool
    )
    app = make_app()
    SessionInspector(app)

    @app.get("/")
    async def view() -> str:
        async with AsyncSession(engine) as session:
            return str(await session.scalar(sa.text("SELECT 1")))

    finding = the(send(app), CODE)
    assert "an AsyncSession made directly" in finding.message
    assert finding.severity == "info"


def test_a_registry_that_nobody_named(make_app: MakeApp, tmp_path: t.Any) -> None:
    """Removed or not: nothing is known of its scope, so it is a note at most."""
    engine = new_engine(tmp_path)
    registry = scoped_session(sessionmaker(engine))
    app = make_app()
    SessionInspector(app)
    app.add_url_rule("/", "view", lambda: f"{read(registry)}")
    finding = the(send(app), CODE)
    assert finding.severity == "info"
    assert "a scoped_session unknown to the inspector" in finding.message
    assert "inspector.watch(" in finding.hint
    assert codes(inspection_of(app)) == set()


# Near misses


def silent(shop: Shop) -> None:
    assert found(shop.inspection, CODE) == []


def test_the_session_of_flask_sqlalchemy(shop: Shop) -> None:
    serve(shop, lambda: read(shop.db.session))
    assert codes(shop.inspection, "error", "warning", "info") == set()


def test_the_object_behind_the_proxy(shop: Shop) -> None:
    serve(shop, lambda: read(shop.db.session()))
    silent(shop)


def test_a_registry_that_is_watched(shop: Shop) -> None:
    registry = scoped_session(sessionmaker(engine_of(shop)))
    shop.inspector.watch(registry, name="reporting")
    shop.app.teardown_appcontext(lambda error: registry.remove())

    def work() -> None:
        read(registry)
        registry.remove()
        read(registry)

    serve(shop, work)
    silent(shop)


def test_the_sessions_of_lite(make_app: MakeApp, tmp_path: t.Any) -> None:
    url = f"sqlite:///{tmp_path}/shop.db"
    app = make_app(SQLALCHEMY_ENGINES={"default": url})
    db = SQLAlchemyLite(app)
    SessionInspector(app)

    @app.get("/")
    def view() -> str:
        for session in (db.session, db.get_session("second")):
            session.scalar(sa.text("SELECT 1"))
        return ""

    send(app)
    assert found(inspection_of(app), CODE) == []


def test_a_session_that_runs_no_statement(shop: Shop) -> None:
    engine = engine_of(shop)

    def work() -> None:
        session = Session(engine)
        session.add(User(name="draft"))
        session.expunge_all()
        session.close()

    serve(shop, work)
    silent(shop)


def test_a_connection_without_a_session(shop: Shop) -> None:
    engine = engine_of(shop)

    def work() -> None:
        with engine.connect() as connection:
            connection.execute(sa.select(User)).all()

    serve(shop, work)
    silent(shop)


def test_a_command_and_a_context_by_hand(shop: Shop) -> None:
    """They are no requests; a script may end as it likes."""
    engine = engine_of(shop)

    @shop.app.cli.command("work")
    def work() -> None:
        with shop.app.app_context(), Session(engine) as session:
            read(session)

    assert shop.app.test_cli_runner().invoke(args=["work"]).exit_code == 0
    with shop.app.app_context(), Session(engine) as session:
        read(session)
    silent(shop)


def test_one_that_is_pinned(shop: Shop) -> None:
    """FSI103 says where; that nobody closes it is true beside it."""
    session = Session(engine_of(shop))
    serve(shop, lambda: read(session))
    assert {CODE, "FSI103"} <= codes(shop.inspection)
    session.close()


@pytest.mark.parametrize("end", [Session.commit, Session.rollback])
@pytest.mark.parametrize("kept", [True, False])
def test_one_that_was_ended_and_not_closed(
    shop: Shop, end: t.Callable[[Session], None], kept: bool
) -> None:
    """The end of a transaction is not the end of the session."""
    engine = engine_of(shop)
    keep: queue.SimpleQueue[Session] = queue.SimpleQueue()

    def work() -> None:
        session = Session(engine)
        read(session)
        end(session)
        if kept:
            keep.put(session)

    serve(shop, work)
    finding = the(shop.newest(), CODE)
    assert finding.severity == "warning"
    assert "was not closed" in finding.message
    (used,) = shop.newest().sessions
    assert used.ended == ("open" if kept else "closed")
