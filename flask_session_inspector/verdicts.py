"""The three verdicts: what a set of records proves about session scoping.

A verdict is stated from evidence only: it passes, fails, or stays open where
no record says anything about it.
"""

from __future__ import annotations

import collections.abc as cabc
import heapq
import itertools
import typing as t

import msgspec

from .phrases import counted
from .phrases import marked
from .records import RequestRecord
from .tally import Note
from .tally import Tally
from .tally import newest_first
from .tally import tally_of

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


class Judgement(t.NamedTuple):
    """A verdict with the beginning of its evidence.

    :ivar verdict: Its ``evidence`` and ``requests`` may be cut.
    :ivar sentences: How many sentences of evidence there are.
    :ivar requests: How many records contradict it.
    """

    verdict: Verdict
    sentences: int
    requests: int


def judge(records: cabc.Iterable[RequestRecord]) -> tuple[Verdict, Verdict, Verdict]:
    """State the three verdicts over some records.

    :param records: In any order. Only requests are judged; commands and app
        contexts pushed by hand have no neighbour to be isolated from.
    """
    return of_tally(tally_of(records))


def of_tally(tally: Tally) -> tuple[Verdict, Verdict, Verdict]:
    """State the three verdicts over records that were added up."""
    same_proxy, own_session, no_leakage = judgements(tally)
    return same_proxy.verdict, own_session.verdict, no_leakage.verdict


def judgements(
    tally: Tally, most: int | None = None
) -> tuple[Judgement, Judgement, Judgement]:
    """State the three verdicts, as far as somebody is going to read them.

    :param most: How many sentences of evidence are put into words, and how many
        records are named, for each; ``None`` for all.
    """
    shared = _shared(tally, most)
    users = set().union(*tally.shared.values())
    return (
        _same_proxy(tally, most),
        _session_per_request(tally, shared, users, most),
        _no_leakage(tally, shared, users, most),
    )


def _shared(tally: Tally, most: int | None) -> list[tuple[int, list[Note]]]:
    """Return the sessions that served several requests, the last used first."""

    def last_use(serial: int) -> tuple[int, int]:
        users = tally.shared[serial]
        last = users[max(users)]
        return -last.place, [use.serial for use in last.uses].index(serial)

    number = len(tally.shared) if most is None else most
    first = heapq.nsmallest(number, tally.shared, key=last_use)
    return [(serial, tally.users(serial)) for serial in first]


def _same_proxy(tally: Tally, most: int | None) -> Judgement:
    question = marked("Same proxy across requests")
    proxies = tally.proxies
    evidence = [
        f"{registry}: proxy {proxy_id:#x} gave {counted(proxy.sessions, 'session')}."
        for registry, seen in sorted(proxies.items())
        for proxy_id, proxy in sorted(
            seen.items(), key=lambda each: each[1].seen, reverse=True
        )
    ]
    if tally.outside:
        number = sum(tally.outside.values())
        verb = "was" if number == 1 else "were"
        # Sessions are numbered in the order in which they are made.
        evidence.append(
            f"{counted(number, 'session')} {verb} made without a registry,"
            f" the latest one S{max(tally.outside)}."
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
    verdict = Verdict("same-proxy", question, passed, sentence, tuple(evidence[:most]))
    return Judgement(verdict, len(evidence), 0)


def _session_per_request(
    tally: Tally,
    shared: list[tuple[int, list[Note]]],
    users: set[int],
    most: int | None,
) -> Judgement:
    question = marked("A different session per request")
    using, sessions = len(tally.using), len(tally.sole) + len(tally.shared)
    evidence = [
        f"S{serial} served {counted(len(notes), 'request')}: {_some_paths(notes)}."
        for serial, notes in shared
    ]
    number = len(tally.shared)
    if not using:
        passed, sentence = None, "No request has used a session yet."
    elif number:
        passed = False
        sentence = (
            f"{counted(number, 'session')} {'were' if number > 1 else 'was'}"
            " shared by several requests."
        )
    else:
        passed, number = True, 1
        sentence = (
            "The one request so far had a session of its own."
            if using == 1
            else f"Each of {counted(using, 'request')} had a session of its own."
        )
        evidence.append(
            f"{counted(using, 'request')}, {counted(sessions, 'session')},"
            " none of them in two requests."
        )
    culprits = _culprits((note for _, notes in shared for note in notes), most)
    verdict = Verdict(
        "session-per-request", question, passed, sentence, tuple(evidence), culprits
    )
    return Judgement(verdict, number, len(users))


def _no_leakage(
    tally: Tally,
    shared: list[tuple[int, list[Note]]],
    users: set[int],
    most: int | None,
) -> Judgement:
    question = marked("No data leakage between requests")
    leaving = newest_first(tally.leaving, most)
    survivors = (
        f"S{use.serial} was still open after {note.method} {note.path}, with"
        f" {counted(use.objects, 'object')} attached."
        for note in leaving
        for use in note.uses
        if use.is_open
    )
    carried = (
        f"S{serial} carried its objects through {counted(len(notes), 'request')}."
        for serial, notes in shared
    )
    evidence = list(itertools.islice(itertools.chain(survivors, carried), most))
    number = sum(tally.left.values()) + len(tally.shared)
    if not tally.uses:
        passed, sentence = None, "No session was used yet."
    elif number:
        passed, sentence = False, "Objects of one request could reach another."
    else:
        passed, number = True, 1
        sentence = (
            "Nothing pending or attached survived a teardown,"
            " and no session served two requests."
        )
        evidence.append(
            f"{counted(tally.uses, 'session')} ended with"
            f" {'its' if tally.uses == 1 else 'their'} request."
        )
    using = (note for _, notes in shared for note in notes)
    culprits = _culprits(itertools.chain(leaving, using), most)
    verdict = Verdict(
        "no-leakage", question, passed, sentence, tuple(evidence), culprits
    )
    return Judgement(verdict, number, len(users.union(tally.leaving)))


def _culprits(notes: cabc.Iterable[Note], most: int | None) -> tuple[str, ...]:
    """Return the first ids, each one once."""
    ids: dict[str, None] = {}
    for note in notes:
        if most is not None and len(ids) >= most:
            break
        ids[note.id] = None
    return tuple(ids)


def _some_paths(notes: list[Note], most: int = 3) -> str:
    paths = [f"{note.method} {note.path}" for note in notes[:most]]
    more = len(notes) - most
    return ", ".join(paths) + (f" and {more} more" if more > 0 else "")
