"""Statements that say who sent them, to be found again in the records."""

from __future__ import annotations

import typing as t

import sqlalchemy as sa
from conftest import Shop

from flask_session_inspector import RequestRecord
from flask_session_inspector import StatementRecord

MARKING = {"SESSION_INSPECTOR_CAPTURE_PARAMETERS": True}


def mark(session: t.Any, name: object) -> None:
    """Send a statement that carries a name."""
    session.execute(sa.text("SELECT :mark AS mark"), {"mark": str(name)})


def marks(record: RequestRecord) -> list[str]:
    """Return the names that the statements of a record carry, in their order."""
    statements = [s for session in record.sessions for s in session.statements]
    statements += record.connection_statements
    return [_name(statement) for statement in sorted(statements, key=_moment)]


def _moment(statement: StatementRecord) -> float:
    return statement.at_ms


def _name(statement: StatementRecord) -> str:
    assert statement.parameters is not None
    (values,) = statement.parameters
    return values["mark"].strip("'")


def assert_complete(record: RequestRecord) -> None:
    """Assert that everything that a record began has ended in it."""
    for session in record.sessions:
        assert session.ended in ("removed", "closed"), session
        for transaction in session.transactions:
            assert transaction.ended_ms is not None, transaction
            assert transaction.outcome != "open", transaction
    for checkout in record.connections:
        assert checkout.checked_in_ms is not None, checkout


def records(shop: Shop) -> list[RequestRecord]:
    """Return what was recorded, oldest first."""
    return sorted(shop.inspection.requests(), key=lambda record: record.started_at)


def assert_at_rest(shop: Shop) -> None:
    counters = shop.inspection.counters
    assert counters.in_flight == 0
    assert counters.started == counters.stored + counters.dropped + counters.lost
    assert counters.retained == counters.stored - counters.evicted
