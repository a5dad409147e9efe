"""Views that fail, and applications that deal with it."""

from __future__ import annotations

import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Shop
from conftest import User
from silence import assert_silent
from silence import of_path
from silence import outcomes
from silence import written

MakeApp = t.Callable[..., flask.Flask]


class OutOfStock(Exception):
    """What the business says no to."""


def write(shop: Shop) -> None:
    """Write a row, and leave another object pending."""
    shop.db.session.add(User(name="flushed"))
    shop.db.session.flush()
    shop.db.session.add(User(name="pending"))


def names(shop: Shop) -> list[str]:
    """Return the names of the users, asked for without a session."""
    with shop.app.app_context(), shop.db.engine.connect() as connection:
        return list(connection.scalars(sa.select(User.name).order_by(User.id)))


@pytest.mark.parametrize("times", [1, 3])
def test_a_view_that_raises(shop: Shop, times: int) -> None:
    def view() -> str:
        write(shop)
        raise LookupError

    shop.view(view)
    for _ in range(times):
        assert shop.app.test_client().get("/").status_code == 500

    records = assert_silent(shop.inspection)
    assert [record.error for record in records] == ["LookupError"] * times
    assert written(*records, outcome="close") == {"users": times}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 500])
def test_an_abort_after_writes(shop: Shop, status: int) -> None:
    def view() -> str:
        write(shop)
        flask.abort(status)

    shop.view(view)
    assert shop.app.test_client().get("/").status_code == status

    (record,) = assert_silent(shop.inspection)
    assert written(record, outcome="close") == {"users": 1}


def test_a_form_key_that_is_missing(shop: Shop) -> None:
    def view() -> str:
        write(shop)
        return flask.request.args["amount"]

    shop.view(view)
    assert shop.app.test_client().get("/").status_code == 400

    (record,) = assert_silent(shop.inspection)
    assert written(record, outcome="close") == {"users": 1}


@pytest.mark.parametrize("status", [200, 302, 409])
@pytest.mark.parametrize("in_blueprint", [True, False])
def test_a_handler_that_answers(shop: Shop, status: int, in_blueprint: bool) -> None:
    orders = flask.Blueprint("orders", __name__)

    @orders.get("/")
    def view() -> str:
        write(shop)
        raise OutOfStock

    def answer(error: OutOfStock) -> tuple[str, int]:
        return "out of stock", status

    (orders if in_blueprint else shop.app).register_error_handler(OutOfStock, answer)
    shop.app.register_blueprint(orders)
    assert shop.app.test_client().get("/").status_code == status

    (record,) = assert_silent(shop.inspection)
    assert (record.status, record.error) == (status, None)
    assert written(record, outcome="close") == {"users": 1}
    assert names(shop) == []


def test_a_handler_that_rolls_back_and_logs_to_the_database(shop: Shop) -> None:
    def view() -> str:
        write(shop)
        raise OutOfStock

    @shop.app.errorhandler(OutOfStock)
    def answer(error: OutOfStock) -> tuple[str, int]:
        shop.db.session.rollback()
        shop.db.session.add(User(name="log"))
        shop.db.session.commit()
        return "out of stock", 409

    shop.view(view)
    shop.app.test_client().get("/").close()

    (record,) = assert_silent(shop.inspection)
    assert outcomes(record) == ["rollback", "commit"]
    assert names(shop) == ["log"]


def test_a_function_before_the_request_that_refuses(shop: Shop) -> None:
    @shop.app.before_request
    def count() -> tuple[str, int] | None:
        shop.db.session.add(User(name="visit"))
        shop.db.session.commit()
        return ("not now", 503) if "refuse" in flask.request.args else None

    shop.view(lambda: "done")
    client = shop.app.test_client()
    assert [client.get(p).status_code for p in ("/", "/?refuse=1")] == [200, 503]

    records = assert_silent(shop.inspection)
    assert written(*records) == {"users": 2}


def test_an_app_teardown_that_raises_at_last(make_app: MakeApp) -> None:
    """What was registered first runs last, after the session was removed."""
    app = make_app()

    @app.teardown_appcontext
    def fail(error: BaseException | None) -> None:
        if "fail" in flask.g:
            raise LookupError

    shop = Shop(app)
    shop.create_tables()

    def view() -> str:
        flask.g.fail = True
        write(shop)
        shop.db.session.commit()
        return "done"

    shop.view(view)
    for _ in range(3):
        with pytest.raises(LookupError):
            app.test_client().get("/")

    records = assert_silent(shop.inspection)
    assert written(*records) == {"users": 6}


def test_teardown_functions_that_raise(shop: Shop) -> None:
    def view() -> str:
        shop.db.session.add(User(name="kept"))
        shop.db.session.commit()
        return "done"

    def fail(error: BaseException | None) -> None:
        raise LookupError

    shop.view(view, "/write")
    shop.view(lambda: str(len(shop.db.session.scalars(sa.select(User)).all())), "/")
    shop.app.teardown_request_funcs.setdefault(None, []).append(fail)
    for _ in range(2):
        with pytest.raises(LookupError):
            shop.app.test_client().get("/write")
    shop.app.teardown_request_funcs.clear()
    assert shop.app.test_client().get("/").text == "2"

    records = assert_silent(shop.inspection)
    assert written(*records) == {"users": 2}
    assert len(of_path(records, "/write")) == 2


def test_answers_that_are_no_view(shop: Shop) -> None:
    def view(name: t.Any = None) -> str:
        return str(shop.db.session.scalar(sa.select(sa.func.count(User.id))))

    shop.view(view, "/users/")
    client = shop.app.test_client()
    answers = [
        *(client.get(path) for path in ("/nowhere", "/users", "/static/none.css")),
        *(client.options("/users/"), client.head("/users/"), client.put("/users/")),
    ]
    assert [a.status_code for a in answers] == [404, 308, 404, 200, 200, 405]

    records = assert_silent(shop.inspection)
    # The routes of ``static`` are never recorded.
    assert [r.status for r in records] == [404, 308, 200, 200, 405]
    assert [len(r.sessions) for r in records] == [0, 0, 0, 1, 0]
