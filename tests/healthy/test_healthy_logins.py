"""Cookie sessions in the database, users of a request, and caches."""

from __future__ import annotations

import functools
import json
import pickle
import typing as t
import uuid

import flask
import pytest
import sqlalchemy as sa
from conftest import Shop
from conftest import User
from flask.sessions import SessionInterface
from flask.sessions import SessionMixin
from silence import assert_silent
from silence import kinds
from silence import outcomes
from silence import sessions
from silence import written
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column
from werkzeug.local import LocalProxy


class OwnBase(DeclarativeBase):
    """Apart from the other tests' tables."""


class CookieSession(OwnBase):
    __tablename__ = "cookie_sessions"
    id: Mapped[str] = mapped_column(primary_key=True)
    data: Mapped[str] = mapped_column(sa.Text)


class ServerSideSession(dict[str, t.Any], SessionMixin):
    sid = ""


class InDatabase(SessionInterface):
    """Keeps Flask's sessions in the database, as Flask-Session does.

    :param commits: Whether it commits; else the application does.
    """

    def __init__(self, shop: Shop, commits: bool) -> None:
        self.db = shop.db
        self.commits = commits

    def open_session(
        self, app: flask.Flask, request: flask.Request
    ) -> ServerSideSession:
        session = ServerSideSession()
        session.sid = request.cookies.get("sid") or uuid.uuid4().hex
        stored = self.db.session.get(CookieSession, session.sid)
        session.update(json.loads(stored.data) if stored else {})
        return session

    def save_session(
        self, app: flask.Flask, session: SessionMixin, response: flask.Response
    ) -> None:
        assert isinstance(session, ServerSideSession)
        self.db.session.merge(CookieSession(id=session.sid, data=json.dumps(session)))
        if self.commits:
            self.db.session.commit()
        response.set_cookie("sid", session.sid)


@pytest.fixture
def shop(make_shop: t.Callable[..., Shop]) -> Shop:
    """A shop with one user."""
    shop = make_shop()
    with shop.app.app_context():
        OwnBase.metadata.create_all(shop.db.engine)
        shop.db.session.add(User(id=1, name="ann"))
        shop.db.session.commit()
    shop.inspection.clear()
    return shop


@pytest.mark.parametrize("commits", [True, False])
def test_cookie_sessions_in_the_database(shop: Shop, commits: bool) -> None:
    shop.app.session_interface = InDatabase(shop, commits)
    if not commits:

        @shop.app.teardown_request
        def commit(error: BaseException | None) -> None:
            shop.db.session.commit()

    def view() -> str:
        flask.session["visits"] = flask.session.get("visits", 0) + 1
        return str(flask.session["visits"])

    def fail() -> str:
        flask.session["visits"] = 0
        raise LookupError

    shop.view(view)
    shop.view(fail, "/fail")
    client = shop.app.test_client()
    answers = [client.get(p).text for p in ("/", "/", "/nowhere", "/")]
    assert [answers[0], answers[1], answers[3]] == ["1", "2", "3"]
    assert client.get("/fail").status_code == 500
    assert client.get("/").text == "1"

    records = assert_silent(shop.inspection)
    assert [r.status for r in records] == [200, 200, 404, 200, 500, 200]
    assert [len(record.sessions) for record in records] == [1] * 6
    assert written(*records) == {"cookie_sessions": 5}


def load_user() -> User | None:
    """Return the user of this request, loaded once."""
    if "user" not in flask.g:
        db = flask.current_app.extensions["sqlalchemy"]
        flask.g.user = db.session.get(User, flask.session.get("user", 0))
    return t.cast("User | None", flask.g.user)


current_user = t.cast(User, LocalProxy(load_user))


@pytest.mark.parametrize("lazy", [True, False])
def test_a_user_of_the_request(shop: Shop, lazy: bool) -> None:
    if not lazy:
        shop.app.before_request(lambda: load_user() and None)

    def login() -> str:
        flask.session["user"] = 1
        return "welcome"

    def view() -> str:
        if not current_user:
            flask.abort(401)
        current_user.name = f"{current_user.name}!"
        shop.db.session.commit()
        return flask.render_template_string("{{ user.name }}", user=current_user)

    shop.view(login, "/login")
    shop.view(view)
    client = shop.app.test_client()
    assert client.get("/").status_code == 401
    client.get("/login")
    assert [client.get("/").text for _ in range(2)] == ["ann!", "ann!!"]

    records = assert_silent(shop.inspection)
    assert written(*records) == {"users": 2}
    assert len(records) == 4


def test_plain_values_that_are_memoised(shop: Shop) -> None:
    @functools.cache
    def names() -> tuple[str, ...]:
        return tuple(shop.db.session.scalars(sa.select(User.name)))

    shop.view(lambda: ",".join(names()))
    assert [shop.app.test_client().get("/").text for _ in range(3)] == ["ann"] * 3
    records = assert_silent(shop.inspection)
    assert [len(record.sessions) for record in records] == [1, 0, 0]


@pytest.mark.parametrize("how", ["expunge", "expunge_all", "close", "pickle"])
def test_detached_objects_that_are_cached(shop: Shop, how: str) -> None:
    cache: dict[str, t.Any] = {}

    def view() -> str:
        user = cache.get("user")
        if user is None:
            user = shop.db.session.get(User, 1)
            if how == "expunge":
                shop.db.session.expunge(user)
            elif how != "pickle":
                getattr(shop.db.session, how)()
            cache["user"] = pickle.dumps(user) if how == "pickle" else user
            return "loaded"
        user = pickle.loads(user) if how == "pickle" else user
        merged = shop.db.session.merge(user, load=False)
        return f"{user.name} {len(merged.posts)}"

    shop.view(view)
    answers = [shop.app.test_client().get("/").text for _ in range(3)]
    assert answers == ["loaded", "ann 0", "ann 0"]
    records = assert_silent(shop.inspection)
    assert kinds(*records) == ["select"] * 3
    assert len({session.serial for session in sessions(*records)}) == 3


def test_a_detached_object_that_is_merged_and_changed(shop: Shop) -> None:
    cache: list[User] = []

    def view() -> str:
        if not cache:
            cache.append(load())
            return "loaded"
        user = shop.db.session.merge(cache[0])
        user.name = f"{user.name}!"
        shop.db.session.commit()
        return user.name

    def load() -> User:
        user = shop.db.session.get(User, 1)
        assert user is not None
        shop.db.session.expunge(user)
        return user

    shop.view(view)
    answers = [shop.app.test_client().get("/").text for _ in range(2)]
    assert answers == ["loaded", "ann!"]
    records = assert_silent(shop.inspection)
    assert outcomes(*records) == ["close", "commit", "close"]
