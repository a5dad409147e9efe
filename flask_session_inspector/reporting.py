"""Tells of findings as they are made: by a signal, and in the log."""

from __future__ import annotations

import collections.abc as cabc
import logging
import re
import time
import typing as t

from .guard import guard
from .masking import storable
from .process import process
from .records import Finding
from .signals import finding_reported
from .signals import request_recorded

if t.TYPE_CHECKING:
    import flask

    from .records import RequestRecord

logger = logging.getLogger("flask_session_inspector")

# A path or a name could write lines of its own, or move a terminal's cursor.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

INTERVAL = 60.0
MOST_PAIRS = 10_000


class Reporter:
    """Tells of the findings of one application.

    The log gets a line for each new pair of code and endpoint, and never more than
    one a minute for the same pair. A mere note (severity ``"info"``) is logged at
    the level of that name, so that it does not alarm where logging is not set up.

    :param clock: Tells seconds that only grow.
    :ivar address_of: Returns the address of a record's page.
    """

    def __init__(self, clock: t.Callable[[], float] = time.monotonic) -> None:
        self.address_of: t.Callable[[str], str] = str
        self._clock = clock
        self.after_fork()
        process.begin_anew_after_fork(self)

    def after_fork(self) -> None:
        """Begin to tell anew."""
        self._told: dict[tuple[str, str | None], float] = {}

    def tell_of_record(
        self, app: flask.Flask, build: cabc.Callable[[], RequestRecord | None]
    ) -> None:
        """Send ``request_recorded``, if anybody listens.

        :param build: Makes the record, which costs more than all the rest.
        """
        try:
            if request_recorded.has_receivers_for(app):
                record = build()
                if record is not None:
                    request_recorded.send(app, record=record)
        except Exception:
            guard.report("a receiver of request_recorded")

    def tell_of_finding(
        self, app: flask.Flask | None, finding: Finding, endpoint: str | None
    ) -> None:
        """Send ``finding_reported``, and log the finding if that is due."""
        try:
            if self._is_due(finding.code, endpoint):
                self._log(finding, endpoint)
            if app is not None:
                finding_reported.send(app, finding=finding)
        except Exception:
            guard.report("a receiver of finding_reported")

    def _is_due(self, code: str, endpoint: str | None) -> bool:
        now = self._clock()
        before = self._told.get((code, endpoint))
        if before is not None and now - before < INTERVAL:
            return False
        if len(self._told) >= MOST_PAIRS:
            self._told.clear()
        self._told[code, endpoint] = now
        return True

    def _log(self, finding: Finding, endpoint: str | None) -> None:
        level = logging.INFO if finding.severity == "info" else logging.WARNING
        if not logger.isEnabledFor(level):
            return
        location = finding.location
        where = ""
        if location is not None:
            where = f" [{location.file}:{location.line} in {location.function}]"
        page = ""
        if finding.request_id is not None:
            page = f" See {self.address_of(finding.request_id)}"
        logger.log(
            level,
            "%s",
            _one_line(
                f"{finding.code} {finding.name} in {endpoint or 'no endpoint'}:"
                f" {finding.message}{where}{page}"
            ),
        )


def _one_line(text: str) -> str:
    joined = storable(" ".join(text.split()))
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", joined)
