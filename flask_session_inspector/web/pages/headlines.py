"""The answer in one sentence: of one record, and of all that are retained."""

from __future__ import annotations

import collections.abc as cabc
from dataclasses import dataclass

from ...phrases import counted
from ...phrases import listed
from ...records import Finding
from ...records import Holder
from ...records import RequestRecord
from ...verdicts import Verdict
from ..grouping import group_findings
from ..grouping import most_severe
from .wording import Tone
from .wording import lost_rows
from .wording import severity
from .wording import spoken

_SUBJECTS = {
    "request": "This request",
    "cli": "This command",
    "context": "This app context",
}


@dataclass(frozen=True)
class Headline:
    """A sentence to be read first, with what it rests on below.

    :param finding: The finding that it says, if it says one.
    """

    tone: Tone
    icon: str
    title: str
    text: str
    finding: Finding | None = None


def of_record(
    record: RequestRecord, users: cabc.Mapping[int, int], *, pending: bool = False
) -> Headline:
    """Say whether a record kept its sessions to itself.

    :param users: How many requests each session served, by serial.
    :param pending: The record has not ended yet.
    """
    subject = _SUBJECTS[record.kind]
    if record.sessions:
        own = _isolation(record, users, subject, pending)
    else:
        own = _without_sessions(record, subject)
    worst = most_severe(record.findings)
    if worst is None:
        return own
    others = len(record.findings) - 1
    if _says_more(worst, own, record, users):
        tone, icon, _ = severity(worst)
        text = f"{worst.code} {worst.name}"
        text += f", and {counted(others, 'more finding')}." if others else "."
        return Headline(tone, icon, worst.message, text, worst)
    title = f"{own.title}, with {counted(others + 1, _noun(worst))}"
    return Headline(own.tone, own.icon, title, own.text)


def _noun(worst: Finding) -> str:
    return "note" if worst.severity == "info" else "finding"


def _says_more(
    worst: Finding,
    own: Headline,
    record: RequestRecord,
    users: cabc.Mapping[int, int],
) -> bool:
    """Say whether a diagnosis is to be told instead of what is seen without one."""
    tone, _, _ = severity(worst)
    if not tone or own.tone != "bad" or tone == "bad":
        return bool(tone)
    # It is milder than what is seen. Only if it is about the same sessions does
    # it know better.
    troubled = shared_serials(record, users) | {
        each.serial for each in record.sessions if each.ended == "open"
    }
    return worst.session in troubled


def shared_serials(
    record: RequestRecord, users: cabc.Mapping[int, int]
) -> frozenset[int]:
    """Return the sessions of a request that served another request too.

    :param users: How many requests each session served, by serial.
    """
    if record.kind != "request":
        return frozenset()
    return frozenset(
        each.serial for each in record.sessions if users.get(each.serial, 0) > 1
    )


def _without_sessions(record: RequestRecord, subject: str) -> Headline:
    number = len(record.connection_statements)
    text = "It ran no SQL either."
    if number:
        text = f"{counted(number, 'statement')} ran on a connection without a session."
    return Headline("", "info", f"{subject} used no database session", text)


def _isolation(
    record: RequestRecord,
    users: cabc.Mapping[int, int],
    subject: str,
    pending: bool,
) -> Headline:
    shared = shared_serials(record, users)
    common = [each for each in record.sessions if each.serial in shared]
    if common:
        first = common[0]
        text = f"{first.label} served {counted(users[first.serial], 'request')}"
        if len(common) > 1:
            text += f", and {counted(len(common) - 1, 'other session')} likewise"
        return Headline(
            "bad", "bad", f"{subject} shared its session with others", f"{text}."
        )
    earlier = [each for each in record.sessions if each.first_request_id != record.id]
    left = [each for each in record.sessions if each.ended == "open" and not pending]
    if left:
        objects = sum(each.identity_map_size for each in left)
        names = listed([each.label for each in left])
        verb = "was" if len(left) == 1 else "were"
        return Headline(
            "bad",
            "bad",
            f"{names} outlived {subject[0].lower()}{subject[1:]}",
            f"{names} {verb} still open after the app context was popped, with"
            f" {counted(objects, 'object')} attached.",
        )
    if earlier:
        names = listed([each.label for each in earlier])
        return Headline(
            "warn",
            "warn",
            f"{subject} did not start with a fresh session",
            f"{names} had been used before, outside this record.",
        )
    return _own(record, subject, pending)


def _own(record: RequestRecord, subject: str, pending: bool) -> Headline:
    labels = [each.label for each in record.sessions]
    one = len(labels) == 1
    lost = [each for each in record.sessions if lost_rows(each)]
    if lost:
        rows = sum(lost_rows(each) for each in lost)
        names = listed([each.label for each in lost])
        return Headline(
            "bad",
            "bad",
            f"{subject} did not commit what it wrote",
            f"{names} closed without a commit, which discarded"
            f" {counted(rows, 'written row')}. No other request used"
            f" {'it' if len(lost) == 1 else 'them'}.",
        )
    what = "its own session" if one else f"{counted(len(labels), 'session')} of its own"
    names, was = listed(labels), "was" if one else "were"
    here = "this request" if record.kind == "request" else "it"
    if pending:
        text = f"{names} {was} used by {here} only; teardown pending."
        return Headline("", "use", f"{subject} has {what}", text)
    ends = {each.ended for each in record.sessions}
    end = "removed at teardown" if ends == {"removed"} else "closed by its end"
    if len(ends) > 1:
        end = "removed or closed by its end"
    text = f"{names} {was} used by {here} only and {end}."
    return Headline("ok", "okring", f"{subject} had {what}", text)


def overall(
    verdicts: cabc.Sequence[Verdict],
    records: cabc.Sequence[RequestRecord],
    findings: cabc.Sequence[Finding] = (),
    pinned: cabc.Sequence[Holder] = (),
) -> Headline:
    """Say in one sentence what verdicts, findings and audit come to.

    :param verdicts: Same proxy, a session per request, no leakage; in this order.
    :param records: What they were stated from.
    :param findings: Those of the records and of the audit.
    :param pinned: Holders of one session for the life of the application.
    """
    contradicted = _contradicted(verdicts)
    worst = most_severe(findings)
    tone = "" if worst is None else severity(worst)[0]
    if worst is not None and tone:
        where = "".join(
            f" in {spoken(each)}" for each in records if each.id == worst.request_id
        )
        named = f"{worst.code} {worst.name}{where}: {worst.message}"
        if contradicted is not None:
            return Headline("bad", "bad", contradicted.title, named, worst)
        return Headline(tone, tone, _found(findings), named, worst)
    # Without findings of that kind, which may all be ignored, the facts speak.
    if contradicted is not None or pinned:
        title, text = "A session is held for the life of the application", ""
        if contradicted is not None:
            title, text = contradicted.title, contradicted.text
        return Headline("bad", "bad", title, f"{text} {_cause(pinned)}".strip())
    using = [each for each in records if each.kind == "request" and each.sessions]
    if not using:
        text = "No recorded request has used a database session."
        text = text if records else "Nothing has been recorded."
        return Headline("", "info", "No evidence yet", text)
    sessions = sum(len(each.sessions) for each in using)
    title = (
        f"{counted(len(using), 'request')}, {counted(sessions, 'session')}:"
        f" each request had its own"
    )
    text = "Every session was gone when its request ended."
    if findings:
        verb = "is" if len(findings) == 1 else "are"
        text += f" There {verb} {counted(len(findings), 'note')}."
    return Headline("ok", "okring", title, text)


def _contradicted(verdicts: cabc.Sequence[Verdict]) -> Headline | None:
    """Return the first verdict that failed, as a headline."""
    same_proxy, own_session, no_leakage = verdicts
    if own_session.passed is False:
        title = f"{counted(len(own_session.requests), 'request')} shared a session"
        return Headline("bad", "bad", title, own_session.evidence[0])
    if no_leakage.passed is False:
        title = f"{counted(len(no_leakage.requests), 'request')} left a session open"
        return Headline("bad", "bad", title, no_leakage.evidence[0])
    if same_proxy.passed is False:
        title = "The proxy was not the same object"
        return Headline("bad", "bad", title, same_proxy.sentence)
    return None


def _found(findings: cabc.Sequence[Finding]) -> str:
    """Name the faults that were found, the most severe first."""
    groups = [each for each in group_findings(findings) if each.severity != "info"]
    return f"Found: {listed([each.name for each in groups])}"


def _cause(pinned: cabc.Sequence[Holder]) -> str:
    if not pinned:
        return ""
    where = pinned[0].where[:1].upper() + pinned[0].where[1:]
    return f"{where} holds a {pinned[0].holds} instead of the proxy."
