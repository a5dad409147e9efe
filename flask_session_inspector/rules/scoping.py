"""Rules on whose session it is: registries, scopes and app contexts."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

from ..clues import AlreadyAttached
from ..clues import Earlier
from ..clues import earlier
from ..recorder import RawSession
from ..recorder import SessionFacts
from .case import Case
from .case import at
from .case import counted
from .case import label
from .case import listed
from .case import place
from .catalogue import Found
from .catalogue import rule

_MOST_SHOWN = 5


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
            what, why = "removed", f"the registry {facts.registry} still holds it"
        elif (
            used.left_in_transaction
            and case.is_request
            and case.is_over
            and facts.first is case.scope
            and not facts.unknown_registry
            and not used.of_outer_context
        ):
            what, why = "closed", "its transaction is still open"
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
            f"{label(facts.serial)} was not {what} when its app context was popped:"
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
            f" {_first_of(pins)} for the life of the application.",
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
        if used.earlier is None and used.ended == "removed":
            continue  # It was there for this request alone.
        serial = used.facts.serial
        others = _others(case, used)
        sentence = (
            f"This request ran in an app context that was pushed before it and used"
            f" {label(serial)}, the session of that context"
        )
        named = [f"{case.name(each)}{at(each.location)}" for each in others]
        sentence += f", as {named[-1]} did." if named else "."
        yield Found(
            sentence,
            {
                "used here": place(used.first_use),
                "also used by": named,
                "objects in it": used.left_objects,
            },
            serial,
            used.first_use,
            tuple(str(each.record) for each in reversed(others)),
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
    # Around app contexts that were pushed by hand there is nothing to be at odds with.
    if case.scope.contexts < 2 or case.scope.kind == "context":
        return
    for sessions in _by_registry(case):
        inner = [used for used in sessions if _is_nested(case, used, sessions)]
        # Beside it there may be threads, with a copy of the request's context each.
        outer = [used for used in sessions if _is_own(case, used)] or inner[:1]
        sessions = [used for used in sessions if used in outer or used in inner]
        if not inner or len({used.context for used in sessions}) < 2:
            continue
        first = outer[0]
        second = next(used for used in inner if used.context != first.context)
        # A loop can push any number of them.
        shown = [first, second, *(u for u in sessions if u not in (first, second))]
        shown = [used for used in sessions if used in shown[:_MOST_SHOWN]]
        labels = [label(used.facts.serial) for used in shown]
        if len(sessions) > len(shown):
            labels.append(f"{len(sessions) - len(shown)} more")
        yield Found(
            f"This {_noun(case)} used {counted(len(sessions), 'session')} of"
            f" {first.facts.registry_name}, {listed(labels)}, because an app context"
            " was pushed inside of another.",
            {
                label(used.facts.serial): {
                    "app context": used.context + 1,
                    "used": place(used.first_use),
                }
                for used in shown
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
            # Where it was not even asked for, the other place is the one to go to.
            used.first_use or before.location,
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
        owner = clue.owner_facts
        user = None if owner is None else _user_of(case, owner)
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


def _others(case: Case, used: RawSession) -> list[Earlier]:
    """Return the first record that used a session, and the last one before this."""
    first = _user_of(case, used.facts)
    before = used.earlier
    others = [] if first is None else [first]
    if before is not None and before.record not in [each.record for each in others]:
        others.append(before)
    return others


def _by_registry(case: Case) -> cabc.Iterable[list[RawSession]]:
    """Return the sessions of each registry, those of the stream for themselves."""
    stream = min(case.scope.continued or (), default=case.scope.contexts)
    groups: dict[object, list[RawSession]] = {}
    for used in case.sessions:
        key = used.facts.registry_key
        if key is not None and case.served(used):
            groups.setdefault((key, used.context >= stream), []).append(used)
    return groups.values()


def _is_own(case: Case, used: RawSession) -> bool:
    """Say whether a session is of the app context of the request or its stream."""
    return used.context == 0 or used.context in (case.scope.continued or ())


def _is_nested(case: Case, used: RawSession, others: list[RawSession]) -> bool:
    """Say whether a session is of an app context inside of another.

    An async view runs in a thread of its own, as other work beside the request does;
    there it is the task that tells whether one context is around the other.
    """
    if used.context in (case.scope.nested or ()):
        return True
    if used.task is None or _is_own(case, used):
        return False
    return any(
        other.task is used.task and other.context < used.context for other in others
    )


def _first_of(pins: cabc.Sequence[str]) -> str:
    """Name one place; a closure can have the same session many times over."""
    if len(pins) == 1:
        return pins[0]
    return f"{pins[0]}, and in {counted(len(pins) - 1, 'other place')},"


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
    user = _user_of(case, facts)
    if used is not None:
        told["app context"] = used.context + 1
        told["first use"] = place(used.first_use)
    elif user is not None:
        told["first use"] = place(user.location)
    pins = case.pins(serial)
    if pins:
        told["held by"] = listed(pins)
    if user is not None:
        told["used before by"] = case.name(user)
    return told


def _made(facts: SessionFacts) -> str:
    if facts.registry_key is not None:
        return facts.registry_name
    return "directly" if facts.origin == "direct" else "by a sessionmaker"


def _user_of(case: Case, facts: SessionFacts) -> Earlier | None:
    """Return the record that used a session first, if it is another."""
    first = facts.first
    if first is None or first is case.scope:
        return None
    return earlier(first, facts.serial)
