"""What an application does must be the same, inspected or not."""

from __future__ import annotations

import gc
import typing as t
import weakref

import flask
import pytest
import sqlalchemy as sa
from conftest import Shop
from conftest import User
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import sessionmaker
from werkzeug.local import LocalProxy
from werkzeug.routing import BaseConverter

MakeShop = t.Callable[..., Shop]


def test_a_lazy_object_in_g_is_not_asked_what_it_stands_for(shop: Shop) -> None:
    asked = []

    def view() -> str:
        flask.g.user = LocalProxy(lambda: asked.append(1))
        return "done"

    shop.view(view)
    shop.get("/")
    assert asked == []


def test_a_scope_key_is_not_asked_to_describe_itself(shop: Shop) -> None:
    class Key:
        def __repr__(self) -> str:
            raise AssertionError("This could load it from the database.")

    key = Key()
    engine = sa.create_engine("sqlite://")
    registry = scoped_session(sessionmaker(engine), scopefunc=lambda: key)
    shop.inspector.watch(registry, name="keyed")

    def view() -> str:
        registry.execute(sa.select(1))
        registry.remove()
        return "done"

    shop.view(view)
    (session,) = shop.get("/").sessions
    engine.dispose()
    assert session.registry == "keyed"
    assert session.scope_key == f"<Key at {id(key):#x}>"


def test_what_a_url_converter_made_is_not_kept_alive(shop: Shop) -> None:
    made: list[weakref.ref[t.Any]] = []

    class Thing:
        pass

    class Converter(BaseConverter):
        def to_python(self, value: str) -> Thing:
            thing = Thing()
            made.append(weakref.ref(thing))
            return thing

    shop.app.url_map.converters["thing"] = Converter
    shop.app.add_url_rule("/<thing:token>", "thing", lambda token: "done")
    assert shop.get("/secret").path == "/***"
    gc.collect()
    assert [reference() for reference in made] == [None]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/slash/secret"), ("POST", "/reset/secret")]
)
def test_a_refused_url_keeps_its_secret(shop: Shop, method: str, path: str) -> None:
    shop.app.add_url_rule("/slash/<token>/", "slash", lambda token: "done")
    shop.app.add_url_rule("/reset/<token>", "reset", lambda token: "done")
    shop.app.test_client().open(path, method=method)
    assert "secret" not in (shop.newest().path or "")


def test_a_variable_that_the_host_takes_out_keeps_its_secret(shop: Shop) -> None:
    @shop.app.url_value_preprocessor
    def take_out(endpoint: str | None, values: dict[str, t.Any] | None) -> None:
        (values or {}).pop("token", None)

    shop.app.add_url_rule("/reset/<token>", "reset", lambda: "done")
    assert shop.get("/reset/secret").path == "/reset/***"


def test_an_evicted_record_may_run_code_that_is_recorded(make_shop: MakeShop) -> None:
    """Its memory is freed while the store is written to."""
    shop = make_shop(SESSION_INSPECTOR_MAX_REQUESTS=1)

    class Freed(str):
        def __del__(self) -> None:
            with shop.app.app_context():
                shop.db.session.get(User, 1)

    def view() -> str:
        # As a server might: a method of a class of its own.
        flask.request.environ["REQUEST_METHOD"] = Freed("GET")
        flask.request.method = Freed("GET")
        return "done"

    shop.view(view)
    for _ in range(3):
        shop.app.test_client().get("/")
    gc.collect()
    counters = shop.inspection.counters
    assert counters.in_flight == 0
    assert counters.started == counters.stored
    assert counters.retained == counters.stored - counters.evicted


def test_a_failed_init_app_can_be_tried_again(
    make_app: t.Callable[..., flask.Flask],
) -> None:
    from flask_session_inspector import SessionInspector

    app = make_app()
    app.register_blueprint(flask.Blueprint("session_inspector", __name__))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="already has a blueprint named"):
            SessionInspector(app)
