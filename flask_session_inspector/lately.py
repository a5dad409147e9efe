"""The last audit, for pages that ask again and again."""

from __future__ import annotations

import collections.abc as cabc
import threading
import time
import typing as t

from .process import process
from .records import Holder

# Seconds for which an open page does with an audit that was made before newer records,
# and how many times as long as the audit took: it has a fiftieth of the time at most.
LONGEST = 2.0
SHARE = 50


class Audit(t.NamedTuple):
    """What an audit found.

    :ivar generation: Another one as soon as anything else was found.
    """

    holders: list[Holder]
    generation: int


class _Last(t.NamedTuple):
    """The last audit.

    :ivar place: The newest place in the store before it.
    :ivar found: How many pinned sessions had been found after it.
    :ivar due: When it is to be made again, if there are newer records.
    """

    audit: Audit
    place: int
    found: int
    due: float


class LastAudit:
    """Asks the audit, and remembers the answer until it may be another one.

    :param ask: Asks it.
    :param place: Returns the newest place in the store: a holder of a session that
        appears without a record shows when a page is loaded.
    :param found: Returns how many pinned sessions were found: when a record has led to
        one, there is nothing to wait for.
    :param clock: Tells seconds that only grow.
    """

    def __init__(
        self,
        ask: cabc.Callable[[], list[Holder]],
        place: cabc.Callable[[], int],
        found: cabc.Callable[[], int],
        clock: cabc.Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._place = place
        self._found = found
        self._clock = clock
        self.after_fork()
        process.begin_anew_after_fork(self)

    def after_fork(self) -> None:
        """Know nothing, with a lock that nobody holds."""
        self._lock = threading.Lock()
        self._last: _Last | None = None

    def fresh(self) -> Audit:
        """Ask the audit."""
        place, began = self._place(), self._clock()
        holders = self._ask()
        now = self._clock()
        due = now + max(LONGEST, SHARE * (now - began))
        with self._lock:
            generation = 1
            if self._last is not None:
                before = self._last.audit
                generation = before.generation + (holders != before.holders)
            audit = Audit(holders, generation)
            self._last = _Last(audit, place, self._found(), due)
        return audit

    def recent(self) -> Audit:
        """Return what is known, if that can be right or was only just asked."""
        last = self._last
        if last is None:
            return self.fresh()
        is_newer = last.place != self._place() and self._clock() >= last.due
        if is_newer or last.found != self._found():
            return self.fresh()
        return last.audit
