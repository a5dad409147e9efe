"""The answer in one sentence, of all records that are retained."""

from __future__ import annotations

import collections.abc as cabc

from ...records import Finding
from ...records import Holder
from ...records import RequestRecord
from ...verdicts import Verdict
from ..grouping import group_findings
from ..grouping import most_severe
from ..translating import English
from ..translating import gettext
from ..translating import listed
from ..translating import ngettext
from .headlines import Headline
from .wording import severity
from .wording import spoken


def overall(
    verdicts: cabc.Sequence[Verdict],
    records: cabc.Sequence[RequestRecord],
    findings: cabc.Sequence[Finding] = (),
    pinned: cabc.Sequence[Holder] = (),
) -> Headline:
    """Say in one sentence what verdicts, findings and audit come to.

    :param verdicts: Same proxy, a session per request, no leakage; in this order.
    :param records: What they were stated from.
    :param findings: Those of the records and of the audit.
    :param pinned: Holders of one session for the life of the application.
    """
    contradicted = _contradicted(verdicts)
    worst = most_severe(findings)
    tone = "" if worst is None else severity(worst)[0]
    if worst is not None and tone:
        where = "".join(
            f" in {spoken(each)}" for each in records if each.id == worst.request_id
        )
        named = English(f"{worst.code} {worst.name}{where}: {worst.message}")
        if contradicted is not None:
            return Headline("bad", "bad", contradicted.title, named, worst)
        return Headline(tone, tone, _found(findings), named, worst)
    # Without findings of that kind, which may all be ignored, the facts speak.
    if contradicted is not None or pinned:
        title, text = gettext("A session is held for the life of the application"), ""
        if contradicted is not None:
            title, text = contradicted.title, contradicted.text
        text = f"{text} {_cause(pinned)}".strip()
        return Headline("bad", "bad", title, text)
    using = [each for each in records if each.kind == "request" and each.sessions]
    if not using:
        text = gettext("No recorded request has used a database session.")
        if not records:
            text = gettext("Nothing has been recorded.")
        return Headline("", "info", gettext("No evidence yet"), text)
    sessions = sum(len(each.sessions) for each in using)
    title = gettext(
        "%(requests)s, %(sessions)s: each request had its own",
        requests=ngettext("%(num)s request", "%(num)s requests", len(using)),
        sessions=ngettext("%(num)s session", "%(num)s sessions", sessions),
    )
    text = gettext("Every session was gone when its request ended.")
    if findings:
        notes = ngettext(
            "There is %(num)s note.", "There are %(num)s notes.", len(findings)
        )
        text = f"{text} {notes}"
    return Headline("ok", "okring", title, text)


def _contradicted(verdicts: cabc.Sequence[Verdict]) -> Headline | None:
    """Return the first verdict that failed, as a headline."""
    same_proxy, own_session, no_leakage = verdicts
    if own_session.passed is False:
        title = ngettext(
            "%(num)s request shared a session",
            "%(num)s requests shared a session",
            len(own_session.requests),
        )
        return Headline("bad", "bad", title, English(own_session.evidence[0]))
    if no_leakage.passed is False:
        title = ngettext(
            "%(num)s request left a session open",
            "%(num)s requests left a session open",
            len(no_leakage.requests),
        )
        return Headline("bad", "bad", title, English(no_leakage.evidence[0]))
    if same_proxy.passed is False:
        title = gettext("The proxy was not the same object")
        return Headline("bad", "bad", title, English(same_proxy.sentence))
    return None


def _found(findings: cabc.Sequence[Finding]) -> str:
    """Name the faults that were found, the most severe first."""
    groups = [each for each in group_findings(findings) if each.severity != "info"]
    return gettext("Found: %(names)s", names=listed([each.name for each in groups]))


def _cause(pinned: cabc.Sequence[Holder]) -> str:
    if not pinned:
        return ""
    where = pinned[0].where[:1].upper() + pinned[0].where[1:]
    return gettext(
        "%(holder)s holds a %(what)s instead of the proxy.",
        holder=where,
        what=pinned[0].holds,
    )
