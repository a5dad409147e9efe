"""What the page of one record shows, read from an inspection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ...records import RequestRecord
from ..drawing.timeline import Timeline
from ..drawing.timeline import timeline
from ..translating import gettext
from .finding_cards import FindingCard
from .finding_cards import finding_cards
from .formats import Moment
from .formats import in_ms
from .formats import milliseconds
from .formats import moment
from .headlines import Headline
from .headlines import of_record
from .links import RecordNames
from .record_rows import ConnectionRow
from .record_rows import SessionRow
from .record_rows import StatementRow
from .record_rows import connection_row
from .record_rows import session_row
from .record_rows import statement_rows
from .wording import Glyph
from .wording import heading
from .wording import numbered_statements
from .wording import spoken
from .wording import status_glyph

if t.TYPE_CHECKING:
    from ...inspection import Inspection


@dataclass(frozen=True)
class DetailPage:
    """One record with everything it says.

    :param older: The id of the record before it, and ``newer`` of the one
        after it; empty where there is none.
    """

    id: str
    kind: str
    verb: str
    target: str
    status: Glyph
    title: str
    when: Moment
    facts: tuple[tuple[str, str, bool], ...]
    headline: Headline
    findings: tuple[FindingCard, ...]
    timeline: Timeline | None
    statements: tuple[StatementRow, ...]
    statement_count: int
    truncated: bool
    has_parameters: bool
    sessions: tuple[SessionRow, ...]
    connections: tuple[ConnectionRow, ...]
    without_session: int
    older: str
    newer: str


def detail_page(inspection: Inspection, record: RequestRecord) -> DetailPage:
    """Present one record that has ended."""
    verb, target = heading(record)
    users = usage(inspection, record)
    statements = numbered_statements(record)
    older, newer = inspection.digest.neighbours(record.id)
    headline = of_record(record, users)
    names = RecordNames(inspection, [record])
    return DetailPage(
        record.id,
        record.kind,
        verb,
        target,
        status_glyph(record),
        spoken(record),
        moment(record.started_at),
        _facts(record),
        headline,
        finding_cards(record.findings, names, headlined=headline.finding),
        timeline(record, idle_ms=inspection.config.idle_transaction_ms),
        statement_rows(statements),
        record.statement_count,
        record.truncated,
        any(each.statement.parameters for each in statements),
        tuple(session_row(record, each, users) for each in record.sessions),
        tuple(connection_row(each, record.duration_ms) for each in record.connections),
        len(record.connection_statements),
        older,
        newer,
    )


def surroundings(inspection: Inspection, record: RequestRecord) -> object:
    """Return what the page shows of other records."""
    return (
        inspection.digest.neighbours(record.id),
        sorted(usage(inspection, record).items()),
        [
            inspection.place(each)
            for finding in record.findings
            for each in finding.related_requests
        ],
    )


def usage(inspection: Inspection, record: RequestRecord) -> dict[int, int]:
    """Count the requests that each session of a record served, by serial."""
    return inspection.digest.served({each.serial for each in record.sessions})


def _facts(record: RequestRecord) -> tuple[tuple[str, str, bool], ...]:
    """List label, value and whether the value is code."""
    time = sum(each.statement.duration_ms for each in numbered_statements(record))
    facts = [(gettext("Took"), in_ms(record.duration_ms), False)]
    if record.endpoint:
        facts.append((gettext("Endpoint"), record.endpoint, True))
    statements = gettext(
        "%(number)s in %(time)s ms",
        number=f"{record.statement_count:,}",
        time=milliseconds(time),
    )
    process = gettext("pid %(pid)s", pid=record.pid)
    facts += [
        (gettext("App contexts"), f"{record.contexts:,}", False),
        (gettext("Sessions"), f"{len(record.sessions):,}", False),
        (gettext("Statements"), statements, False),
        (gettext("Thread"), record.thread, True),
        (gettext("Process"), process, False),
    ]
    if record.reused_context:
        text = gettext("an app context pushed before it")
        facts.append((gettext("Ran in"), text, False))
    if record.error:
        facts.append((gettext("Raised"), record.error, True))
    return tuple(facts)
