"""FSI304 context-abandoned: its thread serves the next request, and it is pushed."""

from __future__ import annotations

import collections.abc as cabc
import contextvars
import threading
import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Shop
from conftest import User
from faults import MakeShop
from faults import Scenario
from faults import add_users
from faults import assert_found_by_its_rule
from faults import codes
from faults import found
from faults import in_thread
from faults import join
from faults import line
from faults import line_of
from faults import sessions_closed as sessions_closed
from faults import start
from faults import the
from faults import wait
from work import get
from work import read

CODE = "FSI304"
Lines = cabc.Iterator[str]


def serve(shop: Shop) -> None:
    """Serve a stream of users, and a page that uses the database."""

    def stream() -> flask.Response:
        def rows() -> Lines:
            yield "first"
            yield from shop.db.session.scalars(sa.select(User.name))

        return flask.Response(flask.stream_with_context(rows()))

    shop.view(stream, "/stream")
    shop.view(lambda: f"{read(shop.db.session)}", "/next")


def left_in_the_middle(shop: Shop) -> None:
    """The client hangs up, and nobody closes the response."""
    add_users(shop, "ann", "bob")
    serve(shop)

    def worker() -> None:
        response = shop.app.test_client().get("/stream", buffered=False)
        rows = iter(response.response)
        next(rows), next(rows)
        get(shop, "/next")
        response.close()

    in_thread(worker, "worker-1")


def view_and_stream(shop: Shop) -> None:
    """The view used the database, and its generator a session of its own."""
    add_users(shop, "ann", "bob")

    def stream() -> flask.Response:
        read(shop.db.session)

        def rows() -> Lines:
            yield "first"
            yield from shop.db.session.scalars(sa.select(User.name))

        return flask.Response(flask.stream_with_context(rows()))

    shop.view(stream, "/stream")
    shop.view(lambda: f"{read(shop.db.session)}", "/next")

    def worker() -> None:
        response = shop.app.test_client().get("/stream", buffered=False)
        rows = iter(response.response)
        next(rows), next(rows)
        get(shop, "/next")
        response.close()

    in_thread(worker, "worker-1")


SCENARIOS = [left_in_the_middle, view_and_stream]
by_name = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)


@by_name
def test_a_stream_that_nobody_closes(shop: Shop, scenario: Scenario) -> None:
    scenario(shop)

    (stream,) = shop.inspection.requests(path="/stream")
    (after,) = shop.inspection.requests(path="/next")
    finding = the(shop.inspection, CODE)
    assert (finding.name, finding.severity) == ("context-abandoned", "warning")
    assert finding.request_id == stream.id
    assert finding.related_requests == (after.id,)
    left = stream.sessions[-1]
    assert finding.session == left.serial
    assert f"the streamed response of this request, which used S{left.serial}," in (
        finding.message
    )
    assert "when worker-1 began to serve GET /next." in finding.message
    assert finding.location == left.first_use
    assert "scalars(sa.select(User" in line(finding.location)
    evidence = finding.evidence
    assert evidence["thread"] == "worker-1"
    assert evidence["sessions"] == [f"S{left.serial}"]
    assert evidence["next request"] == "GET /next"
    assert line_of(evidence["used"]) == line(finding.location)


@by_name
def test_it_is_told_at_once_and_once(shop: Shop, scenario: Scenario) -> None:
    """Nobody knows whether such a context ever ends."""
    told = []

    @shop.app.after_request
    def look(response: flask.Response) -> flask.Response:
        told.append(CODE in {f.code for f in shop.inspection.findings()})
        return response

    scenario(shop)
    assert told == [False, True]
    assert len(found(shop.inspection, CODE)) == 1


@by_name
def test_it_is_the_rule_that_finds_it(
    make_shop: MakeShop, tmp_path: t.Any, scenario: Scenario
) -> None:
    assert_found_by_its_rule(make_shop, tmp_path, CODE, scenario)


# Near misses


def test_a_stream_that_is_read_to_its_end(shop: Shop) -> None:
    add_users(shop, "ann")
    serve(shop)
    with shop.app.test_client().get("/stream") as response:
        assert response.text == "firstann"
    get(shop, "/next")
    assert codes(shop.inspection) == set()


def test_a_stream_that_is_closed_in_the_middle(shop: Shop) -> None:
    add_users(shop, "ann", "bob")
    serve(shop)
    response = shop.app.test_client().get("/stream", buffered=False)
    rows = iter(response.response)
    next(rows), next(rows)
    response.close()
    get(shop, "/next")
    assert codes(shop.inspection) == set()


def test_another_thread_serves_the_next_request(shop: Shop) -> None:
    add_users(shop, "ann", "bob")
    serve(shop)
    response = shop.app.test_client().get("/stream", buffered=False)
    rows = iter(response.response)
    next(rows), next(rows)
    in_thread(lambda: get(shop, "/next"))
    assert found(shop.inspection, CODE) == []
    response.close()
    assert codes(shop.inspection) == set()


def test_the_stream_used_no_database(shop: Shop) -> None:
    def stream() -> flask.Response:
        return flask.Response(flask.stream_with_context(iter("abc")))

    shop.view(stream, "/stream")
    shop.view(lambda: f"{read(shop.db.session)}", "/next")
    response = shop.app.test_client().get("/stream", buffered=False)
    next(iter(response.response))
    get(shop, "/next")
    response.close()
    assert found(shop.inspection, CODE) == []


def test_a_client_that_preserves_contexts(shop: Shop) -> None:
    serve(shop)
    with shop.app.test_client() as client:
        for _ in range(3):
            client.get("/next").close()
            read(shop.db.session)
    assert found(shop.inspection, CODE) == []


def test_a_context_around_the_requests_of_a_test(shop: Shop) -> None:
    """FSI104 says that."""
    serve(shop)
    with shop.app.app_context():
        read(shop.db.session)
        for _ in range(2):
            get(shop, "/next")
    assert found(shop.inspection, CODE) == []
    assert "FSI104" in codes(shop.inspection)


def test_a_request_within_a_view(shop: Shop) -> None:
    """Its view is not answered yet."""
    serve(shop)

    def outer() -> str:
        read(shop.db.session)
        return shop.app.test_client().get("/next").text

    shop.view(outer, "/outer")
    get(shop, "/outer")
    assert found(shop.inspection, CODE) == []


def test_a_request_sent_by_a_teardown_function(shop: Shop) -> None:
    serve(shop)

    sent = []

    @shop.app.teardown_appcontext
    def call(error: BaseException | None) -> None:
        if not sent:
            sent.append(1)
            shop.app.test_client().get("/next").close()

    def outer() -> str:
        return f"{read(shop.db.session)}"

    shop.view(outer, "/outer")
    get(shop, "/outer")
    assert found(shop.inspection, CODE) == []


def test_a_teardown_function_that_fails(shop: Shop) -> None:
    """Flask pops the context, and just does not say so."""
    serve(shop)
    failing = True

    @shop.app.teardown_appcontext
    def fail(error: BaseException | None) -> None:
        if failing:
            raise LookupError

    with pytest.raises(LookupError):
        shop.app.test_client().get("/next")
    failing = False
    get(shop, "/next")
    assert found(shop.inspection, CODE) == []


def test_a_thread_that_copied_the_context(shop: Shop) -> None:
    """It sends a request of its own while the response is on its way."""
    serve(shop)
    answered, sent = threading.Event(), threading.Event()
    threads = []

    def helper() -> None:
        wait(answered)
        get(shop, "/next")
        sent.set()

    def outer() -> flask.Response:
        read(shop.db.session)
        context = contextvars.copy_context()
        threads.append(start(lambda: context.run(helper)))
        return flask.Response("done")

    shop.view(outer, "/outer")

    @shop.app.teardown_request
    def wait_for_it(error: BaseException | None) -> None:
        if flask.request.path == "/outer":
            answered.set()
            wait(sent)

    get(shop, "/outer")
    join(threads[0])
    assert found(shop.inspection, CODE) == []
