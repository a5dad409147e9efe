"""What one application has recorded, and the questions it answers."""

from __future__ import annotations

import collections.abc as cabc
import hashlib
import hmac
import itertools
import secrets
import typing as t
import weakref

import flask
import msgspec

from . import verdicts
from .builder import RecordBuilder
from .config import Config
from .digest import Digest
from .lately import Audit
from .lately import LastAudit
from .masking import Masker
from .process import process
from .queries import RecordFilter
from .queries import check_limit
from .queries import cursor_of
from .queries import place_of
from .recorder import Scope
from .recording import Recording
from .recording import internal_errors
from .records import Counters
from .records import Finding
from .records import Holder
from .records import RequestRecord
from .stores import open_store
from .suspects import PINNED


class Page(msgspec.Struct, frozen=True):
    """Some records.

    :param records: Newest first.
    :param cursor: The place of the newest record there was; pass it as
        ``after`` to get only what came later.
    """

    records: list[RequestRecord]
    cursor: str


class Inspection:
    """One inspected application: ``app.extensions["session_inspector"]``.

    Every member works inside and outside of an app context.

    :param current_scope: Finds what the running request has done so far.
    :param settle: Ends what nobody else will.
    :ivar config: The configuration.
    :ivar app_name: The application's import name.
    :ivar recording: The writing side.
    """

    def __init__(
        self,
        app: flask.Flask,
        config: Config,
        *,
        current_scope: t.Callable[[Recording], Scope | None],
        settle: t.Callable[[Recording], None],
    ) -> None:
        self.config = config
        self.app_name = app.import_name
        masker = Masker(config.sensitive_keys)
        self._builder = RecordBuilder(masker, keep_literals=config.capture_parameters)
        self._store = open_store(config.store, config.max_requests, self._builder)
        self._digest = Digest(self._store)
        self.recording = Recording(app, config, self._store, self._builder, masker)
        suspects = self.recording.suspects
        self._last_audit = LastAudit(
            suspects.audit, self._store.latest, lambda: suspects.found
        )
        self._app = weakref.ref(app)
        self._current_scope = current_scope
        self._settle = settle
        self._random_token = secrets.token_hex(16)
        self._internal_errors_before = internal_errors()
        process.begin_anew_after_fork(self)

    def after_fork(self) -> None:
        """Count only what happens in the new process."""
        self._internal_errors_before = 0

    @property
    def paused(self) -> bool:
        """Whether recording is paused."""
        return self.recording.paused

    @property
    def own_blueprints(self) -> set[str]:
        """The blueprints whose requests are never recorded."""
        return self.recording.own_blueprints

    @property
    def token(self) -> str:
        """What the header ``X-Session-Inspector-Token`` of a POST must carry.

        The same in all processes of an application that has a ``SECRET_KEY``.
        """
        app = self._app()
        key = None if app is None else app.secret_key
        if not key:
            return self._random_token
        key = key if isinstance(key, bytes) else key.encode()
        return hmac.new(key, b"flask-session-inspector", hashlib.sha256).hexdigest()

    @property
    def cursor(self) -> str:
        """The place of the newest record; changes with every new one."""
        self._settle(self.recording)
        return cursor_of(self._store)

    @property
    def oldest_place(self) -> int:
        """The place of the oldest record that is retained."""
        return self._store.oldest()

    @property
    def digest(self) -> Digest:
        """What the retained records come to, for the pages."""
        self._settle(self.recording)
        return self._digest

    def place(self, record_id: str) -> int:
        """Return the place of a record, 0 if it is not retained."""
        return self._store.place(record_id) or 0

    @property
    def counters(self) -> Counters:
        """What became of the records so far."""
        self._settle(self.recording)
        in_flight = len(self.recording.live)
        store = self._store.counters()
        lost = store.lost + self.recording.lost
        return Counters(
            started=in_flight + store.stored + lost,
            in_flight=in_flight,
            stored=store.stored,
            dropped=0,  # Nothing queues in front of a store in memory.
            lost=lost,
            unreadable=store.unreadable,
            internal_errors=internal_errors() - self._internal_errors_before,
            evicted=store.evicted,
            retained=store.retained,
        )

    def requests(
        self,
        limit: int = 50,
        *,
        after: str | None = None,
        before: str | None = None,
        finding: str | None = None,
        path: str | None = None,
        status: int | str | None = None,
        session: int | str | None = None,
    ) -> list[RequestRecord]:
        """Return retained records, newest first.

        :param limit: How many at most, 1 to 10,000.
        :param after: Only newer ones than this cursor or request id.
        :param before: Only older ones than this cursor or request id.
        :param finding: Only those with this code; ``"any"`` for those with any.
        :param path: Only those whose path contains this.
        :param status: Only those with this HTTP status, such as ``404`` or
            ``"5xx"``.
        :param session: Only those that used this session, such as ``12`` or
            ``"S12"``.
        :raises ValueError: An argument is malformed; the message says which.
        """
        return self.page(
            limit,
            after=after,
            before=before,
            finding=finding,
            path=path,
            status=status,
            session=session,
        ).records

    def page(
        self,
        limit: int = 50,
        *,
        after: str | None = None,
        before: str | None = None,
        finding: str | None = None,
        path: str | None = None,
        status: int | str | None = None,
        session: int | str | None = None,
    ) -> Page:
        """Return what :meth:`requests` does, and the cursor to go on from."""
        check_limit(limit)
        wanted = RecordFilter(finding, path, status, session)
        # Taken first: a record that comes meanwhile is told twice, never missed.
        cursor = self.cursor
        store = self._store
        newer = 0 if after is None else place_of("after", after, store) or 0
        older = None if before is None else place_of("before", before, store)
        if before is not None and older is None:
            return Page([], cursor)  # What an earlier process had is gone.
        found = filter(wanted.matches, store.scan(newer, older))
        return Page(list(itertools.islice(found, limit)), cursor)

    def request(self, request_id: str) -> RequestRecord | None:
        """Return a record, ``None`` if it is not retained."""
        self._settle(self.recording)
        return self._store.get(request_id)

    def has_ended(self, record_id: str) -> bool:
        """Say whether a record of this process has ended, retained or not."""
        token, _, number = record_id.partition("-")
        return token == process.token and number not in map(
            str, list(self.recording.live)
        )

    def current(self) -> RequestRecord | None:
        """Return what the running request has done so far.

        :return: ``None`` outside of a request, and in one that is not recorded.
        """
        scope = self._current_scope(self.recording)
        return None if scope is None else self._builder.build(scope)

    def findings(self, holders: cabc.Sequence[Holder] | None = None) -> list[Finding]:
        """Return the findings of all retained records and of the audit.

        :param holders: What :meth:`audit` answered, where it was just asked.
        :return: Newest first. What the audit finds has no ``request_id``.
        """
        found = list(self.digest.findings())
        if PINNED not in self.config.ignore_findings:
            asked = self.audit() if holders is None else holders
            found += self.recording.suspects.findings(asked)
        found.sort(key=lambda finding: finding.at, reverse=True)
        return found

    def audit(self) -> list[Holder]:
        """Return every known object that holds a session."""
        return self._last_audit.fresh().holders

    def audit_for_page(self, *, is_open: bool) -> Audit:
        """Return what :meth:`audit` does, and whether it is what it was before.

        :param is_open: The page is open and asks again and again, which must not cost
            an audit each time.
        """
        return self._last_audit.recent() if is_open else self._last_audit.fresh()

    def kept_alive_by(self, session: int) -> list[str]:
        """Name what keeps a session alive, by looking through all objects.

        That takes some tenths of a second: it is meant for one that is pinned or was
        not removed.

        :param session: The serial, such as ``12`` for S12.
        :return: One line for each way to it; none if it is gone.
        """
        return self.recording.suspects.kept_alive_by(session)

    def verdicts(
        self,
    ) -> tuple[verdicts.Verdict, verdicts.Verdict, verdicts.Verdict]:
        """Return the three verdicts over all retained records."""
        return self.digest.verdicts()

    def process(self) -> dict[str, t.Any]:
        """Return ``pid``, ``store`` (its URL) and whether that is ``shared``."""
        return {
            "pid": process.pid,
            "store": self.config.store,
            "shared": self._store.shared,
        }

    def clear(self) -> None:
        """Forget the retained records."""
        self._settle(self.recording)
        self._store.clear()

    def pause(self) -> None:
        """Begin no new records in this process."""
        self.recording.paused = True

    def resume(self) -> None:
        """Begin new records again."""
        self.recording.paused = False

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until what has ended is in the store.

        :param timeout: How long to wait, in seconds.
        :return: Whether it is.
        """
        self._settle(self.recording)
        return True
