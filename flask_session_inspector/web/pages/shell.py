"""What stands around the list, the findings and the audit: store, notices, tabs."""

from __future__ import annotations

import collections.abc as cabc
import typing as t
from dataclasses import dataclass

from flask import has_request_context
from flask import request

from ...phrases import counted
from ...records import Counters
from ...records import Finding
from ...records import Holder
from .wording import Tone
from .wording import worst_tone

if t.TYPE_CHECKING:
    from ...inspection import Inspection

TabName = t.Literal["requests", "findings", "audit"]


@dataclass(frozen=True)
class Notice:
    """Something to know about the recording itself.

    :param can_resume: Whether a button lets the recording go on.
    """

    tone: Tone
    icon: str
    title: str
    text: str
    can_resume: bool = False


@dataclass(frozen=True)
class Tab:
    """One of the three pages.

    :param count: A number beside its name, or empty.
    :param unit: What the number counts, read out after it.
    """

    name: TabName
    label: str
    count: str = ""
    unit: str = ""
    tone: Tone = ""


@dataclass(frozen=True)
class Shell:
    """The frame of a page.

    :param store: Where the records are kept.
    :param current: The tab that is shown.
    :param token: What a form that changes something must carry.
    :param retained: How many records would be forgotten.
    :param news: The newest finding in one sentence, and how many there are.
    :param several_workers: Whether another worker, with records of its own, may answer
        the next time.
    """

    store: str
    notices: tuple[Notice, ...]
    tabs: tuple[Tab, ...]
    current: TabName
    token: str
    retained: int
    news: str
    count: int
    several_workers: bool


def shell(
    inspection: Inspection,
    current: TabName,
    findings: cabc.Sequence[Finding],
    holders: cabc.Sequence[Holder],
) -> Shell:
    """Frame a page.

    :param current: The tab that is shown.
    :param findings: All there are.
    :param holders: What the audit found.
    """
    pinned = sum(1 for each in holders if each.verdict == "pinned")
    unit = "holder" if len(holders) == 1 else "holders"
    audit = Tab("audit", "Audit", f"{len(holders):,}", unit)
    if pinned:
        number = f"{pinned:,} of {len(holders):,}"
        audit = Tab("audit", "Audit", number, "pinned", "bad")
    number = f"{len(findings):,}" if findings else ""
    counters = inspection.counters
    alone = inspection.process()["shared"] or not _has_several_workers()
    notices = _notices(inspection, counters)
    return Shell(
        _store(inspection),
        notices if alone else (_only_one_worker(inspection), *notices),
        (
            Tab("requests", "Requests"),
            Tab("findings", "Findings", number, tone=worst_tone(findings)),
            audit,
        ),
        current,
        inspection.token,
        counters.retained,
        _news(findings),
        len(findings),
        not alone,
    )


def _has_several_workers() -> bool:
    """Ask the WSGI server, which knows."""
    return has_request_context() and bool(request.environ.get("wsgi.multiprocess"))


def _only_one_worker(inspection: Inspection) -> Notice:
    process = inspection.process()
    return Notice(
        "warn",
        "warn",
        "This is one of several workers.",
        f"The store {process['store']} has only the requests that the process"
        f" {process['pid']} served, so sharing across workers does not show, and the"
        " next time another one may answer. Run one worker to see all requests.",
    )


def _news(findings: cabc.Sequence[Finding]) -> str:
    if not findings:
        return ""
    newest = findings[0]
    return (
        f"{counted(len(findings), 'finding')}, the newest"
        f" {newest.code} {newest.name}: {newest.message}"
    )


def _store(inspection: Inspection) -> str:
    process = inspection.process()
    if process["shared"]:
        return f"{process['store']}, shared by all processes"
    return f"{process['store']} of this process only, pid {process['pid']}"


def _notices(inspection: Inspection, counters: Counters) -> tuple[Notice, ...]:
    notices = []
    if inspection.paused:
        text = "Requests made now will not be on this page."
        notices.append(Notice("warn", "warn", "Recording is paused.", text, True))
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
