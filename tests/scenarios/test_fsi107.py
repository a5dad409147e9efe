"""FSI107 scope-too-coarse: one scope key for two requests."""

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
from sqlalchemy.ext.asyncio import async_scoped_session
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import sessionmaker

from flask_session_inspector import SessionInspector

CODE = "FSI107"


def registry_of(shop: Shop, **options: t.Any) -> scoped_session[Session]:
    registry = scoped_session(sessionmaker(engine_of(shop)), **options)
    shop.inspector.watch(registry, name="reporting")
    return registry


def read(session: t.Any) -> None:
    session.scalars(sa.select(User)).all()


def serve(shop: Shop, work: t.Callable[[], object]) -> None:
    """Send two requests to two addresses, one after the other."""
    shop.app.add_url_rule("/<name>", "work", lambda name: f"{work()}")
    for path in ("/first", "/second"):
        assert shop.get(path).status == 200


def by_thread(shop: Shop) -> None:
    """What ``scoped_session(factory)`` does, and a thread that serves both."""
    registry = registry_of(shop)
    serve(shop, lambda: read(registry))


def by_thread_id(shop: Shop) -> None:
    registry = registry_of(shop, scopefunc=threading.get_ident)
    serve(shop, lambda: read(registry))


def by_a_constant(shop: Shop) -> None:
    registry = registry_of(shop, scopefunc=lambda: "everybody")
    serve(shop, lambda: read(registry))


def by_the_application(shop: Shop) -> None:
    registry = registry_of(
        shop, scopefunc=lambda: id(flask.current_app._get_current_object())
    )
    serve(shop, lambda: read(registry))


def committed_each_time(shop: Shop) -> None:
    """Nothing is left open; the objects of the one are there for the other."""
    registry = registry_of(shop)

    def write() -> None:
        registry.add(User(name="x"))
        registry.commit()

    serve(shop, write)


def asked_for_once(shop: Shop) -> None:
    """Not through the proxy: what it returned was used."""
    registry = registry_of(shop)
    serve(shop, lambda: read(registry()))


def only_added_to(shop: Shop) -> None:
    registry = registry_of(shop)

    def draft() -> None:
        registry.add(User(name="x"))

    serve(shop, draft)


SCENARIOS = [
    by_thread,
    by_thread_id,
    by_a_constant,
    by_the_application,
    committed_each_time,
    asked_for_once,
    only_added_to,
]
by_name = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)


@by_name
def test_each_key_that_is_too_coarse(shop: Shop, scenario: Scenario) -> None:
    scenario(shop)

    second, first = shop.inspection.requests(path="/", limit=2)
    assert found(first, CODE) == []
    finding = the(second, CODE)
    (used,) = second.sessions
    assert (finding.name, finding.severity) == ("scope-too-coarse", "error")
    assert finding.session == used.serial
    assert finding.request_id == second.id
    assert finding.related_requests == (first.id,)
    assert f"gave this request S{used.serial}" in finding.message
    assert "The registry reporting" in finding.message
    assert "GET /first" in finding.message
    assert finding.evidence["scope key"] == used.scope_key
    assert str(used.scope_key) in finding.message
    assert finding.location == used.first_use
    assert line(finding.location).startswith(("session.scalars(", "registry.add("))
    before = finding.evidence["before"]
    assert (before["request"], before["id"]) == ("GET /first", first.id)
    assert line_of(before["place"]) == line(finding.location)
    # What made it possible, and what came of it, stand beside it.
    assert {"FSI101", "FSI102"} <= codes(shop.inspection)
    assert "FSI106" not in codes(shop.inspection)


@by_name
def test_it_is_the_rule_that_finds_it(
    make_shop: MakeShop, tmp_path: t.Any, scenario: Scenario
) -> None:
    assert_found_by_its_rule(make_shop, tmp_path, CODE, scenario)


def test_requests_at_the_same_time(shop: Shop) -> None:
    """A constant key gives one session to two threads at once."""
    registry = registry_of(shop, scopefunc=lambda: None)
    in_use, go_on = threading.Event(), threading.Event()

    @shop.app.get("/slow")
    def slow() -> str:
        read(registry)
        in_use.set()
        wait(go_on)
        registry.rollback()
        return ""

    @shop.app.get("/quick")
    def quick() -> str:
        return f"{read(registry)}"

    first = start(lambda: shop.app.test_client().get("/slow").close(), "worker-1")
    wait(in_use)
    in_thread(lambda: shop.app.test_client().get("/quick").close(), "worker-2")
    go_on.set()
    join(first)

    (quick_one,) = shop.inspection.requests(path="/quick")
    (slow_one,) = shop.inspection.requests(path="/slow")
    finding = the(quick_one, CODE)
    assert finding.related_requests == (slow_one.id,)
    assert finding.evidence["before"]["state"] == "still running"
    assert finding.evidence["before"]["thread"] == "worker-1"
    assert finding.evidence["here"]["thread"] == "worker-2"
    assert "FSI301" in codes(quick_one)


def test_an_async_registry(make_app: MakeApp, tmp_path: t.Any) -> None:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{tmp_path}/shop.db", poolclass=sa.NullPool
    )
    registry = async_scoped_session(
        async_sessionmaker(engine), scopefunc=lambda: "everybody"
    )
    app = make_app()
    SessionInspector(app).watch(registry, name="reporting")

    @app.get("/")
    async def view() -> str:
        result = await registry.scalar(sa.text("SELECT 1"))
        await registry.commit()
        return str(result)

    first, second = send(app), send(app)
    finding = the(second, CODE)
    assert finding.related_requests == (first.id,)
    assert "The registry reporting" in finding.message


def test_a_registry_of_a_module(make_app: MakeApp, tmp_path: t.Any) -> None:
    """Nobody has to name it: the application's modules are looked through."""
    import conftest as module  # The module that the application belongs to.

    engine = new_engine(tmp_path)
    registry = scoped_session(sessionmaker(engine))
    app = make_app()
    SessionInspector(app)
    app.add_url_rule("/", "view", lambda: f"{read(registry)}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "DatabaseSession", registry, raising=False)
        send(app)
        finding = the(send(app), CODE)
    assert "DatabaseSession" in finding.message


# Near misses


@pytest.mark.parametrize("where", ["appcontext", "request", "before", "view"])
def test_removed_between_the_two(shop: Shop, where: str) -> None:
    registry = registry_of(shop)

    def remove(error: BaseException | None = None) -> None:
        registry.remove()

    if where == "appcontext":
        shop.app.teardown_appcontext(remove)
    elif where == "request":
        shop.app.teardown_request(remove)
    elif where == "before":
        shop.app.before_request(remove)

    def work() -> None:
        read(registry)
        if where == "view":
            remove()

    serve(shop, work)
    assert found(shop.inspection, CODE) == []
    assert found(shop.inspection, "FSI101") == []


def test_two_threads_with_a_session_each(shop: Shop) -> None:
    registry = registry_of(shop)
    shop.view(lambda: f"{read(registry)}")
    together = threading.Barrier(2)

    def work() -> None:
        together.wait(30)
        shop.app.test_client().get("/").close()
        together.wait(30)  # The number of a thread that ended is given away.

    threads = [start(work) for _ in range(2)]
    for thread in threads:
        join(thread)
    assert found(shop.inspection, CODE) == []
    assert len({f.session for f in found(shop.inspection, "FSI102")}) == 2


def test_requests_in_one_outer_context(shop: Shop) -> None:
    """FSI104 says that."""
    shop.view(lambda: f"{read(shop.db.session)}")
    with shop.app.app_context():
        for _ in range(2):
            shop.get()
    assert found(shop.inspection, CODE) == []
    assert "FSI104" in codes(shop.inspection)


def test_a_key_of_the_context_is_not_coarse(shop: Shop) -> None:
    registry = registry_of(
        shop, scopefunc=lambda: id(flask.globals.app_ctx._get_current_object())
    )
    shop.app.teardown_appcontext(lambda error: registry.remove())
    serve(shop, lambda: read(registry))
    assert codes(shop.inspection) == set()


def test_the_second_request_does_not_ask_for_it(shop: Shop) -> None:
    registry = registry_of(shop)
    works = {"first": lambda: read(registry), "second": lambda: None}
    shop.app.add_url_rule("/<name>", "work", lambda name: f"{works[name]()}")
    for path in ("/first", "/second"):
        shop.get(path)
    assert codes(shop.newest()) == set()


def test_used_outside_of_requests_before(shop: Shop) -> None:
    """Two requests are what it is about."""
    registry = registry_of(shop)
    read(registry)
    with shop.app.app_context():
        read(registry)
    shop.view(lambda: f"{read(registry)}")
    shop.get()
    assert found(shop.inspection, CODE) == []


def test_a_session_that_is_held_and_of_no_registry(shop: Shop) -> None:
    """FSI101 and FSI103 say that."""
    session = Session(engine_of(shop))
    serve(shop, lambda: read(session))
    assert found(shop.inspection, CODE) == []
    assert {"FSI101", "FSI103"} <= codes(shop.inspection)


def test_one_request_in_two_contexts(shop: Shop) -> None:
    """A registry by thread is right to give one session to a request."""
    registry = registry_of(shop)
    shop.app.teardown_request(lambda error: registry.remove())

    def work() -> None:
        read(registry)
        with shop.app.app_context():
            read(registry)

    serve(shop, work)
    assert codes(shop.inspection) == set()


def test_a_stream(shop: Shop) -> None:
    registry = registry_of(shop)
    shop.app.teardown_appcontext(lambda error: registry.remove())

    def view() -> flask.Response:
        read(registry)

        def rows() -> t.Iterator[str]:
            yield f"{read(registry)}"

        return flask.Response(flask.stream_with_context(rows()))

    shop.view(view)
    for _ in range(2):
        shop.app.test_client().get("/").close()
    assert found(shop.inspection, CODE) == []


def test_an_unknown_registry(make_app: MakeApp, tmp_path: t.Any) -> None:
    """Nothing is known of its scope, so nothing but a note is made of it."""
    engine = new_engine(tmp_path)
    registry = scoped_session(sessionmaker(engine))
    app = make_app()
    SessionInspector(app)
    app.add_url_rule("/", "view", lambda: f"{read(registry)}")
    for _ in range(2):
        send(app)
    assert codes(inspection_of(app)) == set()
    assert codes(inspection_of(app), "info") == {"FSI108"}


def test_objects_of_an_earlier_request_are_not_enough(shop: Shop) -> None:
    """A cache of detached objects, say: the session itself is not shared."""
    add_users(shop, "ann")
    cache: list[User] = []

    def work() -> None:
        if not cache:
            cache.extend(shop.db.session.scalars(sa.select(User)))
            for user in cache:
                shop.db.session.expunge(user)
        assert [user.name for user in cache] == ["ann"]

    serve(shop, work)
    assert codes(shop.inspection) == set()
