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

# The only way from a serial to a session that no record has seen.
from sqlalchemy.orm.session import _sessions

from . import audit
from . import rules
from .process import process
from .records import Finding
from .records import Holder

if t.TYPE_CHECKING:
    import flask

    from .recorder import RawSession
    from .recorder import Scope

PINNED = "FSI103"
_MOST_PLACES = 1000


class Suspects:
    """Knows which sessions and proxies the audit found, and asks it sparingly.

    :param watched: Further proxies by name.
    :ivar proxies: The proxies of the application's own modules, by name.
    """

    def __init__(self, app: flask.Flask, watched: cabc.Mapping[str, t.Any]) -> None:
        self._app = weakref.ref(app)
        self._watched = watched
        self.proxies: dict[str, t.Any] = {}
        self._others: list[t.Any] | None = None
        self._proxies_met: set[int] = set()
        self._places: set[object] = set()
        self._pinned: dict[int, list[str]] = {}
        self._first_seen: dict[tuple[str, int | None], float] = {}
        self._audited = False
        self.after_fork()
        process.begin_anew_after_fork(self)

    def after_fork(self) -> None:
        """Begin with a lock that nobody holds."""
        self._lock = threading.Lock()

    def audit(self) -> list[Holder]:
        """Ask the audit, and remember what it found pinned."""
        app = self._app()
        if app is None:
            return []
        holders = audit.holders(app, self._watched)
        pinned: dict[int, list[str]] = {}
        for holder in holders:
            if holder.verdict == "pinned" and holder.session is not None:
                pinned.setdefault(holder.session, []).append(holder.where)
        # Not taken back: what was pinned once explains what was seen then.
        self._pinned.update(pinned)
        self._audited = True
        return holders

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
            wanted = not self._audited
            for used in list(scope.sessions.values()):
                wanted |= self._is_suspect(used)
            # Another thread that audits now will tell its own record.
            if wanted and self._lock.acquire(blocking=False):
                try:
                    self.audit()
                finally:
                    self._lock.release()
        return self._pinned

    def _is_suspect(self, used: RawSession) -> bool:
        facts = used.facts
        if facts.registry_key is not None or facts.serial in self._pinned:
            return False
        before = used.earlier
        if before is None and (used.ended != "open" or facts.reference() is None):
            return False
        place = used.first_use or facts.serial
        key = (place, before is None)
        if key in self._places:
            return False
        if len(self._places) < _MOST_PLACES:
            self._places.add(key)
        return True

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
