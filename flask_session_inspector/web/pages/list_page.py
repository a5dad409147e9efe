"""What the list of records shows, read from an inspection."""

from __future__ import annotations

import collections.abc as cabc
import re
import typing as t
from dataclasses import dataclass

from ...phrases import marked
from ...queries import MOST as MOST_READ
from ...records import Finding
from ...records import RequestRecord
from ...rules import RULES
from ...verdicts import Verdict
from ...verdicts import judge
from ...verdicts import users_of_sessions
from ..drawing.diagrams import scope
from ..drawing.scope_parts import Scope
from ..translating import English
from ..translating import gettext
from .headlines import Headline
from .overall import overall
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

PAGE, MOST_ROWS, MOST_TOUCHED = 50, 1000, 20
FILTERS = ("path", "status", "session", "finding")
_NAMES = {
    "path": marked("path"),
    "status": marked("status"),
    "session": marked("session"),
    "finding": marked("finding"),
}
LIST_QUERY = (*FILTERS, "before", "limit")


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

    :param codes: Code and name of every finding that can be reported.
    :param limit: How many rows a page has.
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
    codes: tuple[tuple[str, str], ...]
    limit: int
    problem: str
    retained: int
    older: str
    paged: bool

    @property
    def is_filtered(self) -> bool:
        return any(self.filters.values())

    @property
    def named_filters(self) -> tuple[tuple[str, str], ...]:
        """Name and value of each filter."""
        return tuple((gettext(_NAMES[name]), self.filters[name]) for name in FILTERS)

    @property
    def query(self) -> dict[str, str]:
        """The filters, and the limit where it is not the usual one."""
        limit = "" if self.limit == PAGE else str(self.limit)
        return {**self.filters, "limit": limit}


def list_page(
    inspection: Inspection,
    query: cabc.Mapping[str, str],
    *,
    since: str | None = None,
) -> ListPage:
    """Read the list.

    :param query: What :data:`LIST_QUERY` names, as it was typed.
    :param since: The cursor of a page that is open: only what is new to it becomes a
        row, and what this changes of earlier rows.
    """
    everything = retained(inspection)
    using = users_of_sessions(everything)
    users = {serial: len(records) for serial, records in using.items()}
    idle_ms = inspection.config.idle_transaction_ms
    holders = inspection.audit()
    verdicts = judge(everything)
    pinned = [each for each in holders if each.verdict == "pinned"]
    findings = inspection.findings(holders)
    asked = _Asked(query)
    most = asked.most(inspection, since)
    found = asked.rows(inspection, since, most)
    touched = _touched(asked.news(inspection, since), using)

    def row(record: RequestRecord, *, is_update: bool = False) -> RecordRow:
        place = inspection.place(record.id)
        return record_row(
            record, users, idle_ms=idle_ms, place=place, is_update=is_update
        )

    return ListPage(
        shell(inspection, "requests", findings, holders),
        overall(verdicts, everything, findings, pinned),
        finding_chips(findings),
        tuple(_verdict_card(each, everything) for each in verdicts),
        _counts(everything, users, findings),
        scope(everything, users=users, holders=holders),
        (
            *(row(each) for each in found[:most]),
            *(row(each, is_update=True) for each in touched),
        ),
        asked.filters,
        tuple(
            (code, rule.name)
            for code, rule in RULES.items()
            if code not in inspection.config.ignore_findings
        ),
        asked.limit,
        asked.problem,
        inspection.counters.retained,
        found[most - 1].id if len(found) > most else "",
        bool(asked.before),
    )


class _Asked:
    """What is asked for: which records, and how many.

    :ivar problem: What is wrong with it, one sentence.
    """

    def __init__(self, query: cabc.Mapping[str, str]) -> None:
        given = {name: query.get(name, "").strip() for name in LIST_QUERY}
        self.filters = {name: given[name] for name in FILTERS}
        self.before = given["before"]
        self.limit = PAGE
        self.problem = ""
        limit = given["limit"]
        # int() would take digits of any script, and numbers of any length.
        if re.fullmatch("[0-9]{1,4}", limit) and 1 <= int(limit) <= MOST_ROWS:
            self.limit = int(limit)
        elif limit:
            self.problem = gettext(
                "limit must be a whole number from 1 to %(most)s.",
                most=f"{MOST_ROWS:,}",
            )

    def most(self, inspection: Inspection, since: str | None) -> int:
        """Say how many rows there can be.

        For an open page it is not the limit: between what it shows and what is new
        to it, nothing may be left out.
        """
        return MOST_ROWS if _goes_on(inspection, since) else self.limit

    def rows(
        self, inspection: Inspection, since: str | None, most: int
    ) -> list[RequestRecord]:
        """Read the records, one more than are shown where there are more."""
        if self.problem or (since is not None and self.before):
            return []
        filters = {name: value for name, value in self.filters.items() if value}
        try:
            return inspection.requests(
                most + 1, after=since, before=self.before or None, **filters
            )
        except ValueError as error:
            self.problem = English(error)
            return []

    def news(self, inspection: Inspection, since: str | None) -> list[RequestRecord]:
        """Read what is new to an open page, whether it matches the filters or not."""
        if self.problem or not _goes_on(inspection, since):
            return []
        try:
            return inspection.requests(MOST_ROWS, after=since)
        except ValueError:
            return []  # A page that begins further down does not read its cursor.


def _goes_on(inspection: Inspection, since: str | None) -> bool:
    """Say whether an open page shows records of the same store."""
    return since is not None and _epoch(since) == _epoch(inspection.cursor)


def _epoch(cursor: str) -> str:
    return cursor.partition(".")[0]


def _touched(
    new: cabc.Sequence[RequestRecord],
    using: cabc.Mapping[int, cabc.Sequence[RequestRecord]],
) -> list[RequestRecord]:
    """Find the earlier records that share a session with new ones.

    Where there were many before, their rows say so already.
    """
    known = {each.id for each in new}
    serials = {session.serial for each in new for session in each.sessions}
    touched = {
        each.id: each
        for serial in serials
        if len(using.get(serial, ())) <= MOST_TOUCHED
        for each in using.get(serial, ())
        if each.id not in known
    }
    return list(touched.values())


def retained(inspection: Inspection) -> list[RequestRecord]:
    """Read the records that the verdicts rest on, newest first."""
    most = min(inspection.config.max_requests, MOST_READ)
    return inspection.requests(most)


def _verdict_card(
    verdict: Verdict, records: cabc.Iterable[RequestRecord]
) -> VerdictCard:
    tone: Tone = "ok" if verdict.passed else "" if verdict.passed is None else "bad"
    icon, answer = {
        "ok": ("okring", gettext("yes")),
        "bad": ("bad", gettext("no")),
        "": ("info", gettext("no evidence yet")),
    }[tone]
    wanted = dict.fromkeys(verdict.requests[:3])
    by_id = {each.id: spoken(each) for each in records if each.id in wanted}
    return VerdictCard(
        gettext(verdict.question),
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
    statements = sum(each.statement_count for each in requests)
    counts = [
        Count(gettext("Requests"), f"{len(requests):,}"),
        Count(gettext("Sessions"), f"{len({each.serial for each in sessions}):,}"),
        Count(gettext("Statements"), f"{statements:,}"),
        Count(gettext("Shared sessions"), f"{shared:,}", "bad" if shared else ""),
        Count(gettext("Not removed"), f"{left:,}", "bad" if left else ""),
    ]
    if len(records) > len(requests):
        others = len(records) - len(requests)
        counts.append(Count(gettext("Other records"), f"{others:,}"))
    counts.append(
        Count(gettext("Findings"), f"{len(findings):,}", worst_tone(findings))
    )
    return tuple(counts)
