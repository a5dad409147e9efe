"""Transactions that end the way their author meant."""

from __future__ import annotations

import time
import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Post
from conftest import Shop
from conftest import User
from silence import assert_silent
from silence import kinds
from silence import outcomes
from silence import sessions
from silence import written
from sqlalchemy.orm import Session

MakeShop = t.Callable[..., Shop]


def serve(shop: Shop, work: t.Callable[[Session], object], times: int = 1) -> t.Any:
    """Serve requests that work with the session; return the silent records."""

    def view() -> str:
        work(shop.db.session())
        return "done"

    shop.view(view)
    for _ in range(times):
        assert shop.app.test_client().get("/").status_code == 200
    records = assert_silent(shop.inspection)
    assert len(records) == times
    return records if times > 1 else records[0]


def count(shop: Shop) -> int | None:
    with shop.app.app_context(), shop.db.engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count(User.id)))


def released_savepoint(session: Session) -> None:
    with session.begin_nested():
        session.add(User(name="inner"))
    session.add(User(name="outer"))
    session.commit()


def rolled_back_savepoint(session: Session) -> None:
    session.add(User(name="outer"))
    savepoint = session.begin_nested()
    session.add(User(name="inner"))
    session.flush()
    savepoint.rollback()
    session.commit()


def only_a_rolled_back_savepoint(session: Session) -> None:
    """Try something, and close the outer transaction, which wrote nothing."""
    savepoint = session.begin_nested()
    session.add(User(name="inner"))
    session.flush()
    savepoint.rollback()


def savepoints_in_savepoints(session: Session) -> None:
    with session.begin_nested():
        session.add(User(name="one"))
        with session.begin_nested():
            session.add(User(name="two"))
        savepoint = session.begin_nested()
        session.add(User(name="three"))
        savepoint.rollback()
    session.commit()


def savepoint_that_fails(session: Session) -> None:
    session.add(User(id=1, name="first"))
    session.flush()
    for _ in range(2):
        with pytest.raises(sa.exc.IntegrityError), session.begin_nested():
            session.execute(sa.insert(User).values(id=1, name="again"))
    session.commit()


@pytest.mark.parametrize(
    ("work", "rows"),
    [
        (released_savepoint, 2),
        (rolled_back_savepoint, 1),
        (only_a_rolled_back_savepoint, 0),
        (savepoints_in_savepoints, 2),
        (savepoint_that_fails, 1),
    ],
)
def test_savepoints(shop: Shop, work: t.Callable[[Session], None], rows: int) -> None:
    record = serve(shop, work)
    (session,) = sessions(record)
    assert any(transaction.nested for transaction in session.transactions)
    assert count(shop) == rows


def test_a_dry_run(shop: Shop) -> None:
    def work(session: Session) -> None:
        session.add(User(name="tried"))
        session.flush()
        session.rollback()

    records = serve(shop, work, times=3)
    assert outcomes(*records) == ["rollback"] * 3
    assert written(*records, outcome="rollback") == {"users": 3}


def insert_many(session: Session) -> None:
    session.execute(sa.insert(User), [{"name": str(n)} for n in range(30)])


def insert_returning(session: Session) -> None:
    values = [{"name": str(n)} for n in range(3)]
    assert len(session.scalars(sa.insert(User).returning(User.id), values).all()) == 3


def update_and_delete(session: Session) -> None:
    session.add_all([User(name="a"), User(name="b")])
    session.flush()
    session.execute(sa.update(User).values(name="c").where(User.name == "a"))
    session.execute(sa.delete(User).where(User.name == "b"))


def textual(session: Session) -> None:
    session.execute(sa.text("INSERT INTO users (name) VALUES ('x')"))


def bulk(session: Session) -> None:
    session.bulk_save_objects([User(name="a"), User(name="b")])
    session.bulk_insert_mappings(User, [{"name": "c"}])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "work", [insert_many, insert_returning, update_and_delete, textual, bulk]
)
def test_writes_that_are_committed(
    shop: Shop, work: t.Callable[[Session], None]
) -> None:
    def and_commit(session: Session) -> None:
        work(session)
        session.commit()

    record = serve(shop, and_commit)
    assert outcomes(record) == ["commit"]
    assert written(record)["users"] >= 1
    assert count(shop)


def test_reading_only(shop: Shop) -> None:
    records = serve(shop, lambda session: session.scalars(sa.select(User)).all(), 3)
    assert outcomes(*records) == ["close"] * 3
    assert kinds(*records) == ["select"] * 3


def test_changes_that_change_nothing(shop: Shop) -> None:
    with shop.app.app_context():
        shop.db.session.add(User(id=1, name="same"))
        shop.db.session.commit()
    shop.inspection.clear()

    def work(session: Session) -> None:
        user = session.get(User, 1)
        assert user is not None
        user.name = "other"
        user.name = "same"

    assert outcomes(serve(shop, work)) == ["close"]


def test_an_object_that_is_taken_out_again(shop: Shop) -> None:
    def work(session: Session) -> None:
        user, post = User(name="draft"), Post(title="draft")
        session.add_all([user, post])
        session.expunge(user)
        session.expunge_all()
        session.scalar(sa.select(1))

    record = serve(shop, work)
    assert sessions(record)[0].pending_new == 0


@pytest.mark.parametrize("how", ["engine", "connection"])
def test_autocommit(make_shop: MakeShop, how: str) -> None:
    """Nothing is lost without a commit, since the driver has made it already."""
    autocommit = {"isolation_level": "AUTOCOMMIT"}
    shop = make_shop(autocommit if how == "engine" else None)

    def work(session: Session) -> None:
        if how == "connection":
            session.connection(execution_options=autocommit)
        session.execute(sa.insert(User).values(name="kept"))

    record = serve(shop, work)
    assert kinds(record) == ["insert"]
    assert count(shop) == 1


def test_a_wait_without_a_transaction(make_shop: MakeShop) -> None:
    shop = make_shop(SESSION_INSPECTOR_IDLE_TRANSACTION_MS=300)

    def work(session: Session) -> None:
        time.sleep(0.35)  # The time itself is what this is about.
        session.add(User(name="x"))
        session.commit()
        time.sleep(0.35)
        session.scalars(sa.select(User)).all()
        session.rollback()
        time.sleep(0.35)

    record = serve(shop, work)
    assert record.duration_ms > 1000
    assert outcomes(record) == ["commit", "rollback"]


def test_a_commit_in_each_blueprint_function(shop: Shop) -> None:
    orders = flask.Blueprint("orders", __name__)

    @orders.before_app_request
    def note() -> None:
        with shop.db.session.begin_nested():
            shop.db.session.add(User(name="before"))
        shop.db.session.commit()

    @orders.after_app_request
    def commit(response: flask.Response) -> flask.Response:
        shop.db.session.commit()
        return response

    @orders.get("/")
    def index() -> str:
        shop.db.session.add(User(name="view"))
        shop.db.session.flush()
        return "done"

    shop.app.register_blueprint(orders)
    record = shop.get()
    assert_silent(shop.inspection)
    assert written(record) == {"users": 2}
    assert count(shop) == 2
