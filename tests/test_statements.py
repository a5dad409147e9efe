"""What a record says of each statement."""

from __future__ import annotations

import typing as t

import pytest
import sqlalchemy as sa
from conftest import Post
from conftest import Shop
from conftest import User
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import joinedload
from sqlalchemy.orm import mapped_column
from sqlalchemy.orm import relationship
from sqlalchemy.orm import selectinload
from sqlalchemy.orm import subqueryload

from flask_session_inspector import RequestRecord
from flask_session_inspector import StatementRecord
from flask_session_inspector.sqltext import statement_kind


class Own(DeclarativeBase):
    pass


worn = sa.Table(
    "worn",
    Own.metadata,
    sa.Column("cat_id", sa.ForeignKey("cats.id"), primary_key=True),
    sa.Column("hat_id", sa.ForeignKey("hats.id"), primary_key=True),
)


class Hat(Own):
    __tablename__ = "hats"
    id: Mapped[int] = mapped_column(primary_key=True)


class Animal(Own):
    __tablename__ = "cats"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    note: Mapped[str | None] = mapped_column(deferred=True)
    hats: Mapped[list[Hat]] = relationship(secondary=worn)
    __mapper_args__: t.ClassVar = {
        "polymorphic_on": "kind",
        "polymorphic_identity": "animal",
    }


class Cat(Animal):
    __mapper_args__: t.ClassVar = {"polymorphic_identity": "cat"}


@pytest.fixture
def shop(make_shop: t.Callable[..., Shop]) -> Shop:
    shop = make_shop(SQLALCHEMY_DATABASE_URI="sqlite://")
    with shop.app.app_context():
        Own.metadata.create_all(shop.db.engine)
        for number in (1, 2):
            posts = [Post(title="a"), Post(title="b")]
            shop.db.session.add(User(id=number, name="x", posts=posts))
        shop.db.session.add(Cat(hats=[Hat(), Hat()]))
        shop.db.session.commit()
    return shop


def served(shop: Shop, view: t.Callable[[], object]) -> RequestRecord:
    def index() -> str:
        view()
        return ""

    shop.view(index)
    return shop.get()


def statements(shop: Shop, view: t.Callable[[], object]) -> list[StatementRecord]:
    record = served(shop, view)
    assert record.error is None
    return [st for session in record.sessions for st in session.statements]


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("SELECT 1", "select"),
        ("select*from t", "select"),
        ("SELECT(1)", "select"),
        ("(SELECT 1) UNION (SELECT 2)", "select"),
        ("  -- c\n/* d */ # e\nUPDATE t SET a=1", "update"),
        ("delete\nfrom t", "delete"),
        ("INSERT INTO t SELECT 1", "insert"),
        ("REPLACE INTO t VALUES (1)", "insert"),
        ("WITH x AS (SELECT 1) SELECT 1", "select"),
        ("WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x", "select"),
        ("WITH x AS (SELECT 1) INSERT INTO t SELECT 1", "insert"),
        (
            "WITH RECURSIVE x(a) AS (SELECT ')'), y AS (SELECT 1) DELETE FROM t",
            "delete",
        ),
        (
            'WITH "select" AS (SELECT 1), `update` AS (SELECT 1) REPLACE INTO t',
            "insert",
        ),
        (
            "WITH x AS (/* ( */ SELECT replace(a, '(', '') FROM t) UPDATE t SET a=1",
            "update",
        ),
        ("EXPLAIN SELECT 1", "other"),
        ("CREATE TABLE t AS SELECT 1", "other"),
        ("SAVEPOINT a", "other"),
        ("SELECTED", "other"),
        ("WITH", "other"),
        ("--", "other"),
        ("", "other"),
    ],
)
def test_kinds(sql: str, kind: str) -> None:
    assert statement_kind(sql) == kind


def test_facts_of_a_statement(shop: Shop) -> None:
    def view() -> None:
        shop.db.session.execute(sa.update(User).values(name="y"))

    record = served(shop, view)
    (statement,) = record.sessions[0].statements
    assert statement.sql == "UPDATE users SET name=?"
    assert statement.kind == "update"
    assert statement.rows == 2
    assert statement.bind == "default"
    assert statement.relationship is None
    assert statement.parameters is None
    assert statement.location is not None
    assert statement.location.function == "view"
    assert 0 < statement.at_ms < record.duration_ms
    assert 0 <= statement.duration_ms < record.duration_ms
    assert record.statement_count == 1
    assert not record.truncated


def test_the_rows_of_a_select_are_unknown_to_sqlite(shop: Shop) -> None:
    (statement,) = statements(
        shop, lambda: shop.db.session.scalars(sa.select(User)).all()
    )
    assert statement.rows is None


def test_statements_on_a_connection_without_a_session(shop: Shop) -> None:
    def view() -> None:
        with shop.db.engine.connect() as connection:
            connection.execute(sa.text("SELECT 1 AS alone"))
        shop.db.session.execute(sa.text("SELECT 1 AS together"))

    record = served(shop, view)
    (alone,) = record.connection_statements
    assert alone.sql == "SELECT ? AS alone"
    assert alone.bind == "default"
    assert alone.location is not None
    assert alone.location.function == "view"
    assert record.statement_count == 2


def test_a_statement_that_fails(shop: Shop) -> None:
    def view() -> None:
        with pytest.raises(sa.exc.OperationalError) as caught:
            shop.db.session.execute(sa.text("SELECT * FROM nowhere"))
        assert type(caught.value.orig).__module__ == "sqlite3"

    (statement,) = statements(shop, view)
    assert statement.sql == "SELECT * FROM nowhere"
    assert statement.rows is None


def test_more_statements_than_are_kept(make_shop: t.Callable[..., Shop]) -> None:
    shop = make_shop(
        SQLALCHEMY_DATABASE_URI="sqlite://", SESSION_INSPECTOR_MAX_STATEMENTS=3
    )

    def view() -> None:
        for number in range(10):
            shop.db.session.execute(sa.insert(User).values(name=str(number)))
        shop.db.session.execute(sa.text("DELETE FROM users RETURNING id")).all()
        shop.db.session.commit()
        for _ in range(5):
            with shop.db.engine.connect() as connection:
                connection.execute(sa.select(1))
            shop.db.session.execute(sa.select(1))
            shop.db.session.rollback()

    record = served(shop, view)
    (session,) = record.sessions
    assert len(session.statements) == 3
    assert record.connection_statements == ()
    assert record.statement_count == 21
    assert record.truncated
    assert session.transactions[0].writes == {"users": 20}
    assert len(session.transactions) == len(record.connections) == 3
    assert session.ended == "removed"


def first(shop: Shop, cls: type[t.Any] = User, *options: t.Any) -> t.Any:
    return shop.db.session.scalars(sa.select(cls).options(*options)).first()


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        (lambda s: first(s).posts, [None, "User.posts"]),
        (lambda s: first(s, Post).user.name, [None, "Post.user"]),
        (lambda s: first(s, Cat).hats, [None, "Animal.hats"]),
        (lambda s: first(s, User, joinedload(User.posts)), [None]),
        (lambda s: first(s, User, selectinload(User.posts)).posts, [None, None]),
        (lambda s: first(s, User, subqueryload(User.posts)).posts, [None, None]),
        (lambda s: first(s, Cat).note, [None, None]),
        (lambda s: s.db.session.refresh(first(s)), [None, None]),
        (
            lambda s: (user := first(s)) and user.posts[1].user.name,
            [None, "User.posts"],
        ),
    ],
)
def test_lazy_loads(
    shop: Shop, load: t.Callable[[Shop], object], expected: list[str | None]
) -> None:
    loaded = statements(shop, lambda: load(shop))
    assert [statement.relationship for statement in loaded] == expected
    assert {statement.kind for statement in loaded} == {"select"}


def test_a_load_inside_a_lazy_load_is_not_one_itself(shop: Shop) -> None:
    def view() -> None:
        user = first(shop, User, selectinload(User.posts))
        shop.db.session.expire_all()
        assert user.posts

    loaded = statements(shop, view)
    assert [x.relationship for x in loaded][-1] == "User.posts"
    assert [x.relationship for x in loaded].count("User.posts") == 1
