"""What the scoping diagram consists of: plain data, drawn by the template."""

from __future__ import annotations

from dataclasses import dataclass

from ..pages.wording import Glyph
from ..pages.wording import Tone
from .proxies import Bypass
from .proxies import ProxyBar
from .vessels import Vessel


@dataclass(frozen=True)
class Tile:
    """A request at the head of its column.

    :param path: Its path, cut to fit; the whole of it is in ``title``.
    :param label: The whole column in words.
    :param note: What stands below it instead of a vessel, if anything.
    """

    record_id: str
    x: float
    y: float
    width: float
    verb: str
    status: Glyph
    path: str
    title: str
    label: str
    note: str = ""


@dataclass(frozen=True)
class Wire:
    """A line with the head of an arrow at its end, where it has one."""

    path: str
    head: str = ""
    tone: Tone = ""
    dotted: bool = False


@dataclass(frozen=True)
class Stop:
    """The same facts as text: some requests, and the sessions they got."""

    tiles: tuple[Tile, ...]
    vessels: tuple[Vessel, ...]
    more: int
    bypass: bool
    shared: bool
    is_open: bool


@dataclass(frozen=True)
class Scope:
    """The diagram, 1072 wide.

    :param captions: The rows' names, and where they stand.
    :param overflow: Position and text of each "+n" for sessions not drawn.
    :param stops: The facts as a list, newest first, for a narrow page.
    """

    height: float
    label: str
    count: int
    captions: tuple[tuple[str, float], ...]
    proxies: tuple[ProxyBar, ...]
    bypass: Bypass | None
    tiles: tuple[Tile, ...]
    wires: tuple[Wire, ...]
    vessels: tuple[Vessel, ...]
    overflow: tuple[tuple[float, float, str], ...]
    stops: tuple[Stop, ...]
    has_shared: bool
    has_open: bool
    has_outside: bool


def straight(x: float, top: float, bottom: float) -> str:
    """Return the path of a vertical line."""
    return f"M{x:g},{top:g}V{bottom:g}"


def stub(x1: float, x2: float, top: float, bottom: float) -> str:
    """Return the path from a proxy down to a request."""
    if abs(x1 - x2) < 0.1:
        return straight(x1, top, bottom)
    middle = (top + bottom) / 2
    return f"M{x1:g},{top:g}C{x1:g},{middle:g} {x2:g},{middle:g} {x2:g},{bottom:g}"


def arrow_down(x1: float, x2: float, top: float, bottom: float, tone: Tone) -> Wire:
    """Lead from a request to the top of a vessel."""
    if abs(x1 - x2) < 0.1:
        path = straight(x1, top, bottom - 6)
    else:
        path = (
            f"M{x1:g},{top:g}C{x1:g},{top + 30:g}"
            f" {x2:g},{bottom - 36:g} {x2:g},{bottom - 7:g}"
        )
    return Wire(path, f"M{x2 - 4.5:g},{bottom - 8:g}h9l-4.5,8z", tone)


def arrow_around(x: float, top: float, vessel: Vessel, tone: Tone) -> Wire:
    """Lead from a request around its first vessel to the side of the second."""
    edge, y = vessel.x - 8, vessel.y + 18
    path = f"M{x:g},{top:g}H{edge + 6:g}q-6,0 -6,6V{y - 3:g}q0,3 3,3h1"
    return Wire(path, f"M{vessel.x - 6:g},{y - 4.5:g}v9l6,-4.5z", tone)


def arrow_across(x: float, top: float, vessel: Vessel, y: float) -> Wire:
    """Lead from a distant request to the right side of a vessel."""
    right = vessel.x + vessel.width
    path = f"M{x:g},{top:g}C{x:g},{top + 34:g} {right + 40:g},{y:g} {right + 7:g},{y:g}"
    return Wire(path, f"M{right + 8:g},{y - 4.5:g}v9l-8,-4.5z", "bad")
