"""What a view leaves to its streamed response is judged when that is closed."""

from __future__ import annotations

import collections.abc as cabc
import logging
import queue
import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Shop
from conftest import User
from sqlalchemy.orm import Session


def codes(shop: Shop) -> list[str]:
    return [finding.code for finding in shop.newest().findings]


@pytest.fixture
def streaming(shop: Shop) -> cabc.Iterator[Shop]:
    """Serve a stream of rows whose session is closed with it, or is not."""
    # What leaks stays alive here, where the audit cannot look.
    kept: queue.SimpleQueue[t.Any] = queue.SimpleQueue()

    def rows(end: str) -> flask.Response:
        session = Session(shop.db.engine)
        result = session.scalars(sa.select(User.name))
        kept.put(session)
        response = flask.Response(name for name in [*result, "end"])
        if end == "closed":
            response.call_on_close(session.close)
        return response

    def connection(end: str) -> flask.Response:
        connected = shop.db.engine.connect()
        result = connected.execute(sa.select(User.name))
        kept.put(connected)
        response = flask.Response(name for (name,) in [*result, ("end",)])
        if end == "closed":
            response.call_on_close(connected.close)
        return response

    shop.view(rows, "/rows/<end>")
    shop.view(connection, "/connection/<end>")
    yield shop
    while not kept.empty():
        kept.get().close()


@pytest.mark.parametrize("what", ["rows", "connection"])
def test_what_is_closed_with_the_response(
    streaming: Shop, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    response = streaming.app.test_client().get(f"/{what}/closed")
    assert response.text == "end"
    response.close()

    record = streaming.newest()
    assert {finding.severity for finding in record.findings} <= {"info"}
    assert [checkout.checked_in_ms for checkout in record.connections] != [None]
    assert caplog.records == [], "nothing was told too early"


@pytest.mark.parametrize(
    ("what", "expected"),
    [("rows", {"FSI102", "FSI108", "FSI202"}), ("connection", {"FSI202"})],
)
def test_what_is_left_open(
    streaming: Shop,
    what: str,
    expected: set[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    response = streaming.app.test_client().get(f"/{what}/left")
    assert "FSI202" not in codes(streaming), "the response may still close it"
    response.close()

    assert set(codes(streaming)) == expected
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) >= 1
