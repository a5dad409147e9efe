"""FSI302 used-after-teardown: SQL on the session of a request that is over."""

from __future__ import annotations

import contextvars
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
from faults import inspection_of
from faults import join
from faults import line
from faults import line_of
from faults import send
from faults import sessions_closed as sessions_closed
from faults import start
from faults import the
from faults import wait
from sqlalchemy.orm import Session
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import sessionmaker
from work import get
from work import read
from work import serve
from work import streams_in_another_session

from flask_session_inspector import RequestRecord
from flask_session_inspector import SessionInspector

CODE = "FSI302"


def read_late(session: t.Any) -> None:
    session.scalars(sa.select(User.id)).all()
    session.close()


def a_thread_with_its_own_context(shop: Shop) -> None:
    """What an executor's job does that was given a session."""
    over = threading.Event()
    threads = []

    def helper(session: Session) -> None:
        wait(over)
        with shop.app.app_context():
            read_late(session)

    def work() -> None:
        session = shop.db.session()
        read(session)
        threads.append(start(lambda: helper(session), "helper"))

    serve(shop, work)
    over.set()
    join(threads[0])


def a_thread_without_a_context(shop: Shop) -> None:
    over = threading.Event()
    threads = []
    engine = engine_of(shop)

    def helper(session: Session) -> None:
        wait(over)
        read_late(session)

    def work() -> None:
        with Session(engine) as session:
            read(session)
        threads.append(start(lambda: helper(session), "helper"))

    serve(shop, work)
    over.set()
    join(threads[0])


def a_thread_that_copied_the_context(shop: Shop) -> None:
    """The copied variables still name the app context, which was popped."""
    over = threading.Event()
    threads = []

    def helper(session: Session) -> None:
        wait(over)
        read_late(session)

    def work() -> None:
        session = shop.db.session()
        read(session)
        context = contextvars.copy_context()
        threads.append(start(lambda: context.run(helper, session), "helper"))

    serve(shop, work)
    over.set()
    join(threads[0])


def a_generator_without_a_context(shop: Shop) -> None:
    engine = engine_of(shop)

    def view() -> flask.Response:
        session = Session(engine)
        read(session)

        def rows() -> t.Iterator[str]:
            yield f"{read_late(session)}"

        return flask.Response(rows())

    shop.view(view)
    get(shop)


def a_generator_with_the_session_of_its_view(shop: Shop) -> None:
    """Its context goes on, and has another session by now."""

    def view() -> flask.Response:
        session = shop.db.session()
        read(session)

        def rows() -> t.Iterator[str]:
            yield f"{read_late(session)}"

        return flask.Response(flask.stream_with_context(rows()))

    shop.view(view)
    get(shop)


def when_the_response_is_closed(shop: Shop) -> None:
    def view() -> flask.Response:
        session = shop.db.session()
        read(session)
        response = flask.Response("done")

        @response.call_on_close
        def close() -> None:
            with shop.app.app_context():
                read_late(session)

        return response

    shop.view(view)
    get(shop)


def a_lazy_load_of_a_leaked_object(shop: Shop) -> None:
    add_users(shop, "ann")
    engine = engine_of(shop)
    leaked = []

    def work() -> None:
        session = Session(engine)
        leaked.append((session, session.scalars(sa.select(User)).one()))

    serve(shop, work)
    session, user = leaked.pop()
    assert user.posts == []
    session.close()


SCENARIOS = [
    a_thread_with_its_own_context,
    a_thread_without_a_context,
    a_thread_that_copied_the_context,
    a_generator_without_a_context,
    pytest.param(
        a_generator_with_the_session_of_its_view,
        marks=streams_in_another_session,
        id="a_generator_with_the_session_of_its_view",
    ),
    when_the_response_is_closed,
    a_lazy_load_of_a_leaked_object,
]
by_name = pytest.mark.parametrize(
    "scenario", SCENARIOS, ids=lambda each: getattr(each, "__name__", None)
)


@by_name
def test_each_late_use(shop: Shop, scenario: Scenario) -> None:
    scenario(shop)

    finding = the(shop.inspection, CODE)
    (request,) = shop.inspection.requests(path="/")
    used = request.sessions[0]
    assert (finding.name, finding.severity) == ("used-after-teardown", "error")
    assert finding.request_id == request.id
    assert finding.session == used.serial
    assert f"S{used.serial} ran SQL at test_fsi302.py:" in finding.message
    late = line(finding.location)
    assert "sa.select(User.id)" in late or "user.posts" in late
    assert line_of(finding.evidence["late use"]) == late
    first = line_of(finding.evidence["first use"])
    assert "sa.select(User))" in first
    threaded = "thread" in scenario.__name__
    assert finding.evidence["thread"] == ("helper" if threaded else "MainThread")
    assert not {"FSI101", "FSI301"} & codes(shop.inspection)


def test_the_record_of_the_late_use_is_named(shop: Shop) -> None:
    a_thread_with_its_own_context(shop)
    finding = the(shop.inspection, CODE)
    (context,) = [r for r in shop.inspection.requests() if r.kind == "context"]
    assert finding.related_requests == (context.id,)
    assert finding.evidence["in"] == "an app context pushed by hand"


def test_many_late_uses_are_one_finding(shop: Shop) -> None:
    sessions: list[Session] = []
    engine = engine_of(shop)

    def work() -> None:
        sessions.append(Session(engine))
        read(sessions[0])
        sessions[0].close()

    serve(shop, work)
    for _ in range(3):
        read_late(sessions[0])
    assert len(found(shop.inspection, CODE)) == 1


@by_name
def test_it_is_the_rule_that_finds_it(
    make_shop: MakeShop, tmp_path: t.Any, scenario: Scenario
) -> None:
    assert_found_by_its_rule(make_shop, tmp_path, CODE, scenario)


def test_flask_sqlalchemy_lite(make_app: MakeApp, tmp_path: t.Any) -> None:
    lite = pytest.importorskip("flask_sqlalchemy_lite")
    app = make_app(SQLALCHEMY_ENGINES={"default": f"sqlite:///{tmp_path}/lite.db"})
    db = lite.SQLAlchemy(app)
    SessionInspector(app)
    leaked: list[Session] = []

    @app.get("/")
    def view() -> str:
        leaked.append(db.session)
        db.session.execute(sa.text("SELECT 1"))
        return "done"

    request = send(app)
    in_thread(lambda: leaked[0].execute(sa.text("SELECT 2")), "helper")
    leaked[0].close()
    finding = the(inspection_of(app), CODE)
    assert finding.request_id == request.id
    assert finding.evidence["thread"] == "helper"
    assert "SELECT 2" in line(finding.location)


# Near misses


def only_request(shop: Shop) -> RequestRecord:
    (request,) = shop.inspection.requests(path="/")
    return request


def test_a_thread_that_loads_it_again(shop: Shop) -> None:
    """The fix: a key instead of the object, a context and session of its own."""
    add_users(shop, "ann")
    over = threading.Event()
    threads = []

    def helper(key: int) -> None:
        wait(over)
        with shop.app.app_context():
            assert shop.db.session.get(User, key) is not None

    def work() -> None:
        key = shop.db.session.scalars(sa.select(User)).one().id
        threads.append(start(lambda: helper(key)))

    serve(shop, work)
    over.set()
    join(threads[0])
    assert codes(shop.inspection) == set()


def test_no_sql_is_sent(shop: Shop) -> None:
    """Reading what is loaded, closing and looking are no use of the database."""
    add_users(shop, "ann")
    leaked: list[t.Any] = []
    engine = engine_of(shop)

    def work() -> None:
        with Session(engine) as session:
            leaked.extend([session, session.scalars(sa.select(User)).one()])

    serve(shop, work)
    session, user = leaked
    leaked.clear()
    assert user.name == "ann"
    assert user not in session
    session.close()
    assert found(shop.inspection, CODE) == []


def test_a_later_request(shop: Shop) -> None:
    """FSI101 and FSI103 say that."""
    session = Session(engine_of(shop))
    serve(shop, lambda: read(session), times=2)
    assert found(shop.inspection, CODE) == []
    assert "FSI101" in codes(shop.inspection)


def test_a_session_that_was_there_before_the_request(shop: Shop) -> None:
    """A script or a test has it, and the request was only a guest."""
    session = Session(engine_of(shop))
    read(session)
    serve(shop, lambda: read(session))
    read(session)
    session.close()
    assert found(shop.inspection, CODE) == []


def test_an_outer_app_context(shop: Shop) -> None:
    with shop.app.app_context():
        serve(shop, lambda: read(shop.db.session))
        read(shop.db.session)
    assert found(shop.inspection, CODE) == []


def test_a_preserved_context(shop: Shop) -> None:
    with shop.app.test_client() as client:
        shop.view(lambda: f"{read(shop.db.session)}")
        client.get("/")
        read(shop.db.session)
    assert codes(shop.inspection) == set()


def test_teardown_functions_and_after_this_request(shop: Shop) -> None:
    """The request is not over while its functions run."""

    @shop.app.teardown_request
    def tear_down(error: BaseException | None) -> None:
        read(shop.db.session)

    def work() -> None:
        read(shop.db.session)

        @flask.after_this_request
        def after(response: flask.Response) -> flask.Response:
            read(shop.db.session)
            return response

    record = serve(shop, work)
    assert record.statement_count == 3
    assert codes(shop.inspection) == set()


def test_a_generator_with_a_session_made_for_it(shop: Shop) -> None:
    """Opened by the view, and closed at the end of the stream."""
    engine = engine_of(shop)

    def view() -> flask.Response:
        session = Session(engine)
        read(session)

        def rows() -> t.Iterator[str]:
            with session:
                yield f"{read(session)}"

        return flask.Response(flask.stream_with_context(rows()))

    shop.view(view)
    get(shop)
    assert only_request(shop).statement_count == 2
    assert found(shop.inspection, CODE) == []


def test_a_registry_by_thread_in_a_job(shop: Shop) -> None:
    """The worker thread makes a session for itself."""
    registry = scoped_session(sessionmaker(engine_of(shop)))
    shop.inspector.watch(registry, name="jobs")
    shop.app.teardown_appcontext(lambda error: registry.remove())
    serve(shop, lambda: read(registry))
    in_thread(lambda: (read(registry), registry.remove()))
    read(registry)
    registry.remove()
    assert codes(shop.inspection) == set()
