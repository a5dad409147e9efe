"""FSI206 sql-in-commit-hook: a hook asks the session for SQL during its commit."""

from __future__ import annotations

import contextlib
import typing as t

import pytest
import sqlalchemy as sa
from conftest import Shop
from conftest import User
from faults import MakeShop
from faults import Scenario
from faults import assert_found_by_its_rule
from faults import codes
from faults import engine_of
from faults import found
from faults import line
from faults import line_of
from faults import sessions_closed as sessions_closed
from faults import the
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Session
from work import serve

CODE = "FSI206"


def commit_a_user(shop: Shop) -> t.Callable[[], None]:
    def work() -> None:
        shop.db.session.add(User(name="x"))
        shop.db.session.commit()

    return work


def a_statement(shop: Shop) -> None:
    @sa.event.listens_for(shop.db.session, "after_commit")
    def hook(session: Session) -> None:
        session.scalar(sa.select(sa.func.count(User.id)))

    serve(shop, commit_a_user(shop))


def a_lazy_load(shop: Shop) -> None:
    users: list[User] = []

    @sa.event.listens_for(shop.db.session, "after_commit")
    def hook(session: Session) -> None:
        assert users[0].posts == []

    def work() -> None:
        users.append(User(name="x"))
        shop.db.session.add(users[0])
        shop.db.session.commit()

    serve(shop, work)


def a_hook_that_catches(shop: Shop) -> None:
    """What it was to do is not done, and nobody knows."""

    @sa.event.listens_for(shop.db.session, "after_commit")
    def hook(session: Session) -> None:
        with contextlib.suppress(InvalidRequestError):
            session.scalar(sa.select(sa.func.count(User.id)))

    serve(shop, commit_a_user(shop))


def an_expired_attribute(shop: Shop) -> None:
    """It was expired before the commit."""
    users: list[User] = []

    @sa.event.listens_for(shop.db.session, "after_commit")
    def hook(session: Session) -> None:
        assert users[0].name == "x"

    def work() -> None:
        users.append(User(name="x"))
        shop.db.session.add(users[0])
        shop.db.session.flush()
        shop.db.session.expire(users[0])
        shop.db.session.commit()

    serve(shop, work)


def a_signal_of_flask_sqlalchemy(shop: Shop) -> None:
    """``models_committed`` is sent by such a hook."""
    from flask_sqlalchemy.track_modifications import models_committed

    @models_committed.connect_via(shop.app)
    def index(sender: object, changes: list[tuple[User, str]]) -> None:
        for user, _ in changes:
            assert user.posts == []

    serve(shop, commit_a_user(shop))


def a_session_of_its_own(shop: Shop) -> None:
    engine = engine_of(shop)

    def work() -> None:
        with Session(engine) as session:

            @sa.event.listens_for(session, "after_commit")
            def hook(session: Session) -> None:
                session.scalar(sa.select(sa.func.count(User.id)))

            session.add(User(name="x"))
            session.commit()

    serve(shop, work)


def an_error_handler_answers(shop: Shop) -> None:
    shop.app.register_error_handler(InvalidRequestError, lambda error: "sorry")
    a_statement(shop)


SCENARIOS = [
    a_statement,
    a_lazy_load,
    a_hook_that_catches,
    an_expired_attribute,
    a_signal_of_flask_sqlalchemy,
    a_session_of_its_own,
    an_error_handler_answers,
]
by_name = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)


@pytest.fixture
def make_shop(make_shop: MakeShop) -> MakeShop:
    """Make shops that send the signals of Flask-SQLAlchemy."""

    def make(**config: t.Any) -> Shop:
        return make_shop(SQLALCHEMY_TRACK_MODIFICATIONS=True, **config)

    return make


@by_name
def test_each_hook(shop: Shop, scenario: Scenario) -> None:
    scenario(shop)

    (record,) = shop.inspection.requests(path="/")
    finding = the(record, CODE)
    assert (finding.name, finding.severity) == ("sql-in-commit-hook", "error")
    assert finding.session == record.sessions[0].serial
    assert f"S{finding.session} was asked for SQL in the middle of " in finding.message
    assert "at test_fsi206.py:" in finding.message
    assert finding.location is not None
    assert finding.location.function in ("hook", "index")
    assert line_of(finding.evidence["asked"]) == line(finding.location)
    assert finding.evidence["state of the session"] == "committed"
    assert codes(record) == {CODE}


@by_name
def test_it_is_the_rule_that_finds_it(
    make_shop: MakeShop, tmp_path: t.Any, scenario: Scenario
) -> None:
    assert_found_by_its_rule(make_shop, tmp_path, CODE, scenario)


# Near misses


@pytest.mark.parametrize("event", ["before_commit", "after_flush", "before_flush"])
def test_a_hook_before_the_commit(shop: Shop, event: str) -> None:
    counts: list[int | None] = []

    @sa.event.listens_for(shop.db.session, event)
    def hook(session: Session, *arguments: object) -> None:
        with session.no_autoflush:
            counts.append(session.scalar(sa.select(sa.func.count(User.id))))

    record = serve(shop, commit_a_user(shop))
    assert record.status == 200
    assert len(counts) == 1
    assert codes(record) == set()


def test_a_hook_that_sends_nothing(shop: Shop) -> None:
    names: list[str] = []

    @sa.event.listens_for(shop.db.session, "before_commit")
    def before(session: Session) -> None:
        session.info["names"] = [user.name for user in session.new]

    @sa.event.listens_for(shop.db.session, "after_commit")
    def after(session: Session) -> None:
        names.extend(session.info["names"])

    record = serve(shop, commit_a_user(shop))
    assert (record.status, names) == (200, ["x"])
    assert codes(record) == set()


def test_after_the_commit(shop: Shop) -> None:
    """The fix: ``commit()`` has returned."""
    commit = commit_a_user(shop)

    def work() -> None:
        commit()
        assert shop.db.session.scalar(sa.select(sa.func.count(User.id))) == 1

    record = serve(shop, work)
    assert record.status == 200
    assert codes(record) == set()


def test_a_hook_with_a_session_of_its_own(shop: Shop) -> None:
    """The connection of the commit is not back yet: FSI205 says that."""

    @sa.event.listens_for(shop.db.session, "after_commit")
    def hook(session: Session) -> None:
        with Session(shop.db.engine) as own:
            own.scalar(sa.select(sa.func.count(User.id)))

    record = serve(shop, commit_a_user(shop))
    assert record.status == 200
    assert codes(record) == {"FSI205"}


def test_another_mistake_of_a_hook(shop: Shop) -> None:
    @sa.event.listens_for(shop.db.session, "after_commit")
    def hook(session: Session) -> None:
        raise InvalidRequestError("This is nothing for the inspector.")

    record = serve(shop, commit_a_user(shop))
    assert record.status == 500
    assert found(record, CODE) == []
