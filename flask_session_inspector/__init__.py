"""Shows which database session each request of a Flask application really used."""

from __future__ import annotations

import contextlib
import importlib.util
import typing as t

from .extension import SessionInspector
from .inspection import Inspection
from .inspection import Page
from .records import ConnectionCheckout
from .records import Counters
from .records import Finding
from .records import Holder
from .records import Location
from .records import RequestRecord
from .records import SessionRecord
from .records import StatementRecord
from .records import TransactionRecord
from .rules import RULES
from .rules import Rule
from .signals import finding_reported
from .signals import request_recorded
from .verdicts import Verdict
from .verdicts import judge

if t.TYPE_CHECKING:
    from .web.admin import SessionsView

__all__ = [
    "RULES",
    "ConnectionCheckout",
    "Counters",
    "Finding",
    "Holder",
    "Inspection",
    "Location",
    "Page",
    "RequestRecord",
    "Rule",
    "SessionInspector",
    "SessionRecord",
    "StatementRecord",
    "TransactionRecord",
    "Verdict",
    "finding_reported",
    "judge",
    "request_recorded",
]


# Flask-Admin is an extra: only its page needs it. A finder may raise, too.
with contextlib.suppress(ImportError):
    if importlib.util.find_spec("flask_admin") is not None:
        __all__ += ["SessionsView"]


def __getattr__(name: str) -> t.Any:
    if name == "SessionsView":
        try:
            from .web.admin import SessionsView
        except ModuleNotFoundError as error:
            raise ImportError(
                "SessionsView needs Flask-Admin, which is not installed: install"
                " Flask-Session-Inspector[admin]."
            ) from error
        return SessionsView
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
