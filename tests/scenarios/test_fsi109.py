"""FSI109 attached-elsewhere: an object of one session was added to another."""

from __future__ import annotations

import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Post
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
from faults import inspection_of
from faults import line
from faults import line_of
from faults import sessions_closed as sessions_closed
from faults import the
from sqlalchemy.orm import Session
from sqlalchemy.orm import object_session
from sqlalchemy.orm import sessionmaker

CODE = "FSI109"


def serve(shop: Shop, work: t.Callable[[], object], status: int = 500) -> None:
    add_users(shop, "ann")
    shop.view(lambda: f"{work()}")
    assert shop.get().status == status


def ann(session: t.Any) -> User:
    return t.cast(User, session.scalars(sa.select(User)).first())


def to_one_made_by_hand(shop: Shop) -> None:
    engine = engine_of(shop)

    def work() -> None:
        user = ann(shop.db.session)
        with Session(engine) as session:
            session.add(user)

    serve(shop, work)


def from_one_made_by_hand(shop: Shop) -> None:
    factory = sessionmaker(engine_of(shop))

    def work() -> None:
        with factory() as session:
            shop.db.session.add(ann(session))

    serve(shop, work)


def to_that_of_a_nested_context(shop: Shop) -> None:
    def work() -> None:
        user = ann(shop.db.session)
        with shop.app.app_context():
            shop.db.session.add(user)

    serve(shop, work)


def by_a_relationship(shop: Shop) -> None:
    """The post is added, and would take its user along."""
    engine = engine_of(shop)

    def work() -> None:
        user = ann(shop.db.session)
        with Session(engine) as session:
            session.add(Post(title="x", user=user))

    serve(shop, work)


def deleted_by_another(shop: Shop) -> None:
    engine = engine_of(shop)

    def work() -> None:
        user = ann(shop.db.session)
        with Session(engine) as session:
            session.delete(user)

    serve(shop, work)


def raised_from_another_exception(shop: Shop) -> None:
    """The application's own, which keeps the cause."""
    engine = engine_of(shop)

    def work() -> None:
        user = ann(shop.db.session)
        try:
            with Session(engine) as session:
                session.add(user)
        except sa.exc.InvalidRequestError as error:
            raise RuntimeError("cannot save") from error

    serve(shop, work)


SCENARIOS = [
    to_one_made_by_hand,
    from_one_made_by_hand,
    to_that_of_a_nested_context,
    by_a_relationship,
    deleted_by_another,
    raised_from_another_exception,
]
by_name = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)


@by_name
def test_each_way_to_attach_it(shop: Shop, scenario: Scenario) -> None:
    scenario(shop)

    record = shop.newest()
    finding = the(shop.inspection, CODE)
    by_serial = {session.serial: session for session in record.sessions}
    owner = by_serial[int(finding.evidence["belongs to"]["session"][1:])]
    other = by_serial[int(finding.evidence["added to"]["session"][1:])]
    assert owner is not other
    assert (finding.name, finding.severity) == ("attached-elsewhere", "error")
    assert finding.request_id == record.id
    assert finding.session == other.serial
    assert f"belongs to {owner.label}" in finding.message
    assert f"{other.label} at test_fsi109.py:" in finding.message
    assert finding.evidence["object"] == "User"
    assert ".add(" in line(finding.location) or ".delete(" in line(finding.location)
    for role, used in (("belongs to", owner), ("added to", other)):
        told = finding.evidence[role]
        assert told["app context"] == used.context + 1
        by_hand = {"factory": "by a sessionmaker", "direct": "directly"}
        assert told["made"] == (used.registry or by_hand[used.origin])
        assert used.first_use is None or line_of(told["first use"])


@by_name
def test_it_is_the_rule_that_finds_it(
    make_shop: MakeShop, tmp_path: t.Any, scenario: Scenario
) -> None:
    assert_found_by_its_rule(make_shop, tmp_path, CODE, scenario)


def test_the_nested_context_is_named_beside_it(shop: Shop) -> None:
    to_that_of_a_nested_context(shop)
    evidence = the(shop.inspection, CODE).evidence
    assert evidence["belongs to"]["app context"] == 1
    assert evidence["added to"]["app context"] == 2
    assert (
        evidence["belongs to"]["made"] == evidence["added to"]["made"] == "db.session"
    )


@pytest.mark.parametrize("made", ["in a request", "at import"])
def test_an_object_that_was_kept(shop: Shop, made: str) -> None:
    """In a cache, say, together with the session that it belongs to."""
    add_users(shop, "ann")
    engine = engine_of(shop)
    kept: list[t.Any] = []

    def fill() -> None:
        kept.append(Session(engine))
        kept.append(ann(kept[0]))

    shop.app.add_url_rule("/first", "first", lambda: f"{fill()}")
    shop.app.add_url_rule(
        "/second", "second", lambda: f"{shop.db.session.add(kept[1])}"
    )
    if made == "in a request":
        shop.get("/first")
    else:
        fill()
    assert shop.get("/second").status == 500

    finding = the(shop.inspection, CODE)
    owner = finding.evidence["belongs to"]
    assert owner["session"] == f"S{kept[0].hash_key}"
    assert owner["made"] == "directly"
    assert 'closure variable "kept"[0]' in owner["held by"]
    if made == "in a request":
        (first,) = shop.inspection.requests(path="/first")
        assert finding.related_requests == (first.id,)
        assert owner["used before by"] == "GET /first"
        assert line_of(owner["first use"]).startswith("return t.cast(User, session.")
    else:
        assert finding.related_requests == ()


def test_it_is_told_once(shop: Shop) -> None:
    """Also where the exception comes by again, in an error handler and a teardown."""
    seen = []
    shop.app.register_error_handler(500, lambda error: (seen.append(error) or "", 500))
    shop.app.teardown_request(lambda error: seen.append(error))
    to_one_made_by_hand(shop)
    assert len(seen) >= 1
    assert len(found(shop.inspection, CODE)) == 1


def test_where_exceptions_are_passed_on(make_shop: MakeShop) -> None:
    shop = make_shop(TESTING=True)
    with pytest.raises(sa.exc.InvalidRequestError):
        to_one_made_by_hand(shop)
    assert the(shop.inspection, CODE)


# Near misses


def silent(shop: Shop) -> None:
    assert found(shop.inspection, CODE) == []


@pytest.mark.parametrize("where", ["view", "handler"])
def test_it_is_answered(shop: Shop, where: str) -> None:
    engine = engine_of(shop)

    def work() -> None:
        user = ann(shop.db.session)
        shop.db.session.rollback()
        with Session(engine) as session:
            if where == "handler":
                session.add(user)
            else:
                with pytest.raises(sa.exc.InvalidRequestError):
                    session.add(user)

    shop.app.register_error_handler(
        sa.exc.InvalidRequestError, lambda error: ("conflict", 409)
    )
    serve(shop, work, status=409 if where == "handler" else 200)
    silent(shop)


def test_the_object_is_merged(shop: Shop) -> None:
    engine = engine_of(shop)

    def work() -> None:
        user = ann(shop.db.session)
        shop.db.session.rollback()
        with Session(engine) as session:
            session.merge(user)

    serve(shop, work, status=200)
    assert codes(shop.inspection) == set()


@pytest.mark.parametrize("how", ["expunge", "close"])
def test_the_object_was_detached_before(shop: Shop, how: str) -> None:
    engine = engine_of(shop)

    def work() -> None:
        user = ann(shop.db.session)
        if how == "expunge":
            shop.db.session.expunge(user)
            shop.db.session.rollback()
        else:
            shop.db.session.close()
        with Session(engine) as session:
            session.add(user)
            assert object_session(user) is session

    serve(shop, work, status=200)
    assert codes(shop.inspection) == set()


def test_added_to_its_own_session_again(shop: Shop) -> None:
    serve(shop, lambda: shop.db.session.add(ann(shop.db.session)), status=200)
    assert codes(shop.inspection) == set()


def test_another_error_of_the_session(shop: Shop) -> None:
    def work() -> None:
        with pytest.raises(sa.exc.InvalidRequestError, match="not persisted"):
            shop.db.session.delete(User(name="x"))
        shop.db.session.delete(User(name="x"))

    serve(shop, work)
    silent(shop)


def test_an_exception_that_only_reads_like_it(shop: Shop) -> None:
    text = "Object '<User at 0x7f00>' is already attached to session '1' (this is '2')"

    def work() -> None:
        raise ValueError(text)

    serve(shop, work)
    silent(shop)


def test_an_application_without_the_inspector(make_app: MakeApp, shop: Shop) -> None:
    """Its failures are its own."""
    engine = engine_of(shop)
    other = make_app(
        SESSION_INSPECTOR_ENABLED=False,
        SQLALCHEMY_DATABASE_URI=shop.app.config["SQLALCHEMY_DATABASE_URI"],
    )
    shop.db.init_app(other)

    @other.get("/")
    def view() -> str:
        user = ann(shop.db.session)
        with Session(engine) as session:
            session.add(user)
        return ""

    add_users(shop, "ann")
    assert other.test_client().get("/").status_code == 500
    assert flask.has_app_context() is False
    assert found(inspection_of(shop.app), CODE) == []
