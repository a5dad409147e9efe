"""Records made by hand, for what shows them."""

from __future__ import annotations

import typing as t

import msgspec

from flask_session_inspector import ConnectionCheckout
from flask_session_inspector import Finding
from flask_session_inspector import Holder
from flask_session_inspector import Location
from flask_session_inspector import RequestRecord
from flask_session_inspector import SessionRecord
from flask_session_inspector import StatementRecord
from flask_session_inspector import TransactionRecord
from flask_session_inspector.web.pages.links import RecordNames

if t.TYPE_CHECKING:
    from flask_session_inspector import Inspection

PROXY = 0x7F3A9C1E2B50
AT = 1_700_000_000.0


def statement(at: float = 1.0, took: float = 2.0, **changes: t.Any) -> StatementRecord:
    fields: dict[str, t.Any] = {
        "at_ms": at,
        "duration_ms": took,
        "sql": "SELECT users.id FROM users",
        "kind": "select",
        "rows": None,
        "bind": "default",
        "location": Location("/srv/shop/views.py", 42, "show"),
        "relationship": None,
    }
    return StatementRecord(**{**fields, **changes})


def transaction(
    began: float = 1.0, ended: float | None = 9.0, **changes: t.Any
) -> TransactionRecord:
    fields: dict[str, t.Any] = {
        "began_ms": began,
        "ended_ms": ended,
        "nested": False,
        "outcome": "close",
        "bind": "default",
        "writes": {},
    }
    return TransactionRecord(**{**fields, **changes})


def session(serial: int, **changes: t.Any) -> SessionRecord:
    """A session of ``db.session`` that read once and was removed."""
    fields: dict[str, t.Any] = {
        "serial": serial,
        "label": f"S{serial}",
        "python_id": 0x7F3A9D51A2C0 + serial,
        "class_name": "Session",
        "origin": "registry",
        "registry": "db.session",
        "proxy_id": PROXY,
        "scope_key": "0x7f3a9cf2e410",
        "context": 0,
        "first_request_id": "",
        "first_use": Location("/srv/shop/views.py", 41, "show"),
        "identity_map_size": 1,
        "pending_new": 0,
        "pending_dirty": 0,
        "pending_deleted": 0,
        "ended": "removed",
        "transactions": (transaction(),),
        "statements": (statement(),),
    }
    return SessionRecord(**{**fields, **changes})


def raw_session(serial: int, **changes: t.Any) -> SessionRecord:
    """A ``Session(engine)`` that nobody closed."""
    fields: dict[str, t.Any] = {
        "origin": "direct",
        "registry": None,
        "proxy_id": None,
        "scope_key": None,
        "ended": "open",
        "transactions": (transaction(ended=None, outcome="open"),),
    }
    return session(serial, **{**fields, **changes})


def checkout(session: int | None = 1, **changes: t.Any) -> ConnectionCheckout:
    fields: dict[str, t.Any] = {
        "connection_id": 1,
        "bind": "default",
        "checked_out_ms": 1.0,
        "checked_in_ms": 9.0,
        "session": session,
    }
    return ConnectionCheckout(**{**fields, **changes})


def finding(code: str = "FSI101", **changes: t.Any) -> Finding:
    fields: dict[str, t.Any] = {
        "code": code,
        "name": "session-shared",
        "severity": "error",
        "message": "S1 served two requests.",
        "hint": "Pass db.",
        "evidence": {"requests": 2},
        "request_id": None,
        "session": 1,
        "location": None,
        "related_requests": (),
        "docs_url": "https://example.org/FSI101",
        "at": AT,
    }
    return Finding(**{**fields, **changes})


def holder(where: str = 'admin view "user"', **changes: t.Any) -> Holder:
    fields: dict[str, t.Any] = {
        "where": where,
        "holds": "db",
        "verdict": "ok",
        "proxy_id": PROXY,
        "session": None,
        "hint": "",
    }
    return Holder(**{**fields, **changes})


def record(number: int, *sessions: SessionRecord, **changes: t.Any) -> RequestRecord:
    """A request of 10 ms; a session without a first request is its own."""
    record_id = f"r{number}"
    own = tuple(
        each if each.first_request_id else _first_used_in(each, record_id)
        for each in sessions
    )
    fields: dict[str, t.Any] = {
        "id": record_id,
        "kind": "request",
        "app": "shop",
        "pid": 4711,
        "thread": "MainThread",
        "started_at": AT + number,
        "duration_ms": 10.0,
        "method": "GET",
        "path": f"/products/{number}",
        "endpoint": "product",
        "status": 200,
        "error": None,
        "contexts": 1,
        "reused_context": False,
        "sessions": own,
        "connections": (),
        "connection_statements": (),
        "findings": (),
        "truncated": False,
    }
    fields.update(changes)
    fields.setdefault(
        "statement_count",
        sum(len(each.statements) for each in own)
        + len(fields["connection_statements"]),
    )
    return RequestRecord(**fields)


class Retained:
    """What an inspection retains, for what looks records up by their id."""

    def __init__(self, *records: RequestRecord) -> None:
        self._records = {each.id: each for each in records}

    def request(self, request_id: str) -> RequestRecord | None:
        return self._records.get(request_id)


def names(*records: RequestRecord) -> RecordNames:
    """Names for these records, and for no others."""
    return RecordNames(t.cast("Inspection", Retained(*records)))


def _first_used_in(each: SessionRecord, record_id: str) -> SessionRecord:
    return msgspec.structs.replace(each, first_request_id=record_id)
