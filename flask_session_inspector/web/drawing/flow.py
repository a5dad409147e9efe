"""The flow strip: one record from request to teardown, in five steps."""

from __future__ import annotations

from dataclasses import dataclass

from ...records import RequestRecord
from ..pages.formats import in_ms
from ..pages.wording import Tone
from ..pages.wording import ended_glyph
from ..pages.wording import heading
from ..pages.wording import numbered_statements
from ..pages.wording import session_outcome
from ..pages.wording import status_glyph
from ..translating import gettext
from ..translating import listed
from ..translating import ngettext


@dataclass(frozen=True)
class Step:
    """One step of the strip.

    :param name: Which step, a class of the stylesheet.
    :param label: Its name.
    :param title: The fact.
    :param aside: A number beside it.
    :param note: A line below it.
    :param icon: The icon before the title.
    :param tone: The colour of the box.
    :param absent: The record did without it.
    """

    name: str
    label: str
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
    label = gettext("Request") if record.kind == "request" else gettext("Start")
    return Step("request", label, verb, aside, target, tone=status.tone)


def _proxy(record: RequestRecord) -> Step:
    registries = list(
        dict.fromkeys(each.registry for each in record.sessions if each.registry)
    )
    outside = sum(1 for each in record.sessions if each.registry is None)
    label = gettext("Proxy")
    if not record.sessions:
        note = gettext("no session was asked for")
        return Step("proxy", label, gettext("not used"), note=note, absent=True)
    if not registries:
        note = gettext("not from a scoped_session")
        return Step("proxy", label, gettext("none"), note=note, absent=True)
    if outside:
        note = ngettext(
            "and %(num)s session without it",
            "and %(num)s sessions without it",
            outside,
        )
    else:
        note = ngettext(
            "scope: %(num)s app context",
            "scope: %(num)s app contexts",
            record.contexts,
        )
    return Step("proxy", label, listed(registries, 2), note=note, icon="proxy")


def _session(record: RequestRecord, shared: frozenset[int]) -> Step:
    labels = [each.label for each in record.sessions]
    label = gettext("Session")
    if not labels:
        return Step("session", label, gettext("none"), absent=True)
    title = labels[0]
    if len(labels) > 1:
        title = ngettext("%(num)s session", "%(num)s sessions", len(labels))
    common = [each.label for each in record.sessions if each.serial in shared]
    if common:
        note = gettext("shared with other requests")
        if len(labels) > 1:
            note = gettext("%(sessions)s shared", sessions=listed(common, 2))
        return Step("session", label, title, note=note, icon="shared", tone="bad")
    if len(labels) > 1:
        note = listed(labels, 4)
    elif record.kind == "request":
        note = gettext("used by this request only")
    else:
        note = gettext("used here only")
    return Step("session", label, title, note=note)


def _queries(record: RequestRecord, pending: bool) -> Step:
    number = record.statement_count
    label = gettext("Queries")
    title = gettext("no SQL")
    if number:
        title = ngettext("%(num)s statement", "%(num)s statements", number)
    time = sum(each.statement.duration_ms for each in numbered_statements(record))
    outcomes = [session_outcome(each, pending=pending) for each in record.sessions]
    tones = [each for each in outcomes if each.tone]
    aside = in_ms(time) if number else ""
    # Several sessions have one thing in common, or a trouble, or nothing to say.
    if tones or len({each.label for each in outcomes}) == 1:
        chosen = (tones or outcomes)[0]
        return Step(
            "queries", label, title, aside, chosen.label, chosen.icon, chosen.tone
        )
    return Step("queries", label, title, aside)


def _teardown(record: RequestRecord, pending: bool) -> Step:
    label = gettext("Teardown")
    if pending:
        note = gettext("after the response")
        return Step("teardown", label, gettext("pending"), note=note, icon="use")
    if not record.sessions:
        note = gettext("nothing to remove")
        return Step("teardown", label, gettext("done"), note=note, icon="ok")
    ends = [ended_glyph(each) for each in record.sessions]
    left = [each for each in ends if each.tone == "bad"]
    if left:
        title = left[0].label
        if len(ends) > 1:
            title = gettext(
                "%(number)s of %(all)s %(end)s",
                number=len(left),
                all=len(ends),
                end=title,
            )
        note = gettext("open after the end")
        return Step("teardown", label, title, note=note, icon="open", tone="bad")
    words = listed(sorted({each.label for each in ends}, reverse=True))
    note = gettext("confirmed after the response")
    return Step("teardown", label, words, note=note, icon="ok", tone="ok")
