"""SQLAlchemy's own events in the application, and its connections by hand."""

from __future__ import annotations

import logging
import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Post
from conftest import Shop
from conftest import User
from silence import assert_silent
from silence import outcomes
from silence import sessions
from silence import written
from sqlalchemy.orm import Session

MakeShop = t.Callable[..., Shop]


def write(shop: Shop) -> str:
    shop.db.session.add(User(name="x"))
    shop.db.session.commit()
    return "done"


def test_an_audit_row_before_each_flush(shop: Shop) -> None:
    @sa.event.listens_for(shop.db.session, "before_flush")
    def audit(session: Session, context: object, instances: object) -> None:
        for created in [x for x in session.new if isinstance(x, User)]:
            session.add(Post(title=f"created {created.name}"))

    shop.view(lambda: write(shop))
    shop.get()
    (record,) = assert_silent(shop.inspection)
    assert written(record) == {"users": 1, "posts": 1}


def test_a_queue_that_is_filled_after_the_commit(shop: Shop) -> None:
    created: list[int] = []
    queue: list[int] = []

    @sa.event.listens_for(shop.db.session, "after_flush")
    def collect(session: Session, context: object) -> None:
        created.extend(x.id for x in session.new if isinstance(x, User))

    @sa.event.listens_for(shop.db.session, "after_commit")
    def enqueue(session: Session) -> None:
        queue.extend(created)
        created.clear()

    @sa.event.listens_for(shop.db.session, "after_rollback")
    @sa.event.listens_for(shop.db.session, "after_soft_rollback")
    def forget(session: Session, previous: object = None) -> None:
        created.clear()

    shop.view(lambda: write(shop))
    for _ in range(3):
        shop.get()
    records = assert_silent(shop.inspection)
    assert written(*records) == {"users": 3}
    assert queue == [1, 2, 3]


def test_a_hook_that_writes_on_the_connection(shop: Shop) -> None:
    """As mapper events do, on the connection of the flush."""

    @sa.event.listens_for(User, "after_insert")
    def count(mapper: object, connection: sa.Connection, user: User) -> None:
        connection.execute(sa.insert(Post).values(title=user.name, user_id=user.id))

    @sa.event.listens_for(shop.db.session, "before_commit")
    def last(session: Session) -> None:
        session.execute(sa.select(sa.func.count(User.id)))

    shop.view(lambda: write(shop))
    try:
        shop.get()
    finally:
        sa.event.remove(User, "after_insert", count)
    (record,) = assert_silent(shop.inspection)
    assert written(record) == {"users": 1, "posts": 1}


def test_a_log_in_the_database(shop: Shop) -> None:
    """A log handler with a connection of its own, used between transactions."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            with shop.db.engine.begin() as connection:
                text = record.getMessage()
                connection.execute(sa.insert(Post).values(title=text))

    def view() -> str:
        flask.g.served = True
        write(shop)
        logger.warning("written")
        return "done"

    logger = logging.Logger("shop")
    logger.addHandler(Handler())
    shop.view(view)
    shop.app.teardown_appcontext(
        lambda error: logger.warning("torn down") if "served" in flask.g else None
    )
    shop.get()
    (record,) = assert_silent(shop.inspection)
    assert len(record.connection_statements) == 2
    assert len(record.connections) == 3


def test_a_connection_that_is_invalidated(make_shop: MakeShop) -> None:
    shop = make_shop({"pool_pre_ping": True, "pool_recycle": 60})

    def view() -> str:
        shop.db.session.connection().invalidate()
        shop.db.session.rollback()
        write(shop)
        shop.db.session.scalar(sa.select(1))
        shop.db.session().invalidate()
        return write(shop)

    shop.view(view)
    for _ in range(2):
        assert shop.app.test_client().get("/").status_code == 200
    records = assert_silent(shop.inspection)
    assert written(*records) == {"users": 4}


def test_a_connection_that_is_detached(shop: Shop) -> None:
    def view() -> str:
        with shop.db.engine.connect() as connection:
            connection.detach()
            connection.execute(sa.insert(User).values(name="x"))
            connection.commit()
        return "done"

    shop.view(view)
    for _ in range(2):
        shop.get()
    records = assert_silent(shop.inspection)
    assert [len(r.connection_statements) for r in records] == [1, 1]


def test_a_raw_connection(shop: Shop) -> None:
    def view() -> str:
        raw = shop.db.engine.raw_connection()
        try:
            raw.cursor().execute("INSERT INTO users (name) VALUES ('x')")
            raw.commit()
        finally:
            raw.close()
        return "done"

    shop.view(view)
    for _ in range(2):
        shop.get()
    records = assert_silent(shop.inspection)
    assert [len(record.connections) for record in records] == [1, 1]


@pytest.mark.parametrize("pool", [sa.NullPool, sa.StaticPool, sa.QueuePool])
def test_pools(make_shop: MakeShop, pool: type[sa.Pool]) -> None:
    shop = make_shop({"poolclass": pool})
    shop.view(lambda: write(shop))
    for _ in range(3):
        shop.get()
    records = assert_silent(shop.inspection)
    assert outcomes(*records) == ["commit"] * 3


@pytest.mark.parametrize("pool", [sa.NullPool, sa.StaticPool])
def test_two_connections_of_a_pool_that_cannot_run_dry(
    make_shop: MakeShop, pool: type[sa.Pool]
) -> None:
    shop = make_shop({"poolclass": pool})

    def view() -> str:
        shop.db.session.scalar(sa.select(1))
        with shop.db.engine.connect() as connection:
            connection.scalar(sa.select(2))
        return "done"

    shop.view(view)
    shop.get()
    (record,) = assert_silent(shop.inspection)
    assert len(record.connections) == 2


def test_the_tables_are_made_by_the_first_request(make_shop: MakeShop) -> None:
    shop = make_shop()

    @shop.app.before_request
    def make_tables() -> None:
        shop.db.create_all()
        assert sa.inspect(shop.db.engine).has_table("users")

    shop.view(lambda: write(shop))
    for _ in range(2):
        shop.get()
    records = assert_silent(shop.inspection)
    assert len(sessions(*records)) == 2
    assert all(record.connection_statements for record in records)
