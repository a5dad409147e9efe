"""FSI102 session-not-removed: the app context is gone and its session is not."""

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
from faults import line
from faults import line_of
from faults import new_engine
from faults import send
from faults import sessions_closed as sessions_closed
from faults import start
from faults import the
from faults import wait
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Session
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import sessionmaker

from flask_session_inspector import SessionInspector

CODE = "FSI102"


def teardown_first(shop: Shop, function: t.Callable[..., object]) -> None:
    """Register a teardown function as if before ``db.init_app()``; it runs late."""
    shop.app.teardown_appcontext_funcs.insert(0, function)


def registry_of(shop: Shop, **options: t.Any) -> scoped_session[Session]:
    """Make a registry of one's own, of which the inspector knows."""
    registry = scoped_session(sessionmaker(engine_of(shop)), **options)
    shop.inspector.watch(registry, name="reporting")
    return registry


def used_after_its_removal(shop: Shop) -> None:
    @shop.app.get("/")
    def view() -> str:
        flask.g.late = True
        return str(shop.db.session.scalars(sa.select(User)).all())

    def save_statistics(error: BaseException | None) -> None:
        if "late" in flask.g:
            shop.db.session.scalars(sa.select(User)).all()

    teardown_first(shop, save_statistics)
    shop.get()


def used_only_after_the_removal(shop: Shop) -> None:
    """The view itself needs no database."""

    @shop.app.get("/")
    def view() -> str:
        flask.g.late = True
        return "hello"

    def save_statistics(error: BaseException | None) -> None:
        if "late" in flask.g:
            shop.db.session.add(User(name="x"))
            shop.db.session.commit()

    teardown_first(shop, save_statistics)
    shop.get()


def only_made_after_the_removal(shop: Shop) -> None:
    @shop.app.get("/")
    def view() -> str:
        flask.g.late = True
        return str(shop.db.session.scalars(sa.select(User)).all())

    def look(error: BaseException | None) -> None:
        if "late" in flask.g:
            shop.db.session()

    teardown_first(shop, look)
    shop.get()


def never_removed(shop: Shop) -> None:
    registry = registry_of(shop)

    @shop.app.get("/")
    def view() -> str:
        return str(registry.scalars(sa.select(User)).all())

    shop.get()


def committed_and_never_removed(shop: Shop) -> None:
    add_users(shop, "ann")
    registry = registry_of(shop)
    kept = []

    @shop.app.get("/")
    def view() -> str:
        kept.append(registry.scalars(sa.select(User)).one())
        registry.commit()
        return ""

    shop.get()


def left_open(shop: Shop) -> None:
    """Made by hand, and kept by something that the request does not end."""
    engine = engine_of(shop)
    kept: list[Session] = []

    @shop.app.get("/")
    def view() -> str:
        kept.append(Session(engine))
        return str(kept[0].scalars(sa.select(User)).all())

    shop.get()


def a_teardown_that_fails(shop: Shop) -> None:
    """Flask before 3.2 skips the functions after it, and sends no signal."""

    @shop.app.get("/")
    def view() -> str:
        flask.g.late = True
        return str(shop.db.session.scalars(sa.select(User)).all())

    @shop.app.teardown_appcontext
    def fail(error: BaseException | None) -> None:
        if "late" in flask.g:
            raise LookupError

    with pytest.raises(LookupError):
        shop.app.test_client().get("/")


HELD = [
    used_after_its_removal,
    used_only_after_the_removal,
    only_made_after_the_removal,
    never_removed,
    committed_and_never_removed,
]
SCENARIOS = [*HELD, left_open, a_teardown_that_fails]
by_name = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)


@by_name
def test_each_way_to_leave_a_session_behind(shop: Shop, scenario: Scenario) -> None:
    scenario(shop)

    finding = the(shop.inspection, CODE)
    record = shop.newest()
    assert (finding.name, finding.severity) == ("session-not-removed", "error")
    assert finding.request_id == record.id
    (left,) = (s for s in record.sessions if s.serial == finding.session)
    assert left.ended == "open"
    how = "closed" if scenario is left_open else "removed"
    assert f"S{left.serial} was not {how} when its app context" in finding.message
    assert finding.location == left.first_use


@by_name
def test_it_is_the_rule_that_finds_it(
    make_shop: MakeShop, tmp_path: t.Any, scenario: Scenario
) -> None:
    assert_found_by_its_rule(make_shop, tmp_path, CODE, scenario)


@pytest.mark.parametrize("scenario", HELD, ids=lambda each: each.__name__)
def test_it_names_the_registry_and_its_key(shop: Shop, scenario: Scenario) -> None:
    scenario(shop)
    finding = the(shop.inspection, CODE)
    (left,) = (s for s in shop.newest().sessions if s.serial == finding.session)
    name = "db.session" if "removal" in scenario.__name__ else "reporting"
    assert finding.evidence["registry"] == left.registry == name
    assert finding.evidence["scope key"] == left.scope_key
    assert f"the registry {name} still holds it" in finding.message


def test_it_tells_a_teardown_function_that_came_late(shop: Shop) -> None:
    used_after_its_removal(shop)
    finding = the(shop.inspection, CODE)
    assert finding.location is not None
    assert finding.location.function == "save_statistics"
    assert line(finding.location).startswith("shop.db.session.scalars(")
    assert line_of(finding.evidence["first use"]) == line(finding.location)
    assert "after it had been removed" in finding.message
    assert finding.evidence["made"].startswith("during the teardown")
    assert finding.evidence["transaction open"] is True
    first, second = shop.newest().sessions
    assert (first.ended, second.ended) == ("removed", "open")
    assert finding.session == second.serial


def test_it_tells_what_is_left_in_it(shop: Shop) -> None:
    committed_and_never_removed(shop)
    finding = the(shop.inspection, CODE)
    assert finding.evidence["transaction open"] is False
    assert finding.evidence["objects still in it"] == 1


def test_a_session_by_hand_is_told_by_its_transaction(shop: Shop) -> None:
    left_open(shop)
    finding = the(shop.inspection, CODE)
    assert "its transaction is still open" in finding.message
    assert "registry" not in finding.evidence
    assert line(finding.location).startswith("return str(kept[0].scalars(")
    # Why nobody removed it, and what it still costs.
    assert codes(shop.newest()) == {CODE, "FSI103", "FSI108", "FSI202"}


def test_each_request_that_leaves_one_tells_so(shop: Shop) -> None:
    """Threads end; a registry by thread keeps one session for each of the living."""
    registry = registry_of(shop)
    shop.view(lambda: str(registry.scalars(sa.select(User)).all()))
    together = threading.Barrier(3)

    def serve() -> None:
        shop.app.test_client().get("/").close()
        together.wait(30)

    threads = [start(serve) for _ in range(2)]
    together.wait(30)
    for thread in threads:
        thread.join()
    findings = found(shop.inspection, CODE)
    assert len({finding.session for finding in findings}) == 2
    assert len({finding.evidence["scope key"] for finding in findings}) == 2


def test_a_context_by_hand(shop: Shop) -> None:
    registry = registry_of(shop)
    with shop.app.app_context():
        registry.scalars(sa.select(User)).all()
    finding = the(shop.inspection, CODE)
    assert shop.newest().kind == "context"
    assert line(finding.location).startswith("registry.scalars(")


# Near misses


def serve(shop: Shop, work: t.Callable[[], object], times: int = 2) -> None:
    shop.view(lambda: f"{work()}")
    for _ in range(times):
        assert shop.get().status == 200


def read(session: t.Any) -> None:
    session.scalars(sa.select(User)).all()


def mark_as_served() -> None:
    flask.g.served = True


def test_flask_sqlalchemy_removes_its_own(shop: Shop) -> None:
    serve(shop, lambda: read(shop.db.session))
    assert codes(shop.inspection, "error", "warning", "info") == set()


def test_a_teardown_function_that_comes_before_the_removal(shop: Shop) -> None:
    @shop.app.teardown_appcontext
    def save_statistics(error: BaseException | None) -> None:
        if not flask.g.pop("served", False):
            return  # The test tidies up.
        read(shop.db.session)

    shop.app.before_request(mark_as_served)
    serve(shop, lambda: read(shop.db.session))
    assert codes(shop.inspection) == set()


def test_a_late_teardown_function_that_removes_what_it_used(shop: Shop) -> None:
    def save_statistics(error: BaseException | None) -> None:
        if not flask.g.pop("served", False):
            return  # The test tidies up.
        read(shop.db.session)
        shop.db.session.remove()

    teardown_first(shop, save_statistics)
    shop.app.before_request(mark_as_served)
    serve(shop, lambda: read(shop.db.session))
    assert codes(shop.inspection) == set()


def test_a_late_teardown_function_that_closes_what_it_used(shop: Shop) -> None:
    def save_statistics(error: BaseException | None) -> None:
        if not flask.g.pop("served", False):
            return  # The test tidies up.
        read(shop.db.session)
        shop.db.session.close()

    teardown_first(shop, save_statistics)
    shop.app.before_request(mark_as_served)
    serve(shop, lambda: read(shop.db.session))
    assert found(shop.inspection, CODE) == []


@pytest.mark.parametrize("where", ["appcontext", "request", "view"])
@pytest.mark.parametrize("end", ["remove", "close"])
def test_a_registry_that_is_looked_after(shop: Shop, where: str, end: str) -> None:
    registry = registry_of(shop)

    def finish(error: BaseException | None = None) -> None:
        getattr(registry, end)()

    if where == "appcontext":
        shop.app.teardown_appcontext(finish)
    elif where == "request":
        shop.app.teardown_request(finish)

    def work() -> None:
        read(registry)
        if where == "view":
            finish()

    serve(shop, work)
    assert found(shop.inspection, CODE) == []


@pytest.mark.parametrize("first", [True, False])
def test_a_registry_that_the_request_did_not_touch(shop: Shop, first: bool) -> None:
    """What is in it is of the thread, from before and outside of all contexts."""
    registry = registry_of(shop)
    read(registry)
    if first:
        registry.commit()
    serve(shop, lambda: "hello")
    with shop.app.app_context():
        pass
    assert codes(shop.inspection) == set()


def test_a_session_that_began_outside_of_all_contexts(shop: Shop) -> None:
    """The transaction is that of whoever made the session."""
    session = Session(engine_of(shop))
    read(session)
    with shop.app.app_context():
        read(session)
    assert found(shop.inspection, CODE) == []


def test_a_session_by_hand_that_is_closed(shop: Shop) -> None:
    engine = engine_of(shop)
    kept = []

    def work() -> None:
        session = Session(engine)
        kept.append(session)
        read(session)
        session.close()

    serve(shop, work)
    assert found(shop.inspection, CODE) == []


def test_a_session_by_hand_that_has_no_transaction(shop: Shop) -> None:
    engine = engine_of(shop)
    kept = []

    def work() -> None:
        session = Session(engine)
        kept.append(session)
        session.add(User(name="x"))
        session.commit()

    serve(shop, work)
    assert found(shop.inspection, CODE) == []


def test_a_nested_context_ends_before_its_request(shop: Shop) -> None:
    """The registry is by request: the outer context is the one that removes."""
    registry = registry_of(
        shop, scopefunc=lambda: id(flask.request._get_current_object())
    )
    shop.app.teardown_request(lambda error: registry.remove())

    def work() -> None:
        read(registry)
        with shop.app.app_context():
            read(registry)
        read(registry)

    serve(shop, work)
    assert codes(shop.inspection) == set()


def test_an_unknown_registry(make_app: MakeApp, tmp_path: t.Any) -> None:
    """Of what nobody named, nobody knows how long it should last."""
    engine = new_engine(tmp_path)
    registry = scoped_session(sessionmaker(engine))
    app = make_app()
    SessionInspector(app)
    app.add_url_rule("/", "view", lambda: f"{read(registry)}")
    in_thread(lambda: send(app))
    assert found(inspection_of(app), CODE) == []


@pytest.mark.parametrize("streamed", [True, False])
def test_a_context_that_is_pushed_again(shop: Shop, streamed: bool) -> None:
    def view() -> flask.Response:
        read(shop.db.session)

        def rows() -> t.Iterator[str]:
            read(shop.db.session)
            yield "row"

        return flask.Response(flask.stream_with_context(rows()) if streamed else "")

    shop.view(view)
    with shop.app.test_client() as client:
        for _ in range(2):
            client.get("/")
            read(shop.db.session)
    assert found(shop.inspection, CODE) == []


@pytest.mark.parametrize("closed", [True, False])
def test_a_session_by_hand_that_the_stream_ends(shop: Shop, closed: bool) -> None:
    """The view begins it; the response goes on with it, in the same context."""
    engine = engine_of(shop)
    kept = []

    def view() -> flask.Response:
        session = Session(engine)
        kept.append(session)
        read(session)

        def rows() -> t.Iterator[str]:
            yield f"{read(session)}"
            if closed:
                session.close()

        return flask.Response(flask.stream_with_context(rows()))

    shop.view(view)
    response = shop.app.test_client().get("/")
    assert response.text == "None"
    response.close()
    assert bool(found(shop.inspection, CODE)) is not closed
    assert bool(found(shop.inspection, "FSI202")) is not closed


def test_an_extension_that_comes_after_the_teardown_function(make_app: MakeApp) -> None:
    """Registered first, and harmless: it does not use the session."""
    app = make_app()
    seen = []
    app.teardown_appcontext(lambda error: seen.append(error))
    db = SQLAlchemy(app)
    SessionInspector(app)
    app.add_url_rule("/", "view", lambda: str(db.session.scalar(sa.text("SELECT 1"))))
    send(app)
    send(app)
    assert seen
    assert codes(inspection_of(app)) == set()


def test_the_request_waits_for_a_thread_with_a_session(shop: Shop) -> None:
    """In another thread, another session is in the same registry meanwhile."""
    registry = registry_of(shop)
    shop.app.teardown_appcontext(lambda error: registry.remove())
    read_it, go_on = threading.Event(), threading.Event()

    def work() -> None:
        with shop.app.app_context():
            read(registry)
            read_it.set()
            wait(go_on)

    thread = start(work)
    wait(read_it)
    serve(shop, lambda: read(registry))
    go_on.set()
    thread.join()
    assert codes(shop.inspection) == set()
