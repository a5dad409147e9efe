"""The time axis that all drawings of a record share."""

from __future__ import annotations

import math
import typing as t
from dataclasses import dataclass

from ...records import ConnectionCheckout
from ...records import RequestRecord
from ...records import SessionRecord
from ...records import TransactionRecord
from ..pages.formats import shorten
from ..pages.wording import Glyph
from ..translating import gettext

SHAPES = {"commit": "commit", "rollback": "rollback", "close": "closed", "open": "use"}


class Bar(t.NamedTuple):
    """A span of time in a lane.

    :param x: Its left edge; ``y``, ``width`` and ``height`` likewise.
    :param shape: What it stands for, a class of the stylesheet.
    :param title: The facts behind it.
    :param text: What is written on it where there is room.
    :param glyph: How it ended.
    """

    x: float
    y: float
    width: float
    height: float
    shape: str
    title: str = ""
    text: str = ""
    glyph: Glyph | None = None


@dataclass(frozen=True)
class Tick:
    """A mark of the time axis; ``anchor`` aligns its text."""

    x: float
    text: str
    anchor: str


class Scale:
    """Maps the milliseconds of a record to a stretch of a drawing.

    :ivar end: The last moment shown, in milliseconds; never 0.
    """

    def __init__(self, record: RequestRecord, left: float, right: float) -> None:
        self.end = max(_span(record), 0.001)
        self._left, self._right = float(left), right
        self._factor = (right - left) / self.end

    def at(self, ms: float) -> float:
        """Return where a moment is, within the stretch."""
        # Drawn a thousand times on one page, where min() and max() would tell.
        x = self._left + ms * self._factor if ms > 0 else self._left
        return round(x if x <= self._right else self._right, 1)

    def bar(
        self, start: float, end: float | None, least: float = 2
    ) -> tuple[float, float]:
        """Return left edge and width of a span, wide enough to be seen.

        :param end: ``None`` for a span that did not end.
        :param least: The least width.
        """
        left = self.at(start)
        width = self.at(self.end if end is None else end) - left
        if width < least:
            width = least
        if left > self._right - width:
            left = self._right - width
        return round(left, 1), round(width, 1)

    def ticks(self) -> tuple[Tick, ...]:
        """Mark five to ten round moments."""
        rough = self.end / 8
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * n for n in (1, 2, 5, 10) if power * n >= rough)
        decimals = max(0, -math.floor(math.log10(step)))
        last = int(self.end / step + 1e-6)
        ticks = []
        for index in range(last + 1):
            x = self.at(index * step)
            near_end = x > self._right - 20
            anchor = "start" if index == 0 else "end" if near_end else "middle"
            text = f"{index * step:,.{decimals}f}"
            if index == last:
                text = gettext("%(time)s ms", time=text)
            ticks.append(Tick(x, text, anchor))
        return tuple(ticks)


def fitting(text: str, width: float) -> str:
    """Return a text as far as it fits on a bar; nothing rather than a stump."""
    most = int((width - 14) / 6.2)
    return shorten(text, most) if most >= min(len(text), 12) else ""


def held(checkout: ConnectionCheckout, end: float) -> float:
    """Return for how many milliseconds a connection was out, until ``end`` at most."""
    back = end if checkout.checked_in_ms is None else checkout.checked_in_ms
    return max(back - checkout.checked_out_ms, 0)


def idle_spans(
    session: SessionRecord, transaction: TransactionRecord, end: float, idle_ms: float
) -> list[tuple[float, float]]:
    """Find the spans of a transaction during which no statement ran.

    :param end: Where a transaction that did not end is taken to end.
    :param idle_ms: The shortest span that counts.
    """
    until = end if transaction.ended_ms is None else transaction.ended_ms
    last, spans = transaction.began_ms, []
    for each in session.statements:
        if transaction.began_ms <= each.at_ms <= until:
            spans.append((last, each.at_ms))
            last = max(last, each.at_ms + each.duration_ms)
    spans.append((last, until))
    return [(a, b) for a, b in spans if b > a and b - a >= idle_ms]


def _span(record: RequestRecord) -> float:
    ends = [record.duration_ms]
    for session in record.sessions:
        ends += [each.ended_ms or each.began_ms for each in session.transactions]
        ends += [each.at_ms + each.duration_ms for each in session.statements]
    ends += [each.at_ms + each.duration_ms for each in record.connection_statements]
    ends += [each.checked_in_ms or each.checked_out_ms for each in record.connections]
    return max(ends)
