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

import operator
import typing as t
from operator import length_hint
from sys import maxsize

from .scope import Origin
from .scope import Scope
from .sessions import RawSession
from .sessions import SessionFacts
from .traces import NO_BIND
from .traces import Bind
from .traces import RawCheckout
from .traces import RawStatement
from .traces import RawTransaction

# The place comes first, then what pack() says.
Packed = tuple[t.Any, ...]

# What many records have in common, by itself.
_shapes: dict[tuple[t.Any, ...], tuple[t.Any, ...]] = {}
_MOST_SHAPES = 1000


# What is kept of each object, in this order: pack() reads it, unpack() writes it.
_SHAPE = (
    "kind",
    "method",
    "endpoint",
    "error",
    "status",
    "reused_context",
    "dropped",
    "statement_overflow",
)
_HEAD = (
    "number",
    "thread",
    "started_at",
    "started",
    "stopped",
    "path",
    "query",
    "secrets",
    "findings",
)
_FACTS = (
    "serial",
    "python_id",
    "class_name",
    "origin",
    "registry",
    "proxy_id",
    "key",
)
_USED = ("first_use", "ended", "context", "identity_map_size", "pending")
_TRANSACTION = ("serial", "began", "ended", "nested", "outcome")
_CHECKOUT = ("connection_id", "taken", "returned", "serial")
# The first fields of a statement; of the others, its bind.
_STATEMENT = RawStatement._fields[: RawStatement._fields.index("bind")]

_shape_of = operator.attrgetter(*_SHAPE)
_head_of = operator.attrgetter(*_HEAD)
_facts_of = operator.attrgetter(*_FACTS)
_used_of = operator.attrgetter(*_USED)
_transaction_of = operator.attrgetter(*_TRANSACTION)
_checkout_of = operator.attrgetter(*_CHECKOUT)


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
        *_shape_of(scope),
    )
    head = (place, _shapes.get(shape) or _share(shape), *_head_of(scope))
    if not (sessions or statements or checkouts or transactions):
        return head
    parts = [*head]
    for used in sessions:
        first = used.facts.first
        parts.append(
            None
            if first is scope or first is None
            else (first.origin.names, first.number)
        )
        parts += _facts_of(used.facts)
        parts += _used_of(used)
    for transaction in transactions:
        parts += _transaction_of(transaction)
        parts.append(tuple(transaction.writes.items()) if transaction.writes else ())
        parts.append(transaction.bind.plain)
    for statement in statements:
        parts += statement[: len(_STATEMENT)]
        parts.append(statement.bind.plain)
    for checkout in checkouts:
        parts += _checkout_of(checkout)
        parts.append(checkout.bind.plain)
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
    names, contexts, *lengths = packed[1][:6]
    _set(scope, _SHAPE, iter(packed[1][6:]))
    _set(scope, _HEAD, parts)
    scope.origin = Origin.named(*names)
    scope.has_contexts(contexts)
    sessions, transactions, statements, checkouts = lengths
    used = [_session(parts, scope) for _ in range(sessions)]
    scope.sessions = {each.facts.serial: each for each in used}
    scope.transactions = [_transaction(parts) for _ in range(transactions)]
    scope.statements = [_statement(parts) for _ in range(statements)]
    scope.checkouts = [_checkout(parts) for _ in range(checkouts)]
    return scope


def _set(made: object, names: tuple[str, ...], parts: t.Iterator[t.Any]) -> None:
    for name in names:
        setattr(made, name, next(parts))


def _session(parts: t.Iterator[t.Any], scope: Scope) -> RawSession:
    facts = SessionFacts.__new__(SessionFacts)
    used = RawSession.__new__(RawSession)
    used.facts = facts
    facts.first = scope
    first = next(parts)
    if first is not None:
        facts.first = Scope.__new__(Scope)
        facts.first.origin, facts.first.number = Origin.named(*first[0]), first[1]
    _set(facts, _FACTS, parts)
    _set(used, _USED, parts)
    return used


def _transaction(parts: t.Iterator[t.Any]) -> RawTransaction:
    made = RawTransaction(None, 0, 0, 0, 0.0, False, NO_BIND)
    _set(made, _TRANSACTION, parts)
    made.writes, made.bind = dict(next(parts)), Bind.named(*next(parts))
    return made


def _statement(parts: t.Iterator[t.Any]) -> RawStatement:
    values = dict(zip(_STATEMENT, parts, strict=False))
    return RawStatement(**values, bind=Bind.named(*next(parts)))


def _checkout(parts: t.Iterator[t.Any]) -> RawCheckout:
    made = RawCheckout(None, 0, 0.0, 0, None)
    _set(made, _CHECKOUT, parts)
    made.bind = Bind.named(*next(parts))
    return made
