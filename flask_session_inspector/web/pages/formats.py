"""Numbers, times and places as a person reads them."""

from __future__ import annotations

import functools
import math
import typing as t
from dataclasses import dataclass
from datetime import datetime

from ...records import Location
from ..translating import gettext

ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


class Moment(t.NamedTuple):
    """A point in time, in the server's time zone.

    :param text: The time of day, with the date if that is not today's.
    :param iso: ISO 8601 with the offset, for ``<time datetime>``.
    :param full: Date, time to the millisecond, and the zone.
    """

    text: str
    iso: str
    full: str


def moment(at: float, *, now: datetime | None = None) -> Moment:
    """Say when something was.

    :param at: Unix seconds.
    :param now: What "today" means; the present by default.
    """
    fraction, second = math.modf(at)
    microseconds = round(fraction * 1e6)
    if microseconds == 1_000_000:
        second, microseconds = second + 1, 0
    date, clock, offset, zone = _second(second)
    is_today = date == (now or datetime.now()).date().isoformat()
    exact = f"{clock}.{microseconds // 1000:03d}"
    return Moment(
        clock if is_today else f"{date} {clock}",
        f"{date}T{exact}{offset}",
        f"{date} {exact} {zone}".rstrip(),
    )


# Many requests fall into the same second, and a page shows a thousand of them.
@functools.lru_cache(maxsize=1000)
def _second(at: float) -> tuple[str, str, str, str]:
    """Return date, time of day, offset and name of the zone.

    :param at: Unix seconds, without a fraction.
    """
    when = datetime.fromtimestamp(at).astimezone()
    date, _, clock = when.isoformat().partition("T")
    return date, clock[:8], clock[8:], f"{when:%Z}"


def milliseconds(value: float) -> str:
    """Write a duration without its unit: ``"0.42"``, ``"9.1"``, ``"1,204"``.

    :param value: Milliseconds.
    """
    if value <= 0:
        return "0"
    if value < 0.995:
        return f"{value:.2f}"
    if value < 9.95:
        return f"{value:.1f}"
    return f"{value:,.0f}"


def in_ms(value: float) -> str:
    """Write a duration with its unit: ``"9.1 ms"``.

    :param value: Milliseconds.
    """
    return gettext("%(time)s ms", time=milliseconds(value))


def shorten(text: str, most: int) -> str:
    """Cut a text to at most ``most`` characters, an ellipsis included."""
    return text if len(text) <= most else text[: max(most - 1, 1)] + ELLIPSIS


def one_line(text: str) -> str:
    """Put a text on one line, runs of white space as one space."""
    return " ".join(text.split())


@dataclass(frozen=True)
class Place:
    """A line of source code.

    :param short: The file with its folder, and the line: ``"shop/views.py:42"``.
    :param full: The whole path, and the line.
    :param function: The function's name.
    """

    short: str
    full: str
    function: str


def place(location: Location | None) -> Place | None:
    """Describe a location, ``None`` if there is none."""
    if location is None:
        return None
    parts = location.file.replace("\\", "/").split("/")
    return Place(
        f"{'/'.join(parts[-2:])}:{location.line}",
        f"{location.file}:{location.line}",
        location.function,
    )
