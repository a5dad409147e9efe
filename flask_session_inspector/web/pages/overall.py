"""The answer in one sentence, of all records that are retained."""

from __future__ import annotations

import collections.abc as cabc

from ...digest import Summary
from ...records import Holder
from ...verdicts import Judgement
from ..grouping import FindingGroup
from ..grouping import worst_of
from ..translating import English
from ..translating import gettext
from ..translating import listed
from ..translating import ngettext
from .headlines import Headline
from .wording import severity


def overall(
    summary: Summary,
    groups: cabc.Sequence[FindingGroup] = (),
    pinned: cabc.Sequence[Holder] = (),
    name: cabc.Callable[[str], str] = lambda record_id: "",
) -> Headline:
    """Say in one sentence what verdicts, findings and audit come to.

    :param summary: What the records add up to.
    :param groups: The findings of the records and of the audit.
    :param pinned: Holders of one session for the life of the application.
    :param name: Names a record by its id; empty if it is not retained.
    """
    contradicted = _contradicted(summary.judgements)
    worst = worst_of(groups)
    tone = "" if worst is None else severity(worst)[0]
    if worst is not None and tone:
        named_record = name(worst.request_id) if worst.request_id else ""
        where = f" in {named_record}" if named_record else ""
        named = English(f"{worst.code} {worst.name}{where}: {worst.message}")
        if contradicted is not None:
            return Headline("bad", "bad", contradicted.title, named, worst)
        return Headline(tone, tone, _found(groups), named, worst)
    # Without findings of that kind, which may all be ignored, the facts speak.
    if contradicted is not None or pinned:
        title, text = gettext("A session is held for the life of the application"), ""
        if contradicted is not None:
            title, text = contradicted.title, contradicted.text
        text = f"{text} {_cause(pinned)}".strip()
        return Headline("bad", "bad", title, text)
    if not summary.using:
        text = gettext("No recorded request has used a database session.")
        if not summary.records:
            text = gettext("Nothing has been recorded.")
        return Headline("", "info", gettext("No evidence yet"), text)
    title = gettext(
        "%(requests)s, %(sessions)s: each request had its own",
        requests=ngettext("%(num)s request", "%(num)s requests", summary.using),
        sessions=ngettext("%(num)s session", "%(num)s sessions", summary.uses),
    )
    text = gettext("Every session was gone when its request ended.")
    if groups:
        number = sum(len(each.findings) for each in groups)
        notes = ngettext("There is %(num)s note.", "There are %(num)s notes.", number)
        text = f"{text} {notes}"
    return Headline("ok", "okring", title, text)


def _contradicted(judgements: cabc.Sequence[Judgement]) -> Headline | None:
    """Return the first verdict that failed, as a headline."""
    same_proxy, own_session, no_leakage = judgements
    if own_session.verdict.passed is False:
        title = ngettext(
            "%(num)s request shared a session",
            "%(num)s requests shared a session",
            own_session.requests,
        )
        sentence = English(own_session.verdict.evidence[0])
        return Headline("bad", "bad", title, sentence)
    if no_leakage.verdict.passed is False:
        title = ngettext(
            "%(num)s request left a session open",
            "%(num)s requests left a session open",
            no_leakage.requests,
        )
        sentence = English(no_leakage.verdict.evidence[0])
        return Headline("bad", "bad", title, sentence)
    if same_proxy.verdict.passed is False:
        title = gettext("The proxy was not the same object")
        return Headline("bad", "bad", title, English(same_proxy.verdict.sentence))
    return None


def _found(groups: cabc.Sequence[FindingGroup]) -> str:
    """Name the faults that were found, the most severe first."""
    names = [each.name for each in groups if each.severity != "info"]
    return gettext("Found: %(names)s", names=listed(names))


def _cause(pinned: cabc.Sequence[Holder]) -> str:
    if not pinned:
        return ""
    where = pinned[0].where[:1].upper() + pinned[0].where[1:]
    return gettext(
        "%(holder)s holds a %(what)s instead of the proxy.",
        holder=where,
        what=pinned[0].holds,
    )
