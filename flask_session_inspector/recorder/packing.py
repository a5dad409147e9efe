"""A record that has ended, packed: what a store in memory keeps of it.

A scope and what it refers to are dozens of objects and some 4 kB. Of a thousand records
hardly one is ever looked at, so each is kept as one tuple: its own numbers and moments,
and what refers to something that records share (names, SQL, lines of code). What is the
same in thousands of records, such as the endpoint and how many statements there were,
is one more tuple that they share.

That is nothing for the garbage collector to go through, as long as the tuple holds
nothing but numbers, text and plain tuples of these: it lets go of such tuples, and of
no other.
"""

from __future__ import annotations

import typing as t
from itertools import islice
from operator import length_hint
from sys import maxsize

from .scope import Origin
from .scope import Scope
from .sessions import RawSession
from .sessions import SessionFacts
from .traces import Bind
from .traces import RawCheckout
from .traces import RawStatement
from .traces import RawTransaction

# The place comes first, then what pack() says.
Packed = tuple[t.Any, ...]

# What many records have in common, by itself.
_shapes: dict[tuple[t.Any, ...], tuple[t.Any, ...]] = {}
_MOST_SHAPES = 1000

# The fields of a statement before it are kept; of the others, the bind.
_BIND = RawStatement._fields.index("bind")


def pack(scope: Scope, place: int) -> Packed:
    """Pack a scope that has ended.

    :param place: Its place in the store.
    """
    # A thread that outlives its request may still add to it.
    sessions = [*scope.sessions.values()] if scope.sessions else ()
    transactions = [*scope.transactions] if scope.transactions else ()
    statements = [*scope.statements] if scope.statements else ()
    checkouts = [*scope.checkouts] if scope.checkouts else ()
    shape = (
        scope.origin.names,
        maxsize - length_hint(scope.indices),  # Its contexts.
        len(sessions),
        len(transactions),
        len(statements),
        len(checkouts),
        scope.kind,
        scope.method,
        scope.endpoint,
        scope.error,
        scope.status,
        scope.reused_context,
        scope.dropped,
        scope.statement_overflow,
    )
    head = (
        place,
        _shapes.get(shape) or _share(shape),
        scope.number,
        scope.thread,
        scope.started_at,
        scope.started,
        scope.stopped,
        scope.path,
        scope.query,
        scope.secrets,
        scope.findings,
    )
    if not (sessions or statements or checkouts or transactions):
        return head
    parts: list[t.Any] = [*head]
    for used in sessions:
        facts = used.facts
        first = facts.first
        parts += (
            None
            if first is scope or first is None
            else (first.origin.names, first.number),
            facts.serial,
            facts.python_id,
            facts.class_name,
            facts.origin,
            facts.registry,
            facts.proxy_id,
            facts.key,
            used.first_use,
            used.ended,
            used.context,
            used.identity_map_size,
            used.pending,
        )
    for transaction in transactions:
        writes = transaction.writes
        parts += (
            transaction.serial,
            transaction.began,
            transaction.ended,
            transaction.nested,
            transaction.outcome,
            tuple(writes.items()) if writes else (),
            transaction.bind.plain,
        )
    for statement in statements:
        parts += statement[:_BIND]
        parts.append(statement.bind.plain)
    for checkout in checkouts:
        parts += (
            checkout.connection_id,
            checkout.taken,
            checkout.returned,
            checkout.serial,
            checkout.bind.plain,
        )
    return tuple(parts)


def _share(shape: tuple[t.Any, ...]) -> tuple[t.Any, ...]:
    if len(_shapes) >= _MOST_SHAPES:
        _shapes.clear()
    _shapes[shape] = shape
    return shape


def place_of(packed: Packed) -> int:
    """Return the place in the store."""
    return t.cast(int, packed[0])


def name_of(packed: Packed) -> tuple[str, int]:
    """Return the process of a record, and its number in it."""
    return packed[1][0][0], packed[2]


def unpack(packed: Packed) -> Scope:
    """Make a scope again, with what a record shows of it."""
    scope = Scope.__new__(Scope)
    parts = iter(packed[2:])
    names, contexts, sessions, transactions, statements, checkouts, *shape = packed[1]
    (
        scope.kind,
        scope.method,
        scope.endpoint,
        scope.error,
        scope.status,
        scope.reused_context,
        scope.dropped,
        scope.statement_overflow,
    ) = shape
    (
        scope.number,
        scope.thread,
        scope.started_at,
        scope.started,
        scope.stopped,
        scope.path,
        scope.query,
        scope.secrets,
        scope.findings,
    ) = islice(parts, 9)
    scope.origin = Origin.named(*names)
    scope.has_contexts(contexts)
    used = [_session(parts, scope) for _ in range(sessions)]
    scope.sessions = {each.facts.serial: each for each in used}
    scope.transactions = [_transaction(parts) for _ in range(transactions)]
    scope.statements = [_statement(parts) for _ in range(statements)]
    scope.checkouts = [_checkout(parts) for _ in range(checkouts)]
    return scope


def _session(parts: t.Iterator[t.Any], scope: Scope) -> RawSession:
    facts = SessionFacts.__new__(SessionFacts)
    used = RawSession.__new__(RawSession)
    used.facts = facts
    facts.first = scope
    first = next(parts)
    if first is not None:
        facts.first = Scope.__new__(Scope)
        facts.first.origin, facts.first.number = Origin.named(*first[0]), first[1]
    (
        facts.serial,
        facts.python_id,
        facts.class_name,
        facts.origin,
        facts.registry,
        facts.proxy_id,
        facts.key,
        used.first_use,
        used.ended,
        used.context,
        used.identity_map_size,
        used.pending,
    ) = islice(parts, 12)
    return used


def _transaction(parts: t.Iterator[t.Any]) -> RawTransaction:
    serial, began, ended, nested, outcome, writes, bind = islice(parts, 7)
    made = RawTransaction(None, serial, 0, 0, began, nested, Bind.named(*bind))
    made.ended, made.outcome, made.writes = ended, outcome, dict(writes)
    return made


def _statement(parts: t.Iterator[t.Any]) -> RawStatement:
    *fields, bind = islice(parts, _BIND + 1)
    values = dict(zip(RawStatement._fields, fields, strict=False))
    return RawStatement(**values, bind=Bind.named(*bind))


def _checkout(parts: t.Iterator[t.Any]) -> RawCheckout:
    number, taken, returned, serial, bind = islice(parts, 5)
    made = RawCheckout(None, number, taken, 0, None)
    made.returned, made.serial, made.bind = returned, serial, Bind.named(*bind)
    return made
