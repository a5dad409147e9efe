"""The answer in one sentence: of one record, and of all that are retained."""

from __future__ import annotations

import collections.abc as cabc
from dataclasses import dataclass

from ...records import Holder
from ...records import RequestRecord
from ...verdicts import Verdict
from ...verdicts import counted
from .formats import listed
from .wording import Tone
from .wording import lost_rows
from .wording import worst_tone

_SUBJECTS = {
    "request": "This request",
    "cli": "This command",
    "context": "This app context",
}


@dataclass(frozen=True)
class Headline:
    """A sentence to be read first, with what it rests on below."""

    tone: Tone
    icon: str
    title: str
    text: str


def of_record(
    record: RequestRecord, users: cabc.Mapping[int, int], *, pending: bool = False
) -> Headline:
    """Say whether a record kept its sessions to itself.

    :param users: How many requests each session served, by serial.
    :param pending: The record has not ended yet.
    """
    subject = _SUBJECTS[record.kind]
    if not record.sessions:
        return _without_sessions(record, subject)
    headline = _isolation(record, users, subject, pending)
    number = len(record.findings)
    if not number or headline.tone == "bad":
        return headline
    tone = worst_tone(record.findings) or headline.tone
    icon = tone if tone in ("bad", "warn") else headline.icon
    title = f"{headline.title}, with {counted(number, 'finding')}"
    return Headline(tone, icon, title, headline.text)


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
    pinned: cabc.Sequence[Holder] = (),
) -> Headline:
    """Say in one sentence what the three verdicts come to.

    :param verdicts: Same proxy, a session per request, no leakage; in this order.
    :param records: What they were stated from.
    :param pinned: Holders of one session for the life of the application.
    """
    same_proxy, own_session, no_leakage = verdicts
    cause = ""
    if pinned:
        holder = pinned[0]
        where = holder.where[:1].upper() + holder.where[1:]
        cause = f" {where} holds a {holder.holds} instead of the proxy."
    if own_session.passed is False:
        number = len(own_session.requests)
        title = f"{counted(number, 'request')} shared a session"
        return Headline("bad", "bad", title, own_session.evidence[0] + cause)
    if no_leakage.passed is False:
        number = len(no_leakage.requests)
        title = f"{counted(number, 'request')} left a session open"
        return Headline("bad", "bad", title, no_leakage.evidence[0] + cause)
    if same_proxy.passed is False:
        return Headline(
            "bad", "bad", "The proxy was not the same object", same_proxy.sentence
        )
    using = [each for each in records if each.kind == "request" and each.sessions]
    if not using:
        return Headline(
            "",
            "info",
            "No evidence yet",
            "No recorded request has used a database session."
            if records
            else "Nothing has been recorded.",
        )
    sessions = sum(len(each.sessions) for each in using)
    title = (
        f"{counted(len(using), 'request')}, {counted(sessions, 'session')}:"
        f" each request had its own"
    )
    tone: Tone = "ok"
    text = "Every session was gone when its request ended."
    findings = [finding for each in records for finding in each.findings]
    if pinned or findings:
        tone = "bad" if pinned else worst_tone(findings) or "ok"
        if findings:
            text += f" There are {counted(len(findings), 'finding')}."
        text += cause
    icon = tone if tone in ("bad", "warn") else "okring"
    return Headline(tone, icon, title, text)
