"""The mini timeline: one record as a strip in a table row."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

from ...records import RequestRecord
from ..pages.formats import milliseconds
from ..translating import ngettext
from .axis import SHAPES
from .axis import Bar
from .axis import Scale
from .axis import held
from .axis import idle_spans

WIDTH = 176


class Mini(t.NamedTuple):
    """One record on a strip 176 wide and 24 high; the full width is the record.

    :param label: The same facts in words.
    :param statements: Where the ticks are.
    """

    label: str
    transactions: tuple[Bar, ...]
    idle: tuple[Bar, ...]
    statements: tuple[float, ...]
    connections: tuple[Bar, ...]

    @property
    def transaction_paths(self) -> list[tuple[str, str]]:
        """The transactions of each shape as one path."""
        boxes: dict[str, list[Bar]] = {}
        for bar in self.transactions:
            boxes.setdefault(bar.shape, []).append(bar)
        return [(shape, _boxes(bars)) for shape, bars in boxes.items()]

    @property
    def idle_path(self) -> str:
        return _boxes(self.idle)

    @property
    def statement_path(self) -> str:
        return "".join([f"M{x:g},2V20" for x in self.statements])

    @property
    def connection_path(self) -> str:
        return _boxes(self.connections)


def _boxes(bars: cabc.Iterable[Bar]) -> str:
    """Return the path around some bars."""
    return "".join([_box(*bar[:4]) for bar in bars])


def _box(x: float, y: float, width: float, height: float) -> str:
    across = f"{width:g}"
    return f"M{x:g},{y:g}h{across}v{height:g}h-{across}z"


def mini(record: RequestRecord, *, idle_ms: float) -> Mini | None:
    """Lay out the strip of one record, ``None`` if it used no database.

    :param idle_ms: From how many milliseconds without a statement on a
        transaction counts as idle.
    """
    statements = [
        each.at_ms for session in record.sessions for each in session.statements
    ]
    statements += [each.at_ms for each in record.connection_statements]
    statements.sort()
    transactions = [
        (session, each)
        for session in record.sessions
        for each in session.transactions
        if not each.nested
    ]
    if not statements and not transactions and not record.connections:
        return None
    scale = Scale(record, 0, WIDTH)
    boxes, idle = [], []
    for session, each in transactions:
        x, width = scale.bar(each.began_ms, each.ended_ms)
        shape = f"is-{SHAPES[each.outcome]}"
        boxes.append(Bar(x, 5.5, width, 11, shape))
        ended = scale.end if each.ended_ms is None else each.ended_ms
        if ended - each.began_ms < idle_ms:
            continue  # Mostly, and in a page there are a thousand.
        for start, end in idle_spans(session, each, scale.end, idle_ms):
            x, width = scale.bar(start, end)
            idle.append(Bar(x, 5.5, width, 11, "is-idle"))
    connections = []
    for checkout in record.connections:
        x, width = scale.bar(checkout.checked_out_ms, checkout.checked_in_ms)
        connections.append(Bar(x, 21, width, 3, "is-held"))
    # Many statements fall on the same pixel: one tick shows them all.
    ticks = dict.fromkeys([round(scale.at(at) * 2) / 2 for at in statements])
    return Mini(
        _label(record, len(transactions), scale.end),
        tuple(boxes),
        tuple(idle),
        tuple(ticks),
        tuple(connections),
    )


def _label(record: RequestRecord, transactions: int, end: float) -> str:
    label = ngettext("%(num)s statement", "%(num)s statements", record.statement_count)
    if transactions:
        label = ngettext(
            "%(statements)s in %(num)s transaction",
            "%(statements)s in %(num)s transactions",
            transactions,
            statements=label,
        )
    if record.connections:
        longest = max([held(each, end) for each in record.connections])
        connections = ngettext(
            "%(num)s connection held for up to %(longest)s of %(all)s ms",
            "%(num)s connections held for up to %(longest)s of %(all)s ms",
            len(record.connections),
            longest=milliseconds(longest),
            all=milliseconds(record.duration_ms),
        )
        label = f"{label}, {connections}"
    return label
