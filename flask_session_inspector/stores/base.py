"""What every store of records does."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

from ..recorder import Scope
from ..records import RequestRecord


class StoreCounters(t.NamedTuple):
    """What became of the records that were put; see :class:`~.records.Counters`."""

    stored: int
    lost: int
    unreadable: int
    evicted: int
    retained: int


class Store(t.Protocol):
    """A ring of finished records, newest last.

    Every record has a place: a number that grows with each :meth:`put`. A record
    that is put again under its id moves to the newest place and is not counted
    a second time.

    :ivar shared: Whether other processes see the same records.
    :ivar epoch: Tells one life of the store from another, since the places of
        two lives mean nothing to each other.
    """

    shared: bool
    epoch: str

    def put(self, scope: Scope, *, keep: bool = True, revive: bool = False) -> None:
        """Keep the record of a scope. Takes microseconds and never raises.

        :param keep: If not, the record is only counted, as stored and evicted.
        :param revive: If the record is here for a second time and was not retained,
            retain it after all.
        """

    def go_on(self, scope: Scope) -> None:
        """Take note that a record that was put goes on, and will be put again."""

    def latest(self) -> int:
        """Return the newest place; it also grows when records are cleared."""

    def oldest(self) -> int:
        """Return the place of the oldest record; the next one if there is none."""

    def place(self, record_id: str) -> int | None:
        """Return the place of a record, ``None`` if it is not retained."""

    def get(self, record_id: str) -> RequestRecord | None:
        """Return a record, ``None`` if it is not retained."""

    def scan(self, after: int, before: int | None) -> cabc.Iterator[RequestRecord]:
        """Iterate over the records between two places, newest first.

        :param after: Only records with a greater place.
        :param before: Only records with a smaller place.
        """

    def clear(self) -> None:
        """Forget every record."""

    def counters(self) -> StoreCounters:
        """Return what became of the records, counted at one moment."""
