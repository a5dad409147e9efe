"""Findings put together by their code, as every list of them shows them."""

from __future__ import annotations

import collections.abc as cabc
import operator
from dataclasses import dataclass

from ..records import Finding
from ..records import Severity
from ..rules import RULES

_ORDER: dict[str, int] = {"error": 0, "warning": 1, "info": 2}


@dataclass(frozen=True)
class FindingGroup:
    """The findings of one code.

    :param code: The code, such as ``"FSI101"``.
    :param name: The short name, such as ``"session-shared"``.
    :param severity: That of the most severe of them.
    :param meaning: What the code means, as its rule says; empty for a code that
        this version does not know.
    :param docs_url: The page that explains the code.
    :param findings: All of them, newest first.
    """

    code: str
    name: str
    severity: Severity
    meaning: str
    docs_url: str
    findings: tuple[Finding, ...]

    @property
    def last_seen(self) -> float:
        """When the newest was found, in Unix seconds."""
        return self.findings[0].at


def group_findings(findings: cabc.Iterable[Finding]) -> list[FindingGroup]:
    """Put findings together by code, the most severe group first, then by code.

    :param findings: In any order.
    """
    by_code: dict[str, list[Finding]] = {}
    for finding in findings:
        by_code.setdefault(finding.code, []).append(finding)
    groups = [_group(code, found) for code, found in by_code.items()]
    return sorted(groups, key=lambda group: (_ORDER[group.severity], group.code))


def meaning_of(code: str) -> str:
    """Return what a code means, as its rule says; empty if it is unknown."""
    rule = RULES.get(code)
    return "" if rule is None else rule.meaning


def _group(code: str, findings: list[Finding]) -> FindingGroup:
    newest_first = sorted(findings, key=operator.attrgetter("at"), reverse=True)
    newest = newest_first[0]
    return FindingGroup(
        code,
        newest.name,
        min({each.severity for each in findings}, key=_ORDER.__getitem__),
        meaning_of(code),
        newest.docs_url,
        tuple(newest_first),
    )


def most_severe_first(findings: cabc.Iterable[Finding]) -> list[Finding]:
    """Sort findings by their severity, and leave those of one as they are."""
    return sorted(findings, key=lambda each: _ORDER[each.severity])


def most_severe(findings: cabc.Iterable[Finding]) -> Finding | None:
    """Return the finding to be told first: the newest of the first group."""
    return worst_of(group_findings(findings))


def worst_of(groups: cabc.Sequence[FindingGroup]) -> Finding | None:
    """Return the finding to be told first, of findings that are grouped."""
    if not groups:
        return None
    first = groups[0]
    return next(each for each in first.findings if each.severity == first.severity)
