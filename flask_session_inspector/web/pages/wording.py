"""The words and glyphs for what a record says, shared by page and panel."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ...phrases import counted
from ...records import Finding
from ...records import RequestRecord
from ...records import SessionRecord
from ...records import StatementRecord
from ...records import TransactionRecord

Tone = t.Literal["", "ok", "warn", "bad"]

KINDS = {"request": "request", "cli": "command", "context": "app context"}
_OUTCOMES = {
    "commit": "committed",
    "rollback": "rolled back",
    "close": "closed without a commit",
    "open": "still open",
}
_OUTCOME_ICONS = {
    "commit": "commit",
    "rollback": "rollback",
    "close": "closed",
    "open": "use",
}
SEVERITIES: dict[str, tuple[Tone, str, str]] = {
    "error": ("bad", "bad", "Error"),
    "warning": ("warn", "warn", "Warning"),
    "info": ("", "info", "Note"),
}
_ORIGINS = {
    "registry": "from a scoped_session",
    "factory": "from a sessionmaker",
    "direct": "made directly",
}


@dataclass(frozen=True)
class Glyph:
    """An icon that never stands without its words.

    :param icon: The icon's name in ``_icons.html``.
    :param label: What it says.
    :param tone: Its colour.
    """

    icon: str
    label: str
    tone: Tone = ""


@dataclass(frozen=True)
class NumberedStatement:
    """A statement with its place in the record.

    :param number: From 1, in the order in which the statements were sent.
    :param statement: The statement.
    :param session: The session that sent it, ``None`` on a bare connection.
    """

    number: int
    statement: StatementRecord
    session: SessionRecord | None


def numbered_statements(record: RequestRecord) -> list[NumberedStatement]:
    """Number all statements of a record, those without a session included."""
    pairs: list[tuple[StatementRecord, SessionRecord | None]] = [
        (statement, session)
        for session in record.sessions
        for statement in session.statements
    ]
    pairs += [(statement, None) for statement in record.connection_statements]
    pairs.sort(key=lambda pair: pair[0].at_ms)
    return [
        NumberedStatement(number, statement, session)
        for number, (statement, session) in enumerate(pairs, 1)
    ]


def heading(record: RequestRecord) -> tuple[str, str]:
    """Name a record by what it is and where it went: ``("GET", "/products")``."""
    if record.kind == "request":
        return record.method or "request", record.path or "/"
    return KINDS[record.kind], record.path or ""


def spoken(record: RequestRecord) -> str:
    """Name a record in one phrase: ``"GET /products"``."""
    return " ".join(part for part in heading(record) if part)


def status_glyph(record: RequestRecord) -> Glyph:
    """Say how a record ended: its status, or the exception."""
    if record.status is not None and record.status >= 500:
        return Glyph("bad", str(record.status), "bad")
    if record.status is not None:
        return Glyph("", str(record.status))
    if record.error is not None:
        return Glyph("bad", record.error, "bad")
    return Glyph("", "no response" if record.kind == "request" else "done")


def transaction_glyph(transaction: TransactionRecord) -> Glyph:
    """Say how a transaction ended, and whether that threw writes away."""
    label = _OUTCOMES[transaction.outcome]
    rows = sum(transaction.writes.values())
    if transaction.outcome == "close" and rows:
        return Glyph(
            "closed", f"{label}: {counted(rows, 'written row')} discarded", "bad"
        )
    if transaction.outcome == "open":
        return Glyph("use", label, "warn")
    return Glyph(_OUTCOME_ICONS[transaction.outcome], label)


def lost_rows(session: SessionRecord) -> int:
    """Count the rows that were written and then discarded by closing."""
    return sum(
        sum(each.writes.values())
        for each in session.transactions
        if each.outcome == "close" and not each.nested
    )


def session_outcome(session: SessionRecord, *, pending: bool = False) -> Glyph:
    """Sum up a session's transactions in two or three words."""
    outer = [
        transaction for transaction in session.transactions if not (transaction.nested)
    ]
    outcomes = [transaction.outcome for transaction in outer]
    if "open" in outcomes:
        return (
            Glyph("use", "in a transaction")
            if pending
            else Glyph("use", "not ended", "warn")
        )
    if lost_rows(session):
        return Glyph("closed", "not committed", "bad")
    commits, rollbacks = outcomes.count("commit"), outcomes.count("rollback")
    if commits and rollbacks:
        return Glyph(
            "commit", f"{counted(commits, 'commit')}, {counted(rollbacks, 'rollback')}"
        )
    if commits:
        return Glyph("commit", counted(commits, "commit"))
    if rollbacks:
        return Glyph("rollback", counted(rollbacks, "rollback"))
    if outcomes:
        return Glyph("closed", "read only")
    return Glyph("", "no SQL" if not session.statements else "no transaction")


def ended_glyph(session: SessionRecord, *, pending: bool = False) -> Glyph:
    """Say what became of a session by the end of its record.

    :param pending: The record has not ended yet, so neither has the session.
    """
    if session.ended == "removed":
        return Glyph("ok", "removed", "ok")
    if session.ended == "closed":
        return Glyph("ok", "closed", "ok")
    if pending:
        return Glyph("use", "teardown pending")
    word = "not removed" if session.origin == "registry" else "not closed"
    return Glyph("open", word, "bad")


def origin_phrase(session: SessionRecord) -> str:
    """Say where a session came from: ``"db.session"``, ``"made directly"``."""
    return session.registry or _ORIGINS[session.origin]


def severity(finding: Finding) -> tuple[Tone, str, str]:
    """Return a finding's tone, its icon and the word for its severity."""
    return SEVERITIES[finding.severity]


def worst_tone(findings: t.Iterable[Finding]) -> Tone:
    """Return the tone of the most severe of some findings."""
    tones = {severity(finding)[0] for finding in findings}
    return "bad" if "bad" in tones else "warn" if "warn" in tones else ""
