"""What the list of records shows, read from an inspection."""

from __future__ import annotations

import collections.abc as cabc
import re
import typing as t
from dataclasses import dataclass

from ...digest import Summary
from ...phrases import marked
from ...records import Finding
from ...records import Holder
from ...records import RequestRecord
from ...rules import RULES
from ...verdicts import Judgement
from ..drawing.diagrams import MOST_REQUESTS
from ..drawing.diagrams import scope
from ..drawing.scope_parts import Scope
from ..grouping import group_findings
from ..translating import English
from ..translating import gettext
from .headlines import Headline
from .overall import overall
from .presenter import FindingChip
from .presenter import RecordRow
from .presenter import group_chips
from .presenter import record_row
from .shell import Shell
from .shell import shell
from .wording import Tone
from .wording import spoken
from .wording import worst_tone

if t.TYPE_CHECKING:
    from ...inspection import Inspection

PAGE, MOST_ROWS, MOST_TOUCHED = 50, 1000, 20
# Sentences of evidence for each verdict, and how many of these are in view at once.
MOST_EVIDENCE, EVIDENCE = 102, 2
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
    """One of the three verdicts.

    :param evidence: The sentences in view, and ``folded`` the next ones.
    :param more: How many there are that are not in view, on the page or not.
    """

    question: str
    tone: Tone
    icon: str
    answer: str
    sentence: str
    evidence: tuple[str, ...]
    folded: tuple[str, ...]
    more: int
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
    holders: cabc.Sequence[Holder],
    *,
    since: str | None = None,
) -> ListPage:
    """Read the list.

    :param query: What :data:`LIST_QUERY` names, as it was typed.
    :param holders: What the audit found.
    :param since: The cursor of a page that is open: only what is new to it becomes a
        row, and what this changes of earlier rows.
    """
    digest = inspection.digest
    summary = digest.summary(MOST_EVIDENCE)
    idle_ms = inspection.config.idle_transaction_ms
    pinned = [each for each in holders if each.verdict == "pinned"]
    findings = inspection.findings(holders)
    groups = group_findings(findings)
    asked = _Asked(query)
    most = asked.most(inspection, since)
    found = asked.rows(inspection, since, most)
    touched = _touched(asked.news(inspection, since), inspection)

    def row(record: RequestRecord, *, is_update: bool = False) -> RecordRow:
        place = inspection.place(record.id)
        return record_row(
            record, summary.shared, idle_ms=idle_ms, place=place, is_update=is_update
        )

    return ListPage(
        shell(inspection, "requests", findings, holders),
        overall(summary, groups, pinned, lambda each: _name(inspection, each)),
        group_chips(groups),
        tuple(_verdict_card(each, inspection) for each in summary.judgements),
        _counts(summary, findings),
        scope(
            _read(inspection, digest.latest_requests(MOST_REQUESTS)),
            users=summary.shared,
            holders=holders,
        ),
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
    new: cabc.Sequence[RequestRecord], inspection: Inspection
) -> list[RequestRecord]:
    """Find the earlier records that share a session with new ones.

    Where there were many before, their rows say so already.
    """
    digest = inspection.digest
    known = {each.id for each in new}
    serials = {session.serial for each in new for session in each.sessions}
    touched = {
        record_id: None
        for serial, served in digest.served(serials).items()
        if 1 < served <= MOST_TOUCHED
        for record_id in digest.users(serial)
        if record_id not in known
    }
    return _read(inspection, touched)


def _read(inspection: Inspection, ids: cabc.Iterable[str]) -> list[RequestRecord]:
    """Read records, without those that were evicted a moment ago."""
    records = (inspection.request(each) for each in ids)
    return [each for each in records if each is not None]


def _name(inspection: Inspection, record_id: str) -> str:
    """Name a record, empty if it is not retained."""
    record = inspection.request(record_id)
    return "" if record is None else spoken(record)


def _verdict_card(judgement: Judgement, inspection: Inspection) -> VerdictCard:
    verdict = judgement.verdict
    tone: Tone = "ok" if verdict.passed else "" if verdict.passed is None else "bad"
    icon, answer = {
        "ok": ("okring", gettext("yes")),
        "bad": ("bad", gettext("no")),
        "": ("info", gettext("no evidence yet")),
    }[tone]
    named = {each: _name(inspection, each) for each in verdict.requests[:3]}
    return VerdictCard(
        gettext(verdict.question),
        tone,
        icon,
        answer,
        verdict.sentence,
        verdict.evidence[:EVIDENCE],
        verdict.evidence[EVIDENCE:],
        max(judgement.sentences - EVIDENCE, 0),
        tuple(Culprit(each, name) for each, name in named.items() if name),
    )


def _counts(summary: Summary, findings: cabc.Sequence[Finding]) -> tuple[Count, ...]:
    shared, left = len(summary.shared), summary.left
    counts = [
        Count(gettext("Requests"), f"{summary.requests:,}"),
        Count(gettext("Sessions"), f"{summary.sessions:,}"),
        Count(gettext("Statements"), f"{summary.statements:,}"),
        Count(gettext("Shared sessions"), f"{shared:,}", "bad" if shared else ""),
        Count(gettext("Not removed"), f"{left:,}", "bad" if left else ""),
    ]
    others = summary.records - summary.requests
    if others:
        counts.append(Count(gettext("Other records"), f"{others:,}"))
    counts.append(
        Count(gettext("Findings"), f"{len(findings):,}", worst_tone(findings))
    )
    return tuple(counts)
