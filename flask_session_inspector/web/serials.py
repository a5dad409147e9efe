"""Which session is asked for."""

from __future__ import annotations

from ..queries import RecordFilter


def serial_of(session: str) -> int:
    """Read the serial of a session from ``"12"`` or ``"S12"``.

    :raises ValueError: It is neither; the message is one sentence.
    """
    RecordFilter(session=session)  # Raises it.
    return int(session.lstrip("Ss"))
