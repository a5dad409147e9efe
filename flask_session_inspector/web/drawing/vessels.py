"""The vessel of a session in the scoping diagram."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ...records import RequestRecord
from ...records import SessionRecord
from ..pages.formats import in_ms
from ..pages.formats import milliseconds
from ..pages.wording import Glyph
from ..pages.wording import ended_glyph
from ..pages.wording import session_outcome
from ..pages.wording import shared_by
from ..translating import gettext
from ..translating import ngettext

Use = tuple[RequestRecord, SessionRecord]

_CAP_TALL, _CAP_SHORT, _ROUND = 28, 22, 8


@dataclass(frozen=True)
class Vessel:
    """One session, from its first use to its teardown.

    :param aside: What distinguishes it: its app context, or its class.
    :param flag: That it was shared, and by how many; empty if it was not. Where there
        is little room, ``short_flag`` says so.
    :param outcome: What its transactions came to.
    :param queries: How many statements, over all the requests drawn.
    :param time: How long these took.
    :param end: What became of it.
    :param outline: The path of its border; one that was not removed is open at
        the bottom.
    :param cap: The path of the filled bottom, empty if it is open.
    :param fray: The path of the dotted sides below an open bottom.
    """

    x: float
    y: float
    width: float
    height: float
    label: str
    aside: str
    flag: str
    short_flag: str
    outcome: Glyph
    queries: str
    time: str
    end: Glyph
    outline: str
    cap: str
    fray: str
    shared: bool
    is_open: bool
    is_wide: bool

    @property
    def centre(self) -> float:
        return round(self.x + self.width / 2, 1)

    @property
    def bottom(self) -> float:
        return self.y + self.height

    @property
    def is_tall(self) -> bool:
        return self.height > 100

    @property
    def cap_top(self) -> float:
        return self.bottom - (_CAP_TALL if self.is_tall else _CAP_SHORT)

    @property
    def is_trouble(self) -> bool:
        return self.shared or self.is_open

    @property
    def words(self) -> str:
        """The facts as text."""
        facts = [self.queries, self.end.label]
        return ", ".join([self.flag, *facts] if self.flag else facts)


def make_vessel(
    uses: t.Sequence[Use],
    users: int,
    box: tuple[float, float, float, float],
    *,
    in_nested: bool = False,
    is_wide: bool = False,
) -> Vessel:
    """Lay out one session.

    :param uses: The records drawn that used it, oldest first, at least one.
    :param users: How many requests it is known to have served.
    :param box: Left, top, width and height.
    :param in_nested: It shares its column with another one.
    :param is_wide: It stands below several columns.
    """
    x, y, width, height = box
    record, last = uses[-1]
    number = sum(len(session.statements) for _, session in uses)
    time = sum(each.duration_ms for _, session in uses for each in session.statements)
    shared = users > 1
    end = ended_glyph(last)
    is_open = end.tone == "bad"
    if shared and is_open:
        if last.origin == "registry":
            end = Glyph("open", gettext("never removed"), "bad")
        else:
            end = Glyph("open", gettext("never closed"), "bad")
    if number:
        queries = ngettext("%(num)s statement", "%(num)s statements", number)
    else:
        queries = gettext("no SQL")
    if is_wide:
        queries = ngettext(
            "%(queries)s from %(num)s request",
            "%(queries)s from %(num)s requests",
            len(uses),
            queries=queries,
        )
    elif in_nested and number:
        # In short: there is little room.
        queries = ngettext(
            "%(num)s stmt, %(time)s ms",
            "%(num)s stmts, %(time)s ms",
            number,
            time=milliseconds(time),
        )
    outcome = session_outcome(last)
    if len(outcome.label) * 5.8 > width - 36:
        outcome = Glyph(outcome.icon, gettext("mixed"), outcome.tone)
    return Vessel(
        x,
        y,
        width,
        height,
        last.label,
        _aside(record, last, width, in_nested),
        shared_by(users) if shared else "",
        gettext("shared by %(number)s", number=f"{users:,}") if shared else "",
        outcome,
        queries,
        in_ms(time) if number else "",
        end,
        _outline(x, y, width, height, is_open),
        "" if is_open else _cap(x, y, width, height),
        _fray(x, y, width, height) if is_open else "",
        shared,
        is_open,
        is_wide,
    )


def _aside(
    record: RequestRecord, session: SessionRecord, width: float, in_nested: bool
) -> str:
    if session.proxy_id is None and session.origin == "direct":
        text = gettext("raw")
        if width > 150:
            text = gettext("a raw %(session)s", session=session.class_name)
    elif in_nested and record.contexts > 1:
        text = gettext("ctx %(number)s", number=session.context + 1)
    elif in_nested or session.proxy_id is None:
        text = session.registry or session.class_name
    else:
        text = ""
    room = (width - 24) / 6 - len(session.label) * 1.5
    return text if len(text) <= room else ""


def _outline(x: float, y: float, w: float, h: float, is_open: bool) -> str:
    top = f"V{y + _ROUND:g}q0,-{_ROUND} {_ROUND},-{_ROUND}H{x + w - _ROUND:g}"
    top += f"q{_ROUND},0 {_ROUND},{_ROUND}V"
    if is_open:
        return f"M{x:g},{y + h:g}{top}{y + h:g}"
    r, low = _ROUND, y + h - _ROUND
    return f"M{x:g},{low:g}{top}{low:g}q0,{r} -{r},{r}H{x + r:g}q-{r},0 -{r},-{r}z"


def _cap(x: float, y: float, w: float, h: float) -> str:
    deep = (_CAP_TALL if h > 100 else _CAP_SHORT) - _ROUND
    r = _ROUND
    return (
        f"M{x:g},{y + h - deep - r:g}h{w:g}v{deep:g}q0,{r} -{r},{r}"
        f"h-{w - 2 * r:g}q-{r},0 -{r},-{r}z"
    )


def _fray(x: float, y: float, w: float, h: float) -> str:
    bottom = y + h + 4
    return f"M{x:g},{bottom:g}v15M{x + w:g},{bottom:g}v15"
