"""The signals that an application can connect to."""

from __future__ import annotations

from blinker import Namespace

_signals = Namespace()

#: Sent when a record has ended, with the application as the sender and the
#: :class:`RequestRecord` as ``record``. No app context is pushed then.
request_recorded = _signals.signal("request-recorded")

#: Sent for each new finding, with the application as the sender and the
#: :class:`Finding` as ``finding``. No app context need be pushed then.
finding_reported = _signals.signal("finding-reported")
