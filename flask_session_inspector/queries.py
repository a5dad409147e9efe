"""Which records are asked for."""

from __future__ import annotations

import re
import typing as t

from .records import RequestRecord
from .stores import Store

MOST = 10_000
ANY = "any"

_STATUS = re.compile(r"[1-5](?:[0-9]{2}|xx)", re.IGNORECASE)
_SESSION = re.compile(r"[Ss]?([0-9]{1,18})")
_CODE = re.compile(r"FSI[0-9]{3}")
_CURSOR = re.compile(r"([0-9a-f]{8})\.([0-9]{1,18})")
_RECORD_ID = re.compile(r"[0-9a-f]{8}-[0-9]{1,18}")


class RecordFilter:
    """What a record must be like.

    :param finding: A code, such as ``"FSI101"``, or ``"any"``.
    :param path: What the path contains.
    :param status: An HTTP status such as ``404``, or a class such as ``"5xx"``.
    :param session: The serial of a session such as ``12``, or its label.
    :raises ValueError: One of them is malformed; the message is one sentence.
    """

    def __init__(
        self,
        finding: str | None = None,
        path: str | None = None,
        status: int | str | None = None,
        session: int | str | None = None,
    ) -> None:
        self._finding = finding
        self._path = path
        self._status = None if status is None else str(status).lower()
        self._serial: int | None = None
        if finding is not None and finding != ANY and not _is(_CODE, finding):
            raise ValueError(
                f"finding must be a code such as FSI101, or any, not {finding!r}."
            )
        if path is not None and not isinstance(path, str):
            raise ValueError(f"path must be text, not {path!r}.")
        if self._status is not None and not _STATUS.fullmatch(self._status):
            raise ValueError(
                f"status must be an HTTP status such as 404 or 5xx, not {status!r}."
            )
        if session is not None:
            match = _SESSION.fullmatch(str(session))
            if match is None:
                raise ValueError(
                    f"session must be a number such as 12 or S12, not {session!r}."
                )
            self._serial = int(match[1])

    def matches(self, record: RequestRecord) -> bool:
        """Say whether a record is like that."""
        return (
            (self._path is None or self._path in (record.path or ""))
            and (self._status is None or self._has_status(record))
            and (
                self._serial is None
                or any(session.serial == self._serial for session in record.sessions)
            )
            and (
                self._finding is None
                or (self._finding == ANY and bool(record.findings))
                or any(finding.code == self._finding for finding in record.findings)
            )
        )

    def _has_status(self, record: RequestRecord) -> bool:
        status = str(record.status)
        wanted = t.cast(str, self._status)
        return status == wanted or (wanted.endswith("xx") and status[0] == wanted[0])


def _is(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def check_limit(limit: int) -> None:
    """Check a limit.

    :raises ValueError: It is none.
    """
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MOST:
        raise ValueError(f"limit must be a whole number from 1 to {MOST}.")


def cursor_of(store: Store) -> str:
    """Return the cursor of the newest record."""
    return f"{store.epoch}.{store.latest()}"


def place_of(name: str, value: str, store: Store) -> int | None:
    """Find the place that a cursor or a request id names.

    :param name: What to call it in an error, ``"after"`` or ``"before"``.
    :return: ``None`` for a cursor of another life of the store, before the
        process was restarted.
    :raises ValueError: It is neither, or names a request that is not retained.
    """
    cursor = _CURSOR.fullmatch(value) if isinstance(value, str) else None
    if cursor is not None:
        return int(cursor[2]) if cursor[1] == store.epoch else None
    if not _is(_RECORD_ID, value):
        raise ValueError(f"{name} must be a cursor or a request id, not {value!r}.")
    place = store.place(value)
    if place is None:
        raise ValueError(f"{name} names the request {value}, which is not retained.")
    return place
