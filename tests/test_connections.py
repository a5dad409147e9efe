"""Connections, from their check-out to their check-in."""

from __future__ import annotations

import gc
import threading
import typing as t

import pytest
import sqlalchemy as sa
from conftest import Shop
from sqlalchemy.orm import Session
from sqlalchemy.pool import AssertionPool
from sqlalchemy.pool import NullPool
from sqlalchemy.pool import QueuePool
from sqlalchemy.pool import SingletonThreadPool
from sqlalchemy.pool import StaticPool

from flask_session_inspector import ConnectionCheckout
from flask_session_inspector import RequestRecord
from flask_session_inspector.hooks import loans


def serve(
    shop: Shop, view: t.Callable[[sa.Engine], object], path: str = "/"
) -> RequestRecord:
    def index() -> str:
        view(shop.db.engine)
        return ""

    if "index" not in shop.app.view_functions:
        shop.app.add_url_rule("/", "index")
    shop.app.view_functions["index"] = index
    record = shop.get(path)
    assert record.error is None
    return record


def is_whole(checkout: ConnectionCheckout, record: RequestRecord) -> bool:
    returned = checkout.checked_in_ms
    return (
        returned is not None
        and 0 <= checkout.checked_out_ms <= returned <= record.duration_ms
    )


def test_the_connection_of_a_session(shop: Shop) -> None:
    def view(engine: sa.Engine) -> None:
        shop.db.session.execute(sa.select(1))
        shop.db.session.commit()
        shop.db.session.execute(sa.select(1))

    record = serve(shop, view)
    (session,) = record.sessions
    first, second = record.connections
    assert first.session == second.session == session.serial
    assert first.bind == second.bind == "default"
    assert first.connection_id == second.connection_id
    assert is_whole(first, record)
    assert is_whole(second, record)
    transaction = session.transactions[0]
    assert transaction.ended_ms is not None
    assert first.checked_in_ms is not None
    assert first.checked_out_ms <= transaction.began_ms <= first.checked_in_ms


def test_a_connection_without_a_session(shop: Shop) -> None:
    def view(engine: sa.Engine) -> None:
        with engine.connect() as connection:
            connection.execute(sa.select(1))
        engine.connect().close()
        raw = engine.raw_connection()
        raw.cursor().execute("SELECT 1")
        raw.close()

    record = serve(shop, view)
    assert [c.session for c in record.connections] == [None] * 3
    assert [c.bind for c in record.connections] == ["default", "", ""]
    assert all(is_whole(checkout, record) for checkout in record.connections)
    assert record.sessions == ()


@pytest.mark.parametrize("pool", [NullPool, QueuePool, SingletonThreadPool, StaticPool])
def test_pools(make_shop: t.Callable[..., Shop], pool: type[sa.Pool]) -> None:
    shop = make_shop({"poolclass": pool})
    records = [
        serve(shop, lambda engine: shop.db.session.execute(sa.select(1)))
        for _ in range(3)
    ]
    numbers = [record.connections[0].connection_id for record in records]
    for record in records:
        (checkout,) = record.connections
        assert is_whole(checkout, record)
        assert checkout.session == record.sessions[0].serial
    assert len(set(numbers)) == (3 if pool is NullPool else 1)


def test_a_held_connection_is_seen_in_every_record_that_it_reaches_into(
    shop: Shop,
) -> None:
    held: list[sa.Connection] = []
    first = serve(shop, lambda engine: held.append(engine.connect()))
    second = serve(shop, lambda engine: held.pop().close())
    assert [c.checked_in_ms for c in first.connections] == [None]
    # It was no session's, and nothing ran on it: the second cannot know of it.
    assert second.connections == ()
    third = serve(shop, lambda engine: engine.connect().close())
    assert third.connections[0].connection_id == first.connections[0].connection_id
    assert is_whole(third.connections[0], third)


def test_a_leaked_connection_comes_back_when_it_is_collected(shop: Shop) -> None:
    def view(engine: sa.Engine) -> None:
        engine.raw_connection()
        gc.collect()

    record = serve(shop, view)
    (checkout,) = record.connections
    assert is_whole(checkout, record)


def test_a_leaked_connection_that_comes_back_after_its_record(shop: Shop) -> None:
    leaked: list[t.Any] = []

    def index() -> str:
        leaked.append(shop.db.engine.raw_connection())
        return ""

    shop.app.add_url_rule("/", "index", index)
    shop.app.test_client().get("/")  # its record is not looked at yet
    leaked.clear()
    gc.collect()
    first = shop.newest()
    assert [c.checked_in_ms for c in first.connections] == [None]
    again = serve(shop, lambda engine: engine.connect().close())
    assert is_whole(again.connections[0], again)
    assert again.connections[0].connection_id == first.connections[0].connection_id


def test_an_invalidated_connection(shop: Shop) -> None:
    def view(engine: sa.Engine) -> None:
        with engine.connect() as connection:
            connection.execute(sa.select(1))
            connection.rollback()
            connection.invalidate()
            connection.execute(sa.select(1))
        engine.connect().close()

    record = serve(shop, view)
    assert len(record.connections) == 3
    assert all(is_whole(checkout, record) for checkout in record.connections)
    assert [c.bind for c in record.connections] == ["default", "default", ""]


def test_a_detached_connection_never_comes_back(shop: Shop) -> None:
    detached: list[sa.Connection] = []

    def view(engine: sa.Engine) -> None:
        connection = engine.connect()
        connection.detach()
        detached.append(connection)
        with engine.connect():
            pass
        connection.close()

    record = serve(shop, view)
    assert [c.checked_in_ms is None for c in record.connections] == [True, False]
    again = serve(shop, lambda engine: engine.connect().close())
    assert is_whole(again.connections[0], again)


def test_one_connection_for_all_threads(make_shop: t.Callable[..., Shop]) -> None:
    shop = make_shop(SQLALCHEMY_DATABASE_URI="sqlite://")
    inside, done = threading.Event(), threading.Event()
    records: dict[str, str] = {}

    def work(name: str) -> str:
        shop.db.session.execute(sa.text(f"SELECT 1 AS {name}"))
        record = shop.inspection.current()
        assert record is not None
        records[name] = record.id
        if name == "slow":
            inside.set()
            assert done.wait(10)
        return ""

    shop.app.add_url_rule("/<name>", view_func=work)
    slow = threading.Thread(target=lambda: shop.app.test_client().get("/slow"))
    slow.start()
    assert inside.wait(10)
    shop.get("/quick")
    done.set()
    slow.join(10)
    for name in ("quick", "slow"):
        record = shop.inspection.request(records[name])
        assert record is not None
        (checkout,) = record.connections
        (session,) = record.sessions
        assert checkout.session == session.serial
        assert is_whole(checkout, record), name
        assert [x.sql for x in session.statements] == [f"SELECT ? AS {name}"]


def test_one_connection_for_nested_contexts(make_shop: t.Callable[..., Shop]) -> None:
    shop = make_shop(SQLALCHEMY_DATABASE_URI="sqlite://")

    def view(engine: sa.Engine) -> None:
        shop.db.session.execute(sa.select(1))
        with shop.app.app_context():
            shop.db.session.execute(sa.select(2))
        shop.db.session.execute(sa.select(3))

    record = serve(shop, view)
    outer, inner = record.connections
    assert [outer.session, inner.session] == [s.serial for s in record.sessions]
    assert is_whole(outer, record)
    assert is_whole(inner, record)
    last = record.sessions[0].statements[-1]
    assert t.cast(float, inner.checked_in_ms) <= last.at_ms
    assert last.at_ms <= t.cast(float, outer.checked_in_ms)


def test_the_number_of_a_connection_is_never_used_again(shop: Shop) -> None:
    def view(engine: sa.Engine) -> None:
        with engine.connect(), engine.connect():
            pass
        engine.dispose()
        engine.connect().close()

    record = serve(shop, view)
    numbers = [checkout.connection_id for checkout in record.connections]
    assert numbers == sorted(set(numbers))
    assert all(is_whole(checkout, record) for checkout in record.connections)


def test_a_checkout_that_fails(make_shop: t.Callable[..., Shop]) -> None:
    shop = make_shop({"poolclass": AssertionPool})

    def view(engine: sa.Engine) -> None:
        with engine.connect(), pytest.raises(AssertionError):
            engine.connect()

    record = serve(shop, view)
    assert len(record.connections) == 1
    assert is_whole(record.connections[0], record)


def test_nothing_is_kept_of_connections_that_are_gone(shop: Shop) -> None:
    def view(engine: sa.Engine) -> None:
        for _ in range(20):
            other = sa.create_engine("sqlite://", poolclass=NullPool)
            with Session(other) as session:
                session.execute(sa.select(1))

    serve(shop, view)
    gc.collect()
    before = number_of(loans.Pooled), number_of(loans.Loan)
    serve(shop, view)
    gc.collect()
    assert (number_of(loans.Pooled), number_of(loans.Loan)) == before


def number_of(kind: type) -> int:
    return sum(type(each) is kind for each in gc.get_objects())
