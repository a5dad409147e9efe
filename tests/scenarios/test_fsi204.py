"""FSI204 poisoned-session: used after a flush that failed, without a rollback."""

from __future__ import annotations

import contextlib
import typing as t

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
from faults import inspection_of
from faults import line
from faults import line_of
from faults import sessions_closed as sessions_closed
from faults import the
from sqlalchemy.exc import IntegrityError
from sqlalchemy.exc import PendingRollbackError
from sqlalchemy.orm import Session
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import sessionmaker
from work import add_posts
from work import get
from work import read
from work import serve

from flask_session_inspector import SessionInspector

CODE = "FSI204"


def fail(session: t.Any) -> None:
    """Swallow the error that matters."""
    session.add(User(id=1, name="a secret"))
    with contextlib.suppress(IntegrityError):
        session.flush()


def read_again(session: t.Any) -> None:
    session.scalars(sa.select(User.id)).all()


def a_query(shop: Shop) -> None:
    def work() -> None:
        fail(shop.db.session)
        read_again(shop.db.session)

    serve(shop, work)


def a_commit(shop: Shop) -> None:
    """The failed one, and the next."""

    def work() -> None:
        shop.db.session.add(User(id=1, name="a secret"))
        with contextlib.suppress(IntegrityError):
            shop.db.session.commit()
        shop.db.session.add(User(name="x"))
        shop.db.session.commit()

    serve(shop, work)


def an_error_handler_answers(shop: Shop) -> None:
    shop.app.register_error_handler(PendingRollbackError, lambda error: "sorry")
    a_query(shop)


def something_else_is_raised(shop: Shop) -> None:
    """Of it, and without it."""

    def work() -> None:
        fail(shop.db.session)
        try:
            read_again(shop.db.session)
        except PendingRollbackError:
            raise LookupError("no such user")  # noqa: B904 # as it is found in the wild

    serve(shop, work)


def raised_from_it(shop: Shop) -> None:
    def work() -> None:
        fail(shop.db.session)
        try:
            read_again(shop.db.session)
        except PendingRollbackError as error:
            raise LookupError("no such user") from error

    serve(shop, work)


def a_session_of_its_own(shop: Shop) -> None:
    engine = engine_of(shop)

    def work() -> None:
        with Session(engine) as session:
            fail(session)
            read_again(session)

    serve(shop, work)


def caught(shop: Shop) -> None:
    """Nobody sees it, and the work is lost all the same."""

    def work() -> None:
        fail(shop.db.session)
        with contextlib.suppress(PendingRollbackError):
            read_again(shop.db.session)

    serve(shop, work)


def caught_at_the_commit(shop: Shop) -> None:
    def work() -> None:
        shop.db.session.add(User(id=1, name="a secret"))
        with contextlib.suppress(IntegrityError):
            shop.db.session.scalars(sa.select(User.id)).all()
        with contextlib.suppress(PendingRollbackError):
            shop.db.session.commit()

    serve(shop, work)


SCENARIOS = [
    a_query,
    caught,
    a_commit,
    an_error_handler_answers,
    something_else_is_raised,
    raised_from_it,
    a_session_of_its_own,
]
by_name = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)


@by_name
def test_each_use(shop: Shop, scenario: Scenario) -> None:
    add_posts(shop)
    scenario(shop)

    (record,) = shop.inspection.requests(path="/")
    finding = the(record, CODE)
    assert (finding.name, finding.severity) == ("poisoned-session", "error")
    assert finding.session == record.sessions[0].serial
    assert f"S{finding.session} was used at test_fsi204.py:" in finding.message
    assert "IntegrityError (sqlite3.IntegrityError) at test_fsi204.py:" in (
        finding.message
    )
    again = line(finding.location)
    assert "sa.select(User.id)" in again or "session.commit()" in again
    evidence = finding.evidence
    assert line_of(evidence["used again"]) == again
    assert line_of(evidence["failed"]).endswith(("session.flush()", "session.commit()"))
    assert evidence["first failure"] == "IntegrityError (sqlite3.IntegrityError)"
    assert evidence["statement"].startswith("INSERT INTO users")
    assert "a secret" not in str(finding)
    assert finding.related_requests == ()
    assert codes(record) == {CODE}


def test_the_failure_was_in_another_request(shop: Shop) -> None:
    """Of a registry that is too coarse, and which nobody removes the session of."""
    add_posts(shop)
    registry = scoped_session(sessionmaker(engine_of(shop)))
    shop.inspector.watch(registry, name="reporting")
    shop.view(lambda: f"{fail(registry)}", "/first")

    def second() -> str:
        return f"{read_again(registry)}"

    shop.view(second, "/second")
    first = get(shop, "/first")
    finding = the(get(shop, "/second"), CODE)
    assert finding.related_requests == (first.id,)
    assert finding.evidence["failed in"] == "GET /first"
    assert line_of(finding.evidence["failed"]) == "session.flush()"
    registry.remove()


def test_a_context_pushed_by_hand(shop: Shop) -> None:
    add_posts(shop)

    def job() -> None:
        with shop.app.app_context():
            fail(shop.db.session)
            read_again(shop.db.session)

    with pytest.raises(PendingRollbackError):
        job()
    assert len(found(shop.inspection, CODE)) == 1


def test_a_lost_connection(shop: Shop) -> None:
    """SQLAlchemy raises the same exception, and no flush is to blame."""

    def work() -> None:
        read(shop.db.session)
        shop.db.session.connection().invalidate()
        read_again(shop.db.session)

    finding = the(serve(shop, work), CODE)
    assert "after its connection was lost, and nobody had rolled back" in (
        finding.message
    )


def test_flask_sqlalchemy_lite(make_app: MakeApp, tmp_path: t.Any) -> None:
    lite = pytest.importorskip("flask_sqlalchemy_lite")
    app = make_app(SQLALCHEMY_ENGINES={"default": f"sqlite:///{tmp_path}/lite.db"})
    db = lite.SQLAlchemy(app)
    SessionInspector(app)
    with app.app_context():
        User.metadata.create_all(db.engine)
        db.session.add(User(id=1, name="x"))
        db.session.commit()

    @app.get("/")
    def view() -> str:
        fail(db.session)
        return f"{read_again(db.session)}"

    app.test_client().get("/")
    assert line_of(the(inspection_of(app), CODE).evidence["failed"]) == (
        "session.flush()"
    )


@by_name
def test_it_is_the_rule_that_finds_it(
    make_shop: MakeShop, tmp_path: t.Any, scenario: Scenario
) -> None:
    def after_the_first_user(shop: Shop) -> None:
        add_posts(shop)
        scenario(shop)

    assert_found_by_its_rule(make_shop, tmp_path, CODE, after_the_first_user)


# Near misses


def rolled_back(session: Session) -> None:
    fail(session)
    session.rollback()
    read_again(session)


def closed(session: Session) -> None:
    fail(session)
    session.close()
    read_again(session)


def in_a_savepoint(session: Session) -> None:
    with contextlib.suppress(IntegrityError), session.begin_nested():
        session.add(User(id=1, name="again"))
        session.flush()
    read_again(session)


def in_a_with_block(session: Session) -> None:
    with contextlib.suppress(IntegrityError), session.begin():
        session.add(User(id=1, name="again"))
    read_again(session)


def no_flush(session: Session) -> None:
    """A statement that fails poisons nothing."""
    with contextlib.suppress(IntegrityError):
        session.execute(sa.insert(User).values(id=1, name="again"))
    read_again(session)


def not_used_again(session: Session) -> None:
    fail(session)


def only_looked_at(session: Session) -> None:
    fail(session)
    assert not session.is_active
    assert len(session.new) >= 0


@pytest.mark.parametrize(
    "use",
    [
        rolled_back,
        closed,
        in_a_savepoint,
        in_a_with_block,
        no_flush,
        not_used_again,
        only_looked_at,
    ],
    ids=lambda each: each.__name__,
)
def test_near_misses(shop: Shop, use: t.Callable[[Session], None]) -> None:
    add_posts(shop)
    record = serve(shop, lambda: use(shop.db.session()))
    assert record.status == 200
    assert codes(record) == set()


def test_the_failure_itself(shop: Shop) -> None:
    """It reaches Flask, and says all there is to say."""
    add_posts(shop)

    def work() -> None:
        shop.db.session.add(User(id=1, name="again"))
        shop.db.session.commit()

    record = serve(shop, work)
    assert (record.status, record.error) == (500, "IntegrityError")
    assert codes(record) == set()


def test_the_next_request(shop: Shop) -> None:
    """It has a session of its own."""
    add_posts(shop)
    works = [lambda: fail(shop.db.session), lambda: read_again(shop.db.session)]
    serve(shop, lambda: works.pop(0)(), times=2)
    assert codes(shop.inspection) == set()


def test_it_is_caught_at_the_commit(shop: Shop) -> None:
    add_posts(shop)
    caught_at_the_commit(shop)
    finding = the(shop.inspection.requests(path="/")[0], CODE)
    assert line(finding.location) == "shop.db.session.commit()"
    assert line_of(finding.evidence["failed"]).startswith("shop.db.session.scalars(")


def test_an_error_page_that_uses_the_session(shop: Shop) -> None:
    """Its own exception passes all handlers, and hides the first one."""
    add_posts(shop)

    def error_page(error: Exception) -> tuple[str, int]:
        read_again(shop.db.session)
        return "sorry", 500

    def view() -> str:
        shop.db.session.add(User(id=1, name="a secret"))
        shop.db.session.flush()
        return "done"

    shop.app.register_error_handler(500, error_page)
    shop.view(view)
    with pytest.raises(PendingRollbackError):
        shop.app.test_client().get("/")
    (record,) = shop.inspection.requests(path="/")
    finding = the(record, CODE)
    assert line_of(finding.evidence["failed"]) == "shop.db.session.flush()"
