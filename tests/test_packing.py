"""A packed record says the same as the scope that it was made of."""

from __future__ import annotations

import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Post
from conftest import Shop
from conftest import User
from sqlalchemy.orm import Session

from flask_session_inspector.recorder import Scope
from flask_session_inspector.recorder import pack
from flask_session_inspector.recorder import place_of
from flask_session_inspector.recorder import unpack

MakeShop = t.Callable[..., Shop]


@pytest.fixture
def ended(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> list[Scope]:
    """Collect the scopes that are handed over."""
    scopes: list[Scope] = []
    store = shop.inspection.recording._store
    put = store.put

    def keep(scope: Scope, **how: bool) -> None:
        scopes.append(scope)
        put(scope, **how)

    monkeypatch.setattr(store, "put", keep)
    return scopes


def test_everything_that_a_record_shows(shop: Shop, ended: list[Scope]) -> None:
    kept: list[Session] = []

    def view(name: str) -> str:
        session = shop.db.session
        user = User(name=name)
        session.add(user)
        session.flush()
        with session.begin_nested():
            session.add(Post(title="one", user=user))
        session.commit()
        assert [post.title for post in user.posts] == ["one"]
        with Session(shop.db.engine) as other:
            other.execute(sa.text("SELECT 'a literal'"))
        kept.append(Session(shop.db.engine))
        kept[-1].execute(sa.select(User.id))
        with shop.app.app_context():
            shop.db.session.execute(sa.update(User).values(name="changed"))
        with shop.db.engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1")
        session.add(User(name="never flushed"))
        session.rollback()
        flask.g.session = kept[-1]
        return "done"

    shop.app.add_url_rule("/users/<name>", "view", view)
    shop.app.add_url_rule("/quiet", "quiet", lambda: "done")
    client = shop.app.test_client()
    for path in ("/users/Ada?token=secret&x=%C3%A4", "/quiet", "/users/Grace", "/none"):
        client.get(path).close()

    assert len(ended) == 4
    build = shop.inspection.recording._builder.build
    for place, scope in enumerate(ended, 10):
        packed = pack(scope, place)
        assert build(unpack(packed)) == build(scope)
        assert place_of(packed) == place
        # One more time, of what was unpacked.
        assert build(unpack(pack(unpack(packed), 1))) == build(scope)
    for session in kept:
        session.close()


def test_a_session_that_another_record_used_first(
    shop: Shop, ended: list[Scope]
) -> None:
    with shop.app.app_context():
        session = Session(shop.db.engine)

    def view() -> str:
        session.execute(sa.select(User.id))
        return "done"

    shop.view(view)
    first, second = shop.get(), shop.get()
    session.close()

    (shared,) = second.sessions
    assert shared.first_request_id == first.id
    build = shop.inspection.recording._builder.build
    assert build(unpack(pack(ended[-1], 1))) == second


def test_a_scope_key_that_is_no_address(make_shop: MakeShop) -> None:
    for key in ("a text", 2**80, -5, None):
        shop = make_shop()
        with shop.app.app_context():
            factory = sa.orm.sessionmaker(shop.db.engine)
        registry = sa.orm.scoped_session(factory, scopefunc=lambda key=key: key)
        shop.inspector.watch(registry, "own")

        def view(registry: t.Any = registry) -> str:
            registry.execute(sa.select(User.id))
            return "done"

        shop.view(view)
        (session,) = shop.get().sessions
        registry.remove()
        assert session.registry == "own"
        if isinstance(key, int):
            assert session.scope_key == hex(key)
