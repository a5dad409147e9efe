"""The words and glyphs for what a record says, shared by page and panel."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ...phrases import marked
from ...records import Finding
from ...records import RequestRecord
from ...records import SessionRecord
from ...records import Severity
from ...records import StatementRecord
from ...records import TransactionRecord
from ..translating import gettext
from ..translating import ngettext

Tone = t.Literal["", "ok", "warn", "bad"]

KINDS = {
    "request": marked("request"),
    "cli": marked("command"),
    "context": marked("app context"),
}
_OUTCOMES = {
    "commit": marked("committed"),
    "rollback": marked("rolled back"),
    "close": marked("closed without a commit"),
    "open": marked("still open"),
}
_OUTCOME_ICONS = {
    "commit": "commit",
    "rollback": "rollback",
    "close": "closed",
    "open": "use",
}
_SEVERITIES: dict[str, tuple[Tone, str, str]] = {
    "error": ("bad", "bad", marked("Error")),
    "warning": ("warn", "warn", marked("Warning")),
    "info": ("", "info", marked("Note")),
}
_ORIGINS = {
    "registry": marked("from a scoped_session"),
    "factory": marked("from a sessionmaker"),
    "direct": marked("made directly"),
}


class Glyph(t.NamedTuple):
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
        return record.method or gettext("request"), record.path or "/"
    return gettext(KINDS[record.kind]), record.path or ""


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
    if record.kind == "request":
        return Glyph("", gettext("no response"))
    return Glyph("", gettext("done"))


def transaction_glyph(transaction: TransactionRecord) -> Glyph:
    """Say how a transaction ended, and whether that threw writes away."""
    label = gettext(_OUTCOMES[transaction.outcome])
    rows = sum(transaction.writes.values())
    if transaction.outcome == "close" and rows:
        label = ngettext(
            "closed without a commit: %(num)s written row discarded",
            "closed without a commit: %(num)s written rows discarded",
            rows,
        )
        return Glyph("closed", label, "bad")
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
            Glyph("use", gettext("in a transaction"))
            if pending
            else Glyph("use", gettext("not ended"), "warn")
        )
    if lost_rows(session):
        return Glyph("closed", gettext("not committed"), "bad")
    commits, rollbacks = outcomes.count("commit"), outcomes.count("rollback")
    committed = ngettext("%(num)s commit", "%(num)s commits", commits)
    rolled_back = ngettext("%(num)s rollback", "%(num)s rollbacks", rollbacks)
    if commits and rollbacks:
        return Glyph("commit", f"{committed}, {rolled_back}")
    if commits:
        return Glyph("commit", committed)
    if rollbacks:
        return Glyph("rollback", rolled_back)
    if outcomes:
        return Glyph("closed", gettext("read only"))
    if session.statements:
        return Glyph("", gettext("no transaction"))
    return Glyph("", gettext("no SQL"))


def ended_glyph(session: SessionRecord, *, pending: bool = False) -> Glyph:
    """Say what became of a session by the end of its record.

    :param pending: The record has not ended yet, so neither has the session.
    """
    if session.ended == "removed":
        return Glyph("ok", gettext("removed"), "ok")
    if session.ended == "closed":
        return Glyph("ok", gettext("closed"), "ok")
    if pending:
        return Glyph("use", gettext("teardown pending"))
    if session.origin == "registry":
        return Glyph("open", gettext("not removed"), "bad")
    return Glyph("open", gettext("not closed"), "bad")


def shared_by(users: int) -> str:
    """Say by how many requests a session was shared."""
    return ngettext("shared by %(num)s request", "shared by %(num)s requests", users)


def origin_phrase(session: SessionRecord) -> str:
    """Say where a session came from: ``"db.session"``, ``"made directly"``."""
    return session.registry or gettext(_ORIGINS[session.origin])


def severity(finding: Finding) -> tuple[Tone, str, str]:
    """Return a finding's tone, its icon and the word for its severity."""
    return severity_words(finding.severity)


def severity_words(name: Severity) -> tuple[Tone, str, str]:
    """Return the tone of a severity, its icon and the word for it."""
    tone, icon, word = _SEVERITIES[name]
    return tone, icon, gettext(word)


def worst_tone(findings: t.Iterable[Finding]) -> Tone:
    """Return the tone of the most severe of some findings."""
    severities = {finding.severity for finding in findings}
    tones = {_SEVERITIES[name][0] for name in severities}
    return "bad" if "bad" in tones else "warn" if "warn" in tones else ""
