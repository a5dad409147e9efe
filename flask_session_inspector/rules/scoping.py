"""Rules on whose session it is: registries, scopes and app contexts."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

from ..clues import AlreadyAttached
from ..recorder import RawSession
from .case import Case
from .case import at
from .case import counted
from .case import label
from .case import listed
from .case import place
from .catalogue import Found
from .catalogue import rule


@rule(
    "FSI101",
    "session-shared",
    "error",
    meaning=(
        "One Session served two requests. Objects that one request loaded or changed"
        " are still in it for the other, in the same transaction, so a request can"
        " see stale data and can save or discard the changes of another."
    ),
    fix=(
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
        if not case.served(used):
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
    "FSI102",
    "session-not-removed",
    "error",
    meaning=(
        "The app context is gone and its session is not: the registry still holds it,"
        " or it still has a transaction open. Its connection stays checked out, and a"
        " later scope with the same key gets its objects."
    ),
    fix=(
        "Let the session be removed last: call remove() of the scoped_session in a"
        " teardown_appcontext function, do not use db.session in teardown functions"
        " that were registered before db.init_app(), and close sessions that you make"
        " yourself, best with a with block."
    ),
)
def session_not_removed(case: Case) -> cabc.Iterator[Found]:
    for used in case.sessions:
        facts = used.facts
        if used.held and not used.closed_by_host:
            why = f"the registry {facts.registry} still holds it"
        elif (
            used.left_in_transaction
            and case.is_request
            and facts.first is case.scope
            and not facts.unknown_registry
            and not used.of_outer_context
        ):
            why = "its transaction is still open"
        else:
            continue
        evidence: dict[str, t.Any] = {
            "first use": place(used.first_use),
            "objects still in it": used.left_objects,
            "transaction open": used.left_in_transaction,
        }
        if used.held:
            evidence["registry"] = facts.registry
            evidence["scope key"] = facts.scope_key
        if used.made_at_teardown:
            why += ": a teardown function used it after it had been removed"
            evidence["made"] = "during the teardown, after the removal"
        yield Found(
            f"{label(facts.serial)} was not removed when its app context was popped:"
            f" {why}.",
            evidence,
            facts.serial,
            used.first_use,
        )


@rule(
    "FSI103",
    "session-pinned",
    "error",
    meaning=(
        "Something that lives as long as the application holds a Session itself, not a"
        " way to get one. Every request that goes through it shares that one session;"
        " no teardown removes it."
    ),
    fix=(
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
            f"{label(serial)}, which this {_noun(case)} used, is held by"
            f" {listed(pins)} for the life of the application.",
            {"held by": list(pins), "used": place(used.first_use)},
            serial,
            used.first_use,
        )


@rule(
    "FSI104",
    "context-reused",
    "warning",
    meaning=(
        "The request ran inside an app context that was pushed before it and used the"
        " session of that context, which nobody removes when the request ends. In"
        " production each request has an app context of its own."
    ),
    fix=(
        "Do not send requests inside of with app.app_context(): leave the block before"
        " client.get(), and open another one to look at the database afterwards."
    ),
)
def context_reused(case: Case) -> cabc.Iterator[Found]:
    scope = case.scope
    if not scope.reused_context or not case.is_request:
        return
    for used in case.sessions:
        if not used.of_outer_context or not case.served(used):
            continue
        serial = used.facts.serial
        before = used.earlier
        others = []
        related = []
        if before is not None:
            others.append(f"{case.name(before)}{at(before.location)}")
            related.append(str(before.record))
        first = used.facts.first
        if first is not None and str(first.id) not in (*related, str(scope.id)):
            related.append(str(first.id))
        sentence = (
            f"This request ran in an app context that was pushed before it and used"
            f" {label(serial)}, the session of that context"
        )
        sentence += f", as {others[0]} did." if others else "."
        yield Found(
            sentence,
            {
                "used here": place(used.first_use),
                "also used by": others or ["nothing yet"],
                "objects in it": used.left_objects,
            },
            serial,
            used.first_use,
            tuple(related),
        )


@rule(
    "FSI105",
    "nested-context",
    "warning",
    meaning=(
        "One request used two sessions of the same registry, because an app context"
        " was pushed inside of it. The two do not see each other's uncommitted"
        " changes, and an object of one cannot be added to the other."
    ),
    fix=(
        "Do not push an app context where there is one: call the function directly,"
        " and push a context only in threads and scripts that have none."
    ),
)
def nested_context(case: Case) -> cabc.Iterator[Found]:
    nested = case.scope.nested
    if not nested:
        return
    by_registry: dict[object, list[RawSession]] = {}
    for used in case.sessions:
        key = used.facts.registry_key
        if key is not None and case.served(used):
            by_registry.setdefault(key, []).append(used)
    for sessions in by_registry.values():
        inner = [used for used in sessions if used.context in nested]
        outer = [used for used in sessions if used.context not in nested] or inner[:1]
        if not inner or len(sessions) < 2:
            continue
        first, second = outer[0], next(u for u in inner if u is not outer[0])
        labels = [label(used.facts.serial) for used in sessions]
        yield Found(
            f"This {_noun(case)} used {counted(len(sessions), 'session')} of"
            f" {first.facts.registry_name}, {listed(labels)}, because an app context"
            " was pushed inside of another.",
            {
                label(used.facts.serial): {
                    "app context": used.context + 1,
                    "used": place(used.first_use),
                }
                for used in sessions
            },
            second.facts.serial,
            second.first_use or first.first_use,
        )


@rule(
    "FSI106",
    "scope-key-recycled",
    "error",
    meaning=(
        "The scope began with a session that a dead one had left in the registry under"
        " the same key. Flask-SQLAlchemy's key is the id() of the app context, and"
        " CPython gives the address of a dead object to the next one."
    ),
    fix=(
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
            f" this {_noun(case)} began: {case.name(before)} left it under the key"
            f" {used.facts.scope_key}, which is this scope's key now.",
            {
                **_both(case, used),
                "scope key": used.facts.scope_key,
                "left by": case.name(before),
                "objects carried over": used.carried_over,
            },
            serial,
            used.first_use,
            (str(before.record),),
        )


@rule(
    "FSI107",
    "scope-too-coarse",
    "error",
    meaning=(
        "The registry gave two requests one session, because its scopefunc returned"
        " the same key for both, such as the id of a thread that serves one request"
        " after another, and nothing removed the session between them."
    ),
    fix=(
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


@rule(
    "FSI108",
    "session-outside-registry",
    "warning",
    meaning=(
        "A Session that no known registry made served the request. That is fine where"
        " it is closed in the same request; nothing else will remove it."
    ),
    fix=(
        "Close it with a with block, or use db.session. If a scoped_session made it,"
        ' tell the inspector: inspector.watch(registry, name="...").'
    ),
)
def session_outside_registry(case: Case) -> cabc.Iterator[Found]:
    if not case.is_request:
        return
    for used in case.sessions:
        facts = used.facts
        if facts.registry_key is not None or case.pins(facts.serial):
            continue
        number = len(case.statements(facts.serial))
        if not number:
            continue
        open_still = used.ended == "open" and not facts.unknown_registry
        how = (
            "that a scoped_session unknown to the inspector made"
            if facts.unknown_registry
            else "made directly"
            if facts.origin == "direct"
            else "that a sessionmaker made"
        )
        end = "and was not closed when it ended" if open_still else "and was closed"
        if facts.unknown_registry:
            end = "and nothing is known of its scope"
        yield Found(
            f"{label(facts.serial)}, a {facts.class_name} {how}, ran"
            f" {counted(number, 'statement')} in this request {end}.",
            {
                "first use": place(used.first_use),
                "class": facts.class_name,
                "origin": facts.origin,
                "ended": used.ended,
            },
            facts.serial,
            used.first_use,
            severity="warning" if open_still else "info",
        )


@rule(
    "FSI109",
    "attached-elsewhere",
    "error",
    meaning=(
        "An object of one session was added to another, which SQLAlchemy refuses:"
        ' "Object is already attached to session".'
    ),
    fix=(
        "Use one session for both: find out why there are two (an app context inside"
        " of another, a session kept from an earlier request, one made directly), or"
        " bring the object over with session.merge()."
    ),
)
def attached_elsewhere(case: Case) -> cabc.Iterator[Found]:
    for clue in case.clues(AlreadyAttached):
        evidence: dict[str, t.Any] = {"object": clue.instance}
        for role, serial in (("belongs to", clue.owner), ("added to", clue.other)):
            evidence[role] = _origin(case, serial)
        yield Found(
            f"{clue.instance} belongs to {label(clue.owner)} and was added to"
            f" {label(clue.other)}{at(clue.location)}.",
            evidence,
            clue.other,
            clue.location,
            _users(case, clue.owner),
        )


def _noun(case: Case) -> str:
    kinds = {"request": "request", "cli": "command", "context": "app context"}
    return kinds[case.scope.kind]


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


def _origin(case: Case, serial: int) -> dict[str, t.Any]:
    used = case.session(serial)
    if used is None:
        return {"session": label(serial), "made": "outside of this record"}
    facts = used.facts
    made = facts.registry or {"factory": "by a sessionmaker"}.get(
        facts.origin, "directly"
    )
    told = {
        "session": label(serial),
        "made": made,
        "app context": used.context + 1,
        "first use": place(used.first_use),
    }
    pins = case.pins(serial)
    if pins:
        told["held by"] = listed(pins)
    if used.earlier is not None:
        told["used before by"] = case.name(used.earlier)
    return told


def _users(case: Case, serial: int) -> tuple[str, ...]:
    used = case.session(serial)
    before = None if used is None else used.earlier
    return () if before is None else (str(before.record),)
