"""Streamed responses, downloads and long polls."""

from __future__ import annotations

import collections.abc as cabc
import io
import threading
import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Shop
from conftest import User
from silence import assert_silent
from silence import kinds
from silence import of_path
from silence import outcomes
from silence import sessions
from silence import written
from sqlalchemy.orm import Session


@pytest.fixture
def shop(make_shop: t.Callable[..., Shop]) -> Shop:
    """A shop with three users."""
    shop = make_shop()
    with shop.app.app_context():
        shop.db.session.add_all([User(name=n) for n in "abc"])
        shop.db.session.commit()
    shop.inspection.clear()
    return shop


def stream(shop: Shop, generate: t.Callable[[], cabc.Iterator[str]]) -> None:
    """Serve a generator, with the request's context, at ``/``."""
    shop.view(lambda: flask.Response(flask.stream_with_context(generate())))


def read(shop: Shop, times: int = 3) -> str:
    for _ in range(times):
        with shop.app.test_client().get("/") as response:
            text = response.text
    return text


def test_without_a_database(shop: Shop) -> None:
    stream(shop, lambda: iter("abc"))
    assert read(shop) == "abc"
    records = assert_silent(shop.inspection)
    assert [len(record.sessions) for record in records] == [0, 0, 0]


def test_the_view_alone_uses_the_database(shop: Shop) -> None:
    def view() -> flask.Response:
        names = shop.db.session.scalars(sa.select(User.name)).all()
        return flask.Response(flask.stream_with_context(iter(names)))

    shop.view(view)
    assert read(shop) == "abc"
    records = assert_silent(shop.inspection)
    assert kinds(*records) == ["select"] * 3


def test_the_generator_alone_uses_the_database(shop: Shop) -> None:
    def generate() -> cabc.Iterator[str]:
        for user in shop.db.session.scalars(
            sa.select(User).execution_options(yield_per=1)
        ):
            yield user.name

    stream(shop, generate)
    assert read(shop) == "abc"
    records = assert_silent(shop.inspection)
    assert kinds(*records) == ["select"] * 3
    assert [session.ended for session in sessions(*records)] == ["removed"] * 3


def test_the_generator_writes_at_its_end(shop: Shop) -> None:
    def generate() -> cabc.Iterator[str]:
        yield "first"
        shop.db.session.add(User(name="streamed"))
        shop.db.session.commit()

    stream(shop, generate)
    read(shop)
    records = assert_silent(shop.inspection)
    assert written(*records) == {"users": 3}


@pytest.mark.parametrize("with_context", [True, False])
def test_the_generator_has_a_session_of_its_own(shop: Shop, with_context: bool) -> None:
    with shop.app.app_context():
        engine = shop.db.engine

    def generate() -> cabc.Iterator[str]:
        with Session(engine) as session:
            yield from session.scalars(sa.select(User.name))

    def view() -> flask.Response:
        shop.db.session.scalars(sa.select(User)).all()
        # Some releases of Flask remove the session after the stream only.
        shop.db.session.commit()
        chunks = generate()
        return flask.Response(
            flask.stream_with_context(chunks) if with_context else chunks
        )

    shop.view(view)
    assert read(shop) == "abc"
    records = assert_silent(shop.inspection)
    assert len(records) >= 3
    assert kinds(*records).count("select") == (6 if with_context else 3)


def test_the_generator_has_a_context_of_its_own(shop: Shop) -> None:
    app = shop.app

    def generate() -> cabc.Iterator[str]:
        for number in range(3):
            with app.app_context():
                user = shop.db.session.scalars(sa.select(User).offset(number)).first()
                assert user is not None
                name = user.name
            yield name

    shop.view(lambda: flask.Response(generate()))
    assert read(shop) == "abc"
    records = assert_silent(shop.inspection)
    assert kinds(*records) == ["select"] * 9


def test_a_client_that_leaves_early(shop: Shop) -> None:
    def generate() -> cabc.Iterator[str]:
        yield from shop.db.session.scalars(sa.select(User.name))

    stream(shop, generate)
    for _ in range(3):
        response = shop.app.test_client().get("/", buffered=False)
        assert next(iter(response.response)) == b"a"
        response.close()
    records = assert_silent(shop.inspection)
    assert outcomes(*records) == ["close"] * 3


def test_a_generator_that_fails(shop: Shop) -> None:
    def generate() -> cabc.Iterator[str]:
        yield shop.db.session.scalars(sa.select(User.name)).all()[0]
        raise LookupError

    stream(shop, generate)
    for _ in range(2):
        with (
            shop.app.test_client().get("/", buffered=False) as response,
            pytest.raises(LookupError),
        ):
            response.get_data()
    records = assert_silent(shop.inspection)
    assert outcomes(*records) == ["close"] * 2


def test_a_download(shop: Shop) -> None:
    def view() -> flask.Response:
        names = shop.db.session.scalars(sa.select(User.name)).all()
        content = io.BytesIO("\n".join(names).encode())
        return flask.send_file(content, download_name="users.txt")

    shop.view(view)
    assert read(shop) == "a\nb\nc"
    records = assert_silent(shop.inspection)
    assert kinds(*records) == ["select"] * 3


def test_a_long_poll(shop: Shop) -> None:
    """It waits without a transaction for what another request writes."""
    news, waiting = threading.Event(), threading.Event()

    def poll() -> str:
        before = len(shop.db.session.scalars(sa.select(User)).all())
        shop.db.session.rollback()
        waiting.set()
        assert news.wait(30)
        after = shop.db.session.scalars(sa.select(User)).all()
        return str(len(after) - before)

    def post() -> str:
        shop.db.session.add(User(name="d"))
        shop.db.session.commit()
        return "done"

    shop.view(poll, "/poll")
    shop.view(post, "/post")
    answers: list[str] = []
    client = shop.app.test_client
    thread = threading.Thread(target=lambda: answers.append(client().get("/poll").text))
    thread.start()
    assert waiting.wait(30)
    shop.app.test_client().get("/post").close()
    news.set()
    thread.join()

    assert answers == ["1"]
    records = assert_silent(shop.inspection)
    assert outcomes(*of_path(records, "/poll")) == ["rollback", "close"]
    assert written(*of_path(records, "/post")) == {"users": 1}
