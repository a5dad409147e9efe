"""Commands, app contexts by hand, test clients, and functions around a request."""

from __future__ import annotations

import click
import flask
import pytest
import sqlalchemy as sa
from conftest import Shop
from conftest import User
from flask.cli import AppGroup
from flask.cli import with_appcontext
from silence import assert_silent
from silence import of_path
from silence import outcomes
from silence import sessions
from silence import written


def write(shop: Shop, name: str = "x") -> str:
    shop.db.session.add(User(name=name))
    shop.db.session.commit()
    return "done"


def read(shop: Shop) -> str:
    return ",".join(shop.db.session.scalars(sa.select(User.name).order_by(User.id)))


@pytest.mark.parametrize("nested", [True, False])
def test_commands(shop: Shop, nested: bool) -> None:
    users = AppGroup("users")

    @users.command("create")
    @click.argument("name")
    def create(name: str) -> None:
        if nested:
            with shop.app.app_context():
                write(shop, name)
        else:
            write(shop, name)

    @shop.app.cli.command("list")
    @with_appcontext
    def list_users() -> None:
        click.echo(read(shop))

    shop.app.cli.add_command(users)
    runner = shop.app.test_cli_runner()
    for name in "ab":
        assert runner.invoke(args=["users", "create", name]).exit_code == 0
    assert runner.invoke(args=["list"]).output == "a,b\n"

    records = assert_silent(shop.inspection)
    assert [record.kind for record in records] == ["cli"] * 3
    assert written(*records) == {"users": 2}


def test_a_command_that_serves_requests(shop: Shop) -> None:
    """As ``verify`` or a sitemap generator does, without SQL of its own."""
    shop.view(lambda: read(shop))

    @shop.app.cli.command("crawl", with_appcontext=False)
    def crawl() -> None:
        for _ in range(3):
            click.echo(shop.app.test_client().get("/").text)

    assert shop.app.test_cli_runner().invoke(args=["crawl"]).exit_code == 0
    records = assert_silent(shop.inspection)
    assert len(of_path(records, "/")) == len(sessions(*records)) == 3


def test_app_contexts_by_hand(shop: Shop) -> None:
    for _ in range(3):
        with shop.app.app_context():
            write(shop)
    context = shop.app.app_context()
    context.push()
    read(shop)
    context.pop()

    records = assert_silent(shop.inspection)
    assert [record.kind for record in records] == ["context"] * 4
    assert outcomes(*records) == [*["commit"] * 3, "close"]


def test_set_up_then_requests_then_a_look(shop: Shop) -> None:
    shop.view(lambda: write(shop, "view"))
    with shop.app.app_context():
        write(shop, "set up")
    shop.get()
    with shop.app.app_context():
        assert read(shop) == "set up,view"
    assert len(assert_silent(shop.inspection)) == 3


def test_a_nested_context_without_a_session_around_it(shop: Shop) -> None:
    def view() -> str:
        with shop.app.app_context():
            flask.url_for("view", _external=True)
            return write(shop)

    shop.app.config["SERVER_NAME"] = "localhost"
    shop.view(view)
    for _ in range(3):
        assert shop.app.test_client().get("/").status_code == 200
    records = assert_silent(shop.inspection)
    assert [record.contexts for record in records] == [2, 2, 2]
    assert written(*records) == {"users": 3}


def test_a_nested_context_without_a_session_in_it(shop: Shop) -> None:
    def view() -> str:
        write(shop)
        with shop.app.app_context():
            assert flask.current_app.name
        with shop.app.test_request_context("/other"):
            assert flask.url_for("view") == "/"
        return read(shop)

    shop.view(view)
    for _ in range(2):
        shop.get()
    records = assert_silent(shop.inspection)
    assert len(sessions(*of_path(records, "/"))) == 2


def test_requests_in_a_context_without_a_session(shop: Shop) -> None:
    """The outer context is there for ``url_for`` and ``current_app`` alone."""
    shop.view(lambda: "no database here")
    with shop.app.app_context():
        for _ in range(3):
            shop.app.test_client().get("/").close()
    records = assert_silent(shop.inspection)
    assert len(of_path(records, "/")) == 3


def test_a_client_that_preserves_contexts(shop: Shop) -> None:
    shop.view(lambda: write(shop))
    with shop.app.test_client() as client:
        for number in range(1, 4):
            client.get("/")
            assert flask.request.path == "/"
            assert len(read(shop).split(",")) == number
    with shop.app.test_client() as client:
        client.get("/nowhere")
        read(shop)
        client.get("/")
    records = assert_silent(shop.inspection)
    assert written(*records) == {"users": 4}
    serials = [session.serial for session in sessions(*records)]
    assert len(serials) == len(set(serials)) == 8


def test_a_client_that_changes_the_cookie_session(shop: Shop) -> None:
    shop.view(lambda: write(shop, flask.session["name"]))
    client = shop.app.test_client()
    with client.session_transaction() as cookie:
        cookie["name"] = "ann"
        with shop.app.app_context():
            write(shop)
    for _ in range(2):
        assert client.get("/").status_code == 200
    records = assert_silent(shop.inspection)
    assert written(*records) == {"users": 3}


def test_test_request_contexts(shop: Shop) -> None:
    shop.view(lambda: write(shop))
    for _ in range(3):
        with shop.app.test_request_context("/"):
            shop.app.preprocess_request()
            assert shop.app.dispatch_request() == "done"
    with shop.app.test_request_context("/"):
        assert shop.app.full_dispatch_request().status_code == 200
    records = assert_silent(shop.inspection)
    assert written(*records) == {"users": 4}


@pytest.mark.parametrize("where", ["after", "teardown", "app teardown"])
def test_a_commit_at_the_end(shop: Shop, where: str) -> None:
    def view() -> str:
        shop.db.session.add(User(name="flushed"))
        shop.db.session.flush()
        shop.db.session.add(User(name="pending"))
        return "done"

    def commit(error: BaseException | None) -> None:
        if error is None:
            shop.db.session.commit()

    def commit_after(response: flask.Response) -> flask.Response:
        if response.status_code < 400:
            shop.db.session.commit()
        return response

    if where == "after":
        shop.app.after_request(commit_after)
    elif where == "teardown":
        shop.app.teardown_request(commit)
    else:
        shop.app.teardown_appcontext(commit)
    shop.view(view)
    for _ in range(3):
        shop.get()
    records = assert_silent(shop.inspection)
    assert written(*records) == {"users": 6}
    assert set(outcomes(*records)) == {"commit"}


def test_a_function_after_this_request(shop: Shop) -> None:
    def view() -> str:
        @flask.after_this_request
        def note(response: flask.Response) -> flask.Response:
            write(shop, "after")
            return response

        return write(shop)

    shop.view(view)
    for _ in range(2):
        shop.get()
    assert written(*assert_silent(shop.inspection)) == {"users": 4}


def test_functions_that_see_the_end_of_the_response(shop: Shop) -> None:
    """``call_on_close`` runs after the teardown, in a context of its own."""

    def later() -> None:
        with shop.app.app_context():
            write(shop, "later")

    def view() -> flask.Response:
        response = flask.Response(write(shop))
        response.call_on_close(later)
        return response

    shop.view(view)
    for _ in range(2):
        shop.app.test_client().get("/").close()
    records = assert_silent(shop.inspection)
    assert written(*records) == {"users": 4}
