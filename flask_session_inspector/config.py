"""The configuration: one documented field for each ``SESSION_INSPECTOR_*`` key."""

from __future__ import annotations

import collections.abc as cabc
import re
import typing as t
from dataclasses import dataclass
from dataclasses import fields

if t.TYPE_CHECKING:
    from flask import Flask

PREFIX = "SESSION_INSPECTOR_"

# Not "code": far more columns are a country_code or postcode than a secret.
DEFAULT_SENSITIVE_KEYS = (
    "password",
    "passwd",
    "passphrase",
    "pass",
    "pwd",
    "pw",
    "secret",
    "token",
    "key",
    "authorization",
    "auth",
    "credential",
    "bearer",
    "cookie",
    "session",
    "sid",
    "csrf",
    "jwt",
    "otp",
    "pin",
    "ssn",
    "cvv",
    "signature",
    "sig",
)


@dataclass(frozen=True)
class Config:
    """What ``app.config`` says, validated once at ``init_app``.

    :param enabled: Whether anything is recorded at all. Without it no listener
        is installed. Default: ``app.debug``.
    :param store: The URL of the store of finished records.
    :param max_requests: How many records the store retains, as a ring.
    :param max_statements: How many statements, transactions, sessions and
        checkouts are kept in one record; further statements are counted only.
    :param access: Called without arguments in the context of a request for the
        inspector's pages and API; says whether it is allowed. ``None``: allowed
        while ``app.debug``, and from ``DEBUG_TB_HOSTS`` where that is set.
    :param capture_parameters: Keep bound values. While off, string and number
        literals in SQL are masked too.
    :param sensitive_keys: Names whose values are masked in query strings, URLs
        and parameters, whatever else is on.
    :param locations: Find the application's line behind each statement.
    :param exclude: Path prefixes that are not recorded.
    :param sample_rate: The share of requests that is recorded, 0 to 1.
    :param ignore_findings: Codes that are not reported.
    :param idle_transaction_ms: The threshold of FSI203, in milliseconds.
    :param server_timing: Add a ``Server-Timing`` header to responses.
    :param keep: ``"findings"`` keeps full records only of requests with
        findings, ``"all"`` keeps every one.
    :param strict: Re-raise the inspector's own errors instead of swallowing them,
        in the whole process.
    """

    enabled: bool = False
    store: str = "memory://"
    max_requests: int = 1000
    max_statements: int = 1000
    access: t.Callable[[], bool] | None = None
    capture_parameters: bool = False
    sensitive_keys: tuple[str, ...] = DEFAULT_SENSITIVE_KEYS
    locations: bool = True
    exclude: tuple[str, ...] = ()
    sample_rate: float = 1.0
    ignore_findings: tuple[str, ...] = ()
    idle_transaction_ms: float = 500
    server_timing: bool = False
    keep: str = "all"
    strict: bool = False

    @classmethod
    def from_app(cls, app: Flask) -> Config:
        """Read the keys, set the defaults of those not given.

        :raises ValueError: A value is malformed. The message names the key.
        """
        values = {}
        for field in fields(cls):
            key = PREFIX + field.name.upper()
            default = app.debug if field.name == "enabled" else field.default
            value = app.config.setdefault(key, default)
            try:
                values[field.name] = _VALIDATORS[field.name](value)
            except _Malformed as malformed:
                raise ValueError(f"{key} {malformed}, not {value!r}.") from None
        return cls(**values)


class _Malformed(Exception):
    """A value is not what its key takes; the text completes "KEY ..."."""


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise _Malformed("must be True or False")
    return value


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _Malformed("must be a whole number of at least 1")
    return value


def _milliseconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        raise _Malformed("must be a number of milliseconds of at least 0")
    return value


def _share(value: object) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not 0 <= value <= 1
    ):
        raise _Malformed("must be a number from 0 to 1")
    return float(value)


def _callable_or_none(value: object) -> t.Callable[[], bool] | None:
    if value is not None and not callable(value):
        raise _Malformed("must be a callable without arguments, or None")
    return value


def _strings(value: object) -> tuple[str, ...]:
    # A lone string is a sequence of strings too, and always a mistake here.
    if isinstance(value, str) or not isinstance(value, (cabc.Sequence, cabc.Set)):
        raise _Malformed("must be a list or tuple of strings")
    if not all(isinstance(item, str) and item for item in value):
        raise _Malformed("must hold non-empty strings only")
    return tuple(value)


def _prefixes(value: object) -> tuple[str, ...]:
    prefixes = _strings(value)
    if not all(prefix.startswith("/") for prefix in prefixes):
        raise _Malformed("must hold path prefixes that begin with '/'")
    return prefixes


def _codes(value: object) -> tuple[str, ...]:
    codes = _strings(value)
    for code in codes:
        if not re.fullmatch("FSI[0-9]{3}", code):
            raise _Malformed("must hold finding codes such as 'FSI104'")
    return codes


def _keep(value: object) -> str:
    if value not in ("all", "findings"):
        raise _Malformed("must be 'all' or 'findings'")
    return str(value)


def _store(value: object) -> str:
    if not isinstance(value, str) or "://" not in value:
        raise _Malformed("must be a store URL such as 'memory://'")
    return value


_VALIDATORS: dict[str, t.Callable[[object], t.Any]] = {
    "enabled": _boolean,
    "store": _store,
    "max_requests": _count,
    "max_statements": _count,
    "access": _callable_or_none,
    "capture_parameters": _boolean,
    "sensitive_keys": _strings,
    "locations": _boolean,
    "exclude": _prefixes,
    "sample_rate": _share,
    "ignore_findings": _codes,
    "idle_transaction_ms": _milliseconds,
    "server_timing": _boolean,
    "keep": _keep,
    "strict": _boolean,
}
