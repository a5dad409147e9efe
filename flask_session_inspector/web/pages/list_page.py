"""What the list of records shows, read from an inspection."""

from __future__ import annotations

import collections.abc as cabc
import typing as t
from dataclasses import dataclass

from ...queries import MOST as MOST_READ
from ...records import Finding
from ...records import RequestRecord
from ...verdicts import Verdict
from ...verdicts import judge
from ...verdicts import users_of_sessions
from ..drawing.diagrams import scope
from ..drawing.scope_parts import Scope
from .headlines import Headline
from .headlines import overall
from .presenter import FindingChip
from .presenter import RecordRow
from .presenter import finding_chips
from .presenter import record_row
from .shell import Shell
from .shell import shell
from .wording import Tone
from .wording import spoken
from .wording import worst_tone

if t.TYPE_CHECKING:
    from ...inspection import Inspection

PAGE = 50
FILTERS = ("path", "status", "session", "finding")


@dataclass(frozen=True)
class Culprit:
    """A record that contradicts a verdict."""

    id: str
    text: str


@dataclass(frozen=True)
class VerdictCard:
    """One of the three verdicts."""

    question: str
    tone: Tone
    icon: str
    answer: str
    sentence: str
    evidence: tuple[str, ...]
    culprits: tuple[Culprit, ...]


@dataclass(frozen=True)
class Count:
    """A number of the strip, red or amber where it should be 0."""

    label: str
    value: str
    tone: Tone = ""


@dataclass(frozen=True)
class ListPage:
    """The list of records, and what they prove together.

    :param problem: What is wrong with the filters, one sentence.
    :param older: The id to page on from, empty on the last page.
    :param paged: Whether this is not the first page.
    """

    shell: Shell
    headline: Headline
    findings: tuple[FindingChip, ...]
    verdicts: tuple[VerdictCard, ...]
    counts: tuple[Count, ...]
    scope: Scope | None
    rows: tuple[RecordRow, ...]
    filters: dict[str, str]
    problem: str
    retained: int
    older: str
    paged: bool
    has_findings: bool

    @property
    def is_filtered(self) -> bool:
        return any(self.filters.values())


def list_page(
    inspection: Inspection, filters: cabc.Mapping[str, str], before: str
) -> ListPage:
    """Read the list.

    :param filters: What :data:`FILTERS` names, as it was typed.
    :param before: The id of the record after which the page begins, or empty.
    """
    wanted = {name: filters.get(name, "").strip() for name in FILTERS}
    given = {name: value for name, value in wanted.items() if value}
    everything = retained(inspection)
    users = {
        serial: len(using) for serial, using in users_of_sessions(everything).items()
    }
    problem, rows = "", everything[: PAGE + 1]
    if given or before:
        try:
            rows = inspection.requests(PAGE + 1, before=before or None, **given)
        except ValueError as error:
            problem, rows = str(error), []
    idle_ms = inspection.config.idle_transaction_ms
    holders = inspection.audit()
    verdicts = judge(everything)
    pinned = [each for each in holders if each.verdict == "pinned"]
    findings = inspection.findings(holders)
    return ListPage(
        shell(inspection, "requests", findings, holders),
        overall(verdicts, everything, findings, pinned),
        finding_chips(findings),
        tuple(_verdict_card(each, everything) for each in verdicts),
        _counts(everything, users, findings),
        scope(everything, users=users, holders=holders),
        tuple(record_row(each, users, idle_ms=idle_ms) for each in rows[:PAGE]),
        wanted,
        problem,
        inspection.counters.retained,
        rows[PAGE - 1].id if len(rows) > PAGE else "",
        bool(before),
        any(each.findings for each in rows),
    )


def retained(inspection: Inspection) -> list[RequestRecord]:
    """Read the records that the verdicts rest on, newest first."""
    most = min(inspection.config.max_requests, MOST_READ)
    return inspection.requests(most)


def _verdict_card(
    verdict: Verdict, records: cabc.Iterable[RequestRecord]
) -> VerdictCard:
    tone: Tone = "ok" if verdict.passed else "" if verdict.passed is None else "bad"
    icon, answer = {
        "ok": ("okring", "yes"),
        "bad": ("bad", "no"),
        "": ("info", "no evidence yet"),
    }[tone]
    wanted = dict.fromkeys(verdict.requests[:3])
    by_id = {each.id: spoken(each) for each in records if each.id in wanted}
    return VerdictCard(
        verdict.question,
        tone,
        icon,
        answer,
        verdict.sentence,
        verdict.evidence,
        tuple(Culprit(each, by_id[each]) for each in wanted if each in by_id),
    )


def _counts(
    records: cabc.Sequence[RequestRecord],
    users: cabc.Mapping[int, int],
    findings: cabc.Sequence[Finding],
) -> tuple[Count, ...]:
    requests = [each for each in records if each.kind == "request"]
    sessions = [session for record in requests for session in record.sessions]
    shared = sum(1 for number in users.values() if number > 1)
    left = len({each.serial for each in sessions if each.ended == "open"})
    counts = [
        Count("Requests", f"{len(requests):,}"),
        Count("Sessions", f"{len({each.serial for each in sessions}):,}"),
        Count("Statements", f"{sum(each.statement_count for each in requests):,}"),
        Count("Shared sessions", f"{shared:,}", "bad" if shared else ""),
        Count("Not removed", f"{left:,}", "bad" if left else ""),
    ]
    if len(records) > len(requests):
        others = len(records) - len(requests)
        counts.append(Count("Other records", f"{others:,}"))
    counts.append(Count("Findings", f"{len(findings):,}", worst_tone(findings)))
    return tuple(counts)
