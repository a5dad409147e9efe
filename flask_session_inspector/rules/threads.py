"""Rules on threads, greenlets, streams and processes."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

from ..clues import Abandonment
from ..clues import CrossThread
from ..clues import Earlier
from ..clues import ForkedUse
from ..clues import LateUse
from ..phrases import joined
from ..phrases import marked
from ..recorder import RawSession
from .case import Case
from .case import at
from .case import label
from .case import place
from .catalogue import Found
from .catalogue import rule
from .signs import CLUE
from .signs import CONTEXTS
from .signs import SHARED


@rule(
    "FSI301",
    "cross-thread",
    "error",
    when=CLUE | SHARED,
    meaning=marked(
        "A session was used by a thread or greenlet while it was another's. A Session"
        " is not safe for that: statements of the two mix in one transaction, and its"
        " state can break."
    ),
    fix=marked(
        "Give the thread an app context of its own (with app.app_context()), pass it"
        " ids instead of objects, and let it load them through its own db.session."
    ),
)
def cross_thread(case: Case) -> cabc.Iterator[Found]:
    for clue in case.clues(CrossThread):
        yield _crossed(case, clue)
    for used in case.sessions:
        # A thread had it before the request that it was made in used it.
        if used.reached == "lent" and used.earlier is not None:
            yield _lent(case, used, used.earlier)


def _crossed(case: Case, clue: CrossThread) -> Found:
    serial, other = label(clue.serial), clue.other
    first = {"thread": clue.owner, "place": place(clue.owner_location)}
    related: tuple[str, ...] = ()
    owner = clue.owner
    if other is not None and other.record != case.scope.id:
        first["in"] = case.name(other)
        related = (str(other.record),)
        owner += f" ({case.name(other)})"
    evidence: dict[str, t.Any] = {
        "first": first,
        "then": {"thread": clue.intruder, "place": place(clue.location)},
        "at the same moment": clue.at_once,
    }
    pins = case.pins(clue.serial)
    if pins:
        evidence["held by"] = list(pins)
    if clue.at_once:
        message = (
            f"{clue.intruder} sent a statement of {serial}{at(clue.location)} while"
            f" one of {owner} was still running."
        )
    elif other is not None:
        message = (
            f"{serial} was in use by {owner} when {clue.intruder} used it"
            f"{at(clue.location)}."
        )
    else:
        message = (
            f"{serial} of {owner} was used by {clue.intruder}{at(clue.location)},"
            " outside of the app context that it belongs to."
        )
    return Found(message, evidence, clue.serial, clue.location, related)


def _lent(case: Case, used: RawSession, before: Earlier) -> Found:
    serial, thread = used.facts.serial, case.scope.thread
    return Found(
        f"{label(serial)} of {thread} was used by {before.thread}{at(before.location)},"
        " outside of the app context that it belongs to.",
        {
            "first": {
                "thread": before.thread,
                "place": place(before.location),
                "in": case.name(before),
            },
            "then": {"thread": thread, "place": place(used.first_use)},
            "at the same moment": False,
        },
        serial,
        before.location,
        (str(before.record),),
    )


@rule(
    "FSI302",
    "used-after-teardown",
    "error",
    when=CLUE,
    meaning=marked(
        "A session ran SQL after the request that first used it was torn down, outside"
        " of any other request. Nothing will end that transaction or return its"
        " connection."
    ),
    fix=marked(
        "Do not hand a session, or objects of one, to what outlives the request: let"
        " the thread, callback or generator push an app context of its own and load"
        " what it needs."
    ),
)
def used_after_teardown(case: Case) -> cabc.Iterator[Found]:
    for clue in case.clues(LateUse):
        used = case.session(clue.serial)
        evidence = {
            "first use": place(None if used is None else used.first_use),
            "late use": place(clue.location),
            "thread": clue.thread,
        }
        related: tuple[str, ...] = ()
        if clue.user is not None:
            evidence["in"] = case.name(clue.user)
            related = (str(clue.user.record),)
        when = (
            "in the rest of the response, after the view's session was removed"
            if clue.streaming
            else "after this request was torn down"
        )
        yield Found(
            f"{label(clue.serial)} ran SQL{at(clue.location)} {when}.",
            evidence,
            clue.serial,
            clue.location,
            related,
        )


@rule(
    "FSI303",
    "stream-changed-session",
    "warning",
    when=CONTEXTS,
    meaning=marked(
        "The view used one session and the generator of its streamed response another:"
        " the first was removed when the view returned. Objects of the view are"
        " detached in the generator, and it reads in another transaction."
    ),
    fix=marked(
        "Load everything before the response is returned, or do all of the database"
        " work inside of the generator."
    ),
)
def stream_changed_session(case: Case) -> cabc.Iterator[Found]:
    continued = case.scope.continued
    if not continued:
        return
    in_view: dict[object, t.Any] = {}
    for used in case.sessions:
        key = used.facts.registry_key
        if key is None or not case.statements(used.facts.serial):
            continue
        if used.context not in continued:
            in_view[key] = used
        elif key in in_view:
            before = in_view[key]
            serials = [label(each.facts.serial) for each in (before, used)]
            yield Found(
                f"The view used {serials[0]}{at(before.first_use)}, the generator of"
                f" its response {serials[1]}{at(used.first_use)}.",
                {
                    "view": {"session": serials[0], "place": place(before.first_use)},
                    "generator": {
                        "session": serials[1],
                        "place": place(used.first_use),
                    },
                },
                used.facts.serial,
                used.first_use,
            )
            return


@rule(
    "FSI304",
    "context-abandoned",
    "warning",
    when=CLUE,
    meaning=marked(
        "An app context that used a session is still pushed while its thread already"
        " serves another request. Its session is not removed, and Flask before 3.2"
        " lets the next requests of that thread run inside of it."
    ),
    fix=marked(
        "Push app contexts with a with block only. Close streamed responses whatever"
        " happens, on the thread that iterated them, or do not use the database in"
        " their generators."
    ),
)
def context_abandoned(case: Case) -> cabc.Iterator[Found]:
    for clue in case.clues(Abandonment):
        serials = [label(serial) for serial in clue.serials]
        first = case.session(clue.serials[0])
        what = (
            "the streamed response of this request" if clue.streamed else "this request"
        )
        location = None if first is None else first.first_use
        yield Found(
            f"The app context of {what}, which used {joined(serials)}, was still pushed"
            f" when {clue.thread} began to serve {case.name(clue.next_request)}.",
            {
                "thread": clue.thread,
                "sessions": serials,
                "used": place(location),
                "next request": case.name(clue.next_request),
            },
            clue.serials[0],
            location,
            (str(clue.next_request.record),),
        )


@rule(
    "FSI305",
    "used-after-fork",
    "error",
    when=CLUE,
    meaning=marked(
        "A transaction that the parent process began, or a pooled connection that it"
        " opened, is used in a child. Both talk over one socket then: answers get mixed"
        " up, and the connection breaks for both."
    ),
    fix=marked(
        "Call engine.dispose(close=False) first thing in the child, and let it make"
        " its own sessions; with a preloading server do so in its post-fork hook."
    ),
)
def used_after_fork(case: Case) -> cabc.Iterator[Found]:
    for clue in case.clues(ForkedUse):
        of_session = clue.what == "session"
        parent = "a parent process" if clue.pid is None else f"process {clue.pid}"
        what = (
            f"{label(clue.number)}, whose transaction {parent} began,"
            if of_session
            else f"Connection {clue.number}, which {parent} opened,"
        )
        yield Found(
            f"{what} was used in its child process {clue.used_in}{at(clue.location)}.",
            {
                "began in" if of_session else "opened in": parent,
                "used in": f"process {clue.used_in}",
                "place": place(clue.location),
            },
            clue.number if of_session else None,
            clue.location,
        )
