"""Rules on one session that served two requests."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

from ..phrases import marked
from ..recorder import RawSession
from .case import Case
from .case import label
from .case import place
from .catalogue import Found
from .catalogue import rule
from .signs import SHARED


@rule(
    "FSI101",
    "session-shared",
    "error",
    when=SHARED,
    meaning=marked(
        "One Session served two requests. Objects that one request loaded or changed"
        " are still in it for the other, in the same transaction, so a request can"
        " see stale data and can save or discard the changes of another."
    ),
    fix=marked(
        "Give every request a session of its own: use db.session (or another"
        " scoped_session that is removed at teardown) and do not keep what"
        " db.session() or Session(engine) returned."
    ),
)
def session_shared(case: Case) -> cabc.Iterator[Found]:
    if not case.is_request:
        return
    for used in case.sessions:
        before = used.earlier
        if before is None or before.same_context or before.kind != "request":
            continue
        # How long the sessions of a registry that nobody named should last is unknown.
        if used.facts.unknown_registry or not case.served(used):
            continue
        serial = used.facts.serial
        evidence = _both(case, used)
        pins = case.pins(serial)
        if pins:
            evidence["held by"] = list(pins)
        evidence["objects carried over"] = used.carried_over
        yield Found(
            f"{label(serial)} served this request and, before it, {case.name(before)}:"
            " both share its objects and its transaction.",
            evidence,
            serial,
            used.first_use,
            (str(before.record),),
        )


@rule(
    "FSI106",
    "scope-key-recycled",
    "error",
    when=SHARED,
    meaning=marked(
        "The scope began with a session that a dead one had left in the registry under"
        " the same key. Flask-SQLAlchemy's key is the id() of the app context, and"
        " CPython gives the address of a dead object to the next one."
    ),
    fix=marked(
        "Find what leaves the session behind (FSI102 names it), usually a teardown"
        " function that uses db.session after Flask-SQLAlchemy has removed it:"
        " register it after db.init_app(), so that it runs before."
    ),
)
def scope_key_recycled(case: Case) -> cabc.Iterator[Found]:
    for used in case.sessions:
        before = used.earlier
        if before is None or used.reached != "recycled":
            continue
        serial = used.facts.serial
        yield Found(
            f"{label(serial)} was already in the registry {used.facts.registry} when"
            f" this {case.noun} began: {case.name(before)} left it under the key"
            f" {used.facts.scope_key}, which is this scope's key now.",
            {
                **_both(case, used),
                "scope key": used.facts.scope_key,
                "left by": case.name(before),
                "objects carried over": used.carried_over,
            },
            serial,
            # Where it was not even asked for, the other place is the one to go to.
            used.first_use or before.location,
            (str(before.record),),
        )


@rule(
    "FSI107",
    "scope-too-coarse",
    "error",
    when=SHARED,
    meaning=marked(
        "The registry gave two requests one session, because its scopefunc returned"
        " the same key for both, such as the id of a thread that serves one request"
        " after another, and nothing removed the session between them."
    ),
    fix=marked(
        "Call remove() of the scoped_session in a teardown_appcontext function, or"
        " give it a scopefunc that tells requests apart, as Flask-SQLAlchemy does."
    ),
)
def scope_too_coarse(case: Case) -> cabc.Iterator[Found]:
    if not case.is_request:
        return
    for used in case.sessions:
        before = used.earlier
        if before is None or used.reached != "coarse" or before.kind != "request":
            continue
        serial = used.facts.serial
        yield Found(
            f"The registry {used.facts.registry} gave this request {label(serial)},"
            f" which {case.name(before)} had used: its scope key"
            f" {used.facts.scope_key} is the same for both.",
            {**_both(case, used), "scope key": used.facts.scope_key},
            serial,
            used.first_use,
            (str(before.record),),
        )


def _both(case: Case, used: RawSession) -> dict[str, t.Any]:
    """Tell of both records that used a session."""
    before = used.earlier
    evidence: dict[str, t.Any] = {
        "here": {"thread": case.scope.thread, "place": place(used.first_use)}
    }
    if before is not None:
        evidence["before"] = {
            "request": case.name(before),
            "id": str(before.record),
            "thread": before.thread,
            "place": place(before.location),
            "state": "still running" if before.live else "ended",
        }
    return evidence
