"""Streamed responses, which go on after their request."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import gc
import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Shop
from marks import MARKING
from marks import assert_complete
from marks import mark
from marks import marks
from sqlalchemy.orm import Session
from werkzeug.wsgi import ClosingIterator


@pytest.fixture
def shop(make_shop: t.Callable[..., Shop]) -> Shop:
    """Serve streams at ``/stream``, and ``/plain``."""
    shop = make_shop(**MARKING)

    def stream() -> flask.Response:
        silent = "silent" in flask.request.args

        def generate() -> cabc.Iterator[str]:
            for number in (1, 2, 3):
                if not silent:
                    mark(shop.db.session, number)
                yield f"{number}\n"

        mark(shop.db.session, "view")
        return flask.Response(flask.stream_with_context(generate()))

    shop.view(stream, "/stream")
    shop.view(lambda: mark(shop.db.session, "plain") or "done", "/plain")
    return shop


def test_a_stream_goes_on_with_its_record(shop: Shop) -> None:
    with shop.app.test_client().get("/stream") as response:
        assert response.text == "1\n2\n3\n"

    (record,) = shop.inspection.requests()
    assert (record.kind, record.status) == ("request", 200)
    assert marks(record) == ["view", "1", "2", "3"]
    assert record.reused_context is False
    assert_complete(record)
    assert shop.inspection.counters.in_flight == 0
    assert shop.inspection.counters.retained == 1
    # Some releases of Flask keep the context, others push it again; it has a
    # session for each time that it was torn down.
    assert record.contexts == len(record.sessions)


def test_a_stream_without_sql(shop: Shop) -> None:
    shop.app.test_client().get("/stream?silent=1").get_data()

    (record,) = shop.inspection.requests()
    assert marks(record) == ["view"]
    assert_complete(record)
    assert shop.inspection.counters.in_flight == 0


def test_a_record_that_goes_on_is_newer_than_before(shop: Shop) -> None:
    client = shop.app.test_client()
    streamed = client.get("/stream", buffered=False)
    before = shop.inspection.cursor
    shop.app.test_client().get("/plain")
    streamed.get_data()

    paths = [record.path for record in shop.inspection.requests(after=before)]
    assert paths == ["/stream", "/plain"]
    assert marks(shop.newest()) == ["view", "1", "2", "3"]
    assert shop.inspection.counters.stored == shop.inspection.counters.started


def test_two_streams_at_the_same_time(shop: Shop) -> None:
    # Each server thread or task has context variables of its own.
    first = served_apart(shop, "/stream")
    second = served_apart(shop, "/stream?second")
    next(first), next(second), next(first), next(second)
    rest = [*first, *second]

    assert rest == [b"3\n", b"3\n"]
    for path in ("/stream", "/stream?second"):
        (record,) = (r for r in shop.inspection.requests() if r.path == path)
        assert marks(record) == ["view", "1", "2", "3"]
        assert_complete(record)
    assert shop.inspection.counters.in_flight == 0


def served_apart(shop: Shop, path: str) -> cabc.Iterator[bytes]:
    """Serve a request as a task with its own context variables does."""
    import contextvars

    apart = contextvars.copy_context()
    response = apart.run(shop.app.test_client().get, path, buffered=False)
    chunks = iter(response.response)
    end = object()
    while (chunk := apart.run(next, chunks, end)) is not end:
        yield t.cast(bytes, chunk)
    apart.run(response.close)


def test_a_stream_that_is_closed_before_its_end(shop: Shop) -> None:
    response = shop.app.test_client().get("/stream", buffered=False)
    assert next(iter(response.response)) == b"1\n"
    response.close()

    (record,) = shop.inspection.requests()
    assert marks(record) == ["view", "1"]
    assert record.error is None
    assert_complete(record)
    assert shop.inspection.counters.in_flight == 0


def test_a_stream_that_is_never_asked_for(shop: Shop) -> None:
    with shop.app.test_client().head("/stream"):
        pass
    gc.collect()

    (record,) = shop.inspection.requests()
    assert (record.method, record.status) == ("HEAD", 200)
    assert marks(record)[0] == "view"
    assert_complete(record)
    assert shop.inspection.counters.in_flight == 0


def test_a_stream_that_raises(shop: Shop) -> None:
    def failing() -> flask.Response:
        def generate() -> cabc.Iterator[str]:
            yield "one"
            mark(shop.db.session, "stream")
            raise LookupError("in the stream")

        return flask.Response(flask.stream_with_context(generate()))

    shop.view(failing)
    response = shop.app.test_client().get("/", buffered=False)
    with pytest.raises(LookupError):
        response.get_data()

    (record,) = shop.inspection.requests()
    assert marks(record) == ["stream"]
    assert record.status == 200
    assert record.error == "LookupError"
    assert_complete(record)
    assert shop.inspection.counters.in_flight == 0


def test_a_context_nested_in_a_stream(shop: Shop) -> None:
    def nested() -> flask.Response:
        def generate() -> cabc.Iterator[str]:
            with shop.app.app_context():
                mark(shop.db.session, "nested")
            yield "done"

        return flask.Response(flask.stream_with_context(generate()))

    shop.view(nested)
    shop.app.test_client().get("/").get_data()

    (record,) = shop.inspection.requests()
    assert marks(record) == ["nested"]
    assert_complete(record)
    assert shop.inspection.counters.in_flight == 0


@pytest.mark.parametrize("query", ["", "?silent=1"])
def test_a_stream_in_a_context_pushed_before(shop: Shop, query: str) -> None:
    with shop.app.app_context():
        mark(shop.db.session, "outside")
        response = shop.app.test_client().get(f"/stream{query}", buffered=True)
        assert response.text == "1\n2\n3\n"
        mark(shop.db.session, "outside again")
        shop.app.test_client().get("/plain")

    records = {record.path: record for record in shop.inspection.requests()}
    assert len(records) == 3
    streamed = records[f"/stream{query}"]
    assert marks(streamed) == ["view"] if query else ["view", "1", "2", "3"]
    assert streamed.status == 200
    assert marks(records["/plain"]) == ["plain"]
    assert marks(records[None]) == ["outside", "outside again"]
    assert shop.inspection.counters.in_flight == 0


def test_streams_inside_of_each_other_in_a_context_pushed_before(shop: Shop) -> None:
    def proxy() -> flask.Response:
        def generate() -> cabc.Iterator[str]:
            mark(shop.db.session, "proxy")
            yield shop.app.test_client().get("/stream", buffered=True).text
            mark(shop.db.session, "proxy again")

        return flask.Response(flask.stream_with_context(generate()))

    shop.view(proxy, "/proxy")
    with shop.app.app_context():
        text = shop.app.test_client().get("/proxy", buffered=True).text
    assert text == "1\n2\n3\n"

    records = {record.path: record for record in shop.inspection.requests()}
    assert marks(records["/proxy"]) == ["proxy", "proxy again"]
    assert marks(records["/stream"]) == ["view", "1", "2", "3"]
    assert shop.inspection.counters.in_flight == 0


def test_a_stream_to_a_client_that_preserves_contexts(shop: Shop) -> None:
    with shop.app.test_client() as client:
        assert client.get("/stream", buffered=True).text == "1\n2\n3\n"
        client.get("/plain")
        mark(shop.db.session, "test")

    requests = {r.path: r for r in shop.inspection.requests() if r.kind == "request"}
    assert marks(requests["/stream"]) == ["view", "1", "2", "3"]
    assert marks(requests["/plain"]) == ["plain"]
    (test,) = (r for r in shop.inspection.requests() if r.kind == "context")
    assert marks(test) == ["test"]
    assert shop.inspection.counters.in_flight == 0


def test_an_excluded_stream(make_shop: t.Callable[..., Shop]) -> None:
    shop = make_shop(SESSION_INSPECTOR_EXCLUDE=["/"], **MARKING)

    def stream() -> flask.Response:
        def generate() -> cabc.Iterator[str]:
            mark(shop.db.session, "stream")
            yield "done"

        return flask.Response(flask.stream_with_context(generate()))

    shop.view(stream)
    before = shop.inspection.counters
    assert shop.app.test_client().get("/").text == "done"
    with contextlib.closing(shop.app.test_client().get("/")):
        pass

    assert shop.inspection.counters == before


@pytest.mark.parametrize("path", ["/fails", "/missing", "/moved", "/empty"])
def test_a_page_of_an_error_is_no_stream(shop: Shop, path: str) -> None:
    """Flask makes a response of it that cannot say of how many parts it is."""

    def fails() -> t.NoReturn:
        raise LookupError("of the application")

    def moved() -> t.NoReturn:
        flask.abort(flask.redirect("/"))

    def empty() -> t.NoReturn:
        flask.abort(flask.Response(status=204))

    shop.view(fails, "/fails")
    shop.view(moved, "/moved")
    shop.view(empty, "/empty")
    with shop.app.test_client() as client:
        client.get(path)
        # What the test does now is its own.
        mark(shop.db.session, "test")
    context, request = shop.inspection.requests()
    assert (request.kind, request.statement_count) == ("request", 0)
    assert (context.kind, context.statement_count) == ("context", 1)
    assert request.findings == ()


def test_a_stream_that_says_how_long_it_is(shop: Shop) -> None:
    """What its view made is closed with it, so nobody left it open."""

    def view() -> flask.Response:
        session = Session(shop.db.engine)
        rows = session.execute(sa.text("SELECT 1 UNION SELECT 2"))
        parts = ClosingIterator((b"%d" % row[0] for row in rows), session.close)
        response = flask.Response(parts)
        response.content_length = 2
        return response

    shop.view(view, "/long")
    record = shop.get("/long")
    assert {finding.code for finding in record.findings} == {"FSI108"}
