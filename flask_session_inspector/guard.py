"""The one place that swallows our own errors.

A raising hook harms the application: a row is committed and the user sees a
500, a connection never returns to its pool. So every hook catches
:class:`Exception` (never :class:`BaseException`: a gevent timeout or a
``SystemExit`` is not ours to keep) and reports it here.
"""

from __future__ import annotations

import logging
import threading

from .process import process

logger = logging.getLogger("flask_session_inspector")


class Guard:
    """Counts and logs the inspector's own errors, for the whole process.

    :ivar strict: Re-raise instead of swallowing, as the test suite wants it.
    :ivar errors: How many were reported.
    """

    def __init__(self) -> None:
        self.strict = False
        self._seen: set[str] = set()
        self.after_fork()
        process.begin_anew_after_fork(self)

    def after_fork(self) -> None:
        """Begin to count anew, with a lock that nobody holds."""
        self.errors = 0
        self._lock = threading.Lock()

    def report(self, where: str) -> None:
        """Take note of the exception being handled; call it in ``except``.

        Logged once for each place, since a broken hook breaks on every request.

        :param where: What failed, such as the name of the hook.
        """
        with self._lock:
            self.errors += 1
            first = where not in self._seen
            self._seen.add(where)
        if self.strict:
            raise
        if first:
            logger.exception(
                "The session inspector failed in %s; the application is not"
                " affected, but records may be incomplete.",
                where,
            )


guard = Guard()
