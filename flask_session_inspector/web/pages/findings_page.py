"""What the page of findings shows, read from an inspection."""

from __future__ import annotations

import collections.abc as cabc
import typing as t
from dataclasses import dataclass

from ...phrases import marked_forms
from ...records import Finding
from ...records import Holder
from ..grouping import FindingGroup
from ..grouping import group_findings
from ..translating import gettext
from ..translating import joined
from ..translating import listed
from ..translating import ngettext
from ..translating import stated
from .finding_cards import FindingCard
from .finding_cards import finding_card
from .finding_cards import safe_link
from .formats import Moment
from .formats import moment
from .links import RecordNames
from .shell import Shell
from .shell import shell
from .wording import Tone
from .wording import severity_words

if t.TYPE_CHECKING:
    from ...inspection import Inspection

SHOWN, LISTED = 5, 50
_COUNTED = {
    "error": marked_forms("%(num)s error", "%(num)s errors"),
    "warning": marked_forms("%(num)s warning", "%(num)s warnings"),
    "info": marked_forms("%(num)s note", "%(num)s notes"),
}


@dataclass(frozen=True)
class GroupCard:
    """The findings of one code.

    :param hint: How to fix them, where that is the same for all.
    :param shown: The newest.
    :param folded: The next ones.
    :param more: How many older ones are not on the page.
    :param in_records: Whether any was found in a record.
    """

    code: str
    name: str
    tone: Tone
    icon: str
    severity: str
    meaning: str
    docs_url: str
    times: str
    last_seen: Moment
    hint: str
    shown: tuple[FindingCard, ...]
    folded: tuple[FindingCard, ...]
    more: int
    in_records: bool


@dataclass(frozen=True)
class FindingsPage:
    """The findings, by code.

    :param summary: How many there are.
    :param looked_at: What the answer rests on, in words.
    :param ignored: The codes that are not reported, in words.
    """

    shell: Shell
    summary: str
    groups: tuple[GroupCard, ...]
    looked_at: str
    ignored: str


def findings_page(
    inspection: Inspection, holders: cabc.Sequence[Holder]
) -> FindingsPage:
    """Read the findings of all retained records and of the audit.

    :param holders: What the audit found.
    """
    findings = inspection.findings(holders)
    names = RecordNames(inspection)
    retained = inspection.counters.retained
    groups = group_findings(findings)
    codes = inspection.config.ignore_findings
    ignored = ngettext(
        "%(codes)s is not reported, because SESSION_INSPECTOR_IGNORE_FINDINGS says so.",
        "%(codes)s are not reported, because SESSION_INSPECTOR_IGNORE_FINDINGS says"
        " so.",
        len(codes),
        codes=joined(sorted(codes)),
    )
    return FindingsPage(
        shell(inspection, "findings", findings, holders),
        _summary(findings, len(groups)),
        tuple(_group_card(each, names) for each in groups),
        gettext(
            "%(records)s and %(holders)s",
            records=ngettext(
                "%(num)s retained record", "%(num)s retained records", retained
            ),
            holders=ngettext(
                "%(num)s holder of a session",
                "%(num)s holders of a session",
                len(holders),
            ),
        ),
        ignored if codes else "",
    )


def _summary(findings: list[Finding], kinds: int) -> str:
    parts = []
    for severity, forms in _COUNTED.items():
        number = sum(1 for each in findings if each.severity == severity)
        if number:
            parts.append(ngettext(*forms, number))
    return ngettext(
        "%(findings)s of %(num)s kind",
        "%(findings)s of %(num)s kinds, the most severe first",
        kinds,
        findings=listed(parts),
    )


def _group_card(group: FindingGroup, names: RecordNames) -> GroupCard:
    tone, icon, word = severity_words(group.severity)
    cards = tuple(finding_card(each, names) for each in group.findings[:LISTED])
    hints = {each.hint for each in group.findings}
    number = len(group.findings)
    return GroupCard(
        group.code,
        group.name,
        tone,
        icon,
        word,
        stated(group.meaning),
        safe_link(group.docs_url),
        ngettext("%(num)s time", "%(num)s times", number),
        moment(group.last_seen),
        stated(hints.pop()) if len(hints) == 1 else "",
        cards[:SHOWN],
        cards[SHOWN:],
        number - len(cards),
        any(each.request_id for each in group.findings),
    )
