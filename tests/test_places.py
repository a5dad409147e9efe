"""The places in which Flask calls the inspector: first, or last, of all functions."""

from __future__ import annotations

import typing as t

import flask
from conftest import Shop
from conftest import User
from flask_sqlalchemy import SQLAlchemy

from flask_session_inspector import SessionInspector

MakeShop = t.Callable[..., Shop]


def test_a_function_of_the_application_answers_first(shop: Shop) -> None:
    shop.view(lambda: "never")
    shop.app.before_request(lambda: ("refused", 403))
    record = shop.get()
    assert (record.kind, record.path, record.status) == ("request", "/", 403)


def test_a_url_value_preprocessor_that_raises(shop: Shop) -> None:
    def refuse(endpoint: str | None, values: object) -> None:
        shop.db.session.get(User, 1)
        flask.abort(410)

    shop.view(lambda: "never")
    shop.app.url_value_preprocessor(refuse)
    record = shop.get()
    assert (record.kind, record.path, record.status) == ("request", "/", 410)
    assert record.statement_count == 1


def test_the_status_that_a_function_makes(shop: Shop) -> None:
    def change(response: flask.Response) -> flask.Response:
        response.status_code = 418
        return response

    shop.view(lambda: "done")
    shop.app.after_request(change)
    assert shop.get().status == 418


def test_an_after_request_function_that_raises(shop: Shop) -> None:
    def fail(response: flask.Response) -> flask.Response:
        raise LookupError("of the application")

    shop.view(lambda: "done")
    shop.app.after_request(fail)
    response = shop.app.test_client().get("/")
    record = shop.newest()
    assert response.status_code == 500
    assert (record.path, record.error) == ("/", "LookupError")


def test_functions_from_before_the_inspector(make_app: t.Any) -> None:
    app = make_app()
    db = SQLAlchemy(app)
    order: list[str] = []
    app.url_value_preprocessor(lambda endpoint, values: order.append("url"))
    app.after_request(lambda response: order.append("after") or response)
    app.teardown_request(lambda exc: order.append("teardown"))

    @app.get("/")
    def view() -> str:
        return str(db.session.scalar(db.select(db.literal(1))))

    SessionInspector(app)
    app.test_client().get("/")

    assert order == ["url", "after", "teardown"]
    (record,) = app.extensions["session_inspector"].requests()
    assert (record.kind, record.status, record.statement_count) == ("request", 200, 1)


def test_a_request_context_that_is_pushed_by_hand(shop: Shop) -> None:
    with shop.app.test_request_context("/by-hand"):
        pass
    record = shop.newest()
    assert (record.kind, record.path, record.status) == ("context", "/by-hand", None)


def test_what_is_dispatched_by_hand(shop: Shop) -> None:
    shop.view(lambda: "done")
    with shop.app.test_request_context("/"):
        assert shop.app.full_dispatch_request().status_code == 200
    record = shop.newest()
    assert (record.kind, record.path, record.status) == ("request", "/", 200)


def test_functions_of_the_application_stay(shop: Shop) -> None:
    def prepare(endpoint: str | None, values: object) -> None:
        """Do nothing."""

    shop.app.url_value_preprocessor(prepare)
    shop.inspector.detach(shop.app)
    assert shop.app.url_value_preprocessors[None] == [prepare]
    assert shop.app.after_request_funcs[None] == []
