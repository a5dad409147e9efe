"""FSI105 nested-context: two sessions of one registry in one request."""

from __future__ import annotations

import asyncio
import threading
import typing as t
from concurrent.futures import ThreadPoolExecutor

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
from faults import in_thread
from faults import inspection_of
from faults import line
from faults import line_of
from faults import send
from faults import sessions_closed as sessions_closed
from faults import the
from flask.cli import with_appcontext
from flask_sqlalchemy_lite import SQLAlchemy as SQLAlchemyLite
from sqlalchemy.orm import Session
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import sessionmaker

from flask_session_inspector import SessionInspector

CODE = "FSI105"


def read(session: t.Any) -> None:
    session.scalars(sa.select(User)).all()


def write(session: t.Any) -> None:
    session.add(User(name="x"))
    session.commit()


def a_helper_with_a_context_of_its_own(shop: Shop) -> None:
    def send_receipt() -> None:
        with shop.app.app_context():
            write(shop.db.session)

    def view() -> str:
        read(shop.db.session)
        shop.db.session.rollback()
        send_receipt()
        return ""

    shop.view(view)
    shop.get()


def the_inner_one_first(shop: Shop) -> None:
    def view() -> str:
        with shop.app.app_context():
            write(shop.db.session)
        read(shop.db.session)
        return ""

    shop.view(view)
    shop.get()


def one_after_the_other(shop: Shop) -> None:
    """Neither is of the request itself."""

    def view() -> str:
        for _ in range(2):
            with shop.app.app_context():
                write(shop.db.session)
        return ""

    shop.view(view)
    shop.get()


def one_in_the_other(shop: Shop) -> None:
    def view() -> str:
        with shop.app.app_context():
            read(shop.db.session)
            shop.db.session.rollback()
            with shop.app.app_context():
                write(shop.db.session)
        return ""

    shop.view(view)
    shop.get()


def in_a_stream(shop: Shop) -> None:
    """The stream has a session, and a context in it has another."""

    def rows() -> t.Iterator[str]:
        read(shop.db.session)
        shop.db.session.rollback()
        with shop.app.app_context():
            yield f"{read(shop.db.session)}"

    shop.view(lambda: flask.Response(flask.stream_with_context(rows())))
    shop.app.test_client().get("/").close()


def before_the_view(shop: Shop) -> None:
    @shop.app.before_request
    def log() -> None:
        with shop.app.app_context():
            write(shop.db.session)

    shop.view(lambda: f"{read(shop.db.session)}")
    shop.get()


SCENARIOS = [
    a_helper_with_a_context_of_its_own,
    the_inner_one_first,
    one_after_the_other,
    one_in_the_other,
    before_the_view,
    in_a_stream,
]
by_name = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)


@by_name
def test_each_way_to_nest(shop: Shop, scenario: Scenario) -> None:
    scenario(shop)

    record = shop.newest()
    finding = the(record, CODE)
    assert (finding.name, finding.severity) == ("nested-context", "warning")
    assert finding.request_id == record.id
    assert "used 2 sessions of db.session" in finding.message
    labels = [session.label for session in record.sessions]
    assert len(labels) == 2
    assert set(finding.evidence) == set(labels)
    for session in record.sessions:
        assert session.label in finding.message
        told = finding.evidence[session.label]
        assert told["app context"] == session.context + 1
        assert session.first_use is not None
        assert line_of(told["used"]) == line(session.first_use)
    # The one in the inner context is what is too much.
    assert finding.session in {s.serial for s in record.sessions if s.context > 0}
    assert codes(shop.inspection) == {CODE}


@by_name
def test_it_is_the_rule_that_finds_it(
    make_shop: MakeShop, tmp_path: t.Any, scenario: Scenario
) -> None:
    assert_found_by_its_rule(make_shop, tmp_path, CODE, scenario)


def test_it_names_both_places(shop: Shop) -> None:
    a_helper_with_a_context_of_its_own(shop)
    finding = the(shop.inspection, CODE)
    assert line(finding.location) == 'session.add(User(name="x"))'
    outer, inner = finding.evidence.values()
    assert (outer["app context"], inner["app context"]) == (1, 2)
    assert line_of(outer["used"]) == "session.scalars(sa.select(User)).all()"
    assert line_of(inner["used"]) == 'session.add(User(name="x"))'


def test_a_loop_is_told_in_short(shop: Shop) -> None:
    def view() -> str:
        read(shop.db.session)
        for _ in range(30):
            with shop.app.app_context():
                read(shop.db.session)
        return ""

    shop.view(view)
    shop.get()
    finding = the(shop.inspection, CODE)
    assert "used 31 sessions of db.session" in finding.message
    assert len(finding.message) < 250
    assert len(finding.evidence) < 12


def test_two_registries_are_told_apart(shop: Shop) -> None:
    registry = scoped_session(
        sessionmaker(engine_of(shop)),
        scopefunc=lambda: id(flask.globals.app_ctx._get_current_object()),
    )
    shop.inspector.watch(registry, name="reporting")
    shop.app.teardown_appcontext(lambda error: registry.remove())

    def view() -> str:
        for session in (shop.db.session, registry):
            read(session)
            session.rollback()
        with shop.app.app_context():
            read(registry)
        return ""

    shop.view(view)
    shop.get()
    assert "sessions of reporting" in the(shop.inspection, CODE).message


def test_lite(make_app: MakeApp, tmp_path: t.Any) -> None:
    app = make_app(SQLALCHEMY_ENGINES={"default": f"sqlite:///{tmp_path}/shop.db"})
    db = SQLAlchemyLite(app)
    SessionInspector(app)

    @app.get("/")
    def view() -> str:
        db.session.scalar(sa.text("SELECT 1"))
        with app.app_context():
            db.session.scalar(sa.text("SELECT 1"))
        return ""

    assert "used 2 sessions of db.session" in the(send(app), CODE).message


def test_a_command(shop: Shop) -> None:
    """It is one unit of work as much as a request is."""

    @shop.app.cli.command("work")
    @with_appcontext
    def work() -> None:
        read(shop.db.session)
        shop.db.session.rollback()
        with shop.app.app_context():
            read(shop.db.session)

    assert shop.app.test_cli_runner().invoke(args=["work"]).exit_code == 0
    assert "This command used 2 sessions" in the(shop.inspection, CODE).message


def test_an_async_view(shop: Shop) -> None:
    """It runs in a thread of its own, and so do the contexts that it pushes."""

    @shop.app.get("/")
    async def view() -> str:
        read(shop.db.session)
        shop.db.session.rollback()
        with shop.app.app_context():
            read(shop.db.session)
        return ""

    shop.get()
    assert the(shop.inspection, CODE)


# Near misses


def test_the_tasks_of_an_async_view(shop: Shop) -> None:
    """Each has a context, so that they do not share a session."""

    async def job() -> None:
        with shop.app.app_context():
            read(shop.db.session)

    @shop.app.get("/")
    async def view() -> str:
        read(shop.db.session)
        shop.db.session.rollback()
        await asyncio.gather(job(), job())
        await asyncio.create_task(job())
        await asyncio.create_task(job())
        await asyncio.to_thread(lambda: asyncio.run(job()))
        return ""

    assert shop.get().status == 200
    silent(shop)


def serve(shop: Shop, work: t.Callable[[], object]) -> None:
    shop.view(lambda: f"{work()}")
    assert shop.get().status == 200


def silent(shop: Shop) -> None:
    assert found(shop.inspection, CODE) == []


def test_only_the_inner_one_uses_a_session(shop: Shop) -> None:
    def work() -> None:
        with shop.app.app_context():
            write(shop.db.session)

    serve(shop, work)
    assert codes(shop.inspection) == set()


def test_only_the_outer_one_uses_a_session(shop: Shop) -> None:
    def work() -> None:
        read(shop.db.session)
        with shop.app.app_context():
            assert flask.current_app.name

    serve(shop, work)
    assert codes(shop.inspection) == set()


def test_the_inner_one_only_has_a_session_made(shop: Shop) -> None:
    def work() -> None:
        read(shop.db.session)
        with shop.app.app_context():
            shop.db.session()

    serve(shop, work)
    silent(shop)


def test_two_sessions_one_after_the_other_and_no_nesting(shop: Shop) -> None:
    def work() -> None:
        read(shop.db.session)
        shop.db.session.remove()
        read(shop.db.session)

    serve(shop, work)
    assert codes(shop.inspection) == set()


def test_a_session_that_is_removed_in_the_inner_one(shop: Shop) -> None:
    """Two sessions, and yet never one beside the other."""

    def work() -> None:
        with shop.app.app_context():
            read(shop.db.session)
            shop.db.session.remove()
            read(shop.db.session)

    serve(shop, work)
    assert codes(shop.inspection) == set()


def test_an_inner_context_and_a_thread(shop: Shop) -> None:
    """One session in each, and none around them."""

    def work() -> None:
        with shop.app.app_context():
            read(shop.db.session)
        in_thread(flask.copy_current_request_context(lambda: read(shop.db.session)))

    serve(shop, work)
    silent(shop)


def test_an_inner_context_and_a_stream(shop: Shop) -> None:
    """The context in the view was over when the stream began."""

    def view() -> flask.Response:
        with shop.app.app_context():
            read(shop.db.session)

        def rows() -> t.Iterator[str]:
            yield f"{read(shop.db.session)}"

        return flask.Response(flask.stream_with_context(rows()))

    shop.view(view)
    shop.app.test_client().get("/").close()
    if shop.newest().contexts == 2:
        pytest.skip("Before Flask 3.1.2 the stream goes on in the same context.")
    silent(shop)


def test_the_inner_context_has_a_session_of_its_own_making(shop: Shop) -> None:
    engine = engine_of(shop)

    def work() -> None:
        read(shop.db.session)
        shop.db.session.rollback()
        with shop.app.app_context(), Session(engine) as session:
            read(session)

    serve(shop, work)
    assert codes(shop.inspection) == set()


def test_a_thread_with_a_context_of_its_own(shop: Shop) -> None:
    def job() -> None:
        with shop.app.app_context():
            write(shop.db.session)

    def work() -> None:
        read(shop.db.session)
        shop.db.session.rollback()
        in_thread(job)

    serve(shop, work)
    assert codes(shop.inspection) == set()


def test_a_thread_with_a_copy_of_the_request_context(shop: Shop) -> None:
    def work() -> None:
        read(shop.db.session)
        shop.db.session.rollback()
        in_thread(flask.copy_current_request_context(lambda: read(shop.db.session)))

    serve(shop, work)
    silent(shop)


def test_a_stream_that_goes_on(shop: Shop) -> None:
    def view() -> flask.Response:
        read(shop.db.session)

        def rows() -> t.Iterator[str]:
            yield f"{read(shop.db.session)}"

        return flask.Response(flask.stream_with_context(rows()))

    shop.view(view)
    shop.app.test_client().get("/").close()
    silent(shop)


def test_a_nested_context_of_another_application(make_app: MakeApp, shop: Shop) -> None:
    other = make_app(SQLALCHEMY_DATABASE_URI=shop.app.config["SQLALCHEMY_DATABASE_URI"])
    shop.db.init_app(other)
    SessionInspector(other)

    def work() -> None:
        read(shop.db.session)
        shop.db.session.rollback()
        with other.app_context():
            read(shop.db.session)

    serve(shop, work)
    assert codes(shop.inspection) == codes(inspection_of(other)) == set()


def test_the_named_sessions_of_lite(make_app: MakeApp, tmp_path: t.Any) -> None:
    app = make_app(SQLALCHEMY_ENGINES={"default": f"sqlite:///{tmp_path}/shop.db"})
    db = SQLAlchemyLite(app)
    SessionInspector(app)

    @app.get("/")
    def view() -> str:
        for session in (db.session, db.get_session("second")):
            session.scalar(sa.text("SELECT 1"))
            session.rollback()
        with app.app_context():
            db.get_session("third").scalar(sa.text("SELECT 1"))
        return ""

    send(app)
    assert codes(inspection_of(app)) == set()


def test_contexts_that_were_pushed_by_hand(shop: Shop) -> None:
    """Fixtures around fixtures: there is no request in which it could do harm."""
    with shop.app.app_context():
        read(shop.db.session)
        shop.db.session.rollback()
        with shop.app.app_context():
            read(shop.db.session)
    silent(shop)


def test_a_context_in_each_of_two_threads_at_once(shop: Shop) -> None:
    together = threading.Barrier(2)

    def job() -> None:
        with shop.app.app_context():
            read(shop.db.session)
            together.wait(30)

    def work() -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: job(), range(2)))

    serve(shop, work)
    silent(shop)


def test_a_command_with_a_context_for_each_job(shop: Shop) -> None:
    """Flask pushes one around it, which nobody uses."""

    @shop.app.cli.command("worker")
    def worker() -> None:
        for _ in range(3):
            with shop.app.app_context():
                shop.db.session.scalars(sa.select(User)).all()

    result = shop.app.test_cli_runner().invoke(args=["worker"])
    assert result.exit_code == 0, result.output
    assert codes(shop.inspection) == set()
