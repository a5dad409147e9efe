"""Geometry of the scoping diagram: which session each request got.

From top to bottom: the proxies as bars, one column per request, and below it
the vessel of each session, from its creation to its teardown. A session that
served several requests is one vessel in which their arrows meet; one that was
not removed has no bottom. Everything here is plain data, the template draws it.
"""

from __future__ import annotations

import collections.abc as cabc

from ...records import Holder
from ...records import RequestRecord
from ...records import SessionRecord
from ..pages.formats import shorten
from ..pages.wording import Tone
from ..pages.wording import heading
from ..pages.wording import spoken
from ..pages.wording import status_glyph
from ..translating import gettext
from ..translating import listed
from ..translating import ngettext
from .proxies import find_bypass
from .proxies import lay_out_proxies
from .scope_parts import Scope
from .scope_parts import Stop
from .scope_parts import Tile
from .scope_parts import Wire
from .scope_parts import arrow_across
from .scope_parts import arrow_around
from .scope_parts import arrow_down
from .scope_parts import straight
from .scope_parts import stub
from .vessels import Use
from .vessels import Vessel
from .vessels import make_vessel

WIDTH, LEFT = 1072, 80
MOST_REQUESTS, MOST_VESSELS = 8, 2
_GAP, _WIDEST = 12, 200
_TILE_HEIGHT, _WIRE_ROOM = 46, 44
_TALL, _SHORT, _STEP = 168, 80, 88


def scope(
    records: cabc.Iterable[RequestRecord],
    *,
    users: cabc.Mapping[int, int] | None = None,
    holders: cabc.Sequence[Holder] = (),
) -> Scope | None:
    """Lay out the diagram of the last requests, ``None`` if there are none.

    :param records: Newest first. Only requests are drawn, and where any used a
        session, only those that did.
    :param users: How many requests each session served, by serial, where more
        are known than are drawn.
    :param holders: What the audit found.
    """
    requests = [each for each in records if each.kind == "request"]
    # Redirects and the like would push out what the diagram is about.
    using = [each for each in requests if each.sessions]
    requests = (using or requests)[:MOST_REQUESTS]
    requests.reverse()
    return _Layout(requests, users or {}, holders).finish() if requests else None


class _Layout:
    def __init__(
        self,
        requests: list[RequestRecord],
        users: cabc.Mapping[int, int],
        holders: cabc.Sequence[Holder],
    ) -> None:
        self.requests = requests
        self.pitch = (WIDTH - LEFT) / len(requests)
        self.box = round(min(self.pitch - _GAP, _WIDEST), 1)
        self.columns: dict[int, list[int]] = {}
        for index, record in enumerate(requests):
            for session in record.sessions:
                self.columns.setdefault(session.serial, []).append(index)
        self.users = {
            serial: max(users.get(serial, 0), len(columns))
            for serial, columns in self.columns.items()
        }
        self.proxies, self.stubs = lay_out_proxies(
            requests, holders, LEFT + _GAP / 2, WIDTH - _GAP / 2
        )
        self.has_proxy = bool(self.proxies) and self.proxies[0].is_proxy
        self.bypass = find_bypass(holders) if self.has_proxy else None
        self.top = self.proxies[0].bottom + (20 if len(self.proxies) == 1 else 46)
        self.vessel_top = self.top + _TILE_HEIGHT + _WIRE_ROOM
        self.wires: list[Wire] = []
        self.vessels: list[Vessel] = []
        self.drawn: dict[int, Vessel] = {}
        self.overflow: list[tuple[float, float, str]] = []

    def centre(self, column: int) -> float:
        return round(LEFT + (column + 0.5) * self.pitch, 1)

    def finish(self) -> Scope:
        for serial in self._wide_groups():
            self._add_wide(serial)
        hidden = [self._add_column(index) for index in range(len(self.requests))]
        self._join_distant()
        self._add_stubs()
        tiles = tuple(self._tile(index) for index in range(len(self.requests)))
        # Red comes last, so that it lies on top.
        wires = sorted(self.wires, key=lambda wire: wire.tone == "bad")
        is_open = any(each.is_open for each in self.vessels)
        bottom = self.vessel_top + _TALL
        return Scope(
            bottom + (24 if is_open else 6),
            self._label(),
            len(self.requests),
            self._captions(),
            self.proxies,
            self.bypass,
            tiles,
            tuple(wires),
            tuple(self.vessels),
            tuple(self.overflow),
            self._stops(tiles, hidden),
            any(each.shared for each in self.vessels),
            is_open,
            any(wire.dotted for wire in wires),
        )

    def _uses(self, serial: int) -> list[Use]:
        return [
            (self.requests[column], session)
            for column in self.columns[serial]
            for session in self.requests[column].sessions
            if session.serial == serial
        ]

    def _wide_groups(self) -> list[int]:
        """Find the shared sessions whose requests are neighbours and have no other."""
        return [
            serial
            for serial, columns in self.columns.items()
            if len(columns) > 1
            and columns[-1] - columns[0] == len(columns) - 1
            and all(len(self.requests[column].sessions) == 1 for column in columns)
        ]

    def _add_wide(self, serial: int) -> None:
        columns = self.columns[serial]
        span = len(columns) * self.pitch - _GAP
        width = round(min(max(220, self.box), span), 1)
        middle = (self.centre(columns[0]) + self.centre(columns[-1])) / 2
        left = middle - width / 2
        vessel = self._put(serial, left, self.vessel_top, width, _TALL, is_wide=True)
        spread = min(22, (width - 40) / len(columns))
        for place, column in enumerate(columns):
            end = middle + (place - (len(columns) - 1) / 2) * spread
            self._lead(column, end, vessel.y, "bad")

    def _put(
        self,
        serial: int,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        is_wide: bool = False,
    ) -> Vessel:
        vessel = make_vessel(
            self._uses(serial),
            self.users[serial],
            (round(x, 1), y, width, height),
            in_nested=height == _SHORT,
            is_wide=is_wide,
        )
        self.vessels.append(vessel)
        self.drawn[serial] = vessel
        return vessel

    def _add_column(self, column: int) -> int:
        """Draw the sessions that belong below this request; say how many are not."""
        sessions = [
            each
            for each in self.requests[column].sessions
            if each.serial not in self.drawn and self.columns[each.serial][0] == column
        ]
        # What is wrong must be seen, so it is drawn first where room is short.
        sessions.sort(key=self._is_fine)
        shown, hidden = sessions[:MOST_VESSELS], len(sessions[MOST_VESSELS:])
        x = self.centre(column) - self.box / 2
        for place, session in enumerate(shown):
            if len(sessions) == 1:
                self._put(session.serial, x, self.vessel_top, self.box, _TALL)
                self._lead(
                    column, self.centre(column), self.vessel_top, (self._tone(session))
                )
                continue
            y = self.vessel_top + place * _STEP
            vessel = self._put(session.serial, x + 8, y, self.box - 8, _SHORT)
            if place == 0:
                self._lead(column, self.centre(column), y, self._tone(session))
            else:
                top = self.vessel_top - _WIRE_ROOM / 2
                tone = self._tone(session)
                self.wires.append(arrow_around(self.centre(column), top, vessel, tone))
        if hidden:
            text = ngettext("+%(num)s more", "+%(num)s more", hidden)
            self.overflow.append((self.centre(column), self.vessel_top + 182, text))
        return hidden

    def _is_fine(self, session: SessionRecord) -> bool:
        return self.users[session.serial] == 1 and session.ended != "open"

    def _tone(self, session: SessionRecord) -> Tone:
        return "" if self._is_fine(session) else "bad"

    def _lead(self, column: int, x: float, y: float, tone: Tone) -> None:
        top = self.top + _TILE_HEIGHT
        self.wires.append(arrow_down(self.centre(column), x, top, y, tone))

    def _join_distant(self) -> None:
        """Lead the arrows of the other requests to a vessel below the first one."""
        for serial, columns in self.columns.items():
            vessel = self.drawn.get(serial)
            if vessel is None or len(columns) < 2 or vessel.is_wide:
                continue
            others = columns[1:]
            top = self.top + _TILE_HEIGHT
            spread = min(14, (self.box / 2 - 16) / len(others))
            for place, column in enumerate(others):
                if vessel.y == self.vessel_top:
                    end = vessel.x + vessel.width - 12 - place * spread
                    self._lead(column, round(end, 1), vessel.y, "bad")
                    continue
                y = vessel.y + 12 + place * 10
                self.wires.append(arrow_across(self.centre(column), top, vessel, y))

    def _add_stubs(self) -> None:
        """Connect each request to the proxies it used, or show that it used none."""
        bottom = self.proxies[0].bottom
        outside_tone: Tone = "bad" if self.has_proxy else ""
        for column, record in enumerate(self.requests):
            taps = [tap for tap in self.stubs if tap.column == column]
            outside = any(each.proxy_id is None for each in record.sessions)
            total = len(taps) + outside
            for place, tap in enumerate(taps):
                end = self.centre(column) + (place - (total - 1) / 2) * 12
                start = end if len(self.proxies) == 1 else tap.x
                self.wires.append(Wire(stub(start, end, bottom, self.top)))
            if outside:
                end = self.centre(column) + (total - 1) * 6
                path = straight(end, bottom, self.top)
                self.wires.append(Wire(path, "", outside_tone, dotted=True))

    def _tile(self, column: int) -> Tile:
        record = self.requests[column]
        verb, path = heading(record)
        facts = [spoken(record), status_glyph(record).label]
        for session in record.sessions[:4]:
            vessel = self.drawn.get(session.serial)
            if vessel is not None:
                facts.append(
                    gettext(
                        "session %(session)s, %(facts)s",
                        session=vessel.label,
                        facts=vessel.words,
                    )
                )
        if not record.sessions:
            facts.append(gettext("no session"))
        most = int((self.box - 18) / 6.4)
        return Tile(
            record.id,
            round(self.centre(column) - self.box / 2, 1),
            self.top,
            self.box,
            shorten(verb, 8),
            status_glyph(record),
            shorten(path, most),
            spoken(record),
            ", ".join(facts),
            "" if record.sessions else gettext("no session"),
        )

    def _captions(self) -> tuple[tuple[str, float], ...]:
        y = self.vessel_top
        return (
            (
                gettext("Proxy") if self.has_proxy else gettext("Origin"),
                self.proxies[0].y + 32,
            ),
            (gettext("Request"), self.top + 28),
            (gettext("Session"), y + 22),
            (gettext("Queries"), y + 85),
            (gettext("Teardown"), y + _TALL - 10),
        )

    def _stops(self, tiles: tuple[Tile, ...], hidden: list[int]) -> tuple[Stop, ...]:
        stops, seen = [], set()
        for column in reversed(range(len(self.requests))):
            if column in seen:
                continue
            sessions = self.requests[column].sessions
            serials = [each.serial for each in sessions if each.serial in self.drawn]
            columns = {column}
            if len(sessions) == 1 and serials:
                vessel = self.drawn[serials[0]]
                if vessel.is_wide:
                    columns = set(self.columns[serials[0]])
            seen |= columns
            vessels = [self.drawn[serial] for serial in serials]
            stops.append(
                Stop(
                    tuple(tiles[each] for each in sorted(columns, reverse=True)),
                    tuple(vessels),
                    len(sessions) - len(serials),
                    self.has_proxy and any(each.proxy_id is None for each in sessions),
                    any(each.shared for each in vessels),
                    any(each.is_open for each in vessels),
                )
            )
        return tuple(stops)

    def _label(self) -> str:
        facts = [ngettext("%(num)s request", "%(num)s requests", len(self.requests))]
        shared = [each for each in self.vessels if each.shared]
        facts += [f"{each.label} {each.flag}" for each in shared[:3]]
        left = [each.label for each in self.vessels if each.is_open]
        if left:
            facts.append(gettext("%(sessions)s not removed", sessions=listed(left)))
        if not shared and not left and self.vessels:
            facts.append(gettext("each session served one request and ended with it"))
        return "; ".join(facts)
