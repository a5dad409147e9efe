"""Which rows of which table a transaction wrote, in every way of writing."""

from __future__ import annotations

import collections.abc as cabc
import sqlite3
import typing as t

import pytest
import sqlalchemy as sa
from conftest import Post
from conftest import Shop
from conftest import User
from sqlalchemy.dialects import sqlite
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import Session
from sqlalchemy.orm import mapped_column
from sqlalchemy.orm import relationship

from flask_session_inspector import RequestRecord
from flask_session_inspector.hooks import returning

Work = t.Callable[[Session], object]


class Own(DeclarativeBase):
    pass


tagged = sa.Table(
    "tagged",
    Own.metadata,
    sa.Column("item_id", sa.ForeignKey("items.id"), primary_key=True),
    sa.Column("tag_id", sa.ForeignKey("tags.id"), primary_key=True),
)


class Tag(Own):
    __tablename__ = "tags"
    id: Mapped[int] = mapped_column(primary_key=True)


class Item(Own):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    tags: Mapped[list[Tag]] = relationship(secondary=tagged)
    __mapper_args__: t.ClassVar = {
        "polymorphic_on": "kind",
        "polymorphic_identity": "item",
    }


class Book(Item):
    __tablename__ = "books"
    id: Mapped[int] = mapped_column(sa.ForeignKey("items.id"), primary_key=True)
    title: Mapped[str]
    __mapper_args__: t.ClassVar = {"polymorphic_identity": "book"}


class Coded(Own):
    """Its key comes from an SQL expression, which may be executed by itself."""

    __tablename__ = "coded"
    code: Mapped[str] = mapped_column(
        primary_key=True, default=sa.func.lower(sa.func.hex(sa.func.randomblob(8)))
    )
    note: Mapped[str]


def writes(record: RequestRecord) -> dict[str, int]:
    """Sum up what all transactions of a record wrote."""
    total: dict[str, int] = {}
    for session in record.sessions:
        for transaction in session.transactions:
            for table, rows in transaction.writes.items():
                total[table] = total.get(table, 0) + rows
    return total


@pytest.fixture
def shop(make_shop: t.Callable[..., Shop]) -> Shop:
    return make_shop(SQLALCHEMY_DATABASE_URI="sqlite://")


@pytest.fixture
def written(shop: Shop) -> cabc.Callable[[Work], dict[str, int]]:
    """Do some work in a request; tell what it wrote. Three users are there."""
    with shop.app.app_context():
        Own.metadata.create_all(shop.db.engine)
        shop.db.session.add_all([User(id=n, name=f"u{n}") for n in (1, 2, 3)])
        shop.db.session.commit()

    def run(work: Work) -> dict[str, int]:
        def index() -> str:
            work(t.cast(Session, shop.db.session))
            shop.db.session.commit()
            return ""

        shop.view(index)
        record = shop.get()
        assert record.error is None
        return writes(record)

    return run


def test_flush_of_new_changed_and_deleted_objects(written: t.Any) -> None:
    def work(session: Session) -> None:
        session.add_all([Post(title=f"p{n}", user_id=1) for n in range(5)])
        first = session.get(User, 1)
        assert first is not None
        first.name = "changed"
        session.delete(session.get(User, 3))

    assert written(work) == {"posts": 5, "users": 2}


def test_more_rows_than_one_batch_of_many_values(written: t.Any) -> None:
    def work(session: Session) -> None:
        session.add_all([User(name=f"n{n}") for n in range(2500)])

    assert written(work) == {"users": 2500}


def test_joined_inheritance_writes_to_both_tables(written: t.Any) -> None:
    def work(session: Session) -> None:
        session.add_all([Book(title="a"), Book(title="b"), Item()])

    assert written(work) == {"items": 3, "books": 2}


def test_secondary_table(written: t.Any) -> None:
    def work(session: Session) -> None:
        item = Item(tags=[Tag(), Tag(), Tag()])
        session.add(item)
        session.flush()
        item.tags.pop()

    assert written(work) == {"items": 1, "tags": 3, "tagged": 4}


def test_a_key_that_is_fetched_before_the_insert_is_no_write(written: t.Any) -> None:
    def work(session: Session) -> None:
        session.execute(sa.insert(Coded), {"note": "x"})
        session.add_all([Coded(note="y"), Coded(note="z")])

    assert written(work) == {"coded": 3}


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (lambda s: s.bulk_save_objects([User(name="a"), User(name="b")]), 2),
        (lambda s: s.bulk_insert_mappings(User, [{"name": "a"}] * 3), 3),
        (lambda s: s.bulk_update_mappings(User, [{"id": 1, "name": "x"}]), 1),
        (lambda s: s.query(User).filter(User.id > 1).delete(), 2),
        (lambda s: s.query(User).update({"name": "x"}), 3),
        (lambda s: s.execute(sa.insert(User), [{"name": "a"}, {"name": "b"}]), 2),
        (lambda s: s.execute(sa.insert(User).values([{"name": "a"}] * 4)), 4),
        (
            lambda s: s.scalars(
                sa.insert(User).returning(User.id), [{"name": "a"}] * 2
            ),
            2,
        ),
        (lambda s: s.execute(sa.update(User).where(User.id < 3), {"name": "y"}), 2),
        (
            lambda s: s.execute(
                sa.update(User), [{"id": 1, "name": "b"}, {"id": 2, "name": "c"}]
            ),
            2,
        ),
        (lambda s: s.execute(sa.delete(User).where(User.id == 99)), 0),
        (
            lambda s: s.execute(
                sa.insert(User).from_select(["name"], sa.select(User.name))
            ),
            3,
        ),
        (
            lambda s: s.execute(
                sqlite.insert(User)
                .values([{"id": 1, "name": "a"}, {"id": 9, "name": "b"}])
                .on_conflict_do_nothing()
            ),
            1,
        ),
        (
            lambda s: s.execute(
                sqlite.insert(User)
                .values(id=1, name="a")
                .on_conflict_do_update(index_elements=["id"], set_={"name": "z"})
            ),
            1,
        ),
        (
            lambda s: s.scalars(
                sa.update(User).values(name="q").returning(User.id)
            ).all(),
            3,
        ),
        (lambda s: s.scalars(sa.delete(User).returning(User.id)).all(), 3),
        (
            lambda s: s.scalars(
                sa.select(User).from_statement(
                    sa.insert(User).values([{"name": "a"}] * 2).returning(User)
                )
            ).all(),
            2,
        ),
    ],
)
def test_bulk_and_core(written: t.Any, work: Work, expected: int) -> None:
    assert written(work) == ({"users": expected} if expected else {})


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("UPDATE users SET name = 'x'", {"users": 3}),
        ("DELETE FROM users WHERE id = 2", {"users": 1}),
        ("INSERT INTO users (name) VALUES ('a'), ('b')", {"users": 2}),
        ("insert into users (name) select name from users", {"users": 3}),
        ("INSERT OR REPLACE INTO users (id, name) VALUES (1, 'b')", {"users": 1}),
        ("REPLACE INTO users (id, name) VALUES (1, 'b')", {"users": 1}),
        ("UPDATE OR IGNORE users SET name = 'x' WHERE id = 1", {"users": 1}),
        ('UPDATE "users" SET name = 1', {"users": 3}),
        ("UPDATE `users` SET name = 1", {"users": 3}),
        ("UPDATE [users] SET name = 1", {"users": 3}),
        ('UPDATE main."users" SET name = 1', {"main.users": 3}),
        ("UPDATE main . users SET name = 1", {"main.users": 3}),
        ("-- UPDATE posts SET x = 1\nUPDATE users SET name = 1", {"users": 3}),
        ("/* DELETE FROM posts */ DELETE FROM users", {"users": 3}),
        (" \n\t/* a */--b\n UPDATE/* c */users SET name = 1", {"users": 3}),
        ("UPDATE users SET name = 'r' RETURNING id", {"users": 3}),
        ("WITH x AS (SELECT 1 AS id) DELETE FROM users WHERE id IN x", {"users": 1}),
        (
            "WITH x AS (SELECT 'DELETE FROM posts' AS name)"
            " INSERT INTO users (name) SELECT name FROM x",
            {"users": 1},
        ),
        (
            "WITH x AS (SELECT 1 AS i) REPLACE INTO users SELECT i, i FROM x",
            {"users": 1},
        ),
        ("SELECT 'UPDATE users SET name = 1'", {}),
        ("WITH x AS (SELECT 'UPDATE users SET') SELECT * FROM x", {}),
        ("CREATE TABLE other AS SELECT * FROM users", {}),
        ('INSERT INTO "we""ird" VALUES (1)', {'we"ird': 1}),
    ],
)
def test_textual_statements(
    written: t.Any, shop: Shop, sql: str, expected: dict[str, int]
) -> None:
    with shop.app.app_context(), shop.db.engine.begin() as connection:
        connection.exec_driver_sql('CREATE TABLE "we""ird" (x)')
    assert written(lambda session: session.execute(sa.text(sql))) == expected


def test_textual_statement_for_many_rows(written: t.Any) -> None:
    def work(session: Session) -> None:
        rows = [{"name": "a"}, {"name": "b"}, {"name": "c"}]
        session.execute(sa.text("INSERT INTO users (name) VALUES (:name)"), rows)
        session.connection().exec_driver_sql(
            "UPDATE users SET name = ? WHERE id = ?", [("x", 1), ("y", 2)]
        )

    assert written(work) == {"users": 5}


@pytest.mark.parametrize("columns", [False, True])
def test_textual_statement_that_returns_rows(written: t.Any, columns: bool) -> None:
    def work(session: Session) -> None:
        # Not the same text: what a text writes is found out once.
        statement: t.Any = sa.text(f"DELETE FROM users RETURNING id AS x{columns}")
        if columns:
            statement = statement.columns(User.id)
        assert len(session.execute(statement).all()) == 3

    assert written(work) == {"users": 3}


def test_rows_that_are_returned_and_never_fetched(written: t.Any) -> None:
    def work(session: Session) -> None:
        session.execute(sa.text("UPDATE users SET name = 'x' RETURNING id")).first()
        session.execute(sa.text("UPDATE users SET name = 'y' RETURNING id"))
        session.execute(sa.insert(Tag))
        session.execute(sa.text("DELETE FROM users WHERE id > 7 RETURNING id"))

    # An open cursor would not let SQLite commit, so the inspector must hold none.
    assert written(work) == {"users": 6, "tags": 1}
    assert not returning.pending


def test_a_statement_that_fails_wrote_nothing(written: t.Any) -> None:
    def work(session: Session) -> None:
        with pytest.raises(sa.exc.IntegrityError):
            session.execute(sa.text("INSERT INTO users (id, name) VALUES (1, 'x')"))
        session.execute(sa.text("DELETE FROM users WHERE id = 1"))

    assert written(work) == {"users": 1}


class Uncounted(sqlite3.Cursor):
    """Says of no statement how many rows it changed."""

    rowcount = property(lambda self: -1)  # type: ignore[assignment]


class Connection(sqlite3.Connection):
    def cursor(self, factory: t.Any = None) -> t.Any:
        return super().cursor(Uncounted)


def test_a_driver_that_does_not_count(make_shop: t.Callable[..., Shop]) -> None:
    shop = make_shop({"connect_args": {"factory": Connection}})

    def index() -> str:
        rows = [{"name": "a"}, {"name": "b"}]
        shop.db.session.execute(
            sa.text("INSERT INTO users (name) VALUES (:name)"), rows
        )
        shop.db.session.execute(sa.insert(User), rows)
        shop.db.session.execute(sa.update(User).values(name="x"))
        return ""

    shop.view(index)
    record = shop.get()
    assert record.error is None
    assert writes(record) == {"users": 4}, "as many as there are sets of values"
    assert [x.rows for x in record.sessions[0].statements] == [2, 2, None]


def test_writes_on_a_connection_without_a_session_are_no_sessions_writes(
    written: t.Any, shop: Shop
) -> None:
    def work(session: Session) -> None:
        with shop.db.engine.begin() as connection:
            connection.execute(sa.insert(User).values(name="x"))

    assert written(work) == {}
    (statement,) = shop.newest().connection_statements
    assert statement.kind == "insert"
    assert statement.rows == 1
