"""The flow strip: one record from request to teardown, in five steps."""

from __future__ import annotations

from dataclasses import dataclass

from ...phrases import counted
from ...phrases import listed
from ...records import RequestRecord
from ..pages.formats import milliseconds
from ..pages.wording import Tone
from ..pages.wording import ended_glyph
from ..pages.wording import heading
from ..pages.wording import numbered_statements
from ..pages.wording import session_outcome
from ..pages.wording import status_glyph


@dataclass(frozen=True)
class Step:
    """One step of the strip.

    :param name: Which step.
    :param title: The fact.
    :param aside: A number beside it.
    :param note: A line below it.
    :param icon: The icon before the title.
    :param tone: The colour of the box.
    :param absent: The record did without it.
    """

    name: str
    title: str
    aside: str = ""
    note: str = ""
    icon: str = ""
    tone: Tone = ""
    absent: bool = False


def flow(
    record: RequestRecord, shared: frozenset[int], *, pending: bool = False
) -> tuple[Step, ...]:
    """Describe a record as request, proxy, session, queries and teardown.

    :param shared: The serials of its sessions that served other requests too.
    :param pending: The record has not ended yet.
    """
    return (
        _request(record),
        _proxy(record),
        _session(record, shared),
        _queries(record, pending),
        _teardown(record, pending),
    )


def _request(record: RequestRecord) -> Step:
    verb, target = heading(record)
    status = status_glyph(record)
    aside = "" if record.status is None and record.error is None else status.label
    name = "Request" if record.kind == "request" else "Start"
    return Step(name, verb, aside, target, tone=status.tone)


def _proxy(record: RequestRecord) -> Step:
    registries = list(
        dict.fromkeys(each.registry for each in record.sessions if each.registry)
    )
    outside = sum(1 for each in record.sessions if each.registry is None)
    if not record.sessions:
        note = "no session was asked for"
        return Step("Proxy", "not used", note=note, absent=True)
    if not registries:
        note = "not from a scoped_session"
        return Step("Proxy", "none", note=note, absent=True)
    note = (
        f"and {counted(outside, 'session')} without it"
        if outside
        else (f"scope: {counted(record.contexts, 'app context')}")
    )
    return Step("Proxy", listed(registries, 2), note=note, icon="proxy")


def _session(record: RequestRecord, shared: frozenset[int]) -> Step:
    labels = [each.label for each in record.sessions]
    if not labels:
        return Step("Session", "none", absent=True)
    title = labels[0] if len(labels) == 1 else counted(len(labels), "session")
    common = [each.label for each in record.sessions if each.serial in shared]
    if common:
        note = "shared with other requests"
        if len(labels) > 1:
            note = f"{listed(common, 2)} shared"
        return Step("Session", title, note=note, icon="shared", tone="bad")
    note = "used by this request only" if record.kind == "request" else "used here only"
    if len(labels) > 1:
        note = listed(labels, 4)
    return Step("Session", title, note=note)


def _queries(record: RequestRecord, pending: bool) -> Step:
    number = record.statement_count
    title = counted(number, "statement") if number else "no SQL"
    time = sum(each.statement.duration_ms for each in numbered_statements(record))
    outcomes = [session_outcome(each, pending=pending) for each in record.sessions]
    tones = [each for each in outcomes if each.tone]
    aside = f"{milliseconds(time)} ms" if number else ""
    # Several sessions have one thing in common, or a trouble, or nothing to say.
    if tones or len({each.label for each in outcomes}) == 1:
        chosen = (tones or outcomes)[0]
        return Step("Queries", title, aside, chosen.label, chosen.icon, chosen.tone)
    return Step("Queries", title, aside)


def _teardown(record: RequestRecord, pending: bool) -> Step:
    if pending:
        return Step("Teardown", "pending", note="after the response", icon="use")
    if not record.sessions:
        return Step("Teardown", "done", note="nothing to remove", icon="ok")
    ends = [ended_glyph(each) for each in record.sessions]
    left = [each for each in ends if each.tone == "bad"]
    if left:
        title = left[0].label
        if len(ends) > 1:
            title = f"{len(left)} of {len(ends)} {title}"
        note = "open after the end"
        return Step("Teardown", title, note=note, icon="open", tone="bad")
    words = listed(sorted({each.label for each in ends}, reverse=True))
    return Step(
        "Teardown", words, note="confirmed after the response", icon="ok", tone="ok"
    )
