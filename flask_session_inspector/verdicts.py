"""The three verdicts: what a set of records proves about session scoping.

A verdict is stated from evidence only: it passes, fails, or stays open where
no record says anything about it.
"""

from __future__ import annotations

import collections.abc as cabc
import typing as t

import msgspec

from .phrases import counted
from .phrases import marked
from .records import RequestRecord
from .records import SessionRecord

VerdictName = t.Literal["same-proxy", "session-per-request", "no-leakage"]


class Verdict(msgspec.Struct, frozen=True):
    """The answer to one of the three questions.

    :param name: Which question.
    :param question: The question as a heading.
    :param passed: The answer, ``None`` where there is no evidence yet.
    :param sentence: The answer in words.
    :param evidence: The facts behind it, one sentence each.
    :param requests: The ids of the records that contradict it.
    """

    name: VerdictName
    question: str
    passed: bool | None
    sentence: str
    evidence: tuple[str, ...]
    requests: tuple[str, ...] = ()


def judge(records: cabc.Iterable[RequestRecord]) -> tuple[Verdict, Verdict, Verdict]:
    """State the three verdicts over some records.

    :param records: In any order. Only requests are judged; commands and app
        contexts pushed by hand have no neighbour to be isolated from.
    """
    requests = [record for record in records if record.kind == "request"]
    users = users_of_sessions(requests)
    shared = {serial: using for serial, using in users.items() if len(using) > 1}
    return (
        _same_proxy(requests),
        _session_per_request(requests, users, shared),
        _no_leakage(requests, shared),
    )


def users_of_sessions(
    records: cabc.Iterable[RequestRecord],
) -> dict[int, list[RequestRecord]]:
    """Map the serial of each session to the requests that it served."""
    users: dict[int, list[RequestRecord]] = {}
    for record in records:
        if record.kind == "request":
            for session in record.sessions:
                users.setdefault(session.serial, []).append(record)
    return users


def _sessions(
    requests: list[RequestRecord],
) -> cabc.Iterator[tuple[RequestRecord, SessionRecord]]:
    return ((record, session) for record in requests for session in record.sessions)


def _same_proxy(requests: list[RequestRecord]) -> Verdict:
    question = marked("Same proxy across requests")
    proxies: dict[str, dict[int, int]] = {}
    outside: list[tuple[RequestRecord, SessionRecord]] = []
    for record, session in _sessions(requests):
        if session.registry is None or session.proxy_id is None:
            outside.append((record, session))
        else:
            seen = proxies.setdefault(session.registry, {})
            seen[session.proxy_id] = seen.get(session.proxy_id, 0) + 1
    evidence = [
        f"{registry}: proxy {proxy_id:#x} gave {counted(number, 'session')}."
        for registry, seen in sorted(proxies.items())
        for proxy_id, number in seen.items()
    ]
    if outside:
        number = len(outside)
        verb = "was" if number == 1 else "were"
        evidence.append(
            f"{counted(number, 'session')} {verb} made without a registry,"
            f" the latest one {outside[-1][1].label}."
        )
    changed = sorted(name for name, seen in proxies.items() if len(seen) > 1)
    if not proxies:
        passed, sentence = None, "No session came from a registry yet."
    elif changed:
        passed = False
        sentence = f"{', '.join(changed)} was not the same object in every request."
    else:
        passed = True
        names = ", ".join(sorted(proxies))
        sentence = f"{names} is the same proxy object in every request."
    return Verdict("same-proxy", question, passed, sentence, tuple(evidence))


def _session_per_request(
    requests: list[RequestRecord],
    users: dict[int, list[RequestRecord]],
    shared: dict[int, list[RequestRecord]],
) -> Verdict:
    question = marked("A different session per request")
    using = sum(1 for record in requests if record.sessions)
    evidence = [
        f"S{serial} served {counted(len(records), 'request')}: {_some_paths(records)}."
        for serial, records in shared.items()
    ]
    if not using:
        passed, sentence = None, "No request has used a session yet."
    elif shared:
        passed = False
        many = len(shared) > 1
        sentence = (
            f"{counted(len(shared), 'session')} {'were' if many else 'was'}"
            " shared by several requests."
        )
    else:
        passed = True
        sentence = (
            "The one request so far had a session of its own."
            if using == 1
            else f"Each of {counted(using, 'request')} had a session of its own."
        )
        evidence.append(
            f"{counted(using, 'request')}, {counted(len(users), 'session')},"
            " none of them in two requests."
        )
    culprits = {record.id: None for records in shared.values() for record in records}
    return Verdict(
        "session-per-request",
        question,
        passed,
        sentence,
        tuple(evidence),
        tuple(culprits),
    )


def _no_leakage(
    requests: list[RequestRecord], shared: dict[int, list[RequestRecord]]
) -> Verdict:
    question = marked("No data leakage between requests")
    survivors = [pair for pair in _sessions(requests) if pair[1].ended == "open"]
    number = sum(1 for _ in _sessions(requests))
    evidence = [
        f"{session.label} was still open after {record.method} {record.path}, with"
        f" {counted(session.identity_map_size, 'object')} attached."
        for record, session in survivors
    ]
    evidence += [
        f"S{serial} carried its objects through {counted(len(records), 'request')}."
        for serial, records in shared.items()
    ]
    if not number:
        passed, sentence = None, "No session was used yet."
    elif evidence:
        passed, sentence = False, "Objects of one request could reach another."
    else:
        passed = True
        sentence = (
            "Nothing pending or attached survived a teardown,"
            " and no session served two requests."
        )
        evidence.append(
            f"{counted(number, 'session')} ended with"
            f" {'its' if number == 1 else 'their'} request."
        )
    culprits = {record.id: None for record, _ in survivors}
    culprits |= {record.id: None for using in shared.values() for record in using}
    return Verdict(
        "no-leakage", question, passed, sentence, tuple(evidence), tuple(culprits)
    )


def _some_paths(records: list[RequestRecord], most: int = 3) -> str:
    paths = [f"{record.method} {record.path}" for record in records]
    more = len(paths) - most
    return ", ".join(paths[:most]) + (f" and {more} more" if more > 0 else "")
