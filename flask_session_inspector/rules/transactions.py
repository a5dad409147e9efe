"""Rules on transactions and connections."""

from __future__ import annotations

import collections.abc as cabc
import itertools
import math
import re
import typing as t

from sqlalchemy.pool import NullPool

from ..clues import CommitHookSql
from ..clues import Poisoned
from ..recorder import RawCheckout
from ..recorder import RawSession
from ..recorder import RawStatement
from ..recorder import RawTransaction
from .case import Case
from .case import at
from .case import counted
from .case import label
from .case import listed
from .case import place
from .catalogue import Found
from .catalogue import rule

_CREATE = re.compile(
    r"\s*CREATE\s+(?:GLOBAL\s+|LOCAL\s+)?(?:TEMP(?:ORARY)?\s+|UNLOGGED\s+)?TABLE\s+"
    r"(?:IF\s+NOT\s+EXISTS\s+)?(?P<table>[^\s(]+)",
    re.IGNORECASE,
)


@rule(
    "FSI201",
    "discarded-writes",
    "error",
    meaning=(
        "Rows were written, or objects added, changed or deleted, and then thrown away:"
        " the session was closed without a commit, though nobody rolled back and no"
        " exception was raised."
    ),
    fix=(
        "Call session.commit() when the work is done, or session.rollback() to say"
        " that it is not wanted."
    ),
)
def discarded_writes(case: Case) -> cabc.Iterator[Found]:
    scope = case.scope
    # A status of 400 or more told the client that it was not done.
    if scope.raised or scope.error or (scope.status or 0) >= 400:
        return
    for used in case.sessions:
        serial = used.facts.serial
        transactions = case.transactions(serial)
        rows = _lost_rows(transactions)
        if rows:
            for table in _made_for_the_moment(case.statements(serial)):
                rows.pop(table, None)
        thrown = _thrown_away(used)
        if not rows and not thrown:
            continue
        parts = [
            f"{counted(number, 'row')} of {table}" for table, number in rows.items()
        ]
        parts += [
            f"{counted(sum(classes.values()), f'{kind} object')} ({listed([*classes])})"
            for kind, classes in thrown.items()
        ]
        location = _last_write(case, used) or used.first_use
        evidence: dict[str, t.Any] = {}
        if rows:
            evidence["rows per table"] = rows
        for kind, classes in thrown.items():
            evidence[f"{kind}, never flushed"] = classes
        evidence["last write" if rows else "first use"] = place(location)
        if any(each.afterwards for each in transactions if each.discarded):
            evidence["discarded"] = "after this record had ended"
        yield Found(
            f"{label(serial)} was closed without a commit, which discarded"
            f" {listed(parts)}.",
            evidence,
            serial,
            location,
        )


@rule(
    "FSI202",
    "connection-held",
    "error",
    meaning=(
        "A connection that was checked out in the request is not back in its pool"
        " after the teardown. When all are out, every further request waits for one"
        " and then fails."
    ),
    fix=(
        "Use with engine.connect() as connection, or close it in a finally block;"
        " where a session holds it, see what keeps that session from being removed."
    ),
)
def connection_held(case: Case) -> cabc.Iterator[Found]:
    scope = case.scope
    if not case.is_request or not case.is_over:
        return
    for checkout in scope.checkouts:
        if checkout.returned is not None or checkout.detached:
            continue
        used = case.session(checkout.serial)
        if used is not None and (used.of_outer_context or used.facts.unknown_registry):
            continue
        taken, stopped = case.milliseconds(checkout.taken), scope.stopped
        held = 0.0 if stopped is None else case.milliseconds(stopped) - taken
        evidence: dict[str, t.Any] = {
            "checked out": place(checkout.location),
            "at": f"{taken:,} ms",
            "held until the end of the record": f"{held:,.1f} ms",
        }
        holder = "without a session"
        if checkout.serial is not None:
            holder = f"by {label(checkout.serial)}"
            evidence["session"] = label(checkout.serial)
        pool = None if checkout.pool is None else checkout.pool()
        if pool is not None:
            evidence["pool"] = pool.status()
        yield Found(
            f"Connection {checkout.connection_id} ({checkout.bind.name or 'unused'})"
            f" was checked out {holder}{at(checkout.location)} and is not back in its"
            " pool.",
            evidence,
            checkout.serial,
            checkout.location,
        )


@rule(
    "FSI203",
    "idle-in-transaction",
    "warning",
    meaning=(
        "A transaction stayed open while no SQL ran, longer than"
        " SESSION_INSPECTOR_IDLE_TRANSACTION_MS. Its connection serves nobody else"
        " meanwhile, and its locks stay."
    ),
    fix=(
        "Commit or roll back before the slow part (a call to another service, a long"
        " computation, a large response), and begin again after it."
    ),
)
def idle_in_transaction(case: Case) -> cabc.Iterator[Found]:
    if not case.is_request or _took(case) <= case.idle_ms:
        return
    for used in case.sessions:
        serial = used.facts.serial
        statements = case.statements(serial)
        gaps = [
            gap
            for transaction in case.transactions(serial)
            if not transaction.nested
            for gap in _gaps(case, transaction, statements)
            if gap.length > case.idle_ms
        ]
        if not gaps:
            continue
        longest = max(gaps, key=lambda gap: gap.length)
        yield Found(
            f"The transaction of {label(serial)} stayed open for"
            f" {longest.length:,.0f} ms with no SQL running, between {longest.after}"
            f" and {longest.before}.",
            {
                "idle": [
                    {
                        "ms": round(gap.length, 1),
                        "after": gap.after,
                        "before": gap.before,
                    }
                    for gap in gaps[:10]
                ],
                "threshold": f"{case.idle_ms:g} ms",
                "bind": longest.bind,
            },
            serial,
            longest.location,
        )


@rule(
    "FSI204",
    "poisoned-session",
    "error",
    meaning=(
        "A flush failed and nobody rolled back, so the session refuses everything"
        " since: PendingRollbackError. The error that is seen is not the one that"
        " matters, which came before."
    ),
    fix=(
        "Call session.rollback() where the first failure is caught, or let it reach"
        " Flask; for a part that may fail use with session.begin_nested()."
    ),
)
def poisoned_session(case: Case) -> cabc.Iterator[Found]:
    for clue in case.clues(Poisoned):
        evidence: dict[str, t.Any] = {"used again": place(clue.location)}
        related: tuple[str, ...] = ()
        first = clue.first
        whose = "A session" if clue.serial is None else label(clue.serial)
        after = "its connection was lost" if clue.lost else "a failed flush"
        message = f"{whose} was used{at(clue.location)} after {after}"
        if first is None:
            message += ", and nobody had rolled back."
        else:
            message += f": {first.error}{at(first.location)} came first."
            evidence["first failure"] = first.error
            evidence["failed"] = place(first.location)
            if first.sql:
                evidence["statement"] = case.shown(first.sql, mysql=first.mysql)
            if first.user is not None and first.user.record != case.scope.id:
                evidence["failed in"] = case.name(first.user)
                related = (str(first.user.record),)
        yield Found(message, evidence, clue.serial, clue.location, related)


@rule(
    "FSI205",
    "two-connections",
    "warning",
    meaning=(
        "One request held two connections of one pool at the same time. When as many"
        " requests run as the pool has connections, each can wait for its second one"
        " for ever."
    ),
    fix=(
        "Send the SQL through the session that has a connection already"
        " (session.execute(), session.connection()), or end its transaction first."
    ),
)
def two_connections(case: Case) -> cabc.Iterator[Found]:
    checkouts = case.scope.checkouts
    if not case.is_request or len(checkouts) < 2:
        return
    told: set[object] = set()
    for first, second in itertools.combinations(checkouts, 2):
        pool = None if first.pool is None else first.pool()
        if pool is None or second.pool is None or second.pool() is not pool:
            continue
        if id(pool) in told or not _at_once(first, second):
            continue
        if issubclass(type(pool), NullPool):
            continue  # It has no limit to wait at.
        told.add(id(pool))
        held = _held(case, first), _held(case, second)
        yield Found(
            "This request held two connections of the pool"
            f" {first.bind.name or second.bind.name or 'of one engine'} at the same"
            f" time: {held[0]}, and {held[1]}.",
            {
                "first": _checkout(case, first),
                "second": _checkout(case, second),
                "pool": pool.status(),
            },
            second.serial if second.serial is not None else first.serial,
            second.location,
        )


@rule(
    "FSI206",
    "sql-in-commit-hook",
    "error",
    meaning=(
        "A hook of a commit (after_commit, models_committed) asked the session for"
        " SQL, also by reading an attribute that the commit had expired. The session"
        " can send none then."
    ),
    fix=(
        "Take what the hook needs before the commit (before_commit, after_flush), or"
        " do its work when session.commit() has returned."
    ),
)
def sql_in_commit_hook(case: Case) -> cabc.Iterator[Found]:
    for clue in case.clues(CommitHookSql):
        whose = "A session" if clue.serial is None else label(clue.serial)
        yield Found(
            f"{whose} was asked for SQL in the middle of a commit{at(clue.location)}.",
            {"state of the session": clue.state, "asked": place(clue.location)},
            clue.serial,
            clue.location,
        )


_END_OF_TRANSACTION = {
    "commit": "its commit",
    "rollback": "its rollback",
    "close": "the close of its session",
}


class _Gap(t.NamedTuple):
    length: float
    location: t.Any
    after: str
    before: str
    bind: str


def _took(case: Case) -> float:
    stopped = case.scope.stopped
    return 0.0 if stopped is None else case.milliseconds(stopped)


def _gaps(
    case: Case,
    transaction: RawTransaction,
    statements: cabc.Iterable[RawStatement],
) -> cabc.Iterator[_Gap]:
    """Find where a transaction was open and no statement of it ran."""
    scope = case.scope
    bind = transaction.bind
    last, location, after = transaction.began, None, ""
    ended = transaction.ended or scope.stopped or last
    for statement in statements:
        if statement.bind != bind or not last <= statement.ended <= ended:
            continue
        this = f"the statement{at(statement.location)}"
        # Before its first statement, the database knows of no transaction.
        if after and statement.began > last:
            length = (statement.began - last) * 1000
            yield _Gap(length, location, after, this, bind.name)
        last, location, after = statement.ended, statement.location, this
    # A commit takes its time in the database; and what was not kept may have run.
    idle_until = min(ended, transaction.asked or ended)
    if after and not scope.statement_overflow and idle_until > last:
        before = _END_OF_TRANSACTION.get(transaction.outcome or "", "the end")
        yield _Gap((idle_until - last) * 1000, location, after, before, bind.name)


def _lost_rows(transactions: list[RawTransaction]) -> dict[str, int]:
    """Sum up what was written in transactions that were merely closed."""
    lost: dict[str, int] = {}
    for outer in transactions:
        if not outer.discarded:
            continue
        inside = [
            each
            for each in transactions
            if each.nested and each.bind == outer.bind and _lies_in(each, outer)
        ]
        undone = [each for each in inside if each.outcome == "rollback"]
        # A savepoint takes those that were released within it back with it.
        inside = [each for each in inside if not any(_lies_in(each, u) for u in undone)]
        for each in (outer, *inside):
            for table, rows in each.writes.items():
                lost[table] = lost.get(table, 0) + rows
    return lost


def _lies_in(inner: RawTransaction, outer: RawTransaction) -> bool:
    return outer.began <= inner.began <= (outer.ended or math.inf)


def _made_for_the_moment(statements: list[RawStatement]) -> list[str]:
    """Name the tables that a session itself created: what is in them is scratch."""
    matches = (_CREATE.match(each.sql) for each in statements)
    return [match["table"].strip('"`[]') for match in matches if match]


def _thrown_away(used: RawSession) -> dict[str, dict[str, int]]:
    kinds = {
        "new": used.thrown_new,
        "changed": used.thrown_changed,
        "deleted": used.thrown_deleted,
    }
    return {kind: dict(classes) for kind, classes in kinds.items() if classes}


def _last_write(case: Case, used: RawSession) -> t.Any:
    locations = [
        each.location
        for each in case.statements(used.facts.serial)
        if each.writes and each.location is not None
    ]
    return locations[-1] if locations else None


def _at_once(first: RawCheckout, second: RawCheckout) -> bool:
    # Two threads or tasks of one request, each with one of its own, are no danger
    # to themselves.
    if first.connection_id == second.connection_id or first.worker != second.worker:
        return False
    earlier, later = sorted((first, second), key=lambda each: each.taken)
    return earlier.returned is None or earlier.returned > later.taken


def _held(case: Case, checkout: RawCheckout) -> str:
    by = "one without a session"
    if checkout.serial is not None:
        by = f"one for {label(checkout.serial)}"
    return f"{by}{at(checkout.location)}"


def _checkout(case: Case, checkout: RawCheckout) -> dict[str, t.Any]:
    back = checkout.returned
    return {
        "connection": checkout.connection_id,
        "session": "none" if checkout.serial is None else label(checkout.serial),
        "checked out": place(checkout.location),
        "from": f"{case.milliseconds(checkout.taken):,} ms",
        "to": "still held" if back is None else f"{case.milliseconds(back):,} ms",
    }
