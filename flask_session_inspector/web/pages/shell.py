"""What stands around the list, the findings and the audit: store, notices, tabs."""

from __future__ import annotations

import collections.abc as cabc
import typing as t
from dataclasses import dataclass

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
    """Something to know about the recording itself."""

    tone: Tone
    icon: str
    title: str
    text: str


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
    """

    store: str
    notices: tuple[Notice, ...]
    tabs: tuple[Tab, ...]
    current: TabName


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
    return Shell(
        _store(inspection),
        _notices(inspection, inspection.counters),
        (
            Tab("requests", "Requests"),
            Tab("findings", "Findings", number, tone=worst_tone(findings)),
            audit,
        ),
        current,
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
