"""PostgreSQL and MariaDB: what their drivers say, and their own SQL."""

from __future__ import annotations

import collections.abc as cabc
import os
import typing as t
import uuid

import pytest
import sqlalchemy as sa
from conftest import Base
from conftest import Shop
from conftest import User
from conftest import missing
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from flask_session_inspector import RequestRecord
from flask_session_inspector import StatementRecord

URLS = {
    "postgresql": os.environ.get(
        "TEST_POSTGRES_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/test"
    ),
    "mariadb": os.environ.get(
        "TEST_MARIADB_URL", "mysql+pymysql://root@127.0.0.1:3306/test"
    ),
}
POSTGRESQL = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
MARIADB = pytest.mark.parametrize("database", ["mariadb"], indirect=True)


@pytest.fixture(scope="module", params=URLS)
def database(
    request: pytest.FixtureRequest,
) -> cabc.Iterator[tuple[sa.URL, dict[str, t.Any]]]:
    """A schema of our own, so that test processes do not meet."""
    url = sa.make_url(URLS[request.param])
    schema = f"inspector_{uuid.uuid4().hex[:12]}"
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
    database: tuple[sa.URL, dict[str, t.Any]], make_app: t.Callable[..., t.Any]
) -> cabc.Iterator[Shop]:
    url, options = database
    app = make_app(SQLALCHEMY_DATABASE_URI=url)
    shop = Shop(app, **options)
    with app.app_context():
        Base.metadata.create_all(shop.db.engine)
        shop.db.session.add_all(
            [User(id=n, name="x") for n in (900001, 900002, 900003)]
        )
        shop.db.session.commit()
    shop.inspection.clear()
    yield shop
    with app.app_context():
        Base.metadata.drop_all(shop.db.engine)


def serve(shop: Shop, work: t.Callable[[Session], object]) -> RequestRecord:
    def index() -> str:
        work(shop.db.session())
        return ""

    shop.view(index)
    record = shop.get()
    assert record.error is None
    return record


def facts(
    record: RequestRecord,
) -> tuple[dict[str, int], list[StatementRecord]]:
    """What the first transaction wrote, and the statements but for savepoints."""
    (session,) = record.sessions
    statements = [x for x in session.statements if "SAVEPOINT" not in x.sql]
    return session.transactions[0].writes, statements


@pytest.mark.parametrize(
    ("work", "writes", "rows"),
    [
        (lambda s: s.scalars(sa.select(User)).all(), {}, [3]),
        (lambda s: s.execute(sa.update(User).values(name="y")), {"users": 3}, [3]),
        # Found, though nothing changes.
        (lambda s: s.execute(sa.update(User).values(name="x")), {"users": 3}, [3]),
        (
            lambda s: s.execute(sa.delete(User).where(User.id < 900003)),
            {"users": 2},
            [2],
        ),
        (lambda s: s.execute(sa.text("DELETE FROM users")), {"users": 3}, [3]),
        (
            lambda s: s.execute(sa.insert(User).values([{"name": "a"}] * 4)),
            {"users": 4},
            [4],
        ),
        (
            lambda s: s.execute(
                sa.insert(User).from_select(["name"], sa.select(User.name))
            ),
            {"users": 3},
            [3],
        ),
        (
            lambda s: s.execute(
                sa.text("INSERT INTO users (name) VALUES (:n)"), [{"n": "a"}] * 5
            ),
            {"users": 5},
            [5],
        ),
        (
            lambda s: s.scalars(
                sa.insert(User).returning(User.id), {"name": "a"}
            ).all(),
            {"users": 1},
            [1],
        ),
        (
            lambda s: s.scalars(sa.delete(User).returning(User.id)).first(),
            {"users": 3},
            [3],
        ),
        (
            lambda s: s.execute(sa.text("DELETE FROM users RETURNING id")),
            {"users": 3},
            [3],
        ),
        (
            lambda s: s.execute(
                sa.update(User),
                [{"id": 900001, "name": "b"}, {"id": 900002, "name": "c"}],
            ),
            {"users": 2},
            [2],
        ),
    ],
)
def test_rows(
    shop: Shop,
    work: t.Callable[[Session], object],
    writes: dict[str, int],
    rows: list[int | None],
) -> None:
    written, statements = facts(serve(shop, work))
    assert written == writes
    assert [statement.rows for statement in statements] == rows


def test_many_rows_in_batches(shop: Shop) -> None:
    def work(session: Session) -> None:
        session.add_all([User(name=f"n{n}") for n in range(2500)])
        session.flush()
        table = t.cast(sa.Table, User.__table__)
        session.connection().execute(
            sa.insert(table).returning(table.c.id), [{"name": "x"}] * 1500
        )

    written, statements = facts(serve(shop, work))
    assert written == {"users": 4000}
    rows = [statement.rows for statement in statements]
    assert all(number is not None for number in rows)
    assert sum(t.cast(list[int], rows)) == 4000
    assert len(rows) > 2


def test_server_side_cursors(shop: Shop) -> None:
    def work(session: Session) -> None:
        statement = sa.select(User).execution_options(stream_results=True)
        with session.scalars(statement) as result:
            assert len(result.fetchmany(2)) == 2
        session.execute(sa.delete(User))

    written, statements = facts(serve(shop, work))
    assert written == {"users": 3}
    assert statements[0].rows in (None, 0)
    assert statements[1].rows == 3


def test_an_error_of_the_driver_and_a_savepoint(shop: Shop) -> None:
    def work(session: Session) -> None:
        session.execute(sa.insert(User).values(name="kept"))
        with pytest.raises(sa.exc.IntegrityError) as caught, session.begin_nested():
            session.execute(sa.insert(User).values(id=900001, name="again"))
        assert type(caught.value.orig).__module__.split(".")[0] in (
            "psycopg",
            "pymysql",
        )
        with session.begin_nested():
            session.execute(sa.delete(User).where(User.id == 900002))
        session.commit()

    record = serve(shop, work)
    (session,) = record.sessions
    assert [(x.nested, x.outcome, x.writes) for x in session.transactions] == [
        (False, "commit", {"users": 1}),
        (True, "rollback", {}),
        (True, "commit", {"users": 1}),
    ]
    assert all(x.checked_in_ms is not None for x in record.connections)


@MARIADB  # PostgreSQL's default configuration has it switched off
@pytest.mark.parametrize("outcome", ["commit", "rollback"])
def test_two_phases(shop: Shop, outcome: str) -> None:
    def work(session: Session) -> None:
        with Session(shop.db.engine, twophase=True) as other:
            other.execute(sa.insert(User).values(name="a"))
            if outcome == "commit":
                other.prepare()
            getattr(other, outcome)()

    record = serve(shop, work)
    session = record.sessions[0]
    (transaction,) = session.transactions
    assert transaction.outcome == outcome
    assert transaction.writes == {"users": 1}
    assert all(x.checked_in_ms is not None for x in record.connections)


@POSTGRESQL  # which does not ask for one here, and so takes any
def test_names_of_binds_hold_no_password(shop: Shop) -> None:
    url = sa.make_url(URLS["postgresql"]).set(password="hunter2")
    other = sa.create_engine(url.update_query_dict({"sslpassword": "hunter2"}))

    def work(session: Session) -> None:
        with other.connect() as connection:
            connection.exec_driver_sql("SELECT 'hunter2', 1")

    record = serve(shop, work)
    other.dispose()
    statement = record.connection_statements[-1]
    assert statement.sql == "SELECT ?, ?"
    assert statement.bind.startswith("postgresql+psycopg://")
    assert ":***@" in statement.bind
    assert "hunter2" not in repr(record)


@POSTGRESQL
@pytest.mark.parametrize(
    ("sql", "writes"),
    [
        (
            "WITH gone AS (DELETE FROM users RETURNING name)"
            " INSERT INTO posts (title) SELECT name FROM gone",
            {"posts": 3},
        ),
        (
            "WITH new AS (INSERT INTO users (name) VALUES ('a'), ('b') RETURNING id)"
            " SELECT id FROM new",
            {"users": 2},
        ),
        ("WITH x AS (SELECT * FROM users) SELECT * FROM x FOR UPDATE OF x", None),
        ("SELECT * FROM users FOR UPDATE OF users", {}),
        ("UPDATE ONLY users SET name = $$it's$$", {"users": 3}),
        ("UPDATE users AS u SET name = U&'x' /* a /* b */ c */", {"users": 3}),
        (
            "MERGE INTO users u USING (SELECT 900001 AS id) s ON u.id = s.id"
            " WHEN MATCHED THEN DELETE",
            {"users": 1},
        ),
        ("DELETE FROM users USING posts WHERE false", {}),
    ],
)
def test_textual_statements_of_postgresql(
    shop: Shop, sql: str, writes: dict[str, int] | None
) -> None:
    def work(session: Session) -> None:
        if writes is None:
            with pytest.raises(sa.exc.DBAPIError):
                session.execute(sa.text(sql))
        else:
            session.execute(sa.text(sql))

    written, statements = facts(serve(shop, work))
    assert written == (writes or {})
    assert "it's" not in statements[-1].sql


@POSTGRESQL
def test_core_statements_of_postgresql(shop: Shop) -> None:
    def work(session: Session) -> None:
        rows = [{"id": 900001, "name": "a"}, {"id": 500, "name": "b"}]
        session.execute(postgresql.insert(User).values(rows).on_conflict_do_nothing())
        new = sa.insert(User).values(name="c").returning(User.id).cte("new")
        assert len(session.execute(sa.select(new.c.id)).all()) == 1

    written, _ = facts(serve(shop, work))
    assert written == {"users": 2}


@POSTGRESQL
def test_defaults_that_are_executed_before(shop: Shop) -> None:
    table = sa.Table(
        "numbered",
        sa.MetaData(),
        sa.Column("id", sa.Integer, sa.Sequence("numbers"), primary_key=True),
        sa.Column(
            "x", sa.Integer, default=sa.select(sa.func.max(User.id)).scalar_subquery()
        ),
        implicit_returning=False,
    )

    def work(session: Session) -> None:
        table.create(session.connection())
        session.execute(sa.insert(table))
        session.execute(sa.insert(table), [{}, {}])

    written, statements = facts(serve(shop, work))
    assert written == {"numbered": 3}
    assert "select" in [statement.kind for statement in statements]


@MARIADB
@pytest.mark.parametrize(
    ("sql", "writes"),
    [
        ('UPDATE users SET name = "hunter2"', {"users": 3}),
        ("# it's a comment\nUPDATE users SET name = 'hunter2'", {"users": 3}),
        ("DELETE users FROM users WHERE name = 'it\\'s hunter2'", {}),
        ("DELETE u FROM users u", {"u": 3}),
        ("INSERT IGNORE users (id, name) VALUES (900001, 'a'), (1, 'b')", {"users": 1}),
        ("REPLACE users (id, name) VALUES (1, 'hunter2')", {"users": 1}),
        ("SELECT * FROM users WHERE name = 'hunter2' FOR UPDATE", {}),
    ],
)
def test_textual_statements_of_mariadb(
    shop: Shop, sql: str, writes: dict[str, int]
) -> None:
    written, (statement,) = facts(serve(shop, lambda s: s.execute(sa.text(sql))))
    assert written == writes
    assert "hunter2" not in statement.sql


@MARIADB
def test_core_statements_of_mariadb(shop: Shop) -> None:
    def work(session: Session) -> None:
        statement = mysql.insert(User).values(id=500, name="a")
        session.execute(statement.on_duplicate_key_update(name="b"))
        session.execute(sa.delete(User))

    written, _ = facts(serve(shop, work))
    assert written == {"users": 1 + 4}
