"""Rules on sessions and the app contexts that they belong to."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

from ..clues import Earlier
from ..phrases import counted
from ..phrases import joined
from ..phrases import marked
from ..recorder import RawSession
from .case import Case
from .case import at
from .case import label
from .case import place
from .catalogue import Found
from .catalogue import rule
from .signs import CONTEXTS
from .signs import LEFT_OPEN
from .signs import REUSED

_MOST_SHOWN = 5


@rule(
    "FSI102",
    "session-not-removed",
    "error",
    when=LEFT_OPEN,
    meaning=marked(
        "The app context is gone and its session is not: the registry still holds it,"
        " or it still has a transaction open. Its connection stays checked out, and a"
        " later scope with the same key gets its objects."
    ),
    fix=marked(
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
    "FSI104",
    "context-reused",
    "warning",
    when=REUSED,
    meaning=marked(
        "The request ran inside an app context that was pushed before it and used the"
        " session of that context, which nobody removes when the request ends. In"
        " production each request has an app context of its own."
    ),
    fix=marked(
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
    when=CONTEXTS,
    meaning=marked(
        "One request used two sessions of the same registry, because an app context"
        " was pushed inside of it. The two do not see each other's uncommitted"
        " changes, and an object of one cannot be added to the other."
    ),
    fix=marked(
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
        outer = [used for used in sessions if _is_own(case, used)]
        # A command may push one context after another for its jobs.
        outer = outer or (inner[:1] if case.is_request else [])
        sessions = [used for used in sessions if used in outer or used in inner]
        if not (inner and outer) or len({used.context for used in sessions}) < 2:
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
            f"This {case.noun} used {counted(len(sessions), 'session')} of"
            f" {first.facts.registry_name}, {joined(labels)}, because an app context"
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


def _others(case: Case, used: RawSession) -> list[Earlier]:
    """Return the first record that used a session, and the last one before this."""
    first = case.first_user(used.facts)
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
