"""Signs of a fault in a record, looked for in one pass before any rule is asked.

Nearly every record is healthy, and two dozen rules that each find nothing would take
longer than everything that was recorded. So a rule says by which sign a record could
concern it, and is asked about those records alone.
"""

from __future__ import annotations

import collections.abc as cabc
import operator
import sys
import typing as t
from operator import length_hint

from ..recorder import RawStatement

if t.TYPE_CHECKING:
    from ..recorder import Scope

# A rule that names no other sign is asked about each record that has anything in it.
ANYTHING = 1 << 0
# The hooks saw something that is no statement, transaction or checkout.
CLUE = 1 << 1
# Another record used a session of this one before.
SHARED = 1 << 2
# A session was neither removed nor closed when its app context ended.
LEFT_OPEN = 1 << 3
# A session is of no known registry.
UNREGISTERED = 1 << 4
# Something that lives as long as the application holds a session.
PINNED = 1 << 5
# The request ran in an app context that was there before it.
REUSED = 1 << 6
# It had more than one app context.
CONTEXTS = 1 << 7
# Rows that were written, or objects that were changed, were thrown away.
DISCARDED = 1 << 8
# A connection was not returned.
HELD = 1 << 9
# It had more than one connection.
CONNECTIONS = 1 << 10
# It took longer than a transaction should be idle.
LONG = 1 << 11
# It may have sent one text with the same values as often as REPEATED says.
REPEATS = 1 << 12
# It sent at least as many statements that load a relationship lazily.
LAZY_LOADS = 1 << 13

REPEATED = 5

_ONE_TAKEN = sys.maxsize - 1
# By these, two statements are the same question.
_question = operator.attrgetter("sql", "fingerprint")
# By its place: of a named tuple, that takes half as long.
_fingerprint = operator.itemgetter(RawStatement._fields.index("fingerprint"))
_relationship = operator.itemgetter(RawStatement._fields.index("relationship"))


def signs_of(scope: Scope, idle_ms: float, pinned: cabc.Container[int]) -> int:
    """Return the signs that a record shows, 0 if there is nothing in it.

    :param idle_ms: The threshold of FSI203, in milliseconds.
    :param pinned: The serials of sessions that are known to be held.
    """
    sessions, statements = scope.sessions, scope.statements
    checkouts, clues = scope.checkouts, scope.clues
    if not (sessions or checkouts or statements or clues):
        return 0
    signs = ANYTHING
    if clues:
        signs |= CLUE
    for used in [*sessions.values()]:
        facts = used.facts
        if used.earlier is not None:
            signs |= SHARED
        if used.ended == "open" or used.held or used.left_in_transaction:
            signs |= LEFT_OPEN
        if facts.registry is None and facts.kept_as is None:
            signs |= UNREGISTERED
        if facts.serial in pinned:
            signs |= PINNED
        if used.thrown_new or used.thrown_changed or used.thrown_deleted:
            signs |= DISCARDED
    if scope.reused_context:
        signs |= REUSED
    if length_hint(scope.indices) < _ONE_TAKEN:  # As Scope.contexts, without a call.
        signs |= CONTEXTS
    for transaction in scope.transactions:
        if transaction.writes:
            if any(each.discarded for each in list(scope.transactions)):
                signs |= DISCARDED
            break
    for checkout in checkouts:
        if checkout.returned is None:
            signs |= HELD
    if len(checkouts) > 1:
        signs |= CONNECTIONS
    if scope.stopped is not None and (scope.stopped - scope.started) * 1000 > idle_ms:
        signs |= LONG
    if len(statements) >= REPEATED:
        kept = [*statements]
        enough = len(kept) - REPEATED + 1
        # Where the values alone differ often enough, there is no need to compare texts.
        if (
            len(set(map(_fingerprint, kept))) <= enough
            and len(set(map(_question, kept))) <= enough
        ):
            signs |= REPEATS
        if len(kept) - [*map(_relationship, kept)].count(None) >= REPEATED:
            signs |= LAZY_LOADS
    return signs
