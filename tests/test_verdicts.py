"""The three verdicts, from records made by hand and from real ones."""

from __future__ import annotations

import typing as t

import msgspec
import pytest
import sqlalchemy as sa
from conftest import Shop
from sqlalchemy.orm import Session

from flask_session_inspector import RequestRecord
from flask_session_inspector import SessionRecord
from flask_session_inspector import Verdict
from flask_session_inspector import judge
from flask_session_inspector.tally import tally_of

PROXY = {"origin": "registry", "registry": "db.session", "proxy_id": 0x10}


def session(serial: int, **values: t.Any) -> SessionRecord:
    fields: dict[str, t.Any] = {
        "serial": serial,
        "label": f"S{serial}",
        "python_id": 1,
        "class_name": "Session",
        "origin": "direct",
        "registry": None,
        "proxy_id": None,
        "scope_key": None,
        "context": 0,
        "first_request_id": "a-1",
        "first_use": None,
        "identity_map_size": 0,
        "pending_new": 0,
        "pending_dirty": 0,
        "pending_deleted": 0,
        "ended": "removed",
        "transactions": (),
        "statements": (),
    }
    return msgspec.convert(fields | values, SessionRecord)


def request(number: int, *sessions: SessionRecord, **values: t.Any) -> RequestRecord:
    fields: dict[str, t.Any] = {
        "id": f"a-{number}",
        "kind": "request",
        "app": "shop",
        "pid": 1,
        "thread": "MainThread",
        "started_at": 1.0,
        "duration_ms": 1.0,
        "method": "GET",
        "path": f"/{number}",
        "endpoint": "index",
        "status": 200,
        "error": None,
        "contexts": 1,
        "reused_context": False,
        "connections": (),
        "connection_statements": (),
        "findings": (),
        "statement_count": 0,
        "truncated": False,
    }
    record = msgspec.convert({**fields, **values, "sessions": ()}, RequestRecord)
    return msgspec.structs.replace(record, sessions=sessions)


def passed(*records: RequestRecord) -> list[bool | None]:
    return [verdict.passed for verdict in judge(records)]


def test_names_and_questions() -> None:
    assert [(verdict.name, verdict.question) for verdict in judge([])] == [
        ("same-proxy", "Same proxy across requests"),
        ("session-per-request", "A different session per request"),
        ("no-leakage", "No data leakage between requests"),
    ]


@pytest.mark.parametrize(
    "records",
    [
        [],
        [request(1), request(2)],
        [request(1, session(1, **PROXY), kind="context")],
        [request(n, session(1, **PROXY), kind="cli") for n in (1, 2)],
    ],
)
def test_no_evidence(records: list[RequestRecord]) -> None:
    for verdict in judge(records):
        assert verdict.passed is None
        assert verdict.evidence == ()
        assert verdict.requests == ()
        assert verdict.sentence.endswith("yet.")


def test_all_is_well() -> None:
    records = [request(n, session(n, **PROXY)) for n in (1, 2, 3)]
    verdicts = judge([*records, request(4)])
    assert [verdict.passed for verdict in verdicts] == [True] * 3
    same, each, none = verdicts
    assert same.sentence == "db.session is the same proxy object in every request."
    assert same.evidence == ("db.session: proxy 0x10 gave 3 sessions.",)
    assert each.sentence == "Each of 3 requests had a session of its own."
    assert none.evidence == ("3 sessions ended with their request.",)
    assert all(verdict.requests == () for verdict in verdicts)


def test_one_request_proves_little_and_says_so() -> None:
    _, each, _ = judge([request(1, session(1, **PROXY))])
    assert each.passed is True
    assert each.sentence == "The one request so far had a session of its own."


def test_two_sessions_in_one_request_are_fine() -> None:
    assert passed(request(1, session(1, **PROXY), session(2, **PROXY))) == [True] * 3


def test_another_proxy() -> None:
    records = [request(1, session(1, **PROXY))]
    records += [request(2, session(2, **PROXY | {"proxy_id": 0x20}))]
    assert passed(*records) == [False, True, True]
    same = judge(records)[0]
    assert same.sentence == "db.session was not the same object in every request."
    assert len(same.evidence) == 2


def test_two_registries_of_different_names() -> None:
    other = PROXY | {"registry": "reporting", "proxy_id": 0x20}
    same = judge([request(1, session(1, **PROXY), session(2, **other))])[0]
    assert same.passed is True
    assert same.sentence.startswith("db.session, reporting is the same")


def test_sessions_without_a_registry() -> None:
    records = [request(1, session(1)), request(2, session(2))]
    same = judge(records)[0]
    assert same.passed is None
    assert same.evidence == (
        "2 sessions were made without a registry, the latest one S2.",
    )


def test_users_of_sessions_are_requests() -> None:
    first, command = request(1, session(1)), request(2, session(1), kind="cli")
    assert [note.id for note in tally_of([first, command]).users(1)] == ["a-1"]


def test_shared_by_two() -> None:
    assert passed(*[request(n, session(7)) for n in (1, 2)]) == [None, False, False]


def test_a_shared_session() -> None:
    records = [request(n, session(7, ended="closed")) for n in range(1, 6)]
    _, each, none = judge([*records, request(6, session(8))])
    ids = {record.id for record in records}
    assert each.passed is none.passed is False
    assert set(each.requests) == set(none.requests) == ids
    assert each.sentence == "1 session was shared by several requests."
    (evidence,) = each.evidence
    assert evidence == "S7 served 5 requests: GET /1, GET /2, GET /3 and 2 more."


def test_a_session_that_stays_open() -> None:
    open_one = session(1, ended="open", identity_map_size=3, **PROXY)
    verdicts = judge([request(1, open_one), request(2, session(2, **PROXY))])
    assert [verdict.passed for verdict in verdicts] == [True, True, False]
    assert verdicts[2].requests == ("a-1",)
    assert verdicts[2].evidence == (
        "S1 was still open after GET /1, with 3 objects attached.",
    )


def test_shared_with_a_command_is_not_between_requests() -> None:
    records = [request(1, session(1)), request(2, session(1), kind="cli")]
    assert passed(*records)[1:] == [True, True]


@pytest.mark.parametrize("pinned", [True, False])
def test_of_real_requests(shop: Shop, pinned: bool) -> None:
    with shop.app.app_context():
        kept = Session(shop.db.engine)

    def index() -> str:
        (kept if pinned else shop.db.session).execute(sa.select(1))
        return ""

    shop.view(index)
    records = [shop.get() for _ in range(3)]
    kept.close()
    verdicts: tuple[Verdict, ...] = shop.inspection.verdicts()
    assert verdicts == judge(shop.inspection.requests())
    expected = [None, False, False] if pinned else [True, True, True]
    assert [verdict.passed for verdict in verdicts] == expected
    assert set(verdicts[2].requests) == ({r.id for r in records} if pinned else set())
    assert all(msgspec.json.encode(verdict) for verdict in verdicts)
