"""A record that has ended, packed: what a store in memory keeps of it.

A scope and what it refers to are dozens of objects and some 4 kB. Of a thousand records
hardly one is ever looked at, so each is kept as two objects: a tuple of what refers to
something that records share (names, SQL, lines of code) and one row of numbers. Neither
is anything for the garbage collector to go through, as long as the tuple holds nothing
but text and plain tuples of text: it lets go of such tuples, and of no other.
"""

from __future__ import annotations

import functools
import struct
import typing as t
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

# The numbers, then what the comments below say.
Packed = tuple[t.Any, ...]

_NOT = -1.0  # No moment and no count is negative.
# A double holds integers up to this one.
_GREATEST = 2**53

_HEAD = 10, 14  # How many references and numbers the record itself takes,
_SESSION = 7, 9  # how many each of its sessions,
_TRANSACTION = 3, 5
_STATEMENT = 5, 5
_CHECKOUT = 1, 5


@functools.lru_cache(maxsize=1000)
def _row(length: int) -> struct.Struct:
    return struct.Struct(f"{length}d")


def pack(scope: Scope, place: int) -> Packed:
    """Pack a scope that has ended.

    :param place: Its place in the store.
    """
    names = (
        scope.origin.names,
        scope.kind,
        scope.thread,
        scope.method,
        scope.path,
        scope.query,
        scope.secrets,
        scope.endpoint,
        scope.error,
        scope.findings,
    )
    if scope.sessions or scope.statements or scope.checkouts or scope.transactions:
        return _pack_all(scope, place, names)
    return (_HEAD_ROW.pack(*_head(scope, place), 0, 0, 0, 0), *names)


def _head(scope: Scope, place: int) -> tuple[float, ...]:
    """Return the numbers of the record itself."""
    status, stopped = scope.status, scope.stopped
    return (
        place,
        scope.number,
        scope.started_at,
        scope.started,
        _NOT if stopped is None else stopped,
        _NOT if status is None else status,
        maxsize - length_hint(scope._indices),  # Its contexts.
        scope.reused_context,
        scope.dropped,
        scope.statement_overflow,
    )


def _pack_all(scope: Scope, place: int, names: tuple[t.Any, ...]) -> Packed:
    # A thread that outlives its request may still add to it.
    sessions = [*scope.sessions.values()]
    transactions = [*scope.transactions]
    statements = [*scope.statements]
    checkouts = [*scope.checkouts]
    head = (
        *_head(scope, place),
        len(sessions),
        len(transactions),
        len(statements),
        len(checkouts),
    )
    references: list[t.Any] = []
    numbers: list[float] = []
    for used in sessions:
        _pack_session(used, scope, references, numbers)
    for transaction in transactions:
        bind, writes = transaction.bind, transaction.writes
        references += (transaction.outcome, bind.name, tuple(writes.items()))
        ended = transaction.ended
        numbers += (
            transaction.serial,
            transaction.began,
            _NOT if ended is None else ended,
            transaction.nested,
            bind.mysql,
        )
    for began, ended_at, sql, rows, bind, serial, *more in statements:
        references += (sql, bind.name, more[0], more[1], more[2])
        numbers += (
            began,
            ended_at,
            _NOT if rows is None else rows,
            _NOT if serial is None else serial,
            bind.mysql,
        )
    for checkout in checkouts:
        bind = checkout.bind
        references.append(bind.name)
        returned, of = checkout.returned, checkout.serial
        numbers += (
            checkout.connection_id,
            checkout.taken,
            _NOT if returned is None else returned,
            _NOT if of is None else of,
            bind.mysql,
        )
    row = _row(len(head) + len(numbers))
    return (row.pack(*head, *numbers), *names, *references)


def _pack_session(
    used: RawSession, scope: Scope, references: list[t.Any], numbers: list[float]
) -> None:
    facts = used.facts
    first, key, proxy_id = facts.first, facts.key, facts.proxy_id
    is_number = type(key) is int and 0 <= key < _GREATEST
    references += (
        facts.class_name,
        facts.origin,
        facts.registry,
        used.first_use,
        used.ended,
        None if is_number else facts.scope_key,
        None if first is scope or first is None else (first.origin.names, first.number),
    )
    new, changed, deleted = used.pending
    numbers += (
        facts.serial,
        facts.python_id,
        _NOT if proxy_id is None else proxy_id,
        key if is_number else _NOT,
        used.context,
        used.identity_map_size,
        new,
        changed,
        deleted,
    )


def place_of(packed: Packed) -> int:
    """Return the place in the store."""
    return int(_PLACE.unpack_from(packed[0])[0])


_PLACE = struct.Struct("d")
_HEAD_ROW = _row(_HEAD[1])


class _Reader:
    """Reads references and numbers in the order in which they were packed."""

    def __init__(self, packed: Packed) -> None:
        self._references = packed[1:]
        self._numbers = struct.unpack(f"{len(packed[0]) // 8}d", packed[0])
        self._at = [0, 0]

    def next(self, size: tuple[int, int]) -> tuple[t.Any, ...]:
        """Return as many references and numbers as a part has."""
        first, second = self._at
        self._at = [first + size[0], second + size[1]]
        return (
            *self._references[first : first + size[0]],
            *self._numbers[second : second + size[1]],
        )


def unpack(packed: Packed) -> Scope:
    """Make a scope again, with what a record shows of it."""
    reader = _Reader(packed)
    scope = Scope.__new__(Scope)
    (
        names,
        scope.kind,
        scope.thread,
        scope.method,
        scope.path,
        scope.query,
        scope.secrets,
        scope.endpoint,
        scope.error,
        scope.findings,
        _,
        number,
        scope.started_at,
        scope.started,
        stopped,
        status,
        contexts,
        reused,
        dropped,
        overflow,
        *lengths,
    ) = reader.next(_HEAD)
    scope.origin, scope.number = Origin.named(*names), int(number)
    scope.stopped, scope.status = _moment(stopped), _whole(status)
    scope.reused_context, scope.dropped = bool(reused), bool(dropped)
    scope.statement_overflow = int(overflow)
    scope.has_contexts(int(contexts))
    sessions, transactions, statements, checkouts = map(int, lengths)
    used = [_session(reader, scope) for _ in range(sessions)]
    scope.sessions = {each.facts.serial: each for each in used}
    scope.transactions = [_transaction(reader) for _ in range(transactions)]
    scope.statements = [_statement(reader) for _ in range(statements)]
    scope.checkouts = [_checkout(reader) for _ in range(checkouts)]
    return scope


def _moment(number: float) -> float | None:
    return None if number == _NOT else number


def _whole(number: float) -> int | None:
    return None if number == _NOT else int(number)


def _session(reader: _Reader, scope: Scope) -> RawSession:
    facts = SessionFacts.__new__(SessionFacts)
    used = RawSession.__new__(RawSession)
    used.facts = facts
    (
        facts.class_name,
        facts.origin,
        facts.registry,
        used.first_use,
        used.ended,
        key,
        first,
        serial,
        python_id,
        proxy_id,
        key_number,
        context,
        size,
        *pending,
    ) = reader.next(_SESSION)
    facts.serial, facts.python_id = int(serial), int(python_id)
    facts.proxy_id = _whole(proxy_id)
    facts.key = _whole(key_number) if key is None else key
    facts.first = scope
    if first is not None:
        facts.first = Scope.__new__(Scope)
        facts.first.origin, facts.first.number = Origin.named(*first[0]), first[1]
    used.context, used.identity_map_size = int(context), int(size)
    used.pending = int(pending[0]), int(pending[1]), int(pending[2])
    return used


def _transaction(reader: _Reader) -> RawTransaction:
    outcome, name, writes, serial, began, ended, *flags = reader.next(_TRANSACTION)
    bind = Bind(name, bool(flags[1]))
    made = RawTransaction(None, int(serial), 0, 0, began, bool(flags[0]), bind)
    made.outcome, made.writes, made.ended = outcome, dict(writes), _moment(ended)
    return made


def _statement(reader: _Reader) -> RawStatement:
    sql, name, location, relationship, parameters, *numbers = reader.next(_STATEMENT)
    began, ended, rows, serial, mysql = numbers
    return RawStatement(
        began,
        ended,
        sql,
        _whole(rows),
        Bind(name, bool(mysql)),
        _whole(serial),
        location,
        relationship,
        parameters,
    )


def _checkout(reader: _Reader) -> RawCheckout:
    name, number, taken, returned, serial, mysql = reader.next(_CHECKOUT)
    made = RawCheckout(None, int(number), taken, 0, None)
    made.bind = Bind(name, bool(mysql))
    made.returned, made.serial = _moment(returned), _whole(serial)
    return made
