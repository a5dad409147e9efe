"""Asking for records: filters, cursors, limits, clearing."""

from __future__ import annotations

import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Shop

from flask_session_inspector import RequestRecord
from flask_session_inspector.queries import RecordFilter


@pytest.fixture
def shop(make_shop: t.Callable[..., Shop]) -> Shop:
    shop = make_shop(SQLALCHEMY_DATABASE_URI="sqlite://")

    def index(code: int) -> tuple[str, int]:
        shop.db.session.execute(sa.select(1))
        return "", code

    shop.app.add_url_rule("/<int:code>", "index", index)
    shop.app.add_url_rule("/abort", "abort", lambda: flask.abort(404))
    return shop


def send(shop: Shop, *codes: int) -> list[RequestRecord]:
    """Send requests; return their records, oldest first."""
    return [shop.get(f"/{code}") for code in codes]


def test_newest_first_and_limited(shop: Shop) -> None:
    records = send(shop, *range(200, 210))
    assert shop.inspection.requests() == records[::-1]
    assert shop.inspection.requests(limit=3) == records[:-4:-1]
    assert shop.inspection.requests(10_000) == records[::-1]


def test_fifty_by_default(shop: Shop) -> None:
    records = send(shop, *[200] * 51)
    assert shop.inspection.requests() == records[:0:-1]


def test_filters(shop: Shop) -> None:
    records = send(shop, 200, 204, 404, 500)
    ask = shop.inspection.requests
    assert ask(status=204) == [records[1]]
    assert ask(status="204") == [records[1]]
    assert ask(status="2xx") == [records[1], records[0]]
    assert ask(status="5XX") == [records[3]]
    assert ask(status=302) == []
    assert ask(path="/40") == [records[2]]
    assert ask(path="") == records[::-1]
    assert ask(path="%") == []
    serial = records[2].sessions[0].serial
    assert ask(session=serial) == [records[2]]
    assert ask(session=str(serial)) == ask(session=f"S{serial}") == [records[2]]
    assert ask(session=f"s{serial}", status=200) == []
    assert ask(session=999_999_999) == []
    assert ask(finding="FSI101") == []
    # The limit is on what is found, not on what is looked at.
    assert ask(limit=1, status=200) == [records[0]]


def test_records_without_status_and_path(shop: Shop) -> None:
    with shop.app.app_context():
        shop.db.session.execute(sa.select(1))
    (record,) = shop.inspection.requests()
    assert record.status is None
    assert record.path is None
    assert shop.inspection.requests(path="") == [record]
    for status in ("1xx", "5xx", 200):
        assert shop.inspection.requests(status=status) == []
    assert shop.inspection.requests(path="None") == []


@pytest.mark.parametrize(
    "arguments",
    [
        *[{"limit": x} for x in (0, -1, 10_001, 1.0, "5", True, None)],
        *[{"status": x} for x in ("", "abc", 99, 600, "20", "2x", "xx", "2xx ", 200.0)],
        *[{"status": x} for x in (True, "\u0662\u0660\u0660", "200\n", b"200", [200])],
        *[
            {"session": x}
            for x in ("", "S", "-1", "S1.5", "1" * 19, "\u0661", -1, 1.5, "S 1")
        ],
        *[
            {"finding": x}
            for x in ("", "fsi101", "FSI1", "FSI1011", "FSI\u0661\u0662\u0663", 101)
        ],
        *[{"path": x} for x in (5, b"/")],
        *[
            {place: x}
            for place in ("after", "before")
            for x in ("", "x", "00000000-", "00000000-1", "abc.5", "0" * 8 + ".-1", 5)
        ],
    ],
    ids=repr,
)
def test_malformed_questions(shop: Shop, arguments: dict[str, t.Any]) -> None:
    (name,) = arguments
    with pytest.raises(ValueError, match=f"^{name} ") as caught:
        shop.inspection.requests(**arguments)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_a_filter_asks_for_nothing_by_default(shop: Shop) -> None:
    (record,) = send(shop, 200)
    assert RecordFilter().matches(record)


def test_after_a_cursor(shop: Shop) -> None:
    ask = shop.inspection.page
    empty = shop.inspection.cursor
    assert ask(after=empty).records == []
    first = send(shop, 200, 201)
    page = ask(after=empty)
    assert page.records == first[::-1]
    assert page.cursor == shop.inspection.cursor != empty
    assert ask(after=page.cursor).records == []
    assert ask(after=page.cursor).cursor == page.cursor
    second = send(shop, 202)
    assert ask(after=page.cursor).records == second
    assert ask(after=empty, limit=1).records == second
    assert ask(before=page.cursor).records == first[:1]


def test_between_request_ids(shop: Shop) -> None:
    records = send(shop, 200, 201, 202, 203)
    ask = shop.inspection.requests
    assert ask(after=records[1].id) == [records[3], records[2]]
    assert ask(before=records[1].id) == [records[0]]
    assert ask(after=records[0].id, before=records[3].id) == [records[2], records[1]]
    assert ask(after=records[2].id, before=records[1].id) == []


def test_a_cursor_of_another_life_of_the_store(shop: Shop) -> None:
    records = send(shop, 200, 201)
    assert shop.inspection.requests(after="00000000.9999") == records[::-1]
    assert shop.inspection.requests(before="00000000.9999") == []


def test_a_request_that_is_not_retained_is_no_place(
    make_shop: t.Callable[..., Shop],
) -> None:
    shop = make_shop(SESSION_INSPECTOR_MAX_REQUESTS=2)
    shop.app.add_url_rule("/", "index", lambda: "")
    first = shop.get()
    for _ in range(2):
        shop.get()
    assert len(shop.inspection.requests()) == 2
    assert shop.inspection.request(first.id) is None
    with pytest.raises(ValueError, match=f"{first.id}, which is not retained"):
        shop.inspection.requests(after=first.id)


def test_one_record_by_its_id(shop: Shop) -> None:
    first, second = send(shop, 200, 201)
    assert shop.inspection.request(first.id) == first
    assert shop.inspection.request(second.id) == second
    assert shop.inspection.request("") is None
    assert shop.inspection.request(first.id + "0") is None


def test_clear(shop: Shop) -> None:
    send(shop, 200, 201)
    before = shop.inspection.cursor
    shop.inspection.clear()
    assert shop.inspection.cursor != before, "a page that polls must notice"
    assert shop.inspection.requests() == []
    assert shop.inspection.requests(after=before) == []
    records = send(shop, 202)
    assert shop.inspection.requests(after=before) == records
    counters = shop.inspection.counters
    assert counters.retained == 1 == counters.stored - counters.evicted


def test_the_ring(make_shop: t.Callable[..., Shop]) -> None:
    shop = make_shop(SESSION_INSPECTOR_MAX_REQUESTS=3)
    before = shop.inspection.counters
    shop.app.add_url_rule("/<int:number>", "index", lambda number: "")
    records = [shop.get(f"/{number}") for number in range(7)]
    assert shop.inspection.requests() == records[:3:-1]
    counters = shop.inspection.counters
    assert counters.stored - before.stored == 7
    assert counters.retained == 3
    assert counters.retained == counters.stored - counters.evicted
    assert counters.started == counters.stored
    assert counters.in_flight == 0
