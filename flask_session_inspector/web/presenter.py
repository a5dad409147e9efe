"""Records as the rows of tables: labels, chips and formatted numbers."""

from __future__ import annotations

import collections.abc as cabc
from dataclasses import dataclass

from ..records import ConnectionCheckout
from ..records import Finding
from ..records import RequestRecord
from ..records import SessionRecord
from .axis import held
from .formats import Moment
from .formats import Place
from .formats import milliseconds
from .formats import moment
from .formats import one_line
from .formats import place
from .formats import shorten
from .headlines import shared_serials
from .mini import Mini
from .mini import mini
from .wording import Glyph
from .wording import NumberedStatement
from .wording import Tone
from .wording import ended_glyph
from .wording import heading
from .wording import origin_phrase
from .wording import session_outcome
from .wording import severity
from .wording import status_glyph
from .wording import transaction_glyph
from .wording import worst_tone

MOST_CHIPS, MOST_GLYPHS = 4, 6
SQL_IN_ROW = 110


@dataclass(frozen=True)
class Chip:
    """A short label in a frame.

    :param title: What it means, shown on hovering and read out.
    """

    text: str
    icon: str = ""
    tone: Tone = ""
    title: str = ""


@dataclass(frozen=True)
class RecordRow:
    """A record in the list.

    :param more_sessions: How many sessions have no chip; likewise
        ``more_transactions``.
    :param tone: Whether the row is marked.
    """

    id: str
    when: Moment
    kind: str
    verb: str
    target: str
    status: Glyph
    sessions: tuple[Chip, ...]
    more_sessions: int
    transactions: tuple[Glyph, ...]
    more_transactions: int
    mini: Mini | None
    statements: str
    duration: str
    findings: tuple[Chip, ...]
    tone: Tone


@dataclass(frozen=True)
class SessionRow:
    """A session in the detail of a record.

    :param first_record: The id of the record that used it first, if another.
    """

    label: str
    python_id: str
    class_name: str
    origin: str
    proxy_id: str
    scope_key: str
    context: str
    first_use: Place | None
    first_record: str
    identity_map: str
    pending: str
    outcome: Glyph
    end: Glyph
    shared: str
    tone: Tone


@dataclass(frozen=True)
class StatementRow:
    """A statement in the detail of a record.

    :param short: Its SQL on one line, cut; ``sql`` is the whole of it.
    :param folded: Whether there is more than the line shows.
    :param share: Its share of the longest statement's time, 0 to 1.
    """

    number: int
    session: str
    sql: str
    short: str
    folded: bool
    rows: str
    at: str
    duration: str
    share: float
    bind: str
    place: Place | None
    relationship: str
    parameters: tuple[tuple[tuple[str, str], ...], ...]


@dataclass(frozen=True)
class ConnectionRow:
    """A connection checkout in the detail of a record."""

    number: int
    bind: str
    session: str
    out: str
    back: str
    held: str
    is_held: bool


@dataclass(frozen=True)
class FindingCard:
    """A finding with all it says."""

    code: str
    name: str
    tone: Tone
    icon: str
    severity: str
    message: str
    hint: str
    place: Place | None
    evidence: tuple[tuple[str, str], ...]
    docs_url: str


def record_row(
    record: RequestRecord, users: cabc.Mapping[int, int], *, idle_ms: float
) -> RecordRow:
    """Present a record in the list.

    :param users: How many requests each session served, by serial.
    :param idle_ms: As for :func:`~.mini.mini`.
    """
    verb, target = heading(record)
    shared = shared_serials(record, users)
    chips = [_session_chip(record, each, users, shared) for each in record.sessions]
    # What is wrong must not be the part that is left out.
    chips.sort(key=lambda chip: chip.tone == "")
    glyphs = [
        transaction_glyph(each)
        for session in record.sessions
        for each in session.transactions
        if not each.nested
    ]
    status = status_glyph(record)
    tones = {worst_tone(record.findings), *(chip.tone for chip in chips)}
    return RecordRow(
        record.id,
        moment(record.started_at),
        record.kind,
        verb,
        target,
        status,
        tuple(chips[:MOST_CHIPS]),
        len(chips[MOST_CHIPS:]),
        tuple(glyphs[:MOST_GLYPHS]),
        len(glyphs[MOST_GLYPHS:]),
        mini(record, idle_ms=idle_ms),
        f"{record.statement_count:,}",
        milliseconds(record.duration_ms),
        finding_chips(record.findings),
        "bad" if "bad" in tones else "warn" if "warn" in tones else "",
    )


def _session_chip(
    record: RequestRecord,
    session: SessionRecord,
    users: cabc.Mapping[int, int],
    shared: frozenset[int],
) -> Chip:
    if session.serial in shared:
        title = f"shared by {users[session.serial]:,} requests"
        if session.ended == "open":
            title += f", {ended_glyph(session).label}"
        return Chip(session.label, "shared", "bad", title)
    if session.ended == "open":
        # Only a request has neighbours that its session could harm.
        tone: Tone = "bad" if record.kind == "request" else "warn"
        return Chip(session.label, "open", tone, ended_glyph(session).label)
    return Chip(session.label, title=f"{origin_phrase(session)}, {session.ended}")


def finding_chips(findings: cabc.Iterable[Finding]) -> tuple[Chip, ...]:
    """Present findings as one chip per code, the most severe first."""
    numbers: dict[str, int] = {}
    by_code: dict[str, Finding] = {}
    for each in findings:
        numbers[each.code] = numbers.get(each.code, 0) + 1
        by_code[each.code] = each
    order: dict[str, int] = {"error": 0, "warning": 1, "info": 2}
    chips = []
    for code in sorted(by_code, key=lambda code: (order[by_code[code].severity], code)):
        tone, icon, word = severity(by_code[code])
        number = f" \N{MULTIPLICATION SIGN} {numbers[code]:,}"
        text = code + (number if numbers[code] > 1 else "")
        chips.append(Chip(text, icon, tone, f"{word}: {by_code[code].name}"))
    return tuple(chips)


def session_row(
    record: RequestRecord,
    session: SessionRecord,
    users: cabc.Mapping[int, int],
    *,
    pending: bool = False,
) -> SessionRow:
    """Present a session of a record.

    :param users: How many requests each session served, by serial.
    :param pending: The record has not ended yet.
    """
    counts = (
        (session.pending_new, "new"),
        (session.pending_dirty, "changed"),
        (session.pending_deleted, "deleted"),
    )
    unflushed = [f"{number:,} {word}" for number, word in counts if number]
    served = users.get(session.serial, 0) if record.kind == "request" else 0
    end = ended_glyph(session, pending=pending)
    return SessionRow(
        session.label,
        f"{session.python_id:#x}",
        session.class_name,
        origin_phrase(session),
        "" if session.proxy_id is None else f"{session.proxy_id:#x}",
        session.scope_key or "",
        str(session.context + 1),
        place(session.first_use),
        "" if session.first_request_id == record.id else session.first_request_id,
        f"{session.identity_map_size:,}",
        ", ".join(unflushed),
        session_outcome(session, pending=pending),
        end,
        f"shared by {served:,} requests" if served > 1 else "",
        "bad" if served > 1 or end.tone == "bad" else "",
    )


def statement_rows(
    statements: cabc.Iterable[NumberedStatement],
) -> tuple[StatementRow, ...]:
    """Present statements, each with its share of the longest one's time."""
    rows = list(statements)
    longest = max((each.statement.duration_ms for each in rows), default=0)
    return tuple(_statement_row(each, longest) for each in rows)


def _statement_row(numbered: NumberedStatement, longest: float) -> StatementRow:
    each = numbered.statement
    line = one_line(each.sql)
    parameters = tuple(tuple(one.items()) for one in each.parameters or ())
    return StatementRow(
        numbered.number,
        numbered.session.label if numbered.session else "",
        each.sql,
        shorten(line, SQL_IN_ROW),
        len(line) > SQL_IN_ROW or bool(parameters),
        "" if each.rows is None else f"{each.rows:,}",
        milliseconds(each.at_ms),
        milliseconds(each.duration_ms),
        each.duration_ms / longest if longest > 0 else 0.0,
        each.bind,
        place(each.location),
        each.relationship or "",
        parameters,
    )


def connection_row(checkout: ConnectionCheckout, end: float) -> ConnectionRow:
    """Present a checkout.

    :param end: The end of the record in milliseconds, for one that is still held.
    """
    back = checkout.checked_in_ms
    return ConnectionRow(
        checkout.connection_id,
        checkout.bind,
        "" if checkout.session is None else f"S{checkout.session}",
        milliseconds(checkout.checked_out_ms),
        "still held" if back is None else milliseconds(back),
        milliseconds(held(checkout, end)),
        back is None,
    )


def finding_card(finding: Finding) -> FindingCard:
    """Present a finding with its evidence."""
    tone, icon, word = severity(finding)
    return FindingCard(
        finding.code,
        finding.name,
        tone,
        icon,
        word,
        finding.message,
        finding.hint,
        place(finding.location),
        tuple((str(key), str(value)) for key, value in finding.evidence.items()),
        # A link must not be able to run a script.
        finding.docs_url if finding.docs_url.startswith("https://") else "",
    )
