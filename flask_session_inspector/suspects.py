"""Sessions that may be pinned, and proxies that nobody named: when to audit.

The audit looks at many objects, so it is not for every request. It runs with the
first one, and again when a record has a session that looks like a pinned one and
comes from a line of code that was not looked into before. Where one was found, that
place alone is looked at again for the next session of the same line.
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
from .guard import guard
from .process import process
from .records import Finding
from .records import Holder
from .rules.signs import CLUE
from .rules.signs import UNREGISTERED
from .signals import finding_reported

if t.TYPE_CHECKING:
    import flask

    from .recorder import RawSession
    from .recorder import Scope

PINNED = "FSI103"
# The signs of a record by which a session of it may be held by something.
OF_SUSPECTS = UNREGISTERED | CLUE
_RUNNING = (
    "A request that is running uses it; if it is still held when that has ended, it is"
    " pinned."
)
# Seconds between audits for sessions from lines that were looked into before.
INTERVAL = 5.0
_MOST_PLACES = 1000
_MOST_SESSIONS = 1000
# Paths to look at again for the sessions of one line.
_MOST_PATHS = 4

_Entry = t.TypeVar("_Entry")


class Suspects:
    """Knows which sessions and proxies the audit found, and asks it sparingly.

    :param watched: Further proxies by name.
    :param live: The scopes that have begun and not ended.
    :param tell: Is told each finding of the audit, once.
    :param ignored: They are not to be told.
    :param clock: Tells seconds that only grow.
    :ivar pinned: Where sessions are held, by serial.
    :ivar has_audited: Whether anybody has asked the audit yet.
    :ivar proxies: The proxies of the application's own modules, by name.
    :ivar found: How many places were found so far in which a session is pinned.
    """

    def __init__(
        self,
        app: flask.Flask,
        watched: cabc.Mapping[str, t.Any],
        live: cabc.Callable[[], cabc.Iterable[Scope]],
        tell: cabc.Callable[[Finding], object],
        *,
        ignored: bool = False,
        clock: cabc.Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = weakref.ref(app)
        self._watched = watched
        self._live = live
        self._tell = tell
        self._ignored = ignored
        self._clock = clock
        self.proxies: dict[str, t.Any] = {}
        self.found = 0
        self._others: list[t.Any] | None = None
        self._proxies_met: set[int] = set()
        # The lines that were looked into, with the paths that held their sessions.
        self._places: dict[object, list[str]] = {}
        self.pinned: dict[int, list[str]] = {}
        self._held: dict[int, list[str]] = {}
        self._first_seen: dict[tuple[str, int | None], float] = {}
        self.has_audited = False
        self._audited_for_request: float | None = None
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
        holders = self._ask()
        self.has_audited = True
        self._tell_new(holders)
        return holders

    def _ask(self, only: cabc.Collection[str] | None = None) -> list[Holder]:
        app = self._app()
        if app is None:
            return []
        running = self._first_used_by_running()
        holders = [
            msgspec.structs.replace(holder, verdict="unknown", hint=_RUNNING)
            if holder.verdict == "pinned" and holder.session in running
            else holder
            for holder in audit.holders(app, self._watched, only)
        ]
        for session, where in _pinned_in(holders):
            _add_path(self._held, session, where)
        _forget_the_gone(self._held, lambda session: session)
        return holders

    def _tell_new(
        self, holders: cabc.Iterable[Holder], owners: cabc.Collection[int] = ()
    ) -> None:
        """Tell what no audit found before.

        :param owners: Sessions that the log does not have from a record.
        """
        new = [
            holder
            for holder in holders
            if (holder.where, holder.session) not in self._first_seen
        ]
        for finding in self.findings(new):
            self.found += 1
            if self._ignored:
                continue
            if finding.session in self.pinned and finding.session not in owners:
                self._signal(finding)
            else:
                self._tell(finding)
        _forget_the_gone(self._first_seen, lambda seen: seen[1])

    def _signal(self, finding: Finding) -> None:
        try:
            finding_reported.send(self._app(), finding=finding)
        except Exception:
            guard.report("a receiver of finding_reported")

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
                used
                for used in list(scope.sessions.values())
                if self._is_suspect(used, scope)
            ]
            owners = self._owners_unseen(scope)
            wanted = bool(suspects or owners) or not self.has_audited
            # Another thread that audits now will tell its own record.
            if wanted and self._lock.acquire(blocking=False):
                try:
                    self._look(scope, suspects, owners)
                finally:
                    self._lock.release()
        return self.pinned

    def _look(self, scope: Scope, suspects: list[RawSession], owners: set[int]) -> None:
        """Look for the sessions of a record, no further than has to be."""
        sought = owners.union(scope.sessions)
        known = {path for used in suspects for path in self._paths(used, scope)}
        if known:
            self._find(sought, owners, self._ask(known))
        missing = [x for x in suspects if x.facts.serial not in self.pinned]
        for used in missing:
            self._held.pop(used.facts.serial, None)
        unseen = any(_place(used, scope) not in self._places for used in missing)
        if owners or unseen or not self.has_audited or (missing and self._is_due()):
            self._audited_for_request = self._clock()
            self._find(sought, owners, self._ask())
            self.has_audited = True
        for used in suspects:
            self._remember(used, scope)

    def _find(self, sought: set[int], owners: set[int], holders: list[Holder]) -> None:
        # Not taken back later: what was pinned explains what was seen.
        for session, where in _pinned_in(holders):
            if session in sought:
                _add_path(self.pinned, session, where)
        _forget_the_gone(self.pinned, lambda session: session)
        self._tell_new(holders, owners)

    def _is_due(self) -> bool:
        before = self._audited_for_request
        return before is None or self._clock() - before >= INTERVAL

    def _owners_unseen(self, scope: Scope) -> set[int]:
        """Return the sessions whose objects were added to one of the record's.

        Each place is looked into once: a view can fail again and again.
        """
        owners = set()
        for clue in scope.clues or ():
            if type(clue) is AlreadyAttached and clue.owner not in self.pinned:
                place = (clue.location or scope.endpoint, None)
                if place not in self._places:
                    self._remember_place(place, [])
                    owners.add(clue.owner)
        return owners

    def _is_suspect(self, used: RawSession, scope: Scope) -> bool:
        facts = used.facts
        if facts.registry_key is not None or facts.serial in self.pinned:
            return False
        if facts.serial in self._held:
            return True
        before = used.earlier
        if before is None and (used.ended != "open" or facts.reference() is None):
            return False
        # Where nothing was found, nothing will be.
        return self._places.get(_place(used, scope)) != []

    def _paths(self, used: RawSession, scope: Scope) -> list[str]:
        """Return where a session may be held, as the audit told it before."""
        held = self._held.get(used.facts.serial, [])
        return [*held, *self._places.get(_place(used, scope), ())]

    def _remember(self, used: RawSession, scope: Scope) -> None:
        """Know the line by which a session was used, and where that was held."""
        place = _place(used, scope)
        paths = self.pinned.get(used.facts.serial, [])[:_MOST_PATHS]
        if paths or place not in self._places:
            self._remember_place(place, paths)

    def _remember_place(self, place: object, paths: list[str]) -> None:
        if len(self._places) >= _MOST_PLACES:
            self._places.clear()
        self._places[place] = paths

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


def _place(used: RawSession, scope: Scope) -> tuple[object, bool]:
    return used.first_use or scope.endpoint, used.earlier is None


def _add_path(paths: dict[int, list[str]], session: int, where: str) -> None:
    known = paths.setdefault(session, [])
    if where not in known:
        known.append(where)


def _forget_the_gone(
    entries: dict[_Entry, t.Any], serial: cabc.Callable[[_Entry], int | None]
) -> None:
    """Drop the entries of sessions that are gone, if there are many entries.

    :param serial: Returns the session of a key.
    """
    if len(entries) > _MOST_SESSIONS:
        for key in list(entries):
            number = serial(key)
            if number is not None and number not in _sessions:
                entries.pop(key, None)
    for key in list(entries)[: -2 * _MOST_SESSIONS]:
        entries.pop(key, None)  # The oldest.
