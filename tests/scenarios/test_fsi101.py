"""FSI101 session-shared: one session serves two requests."""

from __future__ import annotations

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
from faults import new_engine
from faults import send
from faults import sessions_closed as sessions_closed
from faults import start
from faults import the
from faults import wait
from flask_sqlalchemy_lite import SQLAlchemy as SQLAlchemyLite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

from flask_session_inspector import SessionInspector

CODE = "FSI101"


def two_views(
    shop: Shop, first: t.Callable[[], object], second: t.Callable[[], object]
) -> None:
    """Send a request that does the one thing, then one that does the other."""
    works = {"first": first, "second": second}
    shop.app.add_url_rule("/<name>", "work", lambda name: f"{works[name]()}")
    assert shop.get("/first").status == 200
    assert shop.get("/second").status == 200


def sql(shop: Shop) -> None:
    session = Session(engine_of(shop))

    def read() -> None:
        session.scalars(sa.select(User)).all()

    two_views(shop, read, read)


def sql_after_a_commit(shop: Shop) -> None:
    session = Session(engine_of(shop))

    def write() -> None:
        session.add(User(name="x"))
        session.commit()

    def read() -> None:
        session.scalars(sa.select(User)).all()
        session.commit()

    two_views(shop, write, read)


def flush(shop: Shop) -> None:
    session = Session(engine_of(shop))
    two_views(shop, lambda: session.add(User(name="x")), lambda: session.flush())


def commit(shop: Shop) -> None:
    session = Session(engine_of(shop))

    def write() -> None:
        session.add(User(name="x"))
        session.flush()

    two_views(shop, write, lambda: session.commit())


def roll_back(shop: Shop) -> None:
    session = Session(engine_of(shop))

    def write() -> None:
        session.add(User(name="x"))
        session.flush()

    two_views(shop, write, lambda: session.rollback())


def attach(shop: Shop) -> None:
    session = Session(engine_of(shop))

    def draft() -> None:
        session.add(User(name="x"))

    two_views(shop, draft, draft)


def attach_to_what_began_outside(shop: Shop) -> None:
    """The session was in a transaction before the first request came."""
    session = Session(engine_of(shop))
    session.scalars(sa.select(User)).all()

    def draft() -> None:
        session.add(User(name="x"))

    two_views(shop, draft, draft)


def a_session_kept_by_a_request(shop: Shop) -> None:
    """Of ``db.session`` itself: the object behind the proxy was kept."""
    kept: list[Session] = []

    def keep() -> None:
        kept.append(shop.db.session())
        kept[0].scalars(sa.select(User)).all()

    two_views(shop, keep, lambda: kept[0].scalars(sa.select(User)).all())


def an_object_kept_by_a_request(shop: Shop) -> None:
    """Its session, made by hand, lives on with whoever made it."""
    add_users(shop, "ann")
    kept: list[t.Any] = []

    def keep() -> None:
        session = Session(engine_of(shop))
        kept.extend([session, session.scalars(sa.select(User)).one()])

    two_views(shop, keep, lambda: len(kept[1].posts))


SCENARIOS = [
    sql,
    sql_after_a_commit,
    flush,
    commit,
    roll_back,
    attach,
    attach_to_what_began_outside,
    a_session_kept_by_a_request,
    an_object_kept_by_a_request,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)
def test_each_kind_of_use_counts(shop: Shop, scenario: Scenario) -> None:
    scenario(shop)

    second, first = shop.inspection.requests(path="/", limit=2)
    assert found(first, CODE) == []
    finding = the(second, CODE)
    (used,) = second.sessions
    assert (finding.name, finding.severity) == ("session-shared", "error")
    assert finding.session == used.serial
    assert finding.related_requests == (first.id,)
    assert finding.request_id == second.id
    assert f"S{used.serial} served this request" in finding.message
    assert "GET /first" in finding.message
    assert finding.location == used.first_use
    assert "session." in line(finding.location) or "kept[" in line(finding.location)
    before = finding.evidence["before"]
    assert (before["request"], before["id"]) == ("GET /first", first.id)
    assert before["state"] == "ended"
    assert before["thread"] == threading.current_thread().name
    assert line_of(finding.evidence["here"]["place"]) == line(finding.location)
    assert line_of(before["place"])


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)
def test_it_is_the_rule_that_finds_it(
    make_shop: MakeShop, tmp_path: t.Any, scenario: Scenario
) -> None:
    assert_found_by_its_rule(make_shop, tmp_path, CODE, scenario)


@pytest.mark.parametrize("use", ["SQL", "attach", "commit", "rollback"])
def test_requests_at_the_same_time(shop: Shop, use: str) -> None:
    """The second comes while the first still has the session."""
    session = Session(engine_of(shop))
    in_use = threading.Event()
    go_on = threading.Event()
    uses: dict[str, t.Callable[[], object]] = {
        "SQL": lambda: session.scalars(sa.select(User)).all(),
        "attach": lambda: session.add(User(name="y")),
        "commit": lambda: session.commit(),
        "rollback": lambda: session.rollback(),
    }

    @shop.app.get("/slow")
    def slow() -> str:
        session.add(User(name="x"))
        session.flush()
        in_use.set()
        wait(go_on)
        return ""

    @shop.app.get("/quick")
    def quick() -> str:
        uses[use]()
        return ""

    first = start(lambda: shop.app.test_client().get("/slow").close(), "worker-1")
    wait(in_use)
    in_thread(lambda: shop.app.test_client().get("/quick").close(), "worker-2")
    go_on.set()
    join(first)

    quick_one = shop.inspection.requests(path="/quick")[0]
    slow_one = shop.inspection.requests(path="/slow")[0]
    finding = the(quick_one, CODE)
    assert finding.related_requests == (slow_one.id,)
    assert finding.evidence["here"]["thread"] == "worker-2"
    assert finding.evidence["before"]["thread"] == "worker-1"
    assert finding.evidence["before"]["state"] == "still running"
    assert "FSI301" in codes(quick_one)


def test_it_names_what_holds_the_session(shop: Shop) -> None:
    sql(shop)
    finding = the(shop.inspection, CODE)
    (held_by,) = finding.evidence["held by"]
    assert held_by.startswith('view function "work" > ')
    assert "FSI103" in codes(shop.newest())


def test_it_tells_how_many_objects_came_along(shop: Shop) -> None:
    add_users(shop, "ann", "bob")
    session = Session(engine_of(shop))
    users: list[User] = []

    def read() -> None:
        users.extend(session.scalars(sa.select(User)))

    two_views(shop, read, read)
    assert the(shop.inspection, CODE).evidence["objects carried over"] == 2


def test_each_request_names_the_one_before(shop: Shop) -> None:
    session = Session(engine_of(shop))
    shop.view(lambda: str(session.scalars(sa.select(User)).all()))
    records = [shop.get() for _ in range(4)]
    assert [the(r, CODE).related_requests for r in records[1:]] == [
        (record.id,) for record in records[:-1]
    ]


def test_two_applications_share_a_session(make_app: MakeApp, tmp_path: t.Any) -> None:
    engine = new_engine(tmp_path)
    session = Session(engine)
    apps = [make_app(), make_app()]
    for app in apps:
        SessionInspector(app)
        app.add_url_rule(
            "/", "read", lambda: str(session.scalars(sa.select(User)).all())
        )
    first, second = (send(app) for app in apps)

    assert found(first, CODE) == []
    assert the(second, CODE).related_requests == (first.id,)


def test_a_session_of_lite(make_app: MakeApp, tmp_path: t.Any) -> None:
    app = make_app(SQLALCHEMY_ENGINES={"default": f"sqlite:///{tmp_path}/shop.db"})
    db = SQLAlchemyLite(app)
    SessionInspector(app)
    kept: list[Session] = []

    @app.get("/")
    def view() -> str:
        if not kept:
            kept.append(db.session)
        return str(kept[0].scalar(sa.text("SELECT 1")))

    first, second = send(app), send(app)
    assert found(first, CODE) == []
    finding = the(second, CODE)
    assert finding.related_requests == (first.id,)
    assert line(finding.location).startswith("return str(kept[0].scalar(")


def test_an_async_session(make_app: MakeApp, tmp_path: t.Any) -> None:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{tmp_path}/shop.db", poolclass=sa.NullPool
    )
    app = make_app()
    SessionInspector(app)
    session = AsyncSession(engine)

    @app.get("/")
    async def view() -> str:
        result = await session.scalar(sa.text("SELECT 1"))
        await session.commit()
        return str(result)

    first, second = send(app), send(app)
    finding = the(second, CODE)
    assert finding.related_requests == (first.id,)
    assert line(finding.location).startswith("result = await session.scalar(")


# Near misses


def silent(shop: Shop) -> None:
    assert found(shop.inspection, CODE) == []


def test_the_proxy_is_shared_and_its_sessions_are_not(shop: Shop) -> None:
    session = shop.db.session  # At module level in a real application.

    def write() -> None:
        session.add(User(name="x"))
        session.commit()

    two_views(shop, write, lambda: session.scalars(sa.select(User)).all())
    assert codes(shop.inspection) == set()


def test_requests_in_one_outer_context(shop: Shop) -> None:
    """That is another fault, which FSI104 tells."""
    shop.view(lambda: str(shop.db.session.scalars(sa.select(User)).all()))
    with shop.app.app_context():
        for _ in range(2):
            shop.app.test_client().get("/").close()
    silent(shop)
    assert len(found(shop.inspection, "FSI104")) == 2


def test_only_one_request_uses_what_is_held(shop: Shop) -> None:
    session = Session(engine_of(shop))

    def read() -> None:
        session.scalars(sa.select(User)).all()
        session.commit()

    two_views(shop, read, lambda: repr(type(session)))
    silent(shop)


def test_used_before_the_first_request_and_by_one(shop: Shop) -> None:
    """At import, in an app context by hand and after the request, too."""
    session = Session(engine_of(shop))
    session.scalars(sa.select(User)).all()
    with shop.app.app_context():
        session.scalars(sa.select(User)).all()
        session.commit()
    shop.view(lambda: str(session.scalars(sa.select(User)).all()))
    shop.get()
    session.commit()
    silent(shop)


def test_sessions_at_one_address(shop: Shop) -> None:
    """CPython gives the address of a dead session to the next."""
    engine = engine_of(shop)
    addresses: list[int] = []

    def view() -> str:
        with Session(engine) as session:
            addresses.append(id(session))
            return str(session.scalars(sa.select(User)).all())

    shop.view(view)
    while len(set(addresses)) == len(addresses) < 2_000:
        shop.get()
    assert len(set(addresses)) < len(addresses)
    assert codes(shop.inspection) == set()


def test_a_stream_that_goes_on_with_the_session_of_its_request(shop: Shop) -> None:
    engine = engine_of(shop)

    def view() -> flask.Response:
        session = Session(engine)
        flask.g.session = session
        session.scalars(sa.select(User)).all()

        def rows() -> t.Iterator[str]:
            with session:
                yield str(session.scalars(sa.select(User)).all())

        return flask.Response(flask.stream_with_context(rows()))

    shop.view(view)
    for _ in range(2):
        shop.app.test_client().get("/").close()
    silent(shop)


def test_a_thread_of_the_same_request(shop: Shop) -> None:
    """It copied the request context, and has the session in turn."""
    engine = engine_of(shop)

    def view() -> str:
        with Session(engine) as session:
            session.scalars(sa.select(User)).all()

            @flask.copy_current_request_context
            def work() -> None:
                session.scalars(sa.select(User)).all()

            in_thread(work)
            return ""

    shop.view(view)
    for _ in range(2):
        assert shop.get().status == 200
    silent(shop)


def test_a_preserved_context_is_still_the_one_request(shop: Shop) -> None:
    shop.view(lambda: str(shop.db.session.scalars(sa.select(User)).all()))
    with shop.app.test_client() as client:
        client.get("/")
        shop.db.session.scalars(sa.select(User)).all()
        client.get("/")
    silent(shop)


def test_a_command_and_a_request(make_app: MakeApp, tmp_path: t.Any) -> None:
    """One request is no two, whoever had the session beside it."""
    engine = new_engine(tmp_path)
    app = make_app()
    SessionInspector(app)
    session = Session(engine)

    @app.cli.command("work")
    def work() -> None:
        session.scalar(sa.text("SELECT 1"))
        session.commit()

    @app.get("/")
    def view() -> str:
        session.scalar(sa.text("SELECT 1"))
        session.commit()
        return ""

    assert app.test_cli_runner().invoke(args=["work"]).exit_code == 0
    send(app)
    assert app.test_cli_runner().invoke(args=["work"]).exit_code == 0
    assert found(inspection_of(app), CODE) == []
