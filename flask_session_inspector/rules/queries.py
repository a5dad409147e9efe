"""Rules on queries that are sent too often."""

from __future__ import annotations

import collections
import collections.abc as cabc

from ..phrases import marked
from ..recorder import RawStatement
from .case import Case
from .case import at
from .case import label
from .case import place
from .catalogue import Found
from .catalogue import rule
from .signs import LAZY_LOADS
from .signs import REPEATED
from .signs import REPEATS

# The meanings say this number and REPEATED: a text that is translated is not put
# together.
BURST = 10


@rule(
    "FSI501",
    "lazy-load-burst",
    "warning",
    when=LAZY_LOADS,
    meaning=marked(
        "10 or more lazy loads of one relationship in one request, one statement for"
        " each object (N+1)."
    ),
    fix=marked(
        "Load the relationship with the objects: .options(selectinload(...)) or"
        " joinedload(...) on the query that they come from."
    ),
)
def lazy_load_burst(case: Case) -> cabc.Iterator[Found]:
    statements = case.scope.statements
    if not case.is_request or len(statements) < BURST:
        return
    bursts: dict[str, list[RawStatement]] = {}
    for each in statements:
        if each.relationship is not None:
            bursts.setdefault(each.relationship, []).append(each)
    for relationship, loads in bursts.items():
        if len(loads) < BURST:
            continue
        lines = collections.Counter(each.location for each in loads)
        location = lines.most_common(1)[0][0]
        yield Found(
            f"{relationship} was lazily loaded {_times(case, loads)} in one request"
            f"{at(location)}.",
            {
                "loads": len(loads),
                "lines": {place(line): n for line, n in lines.most_common(5)},
                "statement": case.sql(loads[0]),
                "milliseconds": round(_time(loads), 1),
            },
            loads[0].serial,
            location,
        )


@rule(
    "FSI502",
    "repeated-statement",
    "info",
    when=REPEATS,
    meaning=marked(
        "One request sent the same query with the same parameters 5 times or more."
    ),
    fix=marked("Ask once and keep the answer for the rest of the request."),
)
def repeated_statement(case: Case) -> cabc.Iterator[Found]:
    statements = case.scope.statements
    if not case.is_request or len(statements) < REPEATED:
        return
    same: dict[object, list[RawStatement]] = {}
    for each in statements:
        if each.fingerprint is not None:
            key = (each.sql, each.fingerprint, each.bind)
            same.setdefault(key, []).append(each)
    for repeats in same.values():
        if len(repeats) < REPEATED or not case.is_query(repeats[0]):
            continue
        lines = collections.Counter(each.location for each in repeats)
        location = lines.most_common(1)[0][0]
        serials = {each.serial for each in repeats if each.serial is not None}
        yield Found(
            f"The same query was sent {_times(case, repeats)} with the same parameters"
            f"{at(location)}.",
            {
                "times": len(repeats),
                "lines": {place(line): n for line, n in lines.most_common(5)},
                "statement": case.sql(repeats[0]),
                "milliseconds": round(_time(repeats), 1),
                "sessions": [label(serial) for serial in sorted(serials)],
            },
            repeats[0].serial,
            location,
        )


def _times(case: Case, statements: cabc.Sized) -> str:
    # Those beyond the limit are only counted, whatever they were.
    least = "at least " if case.scope.statement_overflow else ""
    return f"{least}{len(statements):,} times"


def _time(statements: cabc.Iterable[RawStatement]) -> float:
    return sum(each.ended - each.began for each in statements) * 1000
