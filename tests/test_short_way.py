"""The short way of a SELECT that was sent before, and the long one: the same record."""

from __future__ import annotations

import collections.abc as cabc
import os
import threading
import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Post
from conftest import Shop
from conftest import User
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from flask_session_inspector import RequestRecord
from flask_session_inspector import StatementRecord
from flask_session_inspector.hooks import statements

MakeShop = t.Callable[..., Shop]


def fill(shop: Shop) -> Shop:
    with shop.app.app_context():
        posts = [Post(title=title) for title in ("one", "two")]
        users = [User(name=f"user {number}", posts=posts[:]) for number in range(12)]
        users[0].posts = posts
        shop.db.session.add_all(users)
        shop.db.session.commit()
    return shop


@pytest.fixture
def shop(make_shop: MakeShop) -> Shop:
    return fill(make_shop(SESSION_INSPECTOR_CAPTURE_PARAMETERS=True))


@pytest.fixture
def other(make_shop: MakeShop, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop in which another listener makes everything take the long way."""
    path = tmp_path_factory.mktemp("other") / "other.db"
    shop = make_shop(
        SESSION_INSPECTOR_CAPTURE_PARAMETERS=True,
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{path}",
    )
    shop.create_tables()
    fill(shop)
    with shop.app.app_context():
        event.listen(shop.db.engine, "do_execute", lambda *values: None)
    return shop


@pytest.fixture
def long_ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the statements that take the long way."""
    taken: list[str] = []
    rows_of = statements.rows_of

    def note(context: t.Any, *others: t.Any) -> int | None:
        taken.append(context.statement)
        return rows_of(context, *others)

    monkeypatch.setattr(statements, "rows_of", note)
    return taken


def again_and_again(shop: Shop) -> None:
    """Send ORM queries, lazy loads, text and Core; five of them are alike."""
    session = shop.db.session
    for number in (1, 2, 1):
        user = session.get(User, number, populate_existing=True)
        assert user is not None
        session.expire(user, ["posts"])
        assert len(user.posts) >= 0
    for title in ("one", "two", None, "one", True, 1, 1.0):
        session.scalars(sa.select(Post).filter_by(title=title)).all()
    for _ in range(5):
        session.execute(sa.text("SELECT 'a literal', :x"), {"x": 1.5}).all()
    for user in session.scalars(sa.select(User)):
        session.expire(user, ["posts"])
        assert len(user.posts) >= 0


def in_contexts(shop: Shop) -> None:
    """Use one session in contexts inside of each other."""
    session = shop.db.session()
    question = sa.select(sa.func.count()).select_from(User)
    session.execute(question)
    with shop.app.app_context():
        session.execute(question)
        with session.begin_nested():
            session.execute(question)
        shop.db.session.execute(question)
    session.execute(question)
    session.commit()
    session.execute(question)


def on_one_connection(shop: Shop) -> None:
    """Let two sessions use one connection, by turns."""
    question = sa.select(User.name).limit(1)
    with shop.db.engine.connect() as connection, connection.begin():
        with Session(connection) as first:
            first.execute(question)
            with Session(connection) as second:
                first.execute(question)
                second.execute(question)
                first.execute(question)
            first.execute(question)
        with Session(connection) as third:
            third.execute(question)
        connection.execute(question)


def savepoints(shop: Shop) -> None:
    session = shop.db.session
    question = sa.select(User.name).limit(1)
    session.execute(question)
    with session.begin_nested():
        session.execute(question)
        with session.begin_nested() as inner:
            session.execute(question)
            inner.rollback()
        session.execute(question)
    session.execute(question)
    session.rollback()
    session.execute(question)


def in_a_thread(shop: Shop) -> None:
    """Send statements of two sessions from a thread with the same context."""
    question = sa.select(User.name).limit(1)
    session = Session(shop.db.engine)
    session.execute(question)

    @flask.copy_current_request_context
    def work() -> None:
        session.execute(question)
        with Session(shop.db.engine) as own:
            own.execute(question)
            own.execute(question)

    thread = threading.Thread(target=work, name="helper")
    thread.start()
    thread.join()
    session.execute(question)
    session.close()


def writes_between(shop: Shop) -> None:
    session = shop.db.session
    question = sa.select(User.name).order_by(User.id).limit(1)
    for number in range(3):
        session.execute(question)
        session.execute(sa.update(User).values(name=f"name {number}"))
        session.execute(question)
        session.add(User(name="new"))
        session.flush()
        session.execute(sa.text("DELETE FROM users WHERE name = 'new'"))
    session.rollback()


def another_database(shop: Shop) -> None:
    """Send the same text to another engine."""
    question = sa.text("SELECT 1")
    engine = sa.create_engine("sqlite://")
    for _ in range(2):
        shop.db.session.execute(question)
        with Session(engine) as session:
            session.execute(question)
            session.execute(question)
    engine.dispose()


def shown(record: RequestRecord) -> list[object]:
    """Return what a record shows, but for moments and numbers of objects."""
    found: list[object] = []
    for session in record.sessions:
        found.append(
            (
                session.registry,
                session.ended,
                session.first_use,
                [(each.outcome, each.writes) for each in session.transactions],
            )
        )
        found += map(_statement, session.statements)
    found += map(_statement, record.connection_statements)
    found.append([(each.code, each.location) for each in record.findings])
    return found


def _statement(each: StatementRecord) -> object:
    return (
        each.sql,
        each.kind,
        each.rows,
        each.bind,
        each.parameters,
        each.location,
        each.relationship,
        each.duration_ms > 0,
    )


@pytest.mark.parametrize(
    "work",
    [
        again_and_again,
        in_contexts,
        on_one_connection,
        savepoints,
        in_a_thread,
        writes_between,
        another_database,
    ],
)
def test_the_record_is_the_same(
    shop: Shop,
    other: Shop,
    long_ways: list[str],
    work: cabc.Callable[[Shop], None],
) -> None:
    records, ways = [], []
    for each in (shop, other):
        each.view(lambda each=each: str(work(each)))
        each.get()
        before = len(long_ways)
        records.append(each.get())
        ways.append(len(long_ways) - before)

    short, long = records
    assert short.error is None
    assert shown(short) == shown(long)
    assert short.statement_count == long.statement_count >= 5
    assert ways[0] < ways[1]


def test_what_many_statements_show(shop: Shop, long_ways: list[str]) -> None:
    shop.view(lambda: str(again_and_again(shop)))
    shop.get()
    before = len(long_ways)
    record = shop.get()

    assert len(long_ways) == before, "all are sent by the short way"
    assert {each.code for each in record.findings} == {"FSI501", "FSI502"}


def test_an_error_of_the_driver(shop: Shop, long_ways: list[str]) -> None:
    question = sa.text("SELECT abs(:x)")
    answers: list[int] = []

    def view() -> str:
        session = shop.db.session
        answers.append(session.execute(question, {"x": -1}).scalar_one())
        with pytest.raises(OperationalError, match="overflow"):
            session.execute(question, {"x": -(2**63)}).all()
        answers.append(session.execute(question, {"x": -2}).scalar_one())
        return "done"

    shop.view(view)
    shop.get()
    before = len(long_ways)
    record = shop.get()

    assert len(long_ways) == before
    assert answers == [1, 2, 1, 2]
    assert (record.error, record.status, record.statement_count) == (None, 200, 3)
    # Nobody is inside of a statement any more: no finding says that two were.
    assert not record.findings


def test_no_more_are_kept_than_the_limit(
    make_shop: MakeShop, long_ways: list[str]
) -> None:
    shop = fill(make_shop(SESSION_INSPECTOR_MAX_STATEMENTS=3))
    shop.view(lambda: str(again_and_again(shop)))
    number = shop.get().statement_count
    before = len(long_ways)
    record = shop.get()

    assert len(long_ways) == before
    assert record.truncated
    assert record.statement_count == number > 20
    assert sum(len(session.statements) for session in record.sessions) == 3


def test_two_lines_that_send_the_same(shop: Shop) -> None:
    def nested(question: cabc.Callable[[], object], depth: int) -> object:
        return nested(question, depth - 1) if depth else question()

    def first() -> object:
        return shop.db.session.get(User, 1, populate_existing=True)

    def second() -> object:
        return nested(third, 3)

    def third() -> object:
        return shop.db.session.get(User, 1, populate_existing=True)

    def view() -> str:
        for send in (first, second, third) * 3:
            send()
        return "done"

    shop.view(view)
    for _ in range(2):
        (session,) = shop.get().sessions
        places = [each.location for each in session.statements]
        assert [place and place.function for place in places] == [
            "first",
            "third",
            "third",
        ] * 3


def test_a_listener_that_comes_later_is_asked(make_shop: MakeShop) -> None:
    shop = make_shop()
    asked: list[str] = []
    question = sa.text("SELECT 1")
    shop.view(lambda: str(shop.db.session.execute(question).scalar()))
    shop.get()
    shop.get()

    def answer(cursor: t.Any, sql: str, parameters: object, context: object) -> bool:
        asked.append(sql)
        cursor.execute("SELECT 2")
        return True

    with shop.app.app_context():
        event.listen(shop.db.engine, "do_execute", answer)
    body = shop.app.test_client().get("/").text

    assert body == "2"
    assert asked == ["SELECT 1"]
    assert shop.newest().statement_count == 1


def test_a_thread_without_a_context(make_shop: MakeShop) -> None:
    shop = make_shop()
    question = sa.text("SELECT 1")

    def view() -> str:
        with Session(shop.db.engine) as session:
            session.execute(question)
            thread = threading.Thread(target=lambda: session.execute(question))
            thread.start()
            thread.join()
        return "done"

    shop.view(view)
    shop.get()
    (session,) = shop.get().sessions
    # A thread that copied nothing has no context: what it sends is nobody's.
    assert len(session.statements) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork.")
def test_a_child_process_takes_the_long_way(
    make_shop: MakeShop, long_ways: list[str]
) -> None:
    shop = make_shop()
    question = sa.text("SELECT 1")

    def view() -> str:
        session = shop.db.session
        session.execute(question)
        before = len(long_ways)
        pid = os.fork()
        if not pid:
            try:
                session.execute(question)
            finally:
                os._exit(0 if len(long_ways) == before + 1 else 1)
        return str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    shop.view(view)
    shop.get()
    assert shop.app.test_client().get("/").text == "0"
