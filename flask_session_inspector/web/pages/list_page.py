"""What the list of records shows, read from an inspection."""

from __future__ import annotations

import collections.abc as cabc
import typing as t
from dataclasses import dataclass

from ...queries import MOST as MOST_READ
from ...records import Counters
from ...records import RequestRecord
from ...verdicts import Verdict
from ...verdicts import counted
from ...verdicts import judge
from ...verdicts import users_of_sessions
from ..drawing.diagrams import scope
from ..drawing.scope_parts import Scope
from .headlines import Headline
from .headlines import overall
from .presenter import Chip
from .presenter import RecordRow
from .presenter import finding_chips
from .presenter import record_row
from .wording import Tone
from .wording import spoken

if t.TYPE_CHECKING:
    from ...inspection import Inspection

PAGE = 50
FILTERS = ("path", "status", "session")


@dataclass(frozen=True)
class Notice:
    """Something to know about the recording itself."""

    tone: Tone
    icon: str
    title: str
    text: str


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

    store: str
    notices: tuple[Notice, ...]
    headline: Headline
    findings: tuple[Chip, ...]
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

    :param filters: ``path``, ``status`` and ``session`` as they were typed.
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
    counters = inspection.counters
    findings = [finding for record in everything for finding in record.findings]
    return ListPage(
        _store(inspection),
        _notices(inspection, counters),
        overall(verdicts, everything, pinned),
        finding_chips(findings),
        tuple(_verdict_card(each, everything) for each in verdicts),
        _counts(everything, users, len(findings)),
        scope(everything, users=users, holders=holders),
        tuple(record_row(each, users, idle_ms=idle_ms) for each in rows[:PAGE]),
        wanted,
        problem,
        counters.retained,
        rows[PAGE - 1].id if len(rows) > PAGE else "",
        bool(before),
        any(each.findings for each in rows),
    )


def retained(inspection: Inspection) -> list[RequestRecord]:
    """Read the records that the verdicts rest on, newest first."""
    most = min(inspection.config.max_requests, MOST_READ)
    return inspection.requests(most)


def _store(inspection: Inspection) -> str:
    process = inspection.process()
    if process["shared"]:
        return f"{process['store']}, shared by all processes"
    return f"{process['store']} of this process only, pid {process['pid']}"


def _notices(inspection: Inspection, counters: Counters) -> tuple[Notice, ...]:
    notices = []
    if inspection.paused:
        text = "Requests made now will not be on this page."
        notices.append(Notice("warn", "warn", "Recording is paused.", text))
    missing = counters.dropped + counters.lost
    if missing:
        title = f"{counted(missing, 'record')} could not be kept."
        text = f"{counters.dropped:,} dropped, {counters.lost:,} lost by the store."
        notices.append(Notice("warn", "warn", title, text))
    if counters.internal_errors:
        title = f"The inspector had {counted(counters.internal_errors, 'error')}."
        text = "The application was not affected, but records may be incomplete."
        notices.append(Notice("warn", "warn", title, f"{text} The log says more."))
    if counters.evicted and counters.retained >= inspection.config.max_requests:
        title = f"Only the last {counted(counters.retained, 'record')} are kept."
        text = "What is said below rests on them."
        notices.append(Notice("", "info", title, text))
    return tuple(notices)


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
    records: cabc.Sequence[RequestRecord], users: cabc.Mapping[int, int], findings: int
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
    if findings:
        counts.append(Count("Findings", f"{findings:,}", "bad"))
    return tuple(counts)
