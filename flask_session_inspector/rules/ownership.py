"""Rules on sessions that are somebody else's, or nobody's."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

from ..clues import AlreadyAttached
from ..phrases import counted
from ..phrases import joined
from ..phrases import marked
from ..recorder import SessionFacts
from .case import Case
from .case import at
from .case import label
from .case import place
from .catalogue import Found
from .catalogue import rule
from .signs import CLUE
from .signs import PINNED
from .signs import UNREGISTERED


@rule(
    "FSI103",
    "session-pinned",
    "error",
    when=PINNED,
    meaning=marked(
        "Something that lives as long as the application holds a Session itself, not a"
        " way to get one. Every request that goes through it shares that one session;"
        " no teardown removes it."
    ),
    fix=marked(
        "Hold what leads to a session, not the session: pass db (or the"
        " scoped_session) where db.session() or Session(engine) was passed, and ask it"
        " for a session where one is needed."
    ),
)
def session_pinned(case: Case) -> cabc.Iterator[Found]:
    for used in case.sessions:
        serial = used.facts.serial
        pins = case.pins(serial)
        if not pins or not case.served(used):
            continue
        yield Found(
            f"{label(serial)}, which this {case.noun} used, is held by"
            f" {_first_of(pins)} for the life of the application.",
            {"held by": list(pins), "used": place(used.first_use)},
            serial,
            used.first_use,
        )


@rule(
    "FSI108",
    "session-outside-registry",
    "warning",
    when=UNREGISTERED,
    meaning=marked(
        "A Session that no known registry made served the request. That is fine where"
        " it is closed in the same request; nothing else will remove it."
    ),
    fix=marked(
        "Close it with a with block, or use db.session. If a scoped_session made it,"
        ' tell the inspector: inspector.watch(registry, name="...").'
    ),
)
def session_outside_registry(case: Case) -> cabc.Iterator[Found]:
    if not case.is_request:
        return
    for used in case.sessions:
        facts = used.facts
        if facts.registry_key is not None:
            continue
        number = len(case.statements(facts.serial))
        if not number:
            continue
        left_open = used.collected or used.ended == "open"
        left_open = left_open and case.is_over and not facts.unknown_registry
        how = (
            "that a scoped_session unknown to the inspector made"
            if facts.unknown_registry
            else "made directly"
            if facts.origin == "direct"
            else "that a sessionmaker made"
        )
        end = "and was closed"
        if facts.unknown_registry:
            end = "and nothing is known of its scope"
        elif left_open:
            end = "and was not closed"
            if used.collected:
                end += ": it was left to the garbage collector"
        article = "an" if facts.class_name[:1] in "AEIOU" else "a"
        yield Found(
            f"{label(facts.serial)}, {article} {facts.class_name} {how}, ran"
            f" {counted(number, 'statement')} in this request {end}.",
            {
                "first use": place(used.first_use),
                "class": facts.class_name,
                "origin": facts.origin,
                "ended": used.ended,
            },
            facts.serial,
            used.first_use,
            severity="warning" if left_open else "info",
        )


@rule(
    "FSI109",
    "attached-elsewhere",
    "error",
    when=CLUE,
    meaning=marked(
        "An object of one session was added to another, which SQLAlchemy refuses:"
        ' "Object is already attached to session".'
    ),
    fix=marked(
        "Use one session for both: find out why there are two (an app context inside"
        " of another, a session kept from an earlier request, one made directly), or"
        " bring the object over with session.merge()."
    ),
)
def attached_elsewhere(case: Case) -> cabc.Iterator[Found]:
    for clue in case.clues(AlreadyAttached):
        owner = clue.owner_facts
        user = None if owner is None else case.first_user(owner)
        yield Found(
            f"{clue.instance} belongs to {label(clue.owner)} and was added to"
            f" {label(clue.other)}{at(clue.location)}.",
            {
                "object": clue.instance,
                "belongs to": _origin(case, clue.owner, owner),
                "added to": _origin(case, clue.other, None),
            },
            clue.other,
            clue.location,
            () if user is None else (str(user.record),),
        )


def _first_of(pins: cabc.Sequence[str]) -> str:
    """Name one place; a closure can have the same session many times over."""
    if len(pins) == 1:
        return pins[0]
    return f"{pins[0]}, and in {counted(len(pins) - 1, 'other place')},"


def _origin(case: Case, serial: int, facts: SessionFacts | None) -> dict[str, t.Any]:
    """Tell who made a session, and where it was used first.

    :param facts: What is known of it, if it did nothing in this record.
    """
    used = case.session(serial)
    facts = facts if used is None else used.facts
    told: dict[str, t.Any] = {"session": label(serial)}
    if facts is None:
        return told | {"made": "unknown"}
    told["made"] = _made(facts)
    user = case.first_user(facts)
    if used is not None:
        told["app context"] = used.context + 1
        told["first use"] = place(used.first_use)
    elif user is not None:
        told["first use"] = place(user.location)
    pins = case.pins(serial)
    if pins:
        told["held by"] = joined(pins)
    if user is not None:
        told["used before by"] = case.name(user)
    return told


def _made(facts: SessionFacts) -> str:
    if facts.registry_key is not None:
        return facts.registry_name
    return "directly" if facts.origin == "direct" else "by a sessionmaker"
