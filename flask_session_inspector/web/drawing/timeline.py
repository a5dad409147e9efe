"""The timeline of one record: lanes grouped by session, as plain numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...records import ConnectionCheckout
from ...records import RequestRecord
from ...records import SessionRecord
from ...records import TransactionRecord
from ..pages.formats import in_ms
from ..pages.formats import one_line
from ..pages.formats import place
from ..pages.formats import shorten
from ..pages.wording import NumberedStatement
from ..pages.wording import ended_glyph
from ..pages.wording import numbered_statements
from ..pages.wording import spoken
from ..pages.wording import transaction_glyph
from ..translating import gettext
from ..translating import ngettext
from .axis import SHAPES
from .axis import Bar
from .axis import Scale
from .axis import Tick
from .axis import fitting
from .axis import idle_spans
from .contexts import context_bars

WIDTH, LEFT, RIGHT = 1072, 150, 1060
MOST_SESSIONS = 8
_TRACK, _STATEMENTS, _CONNECTIONS = 28, 26, 18


@dataclass(frozen=True)
class Lane:
    """The caption of a lane; a strong one names a session."""

    y: float
    text: str
    strong: bool = False
    note: str = ""


@dataclass(frozen=True)
class Mark:
    """A statement in its lane."""

    number: int
    x: float
    y: float
    width: float
    label: str
    title: str


@dataclass(frozen=True)
class Timeline:
    """The record on a drawing 1072 wide.

    :param bands: Top and height of the background of each group of lanes.
    :param marks: The statements that lead to their SQL; ``others`` is the path of those
        that do not.
    :param teardown: Where the record ended, ``None`` while it runs.
    :param hidden: How many sessions were left out of the drawing.
    """

    height: float
    label: str
    ticks: tuple[Tick, ...]
    bands: tuple[tuple[float, float], ...]
    lanes: tuple[Lane, ...]
    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]
    others: str
    teardown: float | None
    hidden: int


def timeline(
    record: RequestRecord,
    *,
    idle_ms: float,
    pending: bool = False,
    most: int = MOST_SESSIONS,
    listed: int | None = None,
    compact: bool = False,
) -> Timeline | None:
    """Lay out the timeline of one record, ``None`` if it used no database.

    :param idle_ms: From how many milliseconds without a statement on a
        transaction counts as idle.
    :param pending: The record has not ended yet.
    :param most: How many sessions are drawn.
    :param listed: How many statements the SQL is shown of; ``None`` for all.
    :param compact: Leave out an app context that is the only one.
    """
    statements = numbered_statements(record)
    if not record.sessions and not statements and not record.connections:
        return None
    drawing = _Drawing(record, statements, idle_ms, listed)
    if record.contexts > 1 or not compact:
        drawing.add_contexts(record)
    shown = record.sessions[:most]
    for session in shown:
        drawing.add_session(session, pending)
    drawing.add_rest()
    end = gettext("so far")
    if not pending:
        end = gettext("teardown at %(time)s", time=in_ms(record.duration_ms))
    label = gettext(
        "Timeline of %(request)s: %(sessions)s, %(statements)s, %(end)s",
        request=spoken(record),
        sessions=ngettext("%(num)s session", "%(num)s sessions", len(record.sessions)),
        statements=ngettext(
            "%(num)s statement", "%(num)s statements", record.statement_count
        ),
        end=end,
    )
    return Timeline(
        drawing.y + 26,
        label,
        drawing.scale.ticks(),
        tuple(drawing.bands),
        tuple(drawing.lanes),
        tuple(drawing.bars),
        tuple(drawing.marks),
        "".join(drawing.others),
        None if pending else drawing.scale.at(record.duration_ms),
        len(record.sessions) - len(shown),
    )


class _Drawing:
    """The lanes drawn so far, from the top down."""

    def __init__(
        self,
        record: RequestRecord,
        statements: list[NumberedStatement],
        idle_ms: float,
        listed: int | None,
    ) -> None:
        self.scale = Scale(record, LEFT, RIGHT)
        self.y = 30.0
        self.bands: list[tuple[float, float]] = []
        self.lanes: list[Lane] = []
        self.bars: list[Bar] = []
        self.marks: list[Mark] = []
        # Those on the same spot are one; the panel costs the host's request time.
        self.others: dict[str, None] = {}
        self._idle_ms = idle_ms
        self._listed = math.inf if listed is None else listed
        self._statements: dict[int | None, list[NumberedStatement]] = {}
        for each in statements:
            serial = each.session.serial if each.session else None
            self._statements.setdefault(serial, []).append(each)
        self._connections: dict[int | None, list[ConnectionCheckout]] = {}
        for checkout in record.connections:
            self._connections.setdefault(checkout.session, []).append(checkout)

    def add_contexts(self, record: RequestRecord) -> None:
        top = self._open_band()
        self.lanes.append(Lane(self.y + 14, gettext("app contexts")))
        bars = context_bars(record, self.scale, self.y, _TRACK)
        self.bars += bars
        self.y += len(bars) * _TRACK
        hidden = record.contexts - len(bars)
        if hidden > 0:
            more = ngettext("and %(num)s more", "and %(num)s more", hidden)
            self.lanes.append(Lane(self.y + 14, more))
            self.y += _TRACK
        self._close_band(top)

    def add_session(self, session: SessionRecord, pending: bool) -> None:
        top = self._open_band(session.label, gettext("session"))
        self._add_life(session, pending)
        self.y += _TRACK
        self._add_transactions(session)
        self._add_used(session.serial)
        self._close_band(top)

    def add_rest(self) -> None:
        """Draw what ran on a connection without a session."""
        if None in self._statements or None in self._connections:
            top = self._open_band(gettext("no session"))
            self.y += _TRACK
            self._add_used(None)
            self._close_band(top)

    def _open_band(self, name: str = "", note: str = "") -> float:
        top = self.y
        self.y += 6
        if name:
            self.lanes.append(Lane(self.y + 14, name, True, note))
        return top

    def _close_band(self, top: float) -> None:
        self.bands.append((top, self.y - top))
        self.y += 8

    def _add_life(self, session: SessionRecord, pending: bool) -> None:
        starts = [each.began_ms for each in session.transactions]
        starts += [each.at_ms for each in session.statements]
        if not starts:
            words = gettext("created, but it sent no SQL")
            self.bars.append(
                Bar(LEFT, self.y, 0, 20, "g-none", f"{session.label}: {words}", words)
            )
            return
        end: float | None = None
        if session.ended == "closed":
            ends = [each.ended_ms or 0 for each in session.transactions]
            ends += [each.at_ms + each.duration_ms for each in session.statements]
            end = max(ends)
        x, width = self.scale.bar(min(starts), end, 4)
        where = place(session.first_use)
        text = gettext("first used at %(place)s", place=where.short) if where else ""
        left_open = session.ended == "open" and not pending
        if session.ended == "open":
            words = gettext("open") if left_open else gettext("in use")
        else:
            words = ended_glyph(session).label
        shape = "g-sess is-open" if left_open else "g-sess"
        title = gettext(
            "%(session)s, first SQL at %(time)s, %(end)s",
            session=session.label,
            time=in_ms(min(starts)),
            end=words,
        )
        self.bars.append(Bar(x, self.y, width, 20, shape, title, fitting(text, width)))

    def _add_transactions(self, session: SessionRecord) -> None:
        if not session.transactions:
            return
        self.lanes.append(Lane(self.y + 14, gettext("transactions")))
        # Each goes on the first track that is free: SAVEPOINTs run inside another
        # transaction, and those of several binds beside each other.
        tracks: list[float] = []
        for number, each in enumerate(session.transactions, 1):
            free = (i for i, end in enumerate(tracks) if end <= each.began_ms)
            track = next(free, len(tracks))
            ended = math.inf if each.ended_ms is None else each.ended_ms
            tracks[track : track + 1] = [ended]
            y = self.y + track * _TRACK
            name = "SAVEPOINT"
            if not each.nested:
                name = gettext("Transaction %(number)s", number=number)
            self._add_transaction(each, name, number, y)
            if not each.nested:
                for start, end in idle_spans(
                    session, each, self.scale.end, self._idle_ms
                ):
                    x, width = self.scale.bar(start, end, 3)
                    text = gettext("idle %(time)s", time=in_ms(end - start))
                    title = f"{name}: {text}"
                    self.bars.append(
                        Bar(x, y, width, 20, "m-idle", title, fitting(text, width))
                    )
        self.y += len(tracks) * _TRACK

    def _add_transaction(
        self, each: TransactionRecord, name: str, number: int, y: float
    ) -> None:
        x, width = self.scale.bar(each.began_ms, each.ended_ms, 3)
        glyph = transaction_glyph(each)
        title = gettext(
            "%(name)s on %(bind)s, %(outcome)s, %(start)s to %(end)s",
            name=name,
            bind=each.bind,
            outcome=glyph.label,
            start=in_ms(each.began_ms),
            end=gettext("end") if each.ended_ms is None else in_ms(each.ended_ms),
        )
        written = [
            ngettext("%(num)s in %(table)s", "%(num)s in %(table)s", rows, table=table)
            for table, rows in each.writes.items()
        ]
        if written:
            title = gettext(
                "%(transaction)s; rows written: %(rows)s",
                transaction=title,
                rows=", ".join(written),
            )
        caption = name if each.nested else str(number)
        if each.bind not in ("", "default"):
            caption += f" {each.bind}"
        self.bars.append(
            Bar(
                x,
                y,
                width,
                20,
                f"m-tx is-{SHAPES[each.outcome]}",
                title,
                fitting(caption, width - 20),
                glyph if width >= 24 else None,
            )
        )

    def _add_used(self, serial: int | None) -> None:
        self._add_statements(self._statements.get(serial, []))
        self._add_connections(self._connections.get(serial, []))

    def _add_statements(self, statements: list[NumberedStatement]) -> None:
        if not statements:
            return
        self.lanes.append(Lane(self.y + 14, gettext("statements")))
        for each in statements:
            begin, took = each.statement.at_ms, each.statement.duration_ms
            x, width = self.scale.bar(begin, begin + took, 3)
            if each.number > self._listed:
                path = f"M{x:g},{self.y + 3:g}h{width:g}v14h-{width:g}z"
                self.others[path] = None
                continue
            label = gettext(
                "Statement %(number)s, %(time)s", number=each.number, time=in_ms(took)
            )
            title = f"{each.number}. {shorten(one_line(each.statement.sql), 300)}"
            self.marks.append(Mark(each.number, x, self.y, width, label, title))
        self.y += _STATEMENTS

    def _add_connections(self, connections: list[ConnectionCheckout]) -> None:
        if not connections:
            return
        self.lanes.append(Lane(self.y + 10, gettext("connection")))
        for each in connections:
            x, width = self.scale.bar(each.checked_out_ms, each.checked_in_ms)
            back = gettext("still held")
            if each.checked_in_ms is not None:
                back = gettext("back at %(time)s", time=in_ms(each.checked_in_ms))
            title = gettext(
                "Connection %(number)s to %(bind)s, out at %(time)s, %(back)s",
                number=each.connection_id,
                bind=each.bind or gettext("no bind"),
                time=in_ms(each.checked_out_ms),
                back=back,
            )
            self.bars.append(Bar(x, self.y + 3, width, 6, "m-conn", title))
        self.y += _CONNECTIONS
