"""Rules on writes that were thrown away."""

from __future__ import annotations

import collections.abc as cabc
import math
import re
import typing as t

from ..phrases import counted
from ..phrases import joined
from ..phrases import marked
from ..recorder import RawSession
from ..recorder import RawStatement
from ..recorder import RawTransaction
from .case import Case
from .case import label
from .case import place
from .catalogue import Found
from .catalogue import rule
from .signs import DISCARDED

_CREATE = re.compile(
    r"\s*CREATE\s+(?:GLOBAL\s+|LOCAL\s+)?TEMP(?:ORARY)?\s+TABLE\s+"
    r"(?:IF\s+NOT\s+EXISTS\s+)?(?P<table>[^\s(]+)",
    re.IGNORECASE,
)


@rule(
    "FSI201",
    "discarded-writes",
    "error",
    when=DISCARDED,
    meaning=marked(
        "Rows were written, or objects added, changed or deleted, and then thrown away:"
        " the session was closed without a commit, though nobody rolled back and no"
        " exception was raised."
    ),
    fix=marked(
        "Call session.commit() when the work is done, or session.rollback() to say"
        " that it is not wanted."
    ),
)
def discarded_writes(case: Case) -> cabc.Iterator[Found]:
    scope = case.scope
    if scope.raised or scope.error:
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
            f"{counted(sum(classes.values()), f'{kind} object')} ({joined([*classes])})"
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
            f" {joined(parts)}.",
            evidence,
            serial,
            location,
        )


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
