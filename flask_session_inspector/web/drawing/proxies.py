"""The top of the scoping diagram: the proxies, who holds them, who does not."""

from __future__ import annotations

import collections.abc as cabc
from dataclasses import dataclass

from ...records import Holder
from ...records import RequestRecord
from ..pages.formats import shorten
from ..translating import gettext
from ..translating import listed
from ..translating import ngettext

TOP, HEIGHT = 6, 54
MOST_BARS = 3
_BAR_GAP, _BYPASS_ROOM = 12, 290
_VIEW = "admin view "
_EXTENSION = 'app.extensions["sqlalchemy"]'


@dataclass(frozen=True)
class ProxyBar:
    """A ``scoped_session`` as a bar; or the notice that there is none.

    :param is_proxy: False for that notice.
    :param text: What is said beside the name, and ``facts`` below it; cut to
        fit, the whole of it is in ``title``.
    :param changed: Another object had this name in another request.
    """

    x: float
    width: float
    name: str
    text: str
    facts: str
    title: str
    is_proxy: bool = True
    changed: bool = False
    y: float = TOP
    height: float = HEIGHT

    @property
    def bottom(self) -> float:
        return self.y + self.height


@dataclass(frozen=True)
class Tap:
    """Where the wire of a column leaves a bar."""

    column: int
    x: float


@dataclass(frozen=True)
class Bypass:
    """Holders of a session that no proxy can replace."""

    text: str
    note: str
    title: str


def find_bypass(holders: cabc.Iterable[Holder]) -> Bypass | None:
    """Describe the holders that go around the proxy, ``None`` if there are none."""
    pinned = [each for each in holders if each.verdict == "pinned"]
    if not pinned:
        return None
    first = pinned[0]
    what: str = first.holds
    if first.session is not None:
        what += f" S{first.session}"
    note = gettext("it holds a raw %(what)s", what=what)
    if len(pinned) > 1:
        note = ngettext(
            "it holds a raw %(what)s, and %(num)s more",
            "it holds a raw %(what)s, and %(num)s more",
            len(pinned) - 1,
            what=what,
        )
    where = short_holder(first.where)
    return Bypass(
        gettext("%(holder)s bypasses it", holder=shorten(where, 24)),
        shorten(note, 46),
        "; ".join(
            gettext("%(holder)s holds a %(what)s", holder=each.where, what=each.holds)
            for each in pinned
        ),
    )


def short_holder(where: str) -> str:
    """Take the quotation marks off ``admin view "user"``."""
    return where.replace('"', "")


def _views(holders: cabc.Iterable[Holder]) -> str:
    """Name the admin views among some holders; the audit's page has them all."""
    names = [
        short_holder(each.where).removeprefix(_VIEW)
        for each in holders
        if each.where.startswith(_VIEW) and " > " not in each.where
    ]
    if not names:
        return ""
    return ngettext(
        "admin view %(views)s",
        "the admin views %(views)s",
        len(names),
        views=listed(names, 4),
    )


def _name_of_held(where: str) -> str:
    """Name a proxy by who holds it, as far as that tells."""
    if where == _EXTENSION:
        return "db.session"
    name = where.partition('"')[2].rstrip('"')
    return name if where == _watched(name) else "scoped_session"


def _watched(name: str) -> str:
    return f'watched registry "{name}"'


def lay_out_proxies(
    requests: list[RequestRecord],
    holders: cabc.Sequence[Holder],
    left: float,
    right: float,
) -> tuple[tuple[ProxyBar, ...], list[Tap]]:
    """Place the proxies side by side, and the wires that leave them.

    :param requests: The requests drawn, one per column.
    :param holders: What the audit found.
    :param left: Where the first bar begins, and ``right`` where the last ends.
    """
    names, columns = _proxies(requests, holders)
    if not names:
        return (_no_proxy(requests, holders, left, right),), []
    # The one that most requests used comes first; sorting keeps their order else.
    order = sorted(names, key=lambda each: -len(columns[each]))
    used = [each for each in order if columns[each]] or order
    shown, rest = used[:MOST_BARS], len(used[MOST_BARS:])
    unused = [names[each] for each in order if each not in used]
    bypass = _BYPASS_ROOM if find_bypass(holders) else 0
    # One bar has room for both; several leave a place beside them.
    total = right - left - (bypass if len(shown) > 1 else 0)
    width = (total - _BAR_GAP * (len(shown) - 1)) / len(shown)
    room = width - (bypass if len(shown) == 1 else 0)
    bars, taps = [], []
    for place, proxy_id in enumerate(shown):
        x = round(left + place * (width + _BAR_GAP), 1)
        last = place == len(shown) - 1
        bars.append(
            _bar(
                proxy_id,
                names,
                holders,
                (x, round(width, 1)),
                room,
                rest if last else 0,
                unused if place == 0 else (),
            )
        )
        using = columns[proxy_id]
        for index, column in enumerate(using):
            tap = x + width * (index + 1) / (len(using) + 1)
            taps.append(Tap(column, round(tap, 1)))
    return tuple(bars), taps


def _proxies(
    requests: list[RequestRecord], holders: cabc.Sequence[Holder]
) -> tuple[dict[int, str], dict[int, list[int]]]:
    names: dict[int, str] = {}
    columns: dict[int, list[int]] = {}
    for column, record in enumerate(requests):
        for session in record.sessions:
            if session.proxy_id is None:
                continue
            names[session.proxy_id] = session.registry or "scoped_session"
            using = columns.setdefault(session.proxy_id, [])
            if column not in using:
                using.append(column)
    for holder in holders:
        if holder.proxy_id is not None and holder.proxy_id not in names:
            # Not used by these requests, but there.
            names[holder.proxy_id] = _name_of_held(holder.where)
            columns[holder.proxy_id] = []
    return names, columns


def _bar(
    proxy_id: int,
    names: dict[int, str],
    holders: cabc.Sequence[Holder],
    box: tuple[float, float],
    room: float,
    rest: int,
    unused: cabc.Sequence[str],
) -> ProxyBar:
    name = names[proxy_id]
    changed = list(names.values()).count(name) > 1 and name != "scoped_session"
    held_by = _views(each for each in holders if each.proxy_id == proxy_id)
    text = gettext("the same proxy in every request")
    if changed:
        text = gettext("not the same object in every request")
    if held_by:
        text = gettext("%(fact)s, held by %(holders)s", fact=text, holders=held_by)
    facts = f"scoped_session {proxy_id:#x}"
    if unused:
        idle = ngettext(
            "%(names)s was not used",
            "%(names)s were not used",
            len(unused),
            names=listed(unused, 2),
        )
        facts = f"{facts}; {idle}"
    if rest:
        text = ngettext(
            "and %(num)s more beside it, %(fact)s",
            "and %(num)s more beside it, %(fact)s",
            rest,
            fact=text,
        )
    most = int((room - 60) / 6.3) - len(name)
    return ProxyBar(
        *box,
        shorten(name, 24),
        shorten(text, most) if most > 12 else "",
        facts,
        f"{name}, {facts}: {text}",
        changed=changed,
    )


def _no_proxy(
    requests: list[RequestRecord],
    holders: cabc.Sequence[Holder],
    left: float,
    right: float,
) -> ProxyBar:
    origins = {each.origin for record in requests for each in record.sessions}
    text = gettext("each session was made directly")
    if origins == {"factory"}:
        text = gettext("each session came from a sessionmaker")
    if not origins:
        text = gettext("and no session was used")
    of_db = [each for each in holders if each.holds == "db"]
    held_by = _views(of_db)
    if held_by:
        text = gettext(
            "%(fact)s; db is held by %(holders)s", fact=text, holders=held_by
        )
    facts = gettext("What scopes a session here is the code that made it.")
    if any(each.where == _EXTENSION for each in of_db):
        facts = gettext("What scopes a session here is the SQLAlchemy extension.")
    return ProxyBar(
        left,
        round(right - left, 1),
        gettext("no scoped_session"),
        shorten(text, 130),
        facts,
        gettext("No scoped_session: %(fact)s", fact=text),
        is_proxy=False,
    )
