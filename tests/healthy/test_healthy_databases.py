"""What only a database server can do: cursors, locks, two phases."""

from __future__ import annotations

import collections.abc as cabc
import os
import typing as t
import uuid

import flask
import pytest
import sqlalchemy as sa
from conftest import Base
from conftest import Shop
from conftest import User
from conftest import missing
from silence import assert_silent
from silence import kinds
from silence import outcomes
from silence import sessions
from silence import written
from sqlalchemy.orm import Session

from flask_session_inspector import RequestRecord

URLS = {
    "postgresql": os.environ.get(
        "TEST_POSTGRES_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/test"
    ),
    "mariadb": os.environ.get(
        "TEST_MARIADB_URL", "mysql+pymysql://root@127.0.0.1:3306/test"
    ),
}
MARIADB = pytest.mark.parametrize("url", ["mariadb"], indirect=True)


@pytest.fixture(scope="module", params=["postgresql"])
def url(
    request: pytest.FixtureRequest,
) -> cabc.Iterator[tuple[sa.URL, dict[str, t.Any]]]:
    """A schema of our own, so that test processes do not meet."""
    url = sa.make_url(URLS[request.param])
    schema = f"healthy_{uuid.uuid4().hex[:12]}"
    outside = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with outside.connect() as connection:
            connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
    except (sa.exc.OperationalError, ModuleNotFoundError) as error:
        missing(f"{request.param} is not reachable: {error}")
    if request.param == "postgresql":
        yield url, {"connect_args": {"options": f"-csearch_path={schema}"}}
    else:
        yield url.set(database=schema), {}
    cascade = "CASCADE" if request.param == "postgresql" else ""
    with outside.connect() as connection:
        connection.exec_driver_sql(f"DROP SCHEMA {schema} {cascade}")
    outside.dispose()


@pytest.fixture
def shop(
    url: tuple[sa.URL, dict[str, t.Any]], make_app: t.Callable[..., flask.Flask]
) -> cabc.Iterator[Shop]:
    """A shop with 100 users."""
    app = make_app(SQLALCHEMY_DATABASE_URI=url[0])
    shop = Shop(app, **url[1])
    shop.create_tables()
    with app.app_context(), shop.db.engine.begin() as connection:
        connection.execute(
            sa.insert(User), [{"id": n + 1000, "name": str(n)} for n in range(100)]
        )
    shop.inspection.clear()
    yield shop
    with app.app_context():
        Base.metadata.drop_all(shop.db.engine)


def serve(
    shop: Shop, work: t.Callable[[Session], object], times: int = 2
) -> list[RequestRecord]:
    def view() -> str:
        work(shop.db.session())
        return "done"

    shop.view(view)
    for _ in range(times):
        assert shop.app.test_client().get("/").status_code == 200
    records = assert_silent(shop.inspection)
    assert len(records) == times
    return records


@pytest.mark.parametrize("own_session", [True, False])
def test_a_cursor_of_the_server_in_a_stream(shop: Shop, own_session: bool) -> None:
    query = sa.select(User).execution_options(yield_per=10)

    def generate() -> cabc.Iterator[str]:
        if own_session:
            with Session(shop.db.engine) as session:
                yield from (user.name for user in session.scalars(query))
        else:
            yield from (user.name for user in shop.db.session.scalars(query))

    shop.view(lambda: flask.Response(flask.stream_with_context(generate())))
    for _ in range(2):
        with shop.app.test_client().get("/") as response:
            assert response.text == "".join(map(str, range(100)))
    records = assert_silent(shop.inspection)
    assert kinds(*records) == ["select", "select"]


def test_an_advisory_lock_of_the_transaction(shop: Shop) -> None:
    def work(session: Session) -> None:
        session.execute(sa.select(sa.func.pg_advisory_xact_lock(4711)))
        session.execute(sa.update(User).values(name="x"))
        session.commit()

    assert written(*serve(shop, work)) == {"users": 200}


def test_an_advisory_lock_of_a_connection(shop: Shop) -> None:
    """Taken and released before the session begins."""

    def work(session: Session) -> None:
        with shop.db.engine.connect() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_lock(4711)))
            connection.execute(sa.select(sa.func.pg_advisory_unlock(4711)))
        session.scalars(sa.select(User)).all()

    records = serve(shop, work)
    assert [len(r.connection_statements) for r in records] == [2, 2]


def test_rows_that_are_locked_and_left_alone(shop: Shop) -> None:
    def work(session: Session) -> None:
        query = sa.select(User).with_for_update(skip_locked=True).limit(1)
        assert session.scalars(query).one()
        session.execute(sa.text("SET LOCAL statement_timeout = 1000"))
        session.execute(sa.text("SELECT pg_notify('news', 'nothing')"))

    records = serve(shop, work)
    assert outcomes(*records) == ["close", "close"]
    assert len(kinds(*records)) == 6


def test_a_table_of_the_transaction_itself(shop: Shop) -> None:
    """Rows of a temporary table are not meant to stay."""

    def work(session: Session) -> None:
        session.execute(sa.text("CREATE TEMP TABLE wanted (id INTEGER) ON COMMIT DROP"))
        session.execute(sa.text("INSERT INTO wanted VALUES (1001), (1002)"))
        wanted = sa.text("SELECT count(*) FROM users JOIN wanted USING (id)")
        assert session.scalar(wanted) == 2

    records = serve(shop, work)
    assert kinds(*records) == ["other", "insert", "select"] * 2


def test_a_statement_that_takes_long(shop: Shop) -> None:
    """The transaction is open for longer than it may be idle, and busy."""

    def work(session: Session) -> None:
        session.execute(sa.select(sa.func.pg_sleep(0.6)))
        session.execute(sa.update(User).values(name="x"))
        session.commit()

    records = serve(shop, work)
    assert all(record.duration_ms > 600 for record in records)


def test_a_failed_statement_in_a_savepoint(shop: Shop) -> None:
    def work(session: Session) -> None:
        session.add(User(name="kept"))
        session.flush()
        with pytest.raises(sa.exc.ProgrammingError), session.begin_nested():
            session.execute(sa.text("SELECT nothing FROM nowhere"))
        with pytest.raises(sa.exc.IntegrityError), session.begin_nested():
            session.add(User(id=1000, name="taken"))
        session.commit()

    records = serve(shop, work)
    assert written(*records) == {"users": 2}


def test_a_session_that_joins_an_outer_transaction(shop: Shop) -> None:
    """As test suites do: the connection rolls everything back."""

    def work(session: Session) -> None:
        with shop.db.engine.connect() as connection:
            outer = connection.begin()
            with Session(connection, join_transaction_mode="create_savepoint") as inner:
                inner.add(User(name="tried"))
                inner.commit()
            outer.rollback()

    records = serve(shop, work)
    assert len(sessions(*records)) >= 2
    with shop.app.app_context(), shop.db.engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count(User.id))) == 100


def test_an_upsert(shop: Shop) -> None:
    from sqlalchemy.dialects.postgresql import insert

    def work(session: Session) -> None:
        statement = insert(User).values([{"id": 1000, "name": "x"}])
        session.execute(statement.on_conflict_do_nothing())
        update = statement.on_conflict_do_update(
            index_elements=["id"], set_={"name": "y"}
        )
        session.scalars(update.returning(User)).one()
        session.commit()

    assert written(*serve(shop, work)) == {"users": 2}


@MARIADB
def test_two_phases(shop: Shop) -> None:
    def work(session: Session) -> None:
        with Session(session.get_bind(), twophase=True) as own:
            own.add(User(name="x"))
            own.flush()
            own.prepare()
            own.commit()

    records = serve(shop, work)
    assert written(*records) == {"users": 2}
