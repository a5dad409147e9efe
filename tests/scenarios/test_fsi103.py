"""FSI103 session-pinned: a session is held for the life of the application."""

from __future__ import annotations

import functools
import importlib.metadata
import typing as t
import weakref

import flask
import pytest
import sqlalchemy as sa
from conftest import Shop
from conftest import User
from faults import MakeApp
from faults import MakeShop
from faults import add_users
from faults import assert_found_by_its_rule
from faults import codes
from faults import engine_of
from faults import found
from faults import inspection_of
from faults import line
from faults import line_of
from faults import send
from faults import sessions_closed as sessions_closed
from faults import the
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import sessionmaker

from flask_session_inspector import SessionInspector

CODE = "FSI103"


def read(session: t.Any) -> None:
    session.scalars(sa.select(User)).all()
    session.commit()


class Reports:
    """An extension of the application's own."""

    def __init__(self, session: t.Any) -> None:
        self.session = session

    def show(self) -> str:
        return f"{read(self.session)}"


def by_a_view_function(shop: Shop) -> str:
    session = Session(engine_of(shop))
    shop.app.add_url_rule("/", "view", lambda: f"{read(session)}")
    return 'view function "view" > closure variable "session"'


def by_a_default_argument(shop: Shop) -> str:
    def view(session: Session = Session(engine_of(shop))) -> str:  # noqa: B008 # the fault that is shown
        return f"{read(session)}"

    shop.view(view)
    return 'view function "view"'


def by_an_extension(shop: Shop) -> str:
    reports = shop.app.extensions["reports"] = Reports(Session(engine_of(shop)))
    shop.app.add_url_rule("/", "view", reports.show)
    return 'app.extensions["reports"].session'


def by_the_object_behind_the_proxy(shop: Shop) -> str:
    """Called once, in an app context that is long gone."""
    with shop.app.app_context():
        reports = shop.app.extensions["reports"] = Reports(shop.db.session())
    shop.app.add_url_rule("/", "view", reports.show)
    return 'app.extensions["reports"].session'


def by_a_partial(shop: Shop) -> str:
    view = functools.partial(
        lambda session: f"{read(session)}", Session(engine_of(shop))
    )
    shop.app.add_url_rule("/", "view", view)
    return 'view function "view"'


def by_a_before_request_function(shop: Shop) -> str:
    session = Session(engine_of(shop))
    shop.app.before_request(lambda: read(session))
    shop.app.add_url_rule("/", "view", lambda: "hello")
    return 'closure variable "session"'


SCENARIOS = [
    by_a_view_function,
    by_a_default_argument,
    by_an_extension,
    by_the_object_behind_the_proxy,
    by_a_partial,
    by_a_before_request_function,
]
by_name = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)


@by_name
def test_the_first_request_finds_it(
    shop: Shop, scenario: t.Callable[[Shop], str]
) -> None:
    where = scenario(shop)

    record = shop.get()
    assert record.status == 200
    finding = the(record, CODE)
    (used,) = record.sessions
    assert (finding.name, finding.severity) == ("session-pinned", "error")
    assert finding.session == used.serial
    assert finding.request_id == record.id
    assert f"S{used.serial}, which this request used, is held by" in finding.message
    assert any(where in each for each in finding.evidence["held by"])
    assert finding.evidence["held by"][0] in finding.message
    assert finding.location == used.first_use
    assert line(finding.location) == "session.scalars(sa.select(User)).all()"
    assert line_of(finding.evidence["used"]) == line(finding.location)


@by_name
def test_the_audit_finds_it_without_a_request(
    shop: Shop, scenario: t.Callable[[Shop], str]
) -> None:
    where = scenario(shop)
    findings = found(shop.inspection, CODE)
    assert any(where in finding.message for finding in findings)
    assert len({finding.session for finding in findings}) == 1
    for finding in findings:
        assert (finding.severity, finding.request_id) == ("error", None)
        assert f"holds the session S{finding.session} " in finding.message
        assert finding.evidence["holds"] == "Session"


@by_name
def test_it_is_the_rule_that_finds_it(
    make_shop: MakeShop, tmp_path: t.Any, scenario: t.Callable[[Shop], str]
) -> None:
    def serve(shop: Shop) -> None:
        scenario(shop)
        for _ in range(2):
            shop.get()

    assert_found_by_its_rule(make_shop, tmp_path, CODE, serve)


@by_name
def test_what_comes_of_it_stands_beside_it(
    shop: Shop, scenario: t.Callable[[Shop], str]
) -> None:
    scenario(shop)
    first, second = shop.get(), shop.get()
    # One of a registry is nobody's to close by hand.
    assert codes(first) - {"FSI108"} == {CODE}
    assert codes(second) - {"FSI108"} == {CODE, "FSI101"}


def admin_view(shop: Shop) -> t.Any:
    """Add a page of users, in the way that this Flask-Admin wants."""
    admin = pytest.importorskip("flask_admin")
    sqla = pytest.importorskip("flask_admin.contrib.sqla")
    pages = admin.Admin(shop.app)
    new = importlib.metadata.version("flask-admin") >= "2.1"
    view = sqla.ModelView(User, shop.db if new else shop.db.session)
    pages.add_view(view)
    return view


def test_an_admin_view(shop: Shop) -> None:
    add_users(shop, "ann")
    # As its constructor does where Flask-SQLAlchemy-Lite is not installed.
    admin_view(shop).session = Session(engine_of(shop))
    record = shop.get("/admin/user/")
    assert record.status == 200
    finding = the(record, CODE)
    assert 'admin view "user"' in finding.evidence["held by"]


def test_it_is_held_in_many_places(shop: Shop) -> None:
    """The message stays a sentence; the evidence has them all."""
    session = Session(engine_of(shop))
    for number in range(8):
        shop.app.add_url_rule(f"/{number}", f"v{number}", lambda: f"{read(session)}")
    finding = the(shop.get("/3"), CODE)
    assert len(finding.evidence["held by"]) == 8
    assert "and in 7 other places" in finding.message
    assert len(finding.message) < 250


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

    finding = the(send(app), CODE)
    assert finding.evidence["held by"] == [
        'view function "view" > closure variable "session"'
    ]


# Near misses


def serve(shop: Shop, work: t.Callable[[], object]) -> None:
    shop.view(lambda: f"{work()}")
    for _ in range(2):
        assert shop.get().status == 200


def silent(shop: Shop) -> None:
    assert found(shop.inspection, CODE) == []


def test_the_extension_object_and_the_proxy(shop: Shop) -> None:
    shop.app.extensions["reports"] = Reports(shop.db)
    shop.app.extensions["stock"] = Reports(shop.db.session)
    serve(shop, lambda: read(shop.app.extensions["stock"].session))
    assert codes(shop.inspection) == set()


def test_a_factory_and_a_registry(shop: Shop) -> None:
    factory = sessionmaker(engine_of(shop))
    registry = scoped_session(factory)
    shop.inspector.watch(registry, name="reporting")
    shop.app.teardown_appcontext(lambda error: registry.remove())
    shop.app.extensions["reports"] = Reports(factory)

    def work() -> None:
        with factory() as session:
            read(session)
        read(registry)

    serve(shop, work)
    assert codes(shop.inspection) == set()


def test_an_admin_view_with_db(shop: Shop) -> None:
    admin_view(shop)
    assert shop.get("/admin/user/").status == 200
    silent(shop)


def test_a_session_in_g(shop: Shop) -> None:
    """It lives as long as the app context."""
    engine = engine_of(shop)

    @shop.app.teardown_appcontext
    def close(error: BaseException | None) -> None:
        if "session" in flask.g:
            flask.g.session.close()

    def work() -> None:
        flask.g.session = Session(engine)
        read(flask.g.session)

    serve(shop, work)
    assert codes(shop.inspection) == set()


def test_a_session_per_call(shop: Shop) -> None:
    """Made by something that lives on, which does not keep it."""
    engine = engine_of(shop)

    class Repository:
        def all(self) -> None:
            with Session(engine) as session:
                read(session)

    shop.app.extensions["users"] = Repository()
    serve(shop, lambda: shop.app.extensions["users"].all())
    assert codes(shop.inspection) == set()


def test_a_session_that_is_let_go_of(shop: Shop) -> None:
    engine = engine_of(shop)
    current: list[Session] = []

    def work() -> None:
        with Session(engine) as session:
            current.append(session)
            read(current[0])
            current.clear()

    serve(shop, work)
    silent(shop)


def test_a_weak_reference_holds_nothing(shop: Shop) -> None:
    engine = engine_of(shop)
    seen: t.Any = weakref.WeakSet()

    def work() -> None:
        session = flask.g.session = Session(engine)
        seen.add(session)
        read(session)

    serve(shop, work)
    silent(shop)


def test_a_session_of_a_test_that_no_request_sees(shop: Shop) -> None:
    """It is held by the test function alone."""
    session = Session(engine_of(shop))
    read(session)
    serve(shop, lambda: read(shop.db.session))
    read(session)
    assert codes(shop.inspection) == set()


def test_the_ignored_code_is_ignored_in_the_audit_too(make_shop: MakeShop) -> None:
    shop = make_shop(SESSION_INSPECTOR_IGNORE_FINDINGS=(CODE,))
    by_an_extension(shop)
    shop.get()
    silent(shop)
    assert any(h.verdict == "pinned" for h in inspection_of(shop.app).audit())
