"""What stands around the list, the findings and the audit: store, notices, tabs."""

from __future__ import annotations

import collections.abc as cabc
import typing as t
from dataclasses import dataclass

from ...records import Counters
from ...records import Finding
from ...records import Holder
from ..access import csrf_field
from ..live import has_several_workers
from ..translating import gettext
from ..translating import ngettext
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
    :param csrf: Name and value of what Flask-WTF wants beside it; empty without that.
    :param retained: How many records would be forgotten.
    :param news: The newest finding in one sentence, and how many there are.
    :param newest: When it was found, in Unix seconds; 0 if there is none.
    :param several_workers: Whether another worker, with records of its own, may answer
        the next time.
    """

    store: str
    notices: tuple[Notice, ...]
    tabs: tuple[Tab, ...]
    current: TabName
    token: str
    csrf: tuple[str, str]
    retained: int
    news: str
    newest: float
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
    # Said before it and after it, the number has no place in the text.
    unit = ngettext("holder", "holders", len(holders))
    audit = Tab("audit", gettext("Audit"), f"{len(holders):,}", unit)
    if pinned:
        number = gettext(
            "%(number)s of %(all)s", number=f"{pinned:,}", all=f"{len(holders):,}"
        )
        audit = Tab("audit", gettext("Audit"), number, gettext("pinned"), "bad")
    number = f"{len(findings):,}" if findings else ""
    counters = inspection.counters
    several_workers = has_several_workers(inspection)
    notices = _notices(inspection, counters)
    return Shell(
        _store(inspection),
        (_only_one_worker(inspection), *notices) if several_workers else notices,
        (
            Tab("requests", gettext("Requests")),
            Tab("findings", gettext("Findings"), number, tone=worst_tone(findings)),
            audit,
        ),
        current,
        inspection.token,
        csrf_field(),
        counters.retained,
        _news(findings),
        findings[0].at if findings else 0.0,
        several_workers,
    )


def _only_one_worker(inspection: Inspection) -> Notice:
    process = inspection.process()
    return Notice(
        "warn",
        "warn",
        gettext("This is one of several workers."),
        gettext(
            "The store %(store)s has only the requests that the process %(pid)s"
            " served, so sharing across workers does not show, and the next time"
            " another one may answer. Run one worker to see all requests.",
            store=process["store"],
            pid=process["pid"],
        ),
    )


def _news(findings: cabc.Sequence[Finding]) -> str:
    if not findings:
        return ""
    newest = findings[0]
    return ngettext(
        "%(num)s finding, the newest %(code)s %(name)s: %(message)s",
        "%(num)s findings, the newest %(code)s %(name)s: %(message)s",
        len(findings),
        code=newest.code,
        name=newest.name,
        message=newest.message,
    )


def _store(inspection: Inspection) -> str:
    process = inspection.process()
    if process["shared"]:
        return gettext("%(store)s, shared by all processes", store=process["store"])
    return gettext(
        "%(store)s of this process only, pid %(pid)s",
        store=process["store"],
        pid=process["pid"],
    )


def _notices(inspection: Inspection, counters: Counters) -> tuple[Notice, ...]:
    notices = []
    if inspection.paused:
        title = gettext("Recording is paused.")
        text = gettext("Requests made now will not be on this page.")
        notices.append(Notice("warn", "warn", title, text, True))
    missing = counters.dropped + counters.lost
    if missing:
        title = ngettext(
            "%(num)s record could not be kept.",
            "%(num)s records could not be kept.",
            missing,
        )
        text = gettext(
            "%(dropped)s dropped, %(lost)s lost by the store.",
            dropped=f"{counters.dropped:,}",
            lost=f"{counters.lost:,}",
        )
        notices.append(Notice("warn", "warn", title, text))
    if counters.internal_errors:
        title = ngettext(
            "The inspector had %(num)s error.",
            "The inspector had %(num)s errors.",
            counters.internal_errors,
        )
        text = gettext(
            "The application was not affected, but records may be incomplete. The log"
            " says more."
        )
        notices.append(Notice("warn", "warn", title, text))
    if counters.evicted and counters.retained >= inspection.config.max_requests:
        title = ngettext(
            "Only the last %(num)s record is kept.",
            "Only the last %(num)s records are kept.",
            counters.retained,
        )
        text = gettext("What is said below rests on them.")
        notices.append(Notice("", "info", title, text))
    return tuple(notices)
