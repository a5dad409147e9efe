"""What the panel of the debug toolbar shows, before and after the teardown."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from flask import current_app
from flask import request
from flask import url_for
from werkzeug.routing import BuildError

from ...records import RequestRecord
from ..drawing.flow import Step
from ..drawing.flow import flow
from ..drawing.timeline import Timeline
from ..drawing.timeline import timeline
from ..grouping import most_severe_first
from ..translating import gettext
from ..translating import ngettext
from .finding_cards import FindingCard
from .finding_cards import finding_cards
from .formats import milliseconds
from .headlines import Headline
from .headlines import of_record
from .headlines import shared_serials
from .links import Links
from .links import RecordNames
from .presenter import Beside
from .presenter import RecordRow
from .presenter import record_row
from .record_rows import StatementRow
from .record_rows import statement_rows
from .wording import numbered_statements
from .wording import spoken
from .wording import worst_tone

if t.TYPE_CHECKING:
    from ...inspection import Inspection

MOST_STATEMENTS, MOST_SESSIONS, MOST_OTHERS, MOST_FINDINGS = 50, 3, 20, 20
DETAIL_VIEW = "record_page"


@dataclass(frozen=True)
class PanelView:
    """One record in the panel.

    :param subtitle: What stands below the panel's name in the toolbar.
    :param more_findings: How many findings are not listed.
    :param more: How many statements are not listed.
    :param others: The requests since then.
    :param more_others: Whether there are more of these.
    :param links: Lead to the admin, if there is one.
    """

    id: str
    pending: bool
    subtitle: str
    request: str
    duration: str
    headline: Headline
    steps: tuple[Step, ...]
    findings: tuple[FindingCard, ...]
    more_findings: int
    timeline: Timeline | None
    statements: tuple[StatementRow, ...]
    more: int
    others: tuple[RecordRow, ...]
    more_others: bool
    links: Links


def panel_view(
    inspection: Inspection,
    record: RequestRecord,
    *,
    pending: bool,
    redirects: int = 0,
) -> PanelView:
    """Present a record in the panel.

    :param pending: The record has not ended yet.
    :param redirects: How many redirects the browser followed to this page.
    """
    users = _users(inspection, record)
    shared = shared_serials(record, users)
    statements = numbered_statements(record)
    idle_ms = inspection.config.idle_transaction_ms
    headline = of_record(record, users, pending=pending)
    names = RecordNames(inspection, [record])
    findings = record.findings
    if len(findings) > MOST_FINDINGS:
        findings = tuple(most_severe_first(findings)[:MOST_FINDINGS])
    others = [] if pending else other_requests(inspection, record, redirects)
    return PanelView(
        record.id,
        pending,
        subtitle(record, shared, pending=pending),
        spoken(record),
        milliseconds(record.duration_ms),
        headline,
        flow(record, shared, pending=pending),
        finding_cards(findings, names, headlined=headline.finding),
        len(record.findings) - len(findings),
        timeline(
            record,
            idle_ms=idle_ms,
            pending=pending,
            most=MOST_SESSIONS,
            listed=MOST_STATEMENTS,
            compact=True,
        ),
        statement_rows(statements[:MOST_STATEMENTS]),
        max(record.statement_count - MOST_STATEMENTS, 0),
        tuple(_other_row(each, idle_ms) for each in others[:MOST_OTHERS]),
        len(others) > MOST_OTHERS,
        admin_links(inspection, record.id),
    )


def subtitle(
    record: RequestRecord, shared: frozenset[int], *, pending: bool = False
) -> str:
    """Sum up a record in a few words: ``"S1042, isolated"``, ``"2 findings"``.

    :param shared: The serials of its sessions that served other requests too.
    """
    sessions = record.sessions
    if worst_tone(record.findings):
        return ngettext("%(num)s finding", "%(num)s findings", len(record.findings))
    if not sessions:
        return gettext("no session")
    what = sessions[0].label
    if len(sessions) > 1:
        what = ngettext("%(num)s session", "%(num)s sessions", len(sessions))
    if shared:
        return gettext("%(sessions)s, shared", sessions=what)
    if not pending and any(each.ended == "open" for each in sessions):
        return gettext("%(sessions)s, not removed", sessions=what)
    if len(sessions) > 1:
        return what
    return gettext("%(session)s, isolated", session=what)


def other_requests(
    inspection: Inspection, record: RequestRecord, redirects: int
) -> list[RequestRecord]:
    """Find the requests since a page was loaded, and the redirects that led to it.

    :param record: The request that answered with the page.
    :param redirects: How many redirects the browser followed.
    :return: Newest first, one more than are shown where there are more.
    """
    try:
        since = inspection.requests(MOST_OTHERS + 1, after=record.id)
        before = inspection.requests(MOST_OTHERS, before=record.id) if redirects else []
    except ValueError:
        return []  # It was evicted a moment ago.
    led_here = [each for each in before if _is_redirect(each)][:redirects]
    return [each for each in (*since, *led_here) if each.kind == "request"]


def _is_redirect(record: RequestRecord) -> bool:
    return record.status is not None and 300 <= record.status < 400


def _other_row(record: RequestRecord, idle_ms: float) -> RecordRow:
    kind = gettext("redirect") if _is_redirect(record) else gettext("request")
    # In a record, a path begins where the application is mounted.
    path = request.script_root + (record.path or "").partition("?")[0]
    row = record_row(record, {}, idle_ms=idle_ms)
    return row._replace(beside=Beside(kind, path))


def admin_links(inspection: Inspection, record_id: str) -> Links:
    """Return what leads from a record's panel to the admin, if there is one."""
    views = current_app.view_functions
    # A page that the application added itself comes before the automatic one.
    for name in sorted(
        inspection.own_blueprints, key=lambda each: each.startswith("session_")
    ):
        if f"{name}.{DETAIL_VIEW}" in views:
            try:
                url_for(f"{name}.{DETAIL_VIEW}", record_id=record_id)
            except BuildError:
                continue
            return Links(name, url_for)
    return Links("", url_for)


def _users(inspection: Inspection, record: RequestRecord) -> dict[int, int]:
    """Count the requests of those sessions that another record used first.

    All others cannot have been seen before, and reading every record would cost
    the request that is being shown.
    """
    serials = {
        each.serial for each in record.sessions if each.first_request_id != record.id
    }
    if not serials:
        return {}
    # While it runs, it is not among those that are retained.
    missing = record.kind == "request" and not inspection.place(record.id)
    served = inspection.digest.served(serials)
    return {serial: number + missing for serial, number in served.items()}
