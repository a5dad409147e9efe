"""What all retained records come to, without reading all of them each time."""

from __future__ import annotations

import bisect
import collections.abc as cabc
import itertools
import threading
import typing as t

from . import verdicts
from .process import process
from .records import Finding
from .records import RequestRecord
from .stores import Store
from .tally import Note
from .tally import Tally
from .tally import newest_first


class Summary(t.NamedTuple):
    """What the retained records add up to.

    :ivar judgements: The three verdicts, with the beginning of their evidence.
    :ivar records: How many there are, and ``requests`` of these.
    :ivar using: How many requests used a session.
    :ivar uses: How many sessions they used, a shared one counted in each.
    :ivar sessions: How many sessions they used together.
    :ivar left: How many sessions were left open.
    :ivar statements: How many statements they sent.
    :ivar shared: How many requests each session served, by serial, of those that
        served several.
    """

    judgements: tuple[verdicts.Judgement, verdicts.Judgement, verdicts.Judgement]
    records: int
    requests: int
    using: int
    uses: int
    sessions: int
    left: int
    statements: int
    shared: cabc.Mapping[int, int]


def summary_of(tally: Tally, most: int | None = None) -> Summary:
    """Sum up.

    :param most: How many sentences of evidence are put into words for each verdict.
    """
    return Summary(
        verdicts.judgements(tally, most),
        len(tally.requests) + tally.others,
        len(tally.requests),
        len(tally.using),
        tally.uses,
        len(tally.sole) + len(tally.shared),
        len(tally.left),
        tally.statements,
        {serial: len(notes) for serial, notes in tally.shared.items()},
    )


class Digest:
    """Follows a store: each question reads only what came since the one before.

    :param store: Whose records are meant.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.after_fork()
        process.begin_anew_after_fork(self)

    def after_fork(self) -> None:
        """Begin anew, with a lock that nobody holds."""
        # Reentrant, as the store's.
        self._lock = threading.RLock()
        self._begin()

    def _begin(self) -> None:
        self._epoch = self._store.epoch
        self._upto = 0
        self._tally = Tally()
        self._notes: dict[str, Note] = {}
        # The notes by place, from number ``_first`` on; some of them may be gone.
        self._order: list[Note] = []
        self._first = 0
        # Ids of records that may go on without a new place, as a stream does.
        self._growing: set[str] = set()
        self._findings: tuple[Finding, ...] | None = None

    def summary(self, most: int | None = None) -> Summary:
        """Sum up all retained records.

        :param most: As for :func:`summary_of`.
        """
        with self._lock:
            return summary_of(self._caught_up(), most)

    def verdicts(
        self,
    ) -> tuple[verdicts.Verdict, verdicts.Verdict, verdicts.Verdict]:
        """State the three verdicts over all retained records."""
        with self._lock:
            return verdicts.of_tally(self._caught_up())

    def findings(self) -> tuple[Finding, ...]:
        """Return the findings of all retained records, newest first."""
        with self._lock:
            tally = self._caught_up()
            if self._findings is None:
                found = [
                    finding
                    for note in newest_first(tally.finding)
                    for finding in note.findings
                ]
                found.sort(key=lambda finding: finding.at, reverse=True)
                self._findings = tuple(found)
            return self._findings

    def users(self, serial: int) -> list[str]:
        """Return the ids of the requests that a session served, newest first."""
        with self._lock:
            return [note.id for note in self._caught_up().users(serial)]

    def served(self, serials: cabc.Iterable[int]) -> dict[int, int]:
        """Count the requests that some sessions served, by serial."""
        with self._lock:
            tally = self._caught_up()
            return {
                serial: len(tally.shared.get(serial, ())) or int(serial in tally.sole)
                for serial in serials
            }

    def latest_requests(self, most: int) -> list[str]:
        """Return the ids of the newest requests, newest first.

        :param most: How many. Where any used a session, only those count that did.
        """
        with self._lock:
            tally = self._caught_up()
            notes = tally.using or tally.requests
            # Those that go on stand last, and hide as many at most.
            number = most + len(self._growing)
            last = itertools.islice(reversed(notes), number)
            return [notes[each].id for each in sorted(last, reverse=True)[:most]]

    def neighbours(self, record_id: str) -> tuple[str, str]:
        """Return the ids of the record before and after one; empty where none is."""
        with self._lock:
            self._caught_up()
            note = self._notes.get(record_id)
            if note is None:
                return "", ""
            order = self._order
            at = bisect.bisect_left(
                order, note.place, self._first, key=lambda each: each.place
            )
            before = (order[n] for n in range(at - 1, self._first - 1, -1))
            after = (order[n] for n in range(at, len(order)))
            return (
                next((each.id for each in before if not each.gone), ""),
                next((x.id for x in after if not x.gone and x is not note), ""),
            )

    def _caught_up(self) -> Tally:
        store = self._store
        if store.epoch != self._epoch:
            self._begin()
        # Taken first: what comes meanwhile is read again the next time.
        latest = store.latest()
        if latest != self._upto:
            fresh = list(store.scan(self._upto, None))
            self._forget_before(store.oldest())
            for record in reversed(fresh):
                self._take(record)
            self._upto = latest
        for record_id in list(self._growing):
            self._read_again(record_id)
        return self._tally

    def _take(self, record: RequestRecord) -> None:
        place = self._store.place(record.id)
        known = self._notes.get(record.id)
        if place is None or (known is not None and known.place == place):
            return  # Evicted meanwhile, or here already.
        if known is not None:
            self._forget(known)
        note = self._notes[record.id] = Note(place, record)
        self._order.append(note)
        self._add(note)
        # The store keeps what it has built of a record that will not change.
        if self._store.get(record.id) is not record:
            self._growing.add(record.id)

    def _read_again(self, record_id: str) -> None:
        record, note = self._store.get(record_id), self._notes.get(record_id)
        if record is None or note is None:
            self._growing.discard(record_id)
            return
        self._remove(note)
        note.read(record)
        self._add(note)
        if self._store.get(record_id) is record:
            self._growing.discard(record_id)

    def _forget_before(self, oldest: int) -> None:
        """Forget what was evicted or cleared."""
        order = self._order
        if order and order[-1].place < oldest:
            upto = self._upto
            self._begin()
            self._upto = upto
            return
        while self._first < len(order) and order[self._first].place < oldest:
            if not order[self._first].gone:
                self._forget(order[self._first])
            self._first += 1
        # What is gone takes as much room as what is there, at most.
        if len(order) > 2 * len(self._notes) + 100:
            self._order = [note for note in order[self._first :] if not note.gone]
            self._first = 0

    def _forget(self, note: Note) -> None:
        note.gone = True
        del self._notes[note.id]
        self._growing.discard(note.id)
        self._remove(note)

    def _add(self, note: Note) -> None:
        self._tally.add(note)
        if note.findings:
            self._findings = None

    def _remove(self, note: Note) -> None:
        self._tally.remove(note)
        if note.findings:
            self._findings = None
