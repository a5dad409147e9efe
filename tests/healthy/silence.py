"""What all healthy applications are asked: were you recorded, and is it quiet?"""

from __future__ import annotations

import collections
import typing as t

import flask
import msgspec

from flask_session_inspector import Inspection
from flask_session_inspector import RequestRecord
from flask_session_inspector import SessionRecord


def inspection_of(app: flask.Flask) -> Inspection:
    return t.cast(Inspection, app.extensions["session_inspector"])


def assert_silent(
    inspection: Inspection, allow_info: bool = True
) -> list[RequestRecord]:
    """Assert that nothing was found in a healthy application.

    :param allow_info: Whether findings of severity info may be there.
    :return: What was recorded, oldest first, for the test to check that the
        silence is about something.
    """
    assert inspection.flush()
    loud = ("error", "warning") if allow_info else ("error", "warning", "info")
    findings = [
        finding for finding in inspection.findings() if finding.severity in loud
    ]
    report = "\n\n".join(_in_full(finding) for finding in findings)
    assert not findings, f"{len(findings)} false alarms:\n{report}"
    assert inspection.counters.internal_errors == 0
    return inspection.requests(limit=10_000)[::-1]


def _in_full(finding: t.Any) -> str:
    return msgspec.json.format(msgspec.json.encode(finding), indent=2).decode()


def of_path(records: list[RequestRecord], path: str) -> list[RequestRecord]:
    """Return the records whose path is this one, without its query string."""
    return [r for r in records if (r.path or "").partition("?")[0] == path]


def outcomes(*records: RequestRecord) -> list[str]:
    """Return how each transaction ended, in the order of their sessions."""
    return [
        transaction.outcome
        for session in sessions(*records)
        for transaction in session.transactions
    ]


def sessions(*records: RequestRecord) -> list[SessionRecord]:
    return [session for record in records for session in record.sessions]


def kinds(*records: RequestRecord) -> list[str]:
    """Return what kind of statement each session sent, in order."""
    return [
        statement.kind
        for session in sessions(*records)
        for statement in session.statements
    ]


def written(*records: RequestRecord, outcome: str = "commit") -> dict[str, int]:
    """Return the rows written by transactions with an outcome, by table."""
    rows: collections.Counter[str] = collections.Counter()
    for session in sessions(*records):
        for transaction in session.transactions:
            if transaction.outcome == outcome:
                rows.update(transaction.writes)
    return dict(rows)
