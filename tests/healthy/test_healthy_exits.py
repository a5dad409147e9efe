"""Work that is given up halfway, and says so by an exception."""

from __future__ import annotations

import sys
import threading
import typing as t

import click
import flask
import pytest
import sqlalchemy as sa
from conftest import Shop
from conftest import User
from silence import assert_silent
from silence import outcomes
from silence import written
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import DetachedInstanceError


def write(shop: Shop) -> None:
    """Write a row, and leave another object pending."""
    shop.db.session.add(User(name="flushed"))
    shop.db.session.flush()
    shop.db.session.add(User(name="pending"))


def test_an_abort_that_redirects(shop: Shop) -> None:
    def view() -> str:
        write(shop)
        flask.abort(flask.redirect("/login"))

    shop.view(view)
    assert shop.app.test_client().get("/").status_code == 302
    (record,) = assert_silent(shop.inspection)
    assert written(record, outcome="close") == {"users": 1}


def leave_command(how: str) -> t.NoReturn:
    if how == "sys.exit":
        sys.exit(1)
    raise {
        "abort": click.Abort(),
        "usage": click.UsageError("No such user."),
        "error": LookupError(),
    }[how]


@pytest.mark.parametrize("how", ["sys.exit", "abort", "usage", "error"])
def test_a_command_that_gives_up(shop: Shop, how: str) -> None:
    @shop.app.cli.command("work")
    def work() -> None:
        write(shop)
        leave_command(how)

    assert shop.app.test_cli_runner().invoke(args=["work"]).exit_code > 0
    (record,) = assert_silent(shop.inspection)
    assert written(record, outcome="close") == {"users": 1}


def fail(shop: Shop) -> t.NoReturn:
    write(shop)
    raise LookupError


@pytest.mark.parametrize("of_request", [True, False])
def test_a_context_that_an_exception_leaves(shop: Shop, of_request: bool) -> None:
    app = shop.app
    context = app.test_request_context("/") if of_request else app.app_context()
    with pytest.raises(LookupError), context:
        fail(shop)
    (record,) = assert_silent(shop.inspection)
    assert written(record, outcome="close") == {"users": 1}


def test_a_thread_that_fails(shop: Shop) -> None:
    def job() -> None:
        with pytest.raises(LookupError), shop.app.app_context():
            fail(shop)

    thread = threading.Thread(target=job)
    thread.start()
    thread.join()
    (record,) = assert_silent(shop.inspection)
    assert written(record, outcome="close") == {"users": 1}


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_a_server_that_is_stopped(shop: Shop, error: type[BaseException]) -> None:
    def view() -> str:
        write(shop)
        raise error

    shop.view(view)
    for _ in range(2):
        with pytest.raises(error):
            shop.app.test_client().get("/")
    records = assert_silent(shop.inspection)
    assert written(*records, outcome="close") == {"users": 2}


@pytest.mark.parametrize("where", ["template", "after_request"])
def test_a_failure_after_the_work(shop: Shop, where: str) -> None:
    def view() -> str:
        write(shop)
        return flask.render_template_string(
            "{{ 1 // 0 }}" if where == "template" else "done"
        )

    @shop.app.after_request
    def check(response: flask.Response) -> flask.Response:
        if response.status_code == 200:
            raise LookupError
        return response

    shop.view(view)
    assert shop.app.test_client().get("/").status_code == 500
    (record,) = assert_silent(shop.inspection)
    assert written(record, outcome="close") == {"users": 1}


def detached(shop: Shop) -> str:
    user = User(name="x")
    shop.db.session.add(user)
    shop.db.session.commit()
    shop.db.session.close()
    try:
        return str(user.posts)
    except DetachedInstanceError:
        return "none"


def attached_elsewhere(shop: Shop) -> str:
    user = User(name="x")
    shop.db.session.add(user)
    with Session(shop.db.engine) as other:
        try:
            other.add(user)
        except sa.exc.InvalidRequestError:
            other.add(User(name="y"))
            other.commit()
    shop.db.session.commit()
    return "done"


@pytest.mark.filterwarnings("ignore:New instance:sqlalchemy.exc.SAWarning")
@pytest.mark.parametrize("work", [detached, attached_elsewhere])
def test_errors_that_the_view_expects(
    shop: Shop, work: t.Callable[[Shop], str]
) -> None:
    shop.view(lambda: work(shop))
    assert shop.app.test_client().get("/").status_code == 200
    (record,) = assert_silent(shop.inspection)
    assert written(record)["users"] >= 1


def end_by_object(session: Session) -> None:
    transaction = session.begin()
    session.add(User(name="x"))
    transaction.commit()


def end_by_current(session: Session) -> None:
    session.add(User(name="x"))
    session.flush()
    transaction = session.get_transaction()
    assert transaction is not None
    transaction.rollback()


def end_in_block(session: Session) -> None:
    with session.begin() as transaction:
        session.add(User(name="x"))
        session.flush()
        transaction.rollback()


def unmark_deleted(session: Session) -> None:
    user = User(name="x")
    session.add(user)
    session.commit()
    session.delete(user)
    session.rollback()
    assert user.name == "x"


def expire_changes(session: Session) -> None:
    user = User(name="x")
    session.add(user)
    session.commit()
    user.name = "changed"
    session.expire(user)
    assert user.name == "x"


@pytest.mark.parametrize(
    ("work", "ended"),
    [
        (end_by_object, ["commit"]),
        (end_by_current, ["rollback"]),
        (end_in_block, ["rollback"]),
        (unmark_deleted, ["commit", "close"]),
        (expire_changes, ["commit", "close"]),
    ],
)
def test_ends_that_are_asked_for(
    shop: Shop, work: t.Callable[[Session], None], ended: list[str]
) -> None:
    shop.view(lambda: work(shop.db.session()) or "done")
    assert shop.app.test_client().get("/").status_code == 200
    (record,) = assert_silent(shop.inspection)
    assert outcomes(record) == ended
