"""Sessions that may be pinned, and proxies that nobody named: when to audit.

The audit looks at many objects, so it is not for every request. It runs with the
first one, and again when a record has a session that looks like a pinned one and
was not looked for before.
"""

from __future__ import annotations

import collections.abc as cabc
import threading
import time
import typing as t
import weakref

import msgspec

# The only way from a serial to a session that no record has seen.
from sqlalchemy.orm.session import _sessions

from . import audit
from . import rules
from .clues import AlreadyAttached
from .process import process
from .records import Finding
from .records import Holder

if t.TYPE_CHECKING:
    import flask

    from .recorder import RawSession
    from .recorder import Scope

PINNED = "FSI103"
_RUNNING = (
    "A request that is running uses it; if it is still held when that has ended, it is"
    " pinned."
)
_MOST_PLACES = 1000


class Suspects:
    """Knows which sessions and proxies the audit found, and asks it sparingly.

    :param watched: Further proxies by name.
    :param live: The scopes that have begun and not ended.
    :ivar proxies: The proxies of the application's own modules, by name.
    """

    def __init__(
        self,
        app: flask.Flask,
        watched: cabc.Mapping[str, t.Any],
        live: cabc.Callable[[], cabc.Iterable[Scope]],
    ) -> None:
        self._app = weakref.ref(app)
        self._watched = watched
        self._live = live
        self.proxies: dict[str, t.Any] = {}
        self._others: list[t.Any] | None = None
        self._proxies_met: set[int] = set()
        self._places: set[object] = set()
        self._pinned: dict[int, list[str]] = {}
        self._held: set[int] = set()
        self._first_seen: dict[tuple[str, int | None], float] = {}
        self._audited = False
        self.after_fork()
        process.begin_anew_after_fork(self)

    def after_fork(self) -> None:
        """Begin with a lock that nobody holds."""
        self._lock = threading.Lock()

    def audit(self) -> list[Holder]:
        """Ask the audit.

        A session that a running request began may be held for that request only, as
        in a registry that the application wrote itself: that is told as unknown.
        """
        app = self._app()
        if app is None:
            return []
        running = self._first_used_by_running()
        holders = [
            msgspec.structs.replace(holder, verdict="unknown", hint=_RUNNING)
            if holder.verdict == "pinned" and holder.session in running
            else holder
            for holder in audit.holders(app, self._watched)
        ]
        self._held.update(session for session, _ in _pinned_in(holders))
        self._audited = True
        return holders

    def _first_used_by_running(self) -> set[int]:
        return {
            serial
            for scope in list(self._live())
            if not scope.closed
            for serial, used in list(scope.sessions.items())
            if used.facts.first is scope
        }

    def findings(self, holders: cabc.Iterable[Holder]) -> list[Finding]:
        """Report what the audit found pinned."""
        now = time.time()
        return [
            rules.of_holder(
                holder,
                self._first_seen.setdefault((holder.where, holder.session), now),
            )
            for holder in holders
            if holder.verdict == "pinned"
        ]

    def pinned_among(self, scope: Scope) -> cabc.Mapping[int, list[str]]:
        """Return where sessions are held, by serial, as far as this record needs.

        It asks the audit, if a session of the record may be pinned.
        """
        if scope.kind == "request" and scope.sessions:
            suspects = [
                used for used in list(scope.sessions.values()) if self._is_suspect(used)
            ]
            owners = self._owners_unseen(scope)
            wanted = bool(suspects or owners) or not self._audited
            # Another thread that audits now will tell its own record.
            if wanted and self._lock.acquire(blocking=False):
                try:
                    # Not taken back later: what was pinned explains what was seen.
                    for session, where in _pinned_in(self.audit()):
                        if session in scope.sessions or session in owners:
                            places = self._pinned.setdefault(session, [])
                            if where not in places:
                                places.append(where)
                    self._clear_of_suspicion(suspects)
                finally:
                    self._lock.release()
        return self._pinned

    def _owners_unseen(self, scope: Scope) -> set[int]:
        """Return the sessions whose objects were added to one of the record's.

        Each place is looked into once: a view can fail again and again.
        """
        owners = set()
        for clue in scope.clues or ():
            if type(clue) is AlreadyAttached and clue.owner not in self._pinned:
                place = (clue.location or clue.owner, False)
                if place not in self._places:
                    self._places.add(place)
                    owners.add(clue.owner)
        return owners

    def _is_suspect(self, used: RawSession) -> bool:
        facts = used.facts
        if facts.registry_key is not None or facts.serial in self._pinned:
            return False
        if facts.serial in self._held:
            return True
        before = used.earlier
        if before is None and (used.ended != "open" or facts.reference() is None):
            return False
        return _place(used) not in self._places

    def _clear_of_suspicion(self, suspects: cabc.Iterable[RawSession]) -> None:
        """Look no further for what is used in the same place in the same way."""
        for used in suspects:
            if used.facts.serial not in self._pinned:
                if len(self._places) >= _MOST_PLACES:
                    self._places.clear()
                self._places.add(_place(used))

    def look_for_proxies(self, proxy: object = None) -> bool:
        """Look through the application's modules for proxies.

        :param proxy: One that was met, and is looked for only once.
        :return: Whether there are new ones.
        """
        app = self._app()
        if app is None or (proxy is not None and id(proxy) in self._proxies_met):
            return False
        if proxy is not None:
            self._proxies_met.add(id(proxy))
        found = dict(audit.module_registries(app))
        self._others = None
        new = found.keys() - self.proxies.keys()
        self.proxies.update(found)
        return bool(new)

    def other_proxies(self) -> list[t.Any]:
        """Return the proxies that only closures of the application hold."""
        app = self._app()
        if self._others is None:
            self._others = [] if app is None else list(audit.other_registries(app))
        return self._others

    def kept_alive_by(self, serial: int) -> list[str]:
        """Name what keeps a session alive."""
        session = _sessions.get(serial)
        return [] if session is None else audit.kept_alive_by(session)


def _pinned_in(holders: cabc.Iterable[Holder]) -> cabc.Iterator[tuple[int, str]]:
    for holder in holders:
        if holder.verdict == "pinned" and holder.session is not None:
            yield holder.session, holder.where


def _place(used: RawSession) -> tuple[object, bool]:
    return (used.first_use or used.facts.serial, used.earlier is None)
