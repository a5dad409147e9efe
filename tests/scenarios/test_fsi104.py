"""FSI104 context-reused: a request in an app context that was there before it."""

from __future__ import annotations

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

CODE = "FSI104"


def read(session: t.Any) -> None:
    session.scalars(sa.select(User)).all()


def add_view(shop: Shop, path: str = "/users") -> None:
    shop.app.add_url_rule(path, "users", lambda: f"{read(shop.db.session)}")


def set_up_in_the_same_context(shop: Shop) -> None:
    """What a fixture does that yields inside of ``with app.app_context():``."""
    add_view(shop)
    with shop.app.app_context():
        ann = User(name="ann")
        shop.db.session.add(ann)
        shop.db.session.commit()
        shop.app.test_client().get("/users").close()
        assert ann.name == "ann"


def an_untouched_context(shop: Shop) -> None:
    """Nothing else uses the session; still, nothing ends it with the request."""
    add_view(shop)
    with shop.app.app_context():
        shop.app.test_client().get("/users").close()


def a_test_request_context(shop: Shop) -> None:
    add_view(shop)
    with shop.app.test_request_context("/other"):
        read(shop.db.session)
        shop.app.test_client().get("/users").close()


def a_view_that_asks_its_own_application(shop: Shop) -> None:
    add_view(shop)

    @shop.app.get("/outer")
    def outer() -> bytes:
        shop.db.session.add(User(name="draft"))
        return shop.app.test_client().get("/users").data

    shop.app.test_client().get("/outer").close()


def a_command(shop: Shop) -> None:
    add_view(shop)

    @shop.app.cli.command("crawl")
    @with_appcontext
    def crawl() -> None:
        read(shop.db.session)
        shop.app.test_client().get("/users").close()

    assert shop.app.test_cli_runner().invoke(args=["crawl"]).exit_code == 0


def a_client_inside_of_another(shop: Shop) -> None:
    """The first one preserves its context for the test, until its block ends."""
    add_view(shop)
    shop.app.add_url_rule("/first", "first", lambda: f"{read(shop.db.session)}")
    with shop.app.test_client() as first:
        first.get("/first")
        shop.app.test_client().get("/users").close()


SCENARIOS = [
    set_up_in_the_same_context,
    an_untouched_context,
    a_test_request_context,
    a_view_that_asks_its_own_application,
    a_command,
    a_client_inside_of_another,
]
by_name = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)


@by_name
def test_each_context_that_a_request_can_come_into(
    shop: Shop, scenario: Scenario
) -> None:
    scenario(shop)

    (record,) = shop.inspection.requests(path="/users")
    finding = the(shop.inspection, CODE)
    assert record.reused_context is True
    assert finding.request_id == record.id
    assert (finding.name, finding.severity) == ("context-reused", "warning")
    (used,) = record.sessions
    assert finding.session == used.serial
    assert f"S{used.serial}, the session of that context" in finding.message
    assert finding.location == used.first_use
    assert line(finding.location) == "session.scalars(sa.select(User)).all()"
    assert line_of(finding.evidence["used here"]) == line(finding.location)
    # It is this one that says it.
    assert {"FSI101", "FSI102", "FSI107"} & codes(shop.inspection) == set()


@by_name
def test_it_is_the_rule_that_finds_it(
    make_shop: MakeShop, tmp_path: t.Any, scenario: Scenario
) -> None:
    assert_found_by_its_rule(make_shop, tmp_path, CODE, scenario)


def test_it_says_what_else_used_the_session(shop: Shop) -> None:
    set_up_in_the_same_context(shop)
    finding = the(shop.inspection, CODE)
    (context,) = (r for r in shop.inspection.requests() if r.kind == "context")
    assert finding.related_requests == (context.id,)
    (other,) = finding.evidence["also used by"]
    assert other.startswith("an app context pushed by hand at test_fsi104.py:")
    assert other.endswith(" in set_up_in_the_same_context")
    assert f"as {other} did" in finding.message
    assert finding.evidence["objects in it"] == 1


def test_it_says_that_nothing_else_did(shop: Shop) -> None:
    an_untouched_context(shop)
    finding = the(shop.inspection, CODE)
    assert finding.evidence["also used by"] == []
    assert finding.related_requests == ()


def test_it_names_the_outer_request(shop: Shop) -> None:
    a_view_that_asks_its_own_application(shop)
    finding = the(shop.inspection, CODE)
    (outer,) = shop.inspection.requests(path="/outer")
    assert finding.related_requests == (outer.id,)
    assert "GET /outer at test_fsi104.py:" in finding.message


def test_each_request_names_who_was_first_and_who_was_before(shop: Shop) -> None:
    for name in ("a", "b", "c"):
        shop.app.add_url_rule(f"/{name}", name, lambda: f"{read(shop.db.session)}")
    with shop.app.app_context():
        read(shop.db.session)
        for name in ("a", "b", "c"):
            shop.app.test_client().get(f"/{name}").close()
    findings = found(shop.inspection, CODE)
    ids = {r.path: r.id for r in shop.inspection.requests()}
    context = ids.pop(None)
    assert [finding.related_requests for finding in findings] == [
        (context,),
        (ids["/a"], context),
        (ids["/b"], context),
    ]
    by_hand, request = findings[2].evidence["also used by"]
    assert by_hand.startswith("an app context pushed by hand at ")
    assert request.startswith("GET /b at test_fsi104.py:")


def test_lite(make_app: MakeApp, tmp_path: t.Any) -> None:
    app = make_app(SQLALCHEMY_ENGINES={"default": f"sqlite:///{tmp_path}/shop.db"})
    db = SQLAlchemyLite(app)
    SessionInspector(app)
    app.add_url_rule("/", "view", lambda: str(db.session.scalar(sa.text("SELECT 1"))))
    with app.app_context():
        db.session.scalar(sa.text("SELECT 1"))
        app.test_client().get("/").close()
    finding = the(inspection_of(app), CODE)
    assert finding.evidence["also used by"][0].startswith("an app context pushed by")


# Near misses


def silent(shop: Shop) -> None:
    assert found(shop.inspection, CODE) == []


def test_a_request_without_a_session(shop: Shop) -> None:
    shop.view(lambda: flask.url_for("view", _external=True))
    with shop.app.app_context():
        read(shop.db.session)
        shop.app.test_client().get("/").close()
    assert codes(shop.inspection) == set()


def test_a_request_that_only_has_the_session_made(shop: Shop) -> None:
    shop.view(lambda: type(shop.db.session()).__name__)
    with shop.app.app_context():
        shop.app.test_client().get("/").close()
    silent(shop)


def test_a_request_with_a_session_of_its_own(shop: Shop) -> None:
    engine = engine_of(shop)

    def view() -> str:
        with Session(engine) as session:
            return f"{read(session)}"

    shop.view(view)
    with shop.app.app_context():
        read(shop.db.session)
        shop.app.test_client().get("/").close()
    silent(shop)


def test_a_request_after_the_context(shop: Shop) -> None:
    add_view(shop)
    with shop.app.app_context():
        read(shop.db.session)
    shop.app.test_client().get("/users").close()
    with shop.app.app_context():
        read(shop.db.session)
    assert codes(shop.inspection) == set()


def test_a_request_in_another_thread(shop: Shop) -> None:
    add_view(shop)
    with shop.app.app_context():
        read(shop.db.session)
        shop.db.session.rollback()
        in_thread(lambda: shop.app.test_client().get("/users").close())
    assert codes(shop.inspection) == set()


def test_the_context_of_another_application(make_app: MakeApp, shop: Shop) -> None:
    """A second application that uses the same database gets a context of its own."""
    other = make_app(SQLALCHEMY_DATABASE_URI=shop.app.config["SQLALCHEMY_DATABASE_URI"])
    shop.db.init_app(other)
    SessionInspector(other)
    other.add_url_rule("/", "view", lambda: f"{read(shop.db.session)}")
    with shop.app.app_context():
        read(shop.db.session)
        shop.db.session.rollback()
        record = send(other)
    assert record.reused_context is False
    assert codes(inspection_of(other)) == codes(shop.inspection) == set()


def test_a_client_that_preserves_its_own_contexts(shop: Shop) -> None:
    add_view(shop)
    with shop.app.test_client() as client:
        for _ in range(3):
            client.get("/users")
            read(shop.db.session)
    assert codes(shop.inspection) == set()


def test_a_context_pushed_within_the_request(shop: Shop) -> None:
    def view() -> str:
        with shop.app.app_context():
            return f"{read(shop.db.session)}"

    shop.view(view)
    shop.get()
    assert codes(shop.inspection) == set()


def test_a_registry_that_is_removed_with_the_request(shop: Shop) -> None:
    """Its scope is not the app context, so the request had a session of its own."""
    registry = scoped_session(sessionmaker(engine_of(shop)))
    shop.inspector.watch(registry, name="reporting")
    shop.app.teardown_request(lambda error: registry.remove())
    shop.view(lambda: f"{read(registry)}")
    with shop.app.app_context():
        for _ in range(2):
            shop.app.test_client().get("/").close()
    assert codes(shop.inspection) == set()
