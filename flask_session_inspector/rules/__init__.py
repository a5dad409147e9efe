"""The faults that are diagnosed: one small function for each.

:data:`RULES` is the one definition of code, name, severity, meaning and fix;
pages, documentation and command line take them from here.
"""

from __future__ import annotations

import collections.abc as cabc
import functools
import time
import typing as t

from ..builder import location as shown_location
from ..guard import guard
from ..masking import storable
from ..records import Finding
from ..records import Holder
from . import connections
from . import contexts
from . import objects
from . import ownership
from . import queries
from . import sharing
from . import signs
from . import threads
from . import transactions
from . import writes
from .case import Case
from .catalogue import Found
from .catalogue import Rule
from .catalogue import registered

if t.TYPE_CHECKING:
    from ..recorder import Scope

__all__ = [
    "RULES",
    "Case",
    "Found",
    "Rule",
    "asked_for",
    "examine",
    "of_holder",
    "signs",
]

# Registered by being imported.
_FILES = (
    sharing,
    contexts,
    ownership,
    writes,
    connections,
    transactions,
    threads,
    objects,
    queries,
)

RULES: cabc.Mapping[str, Rule] = registered()


@functools.cache
def asked_for(signs: int, ignored: frozenset[str] = frozenset()) -> tuple[Rule, ...]:
    """Return the rules that some signs are a reason to ask, in the order of the codes.

    :param ignored: The codes that are not asked for.
    """
    return tuple(
        each
        for each in RULES.values()
        if each.when & signs and each.code not in ignored
    )


def examine(case: Case, rules: cabc.Iterable[Rule]) -> tuple[Finding, ...]:
    """Ask rules about a record.

    :return: The findings, in the order of the rules.
    """
    scope = case.scope
    findings: list[Finding] = []
    for each in rules:
        try:
            for found in each.check(case):
                findings.append(_finding(each, found, scope))
        except Exception:
            guard.report(f"the rule {each.code}")
    return tuple(findings)


def _finding(rule: Rule, found: Found, scope: Scope) -> Finding:
    return Finding(
        code=rule.code,
        name=rule.name,
        severity=found.severity or rule.severity,
        message=storable(found.message),
        hint=rule.fix,
        evidence=_storable(found.evidence),
        request_id=str(scope.id),
        session=found.session,
        location=shown_location(found.location),
        related_requests=found.related,
        docs_url=rule.docs_url,
        at=time.time(),
    )


def _storable(value: t.Any) -> t.Any:
    """Escape what UTF-8 cannot hold: names of threads, files and tables are free."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {storable(str(key)): _storable(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_storable(each) for each in value]
    return value


def of_holder(holder: Holder, at: float) -> Finding:
    """Report what the audit found pinned.

    :param at: When it was found, in Unix seconds.
    """
    rule = RULES["FSI103"]
    what = "a session" if holder.session is None else f"the session S{holder.session}"
    evidence: dict[str, t.Any] = {"held by": holder.where, "holds": holder.holds}
    return Finding(
        code=rule.code,
        name=rule.name,
        severity=rule.severity,
        message=f"{holder.where} holds {what} for the life of the application.",
        hint=holder.hint or rule.fix,
        evidence=evidence,
        request_id=None,
        session=holder.session,
        location=None,
        related_requests=(),
        docs_url=rule.docs_url,
        at=at,
    )
