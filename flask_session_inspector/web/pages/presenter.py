"""Records as rows of the list, and findings: labels, chips, numbers."""

from __future__ import annotations

import collections.abc as cabc
from dataclasses import dataclass

from ...records import Finding
from ...records import RequestRecord
from ...records import SessionRecord
from ..drawing.mini import Mini
from ..drawing.mini import mini
from .formats import Moment
from .formats import Place
from .formats import milliseconds
from .formats import moment
from .formats import place
from .headlines import shared_serials
from .wording import Glyph
from .wording import Tone
from .wording import ended_glyph
from .wording import heading
from .wording import origin_phrase
from .wording import severity
from .wording import status_glyph
from .wording import transaction_glyph
from .wording import worst_tone

MOST_CHIPS, MOST_GLYPHS = 4, 6


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
