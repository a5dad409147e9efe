"""The mini timeline: one record as a strip in a table row."""

from __future__ import annotations

import collections.abc as cabc
from dataclasses import dataclass

from ...records import RequestRecord
from ..pages.formats import milliseconds
from ..pages.wording import numbered_statements
from ..translating import ngettext
from .axis import SHAPES
from .axis import Bar
from .axis import Scale
from .axis import held
from .axis import idle_spans

WIDTH = 176


@dataclass(frozen=True)
class Mini:
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
        shapes = dict.fromkeys(bar.shape for bar in self.transactions)
        return [
            (shape, _boxes(bar for bar in self.transactions if bar.shape == shape))
            for shape in shapes
        ]

    @property
    def idle_path(self) -> str:
        return _boxes(self.idle)

    @property
    def statement_path(self) -> str:
        return "".join(f"M{x:g},2V20" for x in self.statements)

    @property
    def connection_path(self) -> str:
        return _boxes(self.connections)


def _boxes(bars: cabc.Iterable[Bar]) -> str:
    """Return the path around some bars."""
    return "".join(
        f"M{bar.x:g},{bar.y:g}h{bar.width:g}v{bar.height:g}h-{bar.width:g}z"
        for bar in bars
    )


def mini(record: RequestRecord, *, idle_ms: float) -> Mini | None:
    """Lay out the strip of one record, ``None`` if it used no database.

    :param idle_ms: From how many milliseconds without a statement on a
        transaction counts as idle.
    """
    statements = numbered_statements(record)
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
        for start, end in idle_spans(session, each, scale.end, idle_ms):
            x, width = scale.bar(start, end)
            idle.append(Bar(x, 5.5, width, 11, "is-idle"))
    connections = []
    for checkout in record.connections:
        x, width = scale.bar(checkout.checked_out_ms, checkout.checked_in_ms)
        connections.append(Bar(x, 21, width, 3, "is-held"))
    # Many statements fall on the same pixel: one tick shows them all.
    ticks = dict.fromkeys(
        round(scale.at(each.statement.at_ms) * 2) / 2 for each in statements
    )
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
        longest = max(held(each, end) for each in record.connections)
        connections = ngettext(
            "%(num)s connection held for up to %(longest)s of %(all)s ms",
            "%(num)s connections held for up to %(longest)s of %(all)s ms",
            len(record.connections),
            longest=milliseconds(longest),
            all=milliseconds(record.duration_ms),
        )
        label = f"{label}, {connections}"
    return label
