"""A finding with all it says: what, where, the evidence, the fix."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace

from ...records import Finding
from ..grouping import meaning_of
from ..translating import English
from ..translating import stated
from .evidence import Evidence
from .evidence import evidence
from .formats import Moment
from .formats import Place
from .formats import moment
from .formats import place
from .links import RecordLink
from .links import RecordNames
from .wording import Tone
from .wording import severity


@dataclass(frozen=True)
class FindingCard:
    """A finding with all it says.

    :param anchor: The id of its element, empty if it has none.
    :param said: Whether the headline above it says the message already.
    :param session: The label of the session concerned, or empty.
    :param record: The record it was found in; ``None`` from the audit.
    :param others: The other records involved.
    :param docs_url: A link that cannot run a script, or empty.
    """

    code: str
    name: str
    anchor: str
    tone: Tone
    icon: str
    severity: str
    message: str
    meaning: str
    said: bool
    hint: str
    place: Place | None
    evidence: tuple[tuple[str, Evidence], ...]
    session: str
    record: RecordLink | None
    others: tuple[RecordLink, ...]
    docs_url: str
    when: Moment


def finding_card(finding: Finding, names: RecordNames) -> FindingCard:
    """Present a finding with its evidence."""
    tone, icon, word = severity(finding)
    session = "" if finding.session is None else f"S{finding.session}"
    facts = evidence(finding.evidence, names)
    return FindingCard(
        finding.code,
        finding.name,
        "",
        tone,
        icon,
        word,
        English(finding.message),
        stated(meaning_of(finding.code)),
        False,
        stated(finding.hint),
        place(finding.location),
        # The session has a place of its own.
        tuple(
            each for each in facts if each != ("Session", Evidence(session or "none"))
        ),
        session,
        None if finding.request_id is None else names.link(finding.request_id),
        tuple(names.link(each) for each in finding.related_requests),
        safe_link(finding.docs_url),
        moment(finding.at),
    )


def finding_cards(
    findings: tuple[Finding, ...], names: RecordNames, *, headlined: Finding | None
) -> tuple[FindingCard, ...]:
    """Present the findings of one record, the first of each code with an anchor.

    :param headlined: The one whose message the headline says.
    """
    cards = []
    anchored: set[str] = set()
    for finding in findings:
        card = finding_card(finding, names)
        if finding.code not in anchored:
            anchored.add(finding.code)
            card = replace(card, anchor=finding.code)
        cards.append(replace(card, said=True) if finding is headlined else card)
    return tuple(cards)


def safe_link(url: str) -> str:
    """Return a link that cannot run a script, or nothing."""
    return url if url.startswith("https://") else ""
