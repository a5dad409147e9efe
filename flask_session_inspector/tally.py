"""What a set of records adds up to, kept up to date record by record.

A record that is added or removed costs what it holds itself, however many others
there are. What is kept of it is a note: the record itself may be evicted meanwhile.
"""

from __future__ import annotations

import typing as t

from .records import Finding
from .records import RequestRecord


class Use(t.NamedTuple):
    """What a record says of one session, as far as a sum needs it.

    :param is_open: Whether the session outlived the record, with ``objects`` in it.
    """

    serial: int
    registry: str | None
    proxy_id: int | None
    is_open: bool
    objects: int


class Note:
    """What is remembered of a record.

    :param place: Its place in the store: of two records, the newer has the greater.
    :ivar gone: Whether it stands for its record no longer.
    """

    __slots__ = (
        "findings",
        "gone",
        "id",
        "is_request",
        "method",
        "path",
        "place",
        "statements",
        "uses",
    )

    findings: tuple[Finding, ...]
    is_request: bool
    method: str | None
    path: str | None
    statements: int
    uses: tuple[Use, ...]

    def __init__(self, place: int, record: RequestRecord) -> None:
        self.place = place
        self.id = record.id
        self.gone = False
        self.read(record)

    def read(self, record: RequestRecord) -> None:
        """Take down what there is to be remembered."""
        self.findings = record.findings
        self.is_request = record.kind == "request"
        self.method, self.path = record.method, record.path
        self.statements = record.statement_count
        self.uses = tuple(
            Use(
                each.serial,
                each.registry,
                each.proxy_id,
                each.ended == "open",
                each.identity_map_size,
            )
            for each in record.sessions
        )


class Proxy:
    """A proxy that gave sessions.

    :ivar sessions: How many.
    :ivar seen: Where it was seen last: the place of the record, and minus the place
        of the session in that.
    """

    __slots__ = ("seen", "sessions")

    def __init__(self) -> None:
        self.sessions = 0
        self.seen = (0, 0)


class Tally:
    """The sums of some records. Only requests are counted, unless it is said.

    Mappings named after records have these by their place; not always in order.

    :ivar requests: All of them.
    :ivar using: Those that used a session.
    :ivar leaving: Those that left a session open.
    :ivar sole: The request of each session that served one, by serial.
    :ivar shared: The requests of each session that served several, by serial.
    :ivar proxies: The proxies that gave sessions, by the name of the registry.
    :ivar outside: How often sessions of no registry were used, by serial.
    :ivar left: How often sessions were left open, by serial.
    :ivar uses: How many sessions the requests used, a shared one in each.
    :ivar statements: How many statements the requests sent.
    :ivar others: How many records are not of requests.
    :ivar finding: Those with findings, whatever they are of.
    """

    def __init__(self) -> None:
        self.requests: dict[int, Note] = {}
        self.using: dict[int, Note] = {}
        self.leaving: dict[int, Note] = {}
        self.sole: dict[int, Note] = {}
        self.shared: dict[int, dict[int, Note]] = {}
        self.proxies: dict[str, dict[int, Proxy]] = {}
        self.outside: dict[int, int] = {}
        self.left: dict[int, int] = {}
        self.uses = self.statements = self.others = 0
        self.finding: dict[int, Note] = {}

    def add(self, note: Note) -> None:
        """Count a record."""
        place = note.place
        if note.findings:
            self.finding[place] = note
        if not note.is_request:
            self.others += 1
            return
        self.requests[place] = note
        self.statements += note.statements
        if note.uses:
            self.using[place] = note
            self.uses += len(note.uses)
        for index, use in enumerate(note.uses):
            self._add_user(use.serial, note)
            if use.is_open:
                self.leaving[place] = note
                self.left[use.serial] = self.left.get(use.serial, 0) + 1
            if use.registry is None or use.proxy_id is None:
                self.outside[use.serial] = self.outside.get(use.serial, 0) + 1
            else:
                proxies = self.proxies.setdefault(use.registry, {})
                proxy = proxies.setdefault(use.proxy_id, Proxy())
                proxy.sessions += 1
                proxy.seen = max(proxy.seen, (place, -index))

    def remove(self, note: Note) -> None:
        """Count a record no longer, one that was added and not read anew since."""
        place = note.place
        self.finding.pop(place, None)
        if not note.is_request:
            self.others -= 1
            return
        del self.requests[place]
        self.statements -= note.statements
        self.using.pop(place, None)
        self.leaving.pop(place, None)
        self.uses -= len(note.uses)
        for use in note.uses:
            self._remove_user(use.serial, note)
            if use.is_open:
                _take_one(self.left, use.serial)
            if use.registry is None or use.proxy_id is None:
                _take_one(self.outside, use.serial)
            else:
                proxies = self.proxies[use.registry]
                proxies[use.proxy_id].sessions -= 1
                if not proxies[use.proxy_id].sessions:
                    del proxies[use.proxy_id]
                if not proxies:
                    del self.proxies[use.registry]

    def users(self, serial: int) -> list[Note]:
        """Return the requests that a session served, newest first."""
        if serial in self.sole:
            return [self.sole[serial]]
        return newest_first(self.shared.get(serial, {}))

    def _add_user(self, serial: int, note: Note) -> None:
        shared = self.shared.get(serial)
        if shared is not None:
            shared[note.place] = note
            return
        other = self.sole.pop(serial, note)
        if other is note:
            self.sole[serial] = note
        else:
            self.shared[serial] = {other.place: other, note.place: note}

    def _remove_user(self, serial: int, note: Note) -> None:
        shared = self.shared.get(serial)
        if shared is None:
            self.sole.pop(serial, None)
            return
        shared.pop(note.place, None)
        if len(shared) == 1:
            del self.shared[serial]
            (self.sole[serial],) = shared.values()


def newest_first(notes: t.Mapping[int, Note], most: int | None = None) -> list[Note]:
    """Sort what a :class:`Tally` has by place.

    :param most: How many of them are wanted.
    """
    # A record that goes on is read again and again, and then it stands last.
    return [notes[place] for place in sorted(notes, reverse=True)[:most]]


def tally_of(records: t.Iterable[RequestRecord]) -> Tally:
    """Add up some records.

    :param records: The first one is taken for the newest.
    """
    tally = Tally()
    for number, record in enumerate(records, 1):
        tally.add(Note(-number, record))
    return tally


def _take_one(counts: dict[int, int], serial: int) -> None:
    counts[serial] -= 1
    if not counts[serial]:
        del counts[serial]
