"""Records as rows of the list, and findings: labels, chips, numbers."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

from ...records import Finding
from ...records import RequestRecord
from ...records import SessionRecord
from ..drawing.mini import Mini
from ..drawing.mini import mini
from ..grouping import FindingGroup
from ..grouping import group_findings
from .formats import Moment
from .formats import milliseconds
from .formats import moment
from .headlines import shared_serials
from .wording import Glyph
from .wording import Tone
from .wording import ended_glyph
from .wording import heading
from .wording import origin_phrase
from .wording import severity_words
from .wording import shared_by
from .wording import status_glyph
from .wording import transaction_glyph
from .wording import worst_tone

MOST_CHIPS, MOST_GLYPHS = 4, 6


class Chip(t.NamedTuple):
    """A short label in a frame.

    :param title: What it means, shown on hovering and read out.
    """

    text: str
    icon: str = ""
    tone: Tone = ""
    title: str = ""


class FindingChip(t.NamedTuple):
    """The findings of one code, as a label.

    :param times: How many there are, empty for one.
    :param severity: The word for it.
    """

    code: str
    name: str
    times: str
    icon: str
    tone: Tone
    severity: str


class Beside(t.NamedTuple):
    """What the panel says of another request, made since the page was loaded.

    :param kind: What it was, as far as the server knows.
    :param path: Its path as a browser knows it, without the query string.
    """

    kind: str
    path: str


class RecordRow(t.NamedTuple):
    """A record in the list.

    :param more_sessions: How many sessions have no chip; likewise
        ``more_transactions``.
    :param tone: Whether the row is marked.
    :param place: Its place in the store.
    :param is_update: Whether it is of use to a page only that shows the record.
    :param beside: What the panel says of it; ``None`` in the list.
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
    findings: tuple[FindingChip, ...]
    tone: Tone
    place: int
    is_update: bool
    beside: Beside | None = None


def record_row(
    record: RequestRecord,
    users: cabc.Mapping[int, int],
    *,
    idle_ms: float,
    place: int = 0,
    is_update: bool = False,
) -> RecordRow:
    """Present a record in the list.

    :param users: How many requests each session served, by serial.
    :param idle_ms: As for :func:`~.mini.mini`.
    :param place: Its place in the store.
    :param is_update: Whether it is of use to a page only that shows the record.
    """
    verb, target = heading(record)
    shared = shared_serials(record, users)
    # What is wrong must not be the part that is left out.
    sessions = sorted(
        record.sessions, key=lambda each: not _session_tone(record, each, shared)
    )
    transactions = [
        each
        for session in record.sessions
        for each in session.transactions
        if not each.nested
    ]
    tones = {_session_tone(record, each, shared) for each in record.sessions}
    tones.add(worst_tone(record.findings))
    return RecordRow(
        record.id,
        moment(record.started_at),
        record.kind,
        verb,
        target,
        status_glyph(record),
        tuple(
            [
                _session_chip(record, each, users, shared)
                for each in sessions[:MOST_CHIPS]
            ]
        ),
        len(sessions[MOST_CHIPS:]),
        tuple([transaction_glyph(each) for each in transactions[:MOST_GLYPHS]]),
        len(transactions[MOST_GLYPHS:]),
        mini(record, idle_ms=idle_ms),
        f"{record.statement_count:,}",
        milliseconds(record.duration_ms),
        finding_chips(record.findings) if record.findings else (),
        "bad" if "bad" in tones else "warn" if "warn" in tones else "",
        place,
        is_update,
    )


def _session_tone(
    record: RequestRecord, session: SessionRecord, shared: frozenset[int]
) -> Tone:
    if session.serial in shared:
        return "bad"
    if session.ended == "open":
        # Only a request has neighbours that its session could harm.
        return "bad" if record.kind == "request" else "warn"
    return ""


def _session_chip(
    record: RequestRecord,
    session: SessionRecord,
    users: cabc.Mapping[int, int],
    shared: frozenset[int],
) -> Chip:
    end = ended_glyph(session).label
    tone = _session_tone(record, session, shared)
    if session.serial in shared:
        title = shared_by(users[session.serial])
        if session.ended == "open":
            title = f"{title}, {end}"
        return Chip(session.label, "shared", tone, title)
    if session.ended == "open":
        return Chip(session.label, "open", tone, end)
    return Chip(session.label, title=f"{origin_phrase(session)}, {end}")


def finding_chips(findings: cabc.Iterable[Finding]) -> tuple[FindingChip, ...]:
    """Present findings as one chip per code, the most severe first."""
    return group_chips(group_findings(findings))


def group_chips(groups: cabc.Iterable[FindingGroup]) -> tuple[FindingChip, ...]:
    """Present findings that are grouped, likewise."""
    chips = []
    for group in groups:
        tone, icon, word = severity_words(group.severity)
        number = len(group.findings)
        times = f" \N{MULTIPLICATION SIGN} {number:,}" if number > 1 else ""
        chips.append(FindingChip(group.code, group.name, times, icon, tone, word))
    return tuple(chips)
