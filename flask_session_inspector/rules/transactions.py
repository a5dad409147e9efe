"""Rules on transactions: idle, poisoned, in the midst of a commit."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

from ..clues import CommitHookSql
from ..clues import Poisoned
from ..phrases import marked
from ..recorder import RawStatement
from ..recorder import RawTransaction
from .case import Case
from .case import at
from .case import label
from .case import place
from .catalogue import Found
from .catalogue import rule
from .signs import CLUE
from .signs import LONG


@rule(
    "FSI203",
    "idle-in-transaction",
    "warning",
    when=LONG,
    meaning=marked(
        "A transaction stayed open while no SQL ran, longer than"
        " SESSION_INSPECTOR_IDLE_TRANSACTION_MS. Its connection serves nobody else"
        " meanwhile, and its locks stay."
    ),
    fix=marked(
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
    when=CLUE,
    meaning=marked(
        "A flush failed and nobody rolled back, so the session refuses everything"
        " since: PendingRollbackError. The error that is seen is not the one that"
        " matters, which came before."
    ),
    fix=marked(
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
    "FSI206",
    "sql-in-commit-hook",
    "error",
    when=CLUE,
    meaning=marked(
        "A hook of a commit (after_commit, models_committed) asked the session for"
        " SQL, also by reading an attribute that the commit had expired. The session"
        " can send none then."
    ),
    fix=marked(
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
