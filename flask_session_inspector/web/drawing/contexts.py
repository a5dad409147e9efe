"""The app contexts of one record, as bars of its timeline."""

from __future__ import annotations

import math

from ...phrases import marked
from ...records import RequestRecord
from ..pages.formats import in_ms
from ..pages.formats import place
from ..translating import gettext
from .axis import Bar
from .axis import Scale
from .axis import fitting

MOST = 6

_FIRST = {
    (False, "request"): marked("pushed by the request"),
    (True, "request"): marked("pushed before the request"),
    (False, "cli"): marked("pushed by the command"),
    (True, "cli"): marked("pushed before the command"),
    (False, "context"): marked("pushed by the application"),
    (True, "context"): marked("pushed by the application"),
}


def context_bars(
    record: RequestRecord, scale: Scale, top: float, pitch: float
) -> list[Bar]:
    """Draw the app contexts of a record, the one that it began with first.

    A record does not say when a nested one was pushed and popped, only when the
    sessions in it were used. One without a session has no bar.

    :param top: Where the first bar stands.
    :param pitch: From one bar to the next.
    """
    # The record ends with the context that it began with.
    first = gettext(_FIRST[record.reused_context, record.kind])
    spans = [(0, 0.0, record.duration_ms, first), *_nested(record)[: MOST - 1]]
    return [
        _bar(number, start, end, text, scale, top + track * pitch)
        for track, (number, start, end, text) in enumerate(spans)
    ]


def _bar(
    number: int, start: float, end: float, text: str, scale: Scale, y: float
) -> Bar:
    x, width = scale.bar(start, end, 4)
    name = f"{number + 1}, {text}"
    values = {"name": name, "start": in_ms(start), "end": in_ms(end)}
    if number:
        title = gettext(
            "App context %(name)s, %(start)s to %(end)s, from the first to the last"
            " use of its sessions",
            **values,
        )
    else:
        title = gettext("App context %(name)s, %(start)s to %(end)s", **values)
    return Bar(x, y, width, 20, "m-tx is-closed", title, fitting(name, width))


def _nested(record: RequestRecord) -> list[tuple[int, float, float, str]]:
    """Say when each nested context was in use, and where that began."""
    spans: dict[int, tuple[float, float, str]] = {}
    for session in record.sessions:
        moments = [each.began_ms for each in session.transactions]
        moments += [each.ended_ms or 0 for each in session.transactions]
        moments += [each.at_ms for each in session.statements]
        moments += [each.at_ms + each.duration_ms for each in session.statements]
        if not session.context or not moments:
            continue
        where = place(session.first_use)
        nested = gettext("nested")
        if where:
            nested = gettext("nested, %(place)s", place=where.short)
        start, end, text = spans.get(session.context, (math.inf, 0.0, nested))
        spans[session.context] = (min(start, *moments), max(end, *moments), text)
    return [(number, *spans[number]) for number in sorted(spans)]
