"""The short way of a SELECT that was sent before, and the long one: the same record."""

from __future__ import annotations

import collections.abc as cabc
import os
import threading
import typing as t

import pytest
import sqlalchemy as sa
from conftest import Post
from conftest import Shop
from conftest import User
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from flask_session_inspector import RequestRecord
from flask_session_inspector.hooks import statements

MakeShop = t.Callable[..., Shop]


@pytest.fixture(params=["short", "long"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def shop(make_shop: MakeShop, way: str) -> Shop:
    """A shop with users and posts; with another listener, all takes the long way."""
    shop = make_shop(SESSION_INSPECTOR_CAPTURE_PARAMETERS=True)
    fill(shop)
    if way == "long":
        with shop.app.app_context():
            event.listen(shop.db.engine, "do_execute", lambda *values: None)
    return shop


def fill(shop: Shop) -> None:
    with shop.app.app_context():
        users = [
            User(name=name, posts=[Post(title="one"), Post(title="two")])
            for name in ("Ada", "Grace")
        ]
        shop.db.session.add_all(users)
        shop.db.session.commit()


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


def work(shop: Shop) -> str:
    """Send some statements, again and again."""
    session = shop.db.session
    names = []
    for number in (1, 2, 1):
        user = session.get(User, number, populate_existing=True)
        assert user is not None
        session.expire(user, ["posts"])
        names += [user.name, *(post.title for post in user.posts)]
    for title in ("one", "two", None, "one"):
        session.scalars(sa.select(Post).filter_by(title=title)).all()
    for _ in range(2):
        session.execute(sa.text("SELECT 'a literal', :x"), {"x": 1.5}).all()
        session.execute(sa.select(sa.func.count()).select_from(User)).scalar()
    return ",".join(names)


def shown(record: RequestRecord) -> list[object]:
    """Return what a record shows of its statements, but for the moments."""
    found = []
    for session in record.sessions:
        for each in session.statements:
            found.append(
                (
                    each.sql,
                    each.kind,
                    each.rows,
                    each.bind,
                    each.parameters,
                    each.location,
                    each.relationship,
                    each.duration_ms > 0,
                )
            )
    return found


def test_the_record_is_the_same(shop: Shop, way: str, long_ways: list[str]) -> None:
    shop.view(lambda: work(shop))
    first = shop.get()
    before = len(long_ways)
    second = shop.get()

    assert len(long_ways) - before == (14 if way == "long" else 0)
    assert shown(second) == shown(first)
    assert second.statement_count == first.statement_count == 14
    assert {(each.code, each.message.split()[0]) for each in second.findings} == {
        (each.code, each.message.split()[0]) for each in first.findings
    }
    lazy = {each.relationship for s in second.sessions for each in s.statements}
    assert lazy == {None, "User.posts"}


def test_an_error_of_the_driver(shop: Shop) -> None:
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
    record = shop.get()

    assert answers == [1, 2, 1, 2]
    assert (record.error, record.status, record.statement_count) == (None, 200, 3)
    # Nobody is inside of a statement any more: no finding says that two were.
    assert not record.findings


def test_no_more_are_kept_than_the_limit(make_shop: MakeShop) -> None:
    shop = make_shop(SESSION_INSPECTOR_MAX_STATEMENTS=3)
    fill(shop)
    shop.view(lambda: work(shop))
    shop.get()
    record = shop.get()

    assert record.truncated
    assert record.statement_count == 14
    assert sum(len(session.statements) for session in record.sessions) == 3


def test_two_lines_that_send_the_same(shop: Shop) -> None:
    def nested(question: cabc.Callable[[], object], depth: int) -> object:
        return nested(question, depth - 1) if depth else question()

    def view() -> str:
        session = shop.db.session
        for _ in range(3):
            session.get(User, 1, populate_existing=True)  # first
            nested(lambda: session.get(User, 1, populate_existing=True), 3)  # second
            session.get(User, 1, populate_existing=True)  # third
        return "done"

    shop.view(view)
    for _ in range(2):
        record = shop.get()
        (session,) = record.sessions
        lines = [each.location.line for each in session.statements if each.location]
        start = view.__code__.co_firstlineno
        assert [line - start for line in lines] == [3, 4, 5] * 3


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
            session.execute(question)
            os._exit(0 if len(long_ways) == before + 1 else 1)
        return str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    shop.view(view)
    shop.get()
    assert shop.app.test_client().get("/").text == "0"
