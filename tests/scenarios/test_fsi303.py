"""FSI303 stream-changed-session: view and generator have a session each."""

from __future__ import annotations

import collections.abc as cabc
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
from faults import line
from faults import line_of
from faults import send
from faults import sessions_closed as sessions_closed
from faults import the
from sqlalchemy.orm import Session
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import sessionmaker
from work import get
from work import read
from work import streams_in_another_session

from flask_session_inspector import SessionInspector

CODE = "FSI303"
Lines = cabc.Iterator[str]


def stream(
    shop: Shop, work: t.Callable[[], object], rows: t.Callable[[], Lines]
) -> None:
    """Serve a stream with its context, from a view that does some work before."""

    def view() -> flask.Response:
        work()
        return flask.Response(flask.stream_with_context(rows()))

    shop.view(view)
    assert get(shop).status == 200


def flask_sqlalchemy(shop: Shop) -> None:
    def rows() -> Lines:
        yield from shop.db.session.scalars(sa.select(User.name))

    stream(shop, lambda: read(shop.db.session), rows)


def late_in_the_stream(shop: Shop) -> None:
    def rows() -> Lines:
        yield "first"
        yield "second"
        shop.db.session.scalars(sa.select(User.name)).all()

    stream(shop, lambda: read(shop.db.session), rows)


def a_write_at_its_end(shop: Shop) -> None:
    def rows() -> Lines:
        yield "first"
        shop.db.session.add(User(name="ann"))
        shop.db.session.commit()

    stream(shop, lambda: read(shop.db.session), rows)


def a_plain_registry(shop: Shop) -> None:
    registry = scoped_session(sessionmaker(engine_of(shop)))
    shop.inspector.watch(registry, name="reporting")
    shop.app.teardown_appcontext(lambda error: registry.remove())

    def rows() -> Lines:
        yield from registry.scalars(sa.select(User.name))

    stream(shop, lambda: read(registry), rows)


SCENARIOS = [flask_sqlalchemy, late_in_the_stream, a_write_at_its_end, a_plain_registry]
by_name = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)


@streams_in_another_session
@by_name
def test_each_stream(shop: Shop, scenario: Scenario) -> None:
    add_users(shop, "ann")
    scenario(shop)

    (record,) = shop.inspection.requests(path="/")
    finding = the(record, CODE)
    view, generator = record.sessions
    assert (finding.name, finding.severity) == ("stream-changed-session", "warning")
    assert finding.session == generator.serial
    assert f"The view used S{view.serial} at work.py:" in finding.message
    assert f"its response S{generator.serial} at test_fsi303.py:" in finding.message
    assert finding.location == generator.first_use
    used = ("sa.select(User.name)", "session.add(")
    assert any(each in line(finding.location) for each in used)
    evidence = finding.evidence
    assert evidence["view"]["session"] == f"S{view.serial}"
    assert line_of(evidence["view"]["place"]) == "read(shop.db.session)" or (
        "sa.select(User)" in line_of(evidence["view"]["place"])
    )
    assert evidence["generator"]["session"] == f"S{generator.serial}"
    assert line_of(evidence["generator"]["place"]) == line(finding.location)
    assert codes(shop.inspection) == {CODE}


@streams_in_another_session
@by_name
def test_it_is_the_rule_that_finds_it(
    make_shop: MakeShop, tmp_path: t.Any, scenario: Scenario
) -> None:
    assert_found_by_its_rule(make_shop, tmp_path, CODE, scenario)


@streams_in_another_session
def test_flask_sqlalchemy_lite(make_app: MakeApp, tmp_path: t.Any) -> None:
    lite = pytest.importorskip("flask_sqlalchemy_lite")
    app = make_app(SQLALCHEMY_ENGINES={"default": f"sqlite:///{tmp_path}/lite.db"})
    db = lite.SQLAlchemy(app)
    SessionInspector(app)

    @app.get("/")
    def view() -> flask.Response:
        db.session.execute(sa.text("SELECT 1"))

        def rows() -> Lines:
            yield f"{db.session.scalar(sa.text('SELECT 2'))}"

        return flask.Response(flask.stream_with_context(rows()))

    record = send(app)
    assert len(record.sessions) == 2
    assert "SELECT 2" in line(the(record, CODE).location)


@streams_in_another_session
def test_it_is_told_once(shop: Shop) -> None:
    """However many statements the generator sends."""

    def rows() -> Lines:
        for number in range(20):
            shop.db.session.scalar(sa.select(sa.literal(number)))
            yield str(number)

    stream(shop, lambda: read(shop.db.session), rows)
    (record,) = shop.inspection.requests(path="/")
    assert record.statement_count == 21
    assert len(found(record, CODE)) == 1


# Near misses


def no_work() -> None:
    """What a view does that leaves the database to its generator."""


def test_the_view_used_none(shop: Shop) -> None:
    def rows() -> Lines:
        yield f"{read(shop.db.session)}"

    stream(shop, no_work, rows)
    (record,) = shop.inspection.requests(path="/")
    assert record.statement_count == 1
    assert codes(shop.inspection) == set()


def test_the_view_made_a_session_and_sent_nothing(shop: Shop) -> None:
    def rows() -> Lines:
        yield f"{read(shop.db.session)}"

    stream(shop, lambda: shop.db.session(), rows)
    (record,) = shop.inspection.requests(path="/")
    assert record.statement_count == 1
    assert codes(shop.inspection) == set()


def test_the_generator_used_none(shop: Shop) -> None:
    add_users(shop, "ann")
    names: list[str] = []

    def work() -> None:
        names.extend(shop.db.session.scalars(sa.select(User.name)))

    stream(shop, work, lambda: iter(names))
    assert names == ["ann"]
    assert codes(shop.inspection) == set()


def test_the_generator_made_a_session_and_sent_nothing(shop: Shop) -> None:
    def rows() -> Lines:
        shop.db.session()
        yield "done"

    stream(shop, lambda: read(shop.db.session), rows)
    assert codes(shop.inspection) == set()


def test_the_generator_has_one_of_its_own(shop: Shop) -> None:
    engine = engine_of(shop)

    def rows() -> Lines:
        with Session(engine) as session:
            yield f"{read(session)}"

    stream(shop, lambda: read(shop.db.session), rows)
    assert found(shop.inspection, CODE) == []


def test_the_generator_has_contexts_of_its_own(shop: Shop) -> None:
    """A page at a time; it does not ask for the context of the request."""

    def rows() -> Lines:
        for _ in range(2):
            with shop.app.app_context():
                page = f"{read(shop.db.session)}"
            yield page

    def view() -> flask.Response:
        read(shop.db.session)
        return flask.Response(rows())

    shop.view(view)
    get(shop)
    assert codes(shop.inspection) == set()


def test_another_registry(shop: Shop) -> None:
    """The view has objects of the one, the generator reads from the other."""
    registry = scoped_session(sessionmaker(engine_of(shop)))
    shop.inspector.watch(registry, name="reporting")
    shop.app.teardown_appcontext(lambda error: registry.remove())

    def rows() -> Lines:
        yield f"{read(registry)}"

    stream(shop, lambda: read(shop.db.session), rows)
    assert found(shop.inspection, CODE) == []


def test_a_stream_in_an_outer_context(shop: Shop) -> None:
    """The session is that of the context around both."""

    def rows() -> Lines:
        yield f"{read(shop.db.session)}"

    with shop.app.app_context():
        stream(shop, lambda: read(shop.db.session), rows)
    assert found(shop.inspection, CODE) == []


def test_no_stream(shop: Shop) -> None:
    """A generator that is read by the view itself."""

    def rows() -> Lines:
        yield f"{read(shop.db.session)}"

    def view() -> str:
        read(shop.db.session)
        return "".join(rows())

    shop.view(view)
    get(shop)
    assert codes(shop.inspection) == set()
